"""Decisions, and whether nearly all of them are the same, which by itself makes hard gaps small."""

import math
import numbers
from collections.abc import Sequence
from typing import Final, cast

import numpy as np
import numpy.typing as npt

from dralign.errors import OptionError
from dralign.metrics.arrays import (
    THRESHOLD,
    Codes,
    Floats,
    labels_and_probabilities,
    weights_of,
)
from dralign.metrics.measures import gap_measure

BASE_RATE: Final = "base-rate"  # a threshold that is found, not given
NEARLY_ALL: Final = 0.99
NOBODY: Final = 2.0  # a threshold that no probability reaches; infinity does not go into JSON
FEWEST: Final = 20  # rows; fewer may well get the same decision
_SAYS_NOTHING: Final = "the hard gap says nothing"


def decisions(
    prob: npt.ArrayLike,
    *,
    group: npt.ArrayLike | None = None,
    thresholds: Sequence[float] | None = None,
    threshold: float = THRESHOLD,
) -> Codes:
    """(n,) decisions 0 or 1 of (n,) probabilities; of (n, C) the likeliest class.

    Args:
        prob: the probabilities.
        group: (n,) int64 codes 0..G-1, or -1; only where there are thresholds.
        thresholds: of each group; rows of no group are decided at 0.5.
        threshold: of all, if there are none by group.
    """
    f = np.asarray(prob, dtype=np.float64)
    if f.ndim == 2:
        return np.asarray(f.argmax(1), dtype=np.int64)
    if not thresholds or group is None:
        return np.asarray(f >= threshold, dtype=np.int64)
    limits = np.array([*thresholds, THRESHOLD])  # code -1 takes the last limit
    return np.asarray(f >= limits[np.asarray(group)], dtype=np.int64)


def check_threshold(threshold: object, *, named: bool = True, n_classes: int = 2) -> None:
    """Checks that it is a number from 0 to 1, or ``"base-rate"``; 0.5 for more than two classes.

    Args:
        threshold: what is given.
        named: whether it may be the name of a rule, which needs rows with labels.
        n_classes: how many the label has.

    Raises:
        OptionError: if it is not.
    """
    if n_classes > 2 and threshold != THRESHOLD:
        raise OptionError(
            f"threshold: for two classes, and the label has {n_classes}; leave it out, the "
            "likeliest class is decided for"
        )
    if named and threshold == BASE_RATE:
        return
    number = isinstance(threshold, numbers.Real) and not isinstance(threshold, bool)
    if not (number and 0 <= float(cast("float", threshold)) <= 1):
        rule = f", or {BASE_RATE}" if named else ""
        raise OptionError(f"threshold: expected a number from 0 to 1{rule}, got {threshold!r}")


def check_bounded(measure: str, threshold: object) -> None:
    """Checks that a bound on the gap is judged by the decisions that are delivered.

    Records decide at 0.5. A bound in a measure of decisions says nothing of another threshold.

    Args:
        measure: in which the bound is meant.
        threshold: of the decisions.

    Raises:
        OptionError: if it is such a measure and the threshold is another.
    """
    kind = gap_measure(measure)
    if kind.of_decisions and threshold != THRESHOLD:
        raise OptionError(
            f"threshold: a bound on the {kind.words} holds for decisions from {THRESHOLD} on, not "
            f"from {threshold!r}; bound the base-rate gap (the measure base_rate: the hard gap at "
            f"the threshold {BASE_RATE}), or leave the threshold out"
        )


def base_rate_threshold(
    y_true: npt.ArrayLike, prob: npt.ArrayLike, *, sample_weight: npt.ArrayLike | None = None
) -> float:
    """The probability from which on as many rows (or weights) are selected as are positive.

    It lies halfway between the last row that is selected and the first that is not. Where rows tie
    there, the cut goes above or below the tie, whichever selects a number nearer to the positives
    (above if both are equally near).

    Args:
        y_true: (n,) labels 0 or 1.
        prob: (n,) probabilities of label 1.
        sample_weight: (n,) what each row counts; all the same if not given.

    Raises:
        DataError: if they are not that.
    """
    y, f = labels_and_probabilities(y_true, prob)
    weight = weights_of(sample_weight, len(y))
    if weight is not None:  # a row that weighs nothing moves no cut
        y, f, weight = y[weight > 0], f[weight > 0], weight[weight > 0]
    levels, level, counts = np.unique(f, return_inverse=True, return_counts=True)
    if weight is not None:
        counts, y = np.bincount(level, weight, len(levels)), y * weight
    edges = np.concatenate([[0.0], (levels[1:] + levels[:-1]) / 2, [NOBODY]])  # from each on
    selected = np.append(np.cumsum(counts[::-1])[::-1], 0)  # rows at least as high as each edge
    off = np.abs(selected - y.sum())
    return float(edges[len(off) - 1 - int(np.argmin(off[::-1]))])


def same_decision(
    decision: Codes,
    rows: str,
    *,
    names: Sequence[str] = (),
    then: str = _SAYS_NOTHING,
    weight: Floats | None = None,
) -> str:
    """One line if at least 99 % of 20 rows or more get the same decision; else empty.

    Args:
        decision: (n,) decisions, numbered from 0.
        rows: what they are, for the line.
        names: how the decisions are written; their numbers if there are none.
        then: what follows from it.
        weight: (n,) weights of the rows; None where they are not weighted.
    """
    counts = np.bincount(decision, weight)
    if len(decision) < FEWEST or counts.max() < NEARLY_ALL * counts.sum():
        return ""
    most = int(counts.argmax())
    which = f"decision {names[most] if names else most}"
    return same_decision_line(counts[most] / counts.sum(), rows, which=which, then=then)


def same_decision_line(share: float, rows: str, *, which: str, then: str = _SAYS_NOTHING) -> str:
    """The line of ``same_decision``.

    Args:
        share: of the rows that get it.
        rows: what they are.
        which: the decision.
        then: what follows from it.
    """
    shown = math.floor(1000 * share) / 10  # never rounded up to all
    return f"{shown:g} % of the {rows} get {which}: {then}"
