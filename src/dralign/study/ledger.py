"""The ledger of a study: one SQLite file that keeps every finished trial."""

import json
import sqlite3
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from dralign.errors import StudyError
from dralign.study.record import Status, TrialRecord

APPLICATION = int.from_bytes(b"DRAL", "big")  # marks the file as ours (SQLite's application_id)
SCHEMA = 1
FILE_NAME = "study.sqlite"  # in the folder of a study

_CREATE = """
CREATE TABLE trial (
    hash TEXT PRIMARY KEY,
    status TEXT NOT NULL CHECK (status IN ('done', 'failed')),
    record BLOB NOT NULL
)
"""
# A finished trial stays as it is; a failed one gives way to a later attempt.
_ADD = """
INSERT INTO trial (hash, status, record) VALUES (?, ?, ?)
ON CONFLICT (hash) DO UPDATE SET status = excluded.status, record = excluded.record
WHERE trial.status = 'failed'
"""


def ledger_path(study: Path | str) -> Path:
    """The ledger of a study that is given by its folder, or by the file itself."""
    path = Path(study)
    return path if path.suffix == ".sqlite" else path / FILE_NAME


class Ledger:
    """Trial records in a SQLite file, by content hash.

    Every record is a transaction of its own, on disk when ``add`` returns. Only the process that
    coordinates a study writes; others may read at the same time. Use it as a context manager.
    """

    def __init__(self, path: Path | str, *, create: bool = True, timeout: float = 30.0) -> None:
        """Opens the ledger at ``path``.

        Args:
            path: the file.
            create: whether a missing file (and its folder) is made, or is an error.
            timeout: seconds to wait for another process that writes.

        Raises:
            StudyError: if the file is not a ledger, is damaged, comes from a newer dralign, or
                can't be opened.
        """
        self.path = Path(path)
        if not create and not self.path.exists():
            raise StudyError(f"no study at {self.path}")
        with self._errors("opened"):
            if create:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            # Without isolation level the module opens no transactions of its own.
            self._connection = sqlite3.connect(self.path, timeout=timeout, isolation_level=None)
            found = self.path.stat()
            self._identity = found.st_dev, found.st_ino
        try:
            with self._errors("read"):
                self._prepare(create=create)
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file; a second call does nothing."""
        self._connection.close()

    def add(self, record: TrialRecord) -> None:
        """Keeps a record; a trial that is already there as done stays as it is.

        Raises:
            StudyError: if it can't be written, for example because the disk is full; the records
                that were there before remain.
        """
        text = json.dumps(record.to_dict(), separators=(",", ":"))
        with self._errors("written"):
            self._connection.execute(
                _ADD, (record.hash, record.status, zlib.compress(text.encode()))
            )

    def check_in_place(self) -> None:
        """Checks that the file at the path is still the one that was opened.

        Raises:
            StudyError: if it was removed or replaced; what is written now would be lost with it.
        """
        try:
            found = self.path.stat()
        except OSError:
            found = None
        if found is None or (found.st_dev, found.st_ino) != self._identity:
            raise StudyError(
                f"{self.path}: the study was removed or replaced while it was open; results from "
                "then on are not kept"
            )

    def done_hashes(self) -> set[str]:
        """The hashes of the trials that are done.

        Raises:
            StudyError: if the file can't be read.
        """
        with self._errors("read"):
            rows = self._connection.execute("SELECT hash FROM trial WHERE status = 'done'")
            return {digest for (digest,) in rows}

    def records(
        self, hashes: Collection[str] | None = None, *, status: Status | None = None
    ) -> list[TrialRecord]:
        """The records in the order of their hashes, whatever order they were added in.

        Args:
            hashes: only these trials; None for all.
            status: only trials that ended so; None for all.

        Raises:
            StudyError: if a record can't be read.
        """
        with self._errors("read"):
            rows = self._connection.execute(
                "SELECT hash, status, record FROM trial ORDER BY hash"
            ).fetchall()
        return [
            self._decode(digest, blob)
            for digest, found, blob in rows
            if (hashes is None or digest in hashes) and status in {None, found}
        ]

    def _decode(self, digest: str, blob: bytes) -> TrialRecord:
        """The record in a blob."""
        try:
            return TrialRecord.from_dict(json.loads(zlib.decompress(blob)))
        except (zlib.error, ValueError, TypeError, AttributeError, StudyError) as error:
            raise StudyError(
                f"{self.path}: the record of trial {digest[:12]} can't be read: {error}"
            ) from error

    def _prepare(self, *, create: bool) -> None:
        """Checks that the file is ours and whole, or lays out a new one."""
        run = self._connection.execute
        if self._pragma("application_id") != APPLICATION:
            if not create or run("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
                raise StudyError(f"{self.path}: not a study of dralign")
            # Exclusive, so that of two commands that start together only one lays it out.
            run("BEGIN EXCLUSIVE")
            if self._pragma("application_id") != APPLICATION:
                run(_CREATE)
                run(f"PRAGMA application_id = {APPLICATION}")
                run(f"PRAGMA user_version = {SCHEMA}")
            run("COMMIT")
        if (schema := self._pragma("user_version")) != SCHEMA:
            raise StudyError(
                f"{self.path}: a study of schema {schema}, this dralign reads {SCHEMA}; "
                "use the version of dralign that wrote it"
            )
        if run("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise StudyError(f"{self.path}: the study is damaged; restore a copy or start anew")
        # Readers then never wait for the writer, and a commit is one append.
        run("PRAGMA journal_mode = WAL")

    def _pragma(self, name: str) -> int:
        """The value of a numeric pragma."""
        return int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])

    @contextmanager
    def _errors(self, done: str) -> Iterator[None]:
        """Turns what SQLite and the file system raise into one clear line."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise StudyError(f"{self.path}: the study can't be {done}: {error}") from error
        except sqlite3.DatabaseError as error:
            raise StudyError(f"{self.path}: not a study of dralign, or damaged: {error}") from error
        except OSError as error:
            raise StudyError(f"{self.path}: the study can't be {done}: {error.strerror}") from error
