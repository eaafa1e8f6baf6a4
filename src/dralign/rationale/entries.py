"""Which weights or units of a layer are measured, and their values in the layer's shape again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dralign.rationale.ablation import Target
from dralign.rationale.layers import Granularity, Layer

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """The entries of one layer that are measured: some weights, or some units.

    Attributes:
        layer: the layer.
        like: the layer's part of its weight, for its shape alone.
        granularity: what an entry is.
        entries: (m,) unit numbers, or indices into the flattened (units, fan-in).
    """

    layer: Layer
    like: Tensor
    granularity: Granularity
    entries: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, int]:
        """Units and fan-in."""
        units, fan_in = self.layer.by_unit(self.like).shape
        return units, fan_in

    def target(self, joint: bool) -> Target:
        """What is to be removed: whole units, or each weight (of the measured units)."""
        if joint or self.granularity == "parameter":
            removal: Literal["unit", "parameter"] = "unit" if joint else "parameter"
            return Target(self.layer, removal, self.entries)
        fan_in = self.shape[1]
        weights = self.entries[:, None] * fan_in + np.arange(fan_in)  # (m, fan-in)
        return Target(self.layer, "parameter", weights.reshape(-1))

    def per_entry(self, influences: Floats) -> Floats:
        """(G, m) influences of the entries; those of single weights are summed over a unit."""
        n_groups = len(influences)
        summed: Floats = influences.reshape(n_groups, len(self.entries), -1).sum(axis=2)
        return summed

    def shaped(self, values: Floats) -> Floats:
        """(m,) values in the shape of the weight or (units,), NaN where not measured."""
        units, fan_in = self.shape
        if self.granularity == "unit":
            whole = np.full(units, np.nan)
            whole[self.entries] = values
            return whole
        whole = np.full(units * fan_in, np.nan)
        whole[self.entries] = values
        shaped = self.layer.from_units(torch.from_numpy(whole).reshape(units, fan_in), self.like)
        result: Floats = shaped.contiguous().numpy()
        return result


def entries_measured(
    chosen: Sequence[Layer],
    weights: Sequence[Tensor],
    granularity: Granularity,
    sample: int | None,
    seed: int,
) -> list[Measured]:
    """For each layer all its entries, or a sorted random sample of them."""
    generator = np.random.default_rng(seed)
    measured = []
    for layer, weight in zip(chosen, weights, strict=True):
        like = layer.part(weight.data)
        units = len(layer.by_unit(like))
        size = units if granularity == "unit" else like.numel()
        entries = np.arange(size)
        if sample is not None and sample < size:
            entries = np.sort(generator.choice(size, sample, replace=False))
        measured.append(Measured(layer, like, granularity, entries))
    return measured
