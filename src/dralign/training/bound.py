"""A bound on the gap in place of a weight: lambda is found while training, by dual ascent."""

import math

import torch
from torch import Tensor, nn

from dralign.data import Dataset
from dralign.errors import GroupError
from dralign.gaps import Gap
from dralign.metrics import gap_measure, scored
from dralign.training.evaluation import predict_probability

MEASUREMENTS = 10  # of the gap, in an epoch
RATE = 0.2  # a gap of twice the aim or more makes lambda + ROOM this much larger
AIM = 0.8  # of the bound; the gap swings about what lambda aims at, also at an epoch's end
ROOM = 0.1  # lambda moves in proportion to itself plus this, so that it can leave 0
LARGEST = 100.0
MOST_ROWS = 2000  # of a group, for a measurement
BLOCK = 512  # rows at a time: images are read from a file as they are asked for


class DualAscent:
    """Lambda in L_cls + lambda * (gap - bound), raised while the gap is too large (Eq. 24).

    The gap is one of the record, in the measure asked for: the maximum over pairs of groups, on
    validation rows, at most ``MOST_ROWS`` of a group, spread evenly. A measurement g moves lambda
    by ``RATE * (lambda + ROOM) * e`` with e = g / (AIM * bound) - 1, at most 1, and keeps it within
    0 and ``LARGEST``. So steps know no scale but that of the bound: lambda grows geometrically
    where it has far to go, and comes back to 0 where the bound is kept without it.

    Attributes:
        multiplier: lambda as it is now; from 0 up.
    """

    def __init__(self, bound: float, *, measure: str, dataset: Dataset, gap: Gap) -> None:
        """Chooses the rows to measure on; nothing is measured yet."""
        self.multiplier = 0.0
        self._measure = gap_measure(measure)
        self._bound, self._gap, self._n_groups = bound, gap, dataset.n_groups
        self._rows = dataset.validation
        self._at = _thinned(dataset.validation.group, dataset.n_groups)

    def observe(self, model: nn.Module) -> None:
        """Measures the gap and moves lambda; one forward pass of the rows, in evaluation mode.

        Raises:
            GroupError: if the gap is undefined on the validation rows.
        """
        rows, at = self._rows, self._at
        prob = torch.cat([predict_probability(model, rows.x[part]) for part in at.split(BLOCK)])
        predictions = scored(
            rows.y[at].numpy(),
            prob.numpy(),
            rows.group[at].numpy(),
            n_groups=self._n_groups,
            sample_weight=None if rows.weight is None else rows.weight[at].numpy(),
        )
        gap = self._measure.compute(predictions, self._gap.judged_by)
        if math.isnan(gap):
            raise GroupError(
                f"gap_bound: {self._gap.name} is undefined on the validation rows, where a group "
                "or one of its labels is missing"
            )
        excess = min(gap / (AIM * self._bound) - 1, 1.0)
        moved = self.multiplier + RATE * (self.multiplier + ROOM) * excess
        self.multiplier = min(max(moved, 0.0), LARGEST)


def _thinned(group: Tensor, n_groups: int) -> Tensor:
    """Every k-th row number of a group that has more than ``MOST_ROWS``, and all of the others."""
    indices = [(group == code).nonzero()[:, 0] for code in range(n_groups)]
    return torch.cat([rows[:: max(-(-len(rows) // MOST_ROWS), 1)] for rows in indices])
