"""Metrics on arrays: how well labels are predicted, and how far apart groups are.

Families, the first two with the signatures of fairlearn:

- ``metric(y_true, y_pred)``: one number for some rows; works inside fairlearn's MetricFrame.
- ``disparity(y_true, y_pred, *, sensitive_features)``: how far apart the rates of any number of
  groups are.
- ``gap(y_true, y_score, *, sensitive_features, gap)``: the same, decided by the order of the scores
  alone (:mod:`dralign.metrics.ranking`); beside them the level of the probabilities, a table of the
  groups, and quantiles from which all of it can be computed again.

The arguments are the same for all of them:

- ``y_true``: (n,) labels 0 or 1.
- ``y_pred``: (n,) decisions 0 or 1, or probabilities in [0, 1]; a decision is ``y_pred >= 0.5``
  (the hard form). The functions named ``soft_*`` use the probabilities themselves.
- ``sensitive_features``: (n,) or (n, c) values of any type, or groups that are coded already (see
  :func:`dralign.groups.encode_groups`); rows with a missing value are left out.
- ``sample_weight``: (n,) numbers from 0 up, what each row counts; whole numbers give what as many
  equal rows would. If not given, or all the same, rows are not weighted.

Anything else raises DataError, or GroupError for the sensitive features. A rate over no rows is
undefined: NaN, with an UndefinedMetricWarning that says which. A group whose rate is undefined is
left out of a disparity, with such a warning; where fewer than two are left it is NaN (fairlearn
counts an undefined rate as 0).
"""

from dralign.metrics.calibration import (
    brier_score,
    expected_calibration_error,
    level_note,
    mean_probability,
)
from dralign.metrics.cells import Cells
from dralign.metrics.disparity import (
    Agg,
    accuracy_difference,
    average_precision_difference,
    demographic_parity_difference,
    demographic_parity_ratio,
    equal_opportunity_difference,
    equal_opportunity_ratio,
    equalized_odds_difference,
    equalized_odds_ratio,
    equalized_odds_sum,
    predictive_parity_difference,
    printed_equal_opportunity_ratio,
    soft_demographic_parity_difference,
    soft_equal_opportunity_difference,
    soft_equalized_odds_difference,
    soft_predictive_parity_difference,
)
from dralign.metrics.group_rates import GroupRow, group_table, same_decision_share
from dralign.metrics.measures import (
    Measure,
    all_measures,
    gap_measure,
    gap_measure_names,
    measure,
    register_measure,
)
from dralign.metrics.prediction import (
    accuracy,
    average_precision,
    balanced_accuracy,
    false_positive_rate,
    precision,
    selection_rate,
    true_positive_rate,
)
from dralign.metrics.quantiles import ScoreQuantiles, measures_from_quantiles, score_quantiles
from dralign.metrics.ranking import all_cutoffs_gap, base_rate_gap, largest_cutoff_gap
from dralign.metrics.record import evaluate, scored

__all__ = [
    "Agg",
    "Cells",
    "GroupRow",
    "Measure",
    "ScoreQuantiles",
    "accuracy",
    "accuracy_difference",
    "all_cutoffs_gap",
    "all_measures",
    "average_precision",
    "average_precision_difference",
    "balanced_accuracy",
    "base_rate_gap",
    "brier_score",
    "demographic_parity_difference",
    "demographic_parity_ratio",
    "equal_opportunity_difference",
    "equal_opportunity_ratio",
    "equalized_odds_difference",
    "equalized_odds_ratio",
    "equalized_odds_sum",
    "evaluate",
    "expected_calibration_error",
    "false_positive_rate",
    "gap_measure",
    "gap_measure_names",
    "group_table",
    "largest_cutoff_gap",
    "level_note",
    "mean_probability",
    "measure",
    "measures_from_quantiles",
    "precision",
    "predictive_parity_difference",
    "printed_equal_opportunity_ratio",
    "register_measure",
    "same_decision_share",
    "score_quantiles",
    "scored",
    "selection_rate",
    "soft_demographic_parity_difference",
    "soft_equal_opportunity_difference",
    "soft_equalized_odds_difference",
    "soft_predictive_parity_difference",
    "true_positive_rate",
]
