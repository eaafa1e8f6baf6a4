"""A fitted classifier as an artifact, and back."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import torch

from dralign.artifact import Artifact
from dralign.data import TableEncoder
from dralign.errors import ArtifactError, DataError, quoted
from dralign.estimator.table import NUMBERED
from dralign.forms import Form
from dralign.metrics.arrays import THRESHOLD
from dralign.models import architecture_of, base_architecture
from dralign.study.environment import environment
from dralign.training import EpochRecord
from dralign.training.run import function_name

if TYPE_CHECKING:
    from dralign.estimator.classifier import DRAlignClassifier

KEY = "classifier"
FUNCTIONS: Final = ("optimiser", "scheduler", "row_loss")


def to_artifact(fitted: "DRAlignClassifier") -> Artifact:
    """Everything that ``fit`` learned.

    Raises:
        ArtifactError: if the network is one of the user's own, or labels are neither texts nor
            numbers.
    """
    if fitted.architecture_ is None:
        raise ArtifactError(
            "a network given as module can't be saved, because an artifact holds no code; "
            "keep module_.state_dict() beside the code that makes the module"
        )
    classes = fitted.classes_.tolist()
    if not all(isinstance(label, str | int | float) for label in classes):
        raise ArtifactError(
            f"labels that are neither texts nor numbers can't be saved, got {quoted(classes[0])}; "
            "fit with y as texts"
        )
    own = {**fitted.get_params(deep=False), "checkpoints": None}  # a folder of this machine
    functions = {name: own.pop(name) for name in FUNCTIONS}  # code, which an artifact does not hold
    told = {name: function_name(one) for name, one in functions.items() if one is not None}
    parameters = {name: _plain(value) for name, value in own.items()}
    chosen = fitted.history_[fitted.chosen_epoch_]
    several = len(fitted.classes_) > 2
    names = getattr(fitted, "feature_names_in_", None)
    return Artifact(
        model=fitted.module_,
        architecture=architecture_of(fitted.module_, fitted.architecture_),
        encoder=fitted.encoder_,
        label=fitted.label_name_,
        positive="" if several else str(fitted.classes_[1]),
        sensitive=fitted.sensitive_names_,
        group_names=fitted.group_names_,
        training={
            "dataset": "rows given to DRAlignClassifier.fit",
            "method": {k: v for k, v in (parameters | told).items() if v is not None},
            "selection": fitted.selection_,
            "epoch": fitted.chosen_epoch_,
            "validation": chosen.validation,
            "similarity": chosen.similarity,
            "notes": list(fitted.notes_),
            "environment": dict(environment()),
            **({} if fitted.front_weights_ is None else {"front": _front(fitted.front_weights_)}),
            KEY: {
                "parameters": parameters,
                "classes": classes,
                "n_features": fitted.n_features_in_,
                "feature_names": None if names is None else names.tolist(),
                "feature_numbers": _numbers(getattr(fitted, NUMBERED, None)),
                "history": [record.to_dict() for record in fitted.history_],
                "mitigated": fitted.mitigated_,
                "fairness_weight": fitted.fairness_weight_,
                "bound_met": fitted.bound_met_,
            },
        },
        class_names=tuple(map(str, fitted.classes_)) if several else (),
        threshold=THRESHOLD if several else fitted.threshold_,
    )


def learned(artifact: Artifact, path: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters and the fitted attributes that an artifact holds.

    Raises:
        ArtifactError: if it was not written by ``DRAlignClassifier.save``.
    """
    if artifact.shifts:
        raise ArtifactError(
            f"{path}: its scores depend on the group, which this classifier does not ask for; "
            "dralign.artifact.load_artifact reads it"
        )
    if KEY not in artifact.training:
        raise ArtifactError(
            f"{path}: not saved by DRAlignClassifier.save; dralign.artifact.load_artifact reads "
            "other saved networks"
        )
    try:
        return _learned(artifact, Form(artifact.training[KEY], KEY))
    except DataError as error:
        raise ArtifactError(f"{path}: not a classifier of ours ({error})") from error


