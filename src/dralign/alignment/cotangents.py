"""The similarity of the groups' rationales in one layer, and its derivatives in closed form.

For one layer let w be the weight, g_i the gradient of the mean loss of group i, z_i = g_i w,
q_i = z_i^2 (summed over the fan-in at unit granularity) and h_i = q_i / |q_i|. The similarity S is
the mean of <h_i, h_j> over pairs. With s_i the sum of the other h_j divided by the number of pairs,

    dS/dq_i = d_i = (s_i - <s_i, h_i> h_i) / |q_i|,
    dS/dg_i = 2 z_i d_i w,        dS/dw = sum_i 2 z_i d_i g_i  (the direct part),

and the gradient of S with respect to all parameters is sum_i H_i (dS/dg_i) plus the direct part,
H_i being the Hessian of group i's loss (Eq. 15).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from dralign.alignment.term import at_least_float32
from dralign.rationale import Granularity, Layer


def similarity_and_cotangents(
    layer: Layer, weight: Tensor, gradients: Sequence[Tensor], granularity: Granularity
) -> tuple[Tensor, list[Tensor], Tensor]:
    """The mean pairwise similarity S of one layer and its derivatives, in closed form.

    Args:
        layer: the layer.
        weight: its leaf parameter.
        gradients: for each of two or more groups the gradient of the leaf.
        granularity: of the rationales.

    Returns:
        S; dS/dg_i for each group; dS/dw, the direct part. All in the shape of the layer's part.
    """
    dtype = at_least_float32(weight.dtype)
    w = layer.by_unit(layer.part(weight)).to(dtype)  # (units, fan-in)
    gs = [layer.by_unit(layer.part(x)).to(dtype) for x in gradients]
    # Group by group and mostly in place: a layer may have 38 million weights.
    unit = granularity == "unit"
    # Everything is of z divided by its largest: the square of 1e-23 is 0 in float32. Where all are
    # 0, 1 takes the place of the largest.
    largest = [_or_one((g * w).abs_().amax()) for g in gs]
    hs = [_squares((g * w).div_(top), by_unit=unit) for g, top in zip(gs, largest, strict=True)]
    norms = [_or_one(torch.linalg.vector_norm(h)) for h in hs]
    for h, norm in zip(hs, norms, strict=True):
        h.div_(norm)
    pairs = len(gs) * (len(gs) - 1) / 2
    whole = sum(hs[1:], start=hs[0])
    similarity = torch.zeros((), dtype=dtype, device=w.device)
    direct = torch.zeros_like(w)
    per_group = []
    for g, h, norm, top in zip(gs, hs, norms, largest, strict=True):
        others = (whole - h).div_(pairs)
        along = (others * h).sum()
        similarity = similarity + along
        # dS/dz_i times the largest
        slope = (g * w).div_(top).mul_(others.sub_(along * h).mul_(2 / norm))
        direct += (g / top).mul_(slope)
        slope = slope.mul_(w).div_(top)
        per_group.append(layer.from_units(slope, layer.part(weight)).to(weight.dtype))
    direct = layer.from_units(direct, layer.part(weight)).to(weight.dtype)
    return similarity / 2, per_group, direct  # every pair was met twice


def _squares(z: Tensor, *, by_unit: bool) -> Tensor:
    """z^2: (units, fan-in) -> summed, (units, 1) by unit, else entry by entry."""
    squares = z.square_()
    return squares.sum(dim=1, keepdim=True) if by_unit else squares


def _or_one(value: Tensor) -> Tensor:
    """The value, or 1 where it is 0 or so small that its inverse may overflow."""
    return torch.where(value < torch.finfo(value.dtype).tiny, 1.0, value)
