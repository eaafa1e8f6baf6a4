"""The audit of predictions alone: of any model, network or not, from labels, scores and groups."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dralign.auditing.assessment import check_options
from dralign.auditing.outcomes import outcomes
from dralign.auditing.records import Meaning, PredictionAudit
from dralign.auditing.small import large_cells, large_enough, withheld_line
from dralign.auditing.summary import findings_of_predictions
from dralign.data import read_table
from dralign.data.columns import require_columns
from dralign.data.grouping import table_groups, warn_of_lacking
from dralign.data.labels import binary_label, is_favourable, label_values
from dralign.data.rules import Rules
from dralign.errors import DralignWarning, GroupError, OptionError
from dralign.groups import encode_groups
from dralign.metrics.arrays import THRESHOLD, Floats, labels_and_probabilities
from dralign.metrics.decisions import check_threshold, decisions, same_decision
from dralign.study.environment import environment


def audit_predictions(
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    sensitive_features: object,
    *,
    threshold: float = THRESHOLD,
    n_bootstrap: int = 300,
    seed: int = 0,
    min_group_size: int = 10,
    meaning: Meaning | None = None,
) -> PredictionAudit:
    """What the scores of any model do to each group, with bootstrap intervals.

    Sizes, base rates, selection and error rates of the groups; the gaps in every measure
    (docs/measures.md); level, calibration and precision; and the result in plain sentences. It
    assesses; it does not certify anything.

    Args:
        y_true: (n,) labels 0 or 1.
        y_score: (n,) probabilities of label 1, or decisions 0 and 1.
        sensitive_features: what makes the groups: (n,) or (n, c) values of any type, as
            ``encode_groups`` takes them: numbers are values too, not codes. Rows with a missing
            value take no part.
        threshold: the probability from which on a decision is positive.
        n_bootstrap: draws for the intervals, at least 20.
        seed: of the draws.
        min_group_size: rows that a group must have: a smaller one is named, and its rows take no
            part; where only one of its labels has fewer rows, its rates at that label are withheld.
            0 withholds nothing.
        meaning: what labels and rows are, which sentences and pages then tell.

    Raises:
        OptionError: if an option is out of range.
        DataError: if labels are not 0 and 1, or scores are not in [0, 1].
        GroupError: if there is not one value a row, or there are not two groups that are large
            enough.
    """
    check_threshold(threshold, named=False)
    options = {"n_bootstrap": n_bootstrap, "seed": seed, "min_group_size": min_group_size}
    check_options(**options)
    y, prob = labels_and_probabilities(y_true, y_score, name="y_score")
    codes, names = encode_groups(sensitive_features)
    if len(codes) != len(y):
        raise GroupError(f"sensitive_features: expected {len(y)} rows, got {len(codes)}")
    left_out = int((codes < 0).sum())
    codes, names, withheld = large_enough(codes, names, min_group_size)
    kept = codes.numpy() >= 0
    label, prob, group = y[kept].astype(np.int64), prob[kept], codes.numpy()[kept]
    meaning = meaning or Meaning()
    result = outcomes(
        label,
        prob,
        group,
        names,
        n_bootstrap=n_bootstrap,
        rng=np.random.default_rng(seed),
        cells=large_cells(label, group, min_group_size),
        favourable=meaning.favourable,
        thresholds=[threshold] * len(names),
    )
    notes = [f"{left_out} rows of no group take no part"] if left_out else []
    if line := withheld_line(
        withheld, label, group, names, min_group_size, positive=meaning.positive
    ):
        warnings.warn(line, DralignWarning, stacklevel=2)
        notes.append(line)
    notes += _notes(prob, threshold)
    return PredictionAudit(
        groups=dict(zip(names, np.bincount(group, minlength=len(names)).tolist(), strict=True)),
        outcomes=result,
        findings=findings_of_predictions(result, meaning),
        notes=notes,
        provenance={**options, "threshold": threshold, "environment": dict(environment())},
        withheld=withheld,
        meaning=meaning,
    )


def audit_score_table(
    table: str | Path,
    *,
    score: str,
    label: str,
    sensitive: Sequence[str],
    positive: str = "",
    favourable: str = "",
    reading: dict[str, Any] | None = None,
    **options: Any,  # noqa: ANN401 - of ``audit_predictions``
) -> PredictionAudit:
    """The audit of a column of scores in a table.

    Args:
        table: a CSV or Parquet file.
        score: its column with the probability of the positive label, or decisions 0 and 1.
        label: its column of the label.
        sensitive: its columns that make the groups.
        positive: the value of the label that counts as 1.
        favourable: the label value that is good for a person; empty if nobody says so.
        reading: ``sep``, ``decimal``, ``encoding`` and ``na`` of the table.
        **options: of ``audit_predictions``.

    Raises:
        OptionError: if no label or no sensitive column is given.
        DataError: if a column is missing or can't be used.
    """
    if not label or not sensitive:
        raise OptionError(f"{table}: which columns? give them with --label and --sensitive")
    how = dict(reading or {})
    missing = Rules(na=tuple(how.pop("na", ())))
    frame = missing.apply(read_table(str(table), **how))
    require_columns(frame, [score, label, *sensitive], where=str(table))
    y, shown = binary_label(frame[label], positive)
    groups = table_groups(frame, sensitive)
    warn_of_lacking(frame, sensitive)
    good = is_favourable(favourable, label, label_values(frame[label]), shown)
    meaning = Meaning(positive=shown or "1", favourable=good)
    y, prob = labels_and_probabilities(y, frame[score].to_numpy(), name=f"column {score!r}")
    return audit_predictions(y, prob, groups, meaning=meaning, **options)


def _notes(prob: Floats, threshold: float) -> list[str]:
    """What a reader of the figures must know first."""
    decided = decisions(prob, threshold=threshold)
    line = same_decision(decided, "rows", then="hard gaps say nothing")
    lines = [line] if line else []
    if np.isin(prob, (0, 1)).all():
        lines.append(
            "the scores are decisions 0 and 1: measures of their order know two ranks, and those "
            "of probabilities say what those of decisions say"
        )
    return lines
