"""Who is selected of every group, as the cut-off goes down the ranking (Eq. 25)."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import numpy as np

from dralign.gaps import gap_type
from dralign.metrics.arrays import Codes, Floats
from dralign.metrics.crossings import ratio
from dralign.metrics.rates import Runs, descending_runs

NO_CURVE: Final = ("predictive_parity",)  # at small shares a group has nobody selected
Stratum = int | Literal["all", "labels alike"]


@dataclass(frozen=True)
class RankCurves:
    """How many rows of every cell are selected, as the cut-off goes down the ranking (Eq. 25).

    Between the entries the curves are straight lines, because tied rows are selected by the same
    fraction.

    Attributes:
        taken: (k,) rows (or weights) selected in all, from 0; each entry ends a run of tied rows.
        cells: (labels, groups, k) rows of each cell among them.
        positive: the label that is ranked: 1, or the class.
    """

    taken: Floats
    cells: Floats
    positive: int

    @property
    def is_trivial(self) -> bool:
        """Whether selecting as many as are positive would select nobody, or everybody."""
        of_label = self.cells[:, :, -1].sum(1)
        return not 0 < self.n_positive < of_label.sum()

    @cached_property
    def n_positive(self) -> float:
        """The number (or weight) of rows with the label that is ranked."""
        return float(self.cells[self.positive, :, -1].sum())

    def strata(self, gap: str) -> list[Stratum]:
        """Within which rows the gap compares the groups; those of several gaps are added up."""
        kind = gap_type(gap)
        if kind.labels_alike:
            return ["labels alike"]  # Eq. 22
        strata = kind.strata_of(len(self.cells))
        return ["all" if label is None else label for label in strata]

    def sizes(self, stratum: Stratum) -> Floats:
        """The rows of every group in the stratum, (groups,); without any it has no rate there."""
        size: Floats = self.cells[:, :, -1]  # (labels, groups)
        if isinstance(stratum, int):
            return np.asarray(size[stratum])
        return np.asarray(size.sum(0) if stratum == "all" else size.min(0))

    def rates(self, stratum: Stratum) -> Floats:
        """The share selected of every group that has a rate: (such groups, k)."""
        if stratum == "labels alike":
            there = self.sizes(stratum) > 0
            shares: Floats = (self.cells[:, there] / self.cells[:, there, -1:]).mean(0)
            return shares
        selected: Floats = self.cells.sum(0) if stratum == "all" else self.cells[stratum]
        there = self.sizes(stratum) > 0
        if not there.all():
            selected = selected[there]
        rates: Floats = selected / selected[:, -1:]
        return rates

    def precisions(self) -> Floats:
        """The share of label 1 among the selected of every group at the base rate, (groups,)."""
        selected = self.at_base_rate(self.cells)
        return ratio(selected[1], selected.sum(0))

    def at_base_rate(self, curves: Floats) -> Floats:
        """The curves where as many rows are selected as are positive: (..., k) -> (...)."""
        return np.asarray(self.at(curves, np.array([self.n_positive]))[..., 0])

    def at_shares(self, stratum: Stratum, shares: Floats) -> Floats:
        """The rates where so many of all are selected: (s,) -> (groups, s); NaN without rows."""
        selected, size = self.at(self.cells, shares * self.taken[-1]), self.cells[:, :, -1:]
        if stratum == "labels alike":
            return np.asarray(np.mean(ratio(selected, size), axis=0))
        if stratum == "all":
            return ratio(selected.sum(0), size.sum(0))
        return ratio(selected[stratum], size[stratum])

    def at(self, curves: Floats, selected: Floats) -> Floats:
        """The curves where so many rows are selected: (..., k) and (s,) -> (..., s)."""
        # Sums of weights are rounded: the last entry may be a little below their total.
        after = np.minimum(np.searchsorted(self.taken, selected), len(self.taken) - 1)
        before = np.maximum(after - 1, 0)
        run = self.taken[after] - self.taken[before]
        part = (selected - self.taken[before]) / np.where(run > 0, run, 1)
        start: Floats = curves[..., before]
        between: Floats = start + part * (curves[..., after] - start)
        return between


def rank_curves_of(
    y: Floats,
    score: Floats,
    codes: Codes,
    n_groups: int,
    runs: Runs | None = None,
    weight: Floats | None = None,
) -> list[RankCurves]:
    """The curves of two classes, or of each of C classes against the rest; arrays are checked.

    Args:
        y: (n,) labels.
        score: (n,) scores, or (n, C) of C > 2 classes.
        codes: (n,) group codes; rows coded -1 are left out.
        n_groups: the number of groups.
        runs: those of (n,) scores, if they are there already.
        weight: (n,) weights of the rows; None where they are not weighted.
    """
    if len(codes) and codes.min() < 0:
        known = codes >= 0
        y, score, codes, runs = y[known], score[known], codes[known], None
        weight = None if weight is None else weight[known]
    label = y.astype(np.int64)
    if score.ndim == 1:
        runs = runs or descending_runs(score)
        return [_curves(runs, label, codes, weight, n_labels=2, n_groups=n_groups, positive=1)]
    sizes = {"n_labels": score.shape[1], "n_groups": n_groups}
    return [
        _curves(descending_runs(of_class), label, codes, weight, positive=c, **sizes)
        for c, of_class in enumerate(score.T)
    ]


def _curves(
    runs: Runs,
    label: Codes,
    codes: Codes,
    weight: Floats | None,
    *,
    n_labels: int,
    n_groups: int,
    positive: int,
) -> RankCurves:
    """The curves of one ranking; every row has a group."""
    cell = (label * n_groups + codes)[runs.order]
    untied = len(runs.last) == len(cell)
    reached = np.zeros((n_labels * n_groups, len(runs.last) + 1))
    ranked = None if weight is None else weight[runs.order]
    for number, counts in enumerate(reached):
        inside = cell == number
        reached_by_row = np.cumsum(inside if ranked is None else ranked * inside)
        counts[1:] = reached_by_row if untied else reached_by_row[runs.last]
    return RankCurves(
        taken=np.append(0.0, runs.taken(weight)),
        cells=reached.reshape(n_labels, n_groups, len(runs.last) + 1),
        positive=positive,
    )
