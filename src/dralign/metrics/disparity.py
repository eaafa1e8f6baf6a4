"""How far apart groups are: ``disparity(y_true, y_pred, *, sensitive_features)``.

Arguments and undefined values are as the package says.
"""

import warnings
from collections.abc import Callable
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from dralign.errors import OptionError, UndefinedMetricWarning, unknown
from dralign.metrics.arrays import (
    Floats,
    groups_of,
    labels_and_decisions,
    labels_and_probabilities,
    labels_and_scores,
)
from dralign.metrics.rates import (
    average_precision_of,
    gap_rates,
    group_means,
    largest_spread,
    sum_of_spreads,
)

Agg = Literal["sum", "worst_case"]

_AGGREGATES: Final = {"sum": sum_of_spreads, "worst_case": largest_spread}


class _Rates(NamedTuple):
    """What is compared: one or more rates, each with a value for every group."""

    values: tuple[Floats, ...]
    groups: tuple[str, ...]


def demographic_parity_difference(
    y_true: npt.ArrayLike, y_pred: npt.ArrayLike, *, sensitive_features: object
) -> float:
    """The spread of the groups' selection rates (Eq. 1, hard), in [0, 1]; 0 is parity."""
    rates = _hard_rates("demographic_parity", y_true, y_pred, sensitive_features)
    return _disparity("demographic_parity_difference", rates)


def equalized_odds_difference(
    y_true: npt.ArrayLike, y_pred: npt.ArrayLike, *, sensitive_features: object, agg: Agg = "sum"
) -> float:
    """The spreads of false and true positive rates (Eq. 2, hard); 0 is parity.

    Args:
        y_true: labels.
        y_pred: decisions or probabilities.
        sensitive_features: what makes the groups.
        agg: ``"sum"`` adds the two spreads as in Eq. 2, in [0, 2]; ``"worst_case"`` takes the
            larger as fairlearn does, in [0, 1].

    Raises:
        OptionError: if ``agg`` is unknown.
    """
    if agg not in _AGGREGATES:
        raise OptionError(unknown("agg", agg, _AGGREGATES))
    rates = _hard_rates("equalized_odds", y_true, y_pred, sensitive_features)
    return _disparity("equalized_odds_difference", rates, _AGGREGATES[agg])


def equal_opportunity_difference(
    y_true: npt.ArrayLike, y_pred: npt.ArrayLike, *, sensitive_features: object
) -> float:
    """The spread of the groups' true positive rates (A.11, hard), in [0, 1]; 0 is parity."""
    rates = _hard_rates("equal_opportunity", y_true, y_pred, sensitive_features)
    return _disparity("equal_opportunity_difference", rates)


def equal_opportunity_ratio(
    y_true: npt.ArrayLike, y_pred: npt.ArrayLike, *, sensitive_features: object
) -> float:
    """The ratio of the groups' true positive rates (EOP of A.11), at least 0; 1 is parity.

    With two groups it is TPR_{a=0} / TPR_{a=1}, the first in sorted order over the second, and may
    exceed 1 (fairlearn's is the smaller over the larger). With more groups it is the smallest over
    the largest. Undefined where it would divide by 0.
    """
    rates = _hard_rates("equal_opportunity", y_true, y_pred, sensitive_features)
    return _disparity("equal_opportunity_ratio", rates, _ratio)


def predictive_parity_difference(
    y_true: npt.ArrayLike, y_pred: npt.ArrayLike, *, sensitive_features: object
) -> float:
    """The spread of the groups' precisions (PP of A.11), in [0, 1]; 0 is parity."""
    rates = _hard_rates("predictive_parity", y_true, y_pred, sensitive_features)
    return _disparity("predictive_parity_difference", rates)


def accuracy_difference(
    y_true: npt.ArrayLike, y_pred: npt.ArrayLike, *, sensitive_features: object
) -> float:
    """The spread of the groups' accuracies, in [0, 1]; 0 is parity."""
    y, decision = labels_and_decisions(y_true, y_pred)
    codes, names = groups_of(sensitive_features, len(y))
    right = (y == decision).astype(np.float64)
    accuracies = group_means(right, np.ones_like(y), codes, len(names))
    return _disparity("accuracy_difference", _Rates((accuracies,), names))


