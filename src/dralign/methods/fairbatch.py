"""FairBatch (Roh et al., 2021): what a cell counts in the task loss follows its losses."""

from dataclasses import dataclass, replace
from typing import ClassVar, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dralign.gaps import Gap
from dralign.methods.base import Step, StepResult
from dralign.methods.registry import MethodType
from dralign.methods.state import State
from dralign.rationale.losses import RowLoss
from dralign.settings import Setting
from dralign.step import (
    WHOLE,
    Balance,
    Batch,
    LossConvention,
    Passes,
    add_up,
    count_rows,
    gradients_added_up,
    split,
    task_loss,
)

ADJUST_EVERY: Final = 10  # steps; the published code adjusts once an epoch
SHARE_STEP: Final = Setting(
    "share_step",
    "alpha of FairBatch: by how much the share of a group among the rows of a label changes at a "
    "time.",
    "number",
    default=0.005,
    least=0.0,
    most=1.0,
    sign="α",
)


def cell_weights(seen: Tensor, moved: Tensor) -> Tensor:
    """What a row of each cell counts: the wanted share of its cell over the real one (Eq. 43).

    Args:
        seen: (2, G) rows of each label and group.
        moved: (2, G) by how much each wanted share differs from the real one.

    Returns:
        (2, G) weights from 0 up: 1 where a share was not moved, and where there are no rows.
    """
    share = shares(seen)
    known = share > 0
    wanted = (share + moved).clamp(min=0)
    return torch.where(known, wanted / torch.where(known, share, 1.0), 1.0)


def shares(seen: Tensor) -> Tensor:
    """(2, G) the share of each group among the rows of a label; 0 where the label has no rows."""
    return seen / seen.sum(1, keepdim=True).clamp(min=torch.finfo(seen.dtype).tiny)


def adjusted(
    moved: Tensor, apart: Tensor, known: Tensor, share: Tensor, *, gap: Gap, alpha: float
) -> Tensor:
    """The shares after a step of alpha between two groups of one label (Eq. 44).

    Args:
        moved: (2, G) by how much each wanted share differs from the real one.
        apart: (2, G) what is to become equal within a label.
        known: (2, G) whether a cell has rows; others take no part.
        share: (2, G) the real shares.
        gap: whose labels are compared.
        alpha: the step, cut where a share would fall below 0.

    Returns:
        (2, G) of ``moved`` with the step; unchanged where no label has two groups.
    """
    labels = [y for y in (0, 1) if y in gap.strata or not gap.conditions_on_label]
    spreads = []
    for y in labels:
        groups = known[y].nonzero()[:, 0]
        if len(groups) > 1:
            high, low = (int(groups[f(apart[y, groups])]) for f in (torch.argmax, torch.argmin))
            spreads.append((float(apart[y, high] - apart[y, low]), y, high, low))
    if not spreads:
        return moved
    _, y, gains, gives = max(spreads, key=lambda spread: spread[0])
    if y == 0 and not gap.conditions_on_label:
        # The loss towards label 1 falls in a group whose rows of label 0 count less.
        gains, gives = gives, gains
    step = min(alpha, max(float(share[y, gives] + moved[y, gives]), 0.0))
    result = moved.clone()
    result[y, gains] += step
    result[y, gives] -= step
    return result


