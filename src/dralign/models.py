"""Networks: the paper's multi-layer perceptron."""

from collections.abc import Mapping
from itertools import pairwise
from typing import cast

from torch import nn

from dralign.errors import OptionError, unknown


def mlp(n_inputs: int, hidden: int = 200, depth: int = 2, n_outputs: int = 1) -> nn.Sequential:
    """A perceptron with ``depth`` hidden layers of ``hidden`` ReLU units; it returns logits.

    The paper's "3-layer MLP" for Adult is ``mlp(120)``: 120-200-200-1, with 64,601
    parameters (Sec. 5.3).

    Args:
        n_inputs: the number of input columns.
        hidden: units in each hidden layer.
        depth: the number of hidden layers; 0 gives a linear model.
        n_outputs: 1 for two classes (one logit), C for C classes.

    Raises:
        OptionError: if a size is not a positive number (``depth``: negative).
    """
    for name, value, least in (
        ("n_inputs", n_inputs, 1),
        ("hidden", hidden, 1),
        ("depth", depth, 0),
        ("n_outputs", n_outputs, 1),
    ):
        if value < least:
            raise OptionError(f"{name}: expected at least {least}, got {value}")
    widths = [n_inputs, *[hidden] * depth]
    layers: list[nn.Module] = []
    for fan_in, width in pairwise(widths):
        layers += [nn.Linear(fan_in, width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], n_outputs))


def build(architecture: Mapping[str, object]) -> nn.Module:
    """The network that an architecture describes, as kept in records and artifacts.

    Args:
        architecture: ``{"name": "mlp", "n_inputs": ..., "hidden": ..., "depth": ...,
            "n_outputs": ...}``; what is left out takes its default.

    Raises:
        OptionError: if the name or an entry is unknown, or a size is not a whole number in range.
    """
    sizes = dict(architecture)
    name = sizes.pop("name", None)
    if name != "mlp":
        raise OptionError(unknown("architecture", name, ("mlp",)))
    for key, value in sizes.items():
        if key not in {"n_inputs", "hidden", "depth", "n_outputs"}:
            raise OptionError(
                unknown("size of an mlp", key, ("n_inputs", "hidden", "depth", "n_outputs"))
            )
        if not isinstance(value, int) or isinstance(value, bool):
            raise OptionError(f"{key}: expected a whole number, got {value!r}")
    if "n_inputs" not in sizes:
        raise OptionError("an mlp needs n_inputs")
    return mlp(**cast("dict[str, int]", sizes))
