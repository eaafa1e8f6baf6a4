"""From the settings of a trial to a trained network."""

import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from dralign import models
from dralign.data import Dataset, DataSource
from dralign.errors import DataError, DralignWarning, OptionError
from dralign.rationale.readings import rationale_readings
from dralign.study.spec import TrialSpec
from dralign.training import (
    PUBLISHED_RULE,
    Checkpoints,
    EpochRecord,
    History,
    Keep,
    Training,
    check_groups,
    check_weights,
    first_before_others,
    seeded,
    spawn_seeds,
    train,
)

Architecture = dict[str, str | int]
IMAGE_DIMENSIONS = 4  # rows, channels, height, width


def train_trial(
    spec: TrialSpec,
    *,
    on_epoch: Callable[[EpochRecord], None] | None = None,
    device: torch.device | str = "cpu",
    keep: Keep = "all",
    checkpoints: Checkpoints | None = None,
    pretrained: Path | None = None,
    fingerprint: str = "",
    on_data: Callable[[Dataset], None] | None = None,
) -> tuple[Dataset, Architecture, Training]:
    """Trains a network as ``spec`` says.

    Args:
        spec: the settings.
        on_epoch: called with each record as it is made.
        device: to train on.
        keep: as in ``dralign.training.train``, like the next.
        checkpoints: where the run is saved as it goes.
        pretrained: a file of weights to begin with, as in ``dralign.models.load_weights``. It is no
            setting of a trial: what is compared begins with fresh weights.
        fingerprint: of the data that are expected; empty for any.
        on_data: called with the data as soon as they are there.

    Returns:
        The data, the network's architecture for ``dralign.models.build``, and the run.

    Raises:
        DataError: if other data than those expected were read.
    """
    dataset, architecture, model = begin_trial(
        spec, device=device, pretrained=pretrained, fingerprint=fingerprint, on_data=on_data
    )
    settings = spec.training_settings()
    method = spec.build_method(dataset.n_classes)
    result = train(
        model, dataset, method, settings, on_epoch=on_epoch, keep=keep, checkpoints=checkpoints
    )
    return dataset, architecture, result


def begin_trial(
    spec: TrialSpec,
    *,
    device: torch.device | str = "cpu",
    pretrained: Path | None = None,
    fingerprint: str = "",
    on_data: Callable[[Dataset], None] | None = None,
) -> tuple[Dataset, Architecture, nn.Module]:
    """The data of a trial, the architecture of its network, and the network before its first step.

    Arguments as ``train_trial``.

    Raises:
        DataError: if other data than those expected were read.
    """
    with first_before_others():  # images are decoded into a file once
        dataset = spec.data.load(spec.seed)
    if fingerprint and dataset.fingerprint != fingerprint:
        raise DataError(f"{spec.data.name}: the data that were read are others than was expected")
    if on_data is not None:
        on_data(dataset)
    architecture = _architecture(spec, dataset)
    with seeded(spawn_seeds(spec.seed).initialisation):
        model = models.build(architecture)
    if pretrained is not None:
        _begin_with(model, pretrained)
    model.to(device)
    return dataset, architecture, model


def check_trial(spec: TrialSpec, dataset: Dataset) -> None:
    """Finds out, without training, what would make the trial fail on these data.

    Raises:
        GroupError: if training rows that the gap needs are missing.
        OptionError: if the network does not have the layers that are to be aligned, or the method
            or gap does not take as many classes, or weighted rows, or readings are asked of these.
        ModelError: if a layer is not known by that name.
    """
    method = spec.build_method(dataset.n_classes)
    check_groups(dataset, method)
    check_weights(dataset, method)
    if dataset.is_weighted and spec.readings:
        raise OptionError("readings: the paper's readings are of rows that are not weighted")
    with torch.device("meta"):
        model = models.build(_architecture(spec, dataset))
    method.begin(model, n_groups=dataset.n_groups, generator=torch.Generator())


def check_trials(specs: Iterable[TrialSpec]) -> None:
    """Finds out now, and not in every trial, what does not fit the data.

    Raises:
        DralignError: as ``check_trial`` does, or if data can't be read.
    """
    datasets: dict[DataSource, Dataset] = {}
    for spec in dict.fromkeys(spec.but(seed=0) for spec in specs):
        if spec.data not in datasets:
            datasets[spec.data] = spec.data.load(0)
        check_trial(spec, datasets[spec.data])


def run_trial(spec: TrialSpec, *, fingerprint: str = "") -> History:
    """The history of one trial; the same spec gives the same one on the CPU.

    Args:
        spec: the settings.
        fingerprint: of the data that are expected; empty for any.

    Raises:
        DataError: if other data than those expected were read.
    """
    keep: Keep = PUBLISHED_RULE if spec.readings else "none"
    dataset, _, run = train_trial(spec, keep=keep, fingerprint=fingerprint)
    if not spec.readings:
        return run.history
    chosen = run.restore(PUBLISHED_RULE, spec.gap)
    readings = rationale_readings(
        run.model,
        dataset.train.x,
        label=dataset.train.y,
        group=dataset.train.group,
        strata=spec.build_method(dataset.n_classes).gap.strata,
    )
    return tuple(
        replace(record, readings=readings) if record is chosen else record for record in run.history
    )


def _begin_with(model: nn.Module, path: Path) -> None:
    """Puts the weights of a file into the network, and tells which layers begin afresh."""
    if fresh := models.load_weights(model, path):
        warnings.warn(
            f"{path}: has other shapes for {', '.join(fresh)}, which begin with fresh weights",
            DralignWarning,
            stacklevel=3,
        )


def _architecture(spec: TrialSpec, dataset: Dataset) -> Architecture:
    """The network of a trial.

    Raises:
        OptionError: if it does not fit the data, or a size is of another network.
    """
    images = dataset.train.x.ndim == IMAGE_DIMENSIONS
    name = spec.network
    if name == "auto":
        name = "alexnet" if images else "mlp"
    if (name == "mlp") == images:
        what = "images" if images else "a table"
        raise OptionError(f"network: {name} does not take the rows of {dataset.name}, {what}")
    if images:
        models.check_image_size(name, dataset.train.x.shape[-1])
    if spec.classifier_width is not None and name != "alexnet":
        raise OptionError(f"classifier_width: of alexnet, and the network is {name}")
    sized = {setting.name: setting.default for setting in models.NETWORK}
    if name != "mlp" and (spec.hidden, spec.depth) != (sized["hidden"], sized["depth"]):
        raise OptionError(f"hidden and depth: of mlp, and the network is {name}")
    sizes: Architecture = {}
    if name == "mlp":
        sizes = {"n_inputs": dataset.n_inputs, "hidden": spec.hidden, "depth": spec.depth}
    if spec.classifier_width is not None:
        sizes["classifier_width"] = spec.classifier_width
    if dataset.n_classes > 2:
        sizes["n_outputs"] = dataset.n_classes
    return {"name": name, **sizes}
