"""What a method is: a way to turn a batch into gradients, begun anew for every run."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from dralign.alignment import (
    WHOLE,
    Passes,
    add_up,
    count_rows,
    gradients_added_up,
    random_state,
    random_state_set,
    running_statistics_kept,
    split,
)
from dralign.gaps import Gap
from dralign.rationale import per_sample_loss
from dralign.sampling import Balance, Batch

LossConvention = Literal["batch_mean", "group_sum"]


@dataclass(frozen=True)
class StepResult:
    """What one step reports.

    Attributes:
        loss: the detached value of everything that was minimised.
        skipped: how many groups or cells were absent from the batch and left out.
    """

    loss: Tensor
    skipped: int = 0


class Step(Protocol):
    """One run's way to handle a batch; state of its own it saves as ``methods.state.Stateful``."""

    def __call__(self, batch: Batch, multiplier: float = 1.0, passes: Passes = WHOLE) -> StepResult:
        """Adds this batch's gradients to the ``.grad`` of the model's parameters.

        Where torch.distributed is initialised the batch is this process's part of the whole one;
        every process gets the ``.grad`` and the loss of the whole.

        Args:
            batch: the rows.
            multiplier: lambda and beta (or alpha) of this step are so many times the method's own.
            passes: how the rows go through the network.
        """
        ...


class PostProcess(Protocol):
    """Turns the probabilities of validation rows into decision thresholds."""

    def __call__(self, prob: Tensor, *, label: Tensor, group: Tensor, n_groups: int) -> Tensor:
        """(G,) thresholds, one per group, from (n,) probabilities, labels and group codes."""
        ...


class Method(Protocol):
    """A way to train. A method is a frozen description; all state lives in the step it begins."""

    @property
    def name(self) -> str:
        """The name by which users choose it."""
        ...

    @property
    def gap(self) -> Gap:
        """The gap it is trained for, or judged by."""
        ...

    @property
    def balance(self) -> Balance:
        """How its batches are drawn."""
        ...

    @property
    def needs_groups(self) -> bool:
        """Whether it can't do without the groups of the training or validation rows."""
        ...

    @property
    def post_process(self) -> PostProcess | None:
        """Fits a threshold per group once a network is trained; None decides at 0.5."""
        ...

    def begin(self, model: nn.Module, *, n_groups: int, generator: torch.Generator) -> Step:
        """The step function of one run of ``model``."""
        ...


class Regulariser(Protocol):
    """A function, not a sum over rows, of something that is measured part by part."""

    def measure(self, part: Batch, logits: Tensor | None, passes: Passes) -> Tensor:
        """What the function depends on, for the rows of a part, with a graph to the network.

        ``logits`` is the network's output for them; None where there is no task loss.
        """
        ...

    def exchange(
        self, measured: Sequence[Tensor], parts: Sequence[Batch]
    ) -> Callable[[int, Tensor], Tensor]:
        """The function at all rows of all processes, as one part of this process sees it.

        It takes the place of the part and what was measured there, and has a graph to that alone:
        its gradients, added up over parts and processes, are those of the whole batch.
        """
        ...


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
    parameters = [p for p in model.parameters() if p.requires_grad]
    parts, rows = split(batch, passes.micro_batch), count_rows(batch)
    ahead: list[tuple[list[Tensor], Tensor]] = []
    if regulariser is not None and len(parts) > 1:
        ahead = _rehearse(model, parts, passes, regulariser, with_logits=loss is not None)
        seen_from = regulariser.exchange([measured for _, measured in ahead], parts)
    value = added = torch.zeros((), device=batch.y.device)
    with gradients_added_up(parameters):
        for place, part in enumerate(parts):
            total = torch.zeros((), device=batch.y.device)
            with random_state_set(model, ahead[place][0]) if ahead else nullcontext():
                logits = None if loss is None else passes.forward(model, part.x)
                if regulariser is not None:
                    measured = regulariser.measure(part, logits, passes)
            if loss is not None and logits is not None:
                total = task_loss(logits, part, loss, rows)
                value = value + total.detach()
            if regulariser is not None:
                if not ahead:
                    seen_from = regulariser.exchange([measured], parts)
                added = weight * seen_from(place, measured)
                total = total + added
            if total.requires_grad:
                (passes.loss_scale * total).backward()
    add_up([value])
    return value + added.detach()


def _rehearse(
    model: nn.Module,
    parts: Sequence[Batch],
    passes: Passes,
    regulariser: Regulariser,
    *,
    with_logits: bool,
) -> list[tuple[list[Tensor], Tensor]]:
    """What is measured on each part, without a graph, and the random state before it."""
    found = []
    with running_statistics_kept(model):
        for part in parts:
            state = random_state(model)
            with torch.no_grad():
                logits = passes.forward(model, part.x) if with_logits else None
            found.append((state, regulariser.measure(part, logits, passes).detach()))
    return found


def task_loss(
    logits: Tensor, part: Batch, convention: LossConvention, rows: Sequence[int]
) -> Tensor:
    """What the rows of a part add to the classification loss of the batch, L_cls of Eq. 3.

    Args:
        logits: the network's output for all rows of the part.
        part: the whole batch, or a part of it.
        rows: the number of rows of each block of the whole batch.
        convention: ``"batch_mean"``, the mean over all rows, as in the published code; or
            ``"group_sum"``, the sum of the blocks' means, as printed in Algorithms 1 and 2, which
            makes it 2 (DP) or 4 (EO) times as large beside the same fairness weight.
    """
    losses = per_sample_loss(logits, part.y)
    if convention == "batch_mean":
        return losses.sum() / sum(rows)
    means = [losses[b.rows].sum() / n for b, n in zip(part.blocks, rows, strict=True)]
    return torch.stack(means).sum()


def absent_cells(batch: Batch, gap: Gap, n_groups: int) -> int:
    """How many of the groups or cells that a gap compares have no rows in a balanced batch."""
    present = [block for block in batch.blocks if block.group is not None]
    cells = n_groups * len(gap.strata)
    return cells - sum(block.label in gap.strata for block in present)


def balance_for(gap: Gap) -> Balance:
    """How balanced methods draw for a gap: by group, or by cell if it conditions on the label."""
    return "cell" if gap.conditions_on_label else "group"
