"""Encoding a table of mixed columns: numbers scaled, everything else one-hot, missing kept."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dralign.data.columns import distinct_texts, numbers, one_hot, places, require_columns
from dralign.errors import DataError, DralignWarning
from dralign.forms import Form
from dralign.groups import MISSING

if TYPE_CHECKING:
    import pandas as pd

Unknown = dict[str, int]


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

    @classmethod
    def fit(cls, values: "pd.Series[Any]") -> "NumericColumn":
        """Learns the scaling from training rows.

        Raises:
            DataError: if a value is not a number, or too large for its square to be one.
        """
        found = numbers(values)
        known = found[~np.isnan(found)]
        with np.errstate(over="ignore"):
            mean, std = (float(known.mean()), float(known.std())) if len(known) else (0.0, 1.0)
        if not np.isfinite([mean, std]).all():
            raise DataError(f"column {values.name!r}: its numbers are too large to be scaled")
        return cls(str(values.name), mean, std if std > 0 else 1.0, len(known) < len(found))

    @property
    def feature_names(self) -> tuple[str, ...]:
        """One input, or two."""
        return (self.name, f"{self.name} is missing") if self.flag_missing else (self.name,)

    def encode(self, values: "pd.Series[Any]") -> tuple[np.ndarray, int]:
        """(n, 1) or (n, 2) inputs; no value of a column of numbers is unknown.

        Raises:
            DataError: if a value is not a number, or too far from the training rows for float32.
        """
        found = numbers(values)
        absent = np.isnan(found)
        with np.errstate(over="ignore"):
            scaled = ((found - self.mean) / self.std).astype(np.float32)
        if np.isinf(scaled).any():
            worst = found[np.isinf(scaled)][0]
            raise DataError(f"column {self.name!r}: {worst:g} is too far from the training rows")
        scaled[absent] = 0.0
        return np.column_stack([scaled, absent] if self.flag_missing else [scaled]), 0

    def to_dict(self) -> dict[str, object]:
        """A JSON-ready form."""
        return {
            "name": self.name,
            "mean": self.mean,
            "std": self.std,
            "flag_missing": self.flag_missing,
        }


@dataclass(frozen=True)
class CategoricalColumn:
    """A column of categories as one-hot inputs; a value unseen in training is all zeros.

    Attributes:
        name: of the column.
        categories: the values of the training rows as text, sorted.
        flag_missing: whether training rows had missing values, which are then a category too.
    """

    name: str
    categories: tuple[str, ...]
    flag_missing: bool

    @classmethod
    def fit(cls, values: "pd.Series[Any]") -> "CategoricalColumn":
        """Learns the categories from training rows."""
        place, texts = distinct_texts(values)
        return cls(str(values.name), tuple(sorted(set(texts))), bool((place == MISSING).any()))

    @property
    def feature_names(self) -> tuple[str, ...]:
        """One input per category; a missing value's comes last."""
        names = [f"{self.name}={category}" for category in self.categories]
        return (*names, f"{self.name} is missing") if self.flag_missing else tuple(names)

    def encode(self, values: "pd.Series[Any]") -> tuple[np.ndarray, int]:
        """(n, inputs) inputs, and how many values are unknown."""
        place = places(values, self.categories)
        if self.flag_missing:
            place[place == MISSING] = len(self.categories)
        return one_hot(place, len(self.feature_names)), int((place < 0).sum())

    def to_dict(self) -> dict[str, object]:
        """A JSON-ready form."""
        return {
            "name": self.name,
            "categories": list(self.categories),
            "flag_missing": self.flag_missing,
        }


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

        return cls(
            tuple(
                NumericColumn.fit(frame[name])
                if is_numeric_dtype(frame[name]) and not is_bool_dtype(frame[name])
                else CategoricalColumn.fit(frame[name])
                for name in columns
            )
        )

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The name of each input."""
        return tuple(name for column in self.columns for name in column.feature_names)

    def encode(self, frame: "pd.DataFrame") -> tuple[np.ndarray, Unknown]:
        """``transform`` without a word: the inputs, and the unknown values per column.

        Raises:
            DataError: if a column is missing, or a column of numbers holds something else.
        """
        require_columns(frame, [column.name for column in self.columns])
        parts, unknown = [], {}
        for column in self.columns:
            part, count = column.encode(frame[column.name])
            parts.append(part)
            if count:
                unknown[column.name] = count
        return np.concatenate(parts, axis=1, dtype=np.float32), unknown

    def transform(self, frame: Any) -> np.ndarray:  # noqa: ANN401 - pandas is loaded lazily
        """(n, d) float32 inputs for the rows of a table; other columns are ignored.

        Values that the training rows did not have are all zeros, with one warning that counts them.

        Raises:
            DataError: if a column is missing, or a column of numbers holds something else.
        """
        inputs, unknown = self.encode(frame)
        warn_unknown(unknown)
        return inputs

    def to_dict(self) -> dict[str, object]:
        """A JSON-ready form."""
        return {"kind": "table", "columns": [column.to_dict() for column in self.columns]}

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> "TableEncoder":
        """The encoder that ``to_dict`` gave.

        Raises:
            DataError: if the form is not one of ours.
        """
        entries = Form(form, "encoder").entries("columns")
        columns = tuple(map(_column_from_dict, entries))
        if not columns or len({column.name for column in columns}) < len(columns):
            raise DataError("encoder: expected different columns, at least one")
        return cls(columns)


def warn_unknown(unknown: Unknown) -> None:
    """One warning for values that the training rows did not have, counted per column."""
    if unknown:
        counts = ", ".join(f"{name!r} ({count} rows)" for name, count in unknown.items())
        warnings.warn(
            f"values that the training rows did not have count as none of the categories: {counts}",
            DralignWarning,
            stacklevel=3,
        )


def _column_from_dict(entry: object) -> NumericColumn | CategoricalColumn:
    """One column of the form of a TableEncoder.

    Raises:
        DataError: if the entry is not one of ours.
    """
    form = Form(entry, "encoder column")
    name, flag = form.text("name"), form.flag("flag_missing")
    if "categories" in form.content:
        return CategoricalColumn(name, form.texts("categories"), flag)
    column = NumericColumn(name, form.number("mean"), form.number("std"), flag)
    if column.std <= 0:
        raise DataError(f"encoder column: 'std' must be above 0, got {column.std:g}")
    return column
