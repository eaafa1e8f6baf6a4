"""Stacks of Linear layers and elementwise activations: found in a network, and as numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from dralign.rationale.inputs import Inputs
from dralign.rationale.tabulated import Table, tabulated

ELEMENTWISE = (
    nn.CELU, nn.ELU, nn.GELU, nn.Hardshrink, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh,
    nn.LeakyReLU, nn.LogSigmoid, nn.Mish, nn.ReLU, nn.ReLU6, nn.SELU, nn.SiLU, nn.Sigmoid,
    nn.Softplus, nn.Softshrink, nn.Softsign, nn.Tanh, nn.Tanhshrink,
)  # fmt: skip
UNCHANGED = (nn.Identity, nn.Dropout, nn.AlphaDropout)  # in evaluation mode


@dataclass(frozen=True)
class Stack:
    """A network as alternating linear maps and activations.

    Attributes:
        linears: the Linear modules, in order.
        before: what comes before the first of them.
        activations: the modules between a Linear and the next.
    """

    linears: tuple[nn.Linear, ...]
    before: tuple[nn.Module, ...]
    activations: tuple[tuple[nn.Module, ...], ...]


@dataclass(frozen=True)
class Arrays:
    """The weights of a stack in float64 on the CPU, and how its activations act.

    Attributes:
        weights: (out, in) of each Linear.
        biases: (out,) of each, zero where there is none.
        activations: as in ``Stack``.
        slopes: for each activation its slope below zero if that describes it, else None.
    """

    weights: list[Tensor]
    biases: list[Tensor]
    activations: tuple[tuple[nn.Module, ...], ...]
    slopes: list[float | None]

    @cached_property
    def tables(self) -> list[Table | None]:
        """Each activation as a table; None where it can't be one."""
        return [tabulated(partial(activate, modules)) for modules in self.activations]


@dataclass(frozen=True)
class Block:
    """Rows of one group and label, and what the whole network makes of them.

    Attributes:
        label: (n,) their label, n times.
        inputs: (n, in) the inputs of each Linear.
        outputs: (n, out) the pre-activations of each; the last are the logits.
        loss: (n,) losses.
    """

    label: Tensor
    inputs: list[Tensor]
    outputs: list[Tensor]
    loss: Tensor

    def at(self, rows: slice) -> "Block":
        """Some of its rows."""
        inputs, outputs = ([each[rows] for each in part] for part in (self.inputs, self.outputs))
        return Block(self.label[rows], inputs, outputs, self.loss[rows])


def linear_stack(model: nn.Module, x: Inputs) -> Stack | None:
    """The model as a stack, or None where this engine can't take it.

    Taken are ``nn.Sequential`` (also nested) of Linear, the activations in ``ELEMENTWISE``,
    Dropout, Identity and Flatten, in float32 or float64, without hooks, parametrisations or tied
    weights, on inputs of two dimensions (or flattened first).
    """
    modules = _chain(model)
    if modules is None or not isinstance(x, Tensor):
        return None
    indices = [index for index, module in enumerate(modules) if type(module) is nn.Linear]
    if not indices:
        return None
    linears = tuple(module for module in modules if isinstance(module, nn.Linear))
    before, after = tuple(modules[: indices[0]]), modules[indices[-1] + 1 :]
    between = tuple(
        tuple(m for m in modules[start + 1 : stop] if not isinstance(m, UNCHANGED))
        for start, stop in pairwise(indices)
    )
    parameters = [p for linear in linears for p in linear.parameters()]
    if (
        len({id(p) for p in parameters}) < len(parameters)
        or any(p.dtype not in {torch.float32, torch.float64} for p in parameters)
        or not all(isinstance(m, ELEMENTWISE) for group in between for m in group)
        or not all(isinstance(m, (*UNCHANGED, nn.Flatten)) for m in after)
        or not all(isinstance(m, (*ELEMENTWISE, *UNCHANGED, nn.Flatten)) for m in before)
        or any(m.start_dim != 1 or m.end_dim != -1 for m in before if isinstance(m, nn.Flatten))
        or (x.ndim != 2 and not any(isinstance(m, nn.Flatten) for m in before))
    ):
        return None
    return Stack(linears, before, between)


def _chain(model: nn.Module) -> list[nn.Module] | None:
    """The modules of a nested Sequential in order; None where something may intervene."""
    own_call = type(model).__call__ is not nn.Module.__call__
    if (
        own_call
        or "forward" in model.__dict__
        or any(getattr(model, hooks) for hooks in ("_forward_hooks", "_forward_pre_hooks"))
    ):
        return None
    if type(model).forward is not nn.Sequential.forward:
        known = (nn.Linear, nn.Flatten, *ELEMENTWISE, *UNCHANGED)
        return [model] if type(model) in known else None
    modules: list[nn.Module] = []
    for child in nn.Sequential.__iter__(cast("nn.Sequential", model)):  # repeats shared modules
        inner = _chain(child)
        if inner is None:
            return None
        modules += inner
    return modules


def arrays_of(stack: Stack) -> Arrays:
    """The stack's numbers, copied."""
    return Arrays(
        weights=[linear.weight.detach().double().cpu() for linear in stack.linears],
        biases=[
            torch.zeros(linear.out_features, dtype=torch.float64)
            if linear.bias is None
            else linear.bias.detach().double().cpu()
            for linear in stack.linears
        ],
        activations=stack.activations,
        slopes=[_slope(modules) for modules in stack.activations],
    )


def _slope(modules: Sequence[nn.Module]) -> float | None:
    """The slope below zero of an activation that is the identity above, else None."""
    if not modules:
        return 1.0
    (first, *rest) = modules
    if rest:
        return None
    if isinstance(first, nn.ReLU):
        return 0.0
    if isinstance(first, nn.LeakyReLU) and 0 <= first.negative_slope <= 1:
        return float(first.negative_slope)
    return None


def activate(modules: Sequence[nn.Module], z: Tensor) -> Tensor:
    """The activation of z, which is left as it is."""
    for module in modules:
        z = module(z.clone() if getattr(module, "inplace", False) else z)
    return z
