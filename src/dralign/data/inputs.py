"""Which columns of a user's table can be inputs, and what to tell about the others."""

import re
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from dralign.data.columns import as_number, noted
from dralign.data.encoding import MIN_CATEGORY_ROWS
from dralign.data.reading import UNNAMED
from dralign.errors import DataError, DralignWarning

if TYPE_CHECKING:
    import pandas as pd

MOST_VALUES = 1_000
FEW_ROWS = 100  # below this, all different and close together can be chance
FEW_NUMBERS = 10  # codes of a few categories may well be numbers, and one of them a text
NEARLY_ALL = 0.9
# Of numbers drawn at random from as wide a range, this many pairs would be equal.
EXPECTED_PAIRS = 5
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}.*)?")


def usable_columns(
    frame: "pd.DataFrame", training: np.ndarray | None = None, *, where: str = "the table"
) -> list[str]:
    """The columns that can be inputs; one warning names the others.

    Left out are columns with one value, dates, lists and bytes, row numbers and other keys (whole
    numbers, all different, where chance would have made some equal), columns without a name, and
    text that tells people apart: where most rows have a value that fewer than 10 rows share, or
    with more than 1,000 different ones. Another warning names columns that would be numbers if it
    were not for a few values.

    Args:
        frame: all rows.
        training: (m,) the numbers of the rows by which columns are judged; all if not given.
        where: what the table is, for messages.

    Raises:
        DataError: if no column is left.
    """
    judged = frame if training is None else frame.iloc[training]
    strays = {name: _strays(values) for name, values in frame.items()}
    reasons = {name: _why_not(values) for name, values in judged.items()}
    left_out = [
        f"{name!r} ({strays[name] or reason})" for name, reason in reasons.items() if reason
    ]
    if left_out:
        warnings.warn(
            f"columns left out of the inputs: {noted(left_out)}", DralignWarning, stacklevel=3
        )
    usable = [name for name, reason in reasons.items() if not reason]
    if as_text := [f"{name!r} ({strays[name]})" for name in usable if strays[name]]:
        warnings.warn(
            f"taken as text, with a category for each value: {noted(as_text)}",
            DralignWarning,
            stacklevel=3,
        )
    if not usable:
        raise DataError(f"{where}: no column is left to predict from")
    return usable


def _why_not(values: "pd.Series[Any]") -> str:
    """Why a column can't be an input; empty if it can."""
    from pandas.api.types import infer_dtype, is_numeric_dtype

    kind = infer_dtype(values, skipna=True)
    if str(values.name).startswith(UNNAMED):
        return "no name"
    if kind.startswith(("date", "time", "period", "interval")):
        return "dates"
    try:
        known = values.dropna()
        distinct = known.nunique()
    except TypeError:  # lists and the like
        kind = "mixed"
    if kind in {"bytes", "mixed"}:
        return "neither numbers nor text"
    if distinct + (len(known) < len(values)) < 2:
        return "one value"
    if not is_numeric_dtype(values):
        return _why_not_text(known)
    return _why_not_numbers(known, distinct)


def _why_not_numbers(known: "pd.Series[Any]", distinct: int) -> str:
    """Why a column of numbers can't be an input; empty if it can."""
    from pandas.api.types import is_integer_dtype

    n = len(known)
    if n < FEW_ROWS or distinct < n:
        return ""
    # A missing value makes floats of whole numbers.
    if not is_integer_dtype(known) and not all(float(value).is_integer() for value in known):
        return ""
    spread = int(known.max()) - int(known.min()) + 1
    if spread <= 2 * n:
        return "row numbers"
    return "keys, all different" if n * (n - 1) > 2 * EXPECTED_PAIRS * spread else ""


def _why_not_text(known: "pd.Series[Any]") -> str:
    """Why a column of text can't be an input; empty if it can."""
    rows = known.astype(str).value_counts()
    if len(rows) and all(_DATE.fullmatch(text) for text in rows.index):
        return "dates"
    if set(rows.index) <= {"True", "False"}:
        return ""
    shared = int(rows[rows >= MIN_CATEGORY_ROWS].sum())
    if len(rows) > MOST_VALUES or 2 * len(rows) > len(known):
        return f"{len(rows)} different texts"
    if 2 * shared <= len(known):
        return f"{len(rows)} different texts, few in {MIN_CATEGORY_ROWS} rows or more"
    return ""


def _strays(values: "pd.Series[Any]") -> str:
    """What keeps a column of text from being one of numbers, if it is a few values; else empty."""
    from pandas.api.types import is_object_dtype, is_string_dtype

    if not (is_object_dtype(values.dtype) or is_string_dtype(values.dtype)):
        return ""
    try:
        rows = values.astype(str)[values.notna()].value_counts()
    except (TypeError, ValueError):  # whatever objects a frame may hold
        return ""
    whole, texts = int(rows.sum()), list(rows.index)
    plain = np.array([as_number(text) is not None for text in texts], dtype=bool)
    commas = np.array([as_number(text.replace(",", ".")) is not None for text in texts], dtype=bool)
    commas &= ~plain
    if (plain | commas).sum() <= FEW_NUMBERS or rows[plain | commas].sum() < NEARLY_ALL * whole:
        return ""
    if commas.any():
        return f"numbers written with a comma, for example {texts[int(commas.argmax())]!r}"
    if plain.all():
        return ""
    others = rows[~plain]
    some = ", ".join(
        f"{text[:30]!r} in {count:,} row{'s' * (count > 1)}" for text, count in others[:3].items()
    )
    more = f", and {len(others) - 3} others" if len(others) > 3 else ""
    return f"{whole - int(others.sum()):,} of {whole:,} values are numbers, not {some}{more}"
