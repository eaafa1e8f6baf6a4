"""From a batch to gradients: the task loss, and a term that is not a sum over rows."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import torch
from torch import Tensor, nn

from dralign.rationale.losses import RowLoss
from dralign.step.batch import Batch
from dralign.step.parts import AllRows, count_rows, split
from dralign.step.passes import Passes, random_state, random_state_set, running_statistics_kept
from dralign.step.processes import add_up, gradients_added_up

LossConvention = Literal["batch_mean", "group_sum"]


class Regulariser(Protocol):
    """A function, not a sum over rows, of something that is measured part by part.

    Where it is a function of what is read of each row, ``BatchTerm`` is all that is needed.
    """

    @property
    def of_logits(self) -> bool:
        """Whether it needs the network's output for the rows."""
        ...

    @property
    def skipped(self) -> int:
        """How many groups or cells were absent from the batch and left out."""
        ...

    def measure(self, part: Batch, logits: Tensor | None, passes: Passes) -> Tensor:
        """What the function depends on, for the rows of a part, with a graph to the network.

        ``logits`` is the network's output for them, or None where nothing needs it.
        """
        ...

    def exchange(
        self, measured: Sequence[Tensor], parts: Sequence[Batch]
    ) -> Callable[[int, Tensor], Tensor]:
        """The function at all rows of all processes, with a graph to one part of this process.

        It takes the index of the part and what was measured there: its gradients, added up over
        parts and processes, are those of the whole batch.
        """
        ...


@dataclass(frozen=True)
class BatchTerm:
    """A function of what is read of every row of a batch, such as a gap.

    Attributes:
        of_rows: what is read of the rows: from logits and labels to (n, ...).
        value: the term, a scalar: from that of all rows, their groups and their labels, and in a
            batch of weighted rows what each counts.
        skipped: how many groups or cells were absent from the batch and left out.
    """

    of_logits: ClassVar[bool] = True
    of_rows: Callable[[Tensor, Tensor], Tensor]
    value: Callable[..., Tensor]
    skipped: int = 0

    def measure(self, part: Batch, logits: Tensor | None, passes: Passes) -> Tensor:  # noqa: ARG002
        """What is read of each row."""
        assert logits is not None
        return self.of_rows(logits, part.y)

    def exchange(
        self, measured: Sequence[Tensor], parts: Sequence[Batch]
    ) -> Callable[[int, Tensor], Tensor]:
        """The term of all rows; see ``Regulariser``."""
        rows = AllRows(measured, parts)
        counted = () if rows.weight is None else (rows.weight,)
        return lambda index, of_rows: self.value(*rows.with_graph_of(index, of_rows), *counted)


def backward_in_parts(
    model: nn.Module,
    batch: Batch,
    passes: Passes,
    *,
    loss: LossConvention | None,
    regulariser: Regulariser | None = None,
    weight: float = 0.0,
) -> Tensor:
    """Adds the gradient of the task loss + ``weight`` * regulariser to ``.grad``.

    Rows go through the network once where they are one part; else a regulariser has all parts go
    through once more before, with the same dropout masks.

    Args:
        model: the network.
        batch: the rows of this process.
        passes: how they go through the network.
        loss: the loss convention; None leaves out the task loss.
        regulariser: what is added; None for nothing.
        weight: of the regulariser.

    Returns:
        The detached value of the whole loss, that of all processes.
    """
    parts, rows = split(batch, passes.micro_batch), count_rows(batch)
    forward = loss is not None or (regulariser is not None and regulariser.of_logits)
    ahead: list[tuple[list[Tensor], Tensor]] = []
    if regulariser is not None and len(parts) > 1:
        ahead = _measured_ahead(model, parts, passes, regulariser, forward=forward)
        of_part = regulariser.exchange([measured for _, measured in ahead], parts)
    value = added = torch.zeros((), device=batch.y.device)
    with gradients_added_up(model.parameters()):
        for index, part in enumerate(parts):
            total = torch.zeros((), device=batch.y.device)
            with random_state_set(model, ahead[index][0]) if ahead else nullcontext():
                logits = passes.forward(model, part.x) if forward else None
                if regulariser is not None:
                    measured = regulariser.measure(part, logits, passes)
            if loss is not None and logits is not None:
                total = task_loss(logits, part, loss, rows, passes.row_loss)
                value = value + total.detach()
            if regulariser is not None:
                if not ahead:
                    of_part = regulariser.exchange([measured], parts)
                added = weight * of_part(index, measured)
                total = total + added
            if total.requires_grad:
                (passes.loss_scale * total).backward()
    add_up([value])
    return value + added.detach()


def _measured_ahead(
    model: nn.Module,
    parts: Sequence[Batch],
    passes: Passes,
    regulariser: Regulariser,
    *,
    forward: bool,
) -> list[tuple[list[Tensor], Tensor]]:
    """The random state before each part, and what is measured on it, without a graph."""
    measured = []
    with running_statistics_kept(model):
        for part in parts:
            state = random_state(model)
            with torch.no_grad():
                logits = passes.forward(model, part.x) if forward else None
            measured.append((state, regulariser.measure(part, logits, passes).detach()))
    return measured


def task_loss(
    logits: Tensor,
    part: Batch,
    convention: LossConvention,
    rows: Sequence[int],
    row_loss: RowLoss,
) -> Tensor:
    """What the rows of a part add to the classification loss of the batch, L_cls of Eq. 3.

    Args:
        logits: the network's output for all rows of the part.
        part: the whole batch, or a part of it.
        rows: the number of rows of each block of the whole batch.
        convention: ``"batch_mean"``, the mean over all rows, as in the published code, in which
            weights count within their block; or
            ``"group_sum"``, the sum of the blocks' means, as printed in Algorithms 1 and 2, which
            makes it 2 (DP) or 4 (EO) times as large beside the same fairness weight.
        row_loss: the loss of each row, from logits and labels.
    """
    losses = part.weighted(row_loss(logits, part.y))
    if convention == "batch_mean":
        return losses.sum() / sum(rows)
    means = [losses[b.rows].sum() / n for b, n in zip(part.blocks, rows, strict=True)]
    return torch.stack(means).sum()
