"""Reading a table from a CSV or Parquet file, with one clear line about what is wrong with it."""

import codecs
import csv
import io
import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dralign.data.columns import require_columns
from dralign.data.limits import check_names, check_room, unpacked, within_memory
from dralign.data.numerals import rewritten
from dralign.data.parquet import one_line, parse_parquet
from dralign.errors import DataError
from dralign.files import is_folder, open_regular
from dralign.table_options import TableOptions

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = {
    ".csv": ",",
    ".csv.gz": ",",
    ".tsv": "\t",
    ".tsv.gz": "\t",
    ".txt": "\t",
    ".txt.gz": "\t",
}
MARKS = (",", ";", "\t", "|")  # what is tried where the ending's own mark does not fit
LOOKED_AT = 100  # lines by which the mark is recognised
PARQUET = ".parquet"
MISSING_WORDS = ("", "?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "<NA>", "#N/A")
UNNAMED = "Unnamed: "
_KEY: Final = re.compile("0[0-9]+")
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
FILE_COLUMNS = ("file", "filename", "file_name", "image", "image_id", "path")


def read_table(
    path: str | Path,
    *,
    sep: str = "",
    decimal: str = "",
    encoding: str = "",
    of_images: bool = False,
    texts: Sequence[str] = (),
) -> "pd.DataFrame":
    """A table from a text (CSV, TSV, TXT, gzip too) or Parquet file, told apart by its ending.

    A text has a line of column names. Blanks around a value do not count. Empty fields and the
    usual words for a missing value (``?``, ``NA``, ``NaN``, ``null``, ``None``, ...) are missing. A
    column is of numbers or booleans if all its values are; else it is text.

    Args:
        path: the file.
        sep: the mark between columns. If not given, it is that of the ending (a comma, of .tsv and
            .txt a tab) where every line has as many of them, and else the only one of comma,
            semicolon, tab and bar that does.
        decimal: the decimal mark of numbers; if not given, numbers with a comma stay text.
        encoding: of the text; UTF-8 if not given, with or without a byte order mark.
        of_images: whether one column names files (``file_column``), which is then read as text:
            001 is not 1.
        texts: columns of a text file that stay text, whatever they look like.

    Raises:
        DataError: if the file is missing, empty, not of its kind, in another encoding, too large,
            has lines of unequal length, too many or repeated columns, or no rows.
        OptionError: if there is no such mark or encoding.
    """
    options = TableOptions(sep=sep, decimal=decimal, encoding=encoding)
    return parse_table(path, table_bytes(path), options, of_images=of_images, texts=texts)


def read_as_written(
    path: str | Path, names: Sequence[str], *, sep: str = "", encoding: str = ""
) -> "pd.DataFrame":
    """Columns of a table as they stand in the file: of a text file every field is a text.

    Args:
        path: the file.
        names: the columns.
        sep: as ``read_table`` takes it.
        encoding: as ``read_table`` takes it.

    Raises:
        DataError: as ``read_table`` does, or if a column is missing.
    """
    import pandas as pd

    options = TableOptions(sep=sep, encoding=encoding)
    content = table_bytes(path)
    if _ending(Path(path)) == PARQUET:
        frame = parse_table(path, content, options)
        require_columns(frame, names, where=str(path))
        return frame[list(names)]
    text, mark = _text_of(Path(path), content, options)
    known, _ = _check_lines(Path(path), text, mark)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=mark, skipinitialspace=True)
    whole = (row for row in rows if row and (len(row) > 1 or row[0].strip()))
    frame = pd.DataFrame(list(itertools.islice(whole, 1, None)), columns=known, dtype=str)
    require_columns(frame, names, where=str(path))
    return frame[list(names)]


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


def parse_table(
    path: str | Path,
    content: bytes,
    options: TableOptions | None = None,
    *,
    of_images: bool = False,
    texts: Sequence[str] = (),
) -> "pd.DataFrame":
    """The table of ``read_table`` from the content of its file, of which ``path`` is the name.

    Its ``attrs["separator"]`` is the mark, if it was recognised and is not that of the ending;
    ``attrs["decimal"]`` is the decimal mark by which its numbers were rewritten.

    Args:
        path: the name.
        content: of the file.
        options: how it is read.
        of_images: as ``read_table`` takes it.
        texts: columns that are text, whatever they look like.

    Raises:
        DataError: if it can't be read.
    """
    path, options = Path(path), options or TableOptions()
    ending = _ending(path)
    with within_memory(path):
        if ending == PARQUET:
            frame = parse_parquet(path, content)
        else:
            text, mark = _text_of(path, content, options)
            frame = _parse_text(path, text, mark, options.decimal, of_images, texts)
            if options.decimal:
                frame.attrs["decimal"] = options.decimal
            if mark not in {SEPARATORS[ending], options.sep}:
                frame.attrs["separator"] = mark
    if not len(frame):
        raise DataError(f"{path}: has a header but no rows")
    return frame


