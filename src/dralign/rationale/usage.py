"""A look at a network on a few rows: whether it returns logits, whether gradients get through."""

from collections.abc import Callable, Sequence

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

    def run() -> Tensor:
        with evaluation_mode(model), random_state_kept(x.device):
            return logits(model, x)

    require_unused(model, without, run)


def require_unused(model: nn.Module, layers: Sequence[Layer], run: Callable[[], Tensor]) -> None:
    """Checks that layers without a gradient have no influence: removing one changes nothing.

    Args:
        model: the network; its weights are left as they were.
        layers: the layers.
        run: what the network returns, with the same random draws every time; it is run once for
            each of them and once more.

    Raises:
        ModelError: if one has.
    """
    if not layers:
        return
    named = dict(model.named_parameters(remove_duplicate=False))
    with torch.no_grad():
        before = run()
        for layer in layers:
            weight = layer.weight(named)
            with restored([weight]):
                layer.part(weight.data).zero_()
                after = run()
            if not torch.allclose(before, after, equal_nan=True):
                raise ModelError(
                    f"layer {layer.name!r} is used, but its weights get no gradient: is it "
                    "checkpointed with use_reentrant=True, run under torch.no_grad() or detached? "
                    "Let gradients through, freeze it, or leave it out through layers=[...]"
                )
