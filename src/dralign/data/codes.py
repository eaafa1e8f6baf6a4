"""Numbers that look like codes (a network would take 3 for more than 2), or like weights."""

import math
import re
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

FEW: Final = (3, 50)  # different values that codes with a gap between them have
MOST: Final = 1_000  # that a column with a telling name has
LEAST_CODE: Final = 100
SPREAD: Final = 10  # times as wide as there are values
ROUND: Final = 10  # amounts have a common divisor
ORDERED: Final = (5, 20)  # different values whose share of the label goes up and down
CHI2: Final = 40.0  # of what a rise or fall leaves unexplained
UNEXPLAINED: Final = 0.5  # of all that the column explains
_NAMES: Final = re.compile(
    r"(?:^|[^a-z])(?:code|id|type|category|zip|zipcode|postcode|postal|sector|industry|region|"
    r"district|branch|occupation)s?$"
)


# Of the many words with weight in them, those that survey data use.
_WEIGHTS: Final = re.compile(
    r"(?:(?:sample|sampling|survey|person|case|row|final|design|post|frequency)_?)?weights?|"
    r"fnlwgt|[a-z]{0,6}wgt[a-z]{0,2}|[pf]?weight"
)


def row_weights(values: "pd.Series[Any]") -> bool:
    """Whether a column of numbers may say how many people each row stands for, by its name.

    Its numbers are then not negative, and not all the same.
    """
    known = values.dropna().to_numpy(dtype=np.float64)
    name = str(values.name).strip().lower().replace(" ", "_").replace("-", "_")
    return bool(_WEIGHTS.fullmatch(name) and len(known) and known.min() >= 0 and np.ptp(known) > 0)


def codes(values: "pd.Series[Any]", label: np.ndarray | None) -> str:
    """How a column of numbers looks like codes, in words; empty if it does not.

    That are whole numbers in a column whose name ends so (``zip``, ``job_code``); a few of three
    digits and more with wide gaps; or a few with which the share of a label goes up and down.

    Args:
        values: a column of numbers.
        label: (n,) 0 or 1; None where there is none of two values.
    """
    known = values.dropna().to_numpy(dtype=np.float64)
    if not len(known) or not np.isfinite(known).all() or not np.equal(known, known.round()).all():
        return ""
    different = np.unique(known)
    n = len(different)
    if n < FEW[0]:
        return ""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", str(values.name)).lower()
    named = n <= MOST and _NAMES.search(name) is not None
    gaps = n <= FEW[1] and _gaps(different)
    waves = label is not None and ORDERED[0] <= n <= ORDERED[1] and _waves(values, label)
    if not (named or gaps or waves):
        return ""
    return f"{values.name!r} ({n:,} values from {different[0]:.0f} to {different[-1]:.0f})"


def _gaps(different: np.ndarray) -> bool:
    """Whether a few whole numbers have wide gaps, and are no round amounts."""
    if different[0] < LEAST_CODE or different[-1] - different[0] < SPREAD * len(different):
        return False
    return math.gcd(*different.astype(np.int64).tolist()) < ROUND


def _waves(values: "pd.Series[Any]", label: np.ndarray) -> bool:
    """Whether the share of the label goes up and down with a column, beyond chance."""
    from sklearn.isotonic import IsotonicRegression

    there = values.notna().to_numpy()
    x, y = values[there].to_numpy(dtype=np.float64), label[there]
    levels, index = np.unique(x, return_inverse=True)
    rows = np.bincount(index)
    share = np.bincount(index, weights=y) / rows
    mean = float(y.mean())
    if not 0 < mean < 1:
        return False
    fits = (
        IsotonicRegression(increasing=rising).fit_transform(levels, share, sample_weight=rows)
        for rising in (True, False)
    )
    left = min(float((rows * (share - fit) ** 2).sum()) for fit in fits)
    whole = float((rows * (share - mean) ** 2).sum())
    return left / (mean * (1 - mean)) > CHI2 and left > UNEXPLAINED * whole