class FairBatchStep:
    """The step of one run, which measures the cells and adjusts their shares.

    Attributes:
        seen: (2, G) rows of each label and group since the run began; of weighted rows what they
            count.
        moved: (2, G) by how much the wanted share of each differs from the real one.
        recent: (2, 2, G) losses, and rows, since the last adjustment.
        steps: how many were taken.
    """

    def __init__(self, method: "FairBatch", model: nn.Module, n_groups: int) -> None:
        self._method, self._model = method, model
        device = next(model.parameters()).device
        # In float32 a count would stop at 16,777,216.
        self.seen = torch.zeros(2, n_groups, dtype=torch.float64, device=device)
        self.moved = torch.zeros_like(self.seen)
        self.recent = torch.zeros(2, *self.seen.shape, dtype=torch.float64, device=device)
        self.steps = torch.zeros((), dtype=torch.int64)

    def __call__(self, batch: Batch, multiplier: float = 1.0, passes: Passes = WHOLE) -> StepResult:  # noqa: ARG002
        """Adds the gradient of Eq. 43 to ``.grad``; the shares are adjusted every ten steps."""
        rows, weights = count_rows(batch), cell_weights(self.seen, self.moved)
        value = torch.zeros((), device=batch.y.device)
        measured = torch.zeros_like(self.recent)
        with gradients_added_up(self._model.parameters()):
            for part in split(batch, passes.micro_batch):
                logits, cell = passes.forward(self._model, part.x), self._cells(part)
                counts = torch.cat([weights.flatten(), weights.new_ones(1)])[cell]
                weighted = replace(part, weight=part.weighted(counts))
                loss = task_loss(logits, weighted, self._method.loss, rows, passes.row_loss)
                if loss.requires_grad:
                    (passes.loss_scale * loss).backward()
                value = value + loss.detach()
                measured += self._measured(part, logits.detach(), cell, passes.row_loss)
        add_up([value, measured])
        self._keep(measured)
        return StepResult(value)

    def state_dict(self) -> State:
        """The cells' rows, shares and losses, and how many steps were taken."""
        return {name: getattr(self, name) for name in ("seen", "moved", "recent", "steps")}

    def load_state_dict(self, state: State) -> None:
        """Goes on from what ``state_dict`` gave."""
        for name, own in self.state_dict().items():
            own.copy_(state[name])

    def _cells(self, part: Batch) -> Tensor:
        """(n,) the cell of each row, label by label; the number after the last without a group."""
        n_groups = self.seen.shape[1]
        return torch.where(part.group < 0, 2 * n_groups, part.y * n_groups + part.group)

    def _measured(self, part: Batch, logits: Tensor, cell: Tensor, row_loss: RowLoss) -> Tensor:
        """(2, 2, G) the losses of the rows of each cell added up, and how many rows these are."""
        towards = part.y if self._method.gap.conditions_on_label else torch.ones_like(part.y)
        losses = row_loss(logits, towards).to(self.recent)
        of_rows = part.weighted(torch.stack([losses, torch.ones_like(losses)]))  # (2, n)
        member = F.one_hot(cell, self.seen.numel() + 1)[:, :-1].to(of_rows)  # (n, 2 G)
        return (of_rows @ member).view_as(self.recent)

    def _keep(self, measured: Tensor) -> None:
        """Adds what was measured in a step, and adjusts the shares at every tenth."""
        self.seen += measured[1]
        self.recent += measured
        self.steps += 1
        if int(self.steps) % ADJUST_EVERY:
            return
        gap, (losses, rows) = self._method.gap, self.recent
        size = rows if gap.conditions_on_label else rows.sum(0)
        apart = losses / torch.where(size > 0, size, 1.0)
        self.moved.copy_(
            adjusted(
                self.moved,
                apart,
                rows > 0,
                shares(self.seen),
                gap=gap,
                alpha=self._method.share_step,
            )
        )
        self.recent.zero_()


@dataclass(frozen=True)
class FairBatch:
    """Minimises the task loss with cells in shares that are moved towards those that lag (Eq. 43).

    Published, it draws batches in which the cells have these shares, and measures all training rows
    before every epoch. Here batches are uniform and each row of a cell counts the wanted share over
    the real one, which is the same in expectation; losses and real shares are those of the rows
    that were drawn, and the shares are adjusted every ten steps. More than two groups are ours: a
    step goes from the lowest to the highest. Rows without a group count as they are.

    Attributes:
        gap: whose labels are compared; the gap it is judged by.
        share_step: alpha, from 0 (plain training) to 1.
        loss: the loss convention; a uniform batch is one block, so both are its mean.
    """

    name: ClassVar[str] = "fairbatch"
    balance: ClassVar[Balance] = "uniform"
    needs_groups: ClassVar[bool] = True
    post_process: ClassVar[None] = None
    takes_weights: ClassVar[bool] = True
    gap: Gap
    share_step: float
    loss: LossConvention = "batch_mean"

    def begin(self, model: nn.Module, *, n_groups: int, generator: torch.Generator) -> Step:  # noqa: ARG002
        """The step function of one run of ``model``."""
        return FairBatchStep(self, model, n_groups)


FAIRBATCH: Final = MethodType(
    "fairbatch",
    "the task loss with the shares of the cells moved by α towards those that lag (Eq. 43)",
    lambda gap, loss, settings: FairBatch(gap, settings["share_step"], loss),
    settings=(SHARE_STEP,),
    gaps=("demographic_parity", "equalized_odds", "equal_opportunity"),
    two_classes=True,
)
