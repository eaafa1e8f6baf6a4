"""A trained network put together with the shift of its scores, as one network."""

import copy
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from dralign.metrics.arrays import Codes, Floats
from dralign.models import ShiftedNetwork
from dralign.postprocessing.cells import ComparedCells
from dralign.postprocessing.group_model import fit_cells
from dralign.postprocessing.shift import ScoreShift, fit_shift

BLOCK = 16384


class CellModel(NamedTuple):
    """What guesses the cells of rows.

    Attributes:
        model: returns a logit for each cell.
        cells: the cells.
        shares: (cells,) the share of each among the rows that it was fitted to.
    """

    model: nn.Module
    cells: ComparedCells
    shares: Floats

    @classmethod
    def fit(
        cls, x: Tensor, label: Tensor, group: Tensor, *, gap: str, n_groups: int
    ) -> "CellModel":
        """The model of the cells that a gap compares.

        Raises:
            OptionError: if there is no shift for the gap.
            GroupError: if no row has a group.
        """
        cells = ComparedCells.of(gap, n_groups)
        codes = cells.codes(group.numpy(), label.numpy())
        model = fit_cells(x, torch.from_numpy(codes), cells.n_classes)
        return cls(model, cells, cells.shares(codes))

    def probabilities(self, x: Tensor) -> Floats:
        """(n, cells) how likely each cell is for a row."""
        with torch.inference_mode():
            parts = [
                self.model(block.float()).softmax(1).double().numpy() for block in x.split(BLOCK)
            ]
        return np.concatenate(parts)

    def shift_for(self, prob: Floats, x: Tensor) -> tuple[ScoreShift, Floats]:
        """The line along which these rows' scores are moved, and how far each goes at weight 1."""
        likely = self.probabilities(x)
        shift = fit_shift(prob, likely, self.shares, self.cells)
        return shift, shift.amount(likely)

    def shift_of_known(self, prob: Floats, group: Codes) -> tuple[ScoreShift, Floats]:
        """The same for rows whose group is known, whatever their inputs tell of it."""
        likely = self.cells.of_known_group(group, prob)
        known = group >= 0
        shift = fit_shift(prob[known], likely[known], self.shares, self.cells)
        return shift, shift.amount(likely)


def shift_network(
    network: nn.Module, cells: CellModel, shift: ScoreShift, weight: float
) -> ShiftedNetwork:
    """The network with its logits moved at a weight; its own weights are shared, not copied."""
    whole = ShiftedNetwork(network, copy.deepcopy(cells.model), cells.cells.n_classes)
    whole.shift.copy_(torch.from_numpy(weight * shift.per_cell))
    like = next(network.parameters())
    return whole.to(device=like.device, dtype=like.dtype)
