"""What users pass as X, as a table with the columns that the encoder knows."""

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from sklearn.utils.validation import validate_data

from dralign.data.columns import require_columns
from dralign.data.frames import as_pandas
from dralign.errors import DataError, quoted
from dralign.estimator.inputs import checked_array

if TYPE_CHECKING:
    import pandas as pd


NUMBERED: Final = "_numbered_columns"  # the attribute that keeps names that are no texts


def feature_table(fitted: Any, X: Any, *, reset: bool) -> "pd.DataFrame":  # noqa: ANN401, N803
    """X as a table, its columns under the names that the encoder knows.

    Args:
        fitted: the classifier, which learns or knows the columns.
        X: what the user passed: an array, or a frame of pandas, polars or pyarrow.
        reset: whether it learns them.

    Raises:
        DataError: if an array has missing values, or a DataFrame no value or a column twice.
    """
    import pandas as pd

    if hasattr(X, "columns"):
        X = as_pandas(X)  # noqa: N806
        if not X.columns.is_unique:
            require_columns(X, list(X.columns), where="X")
        validate_data(fitted, X, reset=reset, skip_check_array=True)
        _check_numbered(fitted, X, reset=reset)
        if not X.size:
            raise DataError(f"X: expected at least one row and one column, got {X.shape}")
    else:
        values = checked_array(fitted, X, reset=reset, dtype=np.float64, ensure_all_finite=False)
        bad = values.size - int(np.isfinite(values).sum())
        if bad:
            raise DataError(
                f"X: {bad} of {values.size} numbers are NaN or infinite; fill them in first, "
                "or pass a DataFrame, whose missing values are kept as such"
            )
        X = pd.DataFrame(values)  # noqa: N806
    names = getattr(fitted, "feature_names_in_", [f"x{i}" for i in range(fitted.n_features_in_)])
    table: pd.DataFrame = X.set_axis(list(names), axis=1)
    return table


def _check_numbered(fitted: Any, frame: "pd.DataFrame", *, reset: bool) -> None:  # noqa: ANN401
    """Checks names of columns that are no texts, which scikit-learn passes over.

    Raises:
        DataError: if they are others than in ``fit``, or in another order.
    """
    names = list(frame.columns)
    if reset:
        vars(fitted)[NUMBERED] = None if all(isinstance(name, str) for name in names) else names
    known = getattr(fitted, NUMBERED, None)
    if known is not None and names != known:
        raise DataError(f"X: expected the columns {quoted(known)} of fit, got {quoted(names)}")
