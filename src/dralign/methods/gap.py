"""Gap regularisation, the paper's FairReg(noAug): task loss plus lambda times the soft gap."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import torch
from torch import Tensor, nn

from dralign.alignment import WHOLE, Everyone, Passes
from dralign.gaps import Gap
from dralign.methods.base import (
    LossConvention,
    Step,
    StepResult,
    absent_cells,
    backward_in_parts,
    balance_for,
)
from dralign.methods.registry import MethodType
from dralign.methods.shared import AGGREGATE, FAIRNESS_WEIGHT
from dralign.sampling import Balance, Batch


@dataclass(frozen=True)
class GapTerm:
    """The gap of a step's batch, a function of the network's output for its rows."""

    gap: Gap
    n_groups: int

    def measure(self, part: Batch, logits: Tensor | None, passes: Passes) -> Tensor:  # noqa: ARG002
        """What the gap reads of each row."""
        assert logits is not None
        return self.gap.of_rows(logits)

    def exchange(
        self, measured: Sequence[Tensor], parts: Sequence[Batch]
    ) -> Callable[[int, Tensor], Tensor]:
        """The gap of all rows, a scalar; see ``Regulariser``."""
        everyone = Everyone(measured, parts)
        return lambda place, of_rows: self.gap(*everyone.seen_from(place, of_rows), self.n_groups)


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
        term = GapTerm(self.gap, n_groups)

        def step(batch: Batch, multiplier: float = 1.0, passes: Passes = WHOLE) -> StepResult:
            weight = multiplier * self.fairness_weight
            value = backward_in_parts(
                model,
                batch,
                passes,
                loss=self.loss,
                regulariser=term if weight else None,
                weight=weight,
            )
            return StepResult(value, absent_cells(batch, self.gap, n_groups) if weight else 0)

        return step


GAP: Final = MethodType(
    "gap",
    "the task loss plus λ times the gap (FairReg)",
    lambda gap, loss, settings: GapRegularisation(gap, settings["fairness_weight"], loss),
    settings=(FAIRNESS_WEIGHT, AGGREGATE),
    scaled=((FAIRNESS_WEIGHT.name, 1.0),),
)
