"""Our side of a comparison with the paper: figures of finished trials, by seed."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final

from dralign.analysis import Interval, Row, summarise
from dralign.metrics import gap_measure
from dralign.metrics.recalibrated import recalibrated_gap
from dralign.study import TrialRecord, TrialSpec
from dralign.training import PUBLISHED_RULE, EpochRecord, Selection

Values = Mapping[int, float]  # by seed
Figure = Callable[[TrialRecord, EpochRecord], float]
_Key = tuple[str, str, str]  # data, gap, method

DP: Final = "demographic_parity"
EO: Final = "equalized_odds"
SECONDS_AN_HOUR: Final = 3600.0
RECALIBRATED: Final = "recalibrated"  # a measure of this page, worked out from kept quantiles


def precision(_trial: TrialRecord, epoch: EpochRecord) -> float:
    """Average precision on the test rows."""
    return epoch.test["average_precision"]


def gap_in(measure: str) -> Figure:
    """The absolute gap on the test rows, in a measure by name, or ``"recalibrated"``."""
    if measure == RECALIBRATED:
        return _recalibrated
    judged = gap_measure(measure)
    return lambda trial, epoch: abs(judged.of(epoch.test, trial.spec.gap))


def _recalibrated(trial: TrialRecord, epoch: EpochRecord) -> float:
    """The soft gap after Platt scaling on validation rows; NaN where no quantiles were kept."""
    cells = [epoch.cells.get(split) for split in ("validation", "test")]
    validation, test = (one if one is not None and one.quantiles else None for one in cells)
    if validation is None or test is None:
        return math.nan
    return recalibrated_gap(validation, test, trial.spec.gap)


def rate_ratio(_trial: TrialRecord, epoch: EpochRecord) -> float:
    """EOP as A.11 prints it: the true positive rate of group 0 over that of group 1, test rows."""
    if "test" not in epoch.cells:
        return math.nan
    first, second, *_ = (row.true_positive_rate for row in epoch.cells["test"].group_rows())
    return first / second if second > 0 else math.nan


def off_one(trial: TrialRecord, epoch: EpochRecord) -> float:
    """How far that ratio is from 1, where the groups are alike."""
    return abs(rate_ratio(trial, epoch) - 1)


soft: Final = gap_in("soft")  # of probabilities, as the paper's
hard: Final = gap_in("hard")  # of decisions at 0.5


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
        records: the trials that are done; of two that differ in readings alone, the one with them.
        selection: the rule; the published one unless somebody asks for another.
        measure: of the gaps that verdicts rest on.
        epochs: how many of the first epochs there are to choose from, in trials that have more,
            and those alone; None for all epochs of all trials.
        as_printed: whether trials of FairReg and DRAlign are those with the sum of the groups'
            losses and rationales per parameter (Algorithms 1 and 2), in the place of those with
            the published code's mean over the batch and rationales per unit.
    """

    records: tuple[TrialRecord, ...]
    selection: Selection = PUBLISHED_RULE
    measure: str = "soft"
    epochs: int | None = None
    as_printed: bool = False

    @classmethod
    def of(
        cls, records: Iterable[TrialRecord], trials: Iterable[TrialSpec] | None = None
    ) -> "Results":
        """The results of those records that are done.

        Args:
            records: of a ledger.
            trials: only these, with readings or without; None for all.
        """
        wanted = None if trials is None else {plain(spec) for spec in trials}
        result: dict[TrialSpec, TrialRecord] = {}
        for record in sorted(records, key=lambda record: (record.spec.readings, record.hash)):
            spec = plain(record.spec)
            if record.status == "done" and (wanted is None or spec in wanted):
                result[spec] = record
        return cls(tuple(result.values()))

    @cached_property
    def _chosen(self) -> Mapping[_Key, list[tuple[TrialRecord, EpochRecord]]]:
        """The trials with their epochs, by data, gap and method."""
        result: dict[_Key, list[tuple[TrialRecord, EpochRecord]]] = {}
        for trial in self.records:
            spec = trial.spec
            if self.has_form(spec) and len(trial.history) > (self.epochs or 0):
                key = spec.data.name, spec.gap, spec.method
                result.setdefault(key, []).append((trial, self.chosen(trial)))
        return result

    def of_method(self, data: str, gap: str, method: str) -> list[tuple[TrialRecord, EpochRecord]]:
        """The trials of a method with their epochs."""
        return self._chosen.get((data, gap, method), [])

    def chosen(self, trial: TrialRecord) -> EpochRecord:
        """The epoch of a trial that the rule picks among the first ``epochs``."""
        return self.selection.choose(trial.history[: self.epochs], trial.spec.gap)

    def has_form(self, spec: TrialSpec) -> bool:
        """Whether a trial is of the form that is asked for; other methods have one form."""
        if spec.method not in {"gap", "dralign"}:
            return bool(spec.loss == "batch_mean")
        wanted = ("group_sum", "parameter") if self.as_printed else ("batch_mean", "unit")
        aligned = spec.granularity if spec.method == "dralign" else wanted[1]
        return (spec.loss, aligned) == wanted

    def values(
        self, figure: Figure, method: str, *, data: str = "adult", gap: str = DP, **settings: object
    ) -> Values:
        """A figure by seed, of the trials of a method with these settings.

        Args:
            figure: what is taken from a trial.
            method: the method.
            data: the name of the dataset.
            gap: the gap that the method was trained for.
            **settings: of ``TrialSpec``; 200 units and the gap as penalty if not given.

        Returns:
            The figure of each seed, the mean where several trials of it match; those without one
            (NaN) are left out.
        """
        wanted = {"hidden": 200, "penalty": "gap", **settings}
        result: dict[int, list[float]] = {}
        for trial, epoch in self._chosen.get((data, gap, method), ()):
            if _matches(trial.spec, wanted) and not math.isnan(value := figure(trial, epoch)):
                result.setdefault(trial.spec.seed, []).append(value)
        return {seed: math.fsum(several) / len(several) for seed, several in sorted(result.items())}

    def gaps(self, method: str, **settings: Any) -> Values:  # noqa: ANN401
        """The absolute gap on the test rows in this measure, by seed; settings as of ``values``."""
        return self.values(gap_in(self.measure), method, **settings)

    def precisions(self, method: str, **settings: Any) -> Values:  # noqa: ANN401
        """Average precision on the test rows by seed; settings as of ``values``."""
        return self.values(precision, method, **settings)

    def rows(self, *, data: str, gap: str, methods: Iterable[str]) -> list[Row]:
        """The result rows of these methods on networks of 200 units, for a figure."""
        chosen = [
            trial
            for trial in self.records
            if trial.spec.method in methods
            and self.has_form(trial.spec)
            and (trial.spec.data.name, trial.spec.gap, trial.spec.hidden) == (data, gap, 200)
        ]
        return summarise(chosen, selection=self.selection)


@lru_cache(maxsize=2**15)
def plain(spec: TrialSpec) -> TrialSpec:
    """The trial whatever it keeps and wherever its data lie."""
    return spec.portable().but(readings=False)


def _matches(spec: TrialSpec, wanted: Mapping[str, object]) -> bool:
    """Whether a trial has the settings; weights may differ in the last bit."""
    return all(
        math.isclose(getattr(spec, key), value, abs_tol=1e-9)
        if isinstance(value, float)
        else getattr(spec, key) == value
        for key, value in wanted.items()
    )


def mean(values: Values) -> float:
    """The mean over seeds; NaN without any."""
    return Interval.of(values.values()).mean


def paired(first: Values, second: Values) -> Interval:
    """First minus second over the seeds that both have."""
    return Interval.of(first[seed] - second[seed] for seed in sorted(first.keys() & second.keys()))


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
