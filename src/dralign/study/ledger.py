"""The ledger of a study: one SQLite file that keeps every finished trial."""

import gc
import re
import time
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from dralign.errors import DralignWarning, StudyError
from dralign.study.database import Database, LockedError
from dralign.study.record import Status, TrialRecord, pack, unpack

FILE_NAME = "study.sqlite"  # in the folder of a study
LOCKED_SECONDS: Final = 600.0  # for which a record waits for another program that holds the file
_AGAIN_SECONDS: Final = 0.1

# A finished trial stays as it is; a failed one gives way to a later attempt.
_ADD: Final = """
INSERT INTO trial (hash, status, record) VALUES (?, ?, ?)
ON CONFLICT (hash) DO UPDATE SET status = excluded.status, record = excluded.record
WHERE trial.status = 'failed'
"""
_HASH: Final = re.compile("[0-9a-f]{64}")


def ledger_path(study: Path | str) -> Path:
    """The ledger of a study that is given by its folder, or by the file itself."""
    path = Path(study)
    return path if path.suffix == ".sqlite" else path / FILE_NAME


class Ledger:
    """Trial records in a SQLite file, by content hash.

    Every record is a transaction of its own, on disk when ``add`` returns, and in the file itself:
    a plain copy of it, made between two records, holds them all. Only the process that coordinates
    a study writes; others may read at the same time, and each waits a moment for the other. Use it
    as a context manager.
    """

    def __init__(self, path: Path | str, *, create: bool = True, timeout: float = 30.0) -> None:
        """Opens the ledger at ``path``.

        Args:
            path: the file.
            create: whether it is opened to be written, and a missing file (and its folder) is
                made. Otherwise it must be there and is only read; nothing has to be written beside
                it, so that the disk may be full or read-only.
            timeout: seconds to wait for another process; ``add`` then warns and goes on waiting.

        Raises:
            StudyError: if the file is not a ledger, is damaged, comes from a newer dralign, or
                can't be opened.
        """
        self.path = Path(path)
        if not create and not self.path.exists():
            raise StudyError(f"no study at {self.path}")
        self._database = Database(self.path, write=create, timeout=timeout)

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
        self._database.close()

    def add(self, record: TrialRecord) -> None:
        """Keeps a record; a trial that is already there as done stays as it is.

        Where another program holds the file, for example with a query that it has not ended, it is
        waited for: ``LOCKED_SECONDS``, with a ``DralignWarning``.

        Raises:
            RecordError: if the record is too large, or could not be read again.
            StudyError: if it can't be written, for example because the disk is full; the records
                that were there before remain. Also if the file is not in its place any more.
        """
        self._write((record.hash, record.status, pack(record)))
        self.check_in_place()

    def _write(self, row: tuple[object, ...]) -> None:
        """Writes a row, as soon as no other program holds the file.

        Raises:
            LockedError: if another one holds it for longer.
            StudyError: if it can't be written for another reason.
        """
        told, until = False, time.monotonic() + LOCKED_SECONDS
        while True:
            try:
                self._database.query(_ADD, row, done="written")
            except LockedError:
                if time.monotonic() > until:
                    raise
                if not told:
                    warnings.warn(
                        f"{self.path}: another program has the study open and keeps a record from "
                        f"being written; it is waited for, {LOCKED_SECONDS:.0f} s at most",
                        DralignWarning,
                        stacklevel=3,
                    )
                told = True
                time.sleep(_AGAIN_SECONDS)
            else:
                return

    def check_in_place(self) -> None:
        """Checks that the path still leads to the file that was opened.

        Raises:
            StudyError: if the file or its folder was removed, moved or replaced.
        """
        self._database.check_in_place()

    def done_hashes(self) -> set[str]:
        """The hashes of the trials that are done.

        Raises:
            StudyError: if the file can't be read.
        """
        rows = self._database.query("SELECT hash FROM trial WHERE status = 'done'")
        return {digest for (digest,) in rows}

    def records(
        self, hashes: Collection[str] | None = None, *, status: Status | None = None
    ) -> list[TrialRecord]:
        """The records in the order of their hashes, whatever order they were added in.

        Args:
            hashes: only these trials; None for all.
            status: only trials that ended so; None for all.

        Raises:
            StudyError: if a record can't be read, or stands in the row of another trial.
        """
        rows = self._database.query("SELECT hash, status, record FROM trial ORDER BY hash")
        with _nothing_collected():
            return [
                self._decode(digest, result, blob)
                for digest, result, blob in rows
                if (hashes is None or digest in hashes) and status in {None, result}
            ]

    def _decode(self, digest: object, status: object, blob: object) -> TrialRecord:
        """The record of a row.

        Raises:
            StudyError: if it can't be read, or is not that of the row.
        """
        if not isinstance(digest, str) or not _HASH.fullmatch(digest):
            raise StudyError(f"{self.path}: damaged: a row has no hash")
        where = f"{self.path}: the record of trial {digest[:12]} can't be read"
        if not isinstance(blob, bytes):
            raise StudyError(f"{where}: it is not binary")
        try:
            record = unpack(blob)
        except StudyError as error:
            raise StudyError(f"{where}: {error}") from error
        if (record.hash, record.status) != (digest, status):
            raise StudyError(f"{where}: it is another trial's, or ended otherwise")
        return record


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Keeps Python from looking for garbage among millions of figures, none of which is any."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
