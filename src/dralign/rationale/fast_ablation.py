"""Exact ablation of stacks of Linear and elementwise activations, without running the network.

Setting W[j, k] to zero changes one pre-activation, z_j, by -W[j, k] x_k: only that change is
carried on to the loss, and only for the rows where the unit's output moves at all.
"""

import warnings
from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dralign.errors import DralignWarning
from dralign.rationale.ablation import Changes, Report, Target
from dralign.rationale.compiled import can_compile, change_by_weight
from dralign.rationale.inputs import one_tensor
from dralign.rationale.losses import per_sample_loss
from dralign.rationale.rows import Rows
from dralign.rationale.stack import Arrays, Block, activate, arrays_of, linear_stack
from dralign.tiers import installing

# Numbers in one intermediate array: 2 MB of float64, about a core's second-level cache.
CHUNK = 2**18
# Without compiling a step (a row, a weight and a unit of the next layer) takes about a nanosecond;
# compiling takes some seconds. In the layer before the last a row and a weight are 50 such steps.
WORTH_COMPILING = 3 * 10**9


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

    The two layers before the last run in compiled loops, on as many threads as torch has been given
    (``torch.set_num_threads``), if numba is installed and the work is worth compiling: fastest for
    activations with one kink at zero (ReLU, LeakyReLU), others are looked up in a table that is
    good to 1e-13.

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
    arrays = arrays_of(stack)
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
                    change = change_by_weight(arrays, block, depth).reshape(-1)
                else:
                    change = _by_blocks(arrays, block, depth, target)
                sums[index][code] += change
                report((done + (index + 1) / len(targets)) / len(blocks))
    return [total / rows.counts.numpy()[:, None] for total in sums]


def _cells(rows: Rows, batch_rows: int) -> list[tuple[int, Tensor]]:
    """Blocks of row numbers with one group and one label each, with the group's code."""
    label, group = rows.label.cpu(), rows.group.cpu()
    cells = []
    for code in range(rows.n_groups):
        for value in label[group == code].unique().tolist():
            inside = torch.nonzero((group == code) & (label == value)).squeeze(1)
            cells += [(code, block) for block in inside.split(batch_rows)]
    return cells


def _run(arrays: Arrays, before: Sequence[nn.Module], rows: Rows, block_rows: Tensor) -> Block:
    """The float64 forward pass of a block, everything kept."""
    block_rows = block_rows.to(rows.x.device)
    h = activate(before, one_tensor(rows.x, "fast ablation")[block_rows].double().cpu())
    label = rows.label[block_rows].cpu()
    inputs, outputs = [], []
    for depth, (weight, bias) in enumerate(zip(arrays.weights, arrays.biases, strict=True)):
        inputs.append(h)
        outputs.append(h @ weight.T + bias)
        if depth < len(arrays.activations):
            h = activate(arrays.activations[depth], outputs[-1])
    return Block(label, inputs, outputs, per_sample_loss(outputs[-1], label))


def _by_blocks(arrays: Arrays, block: Block, depth: int, target: Target) -> NDArray[np.float64]:
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
            shift = activate(modules, old + shift) - activate(modules, old)
        r, k = torch.nonzero(shift, as_tuple=True)
        moved = shift[r, k]
        widest = max((len(w) for w in arrays.weights[depth + 1 :]), default=len(weight))
        for piece in torch.arange(len(r)).split(max(1, CHUNK // widest)):
            some = r[piece]
            loss = _loss_after(arrays, block, depth, j, some, moved[piece])
            total.index_add_(0, indices[k[piece]], loss - block.loss[some])
    return total.numpy()


def _loss_after(
    arrays: Arrays, block: Block, depth: int, j: int, r: Tensor, moved: Tensor
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
        h = activate(arrays.activations[later], z)
        z = h @ arrays.weights[later + 1].T + arrays.biases[later + 1]
    return per_sample_loss(z, block.label[r])


def _compiled(arrays: Arrays, target: Target, depth: int, n_rows: int) -> bool:
    """Whether the compiled loops do this layer: all its weights, one or two before the last."""
    steps = n_rows * arrays.weights[depth].numel()
    steps *= len(arrays.weights[depth + 1]) if depth + 2 == len(arrays.activations) else 50
    if (
        target.removal != "parameter"
        or len(target.entries) < arrays.weights[depth].numel()
        or steps < WORTH_COMPILING
        or not can_compile(arrays, depth)
    ):
        return False
    if find_spec("numba") is None:
        warnings.warn(
            "numba is not installed: exact ablation takes about 50 times longer without "
            f"it; {installing('app')}",
            DralignWarning,
            stacklevel=4,
        )
        return False
    return True
