"""The spread of straight lines: its mean, exact, also where they cross."""

from typing import Final

import numpy as np

from dralign.metrics.arrays import Floats

_ROUNDING: Final = 1e-12


def ratio(part: Floats, whole: Floats) -> Floats:
    """The quotient, NaN where it is 0 / 0."""
    quotient = np.full(part.shape, np.nan)
    np.divide(part, whole, out=quotient, where=whole > 0)
    return quotient


def mean_spread(taken: Floats, rates: Floats, apart: Floats) -> float:
    """The mean over shares of the spread, exact: (k,), (groups, k) and the spread (k,).

    From one entry to the next the spread is convex, so it is a straight line if its middle is the
    mean of its ends. Elsewhere lines cross.
    """
    width = np.diff(taken)
    ends = apart[1:] + apart[:-1]
    doubled = rates[:, 1:] + rates[:, :-1]
    bent = np.flatnonzero(doubled.max(0) - doubled.min(0) < ends - _ROUNDING)
    area = ends / 2 * width
    if len(rates) == 2:  # two triangles that meet where the lines cross
        squares = apart[bent] ** 2 + apart[bent + 1] ** 2
        area[bent] = squares / (2 * ends[bent]) * width[bent]
        return float(area.sum() / taken[-1])
    start, end = rates[:, bent], rates[:, bent + 1]
    area[bent] = width[bent] * (_mean_largest(start, end) + _mean_largest(-start, -end))
    return float(area.sum() / taken[-1])


def _mean_largest(start: Floats, end: Floats) -> Floats:
    """(k,) the mean over a piece of the largest of straight lines, given at its ends: (groups, k).

    The largest is followed from the left end to where a steeper line crosses it, and then that one:
    few lines are ever the largest, so that pairs of lines need not be compared.
    """
    slope = end - start
    there = np.arange(start.shape[1])  # the pieces that are not yet at their right end
    line = np.where(start == start.max(0), slope, -np.inf).argmax(0)
    mean, at = np.zeros(len(there)), np.zeros(len(there))
    while len(there):
        own = line, np.arange(len(there))
        level, rise = start[own], slope[own]
        faster = slope - rise
        crossing = np.full(slope.shape, np.inf)
        np.divide(level - start, faster, out=crossing, where=faster > 0)
        line = crossing.argmin(0)
        reached = np.clip(crossing.min(0), at, 1)
        mean[there] += (reached - at) * (level + rise * (at + reached) / 2)
        on = reached < 1
        start, slope = start[:, on], slope[:, on]
        there, line, at = there[on], line[on], reached[on]
    return mean
