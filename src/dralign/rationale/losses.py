"""Losses per sample, and their means per group: what a rationale is the rationale of."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from dralign.errors import DataError, ModelError, OptionError, quoted
from dralign.groups import check_group
from dralign.networks import require_tensor

RowLoss = Callable[[Tensor, Tensor], Tensor]  # outputs and labels of rows -> (n,) losses


def per_sample_loss(logits: Tensor, label: Tensor) -> Tensor:
    """Each row's classification loss (n,), in nats: L_cls of Eq. 3 before its mean.

    Args:
        logits: (n,) or (n, 1) for binary cross-entropy, (n, C) for cross-entropy over C classes.
        label: (n,) labels 0/1, or 0..C-1.

    Raises:
        ModelError: if the logits have another shape.
    """
    if logits.shape in {label.shape, (*label.shape, 1)}:
        score = logits.reshape(label.shape)
        return F.binary_cross_entropy_with_logits(score, label.to(score.dtype), reduction="none")
    if logits.ndim == 2 and len(logits) == len(label):
        return F.cross_entropy(logits, label, reduction="none")
    raise ModelError(
        f"the network's output has shape {tuple(logits.shape)}; expected ({len(label)}, 1) for two "
        f"classes or ({len(label)}, C) for C classes"
    )


@dataclass
class OwnLoss:
    """A loss of the caller's own, whose values are checked each time.

    Attributes:
        loss: from outputs (n, ...) and labels (n, ...) to (n,) losses.
        name: what the caller knows it by.
        used: whether it was asked for any.
    """

    loss: RowLoss
    name: str = "loss"
    used: bool = False

    def __call__(self, outputs: Tensor, label: Tensor) -> Tensor:
        """The losses of some rows, (n,).

        Raises:
            OptionError: if they are not one per row, or lack the gradient that the outputs have.
        """
        self.used = True
        losses: object = self.loss(outputs, label)
        if not isinstance(losses, Tensor) or losses.shape != (len(outputs),):
            shape = (*losses.shape,) if isinstance(losses, Tensor) else type(losses).__name__
            raise OptionError(
                f"{self.name}: expected one value per row, shape ({len(outputs)},), got {shape}; "
                "torch's losses need "
                'reduction="none", and a mean over what they add, but for the rows'
            )
        if outputs.requires_grad and not losses.requires_grad:
            raise OptionError(
                f"{self.name}: its values have no gradient; compute them from the outputs by "
                "operations of torch that have one, without detach(), item() or comparisons alone"
            )
        return losses


def row_loss(loss: RowLoss | None, name: str = "loss") -> RowLoss:
    """A loss of the caller's own, checked; None is cross-entropy.

    Args:
        loss: from outputs (n, ...) and labels (n, ...) to (n,) losses.
        name: what the caller knows it by.

    Raises:
        OptionError: if it can't be called.
    """
    if loss is None or loss is per_sample_loss:
        return per_sample_loss
    if not callable(loss):
        raise OptionError(
            f"{name}: expected a function from outputs and labels to a value per row, got "
            f"{quoted(loss)}"
        )
    return loss if isinstance(loss, OwnLoss) else OwnLoss(loss, name)


def group_losses(
    per_sample_loss: Tensor, group: Tensor, *, n_groups: int, label: Tensor | None = None
) -> list[list[Tensor | None]]:
    """The mean loss of every group, in strata of groups to be compared with each other.

    Args:
        per_sample_loss: (n,) losses, usually with a graph.
        group: (n,) int64 group codes; rows coded -1 take no part.
        n_groups: the number of groups G.
        label: (n,) labels; if given there is one stratum per label 0..C-1 (EO), else one (DP).

    Returns:
        A list of strata, each a list of G scalar losses, None where the group has no row.

    Raises:
        DataError: if the losses are not one per row, the lengths differ, or a label is not a whole
            number from 0.
        GroupTypeError: if ``group`` is not int64.
        GroupError: if a code is out of range.
    """
    require_tensor("per_sample_loss", per_sample_loss)
    if per_sample_loss.ndim != 1:
        raise DataError(
            "per_sample_loss: expected a loss per row, shape (n,), got "
            f"{tuple(per_sample_loss.shape)}; torch's losses need "
            'reduction="none", and those of (n, 1) outputs squeeze(1)'
        )
    n = len(per_sample_loss)
    check_group(group, n_rows=n, n_groups=n_groups)
    if label is not None:
        require_tensor("label", label)
    if label is not None and label.shape != (n,):
        raise DataError(f"label: expected shape ({n},), got {tuple(label.shape)}")
    stratum = torch.zeros_like(group) if label is None else label.to(torch.int64)
    if label is not None and bool(((stratum != label) | (stratum < 0)).any()):
        raise DataError("label: expected whole numbers 0..C-1")
    n_strata = 1 if label is None else max(2, int(stratum.max()) + 1 if n else 2)
    known = group >= 0
    cell = (stratum * n_groups + group)[known]
    size = n_strata * n_groups
    total = per_sample_loss.new_zeros(size).index_add(0, cell, per_sample_loss[known])
    count = torch.bincount(cell, minlength=size)
    mean = total / count.clamp(min=1)
    present = count.tolist()
    losses = [mean[i] if present[i] else None for i in range(size)]
    return [losses[s * n_groups : (s + 1) * n_groups] for s in range(n_strata)]
