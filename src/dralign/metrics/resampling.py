"""How far figures of the same network would differ on other rows: 95 % intervals.

A gap is never below 0, and drawing rows anew adds to it: the percentiles of drawn gaps lie too high
the more groups there are, and miss the true gap. What is drawn here is the noise in the rates that
a gap compares, and a gap of that noise alone tells how far the true gap may be from the one seen.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from dralign.metrics.arrays import Codes, Floats
from dralign.metrics.crossings import ratio
from dralign.metrics.measures import Measure
from dralign.metrics.rates import effective_rows
from dralign.metrics.scored_rows import Scored

LEVEL: Final = 0.95
TAILS: Final = (0.025, 0.975)
PRIOR_ROWS: Final = 4.0  # that are added to a cell: a rate k / n is drawn as (k + 2) / (n + 4)
_Z: Final = 1.959963984540054  # the 97.5th percentile of the normal distribution
_NORMAL_DRAWS: Final = 4000  # for the interval of a ratio, where they cost little
_DISTANCES: Final = {"expected_calibration_error"}  # of what probabilities say; drawing adds to it
Interval = tuple[float, float]


def bootstrap_intervals(
    rows: Scored, wanted: Sequence[tuple[Measure, str]], *, draws: int, rng: np.random.Generator
) -> list[Interval]:
    """The 95 % interval of each measure: (low, high), which hold the figure; NaN where undefined.

    Rows are drawn with replacement within each group, so that groups keep their sizes. A gap has
    the interval of Eq. 46: its value, less and more by ``noise`` of the rates that it compares,
    within the range that it can have. Of a gap without ``Measure.rates`` the noise is that of its
    value, which is enough where it is far from 0. Others have ``percentile_interval``, the
    calibration error with a low end of its own (Eq. 49).

    Args:
        rows: labels, probabilities, decisions and groups; drawn with their weights.
        wanted: measures of ``dralign.metrics.all_measures()``, each with the gap that it is of, or
            with any text where it is of none.
        draws: how many; 200 leave an end uncertain by about a tenth of the width.
        rng: what draws.
    """
    own = [measure.value(rows, gap) for measure, gap in wanted]
    drawn: list[list[Floats]] = [[] for _ in wanted]
    defined = np.flatnonzero(~np.isnan(own)).tolist()
    for plain, smoothed in drawn_rows(rows, draws=draws if defined else 0, rng=rng):
        for at in defined:
            measure, gap = wanted[at]
            of_draw = (
                _rates(smoothed, measure, gap)
                if measure.of_gap
                else np.array(measure.value(plain, gap))
            )
            drawn[at].append(of_draw)
    intervals = [(np.nan, np.nan)] * len(wanted)
    for at in defined:
        values = np.array(drawn[at])
        intervals[at] = (
            _gap_interval(own[at], values, _rates(rows, *wanted[at]), wanted[at][0])
            if wanted[at][0].of_gap
            else percentile_interval(own[at], values)
        )
        if wanted[at][0].name in _DISTANCES:
            off = _calibrated(rows, wanted[at][0], draws, rng)
            intervals[at] = max(own[at] - off, 0.0), intervals[at][1]
    return intervals


def drawn_rows(
    rows: Scored, *, draws: int, rng: np.random.Generator
) -> Iterator[tuple[Scored, Scored]]:
    """Rows drawn with replacement within each group, as they are and smoothed.

    A rate of 0 of 12 rows would be 0 in every draw. In the smoothed rows a row is replaced with the
    chance m / (n + m), m = ``PRIOR_ROWS`` and n the (effective) rows of its group and label: its
    label stays, its decision is any class, its probability the highest of that class in all rows.

    Args:
        rows: at least one.
        draws: how many.
        rng: what draws.
    """
    members = [np.flatnonzero(rows.codes == code) for code in range(-1, rows.n_groups)]
    extremes = rows.prob.argmax(0) if rows.by_class else [rows.prob.argmin(), rows.prob.argmax()]
    highest, chance = rows.prob[extremes], _chance(rows)
    chosen = np.eye(len(extremes)) if rows.by_class else np.arange(2.0)  # decisions
    for _ in range(draws):
        taken = np.concatenate([own[rng.integers(len(own), size=len(own))] for own in members])
        plain = rows_at(rows, taken)
        replaced = np.flatnonzero(rng.random(len(taken)) < chance[taken])
        label = rng.integers(len(extremes), size=len(replaced))
        prob, decision = plain.prob.copy(), plain.decision.copy()
        prob[replaced], decision[replaced] = highest[label], chosen[label]
        yield plain, replace(plain, prob=prob, decision=decision)


def rows_at(rows: Scored, taken: Codes) -> Scored:
    """These rows of the rows."""
    kept = (rows.y[taken], rows.prob[taken], rows.decision[taken], rows.codes[taken])
    weight = None if rows.weight is None else rows.weight[taken]
    return Scored(*kept, rows.n_groups, weight)


def noise(rates: Floats) -> float:
    """The 95th percentile over draws of the gap of (drawn rates - their mean over the draws).

    Args:
        rates: (draws, differences, alternatives, groups, cut-offs), as ``Measure.rates`` says; a
            group without a rate is left out of a draw, and a draw without two groups is.

    Returns:
        At least 0; NaN where no draw has two groups.
    """
    defined = ~np.isnan(rates)
    centre = ratio(np.where(defined, rates, 0.0).sum(0), defined.sum(0))
    off = rates - centre
    apart = np.fmax.reduce(off, axis=3) - np.fmin.reduce(off, axis=3)
    apart[defined.sum(3) < 2] = np.nan
    of_draws = np.fmax.reduce(apart.mean(-1), axis=2).sum(1)
    known = of_draws[~np.isnan(of_draws)]
    return float(np.quantile(known, LEVEL)) if len(known) else np.nan


def percentile_interval(value: float, draws: Floats) -> Interval:
    """The 2.5th and 97.5th percentile of the defined draws; NaN without any, or without a value.

    An interval that would not hold the value itself is widened up to it.
    """
    defined = draws[~np.isnan(draws)]
    if not len(defined) or np.isnan(value):
        return np.nan, np.nan
    low, high = np.quantile(defined, TAILS)
    return min(float(low), value), max(float(high), value)


def wilson_interval(share: float, n: float) -> Interval:
    """The interval of Wilson (1927) of a share of n rows, which may be effective ones (Eq. 39).

    It has a width also where the share is 0 or 1. NaN for NaN.
    """
    if np.isnan(share) or not n > 0:
        return np.nan, np.nan
    middle = share + _Z**2 / (2 * n)
    half = _Z * np.sqrt(share * (1 - share) / n + (_Z / (2 * n)) ** 2)
    low, high = (middle - half) / (1 + _Z**2 / n), (middle + half) / (1 + _Z**2 / n)
    return min(max(float(low), 0.0), share), max(min(float(high), 1.0), share)


def ratio_interval(rates: Floats, sizes: Floats, *, rng: np.random.Generator) -> Interval:
    """The interval of the smallest of some shares of rows over the largest (Eq. 48).

    Args:
        rates: (G,) from 0 to 1, of two groups or more, not all 0.
        sizes: (G,) rows of each group, which may be effective ones (Eq. 39).
        rng: what draws.
    """
    count, value = rates * sizes + 0.5, float(rates.min() / rates.max())
    middle = float(np.exp(-np.ptp(np.log(count / (sizes + 0.5)))))
    error = np.sqrt(1 / count - 1 / (sizes + 0.5 + PRIOR_ROWS))
    apart = np.ptp(rng.standard_normal((_NORMAL_DRAWS, len(rates))) * error, axis=1)
    times = float(np.exp(np.quantile(apart, LEVEL)))
    return min(middle / times, value), max(min(middle * times, 1.0), value)


def _calibrated(rows: Scored, measure: Measure, draws: int, rng: np.random.Generator) -> float:
    """The 95th percentile of the measure of calibrated probabilities (q of Eq. 49)."""
    by_label, by_sign = [], []
    for _ in range(draws):
        label = rng.random(len(rows.y)) < rows.prob
        by_label.append(measure.value(replace(rows, y=label.astype(np.float64)), ""))
        sign = rng.choice([-1.0, 1.0], len(rows.y))
        by_sign.append(measure.value(replace(rows, y=rows.prob + sign * (rows.y - rows.prob)), ""))
    return float(max(np.quantile(by_label, LEVEL), np.quantile(by_sign, LEVEL)))


def _gap_interval(value: float, drawn: Floats, own: Floats, measure: Measure) -> Interval:
    """The interval of a gap (Eq. 46) from its rates in the draws and in the rows."""
    drawn[:, np.isnan(own)] = np.nan  # such a group is left out of the gap
    off = noise(drawn)
    if measure.rates is not None:
        return max(value - off, 0.0), max(min(value + off, float(len(own))), value)
    least = 0.0 if min(value, np.nanmin(drawn)) >= 0 else -np.inf
    return max(value - off, least), value + off


def _rates(rows: Scored, measure: Measure, gap: str) -> Floats:
    """What a gap compares; of a measure that does not tell, its value and 0."""
    if measure.rates is not None:
        return measure.rates(rows, gap)
    return np.array([measure.value(rows, gap), 0.0]).reshape(1, 1, 2, 1)


def _chance(rows: Scored) -> Floats:
    """(n,) with which chance each row is replaced."""
    label = rows.y.astype(np.int64)
    n_labels = int(label.max()) + 1
    cell = (rows.codes + 1) * n_labels + label
    size = effective_rows(rows.counted, cell, (rows.n_groups + 1) * n_labels)
    return np.asarray(PRIOR_ROWS / (size[cell] + PRIOR_ROWS))
