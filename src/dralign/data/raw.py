"""The rows of a table as they came: from a file, from two, or from a DataFrame."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dralign.data.columns import require_columns
from dralign.data.content import combined
from dralign.data.reading import parse_table, table_bytes
from dralign.errors import DataError
from dralign.table_options import TableOptions

if TYPE_CHECKING:
    import pandas as pd

IN_MEMORY: Final = "table"  # what a DataFrame is called


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


def read_raw(table: "str | Path | pd.DataFrame", options: TableOptions) -> RawTable:
    """The rows of a file or a DataFrame, and those of the test file after them.

    Raises:
        DataError: if a file can't be read, the frame has no rows or a column twice, or the two have
            other columns.
    """
    if isinstance(table, str | Path):
        content = table_bytes(table)
        frame = parse_table(table, content, options)
        where, fingerprint = str(table), hashlib.sha256(content).hexdigest()
        name = Path(table).name
    else:
        require_columns(table, [])
        require_columns(table, list(table.columns))
        if not len(table):
            raise DataError("the table has no rows")
        frame = table.reset_index(drop=True).rename(columns=str)
        where, fingerprint, name = "the table", "", IN_MEMORY
    raw = RawTable(frame, name, where, fingerprint, len(frame), frame.attrs.get("separator", ""))
    return _with_test(raw, options) if options.test else raw


def both_fingerprint(own: str, test: str) -> str:
    """The SHA-256 that stands for a table and its file of test rows."""
    return combined(("table", "test"), (own, test)) if own else ""


def _with_test(raw: RawTable, options: TableOptions) -> RawTable:
    """The rows with those of the test file.

    Raises:
        DataError: if it lacks columns, or is the same file.
    """
    import pandas as pd

    content = table_bytes(options.test)
    digest = hashlib.sha256(content).hexdigest()
    if digest == raw.fingerprint:
        raise DataError(f"{options.test}: the test rows are those of the table itself")
    frame = parse_table(options.test, content, options)
    require_columns(frame, list(raw.frame.columns), where=options.test)
    both = pd.concat([raw.frame, frame[list(raw.frame.columns)]], ignore_index=True)
    return replace(raw, frame=both, fingerprint=both_fingerprint(raw.fingerprint, digest))