def _learned(artifact: Artifact, form: Form) -> tuple[dict[str, Any], dict[str, Any]]:
    """As ``learned``.

    Raises:
        DataError: if an entry is not one of ours.
    """
    classes, n_features = _classes(form), form.integer("n_features", 1)
    if len(classes) != (len(artifact.class_names) or 2):
        raise DataError("'classes' must be two different labels, or one for each class")
    if not isinstance(artifact.encoder, TableEncoder):
        raise DataError("there is no encoder of a table")
    history = tuple(
        EpochRecord.from_dict(entry, f"{KEY}, epoch {epoch}")
        for epoch, entry in enumerate(form.entries("history"))
    )
    training = Form(artifact.training, "training")
    chosen = training.integer("epoch")
    if chosen >= len(history):
        raise DataError("'epoch' must be one of the history")
    attributes = {
        "classes_": np.array(classes),
        "n_features_in_": n_features,
        "encoder_": artifact.encoder,
        "module_": artifact.model,
        "architecture_": dict(base_architecture(artifact.architecture)),
        "history_": history,
        "chosen_epoch_": chosen,
        "selection_": training.text("selection"),
        "group_names_": artifact.group_names,
        "label_name_": artifact.label,
        "sensitive_names_": artifact.sensitive,
        "notes_": training.texts("notes"),
        "mitigated_": form.flag("mitigated"),
        "threshold_": artifact.threshold,
        "fairness_weight_": form.number("fairness_weight"),
        "front_weights_": _front_weights(training),
        "bound_met_": None if form.content.get("bound_met") is None else form.flag("bound_met"),
    }
    if form.content.get("feature_names") is not None:
        names = form.texts("feature_names")
        if len(names) != n_features:
            raise DataError(f"'feature_names' must be {n_features} names")
        if unknown := {column.name for column in artifact.encoder.columns} - {*names}:
            raise DataError(f"'feature_names' has no {min(unknown)!r}, which the encoder takes")
        attributes["feature_names_in_"] = np.array(names, dtype=object)
    if form.content.get("feature_numbers") is not None:
        numbers = form.entries("feature_numbers")
        if len(numbers) != n_features or not all(isinstance(one, int) for one in numbers):
            raise DataError(f"'feature_numbers' must be {n_features} whole numbers")
        attributes[NUMBERED] = numbers
    parameters = dict(form.form("parameters").content)
    if isinstance(parameters.get("class_weight"), list):
        parameters["class_weight"] = _pairs(parameters["class_weight"])
    return parameters, attributes


def _numbers(names: Sequence[object] | None) -> list[int] | None:
    """The names of columns that are whole numbers; None where they are not."""
    whole = names is not None and all(isinstance(name, int | np.integer) for name in names)
    return [int(name) for name in cast("Sequence[int]", names)] if whole else None


def _front(weights: Sequence[float]) -> dict[str, list[float]]:
    """The front that a network is a point of, as ``dralign front`` writes it too."""
    return {"weights": [*weights]}


def _front_weights(training: Form) -> tuple[float, ...] | None:
    """The weights of that front; None where there is none.

    Raises:
        DataError: if they are not numbers.
    """
    if "front" not in training.content:
        return None
    form = training.form("front")
    return form.numbers("weights", len(form.entries("weights")))


def _pairs(entries: list[Any]) -> dict[Any, float]:
    """The weights of classes.

    Raises:
        DataError: if they are not a label and a number each.
    """
    for entry in entries:
        known = (
            isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str | int | float)
        )
        if not known or not isinstance(entry[1], int | float):
            raise DataError("'class_weight' must be a label and a number each")
    return dict(entries)


def _classes(form: Form) -> list[Any]:
    """The labels: different texts, or different numbers.

    Raises:
        DataError: if they are something else.
    """
    classes = form.entries("classes")
    texts = all(isinstance(entry, str) for entry in classes)
    numbers = all(isinstance(entry, int | float) and abs(entry) < 2**63 for entry in classes)
    if not (texts or numbers) or len({*classes}) < len(classes):
        raise DataError("'classes' must be different texts or numbers")
    return classes


def _plain(value: object) -> object:
    """A parameter as JSON keeps it; the state of a random generator is not kept."""
    if isinstance(value, Mapping):  # keys of JSON are texts, labels need not be
        return [[_plain(key), _plain(entry)] for key, entry in value.items()]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, torch.device):
        return str(value)
    return None if isinstance(value, np.random.RandomState) else value
