"""The SQLite file of a ledger, opened so that a damaged or foreign one can do no harm.

A transaction goes to the file itself, by way of a rollback journal that is gone when it ends. So
the file is whole between any two records, and a plain copy of it holds them all. Older ledgers have
a write-ahead log, in which records may stand that the file alone lacks.
"""

import os
import sqlite3
import stat
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from dralign.errors import StudyError
from dralign.files import make_folder
from dralign.forms import shown
from dralign.interrupts import interrupt_again
from dralign.study.record import LARGEST

APPLICATION: Final = int.from_bytes(b"DRAL", "big")  # marks the file as ours (application_id)
SCHEMA: Final = 1

_CREATE: Final = """
CREATE TABLE trial (
    hash TEXT PRIMARY KEY,
    status TEXT NOT NULL CHECK (status IN ('done', 'failed')),
    record BLOB NOT NULL
)
""".strip()
_OBJECTS: Final = [
    ("index", "sqlite_autoindex_trial_1", "trial", None),
    ("table", "trial", "trial", _CREATE),
]
_JOURNAL: Final = "-journal"
_LOG: Final = "-wal"
_BESIDE: Final = (_JOURNAL, _LOG, "-shm")
# A journal begins with it. One that names another one, which SQLite may then remove, also ends with
# it; ours name none.
_MAGIC: Final = bytes.fromhex("d9d505f920a163d7")
# The head of a journal: the magic, two numbers, the pages that the file had before, and the sizes
# of a sector, which the head fills, and of a page.
_HEAD: Final = struct.Struct(">8s8xIII")
# Steps of SQLite's virtual machine that a statement may take, besides one for each byte of the
# file: a check of everything takes 14 for a row, which has over 150 bytes.
_STEPS: Final = 1_000_000
_STEPS_AT_A_TIME: Final = 10_000
_AGAIN_SECONDS: Final = 0.05

Rows = list[tuple[Any, ...]]


class LockedError(StudyError):
    """Another program holds the file for longer than it was waited for."""


