"""Predictions of the same rows, which every measure reads."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dralign.gaps import figure_names
from dralign.metrics.arrays import Codes, Floats
from dralign.metrics.rank_curves import RankCurves, rank_curves_of
from dralign.metrics.ranking import rank_gaps_of
from dralign.metrics.rates import (
    Runs,
    class_rates,
    descending_runs,
    gap_rates,
    largest_spread,
    mean_of,
)


@dataclass(frozen=True)
class Scored:
    """Labels, probabilities, decisions and groups of the same rows, checked.

    What several measures need is worked out once.

    Attributes:
        y: (n,) labels 0 or 1, or 0..C-1.
        prob: (n,) probabilities of label 1, or (n, C) of C > 2 classes.
        decision: (n,) decisions 0 or 1, or (n, C) with a one in the column of the decision.
        codes: (n,) group codes 0..G-1; rows coded -1 are in no group.
        n_groups: the number of groups G.
        weight: (n,) positive weights of the rows; None where they are not weighted.
    """

    y: Floats
    prob: Floats
    decision: Floats
    codes: Codes
    n_groups: int
    weight: Floats | None = None

    @property
    def by_class(self) -> bool:
        """Whether there are more than two classes."""
        return self.prob.ndim == 2

    @property
    def gaps(self) -> tuple[str, ...]:
        """The gaps that these rows can have."""
        return figure_names(self.prob.shape[1] if self.by_class else 2)

    @cached_property
    def counted(self) -> Floats:
        """(n,) what each row counts: its weight, or 1."""
        return np.ones_like(self.y) if self.weight is None else self.weight

    @cached_property
    def runs(self) -> Runs:
        """The rows by falling probability, of two classes."""
        return descending_runs(self.prob)

    @cached_property
    def curves(self) -> list[RankCurves]:
        """Who is selected as the cut-off goes down the ranking, of two classes or of each."""
        runs = None if self.by_class else self.runs
        return rank_curves_of(self.y, self.prob, self.codes, self.n_groups, runs, self.weight)

    @cached_property
    def rank_gaps(self) -> dict[str, float]:
        """Every gap that the order alone decides, ``<measure>_<gap>``."""
        return rank_gaps_of(self.curves)

    @cached_property
    def at_base_rate(self) -> Floats:
        """(n,) decisions by which as many rows (or weights) are selected as are positive.

        Rows that tie at the cut-off are all selected by the same fraction. Of two classes.
        """
        known = self.codes >= 0
        wanted = float((self.counted * self.y)[known].sum())
        runs = descending_runs(self.prob[known])
        ends = np.append(0.0, runs.taken(None if self.weight is None else self.weight[known]))
        width = np.diff(ends)  # 0 where a weight is lost beside much larger ones
        share = np.clip((wanted - ends[:-1]) / np.where(width > 0, width, 1), 0, 1)
        selected = np.zeros(len(self.y))
        by_rank = np.repeat(share, np.diff(runs.last, prepend=-1))
        selected[np.flatnonzero(known)[runs.order]] = by_rank
        return selected

    @cached_property
    def right(self) -> Floats:
        """(n,) 1 where the decision is that of the label."""
        chosen = self.decision.argmax(1) if self.by_class else self.decision
        return np.asarray(chosen == self.y, dtype=np.float64)

    def mean(self, values: Floats) -> float:
        """The mean of (n,) values over the rows; NaN without any."""
        return mean_of(values, self.weight)

    def over_classes(self, figure: Callable[[Floats, Floats], float]) -> float:
        """The mean over the classes that have rows of a figure of labels and probabilities."""
        classes = np.unique(self.y).astype(np.int64)
        values = [figure((self.y == c).astype(np.float64), self.prob[:, c]) for c in classes]
        return float(np.mean(values)) if values else math.nan

    def gap_of(self, gap: str, values: Floats) -> float:
        """A gap of probabilities or decisions (Eq. 1, 2 and 23); NaN where undefined."""
        rates = self.rates_of(gap, values)[..., 0]  # (differences, classes, groups)
        return float(sum(largest_spread(classes) for classes in rates))

    def rates_of(self, gap: str, values: Floats) -> Floats:
        """The rates that such a gap compares: (differences, classes, groups, 1)."""
        rows = self.codes, self.n_groups, self.weight
        if self.by_class:
            return class_rates(gap, self.y, values, *rows).swapaxes(0, 1)[..., None]
        return np.array(gap_rates(gap, self.y, values, *rows))[:, None, :, None]
