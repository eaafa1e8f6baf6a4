"""A look at a network on a few rows: whether it returns logits, whether gradients get through."""

import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from weakref import WeakSet

import torch
from torch import Tensor, nn

from dralign.errors import DralignWarning, ModelError
from dralign.networks import evaluation_mode
from dralign.rationale.ablation import restored
from dralign.rationale.gradients import group_gradients, requiring_grad
from dralign.rationale.inputs import Inputs
from dralign.rationale.layers import Layer
from dralign.rationale.outputs import alike, logits, warn_of_probabilities, warn_of_values
from dralign.rationale.rows import Rows
from dralign.turns import random_state_kept

FEW = 64  # rows that are looked at
_told: WeakSet[nn.Module] = WeakSet()  # one line per network, not one per part of an audit


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


def notice_dependence(model: nn.Module, x: Inputs, *, stacklevel: int) -> None:
    """Warns, once for a network, if what it returns for a row is not decided by the row alone.

    It runs on a few rows, in the mode it is in.

    Args:
        model: the network.
        x: (n, ...) inputs on its device.
        stacklevel: as of ``warnings.warn``; 1 is the caller.
    """
    if model in _told:
        return
    few, half = x[:FEW], min(FEW, len(x)) // 2
    with torch.no_grad():
        whole = logits(model, few)
        if not alike(whole, logits(model, few)):
            line = (
                "the network draws random numbers in evaluation mode (F.dropout without "
                "training=self.training?): influences are partly noise"
            )
        else:
            with suppress(RuntimeError, ValueError):  # it can't do with fewer
                parts = [logits(model, part) for part in (few[:half], few[half:]) if len(part)]
                if alike(whole, torch.cat(parts)):
                    return
            line = (
                "the output for a row depends on the rows that are run with it, in evaluation mode "
                "too (statistics of a batch?): influences depend on batch_rows, and gradients are "
                "those of each group by itself"
            )
    _told.add(model)
    warnings.warn(line, DralignWarning, stacklevel=stacklevel + 1)


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
