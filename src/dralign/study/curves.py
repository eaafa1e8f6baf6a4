"""Learning curves of a study: figures on the validation rows, averaged over seeds, by epoch."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from dralign.study.record import TrialRecord
from dralign.study.statistics import Interval, Setting, group_by_setting
from dralign.training import EpochRecord


@dataclass(frozen=True)
class Curve:
    """The course of training of one setting; entry e of each figure is epoch e.

    Attributes:
        n: the number of trials; an epoch that some were too impatient for rests on the others.
        average_precision: on the validation rows.
        soft_gap: absolute gap of probabilities on the validation rows.
        similarity: of the rationales on the validation rows, added up over layers.
    """

    n: int
    average_precision: tuple[Interval, ...]
    soft_gap: tuple[Interval, ...]
    similarity: tuple[Interval, ...]


def learning_curves(records: Iterable[TrialRecord]) -> dict[Setting, Curve]:
    """One curve for each setting, in the order of ``summarise``."""
    return {setting: _curve(trials) for setting, trials in group_by_setting(records).items()}


def _curve(trials: Sequence[TrialRecord]) -> Curve:
    """The curve of the trials of one setting."""
    spec = trials[0].spec

    def by_epoch(figure: Callable[[EpochRecord], float]) -> tuple[Interval, ...]:
        return tuple(
            Interval.of(figure(t.history[epoch]) for t in trials if epoch < len(t.history))
            for epoch in range(max(len(trial.history) for trial in trials))
        )

    return Curve(
        len(trials),
        by_epoch(lambda epoch: epoch.validation["average_precision"]),
        by_epoch(lambda epoch: abs(epoch.validation[f"soft_{spec.gap}"])),
        by_epoch(lambda epoch: epoch.similarity_total("unit")),
    )
