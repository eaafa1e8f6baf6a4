"""Metrics on arrays: how well labels are predicted, and how far apart groups are.

Two families, with the signatures of fairlearn:

- ``metric(y_true, y_pred)``: one number for some rows; works inside fairlearn's MetricFrame.
- ``disparity(y_true, y_pred, *, sensitive_features)``: how far apart the rates of any number of
  groups are.

The arguments are the same for all of them:

- ``y_true``: (n,) labels 0 or 1.
- ``y_pred``: (n,) decisions 0 or 1, or probabilities in [0, 1]; a decision is ``y_pred >= 0.5``
  (the hard form). The functions named ``soft_*`` use the probabilities themselves.
- ``sensitive_features``: (n,) or (n, c) values of any type (see
  :func:`dralign.groups.encode_groups`); rows with a missing value are left out.

Anything else raises DataError, or GroupError for the sensitive features. A rate over no rows is
undefined: NaN, with an UndefinedMetricWarning that says which. A group whose rate is undefined is
left out of a disparity, with such a warning; where fewer than two are left it is NaN (fairlearn
counts an undefined rate as 0).
"""

from dralign.metrics.disparity import (
    Agg,
    accuracy_difference,
    average_precision_difference,
    demographic_parity_difference,
    equal_opportunity_difference,
    equal_opportunity_ratio,
    equalized_odds_difference,
    predictive_parity_difference,
    soft_demographic_parity_difference,
    soft_equal_opportunity_difference,
    soft_equalized_odds_difference,
    soft_predictive_parity_difference,
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
from dralign.metrics.record import evaluate

__all__ = [
    "Agg",
    "accuracy",
    "accuracy_difference",
    "average_precision",
    "average_precision_difference",
    "balanced_accuracy",
    "demographic_parity_difference",
    "equal_opportunity_difference",
    "equal_opportunity_ratio",
    "equalized_odds_difference",
    "evaluate",
    "false_positive_rate",
    "precision",
    "predictive_parity_difference",
    "selection_rate",
    "soft_demographic_parity_difference",
    "soft_equal_opportunity_difference",
    "soft_equalized_odds_difference",
    "soft_predictive_parity_difference",
    "true_positive_rate",
]
