"""The fast step: task loss, gap and alignment in one go, written to ``.grad``.

The plain way (``RationaleAlignment.align`` and ``loss.backward()``) lets autograd trace the cosine
and meets the task loss a second time. Here the derivatives of the similarity with respect to the
group gradients are written down (``cotangents``), so that one backward pass carries everything.

The group gradients may be sums over parts of the batch that are forwarded one after the other, and
over processes. Each part goes backward with the derivatives at the sums, weighted by its share of
the group's rows, and the parts add up to the step of the whole batch.
"""

import math

import torch
from torch import Tensor, nn

from dralign.alignment.passes import AlignedStep
from dralign.alignment.term import RationaleAlignment
from dralign.errors import DataError, ModelError, OptionError
from dralign.gaps import Gap, check_label, resolve_gap
from dralign.groups import check_group
from dralign.networks import require_tensor
from dralign.rationale import original
from dralign.rationale.derivatives import limits_explained
from dralign.rationale.inputs import Bundle, Given, bundled
from dralign.rationale.losses import RowLoss, row_loss
from dralign.step import (
    WHOLE,
    AllRows,
    Batch,
    LossConvention,
    Passes,
    add_up,
    batch_in_blocks,
    double_backward_kernels,
    gradients_added_up,
    split,
)


def aligned_backward(
    model: nn.Module,
    x: Given,
    *,
    label: Tensor,
    group: Tensor,
    n_groups: int,
    alignment: RationaleAlignment,
    alignment_weight: float,
    gap: str = "demographic_parity",
    fairness_weight: float = 0.0,
    n_classes: int = 2,
    loss: RowLoss | None = None,
    micro_batch: int | None = None,
    loss_scale: float = 1.0,
) -> Tensor:
    """Adds the gradient of task loss + lambda * gap + beta * alignment to ``.grad`` (Eq. 9).

    It stands for ``loss.backward()`` in a training loop, and gives the same gradient as
    ``loss + beta * alignment.align(...)`` at less cost: 9 forward passes' worth in all, where
    plain training takes 3. The task loss is the mean over the rows of cross-entropy, or of
    ``loss``.

    Each group (or each cell, where the gap conditions on the label) is forwarded by itself, once,
    so dropout draws one mask for all passes of a step. A network with batch normalisation in
    training mode is forwarded once jointly: all passes share the statistics of the whole batch, and
    the running ones are updated once. That costs 15 forward passes' worth where all layers are
    aligned, because each group's gradient passes through the rows of the others. So is any other
    network whose output for a row depends on the rows beside it, which is found out before the
    first step, on a few rows without gradients.

    Where torch.distributed is initialised, the rows of all processes make up the batch: group
    gradients are averaged over the processes before the cosine, every process gets the same
    ``.grad``, and N processes with 1 / N of the rows take the step of one with all. The model needs
    no DistributedDataParallel; one that is wrapped gives the same step where ``alignment`` was made
    for the wrapped one.

    Args:
        model: the network that ``alignment`` was made for; it returns logits, or an object with
            them as ``.logits``. Of a compiled one the module it was made from is taken.
        x: (n, ...) inputs, at least one row. A tuple of tensors is given to the network by
            position, a dict by keyword.
        label: (n,) labels 0..C-1, of any dtype. With a ``loss`` and no gap of labels whatever that
            takes, a row each.
        group: (n,) int64 codes; rows coded -1 count in the task loss only.
        n_groups: the number of groups G.
        alignment: which layers are aligned, and at which granularity.
        alignment_weight: beta, 0 or more.
        gap: the name of the gap, which also says which groups are aligned with which.
        fairness_weight: lambda, 0 or more; with 0 the gap is not computed.
        n_classes: the number of classes C.
        loss: from outputs and labels to a value per row (n,), in the place of cross-entropy. The
            gap is still that of the probabilities which the outputs say as logits.
        micro_batch: rows to forward at a time, for batches that don't fit in memory; None takes
            all. The rationale is still that of the whole batch, which costs a forward and a
            backward pass more; batch normalisation then sees one part at a time.
        loss_scale: what the losses are multiplied by before they go backward, and ``.grad`` with
            them, as half precision needs it: with a ``torch.amp.GradScaler`` before each step
            ``float(scaler.scale(torch.ones((), device=...)))``, without which it has none to step
            by (docs/distributed.md).

    Returns:
        The detached value of the whole loss.

    Raises:
        DataError: if there are no rows, a label is not one of 0..C-1, or the processes hold rows
            of different groups (or labels).
        OptionError: if ``gap`` is unknown, or not for as many classes, a weight is negative or not
            finite, or ``loss`` has no value per row, or none with a gradient.
        GroupTypeError: if ``group`` is not int64.
        GroupError: if a code is out of range.
        ModelError: if the output has the wrong shape, a layer that is used gets no gradient, there
            is no second derivative, or gradients are switched off.
    """
    for name, weight in (
        ("alignment_weight", alignment_weight),
        ("fairness_weight", fairness_weight),
    ):
        if not 0 <= weight < math.inf:
            raise OptionError(f"{name}: expected a number from 0 up, got {weight}")
    if not torch.is_grad_enabled():
        raise ModelError(
            "aligned_backward needs gradients; call it outside of torch.no_grad() and "
            "torch.inference_mode()"
        )
    inputs = bundled(x)
    if not isinstance(inputs, Bundle):
        require_tensor("x", inputs)
    n = len(inputs)
    if not n:
        raise DataError("x: expected at least one row, got an empty batch")
    check_group(group, n_rows=n, n_groups=n_groups)
    chosen = resolve_gap(gap, n_classes=n_classes)
    by_label = chosen.conditions_on_label
    if loss is None or fairness_weight or by_label:
        label = check_label(label, n_rows=n, n_classes=n_classes)
    elif label.shape[:1] != (n,):
        raise DataError(f"label: expected {n} rows, got shape {tuple(label.shape)}")
    batch = batch_in_blocks(inputs, label, group, n_groups=n_groups, by_label=by_label)
    return backward_in_blocks(
        original(model),
        batch,
        alignment=alignment,
        alignment_weight=alignment_weight,
        gap=chosen,
        fairness_weight=fairness_weight,
        n_groups=n_groups,
        passes=Passes(micro_batch, loss_scale=loss_scale, row_loss=row_loss(loss)),
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
    loss: LossConvention | None = "batch_mean",
    passes: Passes = WHOLE,
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
        loss: the task loss is the mean over rows, or the sum of the blocks' means (Algorithm 1);
            None leaves it out.
        passes: how the rows go through the network, and the loss of each.

    Returns:
        The detached value of the whole loss.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    with double_backward_kernels(model), limits_explained(), gradients_added_up(parameters):
        step = AlignedStep(model, batch, alignment, gap, passes, reads_gap=fairness_weight > 0)
        parts = split(batch, passes.micro_batch)
        first = [step.forward(batch)] if len(parts) == 1 else step.values_of(parts)
        step.refuse_hidden(parts, first)
        similarity, cotangents, direct = step.similarity(first, -alignment_weight)
        all_rows = AllRows([p.of_rows for p in first], parts) if fairness_weight else None
        shares = [1.0 if loss == "group_sum" else rows / sum(step.rows) for rows in step.rows]
        value = torch.zeros((), device=batch.x.device)
        for index, part in enumerate(parts):
            now = first[0] if len(parts) == 1 else step.repeat(part, first[index])
            total = torch.zeros_like(value)
            if loss is not None:
                total = torch.stack([s * x for s, x in zip(shares, now.losses, strict=True)]).sum()
            value = value + total.detach()
            if all_rows is not None:
                whole = all_rows.with_graph_of(index, now.of_rows)
                difference = gap(*whole, n_groups, all_rows.weight)
                total = total + fairness_weight * difference
            keys = [key for key in now.gradients if key in cotangents]
            step.require_derivatives([now.gradients[key] for key in keys])
            # One pass for everything: what the second derivatives and the task loss share is met
            # once.
            roots = [now.gradients[key] for key in keys]
            slopes = [cotangents[key] for key in keys]
            if index == 0:  # through autograd too, for the hooks that users put on their weights
                roots += [step.leaves[leaf] for leaf in direct]
                slopes += direct.values()
            if total.requires_grad:
                roots, slopes = [step.scale * total, *roots], [torch.ones_like(total), *slopes]
            if roots:
                torch.autograd.backward(roots, slopes, inputs=parameters)
    add_up([value])
    if all_rows is not None:
        value = value + fairness_weight * difference.detach()
    return value - alignment_weight * similarity
