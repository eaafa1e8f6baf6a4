"""Two methods at equal average precision, with equally many weights of each."""

from collections.abc import Mapping
from math import inf, nan
from typing import Final

import numpy as np

from dralign.analysis import front, gap_at, hypervolume
from dralign.analysis.courses import Course, even_weights
from dralign.analysis.fronts import Point

LEVELS: Final = 50  # of average precision at which two fronts are read


def by_seed(
    first: Course[float], second: Course[float]
) -> dict[int, tuple[list[Point], list[Point]]]:
    """The test points of both by seed, equally many; a seed that lacks one is left out."""
    kept = even_weights(first, second)
    ours, theirs = first.of_seeds(kept[0]), second.of_seeds(kept[1])
    return {seed: (ours[seed], theirs[seed]) for seed in sorted(ours.keys() & theirs.keys())}


def matched_ratio(ours: list[Point], theirs: list[Point]) -> float:
    """The ratio of two fronts' mean gaps over the average precisions that both reach; else NaN.

    Over 0 it is infinite, and 0 over 0 is NaN, as in ``ratio_at``.
    """
    one, other = front(ours), front(theirs)
    if not one or not other:
        return nan
    low, high = max(one[0][0], other[0][0]), min(one[-1][0], other[-1][0])
    if not low < high:
        return nan
    levels = np.linspace(low, high, LEVELS)
    means = [
        float(np.interp(levels, [ap for ap, _ in side], [gap for _, gap in side]).mean())
        for side in (one, other)
    ]
    return _over(*means)


def ratio_at(ours: list[Point], theirs: list[Point], level: float) -> float:
    """The ratio of two fronts' gaps at one average precision; NaN where one does not reach it."""
    gaps = [gap_at(front(points), level) for points in (ours, theirs)]
    return _over(*gaps)


def _over(first: float, second: float) -> float:
    """The ratio of two gaps, neither negative: infinite over 0, NaN for 0 over 0."""
    if second == 0:
        return inf if first > 0 else nan
    return first / second


def volumes(
    points: Mapping[int, tuple[list[Point], list[Point]]],
) -> tuple[dict[int, float], dict[int, float]]:
    """The hypervolumes of both by seed, in the box that holds all of their points."""
    every = [point for sides in points.values() for side in sides for point in side]
    if not every:
        return {}, {}
    reference = min(ap for ap, _ in every), max(gap for _, gap in every)
    first, second = (
        {seed: hypervolume(sides[i], reference) for seed, sides in points.items()} for i in (0, 1)
    )
    return first, second
