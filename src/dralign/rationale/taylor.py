"""Taylor rationales (Eq. 8): the squared first-order change of a group's loss, and its cosine."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dralign.rationale.layers import Granularity, Layer


def normalised_rationale(
    layer: Layer, grad: Tensor, weight: Tensor, granularity: Granularity
) -> Tensor:
    """The rationale of one group in one layer, scaled to norm 1: (n_weights,) or (units,).

    c_k = (g_k w_k)^2 (Eq. 8); at ``granularity="unit"`` summed over the fan-in of each unit. The
    products are divided by their largest before they are squared, so that gradients of 1e-12 keep
    their digits; the cosine does not change by it. A rationale that is all zero stays zero; one
    with a NaN or an infinite gradient is NaN.

    Differentiable in both tensors where the rationale is not zero.
    """
    product = layer.by_unit(grad * weight)  # (units, fan-in)
    largest = product.detach().abs().amax()
    product = product / torch.where(largest > 0, largest, torch.ones_like(largest))
    influence = product.square()
    vector = influence.sum(1) if granularity == "unit" else influence.flatten()
    squared = vector.square().sum()
    alive = squared != 0  # also where it is NaN, which is to be seen
    # The inner "where" keeps sqrt away from 0, whose gradient is infinite.
    norm = torch.where(alive, squared, torch.ones_like(squared)).sqrt()
    return torch.where(alive, vector / norm, torch.zeros_like(vector))


def mean_pairwise_similarity(rationales: Sequence[Tensor]) -> Tensor:
    """The mean cosine similarity over all pairs of groups, a scalar in [0, 1].

    Each rationale meets the sum of the others, so the cost grows with the number of groups G and
    not with the number of pairs: the sum over pairs is that of <h_i, sum of h_j over j != i> / 2.

    Args:
        rationales: at least two normalised rationales of the same layer. A zero one has
            similarity 0 with every other and takes no gradient.
    """
    stacked = torch.stack(list(rationales))  # (G, k)
    others = stacked.sum(0) - stacked
    return (stacked * others).sum() / (len(stacked) * (len(stacked) - 1))
