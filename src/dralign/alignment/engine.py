"""The fast step: task loss, gap and alignment in one go, written to ``.grad``.

The plain way (``RationaleAlignment.align`` and ``loss.backward()``) lets autograd trace the cosine
and computes the task gradient a second time. Here the cotangents of the group gradients are
written down in closed form, so that one backward pass carries everything.

For one layer let w be the weight, g_i the gradient of the mean loss of group i, z_i = g_i w,
q_i = z_i^2 (summed over the fan-in at unit granularity) and h_i = q_i / |q_i|. The similarity S is
the mean of <h_i, h_j> over pairs. With s_i the sum of the other h_j divided by the number of pairs,

    dS/dq_i = d_i = (s_i - <s_i, h_i> h_i) / |q_i|,
    dS/dg_i = 2 z_i d_i w,        dS/dw = sum_i 2 z_i d_i g_i  (the direct part),

and the gradient of S with respect to all parameters is sum_i H_i (dS/dg_i) plus the direct part,
H_i being the Hessian of group i's loss.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dralign.alignment.term import RationaleAlignment, at_least_float32
from dralign.gaps import Gap, resolve_gap
from dralign.groups import check_group
from dralign.rationale import Granularity, Layer, per_sample_loss, probability
from dralign.sampling import Batch, batch_in_blocks


def aligned_backward(
    model: nn.Module,
    x: Tensor,
    *,
    label: Tensor,
    group: Tensor,
    n_groups: int,
    alignment: RationaleAlignment,
    alignment_weight: float,
    gap: str = "demographic_parity",
    fairness_weight: float = 0.0,
) -> Tensor:
    """Adds the gradient of task loss + lambda * gap + beta * alignment to ``.grad`` (Eq. 9).

    It stands for ``loss.backward()`` in a training loop, and gives the same gradient as
    ``loss + beta * alignment.align(...)`` at less cost: 9 forward passes' worth in all, where
    plain training takes 3. The task loss is the mean cross-entropy over the rows.

    Each group (or each cell, where the gap conditions on the label) is forwarded by itself: batch
    normalisation sees one group at a time, and dropout draws a mask for each.

    Args:
        model: the network that ``alignment`` was made for; it returns logits.
        x: (n, ...) inputs.
        label: (n,) labels 0 or 1.
        group: (n,) int64 codes; rows coded -1 count in the task loss only.
        n_groups: the number of groups G.
        alignment: which layers are aligned, and at which granularity.
        alignment_weight: beta.
        gap: the name of the gap, which also says which groups are aligned with which.
        fairness_weight: lambda; with 0 the gap is not computed.

    Returns:
        The detached value of the whole loss.

    Raises:
        OptionError: if ``gap`` is unknown.
        GroupTypeError: if ``group`` is not int64.
        GroupError: if a code is out of range.
        ModelError: if the output has the wrong shape.
    """
    check_group(group, n_rows=len(x), n_groups=n_groups)
    chosen = resolve_gap(gap)
    batch = batch_in_blocks(x, label, group, n_groups=n_groups, by_label=chosen.conditions_on_label)
    return backward_in_blocks(
        model,
        batch,
        alignment=alignment,
        alignment_weight=alignment_weight,
        gap=chosen,
        fairness_weight=fairness_weight,
        n_groups=n_groups,
    )


def backward_in_blocks(
    model: nn.Module,
    batch: Batch,
    *,
    alignment: RationaleAlignment,
    alignment_weight: float,
    gap: Gap,
    fairness_weight: float,
    n_groups: int,
    group_sum: bool = False,
) -> Tensor:
    """``aligned_backward`` for rows that already lie in blocks; used by the trainer.

    Args:
        model: the network that ``alignment`` was made for.
        batch: rows in blocks of one group (or cell) each.
        alignment: which layers are aligned, and at which granularity.
        alignment_weight: beta.
        gap: the gap.
        fairness_weight: lambda.
        n_groups: the number of groups.
        group_sum: the task loss is the sum of the blocks' means (Algorithm 1), not the mean over
            rows.

    Returns:
        The detached value of the whole loss.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    outputs = [model(batch.x[block.rows]) for block in batch.blocks]
    losses = [
        per_sample_loss(output, batch.y[block.rows]).mean()
        for output, block in zip(outputs, batch.blocks, strict=True)
    ]
    gradients = [
        torch.autograd.grad(loss, parameters, create_graph=True, allow_unused=True)
        for loss in losses
    ]
    shares = [1.0 if group_sum else (b.stop - b.start) / len(batch.y) for b in batch.blocks]
    roots, cotangents, similarity = _alignment_roots(
        model, batch, alignment, gap, parameters, gradients, alignment_weight
    )
    value = sum(part * loss.detach() for part, loss in zip(shares, losses, strict=True))
    if fairness_weight:
        difference = gap(probability(torch.cat(outputs)), batch.group, batch.y, n_groups)
        roots.append(difference)
        cotangents.append(torch.full_like(difference, fairness_weight))
        value = value + fairness_weight * difference.detach()
    if roots:
        torch.autograd.backward(roots, cotangents, inputs=parameters)
    for place, parameter in enumerate(parameters):
        for part, per_block in zip(shares, gradients, strict=True):
            if (gradient := per_block[place]) is not None:
                _add_to_grad(parameter, gradient.detach(), part)
    return value - alignment_weight * similarity


