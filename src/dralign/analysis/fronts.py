"""Fronts of average precision and gap: what is not dominated, and what lies below and between."""

import math
from collections.abc import Iterable, Sequence

import numpy as np

Point = tuple[float, float]  # average precision (higher is better), absolute gap (lower is better)


def front(points: Iterable[Point]) -> list[Point]:
    """The points that no other dominates, by rising average precision and so by rising gap.

    Points with an undefined figure (NaN) are left out.
    """
    result: list[Point] = []
    known = {point for point in points if not any(map(math.isnan, point))}
    for point in sorted(known, key=lambda point: (-point[0], point[1])):
        if not result or point[1] < result[-1][1]:
            result.append(point)
    return result[::-1]


def gap_at(found: Sequence[Point], average_precision: float) -> float:
    """The gap of a front at an average precision, on the straight line between its neighbours.

    NaN outside the front: nothing is extrapolated.
    """
    if not found or not found[0][0] <= average_precision <= found[-1][0]:
        return math.nan
    precisions, gaps = zip(*found, strict=True)
    return float(np.interp(average_precision, precisions, gaps))


def hypervolume(points: Iterable[Point], reference: Point) -> float:
    """The share of the box from ``reference`` to the ideal (1, 0) that the points dominate.

    In [0, 1], higher is better: the share of demands "at least this average precision, at most
    this gap" within the box that some point meets. Points outside the box add nothing.

    Args:
        points: pairs of average precision and gap.
        reference: the lowest average precision and the largest gap that count.

    Returns:
        The share; NaN for an empty box.
    """
    lowest, largest = reference
    if not (lowest < 1 and largest > 0):
        return math.nan
    area, reached = 0.0, lowest
    for precision, gap in front(points):
        if precision > reached and gap < largest:
            area += (precision - reached) * (largest - gap)
            reached = precision
    return area / ((1 - lowest) * largest)
