"""Learning curves of a study: figures on the validation rows, averaged over seeds, by epoch."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from dralign.analysis.rows import Interval, Setting, absolute, group_by_setting
from dralign.metrics import gap_measure
from dralign.metrics.measures import DEFAULT
from dralign.study.record import TrialRecord
from dralign.training import EpochRecord


@dataclass(frozen=True)
class Curve:
    """The course of training of one setting; entry e of each figure is epoch e.

    Attributes:
        n: the number of trials; an epoch that some were too impatient for rests on the others.
        average_precision: on the validation rows.
        gap: absolute, on the validation rows, in the measure asked for.
        similarity: of the rationales on the validation rows, added up over layers.
    """

    n: int
    average_precision: tuple[Interval, ...]
    gap: tuple[Interval, ...]
    similarity: tuple[Interval, ...]


def learning_curves(
    records: Iterable[TrialRecord], *, measure: str = DEFAULT
) -> dict[Setting, Curve]:
    """One curve for each setting, in the order of ``summarise``; the gap in a measure by name."""
    return {
        setting: _curve(trials, measure) for setting, trials in group_by_setting(records).items()
    }


def _curve(trials: Sequence[TrialRecord], measure: str) -> Curve:
    """The curve of the trials of one setting."""
    spec, judged = trials[0].spec, gap_measure(measure)

    def by_epoch(figure: Callable[[EpochRecord], float]) -> tuple[Interval, ...]:
        return tuple(
            Interval.of(figure(t.history[epoch]) for t in trials if epoch < len(t.history))
            for epoch in range(max(len(trial.history) for trial in trials))
        )

    return Curve(
        len(trials),
        by_epoch(lambda epoch: epoch.validation["average_precision"]),
        by_epoch(lambda epoch: absolute(judged, epoch.validation, spec.gap)),
        by_epoch(lambda epoch: epoch.similarity_total("unit")),
    )
