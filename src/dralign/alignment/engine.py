"""The fast step: task loss, gap and alignment in one go, written to ``.grad``.

The plain way (``RationaleAlignment.align`` and ``loss.backward()``) lets autograd trace the cosine
and meets the task loss a second time. Here the derivatives of the similarity with respect to the
group gradients are written down (``cotangents``), so that one backward pass carries everything.

The group gradients may be sums over parts of the batch that are forwarded one after the other, and
over processes. Each part goes backward with the derivatives at the sums, weighted by its share of
the group's rows, and the parts add up to the step of the whole batch.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, product

import torch
from torch import Tensor, nn

from dralign.alignment.cotangents import similarity_and_cotangents
from dralign.alignment.term import RationaleAlignment
from dralign.errors import DataError, ModelError, OptionError
from dralign.gaps import Gap, check_label, resolve_gap
from dralign.groups import check_group
from dralign.rationale import original, per_sample_loss
from dralign.rationale.derivatives import limits_explained
from dralign.rationale.inputs import Given, Inputs, bundled
from dralign.rationale.losses import RowLoss, row_loss
from dralign.rationale.outputs import warn_of_probabilities
from dralign.step import (
    WHOLE,
    AllRows,
    Batch,
    LossConvention,
    Passes,
    add_up,
    add_up_where_there,
    batch_in_blocks,
    count_rows,
    double_backward_kernels,
    forward_blocks,
    gradients_added_up,
    n_processes,
    random_state,
    random_state_set,
    rank,
    running_statistics_kept,
    split,
)

Key = tuple[int, int]  # the number of a block, and of a leaf parameter


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
    aligned, because each group's gradient passes through the rows of the others.

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
        ModelError: if the output has the wrong shape, a layer that is used gets no gradient, or
            there is no second derivative.
    """
    for name, weight in (
        ("alignment_weight", alignment_weight),
        ("fairness_weight", fairness_weight),
    ):
        if not 0 <= weight < math.inf:
            raise OptionError(f"{name}: expected a number from 0 up, got {weight}")
    inputs: Inputs = bundled(x)
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
        step = _Step(model, batch, alignment, gap, passes, reads_gap=fairness_weight > 0)
        parts = split(batch, passes.micro_batch)
        first = [step.forward(batch)] if len(parts) == 1 else step.values_of(parts)
        step.refuse_hidden(parts, first)
        similarity, cotangents = step.similarity(first, -alignment_weight)
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
            if total.requires_grad:
                roots, slopes = [step.scale * total, *roots], [torch.ones_like(total), *slopes]
            if roots:
                torch.autograd.backward(roots, slopes, inputs=parameters)
    add_up([value])
    if all_rows is not None:
        value = value + fairness_weight * difference.detach()
    return value - alignment_weight * similarity


@dataclass(frozen=True)
class _Pass:
    """A part of the batch that went through the network.

    Attributes:
        losses: each block's loss, added up over the part and divided by the rows of the whole
            block, so that the parts add up to the mean.
        of_rows: what the gap reads of each row; empty where there is no gap.
        gradients: by block and leaf the gradient of the block's loss times the loss scale; of the
            blocks that are compared, and the leaves that are reached.
        state: of the random generators when it began.
    """

    losses: list[Tensor]
    of_rows: Tensor
    gradients: dict[Key, Tensor]
    state: list[Tensor]


