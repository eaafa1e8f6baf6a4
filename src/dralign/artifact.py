"""A trained network on disk: a folder of safetensors weights, JSON and a model card.

Nothing in it is code and nothing is unpickled, so a folder from elsewhere can be read safely.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from dralign import models
from dralign.data import Encoder, ImageEncoder, encoder_from_dict
from dralign.data.columns import require_columns
from dralign.errors import ArtifactError, DralignError, ModelError
from dralign.forms import Form
from dralign.groups import encode_groups
from dralign.metrics.arrays import THRESHOLD
from dralign.training import predict_probability

FORMAT = "dralign artifact"
VERSION = 1
WEIGHTS, DESCRIPTION, CARD = "model.safetensors", "artifact.json", "README.md"
LARGEST_DESCRIPTION = 64 * 2**20
# Settings of a trial that the model card tells of in other words, or that are of another network.
_NOT_SHOWN = ("network", "classifier_width", "hidden", "depth")
_BY_GROUP = "this network decides by the group, but the table"


@dataclass(frozen=True)
class Artifact:
    """A trained network and all that is needed to use and judge it.

    Attributes:
        model: the network; it returns logits.
        architecture: what ``dralign.models.build`` needs.
        encoder: turns raw rows into inputs; None where inputs are given as they are.
        label: the name of the label column.
        positive: how label 1 is written in the raw data; empty with more than two classes.
        sensitive: the sensitive columns of the training data; not needed for prediction, unless
            there are thresholds.
        group_names: the groups they make.
        training: how it was trained and chosen, and its figures; JSON-ready.
        class_names: with more than two classes, how the labels 0, 1, ... are written.
        thresholds: for each group the probability from which on the decision is positive; empty
            where that is 0.5 for everybody.
    """

    model: nn.Module
    architecture: Mapping[str, Any]
    encoder: Encoder | None
    label: str
    positive: str
    sensitive: tuple[str, ...]
    group_names: tuple[str, ...]
    training: Mapping[str, Any]
    class_names: tuple[str, ...] = ()
    thresholds: tuple[float, ...] = ()

    def predict_proba(self, rows: object, *, folder: str | Path = "") -> Tensor:
        """Probabilities for raw rows, float32 in [0, 1].

        Args:
            rows: a DataFrame with the columns of training, or one that names image files; (n, d)
                inputs if there is no encoder. Images are decoded block by block.
            folder: that relative paths of images are counted from; the current one if not given.

        Returns:
            (n,) of the positive label; (n, C) of each of more than two classes.

        Raises:
            DataError: if a column is missing, or it or an image can't be read.
        """
        if isinstance(self.encoder, ImageEncoder):
            images = self.encoder.listed(rows, folder)
            return predict_probability(self.model, cast("Tensor", images))
        x = rows if self.encoder is None else self.encoder.transform(rows)
        return predict_probability(self.model, torch.as_tensor(x, dtype=torch.float32))

    def decide(self, rows: Any, prob: Tensor) -> Tensor:  # noqa: ANN401 - pandas is loaded lazily
        """Decisions for raw rows of two classes, 0 or 1: by the thresholds of their groups.

        Without thresholds the rows are not looked at. A row with a missing sensitive value is
        decided at 0.5.

        Args:
            rows: a DataFrame with the sensitive columns.
            prob: (n,) what ``predict_proba`` gave for them.

        Returns:
            (n,) int64.

        Raises:
            DataError: if a sensitive column is missing.
            GroupError: if a value makes a group that was not there in training.
        """
        if not self.thresholds:
            return (prob >= THRESHOLD).long()
        require_columns(rows, self.sensitive, where=_BY_GROUP)
        groups = encode_groups(rows[list(self.sensitive)], names=self.group_names).codes
        limits = torch.tensor([*self.thresholds, THRESHOLD], dtype=torch.float64)
        return (prob >= limits[groups]).long()  # code -1 takes the last limit

    def describe(self) -> dict[str, Any]:
        """Everything but the weights, JSON-ready."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "architecture": dict(self.architecture),
            "encoder": None if self.encoder is None else self.encoder.to_dict(),
            "label": self.label,
            "positive": self.positive,
            "sensitive": list(self.sensitive),
            "group_names": list(self.group_names),
            "class_names": list(self.class_names),
            "thresholds": list(self.thresholds),
            "training": dict(self.training),
        }


