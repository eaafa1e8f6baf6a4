"""A network whose score is shifted by what a second one says of the row's group (Eq. 35)."""

from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SHIFTED: Final = "shifted"


SURE: Final = 30.0  # log-odds beyond which float32 has no probability of the other label


def shifted_logits(logit: Tensor, shift: Tensor) -> Tensor:
    """The log-odds of the f with f - p + k f (1 - f) = 0, p being sigmoid(logit) (Eq. 35).

    With S^2 = (1 + k)^2 (1 - p) + (1 - k)^2 p these are logit + log(1 - k + S) - log(1 + k + S).
    Where 1 - k or 1 + k is below 0 its sum with S is a difference of almost equal terms, and is
    taken from the product (S + 1 - k) (S - 1 + k) = 4 k (1 - p), or (S + 1 + k) (S - 1 - k) = -4 k
    p, in logarithms.

    Args:
        logit: (n,) log-odds p; those beyond +-30 count as 30.
        shift: (n,) k, of any sign; 0 leaves a row as it is, above 0 lowers it.
    """
    z, k = logit.clamp(-SURE, SURE), shift
    root = ((1 + k).square() * torch.sigmoid(-z) + (1 - k).square() * torch.sigmoid(z)).sqrt()
    return torch.where(k == 0, logit, z + _log_sum(root, -k, -z) - _log_sum(root, k, z))


def _log_sum(root: Tensor, k: Tensor, z: Tensor) -> Tensor:
    """log(root + 1 + k); where 1 + k < 0 as log(-4 k sigmoid(z) / (root - 1 - k))."""
    below = k < -1
    steep = torch.where(below, -k, torch.ones_like(k))  # no logarithm of what is not taken
    apart = torch.where(below, root - 1 - k, torch.ones_like(root))
    safe = torch.where(below, torch.ones_like(root), root + 1 + k)
    return torch.where(below, (4 * steep).log() + F.logsigmoid(z) - apart.log(), safe.log())


class ShiftedNetwork(nn.Module):
    """A network whose scores are shifted by the likely cells of the row times a number for each.

    Args:
        network: returns a logit a row.
        cells: a linear network (``mlp`` of depth 0) with a logit for each of K cells.
        n_cells: K.
    """

    shift: Tensor

    def __init__(self, network: nn.Module, cells: nn.Module, n_cells: int) -> None:
        super().__init__()
        self.network, self.cells = network, cells
        self.register_buffer("shift", torch.zeros(n_cells))

    def forward(self, x: Tensor) -> Tensor:
        """(n, 1) or (n,) logits, as the network gives them."""
        logit: Tensor = self.network(x)
        k = self.cells(x).softmax(1) @ self.shift  # (n,)
        return shifted_logits(logit, k if logit.ndim == 1 else k[:, None])


def architecture_of(model: nn.Module, base: Mapping[str, object]) -> dict[str, object]:
    """What ``build`` needs to make a network, ``base`` being that of the one that was trained."""
    if not isinstance(model, ShiftedNetwork):
        return dict(base)
    n_cells, n_inputs = model.cells.state_dict()["0.weight"].shape
    sizes = {"name": "mlp", "n_inputs": n_inputs, "depth": 0, "n_outputs": n_cells}
    return {"name": SHIFTED, "network": dict(base), "cells": sizes}


def parts_of(architecture: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The architectures of the networks that one is made of; of most it is their own alone."""
    inner = [part for part in architecture.values() if isinstance(part, Mapping)]
    return inner or [architecture]


def base_architecture(architecture: Mapping[str, Any]) -> Mapping[str, Any]:
    """The architecture of the network that was trained, without what was put around it."""
    inner = architecture.get("network")
    return inner if isinstance(inner, Mapping) else architecture
