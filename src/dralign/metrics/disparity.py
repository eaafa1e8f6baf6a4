"""How far apart groups are: ``disparity(y_true, y_pred, *, sensitive_features)``.

Arguments and undefined values are as the package says. A name that fairlearn has too means what it
means there; the paper's form has a name of its own.
"""

import warnings
from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from dralign.errors import OptionError, UndefinedMetricWarning, unknown
from dralign.metrics.arrays import (
    Floats,
    groups_of,
    labels_and_decisions,
    labels_and_probabilities,
    labels_and_scores,
    weights_of,
)
from dralign.metrics.rates import (
    average_precision_of,
    gap_rates,
    group_means,
    largest_spread,
    sum_of_spreads,
)

Agg = Literal["worst_case", "mean"]


class _Rates(NamedTuple):
    """What is compared: one or more rates, each with a value for every group."""

    values: tuple[Floats, ...]
    groups: tuple[str, ...]


def demographic_parity_difference(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    *,
    sensitive_features: object,
    sample_weight: npt.ArrayLike | None = None,
) -> float:
    """The spread of the groups' selection rates (Eq. 1, hard), in [0, 1]; 0 is parity."""
    rates = _hard_rates("demographic_parity", y_true, y_pred, sensitive_features, sample_weight)
    return _disparity("demographic_parity_difference", rates)


def demographic_parity_ratio(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    *,
    sensitive_features: object,
    sample_weight: npt.ArrayLike | None = None,
) -> float:
    """The smallest of the groups' selection rates over the largest, in [0, 1]; 1 is parity."""
    rates = _hard_rates("demographic_parity", y_true, y_pred, sensitive_features, sample_weight)
    return _disparity("demographic_parity_ratio", rates, _smallest_over_largest)


def equalized_odds_difference(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    *,
    sensitive_features: object,
    sample_weight: npt.ArrayLike | None = None,
    agg: Agg = "worst_case",
) -> float:
    """The larger of the spreads of false and true positive rates, in [0, 1]; 0 is parity.

    The paper adds the two: ``equalized_odds_sum``.

    Args:
        y_true: labels.
        y_pred: decisions or probabilities.
        sensitive_features: what makes the groups.
        sample_weight: what each row counts.
        agg: ``"worst_case"`` takes the larger spread, ``"mean"`` the mean of both.

    Raises:
        OptionError: if ``agg`` is unknown.
    """
    rates = _hard_rates("equalized_odds", y_true, y_pred, sensitive_features, sample_weight)
    return _disparity("equalized_odds_difference", rates, _over_labels(agg, largest_spread))


def equalized_odds_sum(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    *,
    sensitive_features: object,
    sample_weight: npt.ArrayLike | None = None,
) -> float:
    """The spreads of false and true positive rates, added (Eq. 2, hard), in [0, 2]; 0 is parity."""
    rates = _hard_rates("equalized_odds", y_true, y_pred, sensitive_features, sample_weight)
    return _disparity("equalized_odds_sum", rates)


def equalized_odds_ratio(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    *,
    sensitive_features: object,
    sample_weight: npt.ArrayLike | None = None,
    agg: Agg = "worst_case",
) -> float:
    """Of false and of true positive rates the groups' smallest over the largest, in [0, 1].

    1 is parity. Undefined where it would divide by 0.

    Args:
        y_true: labels.
        y_pred: decisions or probabilities.
        sensitive_features: what makes the groups.
        sample_weight: what each row counts.
        agg: ``"worst_case"`` takes the smaller ratio, ``"mean"`` the mean of both.

    Raises:
        OptionError: if ``agg`` is unknown.
    """
    rates = _hard_rates("equalized_odds", y_true, y_pred, sensitive_features, sample_weight)
    return _disparity("equalized_odds_ratio", rates, _over_labels(agg, _smallest_ratio))


def equal_opportunity_difference(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    *,
    sensitive_features: object,
    sample_weight: npt.ArrayLike | None = None,
) -> float:
    """The spread of the groups' true positive rates (A.11, hard), in [0, 1]; 0 is parity."""
    rates = _hard_rates("equal_opportunity", y_true, y_pred, sensitive_features, sample_weight)
    return _disparity("equal_opportunity_difference", rates)


def equal_opportunity_ratio(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    *,
    sensitive_features: object,
    sample_weight: npt.ArrayLike | None = None,
) -> float:
    """The smallest of the groups' true positive rates over the largest, in [0, 1]; 1 is parity.

    Undefined where it would divide by 0. The paper's has a direction:
    ``printed_equal_opportunity_ratio``.
    """
    rates = _hard_rates("equal_opportunity", y_true, y_pred, sensitive_features, sample_weight)
    return _disparity("equal_opportunity_ratio", rates, _smallest_over_largest)


def printed_equal_opportunity_ratio(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    *,
    sensitive_features: object,
    sample_weight: npt.ArrayLike | None = None,
) -> float:
    """TPR_{a=0} / TPR_{a=1} of two groups (EOP of A.11), at least 0; 1 is parity.

    The first group in sorted order over the second; it may exceed 1. With more groups, of which the
    paper says nothing, it is the smallest over the largest. Undefined where it would divide by 0.
    """
    rates = _hard_rates("equal_opportunity", y_true, y_pred, sensitive_features, sample_weight)
    return _disparity("printed_equal_opportunity_ratio", rates, _printed_ratio)


