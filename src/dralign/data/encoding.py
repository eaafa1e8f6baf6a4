"""Encoding a table of mixed columns: numbers scaled, everything else one-hot, missing kept."""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dralign.errors import DataError, DralignWarning

if TYPE_CHECKING:
    import pandas as pd

MISSING = "(missing)"


@dataclass(frozen=True)
class NumericColumn:
    """A column of numbers: (x - mean) / std, 0 where missing.

    Attributes:
        name: of the column.
        mean: over the training rows.
        std: over the training rows; 1 for a constant column.
        flag_missing: whether training rows had missing values; then a second input says so.
    """

    name: str
    mean: float
    std: float
    flag_missing: bool

    @property
    def feature_names(self) -> tuple[str, ...]:
        """One input, or two."""
        return (self.name, f"{self.name}={MISSING}") if self.flag_missing else (self.name,)

    def transform(self, values: "pd.Series[Any]") -> np.ndarray:
        """(n, 1) or (n, 2) inputs."""
        numbers = to_numbers(values)
        absent = np.isnan(numbers)
        scaled = np.where(absent, 0.0, (numbers - self.mean) / self.std)
        return np.column_stack([scaled, absent] if self.flag_missing else [scaled])


@dataclass(frozen=True)
class CategoricalColumn:
    """A column of categories as one-hot inputs; a value unseen in training is all zeros.

    Attributes:
        name: of the column.
        categories: the training values as text, sorted; ``"(missing)"`` stands for missing ones.
    """

    name: str
    categories: tuple[str, ...]

    @property
    def feature_names(self) -> tuple[str, ...]:
        """One input per category."""
        return tuple(f"{self.name}={category}" for category in self.categories)

    def transform(self, values: "pd.Series[Any]") -> np.ndarray:
        """(n, categories) inputs."""
        text = to_text(values)
        hot = text.to_numpy()[:, None] == np.array(self.categories, dtype=object)[None, :]
        unseen = ~hot.any(axis=1)
        if unseen.any():
            warnings.warn(
                f"column {self.name!r}: {int(unseen.sum())} values were not in the training rows, "
                f"for example {text[unseen].iloc[0]!r}; they count as none of the categories",
                DralignWarning,
                stacklevel=3,
            )
        return np.asarray(hot)


@dataclass(frozen=True)
class TableEncoder:
    """The inputs made from a table; what it knows comes from the training rows alone.

    Attributes:
        columns: how each column is encoded, in the order of the inputs.
    """

    columns: tuple[NumericColumn | CategoricalColumn, ...]

    @classmethod
    def fit(cls, frame: "pd.DataFrame", columns: Sequence[str]) -> "TableEncoder":
        """Learns the encoding of ``columns`` from training rows.

        Columns of numbers are scaled; booleans, text and everything else become categories.
        """
        from pandas.api.types import is_bool_dtype, is_numeric_dtype

        encoded: list[NumericColumn | CategoricalColumn] = []
        for name in columns:
            values = frame[name]
            if is_numeric_dtype(values) and not is_bool_dtype(values):
                encoded.append(_numeric(name, values))
            else:
                encoded.append(CategoricalColumn(name, tuple(sorted(set(to_text(values))))))
        return cls(tuple(encoded))

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The name of each input."""
        return tuple(name for column in self.columns for name in column.feature_names)

    def transform(self, frame: "pd.DataFrame") -> np.ndarray:
        """(n, d) float32 inputs for the rows of a table.

        Raises:
            DataError: if a column is missing, or a column of numbers holds something else.
        """
        require_columns(frame, [column.name for column in self.columns])
        parts = [column.transform(frame[column.name]) for column in self.columns]
        return np.concatenate(parts, axis=1).astype(np.float32)

    def to_dict(self) -> dict[str, object]:
        """A JSON-ready form."""
        columns = [
            {"name": c.name, "categories": list(c.categories)}
            if isinstance(c, CategoricalColumn)
            else {"name": c.name, "mean": c.mean, "std": c.std, "flag_missing": c.flag_missing}
            for c in self.columns
        ]
        return {"kind": "table", "columns": columns}

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> "TableEncoder":
        """The encoder that ``to_dict`` gave; raises KeyError, TypeError or ValueError otherwise."""
        columns: list[NumericColumn | CategoricalColumn] = []
        for entry in form["columns"]:
            name = str(entry["name"])
            if "categories" in entry:
                columns.append(CategoricalColumn(name, tuple(map(str, entry["categories"]))))
            else:
                mean, std = finite(entry["mean"]), finite(entry["std"])
                columns.append(NumericColumn(name, mean, std, bool(entry["flag_missing"])))
        return cls(tuple(columns))


def finite(value: object) -> float:
    """The value as a finite float.

    Raises:
        ValueError: if it is none.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"expected a finite number, got {value!r}")
    return float(value)


def require_columns(frame: "pd.DataFrame", names: Sequence[str]) -> None:
    """Checks that the table has all columns.

    Raises:
        DataError: if one is missing; it lists those that are there.
    """
    for name in names:
        if name not in frame.columns:
            raise DataError(
                f"no column {name!r}; the table has: {', '.join(map(str, frame.columns))}"
            )


def to_numbers(values: "pd.Series[Any]") -> np.ndarray:
    """The values as float64, NaN where missing.

    Raises:
        DataError: if one is not a finite number.
    """
    import pandas as pd

    numbers = pd.to_numeric(values, errors="coerce").astype("Float64")
    found: np.ndarray = numbers.to_numpy(dtype=np.float64, na_value=np.nan)
    bad = (np.isnan(found) & values.notna().to_numpy()) | np.isinf(found)
    if bad.any():
        raise DataError(
            f"column {values.name!r}: expected numbers, got {values[bad].iloc[0]!r} "
            f"in {int(bad.sum())} of {len(values)} rows"
        )
    return found


def to_text(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """The values as text; whole numbers without a decimal point, missing ones as "(missing)"."""
    return values.map(_text).where(values.notna(), MISSING).astype(object)


def _text(value: object) -> str:
    """One value as text, the same whether a file's column was read as 1, 1.0 or "1"."""
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _numeric(name: str, values: "pd.Series[Any]") -> NumericColumn:
    """The scaling of a column of numbers."""
    numbers = to_numbers(values)
    absent = np.isnan(numbers)
    known = numbers[~absent]
    std = float(known.std()) if len(known) else 0.0
    mean = float(known.mean()) if len(known) else 0.0
    return NumericColumn(name, mean, std if std > 0 else 1.0, bool(absent.any()))
