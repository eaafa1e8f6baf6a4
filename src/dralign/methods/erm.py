"""Standard training on uniform batches: the paper's w.o.FairReg."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from dralign.gaps import Gap
from dralign.methods.base import LossConvention, Step, StepResult, task_loss
from dralign.sampling import Balance, Batch


@dataclass(frozen=True)
class Erm:
    """Empirical risk minimisation: the task loss alone, rows drawn uniformly.

    Attributes:
        gap: the gap it is judged by; a batch is as large as that of a balanced method.
        loss: the loss convention; a uniform batch is one block, so both are its mean.
    """

    name: ClassVar[str] = "erm"
    balance: ClassVar[Balance] = "uniform"
    needs_groups: ClassVar[bool] = False
    post_process: ClassVar[None] = None
    gap: Gap
    loss: LossConvention = "batch_mean"

    def begin(self, model: nn.Module, *, n_groups: int, generator: torch.Generator) -> Step:  # noqa: ARG002
        """The step function of one run of ``model``."""

        def step(batch: Batch, multiplier: float = 1.0) -> StepResult:  # noqa: ARG001
            loss = task_loss(model(batch.x), batch, self.loss)
            loss.backward()
            return StepResult(loss.detach())

        return step
