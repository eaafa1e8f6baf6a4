"""Networks: the paper's multi-layer perceptron, AlexNet and ResNet-18."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from dralign.errors import OptionError, unknown
from dralign.models.perceptron import mlp
from dralign.models.pretrained import load_weights
from dralign.models.shifted import (
    SHIFTED,
    ShiftedNetwork,
    architecture_of,
    base_architecture,
    parts_of,
    shifted_logits,
)
from dralign.models.sizes import NETWORK
from dralign.models.vision import ALEXNET_PIXELS, RESNET_PIXELS, alexnet, resnet18
from dralign.models.weights import as_type_of, misfit, not_finite

__all__ = [
    "NETWORK",
    "NETWORKS",
    "ShiftedNetwork",
    "alexnet",
    "architecture_of",
    "as_type_of",
    "base_architecture",
    "build",
    "check_image_size",
    "load_weights",
    "misfit",
    "mlp",
    "not_finite",
    "parts_of",
    "resnet18",
    "shifted_logits",
]


@dataclass(frozen=True)
class _Network:
    """A way to make a network, the sizes it takes, and its smallest images if it is for them."""

    make: Callable[..., nn.Module]
    sizes: tuple[str, ...]
    needed: tuple[str, ...] = ()
    least_pixels: int = 0


NETWORKS = {
    "mlp": _Network(mlp, ("n_inputs", "hidden", "depth", "n_outputs"), needed=("n_inputs",)),
    "alexnet": _Network(alexnet, ("classifier_width", "n_outputs"), least_pixels=ALEXNET_PIXELS),
    "resnet18": _Network(resnet18, ("n_outputs",), least_pixels=RESNET_PIXELS),
}


def check_image_size(name: str, size: int) -> None:
    """Checks that a network of this name takes square images of this height and width.

    Raises:
        OptionError: if it is not for images, or they are too small for it.
    """
    least = NETWORKS[name].least_pixels
    if not least:
        raise OptionError(f"network: {name} does not take images")
    if size < least:
        raise OptionError(
            f"image_size: {name} takes images of {least} x {least} pixels and more, got "
            f"{size} x {size}"
        )


def build(architecture: Mapping[str, object]) -> nn.Module:
    """The network that an architecture describes, as kept in records and artifacts.

    Args:
        architecture: ``{"name": "mlp", "n_inputs": ..., "hidden": ..., "depth": ...,
            "n_outputs": ...}``, ``{"name": "alexnet", "classifier_width": ..., "n_outputs": ...}``
            or ``{"name": "resnet18", "n_outputs": ...}``; what is left out takes its default. A
            network that was adjusted is ``{"name": "shifted", "network": ..., "cells": ...}``,
            two of these, the second a perceptron with an output for each cell.

    Raises:
        OptionError: if the name or an entry is unknown, or a size is not a whole number in range.
        ModelError: if torchvision is needed and can't be used.
    """
    sizes = dict(architecture)
    name = sizes.pop("name", None)
    if name == SHIFTED:
        return _shifted(sizes)
    if not isinstance(name, str) or name not in NETWORKS:
        raise OptionError(unknown("architecture", name, NETWORKS))
    network = NETWORKS[name]
    for key, value in sizes.items():
        if key not in network.sizes:
            raise OptionError(unknown(f"size of {_a(name)}", key, network.sizes))
        if not isinstance(value, int) or isinstance(value, bool):
            raise OptionError(f"{key}: expected a whole number, got {value!r}")
    for key in network.needed:
        if key not in sizes:
            raise OptionError(f"{_a(name)} needs {key}")
    return network.make(**sizes)


def _shifted(parts: Mapping[str, object]) -> ShiftedNetwork:
    """A network with the one that moves its logits; neither is made of two itself.

    Raises:
        OptionError: if it is not made of two such networks.
    """
    network, cells = parts.get("network"), parts.get("cells")
    if not isinstance(network, Mapping) or not isinstance(cells, Mapping) or len(parts) > 2:
        raise OptionError(f"a {SHIFTED} network is made of 'network' and 'cells'")
    for part in (network, cells):
        if part.get("name") == SHIFTED:
            raise OptionError(f"a {SHIFTED} network is made of two that are not")
    n_cells = cells.get("n_outputs")
    if not isinstance(n_cells, int) or n_cells < 2 or network.get("n_outputs", 1) != 1:
        raise OptionError(f"a {SHIFTED} network has one logit, and two cells or more")
    return ShiftedNetwork(build(network), build(cells), n_cells)


def _a(name: str) -> str:
    """The name with its article."""
    return f"{'an' if name in {'mlp', 'alexnet'} else 'a'} {name}"
