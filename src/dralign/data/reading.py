"""Reading a table from a CSV or Parquet file, with one clear line about what is wrong with it."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dralign.data.limits import check_names, check_room, unpacked, within_memory
from dralign.data.parquet import one_line, parse_parquet
from dralign.errors import DataError
from dralign.files import is_folder, open_regular

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = {".csv": ",", ".csv.gz": ",", ".tsv": "\t", ".tsv.gz": "\t"}
PARQUET = ".parquet"
MISSING_WORDS = ("", "?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "<NA>", "#N/A")
UNNAMED = "Unnamed: "
FILE_COLUMNS = ("file", "filename", "file_name", "image", "image_id", "path")


def read_table(path: str | Path, *, of_images: bool = False) -> "pd.DataFrame":
    """A table from a CSV, TSV (gzip too) or Parquet file, told apart by the file's ending.

    A CSV has a line of column names and is UTF-8, with or without a byte order mark. Blanks around
    a value do not count. Empty fields and the usual words for a missing value (``?``, ``NA``,
    ``NaN``, ``null``, ``None``, ...) are missing. A column is of numbers or booleans if all its
    values are; else it is text.

    Args:
        path: the file.
        of_images: whether one column names files (``file_column``), which is then read as text:
            001 is not 1.

    Raises:
        DataError: if the file is missing, empty, not of its kind, not UTF-8, too large, has lines
            of unequal length, too many or repeated columns, or no rows.
    """
    return parse_table(path, table_bytes(path), of_images=of_images)


def table_bytes(path: str | Path) -> bytes:
    """The content of the file of a table.

    Raises:
        DataError: if it is missing, empty, too large, not a regular file, or its name has another
            ending.
    """
    path = Path(path)
    if not is_folder(path):
        _ending(path)
    try:
        with within_memory(path), open_regular(path) as file:
            check_room(path, file.seek(0, io.SEEK_END))
            file.seek(0)
            content = file.read()
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except (OSError, ValueError) as error:
        if is_folder(path):
            raise DataError(f"{path}: is a folder; expected a CSV or Parquet file") from error
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{str(path)[:200]!r}: {reason}") from error
    if not content:
        raise DataError(f"{path}: the file is empty")
    return content


def parse_table(path: str | Path, content: bytes, *, of_images: bool = False) -> "pd.DataFrame":
    """The table of ``read_table`` from the content of its file, of which ``path`` is the name.

    Raises:
        DataError: if it can't be read.
    """
    path = Path(path)
    ending = _ending(path)
    with within_memory(path):
        if ending == PARQUET:
            frame = parse_parquet(path, content)
        else:
            text = unpacked(path, content) if ending.endswith(".gz") else content
            frame = _parse_text(path, text, SEPARATORS[ending], of_images=of_images)
    if not len(frame):
        raise DataError(f"{path}: has a header but no rows")
    return frame


def file_column(names: Sequence[str]) -> str:
    """The column of a table that holds file names: one called so, or else the first."""
    return next((name for name in names if str(name).lower() in FILE_COLUMNS), names[0])


def _ending(path: Path) -> str:
    """The ending that tells what kind of file it is.

    Raises:
        DataError: if it is none of the known ones.
    """
    known = (*SEPARATORS, PARQUET)
    for ending in known:
        if path.name.lower().endswith(ending):
            return ending
    raise DataError(f"{path}: expected a file name that ends in one of {', '.join(known)}")


def _parse_text(path: Path, content: bytes, separator: str, *, of_images: bool) -> "pd.DataFrame":
    """The table of a CSV file.

    Raises:
        DataError: if it is none.
    """
    import pandas as pd

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
    names, n_rows = _check_lines(path, text, separator)
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
            dtype={file_column(names): str} if of_images else None,
        )
    except (ValueError, OverflowError) as error:  # pandas' parser errors are ValueErrors
        raise DataError(f"{path}: not a table of text ({one_line(error)})") from error
    if len(frame) != n_rows and len(names) > 1:  # of one column a quoted blank is a missing value
        raise DataError(
            f"{path}: {n_rows} lines of fields are {len(frame)} rows; remove lines of quotes or "
            "unusual blanks alone"
        )
    for name, kind in frame.dtypes.items():
        if pd.api.types.is_string_dtype(kind) and pd.api.types.is_string_dtype(frame[name]):
            stripped = frame[name].str.strip()
            frame[name] = stripped.mask(stripped.isin(MISSING_WORDS))
    return frame


def _check_lines(path: Path, text: str, separator: str) -> tuple[list[str], int]:
    """The column names and the number of rows, after a check that every line has as many fields.

    pandas would fill short lines with missing values and drop what is too much of long ones.

    Raises:
        DataError: if a line has more or fewer fields, or the names can't be used.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    names: list[str] = []
    n_rows = 0
    try:
        for row in reader:
            if not row or (len(row) == 1 and not row[0].strip()):
                continue  # a blank line
            if not names:
                names = _header(path, row, separator)
            elif len(row) != len(names):
                raise DataError(
                    f"{path}: line {reader.line_num} has {len(row)} fields, "
                    f"the header has {len(names)}"
                )
            else:
                n_rows += 1
    except csv.Error as error:
        raise DataError(f"{path}: line {reader.line_num}: {error}; an open quote?") from error
    if not names:
        raise DataError(f"{path}: the file is empty")
    return names, n_rows


def _header(path: Path, row: Sequence[str], separator: str) -> list[str]:
    """The column names of the first line.

    Raises:
        DataError: if another mark stands between them, or they can't be used.
    """
    names = [name.strip() or f"{UNNAMED}{place}" for place, name in enumerate(row)]
    if len(names) == 1 and any(mark in names[0] for mark in ";\t|"):
        raise DataError(
            f"{path}: expected {separator!r} between the columns; the header is one field, "
            f"{names[0][:80]!r}"
        )
    check_names(path, names)
    return names
