"""Reading a saved network that may come from anyone: checked before any of it is used."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dralign import models
from dralign.artifact.layout import (
    BY_GROUP,
    CHECKSUM,
    DESCRIPTION,
    FORMAT,
    LARGEST_DESCRIPTION,
    VERSION,
    WEIGHTS,
    checksum,
)
from dralign.artifact.network import Artifact
from dralign.data import Encoder, ImageEncoder, encoder_from_dict
from dralign.data.limits import check_room
from dralign.errors import ArtifactError, DataError, OptionError
from dralign.files import open_regular, read_whole
from dralign.forms import Form, parse_json
from dralign.metrics.arrays import THRESHOLD
from dralign.metrics.decisions import NOBODY

_MOST_LAYERS = 10_000


def load_artifact(folder: str | Path) -> Artifact:
    """Reads an artifact, checking that it is ours, complete, unchanged and possible.

    Raises:
        ArtifactError: if it is missing, damaged, not ours, or of another version.
        ModelError: if it needs torchvision, which can't be used.
    """
    index = Path(folder)
    if not index.is_dir():
        raise ArtifactError(f"{index}: no such folder; expected a network saved by dralign train")
    path = index / DESCRIPTION
    description = _description(path)
    weights = _weights(index / WEIGHTS, description.text("weights_sha256"))
    try:
        return _artifact(description, weights)
    except (DataError, OptionError, ArtifactError) as error:
        raise ArtifactError(f"{path}: not a network of ours ({error})") from error


def _description(path: Path) -> Form:
    """The description, of our format and version and as it was written.

    Raises:
        ArtifactError: if it is not.
    """
    try:
        text = read_whole(path, at_most=LARGEST_DESCRIPTION, what="description")
    except OSError as error:
        raise ArtifactError(f"{path}: {error.strerror or error}; not a saved network") from error
    except ValueError as error:
        raise ArtifactError(str(error)) from error
    content = parse_json(text, str(path), error=ArtifactError)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ArtifactError(f"{path}: not a network saved by dralign")
    if content.get("version") != (BY_GROUP if content.get("shifts") else VERSION):
        raise ArtifactError(
            f"{path}: format version {str(content.get('version'))[:50]}; this dralign reads "
            f"{VERSION}: train the network again, or use the version that it was saved by"
        )
    if content.get(CHECKSUM) != checksum(content):
        raise ArtifactError(f"{path}: changed since it was saved (its checksum is another)")
    return Form(content, str(path), error=ArtifactError)


def _weights(path: Path, sha256: str) -> dict[str, Tensor]:
    """The weights by name, as they were written.

    Raises:
        ArtifactError: if they can't be read, or are others.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        with open_regular(path) as file:
            check_room(path, os.fstat(file.fileno()).st_size)
            digest = hashlib.file_digest(file, "sha256").hexdigest()  # piece by piece
            file.seek(0)
            content = file.read() if digest == sha256 else b""
    except OSError as error:
        raise ArtifactError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        raise ArtifactError(str(error)) from error
    if digest != sha256:
        raise ArtifactError(f"{path}: truncated or changed since it was saved")
    try:
        state: dict[str, Tensor] = load(content)
    except (SafetensorError, KeyError) as error:  # KeyError: a type that torch does not have
        raise ArtifactError(f"{path}: not a safetensors file of torch ({error})") from error
    return state


def _artifact(description: Form, weights: Mapping[str, Tensor]) -> Artifact:
    """The network that a description and its weights make.

    Raises:
        ArtifactError: if an entry is not possible, or does not go with the others.
    """
    architecture = description.form("architecture").content
    form = description.content.get("encoder")
    encoder = None if form is None else encoder_from_dict(form)
    model = _model(architecture, weights)
    _check_inputs(encoder, architecture)
    classes = description.texts("class_names")
    outputs = architecture.get("n_outputs", 1)
    if len(classes) != (outputs if outputs > 2 else 0):
        raise ArtifactError("the network does not have one output for each class")
    sensitive, names = description.texts("sensitive"), description.texts("group_names")
    return Artifact(
        model=model,
        architecture=architecture,
        encoder=encoder,
        label=description.text("label"),
        positive=description.text("positive"),
        sensitive=sensitive,
        group_names=names,
        training=description.form("training").content,
        class_names=classes,
        thresholds=_thresholds(description, len(names)),
        threshold=_threshold(description),
        shifts=_shifts(description, len(names)),
    )


