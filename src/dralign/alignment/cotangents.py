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
    g = torch.stack([layer.by_unit(layer.part(x)).to(dtype) for x in gradients])  # (G, units, ...)
    z = g * w
    # The lengths are divided by the largest before they are squared: squaring twice would lose
    # norms of 1e-12. Where all are 0, 1 takes the place of what is divided by.
    unit = granularity == "unit"
    length = torch.linalg.vector_norm(z, dim=2, keepdim=True) if unit else z.abs()
    scale = length.amax((1, 2), keepdim=True)
    scale = scale + (scale == 0)
    influence = (length / scale).square_()
    norm = torch.linalg.vector_norm(influence, dim=(1, 2), keepdim=True)
    norm = norm + (norm == 0)
    h = influence / norm
    pairs = len(g) * (len(g) - 1) / 2
    others = (h.sum(0) - h) / pairs
    along = (others * h).sum((1, 2), keepdim=True)
    slope = z.mul_((others - along * h) * (2 / (norm * scale * scale)))  # dS/dz_i
    per_group = [layer.from_units(x, layer.part(weight)).to(weight.dtype) for x in slope * w]
    direct = layer.from_units((slope * g).sum(0), layer.part(weight)).to(weight.dtype)
    return along.sum() / 2, per_group, direct  # every pair was met twice
