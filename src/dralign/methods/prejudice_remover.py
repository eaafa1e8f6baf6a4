"""Prejudice remover (Kamishima et al., 2012): little mutual information of decision and group."""

from typing import Final

import torch
from torch import Tensor

from dralign.methods.dependence import dependence_type


def mutual_information(scores: Tensor, share: Tensor) -> Tensor:
    """The mutual information of group and decision, in nats (Eq. 41).

    The decision is drawn at random with the probabilities that the scores say, so only the groups'
    mean scores enter. It is at least 0, and 0 where they are equal; at most the logarithm of the
    number of groups or classes. A probability of exactly 0 adds nothing and has no gradient.

    Args:
        scores: (n,) probabilities of label 1, or (n, C) of C classes.
        share: (G, n) what part of all rows each row is, in the line of its group.
    """
    by_class = torch.stack([1 - scores, scores], dim=1) if scores.ndim == 1 else scores  # (n, C)
    # Products and sums, not a matrix product: autocast would round that to half precision.
    both = (share[:, :, None] * by_class).sum(1)  # (G, C), P(a, c)
    group, decision = share.sum(1, keepdim=True), both.sum(0)  # (G, 1), (C,)
    apart = _log(both) - _log(group) - _log(decision)
    return (both * apart).sum()


def _log(x: Tensor) -> Tensor:
    """The logarithm, and 0 without a gradient where there is none."""
    return torch.where(x > 0, x, torch.ones_like(x)).log()


PREJUDICE_REMOVER: Final = dependence_type(
    "prejudice_remover",
    "the task loss plus λ times the mutual information of decision and group (Eq. 41)",
    mutual_information,
    scale=10.0,
)