def _alignment_roots(
    model: nn.Module,
    batch: Batch,
    alignment: RationaleAlignment,
    gap: Gap,
    parameters: Sequence[Tensor],
    gradients: Sequence[Sequence[Tensor | None]],
    alignment_weight: float,
) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """The group gradients with their cotangents; adds the direct part to ``.grad``.

    Returns:
        The layers' group gradients, the cotangent of each, and the similarity.
    """
    named = dict(model.named_parameters(remove_duplicate=False))
    place_of = {id(parameter): place for place, parameter in enumerate(parameters)}
    cells = [(block.group, block.label) for block in batch.blocks]
    cotangents: dict[tuple[int, int], Tensor] = {}  # by block and parameter
    similarity = torch.zeros((), device=batch.x.device)
    for label in gap.strata:
        inside = [i for i, (g, y) in enumerate(cells) if g is not None and y == label]
        if len(inside) < 2:
            continue
        for layer in alignment.active_layers:
            leaf = layer.weight(named)
            place = place_of[id(leaf)]
            present = [gradients[i][place] for i in inside]
            if all(gradient is None for gradient in present):
                continue
            whole = [torch.zeros_like(leaf) if g is None else g.detach() for g in present]
            value, per_group, direct = similarity_and_cotangents(
                layer, leaf.detach(), whole, alignment.granularity
            )
            similarity = similarity + value
            if leaf.grad is None:
                leaf.grad = torch.zeros_like(leaf)
            layer.part(leaf.grad).add_(direct, alpha=-alignment_weight)
            for i, gradient, cotangent in zip(inside, present, per_group, strict=True):
                if gradient is not None:
                    target = cotangents.setdefault((i, place), torch.zeros_like(leaf))
                    layer.part(target).add_(cotangent, alpha=-alignment_weight)
    roots = [gradients[i][place] for i, place in cotangents]
    return [root for root in roots if root is not None], list(cotangents.values()), similarity


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
    grads = [layer.by_unit(layer.part(gradient)).to(dtype) for gradient in gradients]
    products, scales, norms, rationales = [], [], [], []
    for g in grads:
        product = g * w
        largest = product.abs().amax()
        scale = torch.where(largest > 0, largest, torch.ones_like(largest))
        product = product / scale  # norms of 1e-12 would lose their digits when squared twice
        influence = product.square()
        vector = influence.sum(1, keepdim=True) if granularity == "unit" else influence
        norm = torch.linalg.vector_norm(vector)
        norm = torch.where(norm > 0, norm, torch.ones_like(norm))
        products.append(product)
        scales.append(scale)
        norms.append(norm)
        rationales.append(vector / norm)
    pairs = len(grads) * (len(grads) - 1) / 2
    total = torch.stack(rationales).sum(0)
    similarity = torch.zeros((), dtype=dtype, device=w.device)
    cotangents, direct = [], torch.zeros_like(w)
    for g, product, scale, norm, h in zip(grads, products, scales, norms, rationales, strict=True):
        others = (total - h) / pairs
        along = (others * h).sum()
        similarity = similarity + along / 2  # every pair is met twice
        slope = 2 * product * ((others - along * h) / (norm * scale))  # dS/dz_i
        cotangents.append(layer.from_units(slope * w, layer.part(weight)).to(weight.dtype))
        direct += slope * g
    return similarity, cotangents, layer.from_units(direct, layer.part(weight)).to(weight.dtype)


def _add_to_grad(parameter: Tensor, gradient: Tensor, factor: float) -> None:
    """Adds ``factor * gradient`` to the parameter's ``.grad``."""
    if parameter.grad is None:
        parameter.grad = gradient * factor
    else:
        parameter.grad.add_(gradient, alpha=factor)
