"""DRAlign: gap regularisation plus gradient-guided parity alignment (Eq. 9; Algorithms 1, 2)."""

from dataclasses import dataclass
from itertools import count
from typing import ClassVar

import torch
from torch import nn

from dralign.alignment import RationaleAlignment, backward_in_blocks
from dralign.gaps import Gap
from dralign.methods.base import LossConvention, Step, StepResult, absent_cells, balance_for
from dralign.methods.gap import GapRegularisation
from dralign.methods.mixup import FairMixup, PathPenalty
from dralign.rationale import Granularity, LayerChoice
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
        penalty: Fair Mixup's penalty in the place of the gap (A.8); None stands for the gap itself.
        alignment_every: the alignment term enters every k-th step, from the first, with k times its
            weight (Eq. 21); the steps between cost what a step of gap regularisation costs.
    """

    name: ClassVar[str] = "dralign"
    needs_groups: ClassVar[bool] = True
    post_process: ClassVar[None] = None
    gap: Gap
    fairness_weight: float
    alignment_weight: float
    granularity: Granularity = "unit"
    layers: LayerChoice = "all"
    loss: LossConvention = "batch_mean"
    penalty: PathPenalty | None = None
    alignment_every: int = 1

    @property
    def balance(self) -> Balance:
        """By group, or by cell if the gap conditions on the label."""
        return balance_for(self.gap)

    def begin(self, model: nn.Module, *, n_groups: int, generator: torch.Generator) -> Step:
        """The step function of one run of ``model``."""
        unaligned = self._unaligned().begin(model, n_groups=n_groups, generator=generator)
        if not self.alignment_weight:
            return unaligned
        alignment = RationaleAlignment(model, layers=self.layers, granularity=self.granularity)
        if self.penalty is not None:
            self.penalty.check(model)
        steps = count()

        def step(batch: Batch, multiplier: float = 1.0) -> StepResult:
            lam, beta = multiplier * self.fairness_weight, multiplier * self.alignment_weight
            if next(steps) % self.alignment_every or not beta:
                return unaligned(batch, multiplier)
            loss = backward_in_blocks(
                model,
                batch,
                alignment=alignment,
                alignment_weight=beta * self.alignment_every,
                gap=self.gap,
                fairness_weight=lam if self.penalty is None else 0.0,
                n_groups=n_groups,
                group_sum=self.loss == "group_sum",
            )
            if self.penalty is None or not lam:
                return StepResult(loss, absent_cells(batch, self.gap, n_groups))
            penalty, used = self.penalty(model, batch, generator=generator)
            if used:
                (lam * penalty).backward()
            skipped = n_groups * len(self.gap.strata) - used
            return StepResult(loss + lam * penalty.detach(), skipped)

        return step

    def _unaligned(self) -> GapRegularisation | FairMixup:
        """The method that is left without the alignment term."""
        if self.penalty is None:
            return GapRegularisation(self.gap, self.fairness_weight, self.loss)
        return FairMixup(self.penalty, self.fairness_weight, self.loss)
