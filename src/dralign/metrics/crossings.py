"""The spread of straight lines: its mean, exact, also where they cross."""

from typing import Final

import numpy as np

from dralign.metrics.arrays import Codes, Floats

_ROUNDING: Final = 1e-12
_BLOCK: Final = 1 << 20  # numbers held at once where lines cross


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
    one, other = np.triu_indices(len(rates), 1)
    block = max(1, _BLOCK // (len(rates) * (len(one) + 2)))
    for first in range(0, len(bent), block):
        at = bent[first : first + block]
        area[at] = width[at] * _area_with_crossings(rates[:, at], rates[:, at + 1], one, other)
    return float(area.sum() / taken[-1])


def _area_with_crossings(start: Floats, end: Floats, one: Codes, other: Codes) -> Floats:
    """The mean spread of straight lines (groups, k) over a piece, where pairs of them may cross."""
    before, after = start[one] - start[other], end[one] - end[other]  # (pairs, k)
    crossing = ratio(np.abs(before), np.abs(before) + np.abs(after))
    crossing = np.where(before * after < 0, crossing, 0)
    ends = np.zeros((1, start.shape[1])), np.ones((1, start.shape[1]))
    at = np.sort(np.concatenate([*ends, crossing]), axis=0)  # (points, k)
    lines = start[:, None] + at * (end - start)[:, None]  # (groups, points, k)
    apart = lines.max(0) - lines.min(0)
    area: Floats = ((apart[1:] + apart[:-1]) / 2 * np.diff(at, axis=0)).sum(0)
    return area