class _Step:
    """What stays the same while the parts of a batch go through the network.

    Attributes:
        rows: the number of rows of each block, over all parts and processes.
        compared: for each stratum the blocks whose rationales are compared.
    """

    def __init__(
        self,
        model: nn.Module,
        batch: Batch,
        alignment: RationaleAlignment,
        gap: Gap,
        passes: Passes,
        *,
        reads_gap: bool,
    ) -> None:
        """Finds the leaf parameters of the layers and counts rows; nothing is run yet."""
        self.model, self.alignment, self.batch, self.gap = model, alignment, batch, gap
        self.granularity, self.reads_gap = alignment.granularity, reads_gap
        self.passes, self.scale = passes, passes.loss_scale
        named = dict(model.named_parameters(remove_duplicate=False))
        self.layers = [(layer, layer.weight(named)) for layer in alignment.active_layers]
        self.leaves = list({id(leaf): leaf for _, leaf in self.layers}.values())
        self.rows = count_rows(batch)
        inside = [
            [i for i, b in enumerate(batch.blocks) if b.group is not None and b.label == label]
            for label in gap.strata
        ]
        self.compared = [blocks for blocks in inside if len(blocks) > 1]

    def forward(self, part: Batch, *, graph: bool = True) -> _Pass:
        """Forwards a part; with ``graph`` its gradients can be differentiated again."""
        state = random_state(self.model)
        outputs, loss_of = forward_blocks(self.model, part, self.passes), self.passes.row_loss
        if self.reads_gap or loss_of is per_sample_loss:
            warn_of_probabilities(self.model, [outputs[0].grad_fn], stacklevel=4)
        losses = [
            part.weighted(loss_of(output, part.y[block.rows]), block.rows).sum() / rows
            for output, block, rows in zip(outputs, part.blocks, self.rows, strict=True)
        ]
        gradients = {
            (block, leaf): gradient
            for block in chain(*self.compared)
            for leaf, gradient in enumerate(
                torch.autograd.grad(
                    self.scale * losses[block],
                    self.leaves,
                    create_graph=graph,
                    retain_graph=True,
                    allow_unused=True,
                )
            )
            if gradient is not None
        }
        # Outputs of a loss of one's own need not be those of classes.
        read = self.gap.of_rows(torch.cat(outputs)) if self.reads_gap else outputs[0].new_zeros(0)
        return _Pass(losses, read, gradients, state)

    def refuse_hidden(self, parts: Sequence[Batch], passes: Sequence[_Pass]) -> None:
        """Checks that layers without a gradient are not used; a step with all costs nothing more.

        Raises:
            ModelError: if one is used.
        """
        reached = {leaf for p in passes for _, leaf in p.gradients}
        if self.compared and len(reached) < len(self.leaves):
            missing = {id(leaf) for index, leaf in enumerate(self.leaves) if index not in reached}
            hidden = [layer for layer, leaf in self.layers if id(leaf) in missing]
            self.alignment.refuse_hidden(lambda: self._outputs(parts, passes), hidden)

    def _outputs(self, parts: Sequence[Batch], passes: Sequence[_Pass]) -> Tensor:
        """What the network returned for the compared blocks, once more and for its values alone."""
        result = list[Tensor]()
        with running_statistics_kept(self.model), torch.no_grad():
            for part, ahead in zip(parts, passes, strict=True):
                with random_state_set(self.model, ahead.state):
                    outputs = forward_blocks(self.model, part, self.passes)
                result += [outputs[block] for block in chain(*self.compared)]
        return torch.cat(result)

    def require_derivatives(self, gradients: Sequence[Tensor]) -> None:
        """Checks, at the first step, that the group gradients can be differentiated.

        Raises:
            ModelError: if not.
        """
        line = self.alignment.limit(gradients)
        if line:
            raise ModelError(line)

    def values_of(self, parts: Sequence[Batch]) -> list[_Pass]:
        """Forwards all parts for their values alone; only one graph is held at a time."""
        passes = []
        with running_statistics_kept(self.model):
            for part in parts:
                full = self.forward(part, graph=False)
                losses = [loss.detach() for loss in full.losses]
                passes.append(_Pass(losses, full.of_rows.detach(), full.gradients, full.state))
        return passes

    def repeat(self, part: Batch, ahead: _Pass) -> _Pass:
        """Forwards a part again, with the same dropout masks."""
        with random_state_set(self.model, ahead.state):
            return self.forward(part)

    def _of_all_processes(self, gradients: dict[Key, Tensor]) -> dict[Key, Tensor]:
        """The sums over the processes, by block and leaf; without what none of them reaches."""
        if n_processes() == 1:
            return gradients
        keys = list(product(chain(*self.compared), range(len(self.leaves))))
        sums = add_up_where_there(
            [gradients.get(key) for key in keys], [self.leaves[leaf] for _, leaf in keys]
        )
        return {key: total for key, total in zip(keys, sums, strict=True) if total is not None}

    def similarity(
        self, passes: Sequence[_Pass], weight: float
    ) -> tuple[Tensor, dict[Key, Tensor]]:
        """The similarity, and the cotangent of each group gradient of ``weight`` times it.

        The direct part, which needs no backward pass, is added to ``.grad`` here.
        """
        gradients = {}
        for key in dict.fromkeys(chain.from_iterable(p.gradients for p in passes)):
            first, *more = (p.gradients[key].detach() for p in passes if key in p.gradients)
            # A group's rows may lie in several parts of a batch: its gradient is the sum over them.
            # Not every part need reach every layer (a mixture of experts).
            gradients[key] = sum(more, start=first)
            if self.scale != 1 or n_processes() > 1:  # else no copy is needed
                gradients[key] = gradients[key] / self.scale
        gradients = self._of_all_processes(gradients)
        index_of = {id(leaf): index for index, leaf in enumerate(self.leaves)}
        cotangents: dict[Key, Tensor] = {}
        similarity = torch.zeros((), device=passes[0].of_rows.device)
        for blocks in self.compared:
            for layer, leaf in self.layers:
                keys = [(block, index_of[id(leaf)]) for block in blocks]
                if not any(key in gradients for key in keys):
                    continue
                whole = [
                    gradients[key] if key in gradients else torch.zeros_like(leaf) for key in keys
                ]
                value, per_group, direct = similarity_and_cotangents(
                    layer, leaf.detach(), whole, self.granularity
                )
                similarity = similarity + value
                # Processes add up their .grad later; what all of them know is counted by one.
                if rank() == 0:
                    leaf.grad = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
                    layer.part(leaf.grad).add_(direct, alpha=weight * self.scale)
                for key, cotangent in zip(keys, per_group, strict=True):
                    # Layers that are rows of one weight (in_proj) share its cotangent.
                    if key not in cotangents and layer.rows is None:
                        cotangents[key] = cotangent.mul_(weight)
                        continue
                    if key not in cotangents:
                        cotangents[key] = torch.zeros_like(leaf)
                    layer.part(cotangents[key]).add_(cotangent, alpha=weight)
        return similarity, cotangents
