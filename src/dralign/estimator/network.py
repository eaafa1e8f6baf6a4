"""The network of a classifier: the perceptron, or one of the user's own."""

import copy
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from dralign import models
from dralign.errors import ModelError, OptionError
from dralign.networks import evaluation_mode
from dralign.rationale.layers import original
from dralign.training import predict_probability, seeded, spawn_seeds

Module = nn.Module | Callable[[int], nn.Module]


def initial_network(
    own: Module | None, architecture: Mapping[str, Any], *, seed: int, device: str
) -> nn.Module:
    """The untrained network on its device.

    Args:
        own: a module, which is copied with its weights; a function that makes one for a number of
            inputs; or None for ``architecture``.
        architecture: what ``dralign.models.build`` needs.
        seed: of the run; it decides the initial weights.
        device: where the network is put.

    Raises:
        OptionError: if ``own`` makes no module, or the device is not there.
    """
    with seeded(spawn_seeds(seed).initialisation):
        model: object
        if own is None:
            model = models.build(architecture)
        elif isinstance(own, nn.Module):
            model = copy.deepcopy(original(own))
        else:
            model = _made(own, architecture["n_inputs"]) if callable(own) else own
        if isinstance(model, nn.Module):
            model = original(model)
            _draw_lazy_weights(model, architecture["n_inputs"])
    if not isinstance(model, nn.Module):
        raise OptionError(
            "module: expected an nn.Module, or a function from the number of inputs to one, "
            f"got {type(model).__name__}"
        )
    try:
        return model.to(device)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise OptionError(f"device: {device!r} can't be used ({error})") from error


def _made(maker: Callable[[int], object], n_inputs: int) -> object:
    """What a function makes of the number of inputs.

    Raises:
        OptionError: if it can't be called with that alone.
    """
    try:
        return maker(n_inputs)
    except TypeError as error:
        raise OptionError(f"module: can't be called with the number of inputs ({error})") from error


def _draw_lazy_weights(model: nn.Module, n_inputs: int) -> None:
    """Lets a network with lazy modules see rows, by which they draw their weights."""
    if any(isinstance(p, UninitializedParameter) for p in model.parameters()):
        with evaluation_mode(model), torch.no_grad(), suppress(RuntimeError):  # told of later
            model(inputs_of(model, torch.zeros(2, n_inputs)))


def inputs_of(model: nn.Module, x: Tensor) -> Tensor:
    """The inputs in the type of the network's weights, float32 or float64.

    Raises:
        ModelError: if the weights are of another type.
    """
    dtype = next((p.dtype for p in model.parameters()), x.dtype)
    if dtype not in {torch.float32, torch.float64}:
        kind = str(dtype).removeprefix("torch.")
        raise ModelError(
            f"module: expected weights of float32 or float64, got {kind}; give it as float32, and "
            'precision="bfloat16" or "float16" for half precision'
        )
    return x.to(dtype)


def check_network(model: nn.Module, rows: Tensor, n_classes: int) -> None:
    """Checks that the network takes these inputs and gives one logit for each, or C of C classes.

    Raises:
        ModelError: if it does not.
    """
    try:
        with evaluation_mode(model), torch.no_grad():
            output = model(rows.to(next(model.parameters()).device))
    except (
        RuntimeError, StopIteration, TypeError, ValueError, LookupError, AttributeError
    ) as error:  # fmt: skip
        raise ModelError(
            f"module: can't take the {rows.shape[1]} inputs made from X "
            f"({str(error) or 'it has no parameters'})"
        ) from error
    if not isinstance(output, Tensor):
        raise ModelError(
            f"module: expected a tensor of logits, got a {type(output).__name__}; let forward "
            "return the logits alone"
        )
    shape = tuple(output.shape)
    if n_classes > 2 and shape != (len(rows), n_classes):
        raise ModelError(
            f"module: expected a logit for each of {n_classes} classes, shape "
            f"({len(rows)}, {n_classes}), got {shape}"
        )
    if n_classes == 2 and shape not in {(len(rows),), (len(rows), 1)}:
        raise ModelError(
            f"module: of two classes expected one logit a row, shape ({len(rows)}, 1), got "
            f"{shape}; let its last layer have one output, the logit of the second class"
        )


def probabilities(model: nn.Module, x: Tensor, *, own: bool) -> np.ndarray:
    """The probability of label 1, (n,), or of each of more classes, (n, C); float64.

    The perceptron is run in double precision, so that a row's probability does not depend on the
    rows that go through the network with it; a network of the user's own is run in its own.

    Args:
        model: the trained network.
        x: (n, d) float32 inputs.
        own: whether it is the perceptron.
    """
    if own:
        model = copy.deepcopy(model).double()
    prob = predict_probability(model, inputs_of(model, x), dtype=torch.float64).numpy()
    # As float32 those of a row do not add up to 1 in all digits.
    return prob if prob.ndim == 1 else np.asarray(prob / prob.sum(axis=1, keepdims=True))
