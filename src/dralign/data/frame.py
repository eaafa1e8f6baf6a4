"""Users' own tables: which columns are used and how, and the dataset made from them."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dralign.data.columns import canonical, noted, require_columns
from dralign.data.dataset import Dataset
from dralign.data.encoding import TableEncoder
from dralign.data.grouping import doubts, table_groups, warn_of_lacking
from dralign.data.inputs import usable_columns
from dralign.data.labels import DROP_MISSING, coded_label, label_value, label_values, mistaken
from dralign.data.numerals import with_numbers
from dralign.data.raw import RawTable, read_raw
from dralign.data.rules import Rules
from dralign.data.splitting import (
    Rows,
    assemble,
    check_seed,
    kept_split,
    split_by_column,
    stratified_split,
)
from dralign.data.weighting import weighed, weights_in
from dralign.errors import DataError, DralignWarning, OptionError
from dralign.groups import require_groups
from dralign.table_options import TableOptions, edges

if TYPE_CHECKING:
    import pandas as pd


def load_table(
    table: Any,  # noqa: ANN401 - a frame of any library, too
    *,
    label: str,
    positive: str = "",
    sensitive: Sequence[str] | str,
    include_sensitive: bool = False,
    seed: int = 0,
    **options: Any,  # noqa: ANN401 - what ``TableOptions`` declares
) -> Dataset:
    """A user's own table as a dataset: 60/20/20, in equal shares of every group and label.

    Columns of numbers are scaled, booleans and text become categories, all fitted on the training
    rows; a text that fewer than 10 of them have is no category. A few texts among numbers count as
    missing. Columns that can't help are left out with a warning (``usable_columns``). Rows whose
    sensitive value is missing are in no group.

    Args:
        table: a file (CSV, TSV, text or Parquet), or a frame of pandas, polars or pyarrow.
        label: the column to predict. With more than two values and no ``positive`` each of them is
            a class.
        positive: the value that counts as 1, as it is written; not needed for 0/1 and booleans. The
            others count as 0.
        sensitive: the column(s) that make the groups.
        include_sensitive: whether they are inputs too.
        seed: of the split.
        **options: how the table is read and used, for example ``drop="id"`` or
            ``bin="age=25,60"``; docs/settings.md lists them.

    Raises:
        OptionError: if no label or no sensitive column is given, or an option or the seed is not in
            range.
        DataError: if the file, the label or a column can't be used.
        GroupError: if there are fewer than two groups, or one has no training rows.
    """
    check_seed(seed)
    how = TableOptions.of_keywords(options)
    columns = (sensitive,) if isinstance(sensitive, str) and sensitive else tuple(sensitive)
    where = str(table) if isinstance(table, str | Path) else "the table"
    check_roles(where, label, columns, how.weight)
    raw = read_raw(table, how)
    check_columns(raw, how, label=label, sensitive=columns)
    frame, rules = prepared(raw, how, label=label, sensitive=columns)
    y, shown, classes = coded_label(frame[label], positive, remedy=DROP_MISSING)
    groups = table_groups(frame, columns, min_size=how.min_group_size)
    warn_of_lacking(frame, columns)
    mistake = mistaken(frame[label]) if classes else ""
    for line in filter(None, (*doubts(frame, columns, groups), mistake)):
        warnings.warn(line, DralignWarning, stacklevel=2)
    rows = table_split(frame, raw, how, groups.codes.numpy() * (len(classes) or 2) + y, seed)
    require_groups(groups.codes[rows[0]], groups.names, where="training")
    apart = [label, *(() if include_sensitive else columns)]
    inputs = usable_columns(frame[candidates(frame, how, apart)], rows[0], where=where)
    encoder = TableEncoder.fit(frame.iloc[rows[0]], inputs, rules=rules)
    return assemble(
        encoder.encode(frame)[0],
        y,
        groups,
        rows,
        encoder=encoder,
        name=raw.name,
        preparation="standard",
        sensitive=columns,
        label=label,
        positive=shown,
        class_names=classes,
        fingerprint=raw.fingerprint,
        label_values=classes or _two(label_values(frame[label])),
        favourable=label_value(frame[label], how.favourable) if how.favourable else "",
        weights=weights_in(frame, how.weight),
        weight=how.weight,
    )


def _two(values: tuple[str, ...]) -> tuple[str, ...]:
    """The values of a label of two; of others, of which a few people may have one, none."""
    return values if len(values) == 2 else ()


def check_roles(where: str, label: str, sensitive: Sequence[str], weight: str = "") -> None:
    """Checks that there are a label and sensitive columns, and that they are different ones.

    Raises:
        OptionError: if not.
    """
    if not label:
        raise OptionError(f"{where}: which column is to be predicted? give it as label (--label)")
    if not sensitive:
        raise OptionError(
            f"{where}: which column makes the groups? give it as sensitive (--sensitive)"
        )
    if label in sensitive:
        raise OptionError(f"column {label!r} can't be both label and sensitive")
    if weight and weight in {label, *sensitive}:
        role = "label" if weight == label else "sensitive"
        raise OptionError(f"column {weight!r} can't be both weight and {role}")


def check_columns(
    raw: RawTable, how: TableOptions, *, label: str, sensitive: Sequence[str]
) -> None:
    """Checks that the table has every column that is named; if not, it is a DataError."""
    roles = [name for name in (label, *sensitive, how.split_column, how.weight) if name]
    bins = (edges(text)[0] for text in how.bin)
    named = [*roles, *how.drop, *how.keep_columns, *how.categorical, *bins]
    require_columns(raw.frame, [*dict.fromkeys(named)], where=raw.where)


def prepared(
    raw: RawTable, how: TableOptions, *, label: str, sensitive: Sequence[str]
) -> tuple["pd.DataFrame", Rules]:
    """The rows to use, with every column as what it is taken for, and the rules that made them so.

    One warning each tells of texts among numbers, and of commas that may mean two things.

    Args:
        raw: the rows as they came.
        how: the options.
        label: the column to predict; empty if there is none.
        sensitive: the columns that make the groups.

    Raises:
        DataError: if a column holds no numbers to put into bins, or no row is left.
    """
    roles = [name for name in (label, *sensitive, how.split_column) if name]
    apart = frozenset((*roles, *how.categorical, *how.drop))
    rules = Rules.learned(raw.frame, how, apart)
    frame = rules.apply(raw.frame)
    if how.drop_missing_label and label:
        frame = frame[frame[label].notna()]
        if not len(frame):
            raise DataError(f"{raw.where}: no row has a label")
    frame, notes = with_numbers(frame, apart)
    if raw.fingerprint and not how.decimal and "," in rules.marks.values():
        notes += _doubtful_points(frame, apart, rules)
    for note in notes:
        warnings.warn(note, DralignWarning, stacklevel=3)
    if how.weight:
        frame = weighed(frame, how.weight, where=raw.where)
    codes = {name: frame[name].map(canonical, na_action="ignore") for name in how.categorical}
    return frame.assign(**{name: values.astype(object) for name, values in codes.items()}), rules


def _doubtful_points(frame: "pd.DataFrame", apart: frozenset[str], rules: Rules) -> list[str]:
    """A line about numbers with a point beside columns with a decimal comma, if there are any.

    1.200 and 8.500 among them would have been read as 1.2 and 8.5.
    """
    from pandas.api.types import is_float_dtype

    told = []
    for name in (name for name in frame if name not in {*apart, *rules.marks}):
        values = frame[name].to_numpy() if is_float_dtype(frame[name].dtype) else np.zeros(0)
        parts = values[~np.isnan(values) & (values != np.round(values))]
        grouped = (np.abs(parts) > 1) & (np.abs(1000 * parts - np.round(1000 * parts)) < 1e-6)
        if len(parts) and grouped.all() and np.nanmax(np.abs(values)) < 1000:
            told.append(f"{name!r} (for example {parts[0]:g})")
    if not told:
        return []
    line = f"numbers with a point beside numbers with a decimal comma: {noted(told)}; to say what"
    return [f"{line} the point is: --decimal , or --decimal ."]


def candidates(frame: "pd.DataFrame", how: TableOptions, apart: Sequence[str]) -> list[str]:
    """The columns that may be inputs, as far as the options say."""
    chosen = how.keep_columns or [str(name) for name in frame.columns]
    not_inputs = {*apart, *how.drop, how.split_column, how.weight}
    return [name for name in chosen if name not in not_inputs]


def table_split(
    frame: "pd.DataFrame", raw: RawTable, how: TableOptions, strata: np.ndarray, seed: int
) -> tuple[Rows, Rows, Rows]:
    """Row numbers of training, validation and test.

    Args:
        frame: the rows to use, under their numbers in the raw table.
        raw: the raw table.
        how: the options.
        strata: (n,) the cell of each row.
        seed: of the permutations.

    Raises:
        DataError: if a part is empty.
    """
    if how.split_column:
        rows = split_by_column(frame[how.split_column], strata, seed)
    elif how.test:
        rows = kept_split(strata, frame.index.to_numpy() >= raw.n_own, seed)
    else:
        rows = stratified_split(strata, seed)
    if not all(map(len, rows)):
        raise DataError(f"{raw.where}: {len(frame)} rows are too few for three parts")
    return rows
