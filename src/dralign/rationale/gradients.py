"""Mean gradients of each group's loss over a whole set of rows, without changing the model."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from dralign.errors import ModelError
from dralign.networks import evaluation_mode
from dralign.rationale.derivatives import limits_explained, recurrence_without_cudnn
from dralign.rationale.inputs import Inputs
from dralign.rationale.layers import Layer, original
from dralign.rationale.losses import RowLoss, per_sample_loss
from dralign.rationale.outputs import logits

Gradients = tuple[Tensor | None, ...]


@contextmanager
def requiring_grad(weights: Sequence[Tensor]) -> Iterator[None]:
    """Frozen weights take part in the block; they are frozen again afterwards."""
    frozen = [weight for weight in weights if not weight.requires_grad]
    try:
        for weight in frozen:
            weight.requires_grad_(True)
        yield
    finally:
        for weight in frozen:
            weight.requires_grad_(False)


def group_gradients(
    model: nn.Module,
    x: Inputs,
    *,
    label: Tensor,
    group: Tensor,
    n_groups: int,
    layers: Sequence[Layer],
    strata: Sequence[int | None] = (None,),
    batch_rows: int = 4096,
    loss: RowLoss = per_sample_loss,
    weight: Tensor | None = None,
) -> list[list[Gradients | None]]:
    """The gradient of each group's mean loss with respect to each layer's leaf parameter.

    The mean is taken over all rows of the group, block by block, so its square is the square of
    the group's gradient (Eq. 8) and not a mean of squares. The model runs in evaluation mode; its
    ``.grad``, modes and weights are left as they were. One forward and one backward pass a row.

    Args:
        model: the network; it returns logits.
        x: (n, ...) inputs; blocks of them are brought to the model's device.
        label: (n,) labels.
        group: (n,) int64 codes; rows coded -1 take no part.
        n_groups: the number of groups G.
        layers: the layers whose gradients are wanted.
        strata: for each stratum the label its rows have; None for all rows.
        batch_rows: rows in a block; memory grows with it.
        loss: of rows, from the network's outputs and labels.
        weight: (n,) what each row counts in the mean; None where rows are not weighted.

    Returns:
        For each stratum and group one gradient per layer (None where the layer is never used), or
        None where the group has no rows.

    Raises:
        ModelError: if no layer has a gradient, or torch can't take one.
    """
    if torch.is_inference_mode_enabled():
        raise ModelError("gradients can't be taken under torch.inference_mode(); leave it first")
    model = original(model)
    named = dict(model.named_parameters(remove_duplicate=False))
    leaves = [layer.weight(named) for layer in layers]
    result: list[list[Gradients | None]] = []
    with (
        evaluation_mode(model),
        torch.enable_grad(),
        limits_explained(),
        recurrence_without_cudnn(model),
    ):
        for stratum in strata:
            inside = (
                torch.ones_like(group, dtype=torch.bool) if stratum is None else label == stratum
            )
            result.append([])
            for code in range(n_groups):
                rows = torch.nonzero(inside & (group == code)).squeeze(1)
                given = model, x, label, weight, rows, leaves, batch_rows, loss
                result[-1].append(_mean_gradient(*given))
    if all(g is None for row in result for cell in row if cell is not None for g in cell):
        raise ModelError("no layer takes part in the loss: every gradient is absent")
    return result


def _mean_gradient(
    model: nn.Module,
    x: Inputs,
    label: Tensor,
    weight: Tensor | None,
    rows: Tensor,
    leaves: Sequence[Tensor],
    batch_rows: int,
    loss: RowLoss,
) -> Gradients | None:
    """The gradient of the mean loss over ``rows``; None if there are none."""
    if not len(rows):
        return None
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    total: list[Tensor | None] = [None] * len(wanted)
    count = len(rows) if weight is None else float(weight[rows].sum())
    for block in rows.split(batch_rows) if wanted else ():
        output = logits(model, x[block].to(leaves[0].device))
        losses = loss(output, label[block].to(output.device))
        if weight is not None:
            losses = losses * weight[block].to(losses)
        mean = losses.sum() / count
        for index, grad in enumerate(torch.autograd.grad(mean, wanted, allow_unused=True)):
            if grad is not None:
                so_far = total[index]
                total[index] = grad if so_far is None else so_far + grad
    result = iter(total)
    return tuple(next(result) if leaf.requires_grad else None for leaf in leaves)
