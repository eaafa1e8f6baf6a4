"""Reading a table from a CSV or Parquet file, with one clear line about what is wrong with it."""

import csv
import gzip
import io
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dralign.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = {".csv": ",", ".csv.gz": ",", ".tsv": "\t", ".tsv.gz": "\t"}
PARQUET = ".parquet"
MISSING_WORDS = ("", "?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "<NA>", "#N/A")
UNNAMED = "Unnamed: "


def read_table(path: str | Path) -> "pd.DataFrame":
    """A table from a CSV, TSV (gzip too) or Parquet file, told apart by the file's ending.

    A CSV has a line of column names and is UTF-8, with or without a byte order mark. Blanks around
    a value do not count. Empty fields and the usual words for a missing value (``?``, ``NA``,
    ``NaN``, ``null``, ``None``, ...) are missing. A column is of numbers or booleans if all its
    values are; else it is text.

    Raises:
        DataError: if the file is missing, empty, not of its kind, not UTF-8, has lines of unequal
            length, repeated column names, or no rows.
    """
    path = Path(path)
    ending = next((end for end in (*SEPARATORS, PARQUET) if path.name.lower().endswith(end)), "")
    if not ending and not _is_folder(path):
        known = ", ".join((*SEPARATORS, PARQUET))
        raise DataError(f"{path}: expected a file name that ends in one of {known}")
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except IsADirectoryError as error:
        raise DataError(f"{path}: is a folder; expected a CSV or Parquet file") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{str(path)[:200]!r}: {reason}") from error
    if not content:
        raise DataError(f"{path}: the file is empty")
    if ending == PARQUET:
        frame = _parse_parquet(path, content)
    else:
        frame = _parse_text(path, content, SEPARATORS[ending], packed=ending.endswith(".gz"))
    if not len(frame):
        raise DataError(f"{path}: has a header but no rows")
    return frame


def _parse_text(path: Path, content: bytes, separator: str, *, packed: bool) -> "pd.DataFrame":
    """The table of a CSV file.

    Raises:
        DataError: if it is none.
    """
    import pandas as pd

    if packed:
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{path}: not a whole gzip file ({error})") from error
    zero = content.find(b"\x00")
    if zero >= 0:
        raise DataError(f"{path}: a binary file (byte {zero} is 0); expected text in UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: byte {error.start} ({content[error.start]:#04x}) is not UTF-8; "
            "save the table as UTF-8, other encodings such as Latin-1 are not read"
        ) from error
    names = _check_lines(path, text, separator)
    try:
        frame = pd.read_csv(
            io.StringIO(text),
            sep=separator,
            header=0,
            names=names,
            index_col=False,
            skipinitialspace=True,
            na_values=list(MISSING_WORDS),
            keep_default_na=False,
            low_memory=False,
        )
    except (ValueError, OverflowError) as error:  # pandas' parser errors are ValueErrors
        raise DataError(f"{path}: not a table of text ({_one_line(error)})") from error
    for name in frame.columns:
        if pd.api.types.is_string_dtype(frame[name]):
            stripped = frame[name].str.strip()
            frame[name] = stripped.mask(stripped.isin(MISSING_WORDS))
    return frame


def _is_folder(path: Path) -> bool:
    """Whether the path is a folder; a path that the system refuses is none."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _check_lines(path: Path, text: str, separator: str) -> list[str]:
    """The column names, after a check that every line has as many fields.

    pandas would fill short lines with missing values and drop what is too much of long ones.

    Raises:
        DataError: if a line has more or fewer fields, or names are repeated.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    names: list[str] = []
    try:
        for row in reader:
            if not row or (len(row) == 1 and not row[0].strip()):
                continue  # a blank line
            if not names:
                names = [name.strip() or f"{UNNAMED}{place}" for place, name in enumerate(row)]
            elif len(row) != len(names):
                raise DataError(
                    f"{path}: line {reader.line_num} has {len(row)} fields, "
                    f"the header has {len(names)}"
                )
    except csv.Error as error:
        raise DataError(f"{path}: line {reader.line_num}: {error}; an open quote?") from error
    if not names:
        raise DataError(f"{path}: the file is empty")
    if len(names) == 1 and any(mark in names[0] for mark in ";\t|"):
        raise DataError(
            f"{path}: expected {separator!r} between the columns; the header is one field, "
            f"{names[0][:80]!r}"
        )
    _check_names(path, names)
    return names


def _parse_parquet(path: Path, content: bytes) -> "pd.DataFrame":
    """The table of a Parquet file; a stored row index is dropped.

    Raises:
        DataError: if it is none.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        _check_names(path, file.schema_arrow.names)
        frame = file.read().to_pandas().reset_index(drop=True)
    except DataError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path}: not a Parquet file ({_one_line(error)})") from error
    for name in frame.columns:
        if pd.api.types.infer_dtype(frame[name], skipna=True) == "decimal":
            frame[name] = pd.to_numeric(frame[name])
    return frame


def _check_names(path: Path, names: list[str]) -> None:
    """Checks that no name is used for two columns.

    Raises:
        DataError: if one is.
    """
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{path}: two columns are named {twice!r}")


def _one_line(error: Any) -> str:  # noqa: ANN401
    """The start of an error's text, in one line."""
    return " ".join(str(error).split())[:120]
