"""Our side of a comparison with the paper: figures of finished trials, by seed."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dralign.study import Interval, Row, TrialRecord, TrialSpec, summarise
from dralign.training import EpochRecord, Selection

Values = Mapping[int, float]  # by seed
Figure = Callable[[TrialRecord, EpochRecord], float]

PUBLISHED_RULE = Selection()  # smallest soft validation gap, the first epoch left out


def precision(_trial: TrialRecord, epoch: EpochRecord) -> float:
    """Average precision on the test rows."""
    return epoch.test["average_precision"]


def soft(trial: TrialRecord, epoch: EpochRecord) -> float:
    """The absolute gap of probabilities on the test rows."""
    return abs(epoch.test[f"soft_{trial.spec.gap}"])


def hard(trial: TrialRecord, epoch: EpochRecord) -> float:
    """The absolute gap of decisions at 0.5 on the test rows."""
    return abs(epoch.test[f"hard_{trial.spec.gap}"])


def seconds(trial: TrialRecord, _epoch: EpochRecord) -> float:
    """The time of all training steps."""
    return sum(epoch.seconds for epoch in trial.history)


def reading(name: str) -> Figure:
    """One of ``dralign.rationale.readings``, on the training rows; NaN where it was not kept."""
    return lambda _trial, epoch: epoch.readings.get(name, math.nan)


@dataclass(frozen=True)
class Results:
    """The finished trials of a ledger, each at the epoch that the selection chooses.

    Attributes:
        records: the trials that are done.
        selection: the rule; the published one unless somebody asks for another.
    """

    records: tuple[TrialRecord, ...]
    selection: Selection = PUBLISHED_RULE

    @classmethod
    def of(cls, records: Iterable[TrialRecord], selection: Selection = PUBLISHED_RULE) -> "Results":
        """The results of those records that are done."""
        return cls(tuple(r for r in records if r.status == "done"), selection)

    def values(self, figure: Figure, method: str, **settings: object) -> Values:
        """A figure by seed, of the trials of a method with these settings.

        Args:
            figure: what is taken from a trial.
            method: the method.
            **settings: of ``TrialSpec``, and ``data`` for the name of the dataset. What is left
                out is Adult, demographic parity, 200 units and the gap as penalty.
        """
        wanted = {
            "data": "adult",
            "gap": "demographic_parity",
            "hidden": 200,
            "penalty": "gap",
            **settings,
        }
        found = {
            trial.spec.seed: figure(trial, self.selection.choose(trial.history, trial.spec.gap))
            for trial in self.records
            if trial.spec.method == method and _matches(trial.spec, wanted)
        }
        return {seed: value for seed, value in sorted(found.items()) if not math.isnan(value)}

    def rows(self, *, data: str, gap: str, methods: Iterable[str]) -> list[Row]:
        """The result rows of these methods on networks of 200 units, for a figure."""
        chosen = [
            trial
            for trial in self.records
            if trial.spec.method in methods
            and _matches(trial.spec, {"data": data, "gap": gap, "hidden": 200})
        ]
        return summarise(chosen, selection=self.selection)


def _matches(spec: TrialSpec, wanted: Mapping[str, Any]) -> bool:
    """Whether a trial has the settings."""
    form = {"data": spec.data.name, **{key: getattr(spec, key) for key in wanted if key != "data"}}
    return all(
        math.isclose(form[key], value, abs_tol=1e-9)
        if isinstance(value, float)
        else form[key] == value
        for key, value in wanted.items()
    )


def mean(values: Values) -> float:
    """The mean over seeds; NaN without any."""
    return Interval.of(values.values()).mean


def paired(first: Values, second: Values) -> Interval:
    """First minus second over the seeds that both have."""
    return Interval.of(first[seed] - second[seed] for seed in first.keys() & second.keys())


def shown(values: Values, digits: int = 3) -> str:
    """Mean, 95 % half width and number of seeds; a dash without any."""
    return interval_text(Interval.of(values.values()), digits)


def interval_text(interval: Interval, digits: int = 3) -> str:
    """An interval as text."""
    if not interval.n:
        return "–"
    if math.isnan(interval.half_width):
        return f"{interval.mean:.{digits}f} (n={interval.n})"
    return f"{interval.mean:.{digits}f} ± {interval.half_width:.{digits}f} (n={interval.n})"
