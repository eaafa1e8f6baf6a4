"""Gaps that only the order of the scores decides: ``gap(y_true, y_score, *, sensitive_features)``.

Average precision does not change when every probability is halved; the soft and the hard gaps do.
The gaps here do not either: they compare what groups get when a given *share* of all rows is
selected, highest scores first, and so are the same for every strictly increasing transform of the
scores (Eq. 25 to Eq. 28).

- ``y_score``: (n,) finite scores of any scale, higher for label 1; or (n, C) of C > 2 classes, with
  labels 0..C-1.
- ``gap``: ``"demographic_parity"``, ``"equalized_odds"`` (the labels are *added*, Eq. 2),
  ``"equal_opportunity"``, ``"printed_predictive_parity"``, and for the base-rate gap also
  ``"predictive_parity"``; with more than two classes one of the first two.
- Rows that tie at the cut-off are all selected by the same fraction, so that exactly the share is
  selected and the order of the rows does not count.
- Rows without a sensitive value are left out, also of the share. A group without rows of a label
  that is compared is left out, and where fewer than two are left the gap is NaN; both with an
  UndefinedMetricWarning that says why.

Sources: Han et al. (2023) for all cut-offs, Jiang et al. (2020) for the distance of score
distributions, Kallus and Zhou (2019) for rankings, Hardt et al. (2016) for conditions on the label.
"""

import warnings
from typing import Final, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from dralign.errors import OptionError, UndefinedMetricWarning, unknown
from dralign.gaps import figure_names, gap_type
from dralign.metrics.arrays import (
    Floats,
    classes_and_scores,
    groups_of,
    labels_and_scores,
    weights_of,
)
from dralign.metrics.crossings import mean_spread
from dralign.metrics.rank_curves import NO_CURVE, RankCurves, Stratum, rank_curves_of
from dralign.metrics.rates import spread

RankMeasure = Literal["base_rate", "all_cutoffs", "largest_cutoff"]

_MEASURES: Final[tuple[RankMeasure, ...]] = get_args(RankMeasure)
SHARES: Final = (np.arange(50) + 0.5) / 50  # at which the noise of curves is looked at


class _Compared(NamedTuple):
    """What the groups of one stratum give: the spread at every entry, (k,), and two figures."""

    apart: Floats
    at_base_rate: float
    mean: float


def base_rate_gap(
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    *,
    sensitive_features: object,
    gap: str = "demographic_parity",
    sample_weight: npt.ArrayLike | None = None,
) -> float:
    """The gap where as many rows are selected as are positive (Eq. 26); 0 is parity.

    What a decision with a limited number of places does. In [0, 1]; equalized odds in [0, 2].
    Predictive parity compares the shares of positives among the selected. With C classes each class
    is selected as often as it occurs, and the class with the largest gap counts (Eq. 23). Undefined
    without a positive row, and where every row is positive.

    Raises:
        OptionError: if ``gap`` is unknown or needs two classes.
    """
    return _public("base_rate", gap, y_true, y_score, sensitive_features, sample_weight)


def all_cutoffs_gap(
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    *,
    sensitive_features: object,
    gap: str = "demographic_parity",
    sample_weight: npt.ArrayLike | None = None,
) -> float:
    """The mean of the gap over all shares that could be selected (Eq. 27); 0 is parity.

    The exact integral, by one sort. Differences at the top and at the bottom of the ranking do not
    cancel, as they do in a difference of areas under curves. In [0, 1]; equalized odds in [0, 2].
    With C classes the class with the largest mean counts (Eq. 23). Undefined for predictive parity.

    Raises:
        OptionError: if ``gap`` is unknown or needs two classes.
    """
    return _public("all_cutoffs", gap, y_true, y_score, sensitive_features, sample_weight)


def largest_cutoff_gap(
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    *,
    sensitive_features: object,
    gap: str = "demographic_parity",
    sample_weight: npt.ArrayLike | None = None,
) -> float:
    """The largest gap that any cut-off has (Eq. 28); 0 is parity.

    For demographic parity of two groups it is the statistic of Kolmogorov and Smirnov. In [0, 1];
    equalized odds in [0, 2], both labels at the same cut-off. With C classes a cut-off is a class
    and a share, and the largest is over both. Undefined for predictive parity.

    Raises:
        OptionError: if ``gap`` is unknown or needs two classes.
    """
    return _public("largest_cutoff", gap, y_true, y_score, sensitive_features, sample_weight)


def rank_gaps_of(curves: list[RankCurves]) -> dict[str, float]:
    """Every gap of the order, ``<measure>_<gap>``, in one pass; NaN where undefined, no warning.

    The gaps are those that records have figures of and that an order has.
    """
    gaps = gaps_of_order(max(2, len(curves)))
    figures = _figures(curves, gaps)
    return {
        f"{measure}_{gap}": value
        for gap in gaps
        for measure, value in zip(_MEASURES, figures[gap], strict=True)
    }


def base_rates(curves: list[RankCurves], gap: str) -> Floats:
    """The rates that the base-rate gap compares: (differences, classes, groups, 1)."""
    if gap in NO_CURVE:
        return np.array([[curve.precisions()[:, None] for curve in curves]])
    shares = [np.array([curve.n_positive / curve.taken[-1]]) for curve in curves]
    return _rates_at(curves, gap, shares)


