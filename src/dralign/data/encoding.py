"""Encoding a table of mixed columns: numbers scaled, everything else one-hot, missing kept."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dralign.data.columns import (
    noted,
    numbers,
    one_hot,
    places_of_values,
    require_columns,
    text_counts,
)
from dralign.errors import DataError, DralignWarning
from dralign.forms import Form
from dralign.groups import MISSING

if TYPE_CHECKING:
    import pandas as pd

# A saved network tells its categories to whoever reads it: what only a few people have in a table
# of one's own (a name, a rare diagnosis) is none.
MIN_CATEGORY_ROWS: Final = 10
_BOOLEANS = frozenset({"True", "False"})


@dataclass(frozen=True)
class Unseen:
    """What rows have that the training rows had not: the number of rows by column.

    Attributes:
        categories: values that are none of the categories.
        missing: missing numbers that take the training mean.
    """

    categories: dict[str, int] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=dict)


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
        """(n, 1) or (n, 2) inputs, and how many missing values take the mean without a precedent.

        Those are the missing values of a column that had none in training, and of one that has no
        value at all here.

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
        if not self.flag_missing:
            return scaled[:, None], int(absent.sum())
        none_there = len(absent) > 1 and bool(absent.all())
        return np.column_stack([scaled, absent]), len(absent) * none_there

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
    """A column of categories as one-hot inputs; a value that is none of them is all zeros.

    Attributes:
        name: of the column.
        categories: the values that enough training rows have, as text, sorted.
        flag_missing: whether training rows had missing values, which are then a category too.
    """

    name: str
    categories: tuple[str, ...]
    flag_missing: bool

    @classmethod
    def fit(
        cls, values: "pd.Series[Any]", *, min_rows: int = MIN_CATEGORY_ROWS
    ) -> "CategoricalColumn":
        """Learns the categories from training rows; False and True need no number of rows."""
        rows = text_counts(values)
        kept = sorted(text for text in rows if rows[text] >= min_rows or text in _BOOLEANS)
        return cls(str(values.name), tuple(kept), rows.total() < len(values))

    @property
    def feature_names(self) -> tuple[str, ...]:
        """One input per category; a missing value's comes last."""
        names = [f"{self.name}={category}" for category in self.categories]
        return (*names, f"{self.name} is missing") if self.flag_missing else tuple(names)

    def encode(self, values: "pd.Series[Any]") -> tuple[np.ndarray, int]:
        """(n, inputs) inputs, and how many values are none of the categories."""
        place = places_of_values(values, self.categories)
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
    def fit(
        cls,
        frame: "pd.DataFrame",
        columns: Sequence[str],
        *,
        min_category_rows: int = MIN_CATEGORY_ROWS,
    ) -> "TableEncoder":
        """Learns the encoding of ``columns`` from training rows.

        Columns of numbers are scaled; booleans, text and everything else become categories.

        Args:
            frame: the training rows.
            columns: which columns, in the order of the inputs.
            min_category_rows: a text that fewer rows have is no category, and not kept.

        Raises:
            DataError: if that leaves no input, or numbers can't be scaled.
        """
        from pandas.api.types import is_bool_dtype, is_numeric_dtype

        encoder = cls(
            tuple(
                NumericColumn.fit(frame[name])
                if is_numeric_dtype(frame[name]) and not is_bool_dtype(frame[name])
                else CategoricalColumn.fit(frame[name], min_rows=min_category_rows)
                for name in columns
            )
        )
        if not encoder.feature_names:
            raise DataError(f"no column has a value that {min_category_rows} training rows share")
        return encoder

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The name of each input."""
        return tuple(name for column in self.columns for name in column.feature_names)

    def encode(self, frame: "pd.DataFrame") -> tuple[np.ndarray, Unseen]:
        """``transform`` without a word: the inputs, and what the training rows did not have.

        Raises:
            DataError: if a column is missing, or a column of numbers holds something else.
        """
        require_columns(frame, [column.name for column in self.columns])
        parts, unseen = [], Unseen()
        for column in self.columns:
            part, count = column.encode(frame[column.name])
            parts.append(part)
            if count:
                of_numbers = isinstance(column, NumericColumn)
                (unseen.missing if of_numbers else unseen.categories)[column.name] = count
        return np.concatenate(parts, axis=1, dtype=np.float32), unseen

    def transform(self, frame: Any) -> np.ndarray:  # noqa: ANN401 - pandas is loaded lazily
        """(n, d) float32 inputs for the rows of a table; other columns are ignored.

        Values that the training rows did not have (or too few of them) are all zeros, and numbers
        missing for the first time are the mean, with one warning each that counts them.

        Raises:
            DataError: if a column is missing, or a column of numbers holds something else.
        """
        inputs, unseen = self.encode(frame)
        warn_unseen(unseen)
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


def warn_unseen(unseen: Unseen) -> None:
    """A warning each for new values and newly missing numbers, counted per column."""
    if unseen.categories:
        warnings.warn(
            "values that the training rows did not have, or too few of them, count as none of the "
            f"categories: {_counted(unseen.categories)}",
            DralignWarning,
            stacklevel=3,
        )
    if unseen.missing:
        warnings.warn(
            f"missing values in {_counted(unseen.missing)} take the training mean",
            DralignWarning,
            stacklevel=3,
        )


def _counted(rows: Mapping[str, int]) -> str:
    """The columns with their number of rows, in words."""
    return noted([f"{name!r} ({count:,} rows)" for name, count in rows.items()])


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
