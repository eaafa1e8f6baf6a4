"""Whether tensors from a file can be the weights of a network."""

from collections.abc import Mapping

import torch
from torch import Tensor

from dralign.errors import ModelError


def misfit(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """The first reason why tensors can't take the places of others; empty if they can.

    Names, shapes and types must be the same: torch would cast silently, or fail at the first use.
    """
    for name in wanted:
        if name not in given:
            return f"there is no {name[:100]!r}"
    for name, x in given.items():
        if name not in wanted:
            return f"{name[:100]!r} is not one of its weights"
        if (x.shape, x.dtype) != (wanted[name].shape, wanted[name].dtype):
            return f"{name[:100]!r} is {_told(x)}, expected {_told(wanted[name])}"
    return ""


def not_finite(tensors: Mapping[str, Tensor]) -> str:
    """The name of the first tensor that holds NaN or infinite values; empty if there is none."""
    for name, x in tensors.items():
        if x.is_floating_point() and not bool(torch.isfinite(x).all()):
            return name
    return ""


def as_type_of(own: Tensor, x: Tensor, what: str) -> Tensor:
    """Weights from elsewhere in the type of those of a network; among floating types any will do.

    Raises:
        ModelError: if they are of another kind, or not finite in that type.
    """
    if x.dtype != own.dtype and not (x.is_floating_point() and own.is_floating_point()):
        raise ModelError(f"{what} is {_told(x)}, expected {_told(own)}")
    x = x.to(own.dtype)
    if not bool(torch.isfinite(x).all()):
        raise ModelError(f"{what} holds NaN or infinite values")
    return x


def _told(x: Tensor) -> str:
    """Type and shape for a person."""
    kind = str(x.dtype).removeprefix("torch.")
    return f"{kind} of shape ({', '.join(map(str, x.shape))})"
