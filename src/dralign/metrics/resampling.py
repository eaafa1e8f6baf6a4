"""How far figures of the same network would differ on other rows: bootstrap intervals."""

from collections.abc import Sequence

import numpy as np

from dralign.metrics.arrays import Codes, Floats
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
        values[draw] = _figures(_at(rows, drawn_rows(members, rng)), measures, gap)
    own = _figures(rows, measures, gap)
    return {
        measure.name: percentile_interval(value, column)
        for measure, value, column in zip(measures, own, values.T, strict=True)
    }


def drawn_rows(members: Sequence[Codes], rng: np.random.Generator) -> Codes:
    """Rows drawn with replacement within each group, as many as it has.

    Args:
        members: the numbers of each group's rows.
        rng: what draws.
    """
    return np.concatenate([own[rng.integers(len(own), size=len(own))] for own in members])


def percentile_interval(value: float, draws: Floats) -> tuple[float, float]:
    """The 2.5th and 97.5th percentile of the defined draws; NaN without any, or without a value.

    Drawing biases spreads upwards and similarities downwards; an interval that would not hold the
    value itself is widened up to it.
    """
    defined = draws[~np.isnan(draws)]
    if not len(defined) or np.isnan(value):
        return np.nan, np.nan
    low, high = np.quantile(defined, TAILS)
    return min(float(low), value), max(float(high), value)


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
