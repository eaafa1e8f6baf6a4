"""What a network of any kind is given: the columns of numbers of a table, and its label."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from dralign.data.labels import binary_label
from dralign.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


def label_of(values: "pd.Series[Any]", positive: str) -> tuple[Tensor, str]:
    """Labels 0 and 1, or classes 0..C-1 where whole numbers are given and no positive value.

    The second is how 1 is written; empty with classes.

    Raises:
        DataError: if it is not clear what they are.
    """
    from pandas.api.types import is_integer_dtype

    if not positive and is_integer_dtype(values) and values.min() == 0 and values.max() > 1:
        return torch.from_numpy(values.to_numpy(dtype=np.int64, copy=True)), ""
    y, shown = binary_label(values, positive)
    return torch.from_numpy(y.astype(np.int64)), shown


def numbers_of(frame: "pd.DataFrame", left_out: list[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """(n, d) float32 values of the columns of numbers, and their names.

    Raises:
        DataError: if there is none, or a value is missing.
    """
    inputs = frame.drop(columns=left_out).select_dtypes(["number", "bool"])
    if not len(inputs.columns):
        raise DataError("the table has no column of numbers to give to the network")
    for name in inputs.columns:
        if inputs[name].isna().any():
            missing = int(inputs[name].isna().sum())
            raise DataError(f"column {name!r}: {missing} of {len(inputs)} values are missing")
    values = inputs.to_numpy(dtype=np.float32, copy=True)
    return values, tuple(map(str, inputs.columns))
