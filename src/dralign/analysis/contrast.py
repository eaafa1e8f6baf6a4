"""One figure of two methods, compared over seeds."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from dralign.analysis.rows import Interval
from dralign.analysis.significance import PValues, Ratio, p_values, ratio_of_means

Figure = Literal["average_precision", "gap", "hypervolume"]
At = Literal["weight", "average_precision", "front"]
Weights = tuple[float, float]  # lambda and beta


@dataclass(frozen=True)
class Contrast:
    """One figure of two methods, compared over seeds.

    Attributes:
        figure: average precision (higher is better), the absolute gap (lower), or the hypervolume
            of the fronts (higher).
        at: where: at one setting of each (``"weight"``), at one average precision on each seed's
            front (``"average_precision"``), or over whole fronts (``"front"``).
        level: the first method's fairness weight (the second's if the first has none), the average
            precision, or NaN.
        first_weights: lambda and beta of the first method, if ``at`` is ``"weight"``.
        second_weights: those of the second.
        seeds: the seeds that both methods were run with.
        first: the first method's figure over all its seeds that have it.
        second: the same of the second.
        difference: first minus second, over the seeds where both have it; its ``n`` says how many.
        ratio: the mean of the first over that of the second, on the same seeds.
        p: p-values that the two do not differ.
        holm: the same after Holm's correction over all contrasts of one call that share data and
            gap, each kind of test by itself.
    """

    figure: Figure
    at: At
    level: float
    first_weights: Weights | None
    second_weights: Weights | None
    seeds: int
    first: Interval
    second: Interval
    difference: Interval
    ratio: Ratio
    p: PValues
    holm: PValues = field(default_factory=PValues)


def contrast_of(
    figure: Figure,
    at: At,
    level: float,
    first: Mapping[int, float],
    second: Mapping[int, float],
    seeds: int,
    *,
    weights: tuple[Weights, Weights] | None = None,
) -> Contrast:
    """The contrast of two figures by seed; undefined ones (NaN) are left out.

    Args:
        figure: what is compared.
        at: where, as in ``Contrast``.
        level: of that place.
        first: the figure of each seed.
        second: the same of the other method.
        seeds: the number of seeds that both were run with.
        weights: of both, at one setting of each.
    """
    a, b = (
        {seed: value for seed, value in side.items() if not math.isnan(value)}
        for side in (first, second)
    )
    both = sorted(a.keys() & b.keys())
    own, other = weights or (None, None)
    return Contrast(
        figure,
        at,
        level,
        own,
        other,
        seeds,
        Interval.of(a.values()),
        Interval.of(b.values()),
        Interval.of(a[seed] - b[seed] for seed in both),
        ratio_of_means([a[seed] for seed in both], [b[seed] for seed in both]),
        p_values(a, b),
    )
