"""From the settings of a trial to a trained network's history."""

from dralign.models import mlp
from dralign.study.spec import TrialSpec
from dralign.training import History, seeded, spawn_seeds, train


def run_trial(spec: TrialSpec) -> History:
    """Trains a perceptron as ``spec`` says; the same spec gives the same history on the CPU."""
    dataset = spec.data.load(spec.seed)
    with seeded(spawn_seeds(spec.seed).initialisation):
        model = mlp(dataset.n_inputs, hidden=spec.hidden, depth=spec.depth)
    return train(model, dataset, spec.build_method(), spec.training_settings()).history
