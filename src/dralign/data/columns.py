"""The columns of a raw table as numbers, or as places in a list of values."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dralign.errors import DataError
from dralign.groups import MISSING, written

if TYPE_CHECKING:
    import pandas as pd

UNSEEN = -2
MANY_NAMES = 30


def require_columns(frame: object, names: Sequence[str], *, where: str = "the table") -> None:
    """Checks that ``frame`` is a pandas DataFrame with each of the columns once.

    Raises:
        DataError: if it is not; a missing column is named beside those that are there.
    """
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        raise DataError(f"expected a pandas DataFrame of raw rows, got {type(frame).__name__}")
    for name in names:
        times = int((frame.columns == name).sum())
        if times > 1:
            raise DataError(f"{where} has {times} columns named {name!r}")
        if not times:
            raise DataError(f"{where} has no column {name!r}; it has: {listed(frame.columns)}")


def listed(names: Sequence[object]) -> str:
    """Names with commas; a long list is cut and counted."""
    some = ", ".join(str(name) for name in names[:MANY_NAMES])
    return some if len(names) <= MANY_NAMES else f"{some}, ... ({len(names)} in all)"


def numbers(values: "pd.Series[Any]") -> np.ndarray:
    """(n,) float64 numbers, NaN where a value is missing.

    Raises:
        DataError: if a value is not a finite number; it names the column and the first such value.
    """
    import pandas as pd
    from pandas.api.types import is_datetime64_any_dtype

    raw = values.astype(object) if isinstance(values.dtype, pd.CategoricalDtype) else values
    found: np.ndarray = pd.to_numeric(raw, errors="coerce").to_numpy(
        dtype=np.float64, na_value=np.nan
    )
    bad = (np.isnan(found) & values.notna().to_numpy()) | np.isinf(found)
    if is_datetime64_any_dtype(values):
        bad = values.notna().to_numpy()
    if bad.any():
        example = written(values[bad].iloc[0])
        raise DataError(
            f"column {values.name!r}: expected finite numbers, got {example!r} "
            f"in {int(bad.sum())} of {len(values)} rows"
        )
    return found


def distinct_texts(values: "pd.Series[Any]") -> tuple[np.ndarray, list[str]]:
    """The distinct values as text and, for each row, which of them it has (-1 where missing).

    A value is written the same whether it was read as 1, 1.0 or "1".

    Raises:
        DataError: if the column holds lists or the like.
    """
    import pandas as pd

    try:
        place, found = pd.factorize(values)
    except TypeError as error:
        raise DataError(f"column {values.name!r}: expected text or numbers ({error})") from error
    return place, [written(value) for value in found.tolist()]


def places(values: "pd.Series[Any]", known: Sequence[str]) -> np.ndarray:
    """(n,) int64 place of each value in ``known``; -1 where missing, -2 where not among them."""
    place, texts = distinct_texts(values)
    order = {text: position for position, text in enumerate(known)}
    lookup = np.array([*(order.get(text, UNSEEN) for text in texts), MISSING], dtype=np.int64)
    result: np.ndarray = lookup[place]  # the last entry is for place -1
    return result


def one_hot(place: np.ndarray, width: int) -> np.ndarray:
    """(n, width) float32 with a one at each row's place; a row of zeros where it is negative."""
    hot: np.ndarray = place[:, None] == np.arange(width)[None, :]
    return hot.astype(np.float32)
