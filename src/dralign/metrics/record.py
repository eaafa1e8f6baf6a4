"""Everything a training record keeps about one set of predictions, in one pass."""

import numpy as np
import numpy.typing as npt

from dralign.metrics.arrays import THRESHOLD, decide, group_codes, labels_and_probabilities
from dralign.metrics.rates import (
    GAP_TERMS,
    average_precision_of,
    balanced_accuracy_of,
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
        y_true: (n,) labels 0 or 1.
        prob: (n,) probabilities of label 1.
        group: (n,) int64 codes 0..G-1; rows coded -1 count for the first three metrics only.
        n_groups: the number of groups G.
        thresholds: (G,) the probability from which on each group's decision is positive; 0.5 for
            all if not given, and for rows of no group.

    Returns:
        ``average_precision``, ``accuracy``, ``balanced_accuracy``, and ``soft_<gap>`` and
        ``hard_<gap>`` for each of :data:`dralign.gaps.GAP_NAMES`, with equalized odds as the sum
        over labels (Eq. 2).
    """
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
    for gap in GAP_TERMS:
        record[f"soft_{gap}"] = sum_of_spreads(gap_rates(gap, y, f, codes, n_groups))
        record[f"hard_{gap}"] = sum_of_spreads(gap_rates(gap, y, decision, codes, n_groups))
    return record
