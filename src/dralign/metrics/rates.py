"""The sums behind the metrics, on arrays that are already checked; undefined values are NaN."""

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from dralign.metrics.arrays import Codes, Floats

# What a gap compares between groups: means of a value, weighted, where f is the probability
# (soft) or the decision (hard). Equalized odds compares two, at label 0 and at label 1.
GAP_TERMS: Final[dict[str, Callable[[Floats, Floats], tuple[tuple[Floats, Floats], ...]]]] = {
    "demographic_parity": lambda _, f: ((f, np.ones_like(f)),),
    "equalized_odds": lambda y, f: ((f, 1 - y), (f, y)),
    "equal_opportunity": lambda y, f: ((f, y),),
    "predictive_parity": lambda y, f: ((y, f),),
}

GAPS: Final = (*GAP_TERMS, "printed_predictive_parity")
CLASS_GAPS: Final = ("demographic_parity", "equalized_odds")  # those of more than two classes


class Runs(NamedTuple):
    """Rows by falling score.

    Attributes:
        order: (n,) row numbers; rows of equal scores in any order.
        last: (runs,) places in that order at which a run of equal scores ends.
    """

    order: Codes
    last: Codes


def weighted_mean(value: Floats, weight: Floats) -> float:
    """The sum of w v over the sum of w."""
    size = float(weight.sum())
    return float(value @ weight) / size if size > 0 else np.nan


def group_means(value: Floats, weight: Floats, codes: Codes, n_groups: int) -> Floats:
    """The weighted mean of each group, (n_groups,)."""
    bins = codes + 1  # rows of no group fall into bin 0, which is dropped
    total = np.bincount(bins, weights=weight * value, minlength=n_groups + 1)[1:]
    size = np.bincount(bins, weights=weight, minlength=n_groups + 1)[1:]
    means = np.full(n_groups, np.nan)
    np.divide(total, size, out=means, where=size > 0)
    return means


def gap_rates(gap: str, y: Floats, f: Floats, codes: Codes, n_groups: int) -> tuple[Floats, ...]:
    """The rates that a gap compares, each (n_groups,).

    The printed predictive parity compares what its batches have, in which a group's labels weigh
    the same (Eq. 22): the mean of the two rates of equalized odds.
    """
    if gap == "printed_predictive_parity":
        at_0, at_1 = gap_rates("equalized_odds", y, f, codes, n_groups)
        return ((at_0 + at_1) / 2,)
    terms = GAP_TERMS[gap](y, f)
    return tuple(group_means(value, weight, codes, n_groups) for value, weight in terms)


def class_gap(gap: str, y: Floats, f: Floats, codes: Codes, n_groups: int) -> float:
    """The gap of C classes (Eq. 23), demographic parity or equalized odds; NaN if undefined.

    Args:
        gap: which of the two.
        y: (n,) labels 0..C-1.
        f: (n, C) probabilities, or decisions as a one in the column of the class.
        codes: (n,) group codes.
        n_groups: the number of groups.
    """
    n_classes = f.shape[1]
    if gap == "demographic_parity":
        strata = [np.ones(len(y))]
    else:
        strata = [(y == label).astype(np.float64) for label in range(n_classes)]
    return sum(
        float(np.max([spread(group_means(f[:, c], w, codes, n_groups)) for c in range(n_classes)]))
        for w in strata
    )


def spread(rates: Floats) -> float:
    """The largest minus the smallest defined rate; NaN if fewer than two are defined."""
    defined = rates[~np.isnan(rates)]
    return float(defined.max() - defined.min()) if len(defined) > 1 else np.nan


def sum_of_spreads(rates: tuple[Floats, ...]) -> float:
    """The spreads added up; NaN if one is."""
    return sum(spread(rate) for rate in rates)


def largest_spread(rates: tuple[Floats, ...]) -> float:
    """The largest spread; NaN if one is."""
    return float(np.max([spread(rate) for rate in rates]))


def balanced_accuracy_of(y: Floats, decision: Floats) -> float:
    """The mean of the shares of right decisions at label 0 and at label 1."""
    return (weighted_mean(decision, y) + weighted_mean(1 - decision, 1 - y)) / 2


def average_precision_of(y: Floats, score: Floats, runs: Runs | None = None) -> float:
    """The sum over thresholds of recall gained times precision, by one sort; NaN without positives.

    Not scikit-learn's, whose checks make it more than three times as slow on 9,045 rows: a trainer
    calls this twice an epoch. ``runs`` are those of the score, if they are there already.
    """
    n_positive = y.sum()
    if n_positive == 0:
        return np.nan
    order, last = runs or descending_runs(score)
    hits = np.cumsum(y[order])[last]
    return float(np.sum(np.diff(hits, prepend=0.0) * hits / (last + 1)) / n_positive)


def descending_runs(score: Floats) -> Runs:
    """The rows from the highest score to the lowest, and where runs of equal scores end."""
    order = np.argsort(-score)
    ranked = score[order]
    last = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(score) - 1)
    return Runs(order, last[: len(score)])