def _thresholds(description: Form, n_groups: int) -> tuple[float, ...]:
    """A threshold for each group, or none.

    Raises:
        ArtifactError: if there are others.
    """
    if not description.entries("thresholds"):
        return ()
    thresholds = description.numbers("thresholds", n_groups)
    if not all(0 <= each <= NOBODY for each in thresholds):
        raise ArtifactError(f"'thresholds' must be from 0 to {NOBODY:g}")
    if not description.entries("sensitive") or description.entries("class_names"):
        raise ArtifactError("'thresholds' need sensitive columns, and two classes")
    return thresholds


def _shifts(description: Form, n_groups: int) -> tuple[tuple[float, float], ...]:
    """The shift of each group's scores at label 0 and at label 1, or none.

    Raises:
        ArtifactError: if there are others, or there are classes or thresholds by group beside them.
    """
    if "shifts" not in description.content:  # of an older version
        return ()
    shifts = [
        Form({"shift": entry}, "shifts", error=ArtifactError).numbers("shift", 2)
        for entry in description.entries("shifts")
    ]
    alone = not description.entries("thresholds") and not description.entries("class_names")
    if shifts and (len(shifts) != n_groups or not alone or not description.entries("sensitive")):
        raise ArtifactError("'shifts' are for two classes, one pair for each of the groups")
    return tuple((low, high) for low, high in shifts)


def _threshold(description: Form) -> float:
    """The threshold for everybody.

    Raises:
        ArtifactError: if it is none, or there are classes or thresholds by group beside it.
    """
    if "threshold" not in description.content:  # of an older version
        return THRESHOLD
    threshold = description.number("threshold")
    if not 0 <= threshold <= NOBODY:
        raise ArtifactError(f"'threshold' must be from 0 to {NOBODY:g}")
    alone = not description.entries("thresholds") and not description.entries("class_names")
    if threshold != THRESHOLD and not alone:
        raise ArtifactError("'threshold' is for two classes, and for all groups alike")
    return threshold


def _check_inputs(encoder: Encoder | None, architecture: Mapping[str, Any]) -> None:
    """Checks that the encoder makes what the network takes.

    Raises:
        ArtifactError: if it makes another number of inputs.
        OptionError: if it makes images, and the network takes none or larger ones.
    """
    architecture = models.base_architecture(architecture)
    if isinstance(encoder, ImageEncoder):
        models.check_image_size(architecture["name"], encoder.size)
    elif encoder is not None and len(encoder.feature_names) != architecture.get("n_inputs"):
        raise ArtifactError("the encoder does not make as many inputs as the network takes")


def _check_depth(architecture: Mapping[str, Any], n_weights: int) -> None:
    """Checks that a network does not have more layers than there are weights.

    Raises:
        ArtifactError: if it does.
    """
    form = Form(architecture, "architecture", error=ArtifactError)
    if "depth" in architecture:
        form.integer("depth", 0, _MOST_LAYERS)
    # The only network of any depth.
    if architecture.get("name") == "mlp" and architecture.get("depth", 2) + 1 > n_weights // 2:
        raise ArtifactError("the weights do not fit the architecture (number of layers)")


def _model(architecture: Mapping[str, Any], weights: Mapping[str, Tensor]) -> nn.Module:
    """The network with its weights; a description larger than the weights is never built.

    Raises:
        ArtifactError: if the weights are not those of the architecture, or not finite.
    """
    for part in models.parts_of(architecture):
        _check_depth(part, len(weights))
    try:
        with torch.device("meta"):
            model = models.build(architecture)
    except RuntimeError as error:  # a product of sizes beyond any tensor
        raise ArtifactError("the architecture is too large for any weights") from error
    if reason := models.misfit(weights, model.state_dict()):
        raise ArtifactError(f"the weights do not fit the architecture: {reason}")
    if name := models.not_finite(weights):
        raise ArtifactError(f"the weights {name!r} hold NaN or infinite values")
    model.load_state_dict(dict(weights), assign=True)
    return model.eval()
