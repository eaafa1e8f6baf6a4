"""Everything a training record keeps about one set of predictions, in one pass."""

import numpy as np
import numpy.typing as npt

from dralign.metrics.arrays import (
    THRESHOLD,
    Floats,
    classes_and_probabilities,
    group_codes,
    labels_and_probabilities,
    weights_of,
)
from dralign.metrics.measures import figures_of
from dralign.metrics.scored_rows import Scored


def evaluate(
    y_true: npt.ArrayLike,
    prob: npt.ArrayLike,
    group: npt.ArrayLike,
    *,
    n_groups: int,
    thresholds: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
) -> dict[str, float]:
    """Every measure of the predictions, and of every gap those that have a value for each.

    Undefined values are NaN without a warning, because a trainer calls this every epoch.

    Args:
        y_true: (n,) labels 0 or 1, or 0..C-1.
        prob: (n,) probabilities of label 1, or (n, C) of C > 2 classes.
        group: (n,) int64 codes 0..G-1; rows coded -1 take no part in gaps.
        n_groups: the number of groups G.
        thresholds: (G,) the probability from which on each group's decision is positive; 0.5 for
            all if not given, and for rows of no group; for two classes.
        sample_weight: (n,) what each row counts, from 0 up; all the same if not given.

    Returns:
        The measures of :func:`dralign.metrics.all_measures` by name; those of a gap as
        ``<measure>_<gap>`` for each of :data:`dralign.gaps.GAP_NAMES`, with equalized odds as the
        sum over labels (Eq. 2). With C > 2 classes the decision is the likeliest class; average
        precision and balanced accuracy are means over the classes that have rows, the gaps those
        of :data:`dralign.gaps.CLASS_GAPS`, of the class with the largest (Eq. 23), and measures of
        the level are not there. Neither is what is never defined for a gap.
    """
    rows = scored(
        y_true,
        prob,
        group,
        n_groups=n_groups,
        thresholds=thresholds,
        sample_weight=sample_weight,
    )
    return figures_of(rows)


def scored(
    y_true: npt.ArrayLike,
    prob: npt.ArrayLike,
    group: npt.ArrayLike,
    *,
    n_groups: int,
    thresholds: npt.ArrayLike | None = None,
    threshold: float = THRESHOLD,
    sample_weight: npt.ArrayLike | None = None,
) -> Scored:
    """The checked rows that measures are computed from; arguments as ``evaluate``.

    ``threshold`` is that of all rows, where there are none by group. Rows that weigh nothing are
    left out.
    """
    y_true, prob, group, weight = _counting(y_true, prob, group, sample_weight)
    if np.ndim(prob) == 2 and np.shape(prob)[1] > 2:
        y, f = classes_and_probabilities(y_true, prob)
        chosen = f.argmax(1) if len(f) else np.zeros(0, dtype=np.int64)
        decision = np.eye(f.shape[1])[chosen]  # (n, C)
        return Scored(y, f, decision, group_codes(group, len(y), n_groups), n_groups, weight)
    y, f = labels_and_probabilities(y_true, prob)
    codes = group_codes(group, len(y), n_groups)
    if thresholds is None:
        return Scored(y, f, (f >= threshold).astype(np.float64), codes, n_groups, weight)
    limits = np.append(np.asarray(thresholds, dtype=np.float64), THRESHOLD)
    decision = (f >= limits[codes]).astype(np.float64)  # code -1 takes the last limit
    return Scored(y, f, decision, codes, n_groups, weight)


def _counting(
    y_true: npt.ArrayLike,
    prob: npt.ArrayLike,
    group: npt.ArrayLike,
    sample_weight: npt.ArrayLike | None,
) -> tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike, Floats | None]:
    """The rows that weigh something, and their weights; None where all weigh the same."""
    if sample_weight is None:
        return y_true, prob, group, None
    weight = weights_of(sample_weight, len(np.asarray(y_true)))
    if weight is None or weight.all():
        return y_true, prob, group, weight
    rows = weight > 0
    kept = [np.asarray(values)[rows] for values in (y_true, prob, group)]
    return kept[0], kept[1], kept[2], weights_of(weight[rows], int(rows.sum()))
