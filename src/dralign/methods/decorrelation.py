"""Decorrelation: inputs made uncorrelated with the group, batch by batch (pre-processing, A.14)."""

from dataclasses import dataclass, replace
from typing import ClassVar, Final

import torch
from torch import Tensor, nn

from dralign.errors import DataError
from dralign.gaps import Gap
from dralign.methods.base import Step, TermStep
from dralign.methods.registry import MethodType
from dralign.rationale.inputs import one_tensor
from dralign.step import Balance, Batch, LossConvention, add_up


def decorrelate(x: Tensor, group: Tensor, *, n_groups: int, weight: Tensor | None = None) -> Tensor:
    """The inputs without the directions in which the groups' means differ (Eq. 19).

    Afterwards every column, and so every linear score, has covariance 0 with every group's
    indicator. With G groups present G - 1 directions are lost. The map is the same for all rows, so
    it needs directions from rows with a group but applies to rows without one as well.

    Taking each group's own mean out of its rows would do it too, but shows the group to a network:
    a 0/1 column then has other values in each group. On Adult that widened the gap.

    Where torch.distributed is initialised, means and directions are those of the rows of all
    processes.

    Args:
        x: (n, ...) floating-point inputs.
        group: (n,) int64 codes 0..G-1, -1 where missing.
        n_groups: the number of groups G.
        weight: (n,) what each row counts in means and covariances; None where rows are not
            weighted.

    Returns:
        (n, ...) inputs, of the type of ``x``; the mean over rows with a group is unchanged.

    Raises:
        DataError: if the inputs are not floating-point numbers.
    """
    if not x.is_floating_point():
        raise DataError(f"decorrelation: expected floating-point inputs, got {x.dtype}")
    rows = x.flatten(1)  # (n, d)
    member = (group == torch.arange(n_groups, device=group.device)[:, None]).to(x.dtype)
    if weight is not None:
        member = member * weight.to(x.dtype)
    size = member.sum(1, keepdim=True)  # (G, 1)
    total = member.sum(0) @ rows  # (d,)
    add_up([size, total])
    centred = rows - total / size.sum().clamp(min=1)
    apart, squares = member @ centred, centred.square().sum()
    add_up([apart, squares])
    # The root of the size weighs the groups; a group that is absent has a row of zeros.
    apart = apart / size.clamp(min=1).sqrt()  # (G, d)
    _, lengths, directions = torch.linalg.svd(apart, full_matrices=False)
    # Rounding leaves a last direction of a length that is not quite 0: it must not be removed.
    slack = torch.finfo(x.dtype).eps * max(apart.shape) * squares.sqrt()
    directions = directions * (lengths > slack)[:, None]
    kept: Tensor = rows - centred @ directions.T @ directions  # (n, d)
    return kept.reshape(x.shape)


@dataclass(frozen=True)
class Decorrelation:
    """Minimises L_cls on uniform batches whose inputs are decorrelated from the group (A.14).

    The paper says no more than that inputs are adjusted "in each iteration". At prediction the
    inputs are taken as they are: the first layer had nothing to learn along the directions that
    were removed, and keeps its initial weights there.

    Attributes:
        gap: the gap it is judged by; a batch is as large as that of a balanced method.
        loss: the loss convention; a uniform batch is one block, so both are its mean.
    """

    name: ClassVar[str] = "decorrelation"
    balance: ClassVar[Balance] = "uniform"
    needs_groups: ClassVar[bool] = True
    post_process: ClassVar[None] = None
    takes_weights: ClassVar[bool] = True
    gap: Gap
    loss: LossConvention = "batch_mean"

    def begin(self, model: nn.Module, *, n_groups: int, generator: torch.Generator) -> Step:  # noqa: ARG002
        """The step function of one run of ``model``."""

        def prepare(batch: Batch) -> Batch:
            x = decorrelate(
                one_tensor(batch.x, "decorrelation"),
                batch.group,
                n_groups=n_groups,
                weight=batch.weight,
            )
            return replace(batch, x=x)

        return TermStep(model, self.loss, prepare=prepare)


DECORRELATION: Final = MethodType(
    "decorrelation",
    "the task loss on inputs made uncorrelated with the group, batch by batch",
    lambda gap, loss, _settings: Decorrelation(gap, loss),
)
