"""A search over settings is judged by validation rows, and may end a trial early."""

import pytest

from dralign.data import DataSource
from dralign.metrics import gap_measure
from dralign.study import TrialSpec, run_trial
from dralign.training import Selection

optuna = pytest.importorskip("optuna", reason="optuna is not installed")

from dralign.integrations.optuna import DIRECTIONS, objective, single_objective  # noqa: E402

SPEC = TrialSpec(
    DataSource("german"), "dralign", hidden=4, epochs=3, iterations=3, batch_size=20, seed=1
)
pytestmark = pytest.mark.filterwarnings("ignore::dralign.errors.DralignWarning")


@pytest.fixture(autouse=True)
def quiet():
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


def suggest(trial):
    weight = trial.suggest_float("fairness_weight", 0.0, 1.0)
    return {"fairness_weight": weight, "alignment_weight": 0.1 * weight}


@pytest.mark.parametrize("selection", [None, Selection("highest_ap", measure="hard")])
def test_both_values_are_those_of_the_chosen_epoch_on_validation_rows(selection):
    study = optuna.create_study(directions=DIRECTIONS)
    study.enqueue_trial({"fairness_weight": 0.5})
    study.optimize(objective(SPEC, suggest, selection=selection), n_trials=1)
    history = run_trial(SPEC.but(fairness_weight=0.5, alignment_weight=0.05))
    rule = selection or Selection()
    chosen = rule.choose(history, SPEC.gap)
    key = gap_measure(rule.measure).key(SPEC.gap)
    expected = [chosen.validation["average_precision"], chosen.validation[key]]
    assert study.trials[0].values == expected
    assert study.trials[0].user_attrs == {"epoch": chosen.epoch}
    again = SPEC.but(**suggest(study.best_trials[0]))
    assert (again.fairness_weight, again.alignment_weight) == (0.5, 0.05)


class Impatient(optuna.pruners.BasePruner):
    def prune(self, study, trial):
        return trial.last_step == 1


def test_one_value_is_told_after_each_epoch_and_the_pruner_ends_the_trial():
    def run(pruner):
        study = optuna.create_study(direction="maximize", pruner=pruner)
        study.enqueue_trial({"fairness_weight": 0.5})
        study.optimize(
            single_objective(SPEC, suggest, value=lambda ap, gap: ap - 2 * gap), n_trials=1
        )
        return study.trials[0]

    history = run_trial(SPEC.but(fairness_weight=0.5, alignment_weight=0.05))
    key = gap_measure(Selection().measure).key(SPEC.gap)
    values = {
        epoch.epoch: epoch.validation["average_precision"] - 2 * epoch.validation[key]
        for epoch in history
    }
    whole = run(optuna.pruners.NopPruner())
    assert whole.intermediate_values == values
    assert whole.value == values[Selection().choose(history, SPEC.gap).epoch]
    cut = run(Impatient())
    assert cut.state == optuna.trial.TrialState.PRUNED
    assert cut.intermediate_values == {0: values[0], 1: values[1]}
