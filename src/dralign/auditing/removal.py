"""Weights removed together: the independence assumption of A.13, and the network without units.

The network's own weights are never written: it runs with other tensors in their place.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from dralign.auditing import small
from dralign.auditing.records import JointRemoval, Part, WhatIf
from dralign.networks import probability
from dralign.rationale import Layer, logits_in, per_sample_loss
from dralign.rationale import logits as outputs_of
from dralign.rationale.ablation import Target, plain_ablation
from dralign.rationale.fast_ablation import fast_ablation
from dralign.rationale.inputs import Inputs, arguments, one_tensor
from dralign.rationale.rows import Rows

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
QUARTILES = (0.25, 0.5, 0.75)
TOP_REMOVED = (1, 2, 5, 10)
RANDOM_DRAWS = 11


@dataclass(frozen=True)
class Network:
    """A network whose weights can be replaced for a run.

    Attributes:
        model: the network, in evaluation mode.
        rows: what it runs on.
        layers: the layers whose weights are removed.
        stack: whether it is a stack of Linear layers, which the fast engine and float64 take.
        batch_rows: rows in a block.
        least: rows of a label that a group must have for rates at this label.
        thresholds: for each group the probability from which on a row is decided positive; empty
            for 0.5.
    """

    model: nn.Module
    rows: Rows
    layers: Sequence[Layer]
    stack: bool
    batch_rows: int
    least: int = 0
    thresholds: tuple[float, ...] = ()

    @cached_property
    def n_classes(self) -> int:
        """How many classes the output tells apart."""
        with torch.no_grad():
            output = outputs_of(self.model, self.rows.x[:2])
        return 2 if output.numel() == 2 else int(output.shape[-1])

    @cached_property
    def cells(self) -> Codes:
        """(n,) codes of the groups, -1 for rows that take no part in rates at their label."""
        label, group = self.rows.label.cpu().numpy(), self.rows.group.cpu().numpy()
        return small.large_cells(label, group, self.least)

    @cached_property
    def tensors(self) -> Mapping[str, Tensor]:
        """All parameters and buffers; of a stack in float64, so that small changes show."""
        named = {**dict(self.model.named_parameters()), **dict(self.model.named_buffers())}
        wanted = {k: t.detach() for k, t in named.items()}
        return {k: t.double() if self.stack else t for k, t in wanted.items()}

    def logits(self, tensors: Mapping[str, Tensor]) -> Iterator[tuple[slice, Tensor]]:
        """The outputs of a run with these tensors, block by block."""
        with torch.no_grad():
            for start in range(0, len(self.rows.x), self.batch_rows):
                block = slice(start, start + self.batch_rows)
                x = self.rows.x[block]
                inputs: Inputs = one_tensor(x, "a stack").double() if self.stack else x
                returned = functional_call(self.model, dict(tensors), *arguments(inputs))
                yield block, logits_in(returned)

    def group_losses(self, tensors: Mapping[str, Tensor]) -> Floats:
        """(G,) mean losses of the groups."""
        total = torch.zeros(self.rows.n_groups, dtype=torch.float64, device=self.rows.x.device)
        for block, logits in self.logits(tensors):
            loss = per_sample_loss(logits, self.rows.label[block]).double()
            loss = self.rows.weighted(loss, block)
            total.index_add_(0, self.rows.group[block], loss)
        losses: Floats = (total.cpu() / self.rows.totals).numpy()
        return losses

    def probabilities(self, tensors: Mapping[str, Tensor]) -> Floats:
        """(n,) probabilities of label 1."""
        parts = [probability(logits) for _, logits in self.logits(tensors)]
        result: Floats = torch.cat(parts).double().cpu().numpy()
        return result

    def without(self, removed: Mapping[Layer, Codes], *, whole_units: bool) -> dict[str, Tensor]:
        """The tensors with some weights set to zero.

        Args:
            removed: for a layer indices into its flattened (units, fan-in), or unit numbers.
            whole_units: which of the two.
        """
        tensors = dict(self.tensors)
        own: set[str] = set()
        for layer, entries in removed.items():
            name = next(n for n in (layer.parameter, *layer.aliases) if n in tensors)
            if name not in own:  # attention keeps three layers in one tensor
                tensors[name] = tensors[name].clone()
                own.add(name)
            part = layer.part(tensors[name])
            by_unit = layer.by_unit(part).clone(memory_format=torch.contiguous_format)
            view = by_unit if whole_units else by_unit.view(-1)
            view[torch.from_numpy(entries).to(part.device)] = 0
            part.copy_(layer.from_units(by_unit, part))
        return tensors


def independence(
    network: Network,
    names: Sequence[str],
    *,
    sizes: Sequence[int],
    n_sets: int,
    whole: bool,
    rng: np.random.Generator,
    report: Callable[[float], None],
) -> list[JointRemoval]:
    """Random sets of weights removed at once, against the sum of their single removals (A.13).

    The paper adds up influences, which are squared loss changes. They would not add up even if the
    changes did, (a + b)^2 = a^2 + b^2 + 2ab, so both are compared: the squares, and the changes.

    Args:
        network: the network.
        names: of the groups.
        sizes: weights in a set, drawn from all layers; sizes above the number of weights are left
            out.
        n_sets: sets of each size.
        whole: whether all weights can be measured one by one.
        rng: what draws.
        report: called with the part done.
    """
    counts = [_size(network, layer) for layer in network.layers]
    starts = np.concatenate([[0], np.cumsum(counts)])
    possible = [size for size in sizes if size <= starts[-1]]
    sets = [
        [rng.choice(starts[-1], size, replace=False) for _ in range(n_sets)] for size in possible
    ]
    drawn = np.unique(np.concatenate([one for own in sets for one in own]))
    # The fast engine is compiled once for whole layers and has just been: sooner done than a part.
    measured = np.arange(starts[-1]) if whole and network.stack else drawn
    changes = _single_changes(network, measured, starts)

    def single(entries: Codes) -> Floats:
        """(G, m) changes by each of these weights; of a large network only those are kept."""
        result: Floats = changes[:, np.searchsorted(measured, entries)]
        return result

    base = network.group_losses(network.tensors)
    done, result = 0, []
    for size, own in zip(possible, sets, strict=True):
        joint = np.empty((network.rows.n_groups, n_sets))
        for index, entries in enumerate(own):
            removed = dict(_by_layer(network, entries, starts))
            joint[:, index] = (
                network.group_losses(network.without(removed, whole_units=False)) - base
            )
            done += 1
            report(done / (n_sets * len(possible)))
        summed = np.stack([single(entries).sum(axis=1) for entries in own], axis=1)
        squares = np.stack([np.square(single(entries)).sum(axis=1) for entries in own], axis=1)
        result += [
            _compared(size, name, joint[code], summed[code], squares[code])
            for code, name in enumerate(names)
        ]
    return result


def what_if(
    network: Network,
    units: Sequence[Part],
    *,
    rng: np.random.Generator,
    report: Callable[[float], None],
) -> list[WhatIf]:
    """Average precision and gaps without the top units, k = 0, 1, 2, 5, 10.

    A unit is removed by setting its row of the weight to zero; its bias stays. Beside it stand the
    medians over random sets of as many units, because any removal changes the gaps.

    Args:
        network: a network of two classes.
        units: units that may be removed, the one with the highest score first.
        rng: what draws the random sets.
        report: called with the part done.
    """
    if not units:
        return []
    layers = {layer.name: layer for layer in network.layers}

    def figures(chosen: Sequence[Part]) -> dict[str, float]:
        removed = {
            layers[name]: np.array([part.unit for part in chosen if part.layer == name])
            for name in dict.fromkeys(part.layer for part in chosen)
        }
        prob = network.probabilities(network.without(removed, whole_units=True))
        rows = network.rows
        label, group = rows.label.cpu().numpy(), rows.group.cpu().numpy()
        of_rows = (label, prob, group, network.cells, rows.n_groups)
        return small.figures(*of_rows, network.thresholds, rows.weights)

    result = []
    counts = [0, *(k for k in TOP_REMOVED if k <= len(units))]
    for index, k in enumerate(counts):
        chosen = units[:k]
        draws = [
            figures([units[i] for i in rng.choice(len(units), k, replace=False)])
            for _ in range(RANDOM_DRAWS if k else 1)
        ]
        medians = {name: float(np.median([draw[name] for draw in draws])) for name in draws[0]}
        result.append(
            WhatIf(k, [(part.layer, part.unit) for part in chosen], figures(chosen), medians)
        )
        report((index + 1) / len(counts))
    return result


def _size(network: Network, layer: Layer) -> int:
    """The weights of a layer."""
    named = dict(network.model.named_parameters(remove_duplicate=False))
    return layer.part(layer.weight(named)).numel()


def _by_layer(network: Network, entries: Codes, starts: Codes) -> Iterator[tuple[Layer, Codes]]:
    """Weights numbered through all layers, as layers with their own numbers."""
    for layer, start, stop in zip(network.layers, starts, starts[1:], strict=False):
        inside = entries[(entries >= start) & (entries < stop)] - start
        if len(inside):
            yield layer, inside


def _single_changes(network: Network, entries: Codes, starts: Codes) -> Floats:
    """(G, m) signed loss changes of single removals."""
    run = fast_ablation if network.stack else plain_ablation
    targets = [
        Target(layer, "parameter", own) for layer, own in _by_layer(network, entries, starts)
    ]
    changes = run(network.model, network.rows, targets, batch_rows=network.batch_rows)
    return np.concatenate(changes, axis=1)


def _compared(
    size: int, group: str, joint: Floats, summed: Floats, squares: Floats
) -> JointRemoval:
    """Quartiles over the sets of how far the sums are from the joint removal."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.square(joint) / squares
        error = np.abs(joint - summed) / np.abs(joint)
    return JointRemoval(
        size=size,
        group=group,
        joint=joint.tolist(),
        summed=summed.tolist(),
        summed_influence=squares.tolist(),
        influence_ratio=_quartiles(ratio),
        change_error=_quartiles(error),
    )


def _quartiles(values: Floats) -> list[float]:
    """The quartiles of the finite values; 0/0, where nothing changes at all, is left out."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return [float("nan")] * len(QUARTILES)
    quartiles: list[float] = np.quantile(finite, QUARTILES).tolist()
    return quartiles
