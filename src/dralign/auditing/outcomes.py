"""Group figures and gaps with bootstrap intervals."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dralign.auditing.records import Estimate, GroupFigures, Outcomes
from dralign.auditing.small import at_a_label, figures, limits_of
from dralign.errors import OptionError
from dralign.metrics import all_measures, measure, scored
from dralign.metrics.decisions import NOBODY, check_threshold
from dralign.metrics.measures import wanted_of
from dralign.metrics.rates import effective_rows, group_means
from dralign.metrics.resampling import (
    Interval,
    bootstrap_intervals,
    percentile_interval,
    ratio_interval,
    rows_at,
    wilson_interval,
)
from dralign.metrics.scored_rows import Scored

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Threshold = float | Mapping[str, float]  # of all, or by the name of the group


def thresholds_of(threshold: Threshold, names: Sequence[str]) -> tuple[float, ...]:
    """(G,) the probability from which on a row of each group is decided positive.

    Args:
        threshold: one for all, or for each group by its name.
        names: of the groups.

    Raises:
        OptionError: if a group has none, or one is no number from 0 to 1.
    """
    known = threshold if isinstance(threshold, Mapping) else dict.fromkeys(names, threshold)
    for name in names:
        if name not in known:
            raise OptionError(f"threshold: group {name!r} has none; give one for each group")
        if known[name] != NOBODY:  # where a rule was to select none
            check_threshold(known[name], named=False)
    return tuple(float(known[name]) for name in names)


def told_threshold(thresholds: Sequence[float], names: Sequence[str]) -> float | dict[str, float]:
    """The thresholds as JSON: one number where all are the same, else by the group."""
    by_group = dict(zip(names, thresholds, strict=True))
    return thresholds[0] if len({*thresholds}) == 1 else by_group


def outcomes(
    label: Codes,
    prob: Floats,
    group: Codes,
    names: Sequence[str],
    *,
    n_bootstrap: int,
    rng: np.random.Generator,
    cells: Codes | None = None,
    favourable: bool | None = None,
    thresholds: Sequence[float] = (),
    weight: Floats | None = None,
) -> Outcomes:
    """Each group's figures and the gaps between groups, with 95 % intervals.

    Shares of rows have Wilson's interval, average precision and mean probability percentiles of
    rows drawn within the group, gaps that of Eq. 46, the ratio of selection rates that of Eq. 48.

    Args:
        label: (n,) labels 0 or 1.
        prob: (n,) probabilities of label 1.
        group: (n,) codes 0..G-1.
        names: the name of each group.
        n_bootstrap: the number of draws.
        rng: what draws.
        cells: (n,) ``group`` with -1 for rows that take no part in rates at a label; None for
            none.
        favourable: whether label 1 is good for the person it is about; None if that is not known.
        thresholds: for each group the probability from which on a decision is positive; empty for
            0.5.
        weight: (n,) what each row counts; rows are drawn with theirs. None weighs none.
    """
    y = label.astype(np.float64)
    cells = group if cells is None else cells
    everything = (y, prob, group, cells, len(names))
    values = figures(*everything, thresholds, weight)
    how: dict[str, Any] = {"n_groups": len(names), "thresholds": limits_of(thresholds)}
    rows = scored(y, prob, group, sample_weight=weight, **how)
    large = rows
    if not np.array_equal(cells, group):
        large = scored(y, prob, cells, sample_weight=weight, **how)
    intervals = _intervals(rows, large, n_bootstrap, rng)
    estimates = {name: Estimate(value, *intervals[name]) for name, value in values.items()}
    by_group = _group_estimates(rows, large, n_bootstrap, rng)
    singles = {known.name for known in all_measures() if not known.of_gap}
    return Outcomes(
        groups=[
            GroupFigures(group=name, n=n, figures=by_group[code])
            for code, (name, n) in enumerate(
                zip(names, np.bincount(group, minlength=len(names)).tolist(), strict=True)
            )
        ],
        gaps={k: v for k, v in estimates.items() if k not in singles},
        overall={k: v for k, v in estimates.items() if k in singles},
        selection_ratio=_ratio(rows, favourable, rng),
    )


def estimate(value: float, draws: Floats) -> Estimate:
    """The value with its percentile interval."""
    return Estimate(float(value), *percentile_interval(value, draws))


def _intervals(
    rows: Scored, large: Scored, draws: int, rng: np.random.Generator
) -> dict[str, Interval]:
    """The intervals of all measures by name; at a label over the cells that are large enough."""
    known = wanted_of(rows)
    apart = at_a_label() if large is not rows else set()
    n = float(effective_rows(rows.counted, np.zeros_like(rows.codes), 1)[0])
    shares = {"accuracy": rows.mean(rows.right), "positive_share": rows.mean(rows.y)}
    result = {name: wilson_interval(share, n) for name, share in shares.items()}
    drawn = known.keys() - shares.keys()
    for of, names in ((rows, drawn - apart), (large, drawn & apart)):
        wanted = {name: one for name, one in known.items() if name in names}
        found = bootstrap_intervals(of, [*wanted.values()], draws=draws, rng=rng)
        result |= zip(wanted, found, strict=True)
    return result


def _group_estimates(
    rows: Scored, large: Scored, draws: int, rng: np.random.Generator
) -> list[dict[str, Estimate]]:
    """The figures of each group."""
    shares = {
        "base_rate": (rows.y, rows.counted, rows.codes),
        "selection_rate": (rows.decision, rows.counted, rows.codes),
        "true_positive_rate": (rows.decision, rows.counted * rows.y, large.codes),
        "false_positive_rate": (rows.decision, rows.counted * (1 - rows.y), large.codes),
        "accuracy": (rows.right, rows.counted, rows.codes),
    }
    result: list[dict[str, Estimate]] = [{} for _ in range(rows.n_groups)]
    for name, (value, counted, codes) in shares.items():
        rates = group_means(value, counted, codes, rows.n_groups).tolist()
        sizes = effective_rows(counted, codes, rows.n_groups).tolist()
        for of_group, rate, n in zip(result, rates, sizes, strict=True):
            of_group[name] = Estimate(rate, *wilson_interval(rate, n))
    others = [(measure(name), "") for name in ("mean_probability", "average_precision")]
    for code, of_group in enumerate(result):
        own = rows_at(rows, np.flatnonzero(rows.codes == code))
        intervals = bootstrap_intervals(own, others, draws=draws, rng=rng)
        for (one, _), ends in zip(others, intervals, strict=True):
            of_group[one.name] = Estimate(one.value(own, ""), *ends)
    return result


def _ratio(rows: Scored, favourable: bool | None, rng: np.random.Generator) -> Estimate:
    """The smallest rate of the favourable decision over the largest; NaN where nobody gets it."""
    given = 1 - rows.decision if favourable is False else rows.decision
    rates = group_means(given, rows.counted, rows.codes, rows.n_groups)
    defined = ~np.isnan(rates)
    if defined.sum() < 2 or not rates[defined].max() > 0:
        return Estimate(np.nan, np.nan, np.nan)
    sizes = effective_rows(rows.counted, rows.codes, rows.n_groups)[defined]
    rates = rates[defined]
    return Estimate(float(rates.min() / rates.max()), *ratio_interval(rates, sizes, rng=rng))
