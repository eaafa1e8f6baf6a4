"""The columns of a raw table as numbers, or as indices in a list of values."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dralign.errors import DataError
from dralign.groups import MISSING, written

if TYPE_CHECKING:
    import pandas as pd

UNSEEN = -2
MANY_NAMES = 30
MANY_NOTES = 10
MOST_DIGITS = 15  # longer ones may be different keys that are one float
TRUTH: Final = (("False", "True"), ("0", "1"))
# A number as people and programs write it; with a leading zero (007) it is a key.
_NUMBER = re.compile(r"[+-]?(?:0|[1-9][0-9]*|(?=\.[0-9]))(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?")


def require_columns(frame: object, names: Sequence[str], *, where: str = "the table") -> None:
    """Checks that ``frame`` is a pandas DataFrame with each of the columns once.

    Raises:
        DataError: if it is not; a missing column is named beside those that are there.
    """
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        raise DataError(f"expected a pandas DataFrame of raw rows, got {type(frame).__name__}")
    times = Counter(frame.columns)
    if several := [name for name in names if times[name] > 1]:
        raise DataError(f"{where} has {times[several[0]]} columns named {several[0]!r}")
    if lacking := [name for name in names if not times[name]]:
        these = f"column{'s' * (len(lacking) > 1)} {noted([*map(repr, lacking)])}"
        raise DataError(f"{where} has no {these}; it has: {listed(frame.columns)}")


def listed(names: Sequence[object]) -> str:
    """Names with commas; a long list is cut and counted."""
    shown = (str(name) for name in names[:MANY_NAMES])
    # What can't be printed could tell a terminal to do something.
    some = ", ".join(name if name.isprintable() else repr(name) for name in shown)
    return some if len(names) <= MANY_NAMES else f"{some}, ... ({len(names)} in all)"


def noted(notes: Sequence[str], *, between: str = ", ") -> str:
    """Notes about columns for a warning; of a long list the first ones and a count."""
    some = between.join(notes[:MANY_NOTES])
    more = len(notes) - MANY_NOTES
    return some if more <= 0 else f"{some}{between}and {more:,} more"


def of_numbers(values: "pd.Series[Any]") -> bool:
    """Whether a column is one of real numbers, not of booleans."""
    from pandas.api.types import is_bool_dtype, is_complex_dtype, is_numeric_dtype

    other = is_bool_dtype(values.dtype) or is_complex_dtype(values.dtype)
    return bool(is_numeric_dtype(values.dtype) and not other)


def numbers(values: "pd.Series[Any]") -> np.ndarray:
    """(n,) float64 numbers, NaN where a value is missing.

    Raises:
        DataError: if a value is not a finite number; it names the column and the first such value.
    """
    import pandas as pd
    from pandas.api.types import is_complex_dtype, is_datetime64_any_dtype

    raw = values.astype(object) if isinstance(values.dtype, pd.CategoricalDtype) else values
    read = pd.to_numeric(raw, errors="coerce")
    if is_datetime64_any_dtype(values) or is_complex_dtype(read):
        result, bad = np.full(len(values), np.nan), values.notna().to_numpy()
    else:
        result = read.to_numpy(dtype=np.float64, na_value=np.nan)
        bad = (np.isnan(result) & values.notna().to_numpy()) | np.isinf(result)
    if bad.any():
        example = written(values[bad].iloc[0])
        raise DataError(
            f"column {values.name!r}: expected finite numbers, got {example!r} "
            f"in {int(bad.sum())} of {len(values)} rows"
        )
    return result


def distinct_texts(values: "pd.Series[Any]") -> tuple[np.ndarray, list[str]]:
    """The distinct values as text and, for each row, which of them it has (-1 where missing).

    A number is written the same whether it was read as 1, 1.0, "1" or "1.0".

    Raises:
        DataError: if the column holds lists or the like.
    """
    import pandas as pd

    try:
        index, result = pd.factorize(values)
    except TypeError as error:
        raise DataError(f"column {values.name!r}: expected text or numbers ({error})") from error
    return index, [canonical(value) for value in result.tolist()]


def canonical(value: object) -> str:
    """How a value is written as the name of a category: a number in one way, however it came."""
    text = written(value)
    short = isinstance(value, str) and len(text) <= MOST_DIGITS
    number = as_number(text) if short else None
    return text if number is None else written(number)


def text_counts(values: "pd.Series[Any]") -> Counter[str]:
    """How many rows have each value as text; missing values do not count.

    Columns of lists and the like are a DataError.
    """
    index, texts = distinct_texts(values)
    rows = Counter[str]()  # 1 and "1" are the same text
    for text, count in zip(texts, np.bincount(index[index >= 0]).tolist(), strict=True):
        rows[text] += count
    return rows


def index_in(values: "pd.Series[Any]", known: Sequence[str]) -> np.ndarray:
    """(n,) int64 index of each value in ``known``; -1 where missing, -2 where not among them.

    A number is found however it is written: 44 is "44.0". Where nothing but False and True is
    known, 0 and 1 are these, and the other way round: databases and files keep either as the other.
    """
    order = {canonical(text): position for position, text in enumerate(known)}
    for names, others in (TRUTH, TRUTH[::-1]):
        if order.keys() <= set(names):
            same = zip(names, others, strict=True)
            order |= {other: order[name] for name, other in same if name in order}
    code, texts = distinct_texts(values)
    found = np.array([*(order.get(text, UNSEEN) for text in texts), MISSING], dtype=np.int64)
    result: np.ndarray = found[code]  # the last is code -1
    return result


def as_number(text: str) -> float | None:
    """The number that a text is, or None."""
    return float(text) if _NUMBER.fullmatch(text) else None


def one_hot(code: np.ndarray, width: int) -> np.ndarray:
    """(n, width) float32, a one in the column of each row's code; zeros where it is negative."""
    hot: np.ndarray = code[:, None] == np.arange(width)[None, :]
    return hot.astype(np.float32)
