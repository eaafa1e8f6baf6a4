"""Which columns of a user's table can be inputs, and what to tell about the others."""

import re
import warnings
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from dralign.data.columns import noted, of_numbers, text_counts
from dralign.data.encoding import MIN_CATEGORY_ROWS, NumericColumn, Unseen
from dralign.data.reading import UNNAMED
from dralign.errors import DataError, DralignWarning

if TYPE_CHECKING:
    import pandas as pd

MOST_VALUES = 1_000
FEW_ROWS = 100  # below this, all different and close together can be chance
# Of numbers drawn at random from as wide a range, this many pairs would be equal.
EXPECTED_PAIRS = 5
NEITHER = {"bytes", "mixed", "complex"}  # as pandas calls what is neither numbers nor text
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}.*)?")


def usable_columns(
    frame: "pd.DataFrame", training: np.ndarray | None = None, *, where: str = "the table"
) -> list[str]:
    """The columns that can be inputs; one warning names the others.

    Left out are columns with one value, dates, lists and bytes, row numbers and other keys (whole
    numbers, all different, where chance would have made some equal), columns without a name, and
    text that tells people apart: where most rows have a value that fewer than 10 rows share, or
    with more than 1,000 different ones.

    Args:
        frame: all rows.
        training: (m,) the numbers of the rows by which columns are judged; all if not given.
        where: what the table is, for messages.

    Raises:
        DataError: if no column is left.
    """
    reasons = why_not(frame, training)
    if left_out := [f"{name!r} ({reason})" for name, reason in reasons.items() if reason]:
        warnings.warn(
            f"columns left out of the inputs: {noted(left_out)}", DralignWarning, stacklevel=3
        )
    usable = [name for name, reason in reasons.items() if not reason]
    if not usable:
        raise DataError(f"{where}: no column is left to predict from")
    return usable


def why_not(frame: "pd.DataFrame", training: np.ndarray | None = None) -> dict[str, str]:
    """For each column why it can't be an input; empty if it can.

    Args:
        frame: all rows.
        training: (m,) the numbers of the rows by which columns are judged; all if not given.
    """
    judged = frame if training is None else frame.iloc[training]
    return {str(name): _why_not(values) for name, values in judged.items()}


def not_scaled(frame: "pd.DataFrame", training: np.ndarray | None = None) -> list[str]:
    """A line for each column of numbers that training refuses: infinite, or too large to scale.

    Args:
        frame: all rows.
        training: (m,) the numbers of the rows that give the scale; all if not given.
    """
    lines = []
    for name in frame:
        values = frame[name]
        if not of_numbers(values):
            continue
        try:
            column = NumericColumn.fit(values if training is None else values.iloc[training])
            column.encode(values, Unseen())
        except DataError as error:
            lines.append(str(error))
    return lines


def _why_not(values: "pd.Series[Any]") -> str:
    """Why a column can't be an input; empty if it can."""
    from pandas.api.types import infer_dtype, is_numeric_dtype

    if str(values.name).startswith(UNNAMED):
        return "no name"
    if is_numeric_dtype(values.dtype) and values.dtype.kind != "c":
        return _why_not_numbers(values)
    kind = infer_dtype(values, skipna=True)
    if kind.startswith(("date", "time", "period", "interval")):
        return "dates"
    try:
        rows = Counter[str]() if kind in NEITHER else text_counts(values)
    except DataError:  # lists and the like
        kind = "mixed"
    if kind in NEITHER:
        return "neither numbers nor text"
    if len(rows) + (rows.total() < len(values)) < 2:
        return "one value"
    return _why_not_text(rows)


def _why_not_numbers(values: "pd.Series[Any]") -> str:
    """Why a column of numbers can't be an input; empty if it can."""
    # The common case is many times as fast without pandas.
    plain = isinstance(values.dtype, np.dtype)
    known = values.to_numpy() if plain else values.dropna().to_numpy(dtype=np.float64)
    if known.dtype.kind == "f":
        known = known[~np.isnan(known)]
    n = len(known)
    if not n or (n == len(values) and known.min() == known.max()):
        return "one value"
    if n < FEW_ROWS or (known.dtype.kind == "f" and not np.equal(np.round(known), known).all()):
        return ""
    if len(np.unique(known)) < n or not np.isfinite(known).all():
        return ""
    spread = int(known.max()) - int(known.min()) + 1
    if spread <= 2 * n:
        return "row numbers"
    return "keys, all different" if n * (n - 1) > 2 * EXPECTED_PAIRS * spread else ""


def _why_not_text(rows: Counter[str]) -> str:
    """Why a column of text can't be an input; empty if it can.

    Args:
        rows: how many rows have each of its values.
    """
    if all(_DATE.fullmatch(text) for text in rows):
        return "dates"
    if set(rows) <= {"True", "False"}:
        return ""
    known, shared = rows.total(), sum(n for n in rows.values() if n >= MIN_CATEGORY_ROWS)
    if len(rows) > MOST_VALUES or 2 * len(rows) > known:
        return f"{len(rows)} different texts"
    if 2 * shared <= known:
        return f"{len(rows)} different texts, few in {MIN_CATEGORY_ROWS} rows or more"
    return ""