def cutoff_rates(curves: list[RankCurves], gap: str) -> Floats:
    """The same at ``SHARES`` of all rows: (differences, classes, groups, shares)."""
    return _rates_at(curves, gap, [SHARES] * len(curves))


def _rates_at(curves: list[RankCurves], gap: str, shares: list[Floats]) -> Floats:
    """The rates of each class where its shares of the rows are selected."""
    return np.array(
        [
            [curve.at_shares(stratum, at) for curve, at in zip(curves, shares, strict=True)]
            for stratum in curves[0].strata(gap)
        ]
    )


def gaps_of_order(n_classes: int) -> tuple[str, ...]:
    """The gaps that an order has, at the base rate at least."""
    return tuple(
        name for name in figure_names(n_classes) if name in NO_CURVE or gap_type(name).of_order
    )


def _public(
    measure: RankMeasure,
    gap: str,
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    sensitive_features: object,
    sample_weight: npt.ArrayLike | None,
) -> float:
    """One measure of one gap, with a warning where something is undefined.

    Raises:
        OptionError: if the gap is unknown or needs two classes.
    """
    if gap not in gaps_of_order(2):
        raise OptionError(unknown("gap", gap, gaps_of_order(2)))
    by_class = np.ndim(y_score) == 2 and np.shape(y_score)[1] > 2
    if by_class and gap not in gaps_of_order(np.shape(y_score)[1]):
        raise OptionError(
            f"gap: {gap!r} needs two classes, the scores have {np.shape(y_score)[1]}; choose "
            f"{' or '.join(gaps_of_order(np.shape(y_score)[1]))}, or pass the scores of one class"
        )
    y, score = (classes_and_scores if by_class else labels_and_scores)(y_true, y_score)
    codes, names = groups_of(sensitive_features, len(y))
    weight = weights_of(sample_weight, len(y))
    curves = rank_curves_of(y, score, codes, len(names), weight=weight)
    value = _figures(curves, (gap,))[gap][_MEASURES.index(measure)]
    reason = _reason(measure, gap, curves, names)
    if reason:
        outcome = "it is NaN" if np.isnan(value) else "left out"
        warnings.warn(f"{measure}_gap: {reason}; {outcome}", UndefinedMetricWarning, stacklevel=3)
    return value


def _reason(
    measure: RankMeasure, gap: str, curves: list[RankCurves], names: tuple[str, ...]
) -> str:
    """Why a figure, or the rate of a group, has no value; empty if all have one."""
    if len(names) == 1:
        return f"all rows are in one group ({names[0]!r})"
    if measure != "base_rate" and gap in NO_CURVE:
        return "at small shares a group has nobody selected, so that predictive parity has no value"
    if measure == "base_rate" and all(curve.is_trivial for curve in curves):
        if curves[0].n_positive:
            return "every row has label 1, and would be selected"
        return "no row has label 1, so that nobody would be selected"
    curve = curves[0]
    if gap in NO_CURVE:
        rated = ~np.isnan(curve.precisions())
    else:
        rated = np.all([curve.sizes(stratum) for stratum in curve.strata(gap)], axis=0)
    without = [repr(name) for name, there in zip(names, rated.tolist(), strict=True) if not there]
    return f"no rows give a rate for group {', '.join(without)}" if without else ""


def _figures(
    curves: list[RankCurves], gaps: tuple[str, ...]
) -> dict[str, tuple[float, float, float]]:
    """The three measures of each gap, in the order of ``RankMeasure``; no stratum twice."""
    curved = [gap for gap in gaps if gap not in NO_CURVE]
    by_class = []
    for curve in curves:
        wanted = {stratum for gap in curved for stratum in curve.strata(gap)}
        by_class.append({stratum: _compare(curve, stratum) for stratum in wanted})
    figures = {}
    for gap in curved:
        parts = [
            [compared[stratum] for stratum in curve.strata(gap)]
            for curve, compared in zip(curves, by_class, strict=True)
        ]  # (classes, strata)
        base = _over_classes([[part.at_base_rate for part in strata] for strata in parts])
        mean = _over_classes([[part.mean for part in strata] for strata in parts])
        top = _over_classes([[_largest_sum([part.apart for part in row])] for row in parts])
        figures[gap] = base, mean, top
    for gap in set(NO_CURVE) & set(gaps):
        curve = curves[0]
        base = np.nan if curve.is_trivial else spread(curve.precisions())
        figures[gap] = base, np.nan, np.nan
    return figures


def _compare(curve: RankCurves, stratum: Stratum) -> _Compared:
    """The groups that have rows, compared at every entry, at the base rate and on the mean."""
    rates = curve.rates(stratum)
    if len(rates) < 2:
        return _Compared(np.full(rates.shape[1], np.nan), np.nan, np.nan)
    apart: Floats = rates.max(0) - rates.min(0)
    base = np.nan if curve.is_trivial else spread(curve.at_base_rate(rates))
    return _Compared(apart, base, mean_spread(curve.taken, rates, apart))


def _over_classes(figures: list[list[float]]) -> float:
    """The largest over classes within each stratum, strata added (Eq. 23): (classes, strata)."""
    return sum(
        max((value for value in of_stratum if not np.isnan(value)), default=np.nan)
        for of_stratum in zip(*figures, strict=True)
    )


def _largest_sum(curves: list[Floats]) -> float:
    """The largest entry of the sum of curves."""
    return float(np.sum(curves, axis=0).max()) if len(curves) > 1 else float(curves[0].max())
