"""Decisions, and whether nearly all of them are the same, which by itself makes hard gaps small."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from dralign.metrics.arrays import THRESHOLD, Codes

NEARLY_ALL: Final = 0.99
FEWEST: Final = 20  # rows; fewer may well get the same decision


def decisions(
    prob: npt.ArrayLike,
    *,
    group: npt.ArrayLike | None = None,
    thresholds: Sequence[float] | None = None,
) -> Codes:
    """(n,) decisions 0 or 1 of (n,) probabilities; of (n, C) the likeliest class.

    Args:
        prob: the probabilities.
        group: (n,) int64 codes 0..G-1, or -1; only where there are thresholds.
        thresholds: of each group; 0.5 for all, and for rows of no group, if there are none.
    """
    f = np.asarray(prob, dtype=np.float64)
    if f.ndim == 2:
        return np.asarray(f.argmax(1), dtype=np.int64)
    if not thresholds or group is None:
        return np.asarray(f >= THRESHOLD, dtype=np.int64)
    limits = np.array([*thresholds, THRESHOLD])  # code -1 takes the last limit
    return np.asarray(f >= limits[np.asarray(group)], dtype=np.int64)


def same_decision(
    decision: Codes,
    rows: str,
    *,
    names: Sequence[str] = (),
    then: str = "the hard gap says nothing",
) -> str:
    """One line if at least 99 % of 20 rows or more get the same decision; else empty.

    Args:
        decision: (n,) decisions, numbered from 0.
        rows: what they are, for the line.
        names: how the decisions are written; their numbers if there are none.
        then: what follows from it.
    """
    counts = np.bincount(decision)
    if len(decision) < FEWEST or counts.max() < NEARLY_ALL * len(decision):
        return ""
    most = int(counts.argmax())
    share = math.floor(1000 * counts[most] / len(decision)) / 10  # never rounded up to all
    return f"{share:g} % of the {rows} get decision {names[most] if names else most}: {then}"
