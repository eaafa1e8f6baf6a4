"""Exact ablation of any network (Eq. 4): set to zero, run, restore."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dralign.rationale.layers import Layer
from dralign.rationale.outputs import logits
from dralign.rationale.replay import Replays
from dralign.rationale.rows import Rows

Removal = Literal["parameter", "unit"]
Changes = NDArray[np.float64]
Report = Callable[[float], None]


@dataclass(frozen=True)
class Target:
    """What is removed from one layer, one entry after the other.

    Attributes:
        layer: the layer.
        removal: ``"parameter"`` removes one weight at a time, ``"unit"`` all weights of a unit.
        entries: (m,) which ones: indices into the flattened (units, fan-in), or unit numbers.
    """

    layer: Layer
    removal: Removal
    entries: NDArray[np.int64]


def plain_ablation(
    model: nn.Module,
    rows: Rows,
    targets: Sequence[Target],
    *,
    batch_rows: int = 4096,
    report: Report = lambda _: None,
) -> list[Changes]:
    """The change of each group's mean loss when an entry is set to zero, one run per entry.

    Works for any network in evaluation mode and in the network's own dtype; the differences are
    added up in float64. What ran before the layer is replayed from memory (``Replays``).
    Cost: at most one forward pass per entry and row; memory grows with ``batch_rows`` only.

    Args:
        model: the network, in evaluation mode; its weights come back bit by bit, whatever happens.
        rows: inputs, labels and groups on the model's device.
        targets: what to remove.
        batch_rows: rows in a block.
        report: called with the part of the work that is done, in [0, 1].

    Returns:
        For each target (G, m) signed changes; their squares are the influences c_k of Eq. 4.
    """
    named = dict(model.named_parameters(remove_duplicate=False))
    weights = [target.layer.weight(named) for target in targets]
    totals = [torch.zeros(rows.n_groups, len(t.entries), dtype=torch.float64) for t in targets]
    blocks = torch.arange(len(rows.x), device=rows.x.device).split(batch_rows)
    work, done = len(blocks) * sum(len(target.entries) for target in targets), 0
    replays = Replays(model)
    with restored(weights), torch.no_grad():
        for block in blocks:
            x, label, group = rows.x[block], rows.label[block], rows.group[block]
            base = rows.loss(logits(model, x), label).double()
            for index, (target, weight) in enumerate(zip(targets, weights, strict=True)):
                part = target.layer.part(weight.data)
                with replays.of(x, part, _owners(model, weight)) as run:
                    for entry, position in enumerate(_positions(target, part)):
                        saved = part[position]
                        if bool((saved != 0).any()):
                            part[position] = 0
                            change = rows.loss(run(), label).double() - base
                            part[position] = saved
                            change = rows.weighted(change, block)
                            totals[index][:, entry] += _by_group(change, group, rows.n_groups)
                        done += 1
                        report(done / work)
    return [(total / rows.totals[:, None]).numpy() for total in totals]


@contextmanager
def restored(weights: Sequence[Tensor]) -> Iterator[None]:
    """The weights' values as they were before the block, also after an exception or interrupt.

    They are written through ``.data``, so a graph that the caller holds stays valid.
    """
    saved = [weight.data.clone() for weight in weights]
    try:
        yield
    finally:
        for weight, value in zip(weights, saved, strict=True):
            weight.data.copy_(value)


def _positions(target: Target, part: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """For each entry the index, into the layer's part of its weight, of what is set to zero."""
    everything = torch.arange(part.numel(), device=part.device).reshape(part.shape)
    indices = target.layer.by_unit(everything)  # (units, fan-in)
    if target.removal == "parameter":
        indices = indices.reshape(-1, 1)
    for entry in target.entries.tolist():
        yield torch.unravel_index(indices[entry], part.shape)


def _owners(model: nn.Module, weight: Tensor) -> list[nn.Module]:
    """The modules that hold the parameter themselves; several where it is tied."""
    return [
        module
        for module in model.modules()
        if any(own is weight for own in module.parameters(recurse=False))
    ]


def _by_group(values: Tensor, group: Tensor, n_groups: int) -> Tensor:
    """The sum of the values of each group, (G,) on the CPU."""
    return values.new_zeros(n_groups).index_add(0, group, values).cpu()
