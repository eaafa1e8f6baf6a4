"""The plug-in: how far each row's score is shifted (Eq. 35 to Eq. 37), on arrays.

If the model's probabilities are right, the shifted score is the one that minimises the expected log
loss plus c times the gap: what gap regularisation minimises (Eq. 3), over all functions of the
inputs. No group is needed to compute it.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from dralign.metrics.arrays import Floats
from dralign.models import shifted_logits
from dralign.postprocessing.cells import ComparedCells

CLIP: Final = 1e-12  # probabilities nearer to 0 and 1 than this have no log-odds of their own
RIDGE: Final = 1e-4  # on multipliers: inputs that hardly tell the groups can't carry large ones
MOST_STEPS: Final = 100
_ENOUGH: Final = 1e-10  # a Newton step that gains no more is the last
_SMALLEST: Final = 1e-8  # part of a step that is tried


@dataclass(frozen=True)
class ScoreShift:
    """Along which line scores are shifted, one weight c giving the point on it.

    Attributes:
        per_cell: (cells,) u_j / P(j): the shift k of a row that is surely in the cell, at a weight
            of 1.
        to_parity: the weight at which the rates of the cells are expected to be equal; 0 where the
            inputs tell nothing of the groups, or the rates are equal already.
    """

    per_cell: Floats
    to_parity: float

    def amount(self, cell_prob: Floats) -> Floats:
        """(n,) the shift k of each row at a weight of 1, from (n, cells)."""
        return np.asarray(cell_prob @ self.per_cell, dtype=np.float64)

    def up_to_parity(self, weight: float) -> float:
        """The weight c that is meant by one that is asked for.

        Beyond equal rates more would only turn the gap around: the least of the log loss plus c
        times the gap stays where it is.
        """
        return min(weight, self.to_parity)


def shifted(prob: Floats, amount: Floats, weight: float) -> Floats:
    """(n,) shifted scores in [0, 1], k being ``weight * amount``; ``prob`` at a weight of 0."""
    return prob if weight == 0 else _scores(_log_odds(prob), weight * amount)


def fit_shift(prob: Floats, cell_prob: Floats, shares: Floats, cells: ComparedCells) -> ScoreShift:
    """The line from the model's own scores to those whose rates are equal (Eq. 36 and Eq. 37).

    The multipliers of equal rates are the maximum of a concave function of as many numbers as there
    are cells, found by Newton's method. They are divided by half of their largest spread within a
    label, so that two groups have +1 and -1.

    Args:
        prob: (n,) probabilities of label 1.
        cell_prob: (n, cells) how likely each cell is for a row.
        shares: (cells,) the share of each cell among rows like these; a cell without any is left
            out.
        cells: the cells.
    """
    compared, known = cells.compared, shares > 0
    inverse = np.divide(1.0, shares, out=np.zeros_like(shares), where=known)
    basis = _contrasts(known[:compared].reshape(-1, cells.n_groups))  # (compared, contrasts)
    relative = (cell_prob * inverse)[:, :compared]  # (n, compared)
    multipliers = basis @ _equal_rates(prob, relative @ basis)
    by_stratum = multipliers.reshape(-1, cells.n_groups)
    to_parity = float((by_stratum.max(1) - by_stratum.min(1)).max(initial=0.0) / 2)
    per_cell = np.zeros_like(inverse)
    if to_parity > 0:
        per_cell[:compared] = multipliers / to_parity * inverse[:compared]
    return ScoreShift(per_cell, to_parity)


def _contrasts(known: np.ndarray) -> Floats:
    """An orthonormal basis of the multipliers that add up to 0 within every stratum.

    Args:
        known: (strata, groups) whether the cell has rows; others have a multiplier of 0.

    Returns:
        (strata * groups, contrasts).
    """
    columns = []
    for stratum, there in enumerate(known):
        index = np.flatnonzero(there)
        if len(index) < 2:
            continue
        for contrast in np.linalg.svd(np.ones((1, len(index))))[2][1:]:
            column = np.zeros(known.shape)
            column[stratum, index] = contrast
            columns.append(column.ravel())
    return np.array(columns).reshape(len(columns), known.size).T


def _equal_rates(prob: Floats, x: Floats) -> Floats:
    """(m,) the multipliers v of (n, m) contrasts x at which mean(x f) is RIDGE * v, f shifted.

    The slope of the concave function ``_dual`` is mean(x f) - RIDGE v, because f is where its
    minimum lies; and df/dk = - f (1 - f) / S.
    """
    v, z = np.zeros(x.shape[1]), _log_odds(prob)
    value = _dual(z, x, v)
    for _ in range(MOST_STEPS if len(v) else 0):
        k = x @ v
        f = _scores(z, k)
        root = np.sqrt((1 + k) ** 2 - 4 * k * _sigmoid(z))
        slope = x.T @ f / len(f) - RIDGE * v
        curve = (x * (f * (1 - f) / np.maximum(root, CLIP))[:, None]).T @ x / len(f)
        step, part = np.linalg.solve(curve + RIDGE * np.eye(len(v)), slope), 1.0
        while part > _SMALLEST and _dual(z, x, v + part * step) < value:
            part /= 2
        gained = _dual(z, x, v + part * step) - value
        if gained < _ENOUGH:
            break
        v, value = v + part * step, value + gained
    return v


def _dual(z: Floats, x: Floats, v: Floats) -> float:
    """The least of mean log loss + v mean(x f) over f, less the ridge."""
    k = x @ v
    f = np.clip(_scores(z, k), CLIP, 1 - CLIP)
    p = _sigmoid(z)
    loss = -p * np.log(f) - (1 - p) * np.log1p(-f) + k * f
    return float(loss.mean() - RIDGE / 2 * (v @ v))


def _scores(z: Floats, k: Floats) -> Floats:
    """(n,) shifted scores of (n,) log-odds."""
    logits = shifted_logits(torch.from_numpy(z), torch.from_numpy(np.asarray(k, dtype=np.float64)))
    return np.asarray(logits.sigmoid().numpy(), dtype=np.float64)


def _log_odds(prob: Floats) -> Floats:
    """(n,) log-odds of probabilities."""
    f = np.clip(np.asarray(prob, dtype=np.float64), CLIP, 1 - CLIP)
    return np.asarray(np.log(f) - np.log1p(-f), dtype=np.float64)


def _sigmoid(z: Floats) -> Floats:
    """1 / (1 + exp(-z)), without overflow."""
    return np.asarray(np.exp(-np.logaddexp(0.0, -z)), dtype=np.float64)