def _text_of(path: Path, content: bytes, options: TableOptions) -> tuple[str, str]:
    """The text of a file, and the mark between its columns.

    Raises:
        DataError: if it is in another encoding, or can't be unpacked.
    """
    ending = _ending(path)
    packed = ending.endswith(".gz")
    text = _decoded(path, unpacked(path, content) if packed else content, options.encoding)
    return text, options.sep or _separator(text, SEPARATORS[ending])


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


def _decoded(path: Path, content: bytes, encoding: str) -> str:
    """The text of a file.

    Raises:
        DataError: if it is in another encoding.
    """
    if not encoding and (zero := content.find(b"\x00")) >= 0:
        wide = "; give the encoding with --encoding utf-16" if content[:2] in _WIDE else ""
        raise DataError(f"{path}: a binary file (byte {zero} is 0); expected text in UTF-8{wide}")
    try:
        return content.decode(encoding or "utf-8-sig").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        where = f"{path}: byte {error.start} ({content[error.start]:#04x}) is not"
        if encoding:
            raise DataError(f"{where} {encoding}; give another --encoding") from error
        raise DataError(
            f"{where} UTF-8; give the encoding, for example --encoding latin-1, or save the table "
            "as UTF-8"
        ) from error


def _separator(text: str, usual: str) -> str:
    """The mark between the columns of a text: the usual one, or the only other that fits."""
    lines = list(itertools.islice(io.StringIO(text, newline=""), LOOKED_AT))
    if _fits(lines, usual):
        return usual
    others = [mark for mark in MARKS if mark != usual and _fits(lines, mark)]
    return others[0] if len(others) == 1 else usual


def _fits(lines: Sequence[str], mark: str) -> bool:
    """Whether every line has as many fields as the first, and there are two or more."""
    reader = csv.reader(lines, delimiter=mark, skipinitialspace=True)
    try:
        counts = [len(row) for row in reader if row and any(map(str.strip, row))]
    except csv.Error:
        return False
    if len(lines) == LOOKED_AT and len(counts) > 1:
        counts.pop()  # it may end within quotes
    return len(counts) > 0 and counts[0] > 1 and len(set(counts)) == 1


def _parse_text(
    path: Path, text: str, separator: str, decimal: str, of_images: bool, texts: Sequence[str]
) -> "pd.DataFrame":
    """The table of a CSV file.

    Raises:
        DataError: if it is none.
    """
    import pandas as pd

    if "\x00" in text:
        raise DataError(f"{path}: a binary file (character {text.index(chr(0))} is 0)")
    names, n_rows = _check_lines(path, text, separator)
    textual = {*texts, *_keys(text, separator, names)}
    textual |= {file_column(names)} if of_images else set()
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
            dtype=str if decimal == "," else {name: str for name in names if name in textual},
            **_exact(),
        )
    except (ValueError, OverflowError) as error:  # pandas' parser errors are ValueErrors
        raise DataError(f"{path}: not a table of text ({one_line(error)})") from error
    if len(frame) != n_rows and len(names) > 1:  # of one column a quoted blank is a missing value
        raise DataError(
            f"{path}: {n_rows} lines of fields are {len(frame)} rows; remove lines of quotes or "
            "unusual blanks alone"
        )
    for name in names:  # before pandas 3 texts are objects, and so are booleans with missing ones
        if pd.api.types.infer_dtype(frame[name], skipna=True) in {"string", "empty"}:
            stripped = frame[name].str.strip()
            stripped = stripped.mask(stripped.isin(MISSING_WORDS))
            files = of_images and name == file_column(names)
            frame[name] = rewritten(stripped, decimal) if decimal and not files else stripped
    return frame


def _exact() -> dict[str, Any]:
    """How pandas reads numbers to the last digit, as since 3.1 it does by itself.

    Before, half of all numbers of 17 digits were others, by up to 1e-12 of their size.
    """
    import pandas as pd

    version = tuple(map(int, pd.__version__.split(".")[:2]))
    return {} if version >= (3, 1) else {"float_precision": "round_trip"}


def _keys(text: str, separator: str, names: Sequence[str]) -> set[str]:
    """The columns with digits that begin with a zero: of numbers, pandas would drop it."""
    if not re.search(f'(?:^|["{re.escape(separator)} ])0[0-9]', text, re.MULTILINE):
        return set()  # by far the fastest where there are none
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    return {
        name
        for row in rows
        for name, field in zip(names, row, strict=False)
        if _KEY.fullmatch(field.strip()) and field.strip() != name  # as it is in the header
    }


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
    names = [name.strip() or f"{UNNAMED}{index}" for index, name in enumerate(row)]
    if len(names) == 1 and any(mark in names[0] for mark in MARKS):
        raise DataError(
            f"{path}: expected {separator!r} between the columns; the header is one field, "
            f"{names[0][:80]!r}; give the mark with --sep"
        )
    check_names(path, names)
    return names
