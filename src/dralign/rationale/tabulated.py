"""Any continuous activation as a table of cubics, which compiled loops can look up.

Between -40 and 40 each of 81,920 cells has the cubic through four points of it; beyond lies a line.
The error of smooth activations is h^4 / 3072 times their fourth derivative, 1e-15 at h = 1 / 1024;
kinks at multiples of h, which all of torch's have, are kept. What is not as good, by trial, is not
tabulated.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

REACH: Final = 40
PER_UNIT: Final = 1024
CELLS: Final = 2 * REACH * PER_UNIT
TOLERANCE: Final = 1e-13  # of the larger of 1 and the value
JUMP: Final = 1e-9  # the same between cells: torch's Softplus jumps by 2e-9 at 20
_TRIED: Final = 2**17
_FAR: Final = 1024


# (1 + cells + 1, 4): the coefficients of the powers of the distance from a cell's middle, in cells.
# The first and the last cell have no end.
Table = NDArray[np.float64]


def tabulated(activation: Callable[[Tensor], Tensor]) -> Table | None:
    """The table of an elementwise activation of float64 numbers; None where that is not exact."""
    table = _fitted(activation)
    spread = np.random.default_rng(0).normal(size=_TRIED)
    edges = np.linspace(-REACH, REACH, CELLS + 1)
    inside, between = (
        (REACH * spread / 2, spread, _FAR * spread),
        (edges, np.nextafter(edges, -1e9)),
    )
    for tolerance, numbers in ((TOLERANCE, inside), (JUMP, between)):
        for x in numbers:
            true = activation(torch.from_numpy(x)).numpy()
            error = abs(value_at(table, x) - true)
            if not (error <= tolerance * np.maximum(1, abs(true))).all():
                return None
    return table


def value_at(table: Table, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values of the table; what the kernels compute, in numpy."""
    position = (x + REACH) * PER_UNIT + 1
    cell = np.clip(position, 0, CELLS + 1).astype(int)
    u = position - cell - 0.5
    c0, c1, c2, c3 = table[cell].T
    value: NDArray[np.float64] = c0 + u * (c1 + u * (c2 + u * c3))
    return value


def _fitted(activation: Callable[[Tensor], Tensor]) -> Table:
    """The cubics through four Chebyshev points of every cell, and the lines beyond the last."""
    points = np.cos((2 * np.arange(4) + 1) * np.pi / 8) / 2
    middles = (np.arange(CELLS) + 0.5) / PER_UNIT - REACH
    x = np.column_stack([middles, middles[:, None] + points / PER_UNIT])
    values = activation(torch.from_numpy(x)).numpy()
    # What is left of the value in the middle is small, and so are its rounding errors.
    solve = np.linalg.inv(np.vander(points, 4, increasing=True))
    cubics = (values[:, 1:] - values[:, :1]) @ solve.T
    cubics[:, 0] += values[:, 0]
    ends = activation(REACH * torch.tensor([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0]).double()).tolist()
    low, high = (ends[1] - ends[0]) / (REACH * PER_UNIT), (ends[5] - ends[4]) / (REACH * PER_UNIT)
    below, above = [ends[2] - low / 2, low, 0.0, 0.0], [ends[3] + high / 2, high, 0.0, 0.0]
    return np.vstack([below, cubics, above])