def average_precision_difference(
    y_true: npt.ArrayLike, y_score: npt.ArrayLike, *, sensitive_features: object
) -> float:
    """The spread of the groups' average precisions, in [0, 1]; 0 is parity.

    Average precision grows with the share of positives, so groups with different shares differ in
    it even where their rows are ranked equally well.
    """
    y, score = labels_and_scores(y_true, y_score)
    codes, names = groups_of(sensitive_features, len(y))
    rows = [codes == code for code in range(len(names))]
    values = np.array([average_precision_of(y[inside], score[inside]) for inside in rows])
    return _disparity("average_precision_difference", _Rates((values,), names))


def soft_demographic_parity_difference(
    y_true: npt.ArrayLike, y_pred: npt.ArrayLike, *, sensitive_features: object
) -> float:
    """The spread of the groups' mean probabilities (Eq. 1), in [0, 1]; 0 is parity."""
    rates = _soft_rates("demographic_parity", y_true, y_pred, sensitive_features)
    return _disparity("soft_demographic_parity_difference", rates)


def soft_equalized_odds_difference(
    y_true: npt.ArrayLike, y_pred: npt.ArrayLike, *, sensitive_features: object
) -> float:
    """The spreads of mean probabilities at each label, added (Eq. 2), in [0, 2]; 0 is parity."""
    rates = _soft_rates("equalized_odds", y_true, y_pred, sensitive_features)
    return _disparity("soft_equalized_odds_difference", rates)


def soft_equal_opportunity_difference(
    y_true: npt.ArrayLike, y_pred: npt.ArrayLike, *, sensitive_features: object
) -> float:
    """The spread of the groups' mean probabilities at label 1 (A.11), in [0, 1]; 0 is parity."""
    rates = _soft_rates("equal_opportunity", y_true, y_pred, sensitive_features)
    return _disparity("soft_equal_opportunity_difference", rates)


def soft_predictive_parity_difference(
    y_true: npt.ArrayLike, y_pred: npt.ArrayLike, *, sensitive_features: object
) -> float:
    """The spread of the groups' E[y f] / E[f], f the probability, in [0, 1]; 0 is parity."""
    rates = _soft_rates("predictive_parity", y_true, y_pred, sensitive_features)
    return _disparity("soft_predictive_parity_difference", rates)


def _hard_rates(
    gap: str, y_true: npt.ArrayLike, y_pred: npt.ArrayLike, sensitive_features: object
) -> _Rates:
    """The group rates of decisions."""
    y, decision = labels_and_decisions(y_true, y_pred)
    codes, names = groups_of(sensitive_features, len(y))
    return _Rates(gap_rates(gap, y, decision, codes, len(names)), names)


def _soft_rates(
    gap: str, y_true: npt.ArrayLike, y_pred: npt.ArrayLike, sensitive_features: object
) -> _Rates:
    """The group rates of probabilities."""
    y, f = labels_and_probabilities(y_true, y_pred)
    codes, names = groups_of(sensitive_features, len(y))
    return _Rates(gap_rates(gap, y, f, codes, len(names)), names)


def _ratio(rates: tuple[Floats, ...]) -> float:
    """The first of two values over the second, or the smallest of more over the largest."""
    (values,) = rates
    defined = values[~np.isnan(values)]
    if len(defined) < 2:
        return np.nan
    over, under = defined if len(values) == 2 else (defined.min(), defined.max())
    return float(over / under) if under > 0 else np.nan


def _disparity(
    name: str, rates: _Rates, combine: Callable[[tuple[Floats, ...]], float] = sum_of_spreads
) -> float:
    """The rates of all groups as one number, with one warning where something is undefined."""
    value = combine(rates.values)
    undefined = np.any([np.isnan(values) for values in rates.values], axis=0).tolist()
    without = [repr(group) for group, no in zip(rates.groups, undefined, strict=True) if no]
    if without:
        reason = f"no rows give a rate for group {', '.join(without)}"
    elif len(rates.groups) == 1:
        reason = f"all rows are in one group ({rates.groups[0]!r})"
    else:
        reason = "it would divide by a rate of 0"
    if without or np.isnan(value):
        outcome = "it is NaN" if np.isnan(value) else "left out"
        warnings.warn(f"{name}: {reason}; {outcome}", UndefinedMetricWarning, stacklevel=3)
    return value
