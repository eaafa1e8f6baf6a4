"""Decorrelation: inputs made uncorrelated with the group, batch by batch (pre-processing, A.14)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from dralign.errors import DataError
from dralign.gaps import Gap
from dralign.methods.base import LossConvention, Step, StepResult, task_loss
from dralign.sampling import Balance, Batch


def decorrelate(x: Tensor, group: Tensor, *, n_groups: int) -> Tensor:
    """The inputs without what the group explains linearly: x - x^_group + mean (Eq. 19).

    x^ is the least-squares fit of x on the one-hot group, which is the mean of each group; the mean
    over the rows with a group is added back so that the inputs stay where they were. Afterwards
    every column has covariance 0 with every group's indicator. Rows without a group are unchanged.

    Args:
        x: (n, ...) floating-point inputs.
        group: (n,) int64 codes 0..G-1, -1 where missing.
        n_groups: the number of groups G.

    Returns:
        (n, ...) inputs, of the type of ``x``.

    Raises:
        DataError: if the inputs are not floating-point numbers.
    """
    if not x.is_floating_point():
        raise DataError(f"decorrelation: expected floating-point inputs, got {x.dtype}")
    known = group >= 0
    place = torch.where(known, group, n_groups)
    total = x.new_zeros(n_groups + 1, *x.shape[1:]).index_add(0, place, x)
    count = torch.bincount(place, minlength=n_groups + 1).clamp(min=1).to(x.dtype)
    means = total / count.reshape(-1, *[1] * (x.ndim - 1))  # (groups + 1, ...)
    overall = total[:-1].sum(0) / known.sum().clamp(min=1)
    shift = torch.cat([overall - means[:-1], torch.zeros_like(means[-1:])])
    return x + shift[place]


@dataclass(frozen=True)
class Decorrelation:
    """Minimises L_cls on uniform batches whose inputs are decorrelated from the group (A.14).

    The paper says no more than that inputs are adjusted "in each iteration". At prediction the
    inputs are taken as they are, because the sensitive feature is not at hand then: the network
    has learned without what the group explains, but sees it again.

    Attributes:
        gap: the gap it is judged by; a batch is as large as that of a balanced method.
        loss: the loss convention; a uniform batch is one block, so both are its mean.
    """

    name: ClassVar[str] = "decorrelation"
    balance: ClassVar[Balance] = "uniform"
    post_process: ClassVar[None] = None
    gap: Gap
    loss: LossConvention = "batch_mean"

    def begin(self, model: nn.Module, *, n_groups: int, generator: torch.Generator) -> Step:  # noqa: ARG002
        """The step function of one run of ``model``."""

        def step(batch: Batch) -> StepResult:
            x = decorrelate(batch.x, batch.group, n_groups=n_groups)
            loss = task_loss(model(x), batch, self.loss)
            loss.backward()
            return StepResult(loss.detach())

        return step
