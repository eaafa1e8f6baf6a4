"""Gap regularisation, the paper's FairReg(noAug): task loss plus lambda times the soft gap."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from dralign.gaps import Gap
from dralign.methods.base import (
    LossConvention,
    Step,
    StepResult,
    absent_cells,
    balance_for,
    task_loss,
)
from dralign.rationale import probability
from dralign.sampling import Balance, Batch


@dataclass(frozen=True)
class GapRegularisation:
    """Minimises L_cls + lambda * gap on balanced batches (Eq. 3; Madras et al., 2018).

    With ``fairness_weight`` 0 the gap is not computed, and the method is oversampling.

    Attributes:
        gap: the gap to be made small.
        fairness_weight: lambda, 0 or more.
        loss: the loss convention.
        name: how the method is called in records.
    """

    needs_groups: ClassVar[bool] = True
    post_process: ClassVar[None] = None
    gap: Gap
    fairness_weight: float
    loss: LossConvention = "batch_mean"
    name: str = "gap"

    @property
    def balance(self) -> Balance:
        """By group, or by cell if the gap conditions on the label."""
        return balance_for(self.gap)

    def begin(self, model: nn.Module, *, n_groups: int, generator: torch.Generator) -> Step:  # noqa: ARG002
        """The step function of one run of ``model``."""

        def step(batch: Batch, multiplier: float = 1.0) -> StepResult:
            logits, weight = model(batch.x), multiplier * self.fairness_weight
            loss, skipped = task_loss(logits, batch, self.loss), 0
            if weight:
                skipped = absent_cells(batch, self.gap, n_groups)
                gap = self.gap(probability(logits), batch.group, batch.y, n_groups)
                loss = loss + weight * gap
            loss.backward()
            return StepResult(loss.detach(), skipped)

        return step
