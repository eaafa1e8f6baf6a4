"""Result rows: mean and interval over seeds for each setting, and which are non-dominated."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from dralign.gaps import judged_by
from dralign.methods import method_names
from dralign.metrics import Measure, all_measures, gap_measure, level_note
from dralign.study.record import TrialRecord
from dralign.study.spec import TrialSpec
from dralign.training import EpochRecord, Selection, cautions
from dralign.training.history import Scores

CONFIDENCE = 0.95
Setting = tuple[TrialSpec, str]  # a spec as ``setting_of`` gives it, and the data's fingerprint


@dataclass(frozen=True)
class Interval:
    """A mean over seeds with its 95 % interval.

    Attributes:
        mean: NaN if the figure is defined for no seed.
        half_width: the t-interval reaches this far to both sides; NaN for fewer than two seeds.
        n: the seeds it rests on.
    """

    mean: float
    half_width: float
    n: int

    @classmethod
    def of(cls, values: Iterable[float]) -> "Interval":
        """The interval t_{.975, n-1} s / sqrt(n) of the values; undefined ones (NaN) are left out.

        It takes the values as independent draws of a normal variable; over seeds it covers the
        split, the initialisation and the sampling, not the choice of the data.
        """
        from scipy.special import stdtrit

        kept = np.array([value for value in values if not math.isnan(value)], dtype=float)
        n = len(kept)
        if n < 2:
            return cls(float(kept[0]) if n else math.nan, math.nan, n)
        quantile = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2))
        return cls(float(kept.mean()), quantile * float(kept.std(ddof=1)) / math.sqrt(n), n)


@dataclass(frozen=True)
class Row:
    """The results of one setting over its seeds, each at the epoch that the selection chose.

    Attributes:
        spec: the setting; its seed is the first of ``seeds``.
        fingerprint: of the data.
        seeds: the seeds of the trials.
        selection: the rule that chose each trial's epoch by validation figures.
        measure: the measure of the gap in which rows are judged.
        figures: every measure on the test rows by its name; of those that have a value for each gap
            the absolute one of the gap that the setting was trained for.
        validation: the same on the validation rows, by which a setting may be chosen.
        similarity: of the rationales on the validation rows, per unit whatever was aligned, added
            up over layers; higher is more alike.
        layer_similarity: the same for each layer.
        seconds: the time of all training steps of a trial, without data and evaluation.
        bound_met: the number of seeds whose chosen epoch has a validation gap within the bound that
            was trained or selected for; None without one.
        found_weight: lambda at the chosen epoch, where a gap bound finds it; else over no seeds.
        cautions: what must be known first, by kind (``dralign.training.Caution``), with the number
            of seeds that it is true of.
        versions: of this package that ran the trials.
        non_dominated: no other row of the same data and gap has both a higher mean average
            precision and a lower mean gap, so measured, or is better in one and equal in the other.
    """

    spec: TrialSpec
    fingerprint: str
    seeds: tuple[int, ...]
    selection: Selection
    measure: str
    figures: Mapping[str, Interval]
    validation: Mapping[str, Interval]
    similarity: Interval
    layer_similarity: tuple[tuple[str, Interval], ...]
    seconds: Interval
    bound_met: int | None = None
    found_weight: Interval = Interval(math.nan, math.nan, 0)
    cautions: Mapping[str, int] = field(default_factory=dict)
    versions: frozenset[str] = frozenset()
    non_dominated: bool = False

    @property
    def n(self) -> int:
        """The number of trials."""
        return len(self.seeds)

    @property
    def average_precision(self) -> Interval:
        """On the test rows; higher is better."""
        return self.figures["average_precision"]

    @property
    def gap(self) -> Interval:
        """The gap on the test rows in the measure by which rows are judged; lower is better."""
        return self.figures[self.measure]

    @property
    def level_note(self) -> str | None:
        """What to say where the mean score is far off the share of positives; mostly None."""
        return level_note(self.figures["mean_probability"].mean, self.positive_share)

    @property
    def positive_share(self) -> float:
        """The share of test rows with label 1, the mean over seeds; NaN with more classes."""
        return self.figures["positive_share"].mean

    @property
    def setting(self) -> Setting:
        """What the trials have in common."""
        return setting_of(self.spec), self.fingerprint


def setting_of(spec: TrialSpec) -> TrialSpec:
    """What the trials of a row share: seed 0, and no readings, which leave training as it is."""
    return spec.but(seed=0, readings=False)


def group_by_setting(records: Iterable[TrialRecord]) -> dict[Setting, list[TrialRecord]]:
    """The finished trials of each setting, by seed.

    Settings come in the order of data, gap, method and weights; failed trials are left out. Of two
    trials with and without readings and otherwise the same, the one with readings is taken.
    """
    groups: dict[Setting, dict[int, TrialRecord]] = {}
    for record in sorted(records, key=lambda record: record.spec.readings):
        if record.status == "done":
            trials = groups.setdefault((setting_of(record.spec), record.fingerprint), {})
            trials[record.spec.seed] = record
    return {
        key: [groups[key][seed] for seed in sorted(groups[key])]
        for key in sorted(groups, key=_order)
    }


def summarise(
    records: Iterable[TrialRecord], *, selection: Selection, measure: str | None = None
) -> list[Row]:
    """One row for each setting, over the seeds that are done; non-dominated rows are marked.

    Gaps are made absolute for each seed before they are averaged.

    Args:
        records: of a study.
        selection: chooses each trial's epoch.
        measure: in which measure of the gap rows are judged; that of the selection if not given.

    Raises:
        OptionError: if there is no such measure of the gap.
    """
    judged = gap_measure(measure or selection.measure).name
    rows = [
        _row(trials, fingerprint, selection, judged)
        for (_, fingerprint), trials in group_by_setting(records).items()
    ]
    return [
        replace(row, non_dominated=not any(_dominates(other, row) for other in rows))
        if _defined(row)
        else row
        for row in rows
    ]


def _row(
    trials: Sequence[TrialRecord], fingerprint: str, selection: Selection, measure: str
) -> Row:
    """The row of the trials of one setting."""
    spec = trials[0].spec
    chosen = [selection.choose(trial.history, spec.gap) for trial in trials]

    def over_seeds(figure: Callable[[EpochRecord], float]) -> Interval:
        return Interval.of(figure(epoch) for epoch in chosen)

    def like(epoch: EpochRecord) -> Scores:
        return epoch.similarity["unit"]

    def of_layer(layer: str) -> Interval:
        return over_seeds(lambda epoch: like(epoch).get(layer, math.nan))

    bound, bounded = spec.gap_bound, spec.bound_measure
    if bound is None:
        bound, bounded = selection.bound, selection.measure
    return Row(
        spec=spec,
        fingerprint=fingerprint,
        seeds=tuple(trial.spec.seed for trial in trials),
        selection=selection,
        measure=measure,
        figures=_measured([epoch.test for epoch in chosen], spec.gap),
        validation=_measured([epoch.validation for epoch in chosen], spec.gap),
        similarity=over_seeds(lambda epoch: epoch.similarity_total("unit")),
        layer_similarity=tuple((layer, of_layer(layer)) for layer in like(chosen[0])),
        seconds=Interval.of(sum(epoch.seconds for epoch in trial.history) for trial in trials),
        bound_met=None
        if bound is None
        else sum(epoch.keeps(bound, spec.gap, bounded) for epoch in chosen),
        found_weight=Interval.of(
            epoch.found_weight for epoch in chosen if epoch.found_weight is not None
        ),
        cautions=Counter(
            kind
            for trial in trials
            for kind in {one.kind for one in cautions(trial.history, selection, spec.gap)}
        ),
        versions=frozenset(trial.environment.get("dralign", "unknown") for trial in trials),
    )


def _measured(figures: Sequence[Scores], gap: str) -> dict[str, Interval]:
    """Every measure by its name, over the seeds of which these are the figures."""
    return {
        known.name: Interval.of(absolute(known, scores, gap) for scores in figures)
        for known in all_measures()
    }


def absolute(measure: Measure, figures: Scores, gap: str) -> float:
    """The measure among the figures of an epoch; of a gap without its sign."""
    value = measure.of(figures, gap)
    return abs(value) if measure.of_gap else value


def _order(key: Setting) -> tuple[object, ...]:
    """The place of a setting in a table."""
    spec, fingerprint = key
    return (
        spec.data.name,
        spec.gap,
        method_names().index(spec.method),
        spec.fairness_weight,
        spec.alignment_weight,
        repr(spec),
        fingerprint,
    )


def _defined(row: Row) -> bool:
    """Whether the row has a place in the plane of average precision and gap."""
    return not (math.isnan(row.average_precision.mean) or math.isnan(row.gap.mean))


def _dominates(a: Row, b: Row) -> bool:
    """Whether ``a`` is at least as good as ``b`` in both figures and better in one."""
    if (a.spec.data, a.fingerprint) != (b.spec.data, b.fingerprint):
        return False
    if judged_by(a.spec.gap) != judged_by(b.spec.gap):
        return False
    gain = a.average_precision.mean - b.average_precision.mean
    saving = b.gap.mean - a.gap.mean
    return gain >= 0 and saving >= 0 and (gain > 0 or saving > 0)
