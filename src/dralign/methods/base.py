"""What a method is: a way to turn a batch into gradients, begun anew for every run."""

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

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
    """One run's way to handle a batch; it may hold state of its own."""

    def __call__(self, batch: Batch, multiplier: float = 1.0) -> StepResult:
        """Adds this batch's gradients to the ``.grad`` of the model's parameters.

        Lambda and beta (or alpha) of this step are ``multiplier`` times those of the method.
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


def task_loss(logits: Tensor, batch: Batch, convention: LossConvention) -> Tensor:
    """The classification loss of a batch, a scalar: L_cls of Eq. 3.

    Args:
        logits: the network's output for all rows of the batch.
        batch: the batch.
        convention: ``"batch_mean"``, the mean over all rows, as in the published code; or
            ``"group_sum"``, the sum of the blocks' means, as printed in Algorithms 1 and 2, which
            makes it 2 (DP) or 4 (EO) times as large beside the same fairness weight.
    """
    losses = per_sample_loss(logits, batch.y)
    if convention == "batch_mean":
        return losses.mean()
    return torch.stack([losses[block.rows].mean() for block in batch.blocks]).sum()


def absent_cells(batch: Batch, gap: Gap, n_groups: int) -> int:
    """How many of the groups or cells that a gap compares have no rows in a balanced batch."""
    present = [block for block in batch.blocks if block.group is not None]
    cells = n_groups * len(gap.strata)
    return cells - sum(block.label in gap.strata for block in present)


def balance_for(gap: Gap) -> Balance:
    """How balanced methods draw for a gap: by group, or by cell if it conditions on the label."""
    return "cell" if gap.conditions_on_label else "group"
