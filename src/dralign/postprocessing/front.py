"""The front of one fit: figures at every weight, and the weight that keeps a wanted gap."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

import numpy as np

from dralign.errors import OptionError, quoted
from dralign.metrics import gap_measure, gap_measure_names
from dralign.metrics.arrays import THRESHOLD, Codes, Floats
from dralign.metrics.decisions import BASE_RATE, base_rate_threshold
from dralign.metrics.measures import figures_of
from dralign.metrics.record import scored
from dralign.postprocessing.shift import ScoreShift, shifted

POINTS: Final = 61
BEYOND: Final = 1.5  # times the weight of equal rates; other measures are even a little later


def check_max_gap(max_gap: object) -> None:
    """Checks the largest gap that is wanted.

    Raises:
        OptionError: if it is negative or not a number.
    """
    number = isinstance(max_gap, int | float | np.number) and not isinstance(max_gap, bool)
    if not number or not cast("float", max_gap) >= 0:
        raise OptionError(f"max_gap: expected a number from 0 up, got {quoted(max_gap)}")


@dataclass(frozen=True)
class ShiftPoint:
    """One weight of a front.

    Attributes:
        weight: c.
        threshold: the probability from which on its decisions are positive.
        figures: every measure of ``dralign.metrics.evaluate``, on the rows of the front.
    """

    weight: float
    threshold: float
    figures: Mapping[str, float]

    def gap(self, measure: str, gap: str) -> float:
        """Its gap in a measure, by name."""
        return gap_measure(measure).of(self.figures, gap)


@dataclass(frozen=True)
class ShiftFront:
    """The figures at rising weights, the first of them 0.

    Attributes:
        gap: the gap that the scores are shifted against.
        points: one for each weight.
    """

    gap: str
    points: tuple[ShiftPoint, ...]

    def select(self, max_gap: float, measure: str) -> tuple[ShiftPoint, bool]:
        """The smallest weight whose gap is at most ``max_gap``, and whether there is one.

        Where there is none, or a gap is undefined, the one of the smallest gap is taken.

        Args:
            max_gap: the largest gap that is wanted.
            measure: a name of ``dralign.metrics.gap_measure_names()``.

        Raises:
            OptionError: if the largest gap is negative or not a number, or the measure is unknown.
        """
        check_max_gap(max_gap)
        gaps = [point.gap(measure, self.gap) for point in self.points]
        for point, gap in zip(self.points, gaps, strict=True):
            if gap <= max_gap:
                return point, True
        known = [math.inf if math.isnan(gap) else gap for gap in gaps]
        return self.points[int(np.argmin(known))], False

    def rows(self) -> list[dict[str, float]]:
        """The points as rows of a table: weight, precision, accuracy, and each measure's gap."""
        names = {name: gap_measure(name).key(self.gap) for name in gap_measure_names()}
        return [
            {
                "weight": point.weight,
                "average_precision": point.figures["average_precision"],
                "accuracy": point.figures["accuracy"],
                **{name: point.figures[key] for name, key in names.items() if key in point.figures},
            }
            for point in self.points
        ]


def front_of(
    prob: Floats,
    amount: Floats,
    shift: ScoreShift,
    *,
    label: Codes,
    group: Codes,
    n_groups: int,
    gap: str,
    threshold: float | str = THRESHOLD,
    weights: Sequence[float] | None = None,
) -> ShiftFront:
    """The front on rows with labels and groups.

    Args:
        prob: (n,) probabilities of label 1.
        amount: (n,) what ``shift.amount`` gave for them.
        shift: the line.
        label: (n,) labels 0 or 1.
        group: (n,) codes; rows coded -1 take no part in gaps.
        n_groups: the number of groups.
        gap: the gap that the scores are shifted against.
        threshold: the probability from which on a decision is positive; ``"base-rate"`` finds that
            of each weight.
        weights: rising, without 0; None takes 60 up to one and a half times that of equal rates.
    """
    if weights is None:
        weights = np.linspace(0, BEYOND * shift.to_parity, POINTS)[1:].tolist()
    points = []
    for weight in (0.0, *(weights if shift.to_parity else ())):
        f = shifted(prob, amount, weight)
        at = base_rate_threshold(label, f) if threshold == BASE_RATE else float(threshold)
        rows = scored(label, f, group, n_groups=n_groups, threshold=at)
        points.append(ShiftPoint(weight, at, figures_of(rows)))
    return ShiftFront(gap, tuple(points))
