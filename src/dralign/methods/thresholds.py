"""Per-group thresholds on a plainly trained network: post-processing, what A.14 argues about."""

from dataclasses import dataclass
from typing import ClassVar, Final

import torch
from torch import Tensor, nn

from dralign.gaps import Gap
from dralign.methods.base import Step
from dralign.methods.erm import Erm
from dralign.methods.registry import MethodType
from dralign.metrics.decisions import NOBODY
from dralign.step import Balance, LossConvention

N_TARGETS = 201
DEFAULT_THRESHOLD = 0.5


def fit_thresholds(
    prob: Tensor,
    *,
    label: Tensor,
    group: Tensor,
    n_groups: int,
    gap: Gap,
    weight: Tensor | None = None,
) -> Tensor:
    """The threshold of every group that equalises the gap's rates (Eq. 20; Hardt et al., 2016).

    The rates are those that the hard gap compares: the selection rate under demographic parity, the
    true positive rate under equal opportunity, both true and false positive rate under equalized
    odds. Targets are the rates of all rows together at 201 thresholds, evenly spread over the rows.
    For a target each group takes the threshold that brings its own rates nearest, and the target
    with the highest accuracy over all rows wins. One rate is met up to one row; two rates can't
    both be met by one threshold without a lottery, and the nearest point is taken.

    Args:
        prob: (n,) probabilities of validation rows.
        label: (n,) labels 0 or 1.
        group: (n,) int64 codes 0..G-1; rows coded -1 take no part.
        n_groups: the number of groups G.
        gap: demographic parity, equal opportunity or equalized odds.
        weight: (n,) what each row counts; None where rows are not weighted.

    Returns:
        (G,) float64 thresholds from 0 up, on the device of ``prob``; the decision is
        ``prob >= threshold``. A group without the rows that the gap needs keeps 0.5.
    """
    count = torch.ones_like(prob, dtype=torch.float64) if weight is None else weight.double()
    curves = [
        _Curve.of(prob[group == g], label[group == g], count[group == g], gap)
        for g in range(n_groups)
    ]
    thresholds = torch.full((n_groups,), DEFAULT_THRESHOLD, dtype=torch.float64, device=prob.device)
    usable = [g for g, curve in enumerate(curves) if not bool(curve.rates.isnan().any())]
    if len(usable) < 2:
        return thresholds
    known = torch.isin(group, torch.tensor(usable, device=group.device))
    pooled = _Curve.of(prob[known], label[known], count[known], gap)
    steps = torch.linspace(0, len(pooled.rates) - 1, N_TARGETS, dtype=torch.float64)
    targets = pooled.rates[steps.round().long().unique()]  # (targets, strata)
    nearest = [torch.cdist(targets, curves[g].rates, p=1).argmin(1) for g in usable]
    right = sum(curves[g].right[index] for g, index in zip(usable, nearest, strict=True))
    best = torch.as_tensor(right).argmax()
    for g, index in zip(usable, nearest, strict=True):
        thresholds[g] = curves[g].thresholds[index[best]]
    return thresholds


@dataclass(frozen=True)
class _Curve:
    """What every distinct threshold does to the rows of one population.

    Attributes:
        thresholds: (k,) thresholds, halfway between neighbouring probabilities, descending.
        rates: (k, strata) the rates the gap compares; NaN where a stratum has no rows.
        right: (k,) the number (or weight) of right decisions.
    """

    thresholds: Tensor
    rates: Tensor
    right: Tensor

    @classmethod
    def of(cls, prob: Tensor, label: Tensor, count: Tensor, gap: Gap) -> "_Curve":
        """The curve of a population, from nobody selected to everybody."""
        ranked, order = prob.double().sort(descending=True)
        each = count[order]  # what each row counts
        y = label[order].double() * each
        last = torch.ones_like(ranked, dtype=torch.bool)  # the end of each run of equal values
        last[:-1] = ranked[:-1] != ranked[1:]
        none = ranked.new_zeros(1)
        hits, selected = (torch.cat([none, counted.cumsum(0)[last]]) for counted in (y, each))
        values = ranked[last]
        between = (values[:-1] + values[1:]) / 2
        thresholds = torch.cat([none + NOBODY, between, none])[: len(hits)]
        positives, negatives = y.sum(), (each - y).sum()
        rate = {
            None: selected / each.sum(),
            1: hits / positives,
            0: (selected - hits) / negatives,
        }
        rates = torch.stack([rate[stratum] for stratum in gap.strata], dim=1)
        return cls(thresholds, rates, hits + negatives - (selected - hits))


@dataclass(frozen=True)
class Thresholds:
    """Trains like ``erm``, then decides by a threshold per group, fitted on validation rows.

    It needs the group at prediction. Only decisions change, so probabilities, average precision,
    soft gaps and rationales are those of ``erm``.

    Attributes:
        gap: the gap whose rates the thresholds equalise.
        loss: the loss convention; a uniform batch is one block, so both are its mean.
    """

    name: ClassVar[str] = "thresholds"
    balance: ClassVar[Balance] = "uniform"
    needs_groups: ClassVar[bool] = True
    takes_weights: ClassVar[bool] = True
    gap: Gap
    loss: LossConvention = "batch_mean"

    def begin(self, model: nn.Module, *, n_groups: int, generator: torch.Generator) -> Step:
        """The step function of one run of ``model``, that of ``erm``."""
        return Erm(self.gap, self.loss).begin(model, n_groups=n_groups, generator=generator)

    def post_process(
        self,
        prob: Tensor,
        *,
        label: Tensor,
        group: Tensor,
        n_groups: int,
        weight: Tensor | None = None,
    ) -> Tensor:
        """(G,) thresholds fitted on validation rows; see ``fit_thresholds``."""
        return fit_thresholds(
            prob, label=label, group=group, n_groups=n_groups, gap=self.gap, weight=weight
        )


THRESHOLDS: Final = MethodType(
    "thresholds",
    "as erm, then a decision threshold for each group, fitted on validation rows",
    lambda gap, loss, _settings: Thresholds(gap, loss),
    gaps=("demographic_parity", "equalized_odds", "equal_opportunity"),
    two_classes=True,
)
