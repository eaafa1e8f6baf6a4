"""Measures: what is told of a set of predictions, each declared once.

A measure is one object with its name, its words, which direction is better, how it is computed and
where it shows. Records, tables, pages, statistics, selection and ``export`` read the list, so that
a measure that is registered here or elsewhere is everywhere.

Some measures have a value for every gap (``base_rate`` of demographic parity, of equalized odds,
...). In records their figures are called ``<measure>_<gap>``.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from dralign.errors import OptionError, unknown
from dralign.extensions import Registry
from dralign.gaps import judged_by
from dralign.metrics.arrays import Floats
from dralign.metrics.calibration import calibration_error_of
from dralign.metrics.rank_curves import NO_CURVE
from dralign.metrics.ranking import base_rates, cutoff_rates, gaps_of_order
from dralign.metrics.rates import (
    average_precision_of,
    balanced_accuracy_of,
    weighted_mean,
)
from dralign.metrics.scored_rows import Scored

Better = Literal["higher", "lower", ""]
DEFAULT: Final = "base_rate"  # what can't be made smaller by lowering all scores
PUBLISHED: Final = "soft"  # what the paper and its code judge by
AP_LOSS: Final = 0.005  # of average precision, that nearly none is lost by


@dataclass(frozen=True)
class Measure:
    """One measure.

    Attributes:
        name: as it is written in records, options and JSON.
        words: for a person, in a table's head or on an axis.
        better: which direction is better; empty where there is none.
        compute: from the rows, and from the name of a gap where it has a value for each; NaN where
            it is undefined.
        of_gap: whether it has a value for each gap.
        not_of: gaps for which it is never defined.
        two_classes: whether it is defined for two classes alone.
        column: whether result tables have a column of it.
        takes_weights: whether ``compute`` heeds ``Scored.weight``; of weighted rows it is NaN where
            it does not.
        of_decisions: whether it changes with the threshold of the decisions.
        rates: what a gap compares, from the rows and the name of the gap: (differences,
            alternatives, groups, cut-offs), each rate in [0, 1]. Of its spreads over groups the
            gap is the mean over cut-offs, the largest over alternatives (such as classes) and the
            sum over differences. Intervals are made of them; without, they are less sure.
    """

    name: str
    words: str
    better: Better
    compute: Callable[..., float]
    of_gap: bool = False
    not_of: tuple[str, ...] = ()
    two_classes: bool = False
    column: bool = False
    takes_weights: bool = False
    of_decisions: bool = False
    rates: Callable[[Scored, str], Floats] | None = None

    def key(self, gap: str) -> str:
        """Under which name a record keeps it, of the gap by which networks are judged."""
        return f"{self.name}_{judged_by(gap)}" if self.of_gap else self.name

    def value(self, rows: Scored, gap: str) -> float:
        """Its value of the rows, and the gap if it has one for each."""
        if rows.weight is not None and not self.takes_weights:
            return math.nan
        return float(self.compute(rows, gap) if self.of_gap else self.compute(rows))

    def of(self, figures: Mapping[str, float], gap: str) -> float:
        """Its value among the figures of a record; NaN where they do not have it."""
        return figures.get(self.key(gap), math.nan)


def _ranked(name: str) -> Callable[[Scored, str], float]:
    """A gap that the order alone decides."""
    return lambda rows, gap: rows.rank_gaps.get(f"{name}_{gap}", math.nan)


def _base_rate(rows: Scored, gap: str) -> float:
    """The gap at the base rate; of a gap that was registered, by the decisions themselves."""
    if (key := f"base_rate_{gap}") in rows.rank_gaps:
        return rows.rank_gaps[key]
    if rows.by_class or not 0 < rows.y[rows.codes >= 0].mean() < 1:
        return math.nan
    return rows.gap_of(gap, rows.at_base_rate)


def _base_rates(rows: Scored, gap: str) -> Floats:
    """The rates of the gap at the base rate."""
    if gap in gaps_of_order(rows.prob.shape[1] if rows.by_class else 2):
        return base_rates(rows.curves, gap)
    return rows.rates_of(gap, rows.at_base_rate)


def _largest_rates(rows: Scored, gap: str) -> Floats:
    """Those of all cut-offs, each an alternative."""
    rates = cutoff_rates(rows.curves, gap)
    by_cutoff: Floats = rates.swapaxes(2, 3).reshape(len(rates), -1, rows.n_groups, 1)
    return by_cutoff


def _calibration_error(rows: Scored) -> float:
    if not len(rows.y):
        return math.nan
    return calibration_error_of(rows.y, rows.prob, runs=rows.runs, weight=rows.weight)


def _average_precision(rows: Scored) -> float:
    if rows.by_class:
        return rows.over_classes(lambda y, f: average_precision_of(y, f, weight=rows.weight))
    return average_precision_of(rows.y, rows.prob, rows.runs, rows.weight)


def _balanced_accuracy(rows: Scored) -> float:
    if rows.by_class:
        return rows.over_classes(lambda inside, _: weighted_mean(rows.right, rows.counted * inside))
    return balanced_accuracy_of(rows.y, rows.decision, rows.weight)


def _same_decision(rows: Scored) -> float:
    if not len(rows.y):
        return math.nan
    if rows.weight is None:
        selected = np.atleast_1d(rows.decision.mean(0))
    else:
        selected = np.atleast_1d(rows.weight @ rows.decision / rows.weight.sum())
    return float(max(selected.max(), 0.0 if rows.by_class else 1 - selected.min()))


_OWN: Final = (
    Measure("average_precision", "AP", "higher", _average_precision, column=True),
    Measure(
        "accuracy",
        "accuracy",
        "higher",
        lambda rows: weighted_mean(rows.right, rows.counted),
        of_decisions=True,
    ),
    Measure(
        "balanced_accuracy",
        "balanced accuracy",
        "higher",
        _balanced_accuracy,
        of_decisions=True,
    ),
    Measure(
        "base_rate",
        "base-rate gap",
        "lower",
        _base_rate,
        of_gap=True,
        column=True,
        rates=_base_rates,
    ),
    Measure(
        "all_cutoffs",
        "all-cut-offs gap",
        "lower",
        _ranked("all_cutoffs"),
        of_gap=True,
        not_of=NO_CURVE,
        column=True,
        rates=lambda rows, gap: cutoff_rates(rows.curves, gap),
    ),
    Measure(
        "largest_cutoff",
        "largest-cut-off gap",
        "lower",
        _ranked("largest_cutoff"),
        of_gap=True,
        not_of=NO_CURVE,
        rates=_largest_rates,
    ),
    Measure(
        "soft",
        "soft gap",
        "lower",
        lambda rows, gap: rows.gap_of(gap, rows.prob),
        of_gap=True,
        column=True,
        rates=lambda rows, gap: rows.rates_of(gap, rows.prob),
    ),
    Measure(
        "hard",
        "hard gap",
        "lower",
        lambda rows, gap: rows.gap_of(gap, rows.decision),
        of_gap=True,
        column=True,
        of_decisions=True,
        rates=lambda rows, gap: rows.rates_of(gap, rows.decision),
    ),
    Measure(
        "mean_probability",
        "mean score",
        "",
        lambda rows: rows.mean(rows.prob),
        two_classes=True,
        column=True,
    ),
    Measure(
        "positive_share",
        "share of positives",
        "",
        lambda rows: rows.mean(rows.y),
        two_classes=True,
    ),
    Measure(
        "brier_score",
        "Brier score",
        "lower",
        lambda rows: rows.mean((rows.prob - rows.y) ** 2),
        two_classes=True,
    ),
    Measure(
        "expected_calibration_error",
        "calibration error",
        "lower",
        _calibration_error,
        two_classes=True,
    ),
    Measure(
        "same_decision_share",
        "share of the commoner decision",
        "",
        _same_decision,
        of_decisions=True,
    ),
)
SHARES: Final = tuple(one.name for one in _OWN if not one.of_gap)  # from 0 to 1
_MEASURES: Final = Registry[Measure](
    "measure", tuple(replace(one, takes_weights=True) for one in _OWN)
)


def register_measure(measure: Measure) -> None:
    """Makes a measure known by its name, in every record that is made from then on.

    Raises:
        OptionError: if the name is taken.
    """
    _MEASURES.add(measure)


def unregister_measure(name: str) -> None:
    """Forgets a measure that ``register_measure`` made known; for tests."""
    _MEASURES.remove(name)


def all_measures() -> tuple[Measure, ...]:
    """All measures, in the order in which tables show them."""
    return _MEASURES.all()


def measure(name: str) -> Measure:
    """The measure called ``name``.

    Raises:
        OptionError: if there is none.
    """
    return _MEASURES.find(name)


def gap_measure(name: str) -> Measure:
    """The measure of gaps called ``name``.

    Raises:
        OptionError: if there is none, or it has no value for a gap.
    """
    known = gap_measure_names()
    if name not in known:
        raise OptionError(unknown("measure of the gap", name, known))
    return _MEASURES.find(name)


def gap_measure_names() -> tuple[str, ...]:
    """The names of the measures that have a value for each gap."""
    return tuple(known.name for known in all_measures() if known.of_gap)


def wanted_of(rows: Scored) -> dict[str, tuple[Measure, str]]:
    """What these rows can have a figure of, by the names in records: measures, and gaps of each."""
    return {
        known.key(gap) if gap else known.name: (known, gap)
        for known in all_measures()
        if not (known.two_classes and rows.by_class)
        for gap in (rows.gaps if known.of_gap else ("",))
        if gap not in known.not_of
    }


def figures_of(rows: Scored) -> dict[str, float]:
    """Every measure of the rows, by the names under which records keep them."""
    return {key: known.value(rows, gap) for key, (known, gap) in wanted_of(rows).items()}
