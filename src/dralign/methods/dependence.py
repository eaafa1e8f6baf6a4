"""Task loss plus lambda times how much the scores of a batch depend on the group."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from dralign.gaps import Gap
from dralign.gaps.gap import at_least_single
from dralign.methods.base import Step, TermStep
from dralign.methods.registry import MethodType
from dralign.methods.shared import FAIRNESS_WEIGHT
from dralign.step import Balance, BatchTerm, LossConvention

# The gaps within whose strata dependence on the group is measured.
GAPS = ("demographic_parity", "equalized_odds", "equal_opportunity")

# From (n,) or (n, C) scores and the (G, n) shares of Eq. 40 to a scalar, 0 at independence.
Dependence = Callable[[Tensor, Tensor], Tensor]


def group_shares(member: Tensor) -> Tensor:
    """What part of all rows each row is, in the line of its group: p_gi of Eq. 40.

    Args:
        member: (G, n) what a row counts in its group, 0 elsewhere.

    Returns:
        (G, n) shares that add up to 1; all 0 where there are no rows.
    """
    total = member.sum()
    return member / torch.where(total > 0, total, torch.ones_like(total))


@dataclass(frozen=True)
class DependencePenalty:
    """Minimises L_cls + lambda * dependence on uniform batches, as the methods were published.

    Under a gap that conditions on the label the dependence is measured within each of its strata,
    and added up. Rows without a group train the task loss only. A stratum in which fewer than two
    groups have rows adds 0, with a zero gradient. The measures are the same for rows that are
    repeated and for rows of a weight, so that weights are exact.

    Attributes:
        name: how the method is called in records.
        gap: the gap it is judged by, which says within which labels dependence is measured.
        fairness_weight: lambda, 0 or more.
        dependence: what is made small.
        loss: the loss convention; a uniform batch is one block, so both are its mean.
    """

    balance: ClassVar[Balance] = "uniform"
    needs_groups: ClassVar[bool] = True
    post_process: ClassVar[None] = None
    takes_weights: ClassVar[bool] = True
    name: str
    gap: Gap
    fairness_weight: float
    # Checkpoints tell runs apart by the text of a method, which must not hold an address.
    dependence: Dependence = field(repr=False)
    loss: LossConvention = "batch_mean"

    def begin(self, model: nn.Module, *, n_groups: int, generator: torch.Generator) -> Step:  # noqa: ARG002
        """The step function of one run of ``model``."""

        def value(
            scores: Tensor, group: Tensor, label: Tensor, weight: Tensor | None = None
        ) -> Tensor:
            return self.of_rows(scores, group, label, n_groups, weight)

        term = BatchTerm(of_rows=lambda logits, _label: self.gap.of_rows(logits), value=value)
        return TermStep(model, self.loss, lambda _batch: term, self.fairness_weight)

    def of_rows(
        self,
        scores: Tensor,
        group: Tensor,
        label: Tensor,
        n_groups: int,
        weight: Tensor | None = None,
    ) -> Tensor:
        """The dependence, a scalar, added up over the strata of the gap.

        Args:
            scores: (n,) probabilities of label 1, or (n, C) of C classes.
            group: (n,) int64 codes; rows coded -1 take no part.
            label: (n,) labels.
            n_groups: the number of groups G.
            weight: (n,) what each row counts; None where rows are not weighted.
        """
        scores = at_least_single(scores)
        codes = torch.arange(n_groups, device=group.device)
        member = (group == codes[:, None]).to(scores.dtype)  # (G, n)
        if weight is not None:
            member = member * weight.to(scores.dtype)
        parts = [
            member if stratum is None else member * (label == stratum)
            for stratum in self.gap.strata
        ]
        return torch.stack([self.dependence(scores, group_shares(part)) for part in parts]).sum()


def dependence_type(name: str, meaning: str, dependence: Dependence, *, scale: float) -> MethodType:
    """The method that makes a dependence small.

    Args:
        name: as users call it.
        meaning: what it minimises, in a line.
        dependence: what is made small.
        scale: what a lambda that is found is multiplied by: about how many times smaller its slope
            is than the gap's, near a gap of .1.
    """
    return MethodType(
        name,
        meaning,
        lambda gap, loss, settings: DependencePenalty(
            name, gap, settings["fairness_weight"], dependence, loss
        ),
        settings=(FAIRNESS_WEIGHT,),
        gaps=GAPS,
        scaled=((FAIRNESS_WEIGHT.name, scale),),
    )