def save_artifact(artifact: Artifact, folder: str | Path) -> Path:
    """Writes the artifact so that the folder is either complete or not there.

    An artifact already there is replaced; anything else is left alone.

    Returns:
        The folder.

    Raises:
        ArtifactError: if something else is in the way, or the disk refuses.
    """
    from safetensors.torch import save

    target = Path(folder)
    if target.exists() and not (target / DESCRIPTION).is_file() and not _is_empty(target):
        raise ArtifactError(f"{target}: exists and is not a saved network; choose another folder")
    state = {name: x.detach().cpu().contiguous() for name, x in artifact.model.state_dict().items()}
    weights = save(state)
    description = artifact.describe() | {"weights_sha256": hashlib.sha256(weights).hexdigest()}
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as scratch:
            new = Path(scratch) / "new"
            new.mkdir()
            _write(new / WEIGHTS, weights)
            _write(new / DESCRIPTION, json.dumps(description, indent=1).encode())
            _write(new / CARD, model_card(artifact).encode())
            if target.exists():
                target.replace(Path(scratch) / "old")
            new.replace(target)
    except OSError as error:
        raise ArtifactError(f"{target}: can't be written ({error.strerror or error})") from error
    return target


def load_artifact(folder: str | Path) -> Artifact:
    """Reads an artifact, checking that it is ours, complete and unchanged.

    Raises:
        ArtifactError: if it is missing, damaged, not ours, or written by a newer version.
        ModelError: if it needs torchvision, which can't be used.
    """
    place = Path(folder)
    if not place.is_dir():
        raise ArtifactError(f"{place}: no such folder; expected a network saved by dralign train")
    description = _read_description(place)
    try:
        weights = (place / WEIGHTS).read_bytes()
    except OSError as error:
        raise ArtifactError(f"{place / WEIGHTS}: {error.strerror or error}") from error
    if hashlib.sha256(weights).hexdigest() != description.get("weights_sha256"):
        raise ArtifactError(f"{place / WEIGHTS}: truncated or changed since it was saved")
    try:
        form = description["encoder"]
        encoder = None if form is None else encoder_from_dict(form)
        architecture = description["architecture"]
        model = _model(architecture, weights)
        _check_inputs(encoder, architecture)
        classes = tuple(map(str, description.get("class_names", ())))
        outputs = architecture.get("n_outputs", 1)
        if len(classes) != (outputs if outputs > 2 else 0):
            raise ArtifactError("the network does not have one output for each class")
        return Artifact(
            model=model,
            architecture=architecture,
            encoder=encoder,
            label=str(description["label"]),
            positive=str(description["positive"]),
            sensitive=tuple(map(str, description["sensitive"])),
            group_names=tuple(map(str, description["group_names"])),
            training=dict(description["training"]),
            class_names=classes,
            thresholds=_thresholds(description),
        )
    except ModelError:  # torchvision is not there
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = (
            str(error) if isinstance(error, DralignError) else f"{type(error).__name__} {error}"
        )
        raise ArtifactError(f"{place / DESCRIPTION}: not a network of ours ({reason})") from error


def model_card(artifact: Artifact) -> str:
    """A page for a person: what the network is, how it was made, its figures and limits."""
    training = artifact.training
    figures = "\n".join(
        f"| {name.replace('_', ' ')} | {value:.4f} |"
        for name, value in dict(training.get("test", {})).items()
    )
    classes = ", ".join(f"`{name}`" for name in artifact.class_names)
    what = f"as one of {classes}" if classes else f"= `{artifact.positive}`"
    data = dict(training.get("trial", {})).get("data", {})
    return f"""# Model card

Predicts `{artifact.label}` {what}; saved by dralign.

- Network: {_network(artifact)}
- Inputs: {_inputs(artifact.encoder)}
- Trained with: {_settings(training.get("trial", {}))}
- Data: {_settings(data)}
- Sensitive feature: {", ".join(artifact.sensitive)} ({", ".join(artifact.group_names)}); \
{_use_of_groups(artifact)}
- Chosen epoch: {training.get("epoch", "not recorded")} by {training.get("selection", "no rule")}

## Figures on the test rows

| figure | value |
| --- | --- |
{figures}

## Limits

These figures describe one test split of the data above and say nothing about other populations.
A small gap between groups is not evidence that decisions made with this network are just: label
bias, missing groups and the use it is put to are outside of what is measured here.
"""


