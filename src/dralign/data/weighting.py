"""A column of a user's table that says what each row counts."""

import warnings
from typing import TYPE_CHECKING

import numpy as np

from dralign.data.columns import of_numbers, require_columns
from dralign.errors import DataError, DralignWarning

if TYPE_CHECKING:
    import pandas as pd


def weighed(frame: "pd.DataFrame", column: str, *, where: str) -> "pd.DataFrame":
    """The rows that weigh something, with their weights as float64; a warning counts the others.

    Args:
        frame: the table.
        column: of the weights.
        where: what messages call the table.

    Raises:
        DataError: if a weight is missing, no number, negative or infinite, or all are 0.
    """
    values = frame[column]
    if not of_numbers(values):
        raise DataError(f"{where}: the column of weights {column!r} does not hold numbers")
    weight = values.to_numpy(dtype=np.float64, na_value=np.nan)
    if bad := int((~(np.isfinite(weight) & (weight >= 0))).sum()):
        raise DataError(
            f"{where}: the column of weights {column!r} is missing, negative or infinite in "
            f"{bad:,} of {len(weight):,} rows; expected numbers from 0 up"
        )
    if not weight.any():
        raise DataError(f"{where}: the column of weights {column!r} is 0 in every row")
    frame = frame.assign(**{column: weight})
    if without := int((weight == 0).sum()):
        warnings.warn(
            f"{without:,} of {len(weight):,} rows have a weight of 0 and are left out",
            DralignWarning,
            stacklevel=3,
        )
        frame = frame[weight > 0]
    return frame


def weights_in(frame: "pd.DataFrame", column: str) -> np.ndarray | None:
    """(n,) positive weights of the rows; None without a column, or where all weigh the same."""
    if not column:
        return None
    # A copy: torch warns about arrays that can't be written to.
    weight: np.ndarray = frame[column].to_numpy(dtype=np.float64, copy=True)
    return None if weight.min() == weight.max() else weight


def weighed_as_trained(
    frame: "pd.DataFrame", given: str, trained: str, *, where: str
) -> tuple["pd.DataFrame", np.ndarray | None]:
    """The rows that weigh something, and their weights; None where they are not weighted.

    Args:
        frame: the table.
        given: the column of weights that is asked for; empty for that of the training.
        trained: the column of weights of the training; empty if there was none. A warning says
            that the table does not have it.
        where: what messages call the table.
    """
    column = given or trained
    if not given and trained and trained not in frame.columns:
        warnings.warn(
            f"{where}: has no column {trained!r}, by which training rows were weighted; these rows "
            "are not",
            DralignWarning,
            stacklevel=3,
        )
        column = ""
    if column:
        require_columns(frame, [column], where=where)
        frame = weighed(frame, column, where=where)
    return frame, weights_in(frame, column)


def weights_line(column: str, weight: np.ndarray) -> str:
    """What is weighted and what is counted, and how many equal rows would tell as much (Eq. 39)."""
    equal = weight.sum() ** 2 / np.square(weight).sum()
    return (
        f"weights {column or 'of rows'}: shares, rates, gaps and losses are weighted, rows are "
        f"counted; the {len(weight):,} rows are worth {equal:,.0f} of equal weight"
    )
