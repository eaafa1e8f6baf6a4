"""DRAlign: gap regularisation plus gradient-guided parity alignment (Eq. 9; Algorithms 1, 2)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from dralign.alignment import RationaleAlignment
from dralign.gaps import Gap
from dralign.methods.base import LossConvention, Step, StepResult, balance_for, task_loss
from dralign.methods.gap import GapRegularisation
from dralign.rationale import Granularity, LayerChoice, per_sample_loss, probability
from dralign.sampling import Balance, Batch


@dataclass(frozen=True)
class DRAlign:
    """Minimises L_cls + lambda * gap - beta * similarity of the groups' rationales.

    With ``alignment_weight`` 0 it is gap regularisation, step for step.

    Attributes:
        gap: the gap to be made small; it also says which groups are aligned with which.
        fairness_weight: lambda, 0 or more.
        alignment_weight: beta, 0 or more; lambda / 10 in the paper's Adult runs (A.1).
        granularity: whether a rationale has an entry per unit or per weight.
        layers: ``"all"``, the last k (Eq. 10), or names.
        loss: the loss convention.
    """

    name: ClassVar[str] = "dralign"
    gap: Gap
    fairness_weight: float
    alignment_weight: float
    granularity: Granularity = "unit"
    layers: LayerChoice = "all"
    loss: LossConvention = "batch_mean"

    @property
    def balance(self) -> Balance:
        """By group, or by cell if the gap conditions on the label."""
        return balance_for(self.gap)

    def begin(self, model: nn.Module, *, n_groups: int, generator: torch.Generator) -> Step:
        """The step function of one run of ``model``."""
        if not self.alignment_weight:
            plain = GapRegularisation(self.gap, self.fairness_weight, self.loss)
            return plain.begin(model, n_groups=n_groups, generator=generator)
        term = RationaleAlignment(model, layers=self.layers, granularity=self.granularity)

        def step(batch: Batch) -> StepResult:
            # Each block has a forward pass of its own: a group's gradient then costs its own rows
            # only, where a joint pass would carry zeros through those of the other groups.
            outputs = [model(batch.x[block.rows]) for block in batch.blocks]
            logits = torch.cat(outputs)
            loss = task_loss(logits, batch, self.loss)
            if self.fairness_weight:
                gap = self.gap(probability(logits), batch.group, batch.y, n_groups)
                loss = loss + self.fairness_weight * gap
            strata = self._strata(outputs, batch, n_groups)
            loss = loss + self.alignment_weight * term.align(strata)
            loss.backward()
            return StepResult(loss.detach())

        return step

    def _strata(
        self, outputs: list[Tensor], batch: Batch, n_groups: int
    ) -> list[list[Tensor | None]]:
        """The blocks' mean losses, arranged as the gap pairs them."""
        mean = {
            (block.group, block.label): per_sample_loss(output, batch.y[block.rows]).mean()
            for output, block in zip(outputs, batch.blocks, strict=True)
        }
        return [[mean.get((g, label)) for g in range(n_groups)] for label in self.gap.strata]
