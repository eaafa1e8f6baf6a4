"""A trial whose network is kept: trained, chosen among its epochs, and described."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dralign.alignment import rank
from dralign.artifact import Artifact
from dralign.data import Dataset
from dralign.errors import DralignError, ModelError
from dralign.metrics.decisions import decisions, same_decision
from dralign.study.environment import environment
from dralign.study.spec import TrialSpec
from dralign.study.trial import train_trial
from dralign.training import (
    Checkpoints,
    EpochRecord,
    Selection,
    find_device,
    group_thresholds,
    joined,
    predict_probability,
)


@dataclass(frozen=True)
class TrainedNetwork:
    """What a training gave.

    Attributes:
        artifact: the network of the chosen epoch, with its preprocessing and figures, on the CPU.
        chosen: the record of that epoch.
        notes: what must be said of its decisions; mostly nothing.
    """

    artifact: Artifact
    chosen: EpochRecord
    notes: tuple[str, ...]


def train_network(
    spec: TrialSpec,
    *,
    rule: Selection | None = None,
    device: torch.device | str = "cpu",
    on_epoch: Callable[[EpochRecord], None] | None = None,
    checkpoints: Path | None = None,
    pretrained: Path | None = None,
) -> TrainedNetwork | None:
    """Trains one network, to be saved with ``dralign.artifact.save_artifact``.

    Args:
        spec: the settings.
        rule: how the epoch is chosen; None for ``Selection()``.
        device: to train on; with several processes ``"cuda"`` is a GPU for each.
        on_epoch: called with each record as it is made, in the first process.
        checkpoints: the folder that the run is saved in as it goes, and continues from.
        pretrained: a file of weights to begin with, as in ``dralign.models.load_weights``.

    Returns:
        The network; None in a process of several that is not the first.

    Raises:
        OptionError: if there is no such device.
        ModelError: if the file of weights can't be read.
    """
    rule, begun = rule or Selection(), _begun_with(pretrained)
    with joined(find_device(device) if isinstance(device, str) else device) as place:
        first = rank() == 0
        fingerprint = _fingerprint(spec) if first else ""
        dataset, architecture, run = train_trial(
            spec,
            on_epoch=on_epoch if first else None,
            device=place,
            keep=rule,
            checkpoints=None if checkpoints is None else Checkpoints(checkpoints),
            pretrained=pretrained,
        )
    if not first:
        return None
    model, bound = run.model.cpu(), spec.gap_bound
    chosen = run.restore(rule, spec.gap)
    thresholds, notes = _decided(model, dataset, spec)
    trained = {
        "trial": spec.to_dict(),
        "fingerprint": fingerprint,
        "selection": str(rule),
        "epoch": chosen.epoch,
        "found_weight": chosen.found_weight,
        "bound_met": None if bound is None else chosen.keeps(bound, spec.gap, spec.bound_measure),
        "validation": chosen.validation,
        "test": chosen.test,
        "similarity": chosen.similarity,
        "notes": list(notes),
        "environment": dict(environment()),
        **begun,
    }
    artifact = Artifact(
        model=model,
        architecture=architecture,
        encoder=dataset.encoder,
        label=dataset.label,
        positive=dataset.positive,
        sensitive=dataset.sensitive,
        group_names=dataset.group_names,
        training=trained,
        class_names=dataset.class_names,
        thresholds=thresholds,
    )
    return TrainedNetwork(artifact, chosen, notes)


def _fingerprint(spec: TrialSpec) -> str:
    """The fingerprint of the data, before they are read; empty where they can't be."""
    try:
        return spec.data.fingerprint()
    except DralignError:  # reading them will say why
        return ""


def _begun_with(pretrained: Path | None) -> dict[str, Any]:
    """What the record says of the weights that training begins with.

    Raises:
        ModelError: if the file can't be read.
    """
    if pretrained is None:
        return {}
    try:
        with pretrained.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{pretrained}: {error.strerror or error}") from error
    return {"pretrained": {"file": pretrained.name, "sha256": content}}


def _decided(
    model: nn.Module, dataset: Dataset, spec: TrialSpec
) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """The thresholds, if the method sets any, and what must be said of the test rows' decisions."""
    prob = predict_probability(model, dataset.validation.x)
    thresholds = group_thresholds(prob, dataset, spec.build_method(dataset.n_classes)) or ()
    test = predict_probability(model, dataset.test.x)
    decided = decisions(test, group=dataset.test.group, thresholds=thresholds)
    note = same_decision(decided, "test rows", names=dataset.class_names)
    return thresholds, (note,) if note else ()
