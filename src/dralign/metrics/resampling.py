"""How far figures of the same network would differ on other rows: bootstrap intervals."""

from collections.abc import Sequence

import numpy as np

from dralign.metrics.arrays import Codes
from dralign.metrics.measures import Measure, Scored

TAILS = (0.025, 0.975)


def bootstrap_intervals(
    rows: Scored,
    measures: Sequence[Measure],
    gap: str,
    *,
    draws: int,
    rng: np.random.Generator,
) -> dict[str, tuple[float, float]]:
    """The 95 % percentile interval of each measure, by its name.

    Rows are drawn with replacement within each group, so that groups keep their sizes. Drawing adds
    to the spread between groups: the interval of a gap near 0 lies high, and holds the gap itself
    because it is widened up to it.

    Args:
        rows: labels, probabilities, decisions and groups; drawn with their weights.
        measures: of ``dralign.metrics.all_measures()``.
        gap: the gap of those that have a value for each.
        draws: how many; 200 leave an end uncertain by about a tenth of the width.
        rng: what draws.

    Returns:
        Lower and upper end; NaN where the measure is undefined.
    """
    members = [np.flatnonzero(rows.codes == code) for code in range(-1, rows.n_groups)]
    values = np.empty((draws, len(measures)))
    for draw in range(draws):
        taken = np.concatenate([own[rng.integers(len(own), size=len(own))] for own in members])
        values[draw] = _figures(_at(rows, taken), measures, gap)
    intervals = {}
    for measure, value, column in zip(
        measures, _figures(rows, measures, gap), values.T, strict=True
    ):
        defined = column[~np.isnan(column)]
        if not len(defined) or np.isnan(value):
            intervals[measure.name] = (np.nan, np.nan)
            continue
        low, high = np.quantile(defined, TAILS)
        intervals[measure.name] = (min(float(low), value), max(float(high), value))
    return intervals


def _figures(rows: Scored, measures: Sequence[Measure], gap: str) -> list[float]:
    """The value of each measure."""
    return [
        float(measure.compute(rows, gap) if measure.of_gap else measure.compute(rows))
        for measure in measures
    ]


def _at(rows: Scored, taken: Codes) -> Scored:
    """These rows of the rows."""
    kept = (rows.y[taken], rows.prob[taken], rows.decision[taken], rows.codes[taken])
    weight = None if rows.weight is None else rows.weight[taken]
    return Scored(*kept, rows.n_groups, weight)
