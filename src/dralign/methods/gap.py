"""Gap regularisation, the paper's FairReg(noAug): task loss plus lambda times the soft gap."""

from dataclasses import dataclass
from typing import ClassVar, Final

import torch
from torch import nn

from dralign.gaps import Gap
from dralign.methods.base import Step, TermStep, absent_cells, balance_for
from dralign.methods.registry import MethodType
from dralign.methods.shared import AGGREGATE, FAIRNESS_WEIGHT
from dralign.step import Balance, Batch, BatchTerm, LossConvention


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
    def takes_weights(self) -> bool:
        """Whether the gap does, if it is computed."""
        return not self.fairness_weight or self.gap.kind.takes_weights

    @property
    def balance(self) -> Balance:
        """By group, or by cell if the gap conditions on the label."""
        return balance_for(self.gap)

    def begin(self, model: nn.Module, *, n_groups: int, generator: torch.Generator) -> Step:  # noqa: ARG002
        """The step function of one run of ``model``."""

        def term(batch: Batch) -> BatchTerm:
            return BatchTerm(
                of_rows=lambda logits, _label: self.gap.of_rows(logits),
                value=lambda of_rows, group, label, weight=None: self.gap(
                    of_rows, group, label, n_groups, weight
                ),
                skipped=absent_cells(batch, self.gap, n_groups),
            )

        return TermStep(model, self.loss, term, self.fairness_weight)


GAP: Final = MethodType(
    "gap",
    "the task loss plus λ times the gap (FairReg)",
    lambda gap, loss, settings: GapRegularisation(gap, settings["fairness_weight"], loss),
    settings=(FAIRNESS_WEIGHT, AGGREGATE),
    scaled=((FAIRNESS_WEIGHT.name, 1.0),),
)
