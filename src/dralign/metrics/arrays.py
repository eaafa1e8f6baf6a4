"""The edge of the metrics: labels, predictions and groups as checked arrays."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dralign.errors import DataError, GroupError, GroupTypeError
from dralign.groups import check_group, encode_groups

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

THRESHOLD: Final = 0.5


def decide(f: Floats) -> Floats:
    """Decisions 0 or 1: whether the probability is at least 0.5."""
    return (f >= THRESHOLD).astype(np.float64)


def labels_and_decisions(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Labels and decisions, made from decisions or probabilities."""
    y, f = labels_and_probabilities(y_true, y_pred)
    return y, decide(f)


def labels_and_probabilities(
    y_true: npt.ArrayLike, y_pred: npt.ArrayLike, *, name: str = "y_pred"
) -> tuple[Floats, Floats]:
    """Labels and values in [0, 1].

    Args:
        y_true: (n,) labels 0 or 1.
        y_pred: (n,) the values.
        name: what the caller calls the values, for messages.

    Raises:
        DataError: if a value is outside.
    """
    y, f = labels_and_scores(y_true, y_pred, name=name)
    if len(f) and not (f.min() >= 0 and f.max() <= 1):
        raise DataError(
            f"{name}: expected decisions 0 and 1 or probabilities in [0, 1], "
            f"got {float(f.min())} to {float(f.max())}"
        )
    return y, f


def classes_and_probabilities(y_true: npt.ArrayLike, prob: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Labels 0..C-1 and (n, C) probabilities of the same rows.

    Raises:
        DataError: if a value is not in [0, 1].
    """
    y, f = classes_and_scores(y_true, prob)
    if not ((f >= 0) & (f <= 1)).all():
        raise DataError("y_pred: expected probabilities in [0, 1]")
    return y, f


def classes_and_scores(y_true: npt.ArrayLike, y_score: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Labels 0..C-1 and (n, C) finite scores of the same rows.

    Raises:
        DataError: if lengths differ, a label is not one of these, or a score is not finite.
    """
    y = _vector("y_true", y_true)
    f = np.stack([_vector("y_pred", column) for column in np.asarray(y_score).T], axis=1)
    if len(y) != len(f):
        raise DataError(f"y_true and y_pred differ in length: {len(y)} and {len(f)}")
    n_classes = f.shape[1]
    if not np.isin(y, np.arange(n_classes)).all():
        raise DataError(f"y_true: expected labels 0 to {n_classes - 1}, got {_some(y)}")
    _require_finite(f, "y_pred")
    return y, f


def labels_and_scores(
    y_true: npt.ArrayLike, y_pred: npt.ArrayLike, *, name: str = "y_pred"
) -> tuple[Floats, Floats]:
    """Labels and finite scores of the same rows; arguments as ``labels_and_probabilities``.

    Raises:
        DataError: if lengths differ, a label is not 0 or 1, or a score is not finite.
    """
    y, score = _vector("y_true", y_true), _vector(name, y_pred)
    if len(y) != len(score):
        raise DataError(f"y_true and {name} differ in length: {len(y)} and {len(score)}")
    if not ((y == 0) | (y == 1)).all():
        raise DataError(f"y_true: expected labels 0 and 1, got {_some(y)}")
    _require_finite(score, name)
    return y, score


def weights_of(sample_weight: Any, n_rows: int) -> Floats | None:  # noqa: ANN401 - any array
    """(n,) weights of rows, or None where all weigh the same: such rows are not weighted.

    Raises:
        DataError: if there is not one a row, or one is negative, NaN or infinite.
    """
    if sample_weight is None:
        return None
    weight = _vector("sample_weight", sample_weight)
    if len(weight) != n_rows:
        raise DataError(f"sample_weight: expected {n_rows} rows, got {len(weight)}")
    if not (np.isfinite(weight) & (weight >= 0)).all():
        bad = int(np.sum(~(np.isfinite(weight) & (weight >= 0))))
        raise DataError(
            f"sample_weight: expected finite numbers from 0 up, got {bad} others among {n_rows}"
        )
    same = n_rows and 0 < weight.min() == weight.max()
    return None if same else weight


def groups_of(sensitive_features: object, n_rows: int) -> tuple[Codes, tuple[str, ...]]:
    """Group codes (-1 where missing) and group names.

    Raises:
        GroupError: if there is not one value a row, or no value at all.
    """
    codes, names = encode_groups(sensitive_features)
    if len(codes) != n_rows:
        raise GroupError(f"sensitive_features: expected {n_rows} rows, got {len(codes)}")
    return codes.numpy(), names


def group_codes(group: npt.ArrayLike, n_rows: int, n_groups: int) -> Codes:
    """Group codes as given, checked.

    Raises:
        GroupTypeError: if they are not int64.
        GroupError: if there is not one a row, or a code is out of range.
    """
    codes = np.array(group)  # a copy: torch warns about arrays that can't be written to
    if codes.dtype != np.int64:
        raise GroupTypeError(f"group: expected int64 codes, got {codes.dtype}; use encode_groups")
    check_group(torch.from_numpy(codes), n_rows=n_rows, n_groups=n_groups)
    return codes


def _vector(name: str, values: npt.ArrayLike | Tensor) -> Floats:
    """A vector of numbers.

    Raises:
        DataError: if it is not a vector, or holds something else.
    """
    if isinstance(values, Tensor):
        values = values.detach().cpu().double().numpy()
    try:
        array = np.asarray(values)
    except ValueError:
        raise DataError(f"{name}: expected one value a row, got rows of several lengths") from None
    if array.ndim != 1:
        raise DataError(f"{name}: expected one value a row, got shape {array.shape}")
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError):
        raise DataError(f"{name}: expected numbers, got {_some(array)}") from None


def _require_finite(score: Floats, name: str) -> None:
    """Checks that no score is NaN or infinite.

    Raises:
        DataError: if one is.
    """
    if not np.isfinite(score).all():
        n_bad = int(np.sum(~np.isfinite(score)))
        raise DataError(f"{name}: {n_bad} of {score.size} values are NaN or infinite")


def _some(array: npt.NDArray[np.generic]) -> str:
    """The first distinct values, for a message."""
    distinct = list(dict.fromkeys(array.tolist()))
    return ", ".join(map(repr, distinct[:5])) + (", ..." if len(distinct) > 5 else "")
