"""What a fast step knows of a batch: its parts' way through the network, and the similarity."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, product

import torch
from torch import Tensor, nn

from dralign.alignment.cotangents import similarity_and_cotangents
from dralign.alignment.term import RationaleAlignment
from dralign.errors import ModelError
from dralign.gaps import Gap
from dralign.rationale import per_sample_loss
from dralign.rationale.outputs import warn_of_probabilities
from dralign.step import (
    Batch,
    Passes,
    add_up_where_there,
    count_rows,
    forward_blocks,
    mixes_rows,
    n_processes,
    random_state,
    random_state_set,
    rank,
    running_statistics_kept,
    takes_statistics,
)

Key = tuple[int, int]  # the number of a block, and of a leaf parameter


@dataclass(frozen=True)
class Pass:
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


class AlignedStep:
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
        self.joint = takes_statistics(model) or alignment.goes_jointly(
            lambda: mixes_rows(model, batch)
        )

    def forward(self, part: Batch, *, graph: bool = True) -> Pass:
        """Forwards a part; with ``graph`` its gradients can be differentiated again."""
        state = random_state(self.model)
        outputs, loss_of = self._forwarded(part), self.passes.row_loss
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
        return Pass(losses, read, gradients, state)

    def _forwarded(self, part: Batch) -> list[Tensor]:
        """What the network returns for each block of a part."""
        return forward_blocks(self.model, part, self.passes, joint=self.joint)

    def refuse_hidden(self, parts: Sequence[Batch], passes: Sequence[Pass]) -> None:
        """Checks that layers without a gradient are not used; a step with all costs nothing more.

        Raises:
            ModelError: if one is used.
        """
        reached = {leaf for p in passes for _, leaf in p.gradients}
        if self.compared and len(reached) < len(self.leaves):
            missing = {id(leaf) for index, leaf in enumerate(self.leaves) if index not in reached}
            hidden = [layer for layer, leaf in self.layers if id(leaf) in missing]
            self.alignment.refuse_hidden(lambda: self._outputs(parts, passes), hidden)

    def _outputs(self, parts: Sequence[Batch], passes: Sequence[Pass]) -> Tensor:
        """What the network returned for the compared blocks, once more and for its values alone."""
        result = list[Tensor]()
        with running_statistics_kept(self.model), torch.no_grad():
            for part, ahead in zip(parts, passes, strict=True):
                with random_state_set(self.model, ahead.state):
                    outputs = self._forwarded(part)
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

    def values_of(self, parts: Sequence[Batch]) -> list[Pass]:
        """Forwards all parts for their values alone; only one graph is held at a time."""
        passes = []
        with running_statistics_kept(self.model):
            for part in parts:
                full = self.forward(part, graph=False)
                losses = [loss.detach() for loss in full.losses]
                passes.append(Pass(losses, full.of_rows.detach(), full.gradients, full.state))
        return passes

    def repeat(self, part: Batch, ahead: Pass) -> Pass:
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
        self, passes: Sequence[Pass], weight: float
    ) -> tuple[Tensor, dict[Key, Tensor], dict[int, Tensor]]:
        """The similarity, and of ``weight`` times it the cotangents and the direct part.

        Those are the derivatives with respect to each group gradient, and with respect to each
        leaf, by its number, while the group gradients stay as they are.
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
        direct_of: dict[int, Tensor] = {}
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
                    total = direct_of.setdefault(index_of[id(leaf)], torch.zeros_like(leaf))
                    layer.part(total).add_(direct, alpha=weight * self.scale)
                for key, cotangent in zip(keys, per_group, strict=True):
                    # Layers that are rows of one weight (in_proj) share its cotangent.
                    if key not in cotangents and layer.rows is None:
                        cotangents[key] = cotangent.mul_(weight)
                        continue
                    if key not in cotangents:
                        cotangents[key] = torch.zeros_like(leaf)
                    layer.part(cotangents[key]).add_(cotangent, alpha=weight)
        return similarity, cotangents, direct_of
