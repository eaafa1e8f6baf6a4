"""The rows of a table as they came: from a file, from two, or from a DataFrame."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dralign.data.columns import require_columns
from dralign.data.content import combined
from dralign.data.frames import as_pandas
from dralign.data.numerals import is_textual
from dralign.data.reading import parse_table, table_bytes
from dralign.errors import DataError
from dralign.table_options import TableOptions

if TYPE_CHECKING:
    import pandas as pd

IN_MEMORY: Final = "table"  # what a DataFrame is called
# What was parsed, by content and by how it is read; None outside of ``parsed_once``.
_parsed: ContextVar["dict[tuple[str, ...], pd.DataFrame] | None"] = ContextVar("_parsed")


@contextmanager
def parsed_once() -> Iterator[Callable[[], None]]:
    """Inside of the block content that was parsed is not parsed again in the same way.

    Files are still read, so that a change is seen. The block is given a function that forgets what
    was parsed until then, which may be large.
    """
    kept: dict[tuple[str, ...], pd.DataFrame] = {}
    token = _parsed.set(kept)
    try:
        yield kept.clear
    finally:
        _parsed.reset(token)


@dataclass(frozen=True)
class RawTable:
    """Rows as they came.

    Attributes:
        frame: the rows, numbered from 0.
        name: of the file, without its folder.
        where: what messages call it.
        fingerprint: the SHA-256 of what was read; empty for a DataFrame.
        n_own: rows of the table itself; those after them are of the file of test rows.
        separator: the mark between columns, where it was recognised and is not the usual one.
    """

    frame: "pd.DataFrame"
    name: str
    where: str
    fingerprint: str
    n_own: int
    separator: str = ""


def read_raw(table: Any, options: TableOptions) -> RawTable:  # noqa: ANN401 - of any library
    """The rows of a file or a frame of any library, and those of the test file after them.

    Raises:
        DataError: if a file can't be read, the frame has no rows or a column twice, or the two have
            other columns.
    """
    if isinstance(table, str | Path):
        file = _File.read(table, options)
        frame, where, name = file.parse(), str(table), Path(table).name
    else:
        file, frame = None, frame_rows(table)
        where, name = "the table", IN_MEMORY
    own = "" if file is None else file.digest
    raw = RawTable(frame, name, where, own, len(frame), frame.attrs.get("separator", ""))
    return _with_test(raw, file, options) if options.test else raw


@dataclass(frozen=True)
class _File:
    """A file and how it is read."""

    path: str | Path
    content: bytes
    digest: str
    options: TableOptions

    @classmethod
    def read(cls, path: str | Path, options: TableOptions) -> "_File":
        """The file as it is now."""
        content = table_bytes(path)
        return cls(path, content, hashlib.sha256(content).hexdigest(), options)

    def parse(self, texts: tuple[str, ...] = ()) -> "pd.DataFrame":
        """The table; one that was parsed before in the block of ``parsed_once``."""
        how, kept = self.options, _parsed.get(None)
        if kept is None:
            return parse_table(self.path, self.content, how, texts=texts)
        key = (self.digest, str(self.path), how.sep, how.decimal, how.encoding, *texts)
        if key not in kept:
            kept[key] = parse_table(self.path, self.content, how, texts=texts)
        return kept[key].copy(deep=False)


def frame_rows(table: Any) -> "pd.DataFrame":  # noqa: ANN401 - of any library
    """The rows of a frame of any library, numbered from 0, under names that are texts.

    Raises:
        DataError: if it is none, or has no rows or a column twice.
    """
    given = as_pandas(table)
    require_columns(given, [])
    frame = given.reset_index(drop=True).rename(columns=str)
    require_columns(frame, list(frame.columns))
    if not len(frame):
        raise DataError("the table has no rows")
    return frame


def both_fingerprint(own: str, test: str) -> str:
    """The SHA-256 that stands for a table and its file of test rows."""
    return combined(("table", "test"), (own, test)) if own else ""


def _with_test(raw: RawTable, file: _File | None, options: TableOptions) -> RawTable:
    """The rows with those of the test file.

    Raises:
        DataError: if it lacks columns, or is the same file.
    """
    import pandas as pd

    other = _File.read(options.test, options)
    if other.digest == raw.fingerprint:
        raise DataError(f"{options.test}: the test rows are those of the table itself")
    own, test = raw.frame, other.parse()
    require_columns(test, list(own.columns), where=options.test)
    # What is text in one is text in the other: 8.500 beside 7.250,50 is 8500 there.
    in_own, in_test = ({name for name in own if is_textual(frame[name])} for frame in (own, test))
    if in_own - in_test:
        test = other.parse(tuple(sorted(in_own)))
    if in_test - in_own and file is not None:
        own = file.parse(tuple(sorted(in_test & {*own.columns})))
    both = pd.concat([own, test[list(own.columns)]], ignore_index=True)
    both.attrs = raw.frame.attrs
    return replace(raw, frame=both, fingerprint=both_fingerprint(raw.fingerprint, other.digest))
