"""Everything a training record keeps about one set of predictions, in one pass."""

import numpy as np
import numpy.typing as npt

from dralign.metrics.arrays import (
    THRESHOLD,
    classes_and_probabilities,
    decide,
    group_codes,
    labels_and_probabilities,
)
from dralign.metrics.rates import (
    CLASS_GAPS,
    GAPS,
    average_precision_of,
    balanced_accuracy_of,
    class_gap,
    gap_rates,
    sum_of_spreads,
    weighted_mean,
)


def evaluate(
    y_true: npt.ArrayLike,
    prob: npt.ArrayLike,
    group: npt.ArrayLike,
    *,
    n_groups: int,
    thresholds: npt.ArrayLike | None = None,
) -> dict[str, float]:
    """Average precision, accuracies, and every gap in its soft and its hard form.

    Undefined values are NaN without a warning, because a trainer calls this every epoch.

    Args:
        y_true: (n,) labels 0 or 1, or 0..C-1.
        prob: (n,) probabilities of label 1, or (n, C) of C > 2 classes.
        group: (n,) int64 codes 0..G-1; rows coded -1 count for the first three metrics only.
        n_groups: the number of groups G.
        thresholds: (G,) the probability from which on each group's decision is positive; 0.5 for
            all if not given, and for rows of no group; for two classes.

    Returns:
        ``average_precision``, ``accuracy``, ``balanced_accuracy``, and ``soft_<gap>`` and
        ``hard_<gap>`` for each of :data:`dralign.gaps.GAP_NAMES`, with equalized odds as the sum
        over labels (Eq. 2). With C > 2 classes the decision is the likeliest class; average
        precision and balanced accuracy are means over the classes that have rows, and the gaps
        those of :data:`dralign.gaps.CLASS_GAPS`, of the class with the largest (Eq. 23).
    """
    if np.ndim(prob) == 2 and np.shape(prob)[1] > 2:
        return _evaluate_classes(y_true, prob, group, n_groups)
    y, f = labels_and_probabilities(y_true, prob)
    codes = group_codes(group, len(y), n_groups)
    if thresholds is None:
        decision = decide(f)
    else:
        limits = np.append(np.asarray(thresholds, dtype=np.float64), THRESHOLD)
        decision = (f >= limits[codes]).astype(np.float64)  # code -1 takes the last limit
    record = {
        "average_precision": average_precision_of(y, f),
        "accuracy": weighted_mean((y == decision).astype(np.float64), np.ones_like(y)),
        "balanced_accuracy": balanced_accuracy_of(y, decision),
    }
    for gap in GAPS:
        record[f"soft_{gap}"] = sum_of_spreads(gap_rates(gap, y, f, codes, n_groups))
        record[f"hard_{gap}"] = sum_of_spreads(gap_rates(gap, y, decision, codes, n_groups))
    return record


def _evaluate_classes(
    y_true: npt.ArrayLike, prob: npt.ArrayLike, group: npt.ArrayLike, n_groups: int
) -> dict[str, float]:
    """``evaluate`` for more than two classes."""
    y, f = classes_and_probabilities(y_true, prob)
    codes = group_codes(group, len(y), n_groups)
    present = np.unique(y).astype(np.int64)
    chosen = f.argmax(1) if len(f) else np.zeros(0, dtype=np.int64)
    decision = np.eye(f.shape[1])[chosen]  # (n, C)
    right = (chosen == y).astype(np.float64)
    record = {
        "average_precision": _mean(
            [average_precision_of((y == c).astype(np.float64), f[:, c]) for c in present]
        ),
        "accuracy": weighted_mean(right, np.ones_like(y)),
        "balanced_accuracy": _mean(
            [weighted_mean(right, (y == c).astype(np.float64)) for c in present]
        ),
    }
    for gap in CLASS_GAPS:
        record[f"soft_{gap}"] = class_gap(gap, y, f, codes, n_groups)
        record[f"hard_{gap}"] = class_gap(gap, y, decision, codes, n_groups)
    return record


def _mean(values: list[float]) -> float:
    """The mean; NaN without values."""
    return float(np.mean(values)) if values else np.nan