class Database:
    """An open SQLite file that is a whole ledger.

    Args:
        path: the file.
        write: whether it will be written; a missing one is then made. Otherwise nothing is
            changed, but that a write which a kill cut off is undone.
        timeout: seconds to wait for another process.

    Raises:
        StudyError: if the file is not a ledger, is damaged, comes from a newer dralign, or can't be
            opened.
    """

    def __init__(self, path: Path, *, write: bool, timeout: float) -> None:
        self.path = path
        self._given = path.absolute()
        self._path = Path(os.path.realpath(path))  # beside which SQLite puts its journal
        self._steps = 0
        self._timeout = timeout
        with self.refusals("opened"):
            if write:
                make_folder(path.parent)
            self._check_files()
            try:
                self._open("rwc" if write else "rw")
            except sqlite3.OperationalError as error:
                # A write-ahead log needs files beside it, also to be read.
                if write or not _is_unopened(error) or self._is_held_beside():
                    raise
                self._open("ro&immutable=1")
            self._file = _identity(self._given)

    def close(self) -> None:
        """Closes the file; a second call does nothing."""
        self._connection.close()

    def query(self, sql: str, values: tuple[object, ...] = (), *, done: str = "read") -> Rows:
        """All rows that a statement gives.

        Args:
            sql: the statement.
            values: what stands for its question marks.
            done: what can't be done if it fails, for messages.

        Raises:
            LockedError: if another program holds the file.
            StudyError: if it fails in another way.
        """
        with self.refusals(done):
            return self._run(sql, values)

    def check_in_place(self) -> None:
        """Checks that the path still leads to the file that was opened.

        Raises:
            StudyError: if it was removed or replaced.
        """
        try:
            there = _identity(self._given) == self._file
        except OSError:
            there = False
        if not there:
            raise StudyError(
                f"{self.path}: the study was removed, moved or replaced while it was written; "
                "what was written since then is not there, the same command runs it again"
            )

    def _open(self, mode: str) -> None:
        """Connects and checks; nothing stays open if that fails."""
        # Without isolation level the module opens no transactions of its own; while SQLite itself
        # waits for another process nobody hears Ctrl-C.
        self._connection = sqlite3.connect(
            f"{self._path.as_uri()}?mode={mode}", uri=True, timeout=0, isolation_level=None
        )
        try:
            self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 2 * LARGEST)
            self._connection.set_progress_handler(self._is_endless, _STEPS_AT_A_TIME)
            self._run("PRAGMA trusted_schema = OFF")
            self._prepare(write=mode == "rwc")
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self, *, write: bool) -> None:
        """Checks that the file is ours and whole, or lays out a new one.

        Raises:
            StudyError: if it is not.
        """
        # In this order: another command may lay it out at any moment.
        empty = self._run("SELECT count(*) FROM sqlite_master") == [(0,)]
        if self._number("application_id") != APPLICATION:
            if not write or not empty:
                raise StudyError(f"{self.path}: not a study of dralign")
            self._lay_out()
        if (schema := self._number("user_version")) != SCHEMA:
            raise StudyError(
                f"{self.path}: a study of schema {schema}, this dralign reads {SCHEMA}; "
                "use the version of dralign that wrote it"
            )
        objects = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type LIMIT 3"
        if self._run(objects) != _OBJECTS:
            raise StudyError(f"{self.path}: not a study of dralign: it holds other tables")
        # Unlike the quick check it finds an index that names some rows twice and others never.
        if self._run("PRAGMA integrity_check(1)") != [("ok",)]:
            raise StudyError(f"{self.path}: the study is damaged; restore a copy or start anew")
        if write:
            self._run("PRAGMA journal_mode = DELETE")
            self._run("PRAGMA synchronous = EXTRA")  # on disk when a transaction ends
        else:
            self._run("PRAGMA query_only = ON")

    def _lay_out(self) -> None:
        """Makes the table in an empty file."""
        # Exclusive, so that of two commands that start together only one lays it out.
        self._run("BEGIN EXCLUSIVE")
        if self._number("application_id") != APPLICATION:
            self._run(_CREATE)
            self._run(f"PRAGMA application_id = {APPLICATION}")
            self._run(f"PRAGMA user_version = {SCHEMA}")
        self._run("COMMIT")

    def _check_files(self) -> None:
        """Checks the file and those beside it before SQLite acts on them.

        Raises:
            StudyError: if SQLite would wait for one without end, or remove other files.
        """
        for ending in ("", *_BESIDE):
            part = f"{self._path}{ending}"
            with suppress(FileNotFoundError):  # a journal may go at any moment
                if not stat.S_ISREG(Path(part).stat().st_mode):
                    raise StudyError(f"{part}: not a regular file, and no part of a study")
        journal = Path(f"{self._path}{_JOURNAL}")
        with suppress(FileNotFoundError), journal.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if _empties(file.read(_HEAD.size), size):
                raise StudyError(
                    f"{journal}: damaged; SQLite would empty the study by it; restore a copy"
                )
            file.seek(-min(size, len(_MAGIC)), os.SEEK_END)
            if file.read() == _MAGIC:
                raise StudyError(
                    f"{journal}: not written by dralign; SQLite would remove files by it"
                )

    def _number(self, name: str) -> int:
        """The value of a numeric pragma."""
        return int(self._run(f"PRAGMA {name}")[0][0])

    def _run(self, sql: str, values: tuple[object, ...] = ()) -> Rows:
        """As ``query``, with what SQLite raises."""
        until = time.monotonic() + self._timeout
        while True:
            self._steps = _STEPS + _size(self._path) + _size(f"{self._path}{_LOG}")
            try:
                return self._connection.execute(sql, values).fetchall()
            except sqlite3.OperationalError as error:
                if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                    raise
                time.sleep(_AGAIN_SECONDS)

    def _is_endless(self) -> bool:
        """Whether a statement has taken more steps than any on a ledger of this size."""
        self._steps -= _STEPS_AT_A_TIME
        return self._steps < 0

    def _is_held_beside(self) -> bool:
        """Whether a file beside this one may hold what this one lacks."""
        return any(_size(f"{self._path}{ending}") for ending in (_JOURNAL, _LOG))

    @contextmanager
    def refusals(self, done: str) -> Iterator[None]:
        """Turns what SQLite and the file system raise into one clear line.

        Args:
            done: what could not be done.

        Raises:
            LockedError: in the place of it, if another program holds the file.
            StudyError: in the place of anything else.
        """
        failed = f"{self.path}: the study can't be {done}"
        try:
            yield
        except sqlite3.OperationalError as error:
            if _code(error) == sqlite3.SQLITE_INTERRUPT and self._steps >= 0:
                # A signal while SQLite asked ``_is_endless``, which it takes for a yes.
                interrupt_again(error)
            if _code(error) in {0, sqlite3.SQLITE_INTERRUPT}:  # 0: a text that is not UTF-8
                what = "reading it would never end" if _code(error) else shown(str(error))
                raise StudyError(f"{self.path}: damaged: {what}") from error
            if _is_unopened(error) and self._is_held_beside():
                failed += " (a write was cut off: open a copy of its folder)"
            if _code(error) == sqlite3.SQLITE_BUSY:
                raise LockedError(
                    f"{failed}: {shown(str(error))}; end the other program that has it open"
                ) from error
            raise StudyError(f"{failed}: {shown(str(error))}") from error
        except sqlite3.ProgrammingError as error:  # from Python's side, whatever the file holds
            raise StudyError(
                f"{failed}: it was closed, or opened in another thread; open it again"
            ) from error
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            # A message of SQLite may quote what is not UTF-8.
            reason = shown(str(error))
            raise StudyError(
                f"{self.path}: not a study of dralign, or damaged: {reason}"
            ) from error
        except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
            raise StudyError(f"{failed}: {getattr(error, 'strerror', None) or error}") from error


def _empties(head: bytes, size: int) -> bool:
    """Whether a journal of ``size`` bytes says that the file had no page, but holds one."""
    if len(head) < _HEAD.size:
        return False
    magic, pages, sector, page = _HEAD.unpack(head)
    return bool(magic == _MAGIC and pages == 0 and size > sector + page)


def _identity(path: Path) -> tuple[int, int]:
    """What tells a file from every other one that is there."""
    result = path.stat()
    return result.st_dev, result.st_ino


def _code(error: sqlite3.Error) -> int:
    """The kind of an error; 0 if it comes from Python's side."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _is_unopened(error: sqlite3.Error) -> bool:
    """Whether the system did not let SQLite open or make a file."""
    return _code(error) in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY}


def _size(path: Path | str) -> int:
    """The bytes of a file; 0 if there is none."""
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0
