"""Tests of a difference between two methods over seeds, with Holm's correction."""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from dralign.analysis.rows import Interval
from dralign.turns import warnings_kept

_ROUNDING: Final = 1e-12  # differences that vary less than this, relative to the values, are equal

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PValues:
    """The two-sided p-values of three tests that two methods do not differ; NaN if undefined.

    Attributes:
        paired_t: Student's t-test on the differences of the seeds that both methods have.
        welch_t: Welch's t-test, which does not pair seeds and lets variances differ.
        wilcoxon: the signed-rank test on the paired differences. With n pairs it can't go below
            2 / 2^n: .0625 for five seeds, .002 for ten.
    """

    paired_t: float = math.nan
    welch_t: float = math.nan
    wilcoxon: float = math.nan


@dataclass(frozen=True)
class Ratio:
    """The ratio of two means over the same seeds, with its 95 % interval.

    Attributes:
        value: 0.6 says that the first mean is 40 % below the second; NaN if undefined.
        low: the lower end, by Student's t on its logarithm; NaN for fewer than two seeds, for
            negative values and for a ratio of 0.
        high: the upper end.
    """

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan


def p_values(first: Mapping[int, float], second: Mapping[int, float]) -> PValues:
    """The p-values of three tests that the values of two methods, by seed, do not differ.

    The paired tests take the seeds that are in both. A test with fewer than two values of a
    method, or without variation (all differences equal), has no p-value.
    """
    pairs = [(first[seed], second[seed]) for seed in sorted(first.keys() & second.keys())]
    a, b = np.array(pairs).reshape(-1, 2).T
    with warnings_kept():
        # scipy warns where one side hardly varies, though the test has a value.
        warnings.simplefilter("ignore", RuntimeWarning)
        paired_t, wilcoxon = _paired(a, b)
        return PValues(
            paired_t, _welch(np.array([*first.values()]), np.array([*second.values()])), wilcoxon
        )


def _paired(a: Values, b: Values) -> tuple[float, float]:
    """The p-values of Student's t-test and of Wilcoxon's on a - b."""
    from scipy import stats

    paired_t = wilcoxon = math.nan
    if len(a) >= 2 and (scale := _smallest(a, b)):
        # Equal differences get equal ranks, whatever the last bit of each is.
        difference = np.round((a - b) / scale) * scale
        if np.ptp(difference):
            paired_t = float(stats.ttest_1samp(difference, 0.0).pvalue)
        if difference.any():
            wilcoxon = float(stats.wilcoxon(difference).pvalue)
    return paired_t, wilcoxon


def _welch(a: Values, b: Values) -> float:
    """The p-value of Welch's t-test."""
    from scipy import stats

    if min(len(a), len(b)) < 2 or max(np.ptp(a), np.ptp(b)) <= _smallest(a, b):
        return math.nan
    return float(stats.ttest_ind(a, b, equal_var=False).pvalue)


def _smallest(a: Values, b: Values) -> float:
    """The smallest difference that is not taken for rounding."""
    return _ROUNDING * max(float(np.abs(a).max()), float(np.abs(b).max()))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: p-values that keep the family-wise error over all of them.

    The k-th smallest of m (from 0) becomes (m - k) p, made monotone and at most 1. Undefined ones
    (NaN) stay so and do not count as tests.
    """
    known = sorted((p, index) for index, p in enumerate(p_values) if not math.isnan(p))
    corrected = [math.nan] * len(p_values)
    highest = 0.0
    for rank, (p, index) in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - rank) * p))
        corrected[index] = highest
    return corrected


def ratio_of_means(first: Sequence[float], second: Sequence[float]) -> Ratio:
    """The ratio of the means of paired values, with its interval over the pairs (Eq. 47).

    Args:
        first: values that are not negative.
        second: as many, each paired with the one at its place.
    """
    a, b = np.array(first, dtype=float), np.array(second, dtype=float)  # (n,)
    if not len(a) or not b.mean():
        return Ratio()
    value = float(a.mean() / b.mean())
    if len(a) < 2 or min(a.min(), b.min()) < 0 or not value:
        return Ratio(value)
    factor = math.exp(Interval.of(a / a.mean() - b / b.mean()).half_width)
    return Ratio(value, value / factor, value * factor)
