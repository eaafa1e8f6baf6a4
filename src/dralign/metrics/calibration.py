"""The level of probabilities: how high they are on the whole, and whether they mean what they say.

The order of the scores decides average precision and the gaps of
:mod:`dralign.metrics.ranking`; their level moves the soft and the hard gaps beside. So the level is
reported with them. Arguments as the package says; probabilities in [0, 1], two classes.
"""

import warnings
from typing import Final

import numpy as np
import numpy.typing as npt

from dralign.errors import OptionError, UndefinedMetricWarning
from dralign.metrics.arrays import Floats, labels_and_probabilities, weights_of
from dralign.metrics.rates import Runs, descending_runs, mean_of

BINS: Final = 15
OFF: Final = 0.25  # the part of the share of positives by which the level may miss it

SHRANK: Final = "scores shrank: the soft gap is smaller for that reason too"
SWELLED: Final = "scores swelled: the soft gap changed for that reason too"


def mean_probability(
    y_true: npt.ArrayLike, y_prob: npt.ArrayLike, *, sample_weight: npt.ArrayLike | None = None
) -> float:
    """The mean probability of label 1, in [0, 1]; at the share of positives the level is right."""
    _, f = labels_and_probabilities(y_true, y_prob)
    return _over_rows("mean_probability", f, sample_weight)


def brier_score(
    y_true: npt.ArrayLike, y_prob: npt.ArrayLike, *, sample_weight: npt.ArrayLike | None = None
) -> float:
    """The mean of (f - y)^2 (Eq. 29), in [0, 1]; lower is better.

    scikit-learn's ``brier_score_loss``.
    """
    y, f = labels_and_probabilities(y_true, y_prob)
    return _over_rows("brier_score", (f - y) ** 2, sample_weight)


def expected_calibration_error(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    *,
    bins: int = BINS,
    sample_weight: npt.ArrayLike | None = None,
) -> float:
    """The mean over bins of |mean probability - share of positives| (Eq. 30), in [0, 1]; 0 is best.

    The bins hold the same number (or weight) of rows each, in the order of the probabilities. Rows
    that tie at the edge of a bin are divided in proportion, each with the mean label of the tie, so
    that the order of the rows does not count. With few rows a bin the figure is too high by chance.

    Raises:
        OptionError: if ``bins`` is not positive.
    """
    if bins < 1:
        raise OptionError(f"bins: expected a positive number, got {bins}")
    y, f = labels_and_probabilities(y_true, y_prob)
    weight = weights_of(sample_weight, len(y))
    if not len(y) or (weight is not None and not weight.any()):
        return _over_rows("expected_calibration_error", y, sample_weight)
    return calibration_error_of(y, f, bins, weight=weight)


def calibration_error_of(
    y: Floats,
    f: Floats,
    bins: int = BINS,
    runs: Runs | None = None,
    weight: Floats | None = None,
) -> float:
    """``expected_calibration_error`` of checked arrays with rows.

    ``runs`` are those of the probabilities, if they are there already.
    """
    runs = runs or descending_runs(f)
    off = f - y if weight is None else (f - y) * weight
    excess, taken = np.cumsum(off[runs.order])[runs.last], runs.taken(weight)
    # Within a tie the sum grows evenly, so a straight line between its ends divides it.
    at_edges = np.interp(
        np.linspace(0, taken[-1], bins + 1), np.append(0.0, taken), np.append(0.0, excess)
    )
    return float(np.abs(np.diff(at_edges)).sum() / taken[-1])


def level_note(mean_probability: float, positive_share: float) -> str | None:
    """What to say where the mean probability is more than a quarter off the share of positives.

    Shrunken scores make the soft gap smaller in proportion. Swollen ones make it larger in
    proportion, until they are squeezed against 1, so there the words leave the direction open.

    Args:
        mean_probability: the mean probability of label 1.
        positive_share: the share of rows with label 1, the same rows.

    Returns:
        The words, or None: where the level is near, and where either is NaN or nobody is positive.
    """
    if not positive_share > 0:
        return None
    if mean_probability < (1 - OFF) * positive_share:
        return SHRANK
    return SWELLED if mean_probability > (1 + OFF) * positive_share else None


def _over_rows(name: str, values: Floats, sample_weight: npt.ArrayLike | None) -> float:
    """The mean; NaN without rows, with a warning."""
    value = mean_of(values, weights_of(sample_weight, len(values)))
    if not np.isnan(value):
        return value
    warnings.warn(f"{name}: there are no rows; it is NaN", UndefinedMetricWarning, stacklevel=3)
    return np.nan
