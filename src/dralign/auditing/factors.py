"""Mean gradients of many sets of rows, without running the network for each set.

The gradient of one row's loss with respect to the weight of a Linear layer is the outer product of
delta, the gradient at the layer's output, and a, its input. The mean gradient of any set of rows is
then a product of two matrices, delta^T a over these rows. Index letters: s set, r row of the set,
u unit, f fan-in.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from dralign.rationale import Layer, group_gradients, logits, per_sample_loss
from dralign.rationale.gradients import requiring_grad
from dralign.rationale.rows import Rows

# Numbers held for all rows (512 MB in float32), and gathered at a time.
MOST_HELD = 2**27
MOST_GATHERED = 2**23


class Gradients(Protocol):
    """A source of mean gradients."""

    @property
    def cost(self) -> str:
        """What a set of rows costs."""
        ...

    def chunk(self, n_rows: int) -> int:
        """How many sets of this many rows to ask for at a time."""
        ...

    def mean(self, sets: Tensor) -> list[Tensor]:
        """For each layer the mean gradients (s, units, fan-in) of the (s, r) sets of rows."""
        ...


@dataclass(frozen=True)
class Factors:
    """Gradients from one pass over all rows: for each layer the inputs and the output gradients.

    Attributes:
        inputs: (n, fan-in) of each layer.
        deltas: (n, units) of each layer.
        weight: (n,) what each row counts; None where rows are not weighted.
    """

    inputs: Sequence[Tensor]
    deltas: Sequence[Tensor]
    weight: Tensor | None = None
    cost: str = "one matrix product per layer"

    def chunk(self, n_rows: int) -> int:
        """As many as fit in memory."""
        widest = max(
            max(n_rows * (a.shape[1] + d.shape[1]), a.shape[1] * d.shape[1])
            for a, d in zip(self.inputs, self.deltas, strict=True)
        )
        return max(1, MOST_GATHERED // widest)

    def mean(self, sets: Tensor) -> list[Tensor]:
        """For each layer delta^T a over the rows of each set, divided by what they count."""
        if self.weight is not None:
            each = self.weight[sets]  # (s, r)
            each = each / each.sum(1, keepdim=True)
            return [
                torch.einsum("sr,sru,srf->suf", each.to(a.dtype), delta[sets], a[sets])
                for a, delta in zip(self.inputs, self.deltas, strict=True)
            ]
        # The gradient of a Linear weight is a sum over rows of delta times input: with both held,
        # another set of rows costs a matrix product and no pass through the network.
        return [
            torch.einsum("sru,srf->suf", delta[sets], a[sets]) / sets.shape[1]
            for a, delta in zip(self.inputs, self.deltas, strict=True)
        ]


@dataclass(frozen=True)
class Passes:
    """Gradients from a forward and a backward pass over each set; for any network."""

    model: nn.Module
    rows: Rows
    layers: Sequence[Layer]
    batch_rows: int
    cost: str = "one forward and backward pass of the whole network"

    def chunk(self, n_rows: int) -> int:  # noqa: ARG002
        """One at a time."""
        return 1

    def mean(self, sets: Tensor) -> list[Tensor]:
        """For each layer the gradients of the mean loss over the rows of each set."""
        named = dict(self.model.named_parameters(remove_duplicate=False))
        leaves = [layer.weight(named) for layer in self.layers]
        result: list[list[Tensor]] = [[] for _ in self.layers]
        with requiring_grad(leaves):
            for chosen in sets:
                ((cell,),) = group_gradients(
                    self.model,
                    self.rows.x[chosen],
                    label=self.rows.label[chosen],
                    group=torch.zeros_like(chosen),
                    n_groups=1,
                    layers=self.layers,
                    batch_rows=self.batch_rows,
                    weight=None if self.rows.weight is None else self.rows.weight[chosen],
                )
                assert cell is not None
                for index, (layer, leaf, grad) in enumerate(
                    zip(self.layers, leaves, cell, strict=True)
                ):
                    known = torch.zeros_like(leaf) if grad is None else grad
                    result[index].append(layer.by_unit(layer.part(known)))
        return [torch.stack(entries) for entries in result]


def gradient_source(
    model: nn.Module, rows: Rows, layers: Sequence[Layer], *, batch_rows: int
) -> Gradients:
    """The cheapest source of mean gradients that holds for this network.

    Factors are taken where every layer is a Linear module with a weight of its own, called once on
    rows of numbers, and where they give the gradients of autograd on the rows at hand.
    """
    passes = Passes(model, rows, layers, batch_rows)
    factors = _factors(model, rows, layers, batch_rows)
    if factors is None:
        return passes
    check = torch.arange(min(len(rows.x), batch_rows), device=rows.x.device)[None]
    for ours, theirs in zip(factors.mean(check), passes.mean(check), strict=True):
        if not torch.allclose(ours, theirs, rtol=1e-3, atol=1e-4 * float(theirs.abs().max())):
            return passes
    return factors


def _factors(
    model: nn.Module, rows: Rows, layers: Sequence[Layer], batch_rows: int
) -> Factors | None:
    """The factors of every layer, or None where the gradients are not such products."""
    modules = [_linear(model, layer) for layer in layers]
    linears = [module for module in modules if module is not None]
    widths = sum(module.in_features + module.out_features for module in linears)
    if len(linears) < len(layers) or len(rows.x) * widths > MOST_HELD:
        return None
    inputs: list[list[Tensor]] = [[] for _ in linears]
    deltas: list[list[Tensor]] = [[] for _ in linears]
    for x, label in zip(rows.x.split(batch_rows), rows.label.split(batch_rows), strict=True):
        with torch.enable_grad(), _recording(linears) as calls:
            loss = per_sample_loss(logits(model, x), label).sum()
        if any(len(own) != 1 or own[0][0].shape[:-1] != (len(x),) for own in calls):
            return None
        outputs = [own[0][1] for own in calls]
        grads = torch.autograd.grad(loss, outputs, allow_unused=True)
        for index, (own, grad) in enumerate(zip(calls, grads, strict=True)):
            inputs[index].append(own[0][0])
            deltas[index].append(torch.zeros_like(own[0][1]) if grad is None else grad)
    first, second = ([torch.cat(part) for part in parts] for parts in (inputs, deltas))
    return Factors(first, second, rows.weight)


def _linear(model: nn.Module, layer: Layer) -> nn.Linear | None:
    """The layer's module if it is a Linear with a weight that nobody else uses."""
    owner, _, tensor = layer.parameter.rpartition(".")
    module = model.get_submodule(owner)
    plain = type(module) is nn.Linear and tensor == "weight" and not layer.aliases
    return module if plain and isinstance(module, nn.Linear) else None


@contextmanager
def _recording(linears: Sequence[nn.Linear]) -> Iterator[list[list[tuple[Tensor, Tensor]]]]:
    """Inside the block each call of a module is recorded as its input and its output."""
    calls: list[list[tuple[Tensor, Tensor]]] = [[] for _ in linears]
    handles: list[RemovableHandle] = []

    def recorder(
        own: list[tuple[Tensor, Tensor]],
    ) -> "Hook":
        def record(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:  # noqa: ARG001
            if not args:  # the input was given by name: not seen here
                return output
            if not output.requires_grad:
                output.requires_grad_(True)  # all weights before it are frozen
            own.append((args[0].detach().clone(), output))
            # What follows may work in place: it gets a copy, and the gradient stays that of ours.
            return output.clone()

        return record

    try:
        for linear, own in zip(linears, calls, strict=True):
            handles.append(linear.register_forward_hook(recorder(own)))
        yield calls
    finally:
        for handle in handles:
            handle.remove()


class Hook(Protocol):
    """A forward hook of a Linear module."""

    def __call__(self, module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        """What the module's caller gets."""
        ...
