"""DRAlign: gap regularisation plus gradient-guided parity alignment (Eq. 9; Algorithms 1, 2)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from dralign.alignment import WHOLE, Passes, RationaleAlignment, backward_in_blocks
from dralign.gaps import Gap
from dralign.methods.base import (
    LossConvention,
    Step,
    StepResult,
    absent_cells,
    backward_in_parts,
    balance_for,
)
from dralign.methods.gap import GapRegularisation
from dralign.methods.mixup import FairMixup, PathPenalty, Paths
from dralign.methods.state import State
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
        return AlignedStep(self, model, unaligned, n_groups=n_groups, generator=generator)

    def _unaligned(self) -> GapRegularisation | FairMixup:
        """The method that is left without the alignment term."""
        if self.penalty is None:
            return GapRegularisation(self.gap, self.fairness_weight, self.loss)
        return FairMixup(self.penalty, self.fairness_weight, self.loss)


class AlignedStep:
    """The step of one run: the alignment term on every k-th, the method without it in between.

    Attributes:
        taken: how many steps were taken so far.
    """

    def __init__(
        self,
        method: DRAlign,
        model: nn.Module,
        unaligned: Step,
        *,
        n_groups: int,
        generator: torch.Generator,
    ) -> None:
        """Finds the layers to align."""
        self.taken = 0
        self._method, self._model, self._unaligned = method, model, unaligned
        self._n_groups, self._generator = n_groups, generator
        self._alignment = RationaleAlignment(
            model, layers=method.layers, granularity=method.granularity
        )
        if method.penalty is not None:
            method.penalty.check(model)

    def __call__(self, batch: Batch, multiplier: float = 1.0, passes: Passes = WHOLE) -> StepResult:
        """Adds the gradients of Eq. 9 to ``.grad``."""
        method, n_groups = self._method, self._n_groups
        lam, beta = multiplier * method.fairness_weight, multiplier * method.alignment_weight
        aligned = self.taken % method.alignment_every == 0
        self.taken += 1
        if not aligned or not beta:
            return self._unaligned(batch, multiplier, passes)
        loss = backward_in_blocks(
            self._model,
            batch,
            alignment=self._alignment,
            alignment_weight=beta * method.alignment_every,
            gap=method.gap,
            fairness_weight=lam if method.penalty is None else 0.0,
            n_groups=n_groups,
            group_sum=method.loss == "group_sum",
            passes=passes,
        )
        if method.penalty is None or not lam:
            return StepResult(loss, absent_cells(batch, method.gap, n_groups))
        paths = Paths(method.penalty, self._model, batch, generator=self._generator)
        added = backward_in_parts(
            self._model, batch, passes, loss=None, regulariser=paths, weight=lam
        )
        return StepResult(loss + added, n_groups * len(method.gap.strata) - paths.used)

    def state_dict(self) -> State:
        """How many steps were taken."""
        return {"taken": torch.tensor(self.taken)}

    def load_state_dict(self, state: State) -> None:
        """Goes on from what ``state_dict`` gave.

        Raises:
            ValueError: if it is no count of steps.
        """
        if (taken := int(state["taken"])) < 0:
            raise ValueError(f"taken: {taken} steps")
        self.taken = taken
