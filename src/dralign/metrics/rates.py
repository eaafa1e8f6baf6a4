"""The sums behind the metrics, on arrays that are already checked; undefined values are NaN."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from dralign.gaps import gap_type
from dralign.metrics.arrays import Codes, Floats


class Runs(NamedTuple):
    """Rows by falling score.

    Attributes:
        order: (n,) row numbers; rows of equal scores in any order.
        last: (runs,) places in that order at which a run of equal scores ends.
    """

    order: Codes
    last: Codes

    def taken(self, weight: Floats | None) -> Floats:
        """(runs,) the rows, or their weights added up, from the first to the end of each run."""
        if weight is None:
            return np.asarray(self.last + 1.0, dtype=np.float64)
        return np.asarray(np.cumsum(weight[self.order])[self.last])


def weighted_mean(value: Floats, weight: Floats) -> float:
    """The sum of w v over the sum of w."""
    size = float(weight.sum())
    return float(value @ weight) / size if size > 0 else np.nan


def mean_of(value: Floats, weight: Floats | None) -> float:
    """The mean over rows, weighted where there are weights."""
    if weight is not None:
        return weighted_mean(value, weight)
    return float(value.mean()) if len(value) else np.nan


def group_means(value: Floats, weight: Floats, codes: Codes, n_groups: int) -> Floats:
    """The weighted mean of each group, (n_groups,)."""
    bins = codes + 1  # rows of no group fall into bin 0, which is dropped
    total = np.bincount(bins, weights=weight * value, minlength=n_groups + 1)[1:]
    size = np.bincount(bins, weights=weight, minlength=n_groups + 1)[1:]
    means = np.full(n_groups, np.nan)
    np.divide(total, size, out=means, where=size > 0)
    return means


def effective_rows(weight: Floats, codes: Codes, n_groups: int) -> Floats:
    """(n_groups,) how many rows of equal weight would tell as much of each group (Eq. 39)."""
    bins = codes + 1
    total = np.bincount(bins, weights=weight, minlength=n_groups + 1)[1:]
    squares = np.bincount(bins, weights=weight**2, minlength=n_groups + 1)[1:]
    return np.asarray(total**2 / np.where(squares > 0, squares, 1))


def gap_rates(
    gap: str,
    y: Floats,
    f: Floats,
    codes: Codes,
    n_groups: int,
    weight: Floats | None = None,
) -> tuple[Floats, ...]:
    """The rates that a gap compares, each (n_groups,); f is the probability or the decision.

    Where the gap is defined on batches in which a group's labels weigh the same (Eq. 22), each is
    the mean of the rates at the two labels.
    """
    kind = gap_type(gap)
    value, weights = kind.weighted(f, y, 2)
    rows = np.ones_like(y) if weight is None else weight
    at_each = [rows] if not kind.labels_alike else [rows * (1 - y), rows * y]
    rates = [
        [group_means(value, _numbers(w, f) * at, codes, n_groups) for at in at_each]
        for w in weights
    ]
    return tuple(np.mean(each, axis=0) for each in rates)


def class_rates(
    gap: str,
    y: Floats,
    f: Floats,
    codes: Codes,
    n_groups: int,
    weight: Floats | None = None,
) -> Floats:
    """The rates that a gap of C classes compares (Eq. 23), (C, differences, n_groups).

    Args:
        gap: one that is defined for them.
        y: (n,) labels 0..C-1.
        f: (n, C) probabilities, or decisions as a one in the column of the class.
        codes: (n,) group codes.
        n_groups: the number of groups.
        weight: (n,) weights of the rows; None where they are not weighted.
    """
    rows = np.ones_like(y) if weight is None else weight
    rates = []
    for scores in f.T:
        value, weights = gap_type(gap).weighted(scores, y, f.shape[1])
        rates.append(
            [group_means(value, _numbers(w, scores) * rows, codes, n_groups) for w in weights]
        )
    return np.array(rates)


def _numbers(weight: Floats | None, like: Floats) -> Floats:
    """The weights of a rate as numbers."""
    return np.ones_like(like) if weight is None else np.asarray(weight, dtype=np.float64)


def spread(rates: Floats) -> float:
    """The largest minus the smallest defined rate; NaN if fewer than two are defined."""
    defined = rates[~np.isnan(rates)]
    return float(defined.max() - defined.min()) if len(defined) > 1 else np.nan


def sum_of_spreads(rates: tuple[Floats, ...]) -> float:
    """The spreads added up; NaN if one is."""
    return sum(spread(rate) for rate in rates)


def largest_spread(rates: Iterable[Floats]) -> float:
    """The largest spread; NaN if one is."""
    return float(np.max([spread(rate) for rate in rates]))


def balanced_accuracy_of(y: Floats, decision: Floats, weight: Floats | None = None) -> float:
    """The mean of the shares of right decisions at label 0 and at label 1."""
    rows = np.ones_like(y) if weight is None else weight
    return (weighted_mean(decision, rows * y) + weighted_mean(1 - decision, rows * (1 - y))) / 2


def average_precision_of(
    y: Floats, score: Floats, runs: Runs | None = None, weight: Floats | None = None
) -> float:
    """The sum over thresholds of recall gained times precision, by one sort; NaN without positives.

    Not scikit-learn's, whose checks make it more than three times as slow on 9,045 rows: a trainer
    calls this twice an epoch. ``runs`` are those of the score, if they are there already.
    """
    positive = y if weight is None else y * weight
    n_positive = positive.sum()
    if n_positive == 0:
        return np.nan
    runs = runs or descending_runs(score)
    hits, taken = np.cumsum(positive[runs.order])[runs.last], runs.taken(weight)
    taken = np.where(taken > 0, taken, 1.0)  # nothing is taken of rows that weigh nothing
    return float(np.sum(np.diff(hits, prepend=0.0) * hits / taken) / n_positive)


def descending_runs(score: Floats) -> Runs:
    """The rows from the highest score to the lowest, and where runs of equal scores end."""
    order = np.argsort(-score)
    ranked = score[order]
    last = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(score) - 1)
    return Runs(order, last[: len(score)])
