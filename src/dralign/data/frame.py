"""Users' own tables: reading CSV and Parquet, typing columns, and the dataset made from them."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dralign.data.dataset import Dataset
from dralign.data.encoding import TableEncoder, require_columns, to_text
from dralign.data.splitting import assemble, stratified_split
from dralign.errors import DataError, DralignWarning, OptionError
from dralign.groups import encode_groups, require_groups

if TYPE_CHECKING:
    import pandas as pd

CSV, PARQUET = (".csv", ".csv.gz", ".tsv", ".tsv.gz"), (".parquet", ".pq")
MISSING_TOKENS = ["", "?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "<NA>"]
MANY_VALUES = 100


def read_table(path: str | Path) -> "pd.DataFrame":
    """A table from a CSV, TSV (gzip too) or Parquet file, told apart by the file's ending.

    Text is UTF-8, with or without a byte order mark. Empty fields and the usual words for a missing
    value (``?``, ``NA``, ``NaN``, ``null``, ``None``, ...) are missing.

    Raises:
        DataError: if the file is missing, empty, not of its kind, not UTF-8, has lines of unequal
            length, repeated column names, or no rows.
    """
    path = Path(path)
    ending = path.name.lower()
    if path.is_dir():
        raise DataError(f"{path}: is a folder; expected a CSV or Parquet file")
    if not path.exists():
        raise DataError(f"{path}: no such file")
    if ending.endswith(PARQUET):
        frame = _read_parquet(path)
    elif ending.endswith(CSV):
        frame = _read_csv(path, "\t" if ".tsv" in ending[-7:] else ",")
    else:
        raise DataError(f"{path}: expected a name ending in {', '.join((*CSV, *PARQUET))}")
    frame.columns = [str(name).strip() for name in frame.columns]
    repeated = frame.columns[frame.columns.duplicated()]
    if len(repeated):
        raise DataError(f"{path}: the column name {repeated[0]!r} occurs twice")
    if not len(frame):
        raise DataError(f"{path}: has a header but no rows")
    return frame


def load_table(
    path: str | Path,
    *,
    label: str,
    positive: str = "",
    sensitive: Sequence[str],
    include_sensitive: bool = False,
    seed: int = 0,
) -> Dataset:
    """A user's own table as a dataset: 60/20/20, in equal shares of every group and label.

    Columns of numbers are scaled, booleans and text become categories, all fitted on the training
    rows. Constant columns, dates, and text with a value of its own in most rows (names, keys) are
    left out with a warning. Rows whose sensitive value is missing keep no group.

    Args:
        path: the file.
        label: the column to predict; it has two values.
        positive: the value that counts as 1, as it is written; not needed for 0/1 and booleans.
        sensitive: the column(s) that make the groups.
        include_sensitive: whether they are inputs too.
        seed: of the split.

    Raises:
        OptionError: if no label or no sensitive column is given.
        DataError: if the file, the label or a column can't be used.
        GroupError: if there are fewer than two groups, or one has no training rows.
    """
    if not label:
        raise OptionError(f"{path}: which column is to be predicted? give it with --label")
    if not sensitive:
        raise OptionError(f"{path}: which column makes the groups? give it with --sensitive")
    frame = read_table(path)
    require_columns(frame, [label, *sensitive])
    if label in sensitive:
        raise DataError(f"column {label!r} can't be both label and sensitive")
    y, shown = binary_label(frame[label], positive)
    groups = encode_groups(frame[list(sensitive)])
    group = groups.codes.numpy()
    unknown_group = int((group < 0).sum())
    if unknown_group:
        warnings.warn(
            f"{unknown_group} of {len(frame)} rows have no value of {' or '.join(sensitive)}: they "
            "are in no group, and only methods that draw from all rows train on them",
            DralignWarning,
            stacklevel=2,
        )
    rows = stratified_split(group * 2 + y, seed)
    inputs = [
        name
        for name in usable_columns(frame.iloc[rows[0]])
        if name != label and (include_sensitive or name not in sensitive)
    ]
    if not inputs:
        raise DataError(f"{path}: no column is left to predict from")
    encoder = TableEncoder.fit(frame.iloc[rows[0]], inputs)
    dataset = assemble(
        encoder.transform(frame),
        y,
        groups,
        rows,
        encoder=encoder,
        name=Path(path).name,
        preparation="standard",
        sensitive=tuple(sensitive),
        label=label,
        positive=shown,
    )
    require_groups(dataset.train.group, dataset.group_names, where="training")
    return dataset


def binary_label(values: "pd.Series[Any]", positive: str) -> tuple[np.ndarray, str]:
    """The label as 0 and 1, and how 1 is written.

    Raises:
        DataError: if values are missing, there are not two of them, or it is not clear which is 1.
    """
    name = values.name
    if values.isna().any():
        raise DataError(
            f"label {name!r}: {int(values.isna().sum())} of {len(values)} rows have no value; "
            "remove these rows first"
        )
    text = to_text(values)
    found = sorted(set(text))
    if len(found) != 2:
        some = ", ".join(map(repr, found[:5])) + (", ..." if len(found) > 5 else "")
        raise DataError(f"label {name!r}: expected two values, got {len(found)}: {some}")
    if not positive:
        if found not in (["0", "1"], ["False", "True"]):
            raise DataError(
                f"label {name!r}: which of {found[0]!r} and {found[1]!r} counts as positive? "
                "give it with --positive"
            )
        positive = found[1]
    if positive not in found:
        raise DataError(
            f"label {name!r}: no value {positive!r}; it has {found[0]!r} and {found[1]!r}"
        )
    return (text == positive).to_numpy(), positive


def usable_columns(frame: "pd.DataFrame") -> list[str]:
    """The columns that can be inputs, by the training rows; the others are named in one warning."""
    from pandas.api.types import is_datetime64_any_dtype, is_numeric_dtype

    left_out = []
    for name in frame.columns:
        values = frame[name]
        distinct = values.nunique(dropna=True)
        if distinct + bool(values.isna().any()) < 2:
            left_out.append(f"{name} (constant)")
        elif is_datetime64_any_dtype(values):
            left_out.append(f"{name} (dates)")
        elif not is_numeric_dtype(values) and distinct > max(MANY_VALUES, len(values) / 2):
            left_out.append(f"{name} ({distinct} different texts)")
    if left_out:
        warnings.warn(
            f"columns left out of the inputs: {', '.join(left_out)}", DralignWarning, stacklevel=3
        )
    skipped = {entry.rsplit(" (", 1)[0] for entry in left_out}
    return [name for name in frame.columns if name not in skipped]


def _read_parquet(path: Path) -> "pd.DataFrame":
    """A Parquet file.

    Raises:
        DataError: if it is none.
    """
    import pandas as pd

    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        raise DataError(f"{path}: not a Parquet file ({reason})") from error


def _read_csv(path: Path, separator: str) -> "pd.DataFrame":
    """A text table.

    Raises:
        DataError: if it is none.
    """
    import pandas as pd

    try:
        frame = pd.read_csv(
            path,
            sep=separator,
            encoding="utf-8-sig",
            skipinitialspace=True,
            na_values=MISSING_TOKENS,
            keep_default_na=False,
            index_col=False,
            low_memory=False,
        )
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: byte {error.start} is not UTF-8; save the table as UTF-8 (Latin-1 and UTF-16 "
            "are not read)"
        ) from error
    except pd.errors.EmptyDataError as error:
        raise DataError(f"{path}: the file is empty") from error
    except (pd.errors.ParserError, ValueError, OSError, EOFError) as error:
        reason = " ".join(str(error).split())[:120]
        raise DataError(f"{path}: not a table of text ({reason})") from error
    if any("\x00" in str(name) for name in frame.columns):
        raise DataError(f"{path}: a binary file; expected text")
    return frame
