"""How well labels are predicted: ``metric(y_true, y_pred)``, arguments as the package says."""

import warnings

import numpy as np
import numpy.typing as npt

from dralign.errors import UndefinedMetricWarning
from dralign.metrics.arrays import Floats, labels_and_decisions, labels_and_scores, weights_of
from dralign.metrics.rates import average_precision_of, balanced_accuracy_of, weighted_mean


def average_precision(
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    *,
    sample_weight: npt.ArrayLike | None = None,
) -> float:
    """The sum over thresholds of recall gained times precision, in [0, 1]; higher is better.

    The paper's AP and scikit-learn's ``average_precision_score``. Any finite score will do: only
    the order counts, and tied scores share a threshold. Undefined without a positive row
    (scikit-learn: 0).
    """
    y, score = labels_and_scores(y_true, y_score)
    value = average_precision_of(y, score, weight=weights_of(sample_weight, len(y)))
    return _defined("average_precision", value, "no row has label 1")


def accuracy(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    *,
    sample_weight: npt.ArrayLike | None = None,
) -> float:
    """The share of right decisions, in [0, 1]; higher is better."""
    y, decision = labels_and_decisions(y_true, y_pred)
    rows = _weights(sample_weight, y)
    right = (y == decision).astype(np.float64)
    return _defined("accuracy", weighted_mean(right, rows), "there are no rows")


def balanced_accuracy(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    *,
    sample_weight: npt.ArrayLike | None = None,
) -> float:
    """The mean of true positive and true negative rate, in [0, 1]; higher is better."""
    y, decision = labels_and_decisions(y_true, y_pred)
    rows = _weights(sample_weight, y)
    value = balanced_accuracy_of(y, decision, rows)
    return _defined("balanced_accuracy", value, "a label has no rows")


def selection_rate(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    *,
    sample_weight: npt.ArrayLike | None = None,
) -> float:
    """The share of positive decisions, in [0, 1]."""
    y, decision = labels_and_decisions(y_true, y_pred)
    rows = _weights(sample_weight, y)
    value = weighted_mean(decision, rows)
    return _defined("selection_rate", value, "there are no rows")


def true_positive_rate(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    *,
    sample_weight: npt.ArrayLike | None = None,
) -> float:
    """The share of positive decisions among rows with label 1, in [0, 1]; higher is better."""
    y, decision = labels_and_decisions(y_true, y_pred)
    rows = _weights(sample_weight, y)
    return _defined("true_positive_rate", weighted_mean(decision, rows * y), "no row has label 1")


def false_positive_rate(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    *,
    sample_weight: npt.ArrayLike | None = None,
) -> float:
    """The share of positive decisions among rows with label 0, in [0, 1]; lower is better."""
    y, decision = labels_and_decisions(y_true, y_pred)
    rows = _weights(sample_weight, y)
    return _defined(
        "false_positive_rate", weighted_mean(decision, rows * (1 - y)), "no row has label 0"
    )


def precision(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    *,
    sample_weight: npt.ArrayLike | None = None,
) -> float:
    """The share of label 1 among positive decisions, in [0, 1]; higher is better."""
    y, decision = labels_and_decisions(y_true, y_pred)
    rows = _weights(sample_weight, y)
    return _defined("precision", weighted_mean(y, rows * decision), "no decision is positive")


def _weights(sample_weight: npt.ArrayLike | None, y: Floats) -> Floats:
    """(n,) what each row counts."""
    weight = weights_of(sample_weight, len(y))
    return np.ones_like(y) if weight is None else weight


def _defined(name: str, value: float, reason: str) -> float:
    """The value, with a warning that gives the reason where it is NaN."""
    if np.isnan(value):
        warnings.warn(f"{name}: {reason}; it is NaN", UndefinedMetricWarning, stacklevel=3)
    return value
