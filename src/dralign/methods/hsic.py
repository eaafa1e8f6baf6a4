"""Kernel dependence (Li et al., 2019): scores made independent of the group, as a whole."""

from typing import Final

import torch
from torch import Tensor

from dralign.methods.dependence import dependence_type


def hsic(scores: Tensor, share: Tensor) -> Tensor:
    """The Hilbert-Schmidt independence criterion of scores and groups, not normalised (Eq. 42).

    It is 0 where every group has the same distribution of scores, not merely the same mean, and at
    most 1. The cost is G n^2 operations, and memory for a few n x n matrices.

    Args:
        scores: (n,) probabilities of label 1, or (n, C) of C classes.
        share: (G, n) what part of all rows each row is, in the line of its group.
    """
    rows = scores.reshape(len(scores), -1)  # (n, C)
    apart = rows[:, None] - rows[None]  # (n, n, C)
    kernel = torch.exp(-apart.square().sum(-1))  # (n, n)
    # What a row counts in its group, less what it counts in everybody times the group's share.
    centred = share - share.sum(1, keepdim=True) * share.sum(0)  # (G, n)
    # Products and sums, not matrix products: autocast would round those to half precision.
    return torch.stack([(line[:, None] * kernel * line).sum() for line in centred]).sum()


HSIC: Final = dependence_type(
    "hsic",
    "the task loss plus λ times the kernel dependence (HSIC) of scores and group (Eq. 42)",
    hsic,
    scale=20.0,
)
