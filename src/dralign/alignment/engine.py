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

from dralign.alignment.passes import double_backward_attention, forward_blocks
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

    Each group (or each cell, where the gap conditions on the label) is forwarded by itself, once,
    so dropout draws one mask for all passes of a step. A network with batch normalisation in
    training mode is forwarded once jointly: all passes share the statistics of the whole batch, and
    the running ones are updated once. That costs 15 forward passes' worth where all layers are
    aligned, because each group's gradient passes through the rows of the others.

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
    with double_backward_attention():
        outputs = forward_blocks(model, batch)
        losses = [
            per_sample_loss(output, batch.y[block.rows]).mean()
            for output, block in zip(outputs, batch.blocks, strict=True)
        ]
        shares = [1.0 if group_sum else (b.stop - b.start) / len(batch.y) for b in batch.blocks]
        total = torch.stack([part * loss for part, loss in zip(shares, losses, strict=True)]).sum()
        if fairness_weight:
            prob = probability(torch.cat(outputs))
            total = total + fairness_weight * gap(prob, batch.group, batch.y, n_groups)
        roots, cotangents, similarity = _alignment_roots(
            model, batch, losses, alignment, gap, alignment_weight
        )
        # One pass for everything: what the second derivatives and the task loss share is met once.
        torch.autograd.backward(
            [total, *roots], [torch.ones_like(total), *cotangents], inputs=parameters
        )
    return total.detach() - alignment_weight * similarity


def _alignment_roots(
    model: nn.Module,
    batch: Batch,
    losses: Sequence[Tensor],
    alignment: RationaleAlignment,
    gap: Gap,
    alignment_weight: float,
) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """The group gradients with their cotangents; adds the direct part to ``.grad``.

    Only gradients of the aligned layers' weights are asked for, so aligning the last layers of a
    deep network costs little.

    Returns:
        The layers' group gradients, the cotangent of each, and the similarity.
    """
    named = dict(model.named_parameters(remove_duplicate=False))
    layers = [(layer, layer.weight(named)) for layer in alignment.active_layers]
    leaves = list({id(leaf): leaf for _, leaf in layers}.values())
    place_of = {id(leaf): place for place, leaf in enumerate(leaves)}
    cotangents: dict[tuple[int, int], Tensor] = {}  # by block and leaf
    gradients: dict[int, tuple[Tensor | None, ...]] = {}  # by block
    similarity = torch.zeros((), device=batch.x.device)
    for label in gap.strata:
        inside = [
            i
            for i, block in enumerate(batch.blocks)
            if block.group is not None and block.label == label
        ]
        if len(inside) < 2:
            continue
        for i in inside:
            gradients[i] = torch.autograd.grad(
                losses[i], leaves, create_graph=True, allow_unused=True
            )
        for layer, leaf in layers:
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
