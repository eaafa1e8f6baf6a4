"""Optuna: a search over the settings of a trial, judged by its validation rows."""

from dralign.tiers import require

require("dralign.integrations.optuna", "optuna", extra="optuna")

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from dralign.metrics import gap_measure
from dralign.study import TrialSpec
from dralign.study.trial import train_trial
from dralign.training import EpochRecord, Selection

if TYPE_CHECKING:
    import optuna

__all__ = ["DIRECTIONS", "objective", "single_objective"]

# For ``optuna.create_study(directions=DIRECTIONS)``: average precision, gap.
DIRECTIONS: Final = ("maximize", "minimize")
Suggest = Callable[["optuna.Trial"], Mapping[str, Any]]
Value = Callable[[float, float], float]


def objective(
    spec: TrialSpec, suggest: Suggest, *, selection: Selection | None = None
) -> Callable[["optuna.Trial"], tuple[float, float]]:
    """An objective with two values: average precision and gap on the validation rows.

    Test rows are not looked at. The epoch is that of the selection, and is kept as the attribute
    ``epoch`` of Optuna's trial. ``spec.but(**suggest(study.best_trials[0]))`` are the settings of a
    finished trial, to be trained with other seeds and judged on test rows.

    Args:
        spec: what is the same in all trials, the seed among it.
        suggest: from Optuna's trial to settings by name.
        selection: the rule for the epoch; ``Selection()`` if not given.
    """
    rule = selection or Selection()

    def run(trial: "optuna.Trial") -> tuple[float, float]:
        own = spec.but(**suggest(trial))
        chosen = _chosen(own, rule)
        trial.set_user_attr("epoch", chosen.epoch)
        return _figures(chosen, own, rule)

    return run


def single_objective(
    spec: TrialSpec, suggest: Suggest, *, value: Value, selection: Selection | None = None
) -> Callable[["optuna.Trial"], float]:
    """An objective with one value, told to Optuna's pruner after each epoch.

    Args:
        spec: what is the same in all trials.
        suggest: from Optuna's trial to settings by name.
        value: from average precision and gap on the validation rows to what is searched for, for
            example ``lambda ap, gap: ap - gap``.
        selection: as in ``objective``; the result is the value of its epoch.

    Returns:
        The objective; it raises ``optuna.TrialPruned`` where the pruner ends a trial.
    """
    import optuna

    rule = selection or Selection()

    def run(trial: "optuna.Trial") -> float:
        own = spec.but(**suggest(trial))

        def tell(record: EpochRecord) -> None:
            trial.report(value(*_figures(record, own, rule)), record.epoch)
            if trial.should_prune():
                raise optuna.TrialPruned

        chosen = _chosen(own, rule, tell)
        trial.set_user_attr("epoch", chosen.epoch)
        return value(*_figures(chosen, own, rule))

    return run


def _chosen(
    spec: TrialSpec, rule: Selection, on_epoch: Callable[[EpochRecord], None] | None = None
) -> EpochRecord:
    """The chosen epoch of a trial."""
    _, _, run = train_trial(spec, on_epoch=on_epoch, keep="none")
    return rule.choose(run.history, spec.gap)


def _figures(record: EpochRecord, spec: TrialSpec, rule: Selection) -> tuple[float, float]:
    """Average precision and gap of the validation rows."""
    gap = gap_measure(rule.measure).of(record.validation, spec.gap)
    return record.validation["average_precision"], gap
