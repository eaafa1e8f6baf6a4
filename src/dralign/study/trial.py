"""From the settings of a trial to a trained network."""

from collections.abc import Callable

from dralign import models
from dralign.data import Dataset
from dralign.study.spec import TrialSpec
from dralign.training import EpochRecord, History, Training, seeded, spawn_seeds, train

Architecture = dict[str, str | int]


def train_trial(
    spec: TrialSpec, *, on_epoch: Callable[[EpochRecord], None] | None = None
) -> tuple[Dataset, Architecture, Training]:
    """Trains a perceptron as ``spec`` says.

    Returns:
        The data, the network's architecture for ``dralign.models.build``, and the run.
    """
    dataset = spec.data.load(spec.seed)
    architecture: Architecture = {
        "name": "mlp",
        "n_inputs": dataset.n_inputs,
        "hidden": spec.hidden,
        "depth": spec.depth,
    }
    with seeded(spawn_seeds(spec.seed).initialisation):
        model = models.build(architecture)
    settings = spec.training_settings()
    result = train(model, dataset, spec.build_method(), settings, on_epoch=on_epoch)
    return dataset, architecture, result


def run_trial(spec: TrialSpec) -> History:
    """The history of one trial; the same spec gives the same one on the CPU."""
    return train_trial(spec)[2].history
