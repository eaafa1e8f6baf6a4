"""Group figures and gaps with bootstrap intervals."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dralign.auditing.records import Estimate, GroupFigures, Outcomes
from dralign.auditing.small import figures
from dralign.errors import OptionError
from dralign.metrics import all_measures
from dralign.metrics.decisions import NOBODY, check_threshold, decisions
from dralign.metrics.rates import average_precision_of, group_means
from dralign.metrics.resampling import drawn_rows, percentile_interval

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
    """Each group's figures and the gaps between groups, with 95 % percentile intervals.

    Rows are drawn with replacement within each group, so the groups keep their sizes. Drawing adds
    noise to the spread between groups, so the interval of a gap near 0 lies high, and never
    reaches below 0.

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
    members = [np.flatnonzero(group == code) for code in range(len(names))]
    sizes = [len(rows) for rows in members]
    everything = (y, prob, group, cells, len(names))
    own = _group_figures(*everything, thresholds, weight)
    shared = figures(*everything, thresholds, weight)
    own_draws: list[Mapping[str, Floats]] = []
    shared_draws: list[Mapping[str, float]] = []
    for _ in range(n_bootstrap):
        rows = drawn_rows(members, rng)
        drawn = (y[rows], prob[rows], group[rows], cells[rows], len(names))
        own_weight = None if weight is None else weight[rows]
        own_draws.append(_group_figures(*drawn, thresholds, own_weight))
        shared_draws.append(figures(*drawn, thresholds, own_weight))
    estimates = {
        name: estimate(value, np.array([draw[name] for draw in shared_draws]))
        for name, value in shared.items()
    }
    singles = {known.name for known in all_measures() if not known.of_gap}
    return Outcomes(
        groups=[
            GroupFigures(
                group=name,
                n=sizes[code],
                figures={
                    key: estimate(
                        float(values[code]), np.array([draw[key][code] for draw in own_draws])
                    )
                    for key, values in own.items()
                },
            )
            for code, name in enumerate(names)
        ],
        gaps={k: v for k, v in estimates.items() if k not in singles},
        overall={k: v for k, v in estimates.items() if k in singles},
        selection_ratio=estimate(
            _four_fifths(own["selection_rate"], favourable),
            np.array([_four_fifths(draw["selection_rate"], favourable) for draw in own_draws]),
        ),
    )


def _four_fifths(selected: Floats, favourable: bool | None) -> float:
    """The smallest rate of the favourable decision over the largest; NaN where nobody gets it."""
    rates = 1 - selected if favourable is False else selected
    defined = rates[~np.isnan(rates)]
    return (
        float(defined.min() / defined.max()) if len(defined) > 1 and defined.max() > 0 else np.nan
    )


def estimate(value: float, draws: Floats) -> Estimate:
    """The value with its percentile interval."""
    return Estimate(float(value), *percentile_interval(value, draws))


def _group_figures(
    y: Floats,
    prob: Floats,
    group: Codes,
    cells: Codes,
    n_groups: int,
    thresholds: Sequence[float],
    weight: Floats | None,
) -> Mapping[str, Floats]:
    """For each figure its value in every group, (G,)."""
    decision = decisions(prob, group=group, thresholds=thresholds).astype(np.float64)
    everyone = np.ones_like(y) if weight is None else weight
    rates = {
        "base_rate": (y, everyone, group),
        "mean_probability": (prob, everyone, group),
        "selection_rate": (decision, everyone, group),
        "true_positive_rate": (decision, everyone * y, cells),
        "false_positive_rate": (decision, everyone * (1 - y), cells),
        "accuracy": ((y == decision).astype(np.float64), everyone, group),
    }
    result = {name: group_means(*rate, n_groups) for name, rate in rates.items()}
    inside = [group == code for code in range(n_groups)]
    result["average_precision"] = np.array(
        [
            average_precision_of(
                y[rows], prob[rows], weight=None if weight is None else weight[rows]
            )
            for rows in inside
        ]
    )
    return result