def predictive_parity_difference(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    *,
    sensitive_features: object,
    sample_weight: npt.ArrayLike | None = None,
) -> float:
    """The spread of the groups' precisions (PP of A.11), in [0, 1]; 0 is parity."""
    rates = _hard_rates("predictive_parity", y_true, y_pred, sensitive_features, sample_weight)
    return _disparity("predictive_parity_difference", rates)


def accuracy_difference(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    *,
    sensitive_features: object,
    sample_weight: npt.ArrayLike | None = None,
) -> float:
    """The spread of the groups' accuracies, in [0, 1]; 0 is parity."""
    y, decision = labels_and_decisions(y_true, y_pred)
    codes, names = groups_of(sensitive_features, len(y))
    right = (y == decision).astype(np.float64)
    weight = weights_of(sample_weight, len(y))
    rows = np.ones_like(y) if weight is None else weight
    accuracies = group_means(right, rows, codes, len(names))
    return _disparity("accuracy_difference", _Rates((accuracies,), names))


def average_precision_difference(
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    *,
    sensitive_features: object,
    sample_weight: npt.ArrayLike | None = None,
) -> float:
    """The spread of the groups' average precisions, in [0, 1]; 0 is parity.

    Average precision grows with the share of positives, so groups with different shares differ in
    it even where their rows are ranked equally well.
    """
    y, score = labels_and_scores(y_true, y_score)
    codes, names = groups_of(sensitive_features, len(y))
    weight = weights_of(sample_weight, len(y))
    values = np.array(
        [
            average_precision_of(
                y[inside], score[inside], weight=None if weight is None else weight[inside]
            )
            for inside in (codes == code for code in range(len(names)))
        ]
    )
    return _disparity("average_precision_difference", _Rates((values,), names))


def soft_demographic_parity_difference(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    *,
    sensitive_features: object,
    sample_weight: npt.ArrayLike | None = None,
) -> float:
    """The spread of the groups' mean probabilities (Eq. 1), in [0, 1]; 0 is parity."""
    rates = _soft_rates("demographic_parity", y_true, y_pred, sensitive_features, sample_weight)
    return _disparity("soft_demographic_parity_difference", rates)


def soft_equalized_odds_difference(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    *,
    sensitive_features: object,
    sample_weight: npt.ArrayLike | None = None,
) -> float:
    """The spreads of mean probabilities at each label, added (Eq. 2), in [0, 2]; 0 is parity."""
    rates = _soft_rates("equalized_odds", y_true, y_pred, sensitive_features, sample_weight)
    return _disparity("soft_equalized_odds_difference", rates)


def soft_equal_opportunity_difference(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    *,
    sensitive_features: object,
    sample_weight: npt.ArrayLike | None = None,
) -> float:
    """The spread of the groups' mean probabilities at label 1 (A.11), in [0, 1]; 0 is parity."""
    rates = _soft_rates("equal_opportunity", y_true, y_pred, sensitive_features, sample_weight)
    return _disparity("soft_equal_opportunity_difference", rates)


def soft_predictive_parity_difference(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    *,
    sensitive_features: object,
    sample_weight: npt.ArrayLike | None = None,
) -> float:
    """The spread of the groups' E[y f] / E[f], f the probability, in [0, 1]; 0 is parity."""
    rates = _soft_rates("predictive_parity", y_true, y_pred, sensitive_features, sample_weight)
    return _disparity("soft_predictive_parity_difference", rates)


def _hard_rates(
    gap: str,
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    sensitive_features: object,
    sample_weight: npt.ArrayLike | None,
) -> _Rates:
    """The group rates of decisions."""
    y, decision = labels_and_decisions(y_true, y_pred)
    codes, names = groups_of(sensitive_features, len(y))
    weight = weights_of(sample_weight, len(y))
    return _Rates(gap_rates(gap, y, decision, codes, len(names), weight), names)


def _soft_rates(
    gap: str,
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    sensitive_features: object,
    sample_weight: npt.ArrayLike | None,
) -> _Rates:
    """The group rates of probabilities."""
    y, f = labels_and_probabilities(y_true, y_pred)
    codes, names = groups_of(sensitive_features, len(y))
    weight = weights_of(sample_weight, len(y))
    return _Rates(gap_rates(gap, y, f, codes, len(names), weight), names)


def _over_labels(
    agg: str, worst: Callable[[tuple[Floats, ...]], float]
) -> Callable[[tuple[Floats, ...]], float]:
    """How the figures of the labels become one.

    Raises:
        OptionError: if ``agg`` is unknown.
    """
    if agg not in get_args(Agg):
        raise OptionError(unknown("agg", agg, get_args(Agg)))
    if agg == "worst_case":
        return worst
    return lambda rates: float(np.mean([worst((values,)) for values in rates]))


def _smallest_over_largest(rates: tuple[Floats, ...]) -> float:
    """The smallest of one rate over the largest; NaN with fewer than two, or all 0."""
    (values,) = rates
    defined = values[~np.isnan(values)]
    if len(defined) < 2 or not defined.max() > 0:
        return np.nan
    return float(defined.min() / defined.max())


def _smallest_ratio(rates: tuple[Floats, ...]) -> float:
    """The smallest of the rates' ratios; NaN if one is."""
    return float(np.min([_smallest_over_largest((values,)) for values in rates]))


def _printed_ratio(rates: tuple[Floats, ...]) -> float:
    """The first of two values over the second, or the smallest of more over the largest."""
    (values,) = rates
    if len(values) != 2 or np.isnan(values).any():
        return _smallest_over_largest(rates)
    return float(values[0] / values[1]) if values[1] > 0 else np.nan


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
