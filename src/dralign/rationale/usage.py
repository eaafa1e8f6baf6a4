"""A look at a network on a few rows: whether it returns logits, whether gradients get through."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dralign.errors import ModelError
from dralign.rationale.ablation import restored
from dralign.rationale.gradients import evaluation_mode, group_gradients, requiring_grad
from dralign.rationale.inputs import Inputs
from dralign.rationale.layers import Layer
from dralign.rationale.outputs import logits, warn_of_probabilities, warn_of_values
from dralign.rationale.rows import Rows
from dralign.turns import random_state_kept

FEW = 64  # rows that are looked at


def notice_probabilities(
    model: nn.Module,
    x: Inputs,
    layers: Sequence[Layer],
    *,
    outputs: Tensor | None = None,
    stacklevel: int,
) -> None:
    """Warns if the network ends in a sigmoid, or returns what looks like probabilities.

    It runs on two rows, in evaluation mode.

    Args:
        model: the network.
        x: (n, ...) inputs.
        layers: the layers, which may be frozen.
        outputs: of all rows, whose values are looked at, if there are any.
        stacklevel: as of ``warnings.warn``; 1 is the caller.
    """
    named = dict(model.named_parameters(remove_duplicate=False))
    with (
        evaluation_mode(model),
        random_state_kept(x.device),
        requiring_grad([layer.weight(named) for layer in layers]),
        torch.enable_grad(),
    ):
        warn_of_probabilities(model, [logits(model, x[:2]).grad_fn], stacklevel=stacklevel + 1)
    if outputs is not None:
        warn_of_values(model, outputs, stacklevel=stacklevel + 1)


def require_gradients(model: nn.Module, rows: Rows, layers: Sequence[Layer]) -> None:
    """Checks on a few rows that every layer has a gradient, or is not used by them.

    Raises:
        ModelError: if a layer has an influence on the output and no gradient.
    """
    x, label = rows.x[:FEW], rows.label[:FEW]
    named = dict(model.named_parameters(remove_duplicate=False))
    with requiring_grad([layer.weight(named) for layer in layers]):
        ((result,),) = group_gradients(
            model,
            x,
            label=label,
            group=torch.zeros_like(rows.group[:FEW]),
            n_groups=1,
            layers=layers,
            loss=rows.loss,
        )
    assert result is not None
    without = [layer for layer, grad in zip(layers, result, strict=True) if grad is None]
    require_unused(model, x, without)


def require_unused(model: nn.Module, x: Inputs, layers: Sequence[Layer]) -> None:
    """Checks that layers without a gradient have no influence: removing one changes nothing.

    The network runs in evaluation mode, once for each of them and once more; its weights, modes
    and the random state are left as they were.

    Raises:
        ModelError: if one has.
    """
    if not layers:
        return
    named = dict(model.named_parameters(remove_duplicate=False))
    with evaluation_mode(model), torch.no_grad():
        before = _output(model, x[:FEW])
        for layer in layers:
            weight = layer.weight(named)
            with restored([weight]):
                layer.part(weight.data).zero_()
                after = _output(model, x[:FEW])
            if not torch.allclose(before, after, equal_nan=True):
                raise ModelError(
                    f"layer {layer.name!r} is used, but its weights get no gradient: is it "
                    "checkpointed with use_reentrant=True, run under torch.no_grad() or detached? "
                    "Let gradients through, freeze it, or leave it out through layers=[...]"
                )


def _output(model: nn.Module, x: Inputs) -> Tensor:
    """The output, with the same random draws every time."""
    with random_state_kept(x.device):
        return logits(model, x)
