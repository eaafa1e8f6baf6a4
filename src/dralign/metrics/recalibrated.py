"""The soft gap after recalibration, from the quantiles that records keep.

Platt scaling: slope and shift of the log-odds are fitted to the labels of the validation rows and
applied to the test rows. Average precision is untouched by it; a soft gap that was small only
because all probabilities were low is not.
"""

from functools import lru_cache

import numpy as np

from dralign.metrics.arrays import Floats, decide
from dralign.metrics.cells import Cells
from dralign.metrics.measures import gap_measure
from dralign.metrics.quantiles import rows_from_quantiles
from dralign.metrics.scored_rows import Scored

_CLIP = 1e-4  # of probabilities, so that log-odds are finite
_MOST_STEPS = 50
_SMALL = 1e-9


@lru_cache(maxsize=8192)
def recalibrated_gap(validation: Cells, test: Cells, gap: str) -> float:
    """The soft gap of the test rows after Platt scaling on the validation rows, not negative.

    Args:
        validation: the cells that the scaling is fitted to.
        test: the cells that are judged.
        gap: its name.

    Raises:
        DataError: if the cells keep no quantiles.
        OptionError: if the gap is unknown.
    """
    y, f, _, weight = rows_from_quantiles(validation.score_quantiles())
    slope, shift = platt(y, log_odds(f), weight)
    y, f, codes, weight = rows_from_quantiles(test.score_quantiles())
    f = _sigmoid(slope * log_odds(f) + shift)
    rows = Scored(y, f, decide(f), codes, test.n_groups, weight)
    return abs(float(gap_measure("soft").compute(rows, gap)))


def log_odds(f: Floats) -> Floats:
    """Log-odds of probabilities, which are kept off 0 and 1."""
    f = np.clip(f, _CLIP, 1 - _CLIP)
    return np.log(f / (1 - f))


def platt(y: Floats, z: Floats, weight: Floats | None = None) -> tuple[float, float]:
    """Slope and shift of the logistic regression of labels on log-odds, by Newton's method."""
    counted = np.ones_like(y) if weight is None else weight / weight.mean()
    x, w = np.column_stack([z, np.ones_like(z)]), np.array([1.0, 0.0])
    sign = 2 * y - 1
    loss = _loss(sign * (x @ w), counted)
    for _ in range(_MOST_STEPS):
        p = _sigmoid(x @ w)
        # The small ridge keeps the system solvable where all scores are equal.
        curvature = (x.T * (counted * p * (1 - p))) @ x + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, x.T @ (counted * (y - p)))
        # A whole step may go too far where nearly all probabilities are near 0 or 1.
        while (after := _loss(sign * (x @ (w + step)), counted)) > loss and (
            np.abs(step).max() > _SMALL
        ):
            step /= 2
        if np.abs(step).max() < _SMALL or not after < loss:
            break
        w, loss = w + step, after
    return float(w[0]), float(w[1])


def _sigmoid(z: Floats) -> Floats:
    """1 / (1 + exp(-z)), without an overflow."""
    return np.asarray(np.exp(-np.logaddexp(0, -z)), dtype=np.float64)


def _loss(margin: Floats, counted: Floats) -> float:
    """The sum of the logistic losses."""
    return float((counted * np.logaddexp(0, -margin)).sum())
