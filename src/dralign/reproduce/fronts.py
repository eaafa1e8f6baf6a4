"""Two methods at equal average precision, with equally many weights of each.

A method with more weights has more noisy test points, and the lower envelope of more points lies
lower where there is no difference: by hypervolume, six weights "win" against three in most studies
of ten seeds (a simulation in the tests). So of the method with more weights as many are kept as the
other has: those whose validation APs lie nearest to the other's, which test rows have no part in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from math import isnan, nan
from typing import Final

import numpy as np

from dralign.analysis import front, gap_at, hypervolume
from dralign.analysis.fronts import Point

LEVELS: Final = 50  # of average precision at which two fronts are read
Points = Mapping[float, Mapping[int, Point]]  # average precision and gap, by weight and seed


@dataclass(frozen=True)
class Course:
    """The points of a method at all of its weights.

    Attributes:
        validation: average precision by weight and seed, on the validation rows.
        test: (average precision, gap) by weight and seed, on the test rows.
    """

    validation: Mapping[float, Mapping[int, float]]
    test: Points


def by_seed(first: Course, second: Course) -> dict[int, tuple[list[Point], list[Point]]]:
    """The test points of both by seed, equally many; a seed that lacks one is left out."""
    kept = even_weights(first, second)
    points = [
        [course.test[weight] for weight in weights]
        for course, weights in zip((first, second), kept, strict=True)
    ]
    each = [*points[0], *points[1]]
    seeds = set.intersection(*({*result} for result in each)) if each else set()
    return {
        seed: ([result[seed] for result in points[0]], [result[seed] for result in points[1]])
        for seed in sorted(seeds)
    }


def even_weights(first: Course, second: Course) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Equally many weights of each, chosen by mean validation AP alone."""
    ordered = [
        sorted(
            (float(np.mean([*by_seed.values()])), weight)
            for weight, by_seed in course.validation.items()
        )
        for course in (first, second)
    ]
    swapped = len(ordered[0]) > len(ordered[1])
    few, many = ordered[::-1] if swapped else ordered
    nearest = min(
        combinations(many, len(few)),
        key=lambda some: sum(abs(a[0] - b[0]) for a, b in zip(some, few, strict=True)),
    )
    sides = [tuple(weight for _, weight in side) for side in (few, nearest)]
    return (sides[1], sides[0]) if swapped else (sides[0], sides[1])


def matched_ratio(ours: list[Point], theirs: list[Point]) -> float:
    """The ratio of two fronts' mean gaps over the average precisions that both reach; else NaN."""
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
    return float(means[0] / means[1]) if means[1] > 0 else nan


def ratio_at(ours: list[Point], theirs: list[Point], level: float) -> float:
    """The ratio of two fronts' gaps at one average precision; NaN where one does not reach it."""
    gaps = [gap_at(front(points), level) for points in (ours, theirs)]
    return nan if any(map(isnan, gaps)) or not gaps[1] > 0 else gaps[0] / gaps[1]


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
