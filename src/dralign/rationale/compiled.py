"""Exact ablation of whole layers by compiled loops, on as many threads as torch uses."""

from concurrent.futures import ThreadPoolExecutor
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dralign.rationale.stack import Arrays, Block

Floats = NDArray[np.float64]
Three = tuple[Floats, Floats, Floats]


def can_compile(arrays: Arrays, depth: int) -> bool:
    """Whether the loops know the layer: one or two before the last, of activations that they do."""
    to_last = len(arrays.activations) - depth
    return to_last in {1, 2} and (
        None not in arrays.slopes[depth:]
        or all(table is not None for table in arrays.tables[depth:])
    )


def change_by_weight(arrays: Arrays, block: Block, depth: int) -> Floats:
    """The sum over the block's rows of the loss change of each weight, (units, in).

    The threads have a part of the rows each, and their sums are added up in order: the same number
    of threads gives the same bits.
    """
    n_threads = torch.get_num_threads()
    parts = torch.arange(len(block.label)).tensor_split(n_threads)
    cut = [block.at(slice(int(p[0]), int(p[-1]) + 1)) for p in parts if len(p)]
    if len(cut) == 1:
        return _by_kernel(arrays, block, depth)
    with ThreadPoolExecutor(n_threads) as pool:
        sums = list(pool.map(lambda part: _by_kernel(arrays, part, depth), cut))
    return cast("Floats", np.sum(sums, axis=0))


def _by_kernel(arrays: Arrays, block: Block, depth: int) -> Floats:
    """The same of the rows of one thread."""
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
    begin = (_packed(block.inputs[depth]), _packed(block.outputs[depth]), weight)
    total = np.zeros(weight.shape)
    if None in arrays.slopes[depth:]:
        _by_tables(arrays, block, depth, begin, ends, total)
    else:
        _by_slopes(arrays, block, depth, begin, scale, ends, total)
    total[weight == 0] = 0  # several classes add up to 1 but for rounding
    return total


def _by_slopes(
    arrays: Arrays,
    block: Block,
    depth: int,
    begin: Three,
    scale: Tensor,
    ends: Three,
    total: Floats,
) -> None:
    """Adds the changes to the total, for activations with one kink at zero."""
    from dralign.rationale import kernels

    slope, *later = (cast("float", value) for value in arrays.slopes[depth:])
    if not later:
        kernels.last_but_one(*begin, slope, *ends, total)
        return
    next_z, next_weight = block.outputs[depth + 1], arrays.weights[depth + 1]
    gate = torch.where(next_z > 0, next_z.new_tensor(1.0), next_z.new_tensor(later[0]))
    # How margins change with a unit of this layer where no unit of the next crosses its kink: the
    # kernel then corrects only for those that do, which are few.
    gradient = torch.einsum("ic,ni,ij->njc", scale, gate, next_weight)
    nexts = (_packed(next_z), _packed(next_weight.T), _packed(gradient))
    kernels.two_before_last(*begin, slope, *nexts, later[0], *ends, total)


def _by_tables(
    arrays: Arrays, block: Block, depth: int, begin: Three, ends: Three, total: Floats
) -> None:
    """Adds the changes to the total, for activations of any form."""
    from dralign.rationale import smooth_kernels

    table, *later = (cast("Floats", each) for each in arrays.tables[depth:])
    if not later:
        smooth_kernels.tabulated_last_but_one(*begin, table, *ends, total)
        return
    nexts = (_packed(block.outputs[depth + 1]), _packed(arrays.weights[depth + 1].T))
    smooth_kernels.tabulated_two_before_last(*begin, table, *nexts, later[0], *ends, total)


def _probability(margins: Tensor) -> Tensor:
    """The probabilities of the label and then of the other classes, (n, 1 + C'), from the margins.

    The small ones are accurate and the largest is the rest, so that two classes add up to
    exactly 1 and no change of the margins is exactly no change of the loss.
    """
    every = torch.softmax(torch.cat([torch.zeros_like(margins[:, :1]), margins], dim=1), dim=1)
    largest = every.argmax(dim=1, keepdim=True)
    others = every.scatter(1, largest, 0.0).sum(dim=1, keepdim=True)
    return every.scatter(1, largest, 1 - others)


def _packed(values: Tensor) -> Floats:
    """The values as an array in C order, which the compiled loops expect."""
    return values.contiguous().numpy()
