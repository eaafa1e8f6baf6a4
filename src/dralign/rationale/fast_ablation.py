"""Exact ablation of stacks of Linear and elementwise activations, without running the network.

Setting W[j, k] to zero changes one pre-activation, z_j, by -W[j, k] x_k: only that change is
carried on to the loss, and only for the rows where the unit's output moves at all.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dralign.errors import DralignWarning
from dralign.rationale.ablation import Changes, Report, Target
from dralign.rationale.inputs import Inputs, one_tensor
from dralign.rationale.losses import per_sample_loss
from dralign.rationale.rows import Rows

ELEMENTWISE = (
    nn.CELU, nn.ELU, nn.GELU, nn.Hardshrink, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh,
    nn.LeakyReLU, nn.LogSigmoid, nn.Mish, nn.ReLU, nn.ReLU6, nn.SELU, nn.SiLU, nn.Sigmoid,
    nn.Softplus, nn.Softshrink, nn.Softsign, nn.Tanh, nn.Tanhshrink,
)  # fmt: skip
UNCHANGED = (nn.Identity, nn.Dropout, nn.AlphaDropout)  # in evaluation mode
# Numbers in one intermediate array: 2 MB of float64, about a core's second-level cache.
CHUNK = 2**18
# Without compiling a step (a row, a weight and a unit of the next layer) takes about a nanosecond;
# compiling takes some seconds. In the layer before the last a row and a weight are 50 such steps.
WORTH_COMPILING = 3 * 10**9


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
class _Arrays:
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


@dataclass(frozen=True)
class _Block:
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


def fast_ablation(
    model: nn.Module,
    rows: Rows,
    targets: Sequence[Target],
    *,
    batch_rows: int = 4096,
    report: Report = lambda _: None,
) -> list[Changes]:
    """The change of each group's mean loss when an entry is set to zero, exactly, in float64.

    The same as ``plain_ablation`` of the float64 network, at a fraction of the cost: a weight of
    the last layer or the one before costs O(1) a row, further up the units of the next layer, and
    from three before the last on, the rest of the network; only for rows where the input is not
    zero and the unit's output moves. Memory grows with ``batch_rows`` only.

    With activations that have one kink at zero (ReLU, LeakyReLU) the two layers before the last
    run in compiled loops, if numba is installed and the work is worth compiling.

    Args:
        model: a network that ``linear_stack`` takes.
        rows: inputs, labels and groups.
        targets: what to remove.
        batch_rows: rows in a block.
        report: called with the part of the work that is done, in [0, 1].

    Returns:
        For each target (G, m) signed changes.
    """
    stack = linear_stack(model, rows.x)
    assert stack is not None
    assert rows.loss is per_sample_loss
    arrays = _arrays(stack)
    named = dict(model.named_parameters(remove_duplicate=False))
    depths = [
        next(d for d, linear in enumerate(stack.linears) if linear.weight is weight)
        for weight in (target.layer.weight(named) for target in targets)
    ]
    sums = [np.zeros((rows.n_groups, len(target.entries))) for target in targets]
    compiled = [
        _compiled(arrays, target, depth, len(rows.x))
        for target, depth in zip(targets, depths, strict=True)
    ]
    blocks = list(_cells(rows, batch_rows))
    with torch.no_grad():
        for done, (code, block_rows) in enumerate(blocks):
            block = _run(arrays, stack.before, rows, block_rows)
            for index, (target, depth) in enumerate(zip(targets, depths, strict=True)):
                if compiled[index]:
                    change = _by_kernel(arrays, block, depth).reshape(-1)
                else:
                    change = _by_blocks(arrays, block, depth, target)
                sums[index][code] += change
                report((done + (index + 1) / len(targets)) / len(blocks))
    return [total / rows.counts.numpy()[:, None] for total in sums]


def _chain(model: nn.Module) -> list[nn.Module] | None:
    """The modules of a nested Sequential in order; None where something may intervene."""
    if "forward" in model.__dict__ or any(
        getattr(model, hooks) for hooks in ("_forward_hooks", "_forward_pre_hooks")
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


def _arrays(stack: Stack) -> _Arrays:
    """The stack's numbers, copied."""
    return _Arrays(
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


def _activate(modules: Sequence[nn.Module], z: Tensor) -> Tensor:
    """The activation of z, which is left as it is."""
    for module in modules:
        z = module(z.clone() if getattr(module, "inplace", False) else z)
    return z


def _cells(rows: Rows, batch_rows: int) -> list[tuple[int, Tensor]]:
    """Blocks of row numbers with one group and one label each, with the group's code."""
    label, group = rows.label.cpu(), rows.group.cpu()
    cells = []
    for code in range(rows.n_groups):
        for value in label[group == code].unique().tolist():
            inside = torch.nonzero((group == code) & (label == value)).squeeze(1)
            cells += [(code, block) for block in inside.split(batch_rows)]
    return cells


def _run(arrays: _Arrays, before: Sequence[nn.Module], rows: Rows, block_rows: Tensor) -> _Block:
    """The float64 forward pass of a block, everything kept."""
    block_rows = block_rows.to(rows.x.device)
    h = _activate(before, one_tensor(rows.x, "fast ablation")[block_rows].double().cpu())
    label = rows.label[block_rows].cpu()
    inputs, outputs = [], []
    for depth, (weight, bias) in enumerate(zip(arrays.weights, arrays.biases, strict=True)):
        inputs.append(h)
        outputs.append(h @ weight.T + bias)
        if depth < len(arrays.activations):
            h = _activate(arrays.activations[depth], outputs[-1])
    return _Block(label, inputs, outputs, per_sample_loss(outputs[-1], label))


def _by_blocks(arrays: _Arrays, block: _Block, depth: int, target: Target) -> NDArray[np.float64]:
    """The sum over the block's rows of the loss change of each entry, with torch alone, (m,).

    The rows in which the unit's output moves are gathered for all entries of a unit, and run
    through the rest of the network together.
    """
    weight, x = arrays.weights[depth], block.inputs[depth]
    fan_in = weight.shape[1]
    total = torch.zeros(len(target.entries), dtype=torch.float64)
    unit = target.entries if target.removal == "unit" else target.entries // fan_in
    for j in np.unique(unit).tolist():
        indices = torch.from_numpy(np.nonzero(unit == j)[0])
        if target.removal == "unit":
            shift = -(x @ weight[j])[:, None]  # (n, 1)
        else:
            columns = torch.from_numpy(target.entries[indices.numpy()] % fan_in)
            shift = -x[:, columns] * weight[j, columns]  # (n, entries of the unit)
        old = block.outputs[depth][:, j : j + 1]
        if depth < len(arrays.activations):
            modules = arrays.activations[depth]
            shift = _activate(modules, old + shift) - _activate(modules, old)
        r, k = torch.nonzero(shift, as_tuple=True)
        moved = shift[r, k]
        widest = max((len(w) for w in arrays.weights[depth + 1 :]), default=len(weight))
        for piece in torch.arange(len(r)).split(max(1, CHUNK // widest)):
            some = r[piece]
            loss = _loss_after(arrays, block, depth, j, some, moved[piece])
            total.index_add_(0, indices[k[piece]], loss - block.loss[some])
    return total.numpy()


def _loss_after(
    arrays: _Arrays, block: _Block, depth: int, j: int, r: Tensor, moved: Tensor
) -> Tensor:
    """The losses of rows r when unit j's output (its logit, in the last layer) moves, (t,)."""
    if depth == len(arrays.activations):
        z = block.outputs[depth][r]
        z[:, j] += moved
        return per_sample_loss(z, block.label[r])
    column = arrays.weights[depth + 1][:, j].contiguous()
    z = block.outputs[depth + 1].index_select(0, r)  # (t, units); indexing is three times slower
    z.addcmul_(moved[:, None], column)
    for later in range(depth + 1, len(arrays.activations)):
        h = _activate(arrays.activations[later], z)
        z = h @ arrays.weights[later + 1].T + arrays.biases[later + 1]
    return per_sample_loss(z, block.label[r])


def _compiled(arrays: _Arrays, target: Target, depth: int, n_rows: int) -> bool:
    """Whether the compiled loops do this layer: all its weights, one or two before the last."""
    to_last = len(arrays.activations) - depth
    steps = n_rows * arrays.weights[depth].numel()
    steps *= len(arrays.weights[depth + 1]) if to_last == 2 else 50
    if (
        to_last not in {1, 2}
        or None in arrays.slopes[depth:]
        or target.removal != "parameter"
        or len(target.entries) < arrays.weights[depth].numel()
        or steps < WORTH_COMPILING
    ):
        return False
    if find_spec("numba") is None:
        warnings.warn(
            "numba is not installed: exact ablation takes about 50 times longer without "
            "it; pip install 'dralign[app]'",
            DralignWarning,
            stacklevel=4,
        )
        return False
    return True


def _by_kernel(arrays: _Arrays, block: _Block, depth: int) -> NDArray[np.float64]:
    """The sum over the block's rows of the loss change of each weight, compiled, (units, in)."""
    from dralign.rationale import kernels

    logits, last, label = block.outputs[-1], arrays.weights[-1], int(block.label[0])
    if logits.shape[1] == 1:  # one logit is two classes, the first with logit 0
        logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
        last = torch.cat([torch.zeros_like(last), last])
    # The loss is a function of the margins alone, log(1 + sum exp(margin)): without a shift of all
    # logits nothing cancels, and the kernels need no logarithm of a sum over all classes.
    others = [c for c in range(logits.shape[1]) if c != label]
    scale = (last[others] - last[label]).T  # (I, C')
    margins = logits[:, others] - logits[:, label : label + 1]  # (n, C')
    ends = (_packed(scale), _packed(margins), _packed(_probability(margins)))
    weight = _packed(arrays.weights[depth])
    x, z = _packed(block.inputs[depth]), _packed(block.outputs[depth])
    total = np.zeros(weight.shape)
    slope, *later = (cast("float", value) for value in arrays.slopes[depth:])
    if not later:
        kernels.last_but_one(x, z, weight, slope, *ends, total)
    else:
        next_z, next_weight = block.outputs[depth + 1], arrays.weights[depth + 1]
        gate = torch.where(next_z > 0, next_z.new_tensor(1.0), next_z.new_tensor(later[0]))
        # How margins change with a unit of this layer where no unit of the next crosses its kink:
        # the kernel then corrects only for those that do, which are few.
        gradient = torch.einsum("ic,ni,ij->njc", scale, gate, next_weight)
        nexts = (_packed(next_z), _packed(next_weight.T), _packed(gradient))
        kernels.two_before_last(x, z, weight, slope, *nexts, later[0], *ends, total)
    total[weight == 0] = 0  # several classes add up to 1 but for rounding
    return total


def _probability(margins: Tensor) -> Tensor:
    """The probabilities of the label and then of the other classes, (n, 1 + C'), from the margins.

    The small ones are accurate and the largest is the rest, so that two classes add up to
    exactly 1 and no change of the margins is exactly no change of the loss.
    """
    every = torch.softmax(torch.cat([torch.zeros_like(margins[:, :1]), margins], dim=1), dim=1)
    largest = every.argmax(dim=1, keepdim=True)
    others = every.scatter(1, largest, 0.0).sum(dim=1, keepdim=True)
    return every.scatter(1, largest, 1 - others)


def _packed(values: Tensor) -> NDArray[np.float64]:
    """The values as an array in C order, which the compiled loops expect."""
    return values.contiguous().numpy()
