"""Who is selected: rows, positives, level and rates of every group, as a table."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dralign.errors import UndefinedMetricWarning
from dralign.metrics.arrays import (
    THRESHOLD,
    Codes,
    Floats,
    groups_of,
    labels_and_decisions,
    labels_and_scores,
    weights_of,
)
from dralign.metrics.rates import mean_of


@dataclass(frozen=True)
class GroupRow:
    """One group.

    Attributes:
        group: its name.
        rows: how many rows it has.
        positives: how many of them have label 1.
        mean_score: the mean of their scores.
        selection_rate: the share of positive decisions.
        true_positive_rate: the same among rows with label 1; NaN without any.
        false_positive_rate: the same among rows with label 0; NaN without any.
        base_rate: the share of label 1; NaN without any row.
        weight: the weights of its rows added up, by which all shares and means are taken; None
            where rows are not weighted.
    """

    group: str
    rows: int
    positives: int
    mean_score: float
    selection_rate: float
    true_positive_rate: float
    false_positive_rate: float
    base_rate: float
    weight: float | None = None


def group_table(
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    *,
    sensitive_features: object,
    threshold: float = THRESHOLD,
    sample_weight: npt.ArrayLike | None = None,
) -> tuple[GroupRow, ...]:
    """A row for every group, in sorted order; rows without a sensitive value are left out.

    A rate over no rows is NaN, with an UndefinedMetricWarning that names the groups.

    Args:
        y_true: (n,) labels 0 or 1.
        y_score: (n,) finite scores, of any scale.
        sensitive_features: what makes the groups.
        threshold: a decision is positive from this score on.
        sample_weight: what each row counts; one that weighs nothing is left out.
    """
    y, score = labels_and_scores(y_true, y_score)
    codes, names = groups_of(sensitive_features, len(y))
    decision = (score >= threshold).astype(np.float64)
    weight = weights_of(sample_weight, len(y))
    if weight is not None:
        codes = np.where(weight > 0, codes, -1)
    table = group_rows_of(y, score, decision, codes, names, weight)
    without = [repr(row.group) for row in table if row.positives in {0, row.rows}]
    if without:
        warnings.warn(
            f"group_table: a label has no rows in group {', '.join(without)}; its rate is NaN",
            UndefinedMetricWarning,
            stacklevel=2,
        )
    return table


def same_decision_share(
    y_true: npt.ArrayLike, y_pred: npt.ArrayLike, *, sample_weight: npt.ArrayLike | None = None
) -> float:
    """The share of rows that get the more frequent decision, in [.5, 1].

    At 1 everybody gets the same decision: every hard gap is then 0 and nothing has become equal
    but the refusal, or the acceptance, of all.
    """
    _, decision = labels_and_decisions(y_true, y_pred)
    selected = mean_of(decision, weights_of(sample_weight, len(decision)))
    if np.isnan(selected):
        text = "same_decision_share: there are no rows; it is NaN"
        warnings.warn(text, UndefinedMetricWarning, stacklevel=2)
        return np.nan
    return max(selected, 1 - selected)


def group_rows_of(
    y: Floats,
    score: Floats,
    decision: Floats,
    codes: Codes,
    names: tuple[str, ...],
    weight: Floats | None = None,
) -> tuple[GroupRow, ...]:
    """The table of checked arrays, without warnings; a group without rows has rows 0 and NaN."""
    ones = np.ones_like(y)
    if weight is None:
        count, total, selected = cells_of(y, (ones, score, decision), codes, len(names))
        return group_rows_from(count, total, selected, names)
    values = (ones, weight * score, weight * decision, weight)
    count, total, selected, weights = cells_of(y, values, codes, len(names))
    return group_rows_from(count, total, selected, names, weights)


def cells_of(
    y: Floats, values: Sequence[Floats], codes: Codes, n_groups: int
) -> tuple[Floats, ...]:
    """The sum of each of the values in every cell, each (groups, 2), labels 0 and 1."""
    cell = np.where(codes < 0, 0, 2 * (codes + 1) + y.astype(np.int64))
    size = 2 * n_groups + 2
    return tuple(  # rows of no group fall into the part that is cut off
        np.asarray(np.bincount(cell, of_rows, size)[2:].reshape(-1, 2), dtype=np.float64)
        for of_rows in values
    )


def group_rows_from(
    count: Floats,
    total: Floats,
    selected: Floats,
    names: Sequence[str],
    weight: Floats | None = None,
) -> tuple[GroupRow, ...]:
    """The table of the rows, summed scores and positive decisions of every cell, (groups, 2).

    With ``weight``, the summed weights of each, scores and decisions are summed with weights too.
    """
    size = count if weight is None else weight
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN, as it should be
        table = np.stack(
            [
                total.sum(1) / size.sum(1),
                selected.sum(1) / size.sum(1),
                selected[:, 1] / size[:, 1],
                selected[:, 0] / size[:, 0],
                size[:, 1] / size.sum(1),
            ],
            axis=1,
        )
    weights = [None] * len(names) if weight is None else weight.sum(1).tolist()
    groups = zip(names, count.astype(np.int64).tolist(), table.tolist(), weights, strict=True)
    return tuple(
        GroupRow(name, sum(rows), rows[1], mean, selected, tpr, fpr, base, w)
        for name, rows, (mean, selected, tpr, fpr, base), w in groups
    )