def _use_of_groups(artifact: Artifact) -> str:
    """What the sensitive feature is for once the network is trained."""
    if not artifact.thresholds:
        return "not needed for prediction"
    limits = zip(artifact.group_names, artifact.thresholds, strict=True)
    text = ", ".join(f"{name}: {limit:.4f}" for name, limit in limits)
    return (
        "**used at prediction**: the decision is positive from a probability on that depends on "
        f"the group ({text}). Whether that is lawful depends on the place and the use"
    )


def _network(artifact: Artifact) -> str:
    """The architecture, and the weights that training began with."""
    sizes = ", ".join(
        f"{name.replace('_', ' ')} {value}"
        for name, value in artifact.architecture.items()
        if name != "name"
    )
    begun = artifact.training.get("pretrained")
    start = f"; training began with the weights of {begun['file']}" if begun else ""
    return f"{artifact.architecture['name']}{f' ({sizes})' if sizes else ''}{start}"


def _inputs(encoder: Encoder | None) -> str:
    """What the network takes."""
    if isinstance(encoder, ImageEncoder):
        return (
            f"images, brought to {encoder.size} x {encoder.size} pixels without a crop, in the "
            "mean and deviation of ImageNet"
        )
    if encoder is None:
        return "numbers as they are given"
    return f"{len(encoder.feature_names)} numbers made of the columns of a table"


def _settings(trial: object) -> str:
    """Settings in one line, without what is empty, nested or told elsewhere."""
    if not isinstance(trial, Mapping):
        return "not recorded"
    text = ", ".join(
        f"{name.replace('_', ' ')} {_written(value)}"
        for name, value in trial.items()
        if not isinstance(value, Mapping)
        and value not in ("", None, False, [])
        and name not in _NOT_SHOWN
    )
    return text or "not recorded"


def _written(value: object) -> str:
    """A setting as text."""
    if isinstance(value, list | tuple):
        return " & ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _is_empty(place: Path) -> bool:
    """Whether the path is an empty folder."""
    return place.is_dir() and not any(place.iterdir())


def _write(path: Path, content: bytes) -> None:
    """Writes a file through to the disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _read_description(place: Path) -> dict[str, Any]:
    """The JSON description, checked to be of our format and version.

    Raises:
        ArtifactError: if it is not.
    """
    path = place / DESCRIPTION
    try:
        if path.stat().st_size > LARGEST_DESCRIPTION:
            raise ArtifactError(f"{path}: larger than any description of ours")
        description = json.loads(path.read_bytes())
    except OSError as error:
        raise ArtifactError(f"{path}: {error.strerror or error}; not a saved network") from error
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path}: truncated or not JSON") from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise ArtifactError(f"{path}: not a network saved by dralign")
    if description.get("version") != VERSION:
        raise ArtifactError(
            f"{path}: format version {description.get('version')!r}; this dralign reads {VERSION}"
        )
    return description


def _thresholds(description: Mapping[str, Any]) -> tuple[float, ...]:
    """A threshold for each group, or none; descriptions written before there were any have none.

    Raises:
        DataError: if there are others.
    """
    if not description.get("thresholds"):
        return ()
    return Form(description, "artifact").numbers("thresholds", len(description["group_names"]))


def _check_inputs(encoder: Encoder | None, architecture: Mapping[str, Any]) -> None:
    """Checks that the encoder makes what the network takes.

    Raises:
        ArtifactError: if it makes another number of inputs.
        OptionError: if it makes images, and the network takes none or larger ones.
    """
    if isinstance(encoder, ImageEncoder):
        models.check_image_size(architecture["name"], encoder.size)
    elif encoder is not None and len(encoder.feature_names) != architecture.get("n_inputs"):
        raise ArtifactError("the encoder does not make as many inputs as the network takes")


def _model(architecture: Mapping[str, Any], weights: bytes) -> nn.Module:
    """The network with its weights; a description larger than the weights is never built.

    Raises:
        ArtifactError: if the weights are not those of the architecture.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        state = load(weights)
    except SafetensorError as error:
        raise ArtifactError(f"{WEIGHTS} is not a safetensors file ({error})") from error
    deep = architecture.get("name") == "mlp"  # the only network of any depth
    if deep and int(architecture.get("depth", 2)) + 1 != len(state) // 2:
        raise ArtifactError("the weights do not fit the architecture (number of layers)")
    try:
        with torch.device("meta"):
            model = models.build(architecture)
        model.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise ArtifactError("the weights do not fit the architecture (shapes)") from error
    return model.eval()
