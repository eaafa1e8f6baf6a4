"""How long methods take until their average precision on validation rows is near its best."""

from collections.abc import Sequence
from statistics import median
from typing import Final

from dralign.reproduce.levels import finding
from dralign.reproduce.results import Figure, Results, Values
from dralign.reproduce.verdicts import Part, matched, pooled
from dralign.study import TrialRecord
from dralign.training import EpochRecord

_CONVERGED: Final = 0.005  # of average precision below its best


def epochs_to_converge(trial: TrialRecord, _epoch: EpochRecord) -> float:
    """How many epochs there are up to the first whose validation AP is near its best."""
    precisions = [epoch.validation["average_precision"] for epoch in trial.history]
    enough = max(precisions) - _CONVERGED
    return next(float(i) for i, value in enumerate(precisions, 1) if value >= enough)


def seconds_an_epoch(trial: TrialRecord, _epoch: EpochRecord) -> float:
    """The time of the steps of an epoch, the median over the trial."""
    return median(epoch.seconds for epoch in trial.history)


def sooner(label: str, results: Results, gap: str, first: str, second: str) -> Part:
    """``first`` takes less time to converge, in the mean over the lambdas that both have, Adult.

    Epochs to converge of each seed, times one median of the seconds of an epoch for each method:
    the seconds of a single trial say most of what else its machine did.
    """
    weights = sorted(_weights(results, gap, first) & _weights(results, gap, second))
    epochs, seconds = (
        [_at(results, figure, name, gap, weights) for name in (first, second)]
        for figure in (epochs_to_converge, seconds_an_epoch)
    )
    ours, theirs = map(pooled, epochs)
    shared = sorted(ours.keys() & theirs.keys())
    if not shared:
        return Part(label, "not run", "no seed has both")
    one, other = (median(s for values in side for s in values.values()) for side in seconds)
    return matched(label, finding(ours[seed] / theirs[seed] * one / other for seed in shared))


def _weights(results: Results, gap: str, method: str) -> set[float]:
    """The lambdas above 0 of a method on networks of 200 units."""
    specs = [trial.spec for trial, _ in results.of_method("adult", gap, method)]
    return {s.fairness_weight for s in specs if s.fairness_weight > 0 and s.hidden == 200}


def _at(
    results: Results, figure: Figure, method: str, gap: str, weights: Sequence[float]
) -> list[Values]:
    """A figure of a method at each of these lambdas."""
    return [results.values(figure, method, gap=gap, fairness_weight=w) for w in weights]
