"""Encoding a table of mixed columns: numbers scaled, everything else one-hot, missing kept."""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dralign.data.columns import (
    UNSEEN,
    index_in,
    noted,
    numbers,
    of_numbers,
    one_hot,
    require_columns,
    text_counts,
)
from dralign.data.numerals import has_two_meanings, numerals
from dralign.data.rules import Rules
from dralign.errors import DataError, DralignWarning
from dralign.forms import Form
from dralign.groups import MISSING

if TYPE_CHECKING:
    import pandas as pd

# A saved network tells its categories to whoever reads it: what only a few people have in a table
# of one's own (a name, a rare diagnosis) is none.
MIN_CATEGORY_ROWS: Final = 10
NO_RULES: Final = Rules()
# The std of equal numbers may be their rounding; a spread that means anything is a larger share of
# the mean.
ROUNDING: Final = 16 * float(np.finfo(np.float64).eps)
_BOOLEANS = frozenset({"True", "False"})


@dataclass(frozen=True)
class Unseen:
    """What rows have that the training rows had not: the number of rows by column.

    Attributes:
        categories: values that are none of the categories, where other rows have one.
        strangers: what the categories are, of columns no row of which has one.
        fixed: other numbers than the only one that training rows have.
        missing: missing numbers that take the training mean.
        texts: missing values of columns of categories, which are then in none of them.
        strays: what is told of texts among numbers, by column.
    """

    categories: dict[str, int] = field(default_factory=dict)
    strangers: dict[str, str] = field(default_factory=dict)
    fixed: dict[str, int] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=dict)
    texts: dict[str, int] = field(default_factory=dict)
    strays: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class NumericColumn:
    """A column of numbers: (x - mean) / std, 0 where missing.

    A column that has one value in training is always 0: nothing can be learned of it, so that what
    another value does would be up to the network's first weights.

    Attributes:
        name: of the column.
        mean: over the training rows.
        std: over the training rows; 0 for a constant column.
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
        result = numbers(values)
        known = result[~np.isnan(result)]
        with np.errstate(over="ignore"):
            mean, std = (float(known.mean()), float(known.std())) if len(known) else (0.0, 0.0)
        if not np.isfinite([mean, std]).all():
            raise DataError(f"column {values.name!r}: its numbers are too large to be scaled")
        column = cls(str(values.name), mean, std, len(known) < len(result))
        same = not len(known) or known.min() == known.max()
        return replace(column, std=0.0) if same or column.constant else column

    @property
    def constant(self) -> bool:
        """Whether the training rows have one value: of equal numbers, std is the rounding."""
        return self.std <= ROUNDING * abs(self.mean)

    @property
    def scale(self) -> float:
        """What numbers are divided by."""
        return math.inf if self.constant else self.std

    @property
    def feature_names(self) -> tuple[str, ...]:
        """One input, or two."""
        return (self.name, f"{self.name} is missing") if self.flag_missing else (self.name,)

    def encode(self, values: "pd.Series[Any]", unseen: Unseen) -> np.ndarray:
        """(n, 1) or (n, 2) inputs; what has no precedent goes into ``unseen``.

        That are missing values that take the mean, of a column that had none in training or that
        has no value at all here, texts among numbers, which count as missing, and numbers of a
        column that is constant in training.

        Raises:
            DataError: if more than a few values are no numbers, or one is too far from the training
                rows for float32.
        """
        result, told = _numbers(values)
        if told:
            unseen.strays[self.name] = told
        absent = np.isnan(result)
        with np.errstate(over="ignore"):
            scaled = ((result - self.mean) / self.scale).astype(np.float32)
        far = ~np.isfinite(scaled) & ~absent
        if far.any():
            worst = result[far][0]
            raise DataError(f"column {self.name!r}: {worst:g} is too far from the training rows")
        if self.constant:
            other = np.abs(result - self.mean) > ROUNDING * abs(self.mean)
            if other.any():
                unseen.fixed[self.name] = int(other.sum())
        scaled[absent] = 0.0
        none_there = len(absent) > 1 and bool(absent.all())
        if absent.any() and (none_there or not self.flag_missing):
            unseen.missing[self.name] = int(absent.sum())
        return np.column_stack([scaled, absent]) if self.flag_missing else scaled[:, None]

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

    def encode(self, values: "pd.Series[Any]", unseen: Unseen) -> np.ndarray:
        """(n, inputs) inputs; values that are none of the categories go into ``unseen``."""
        index = index_in(values, self.categories)
        unknown = int((index == UNSEEN).sum())
        if unknown > 1 and index.max() < 0:
            unseen.strangers[self.name] = noted([*map(repr, self.categories)])
        elif unknown:
            unseen.categories[self.name] = unknown
        if self.flag_missing:
            index[index == MISSING] = len(self.categories)
        if lacking := int((index == MISSING).sum()):
            unseen.texts[self.name] = lacking
        return one_hot(index, len(self.feature_names))

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
        rules: what is done to raw rows before.
    """

    columns: tuple[NumericColumn | CategoricalColumn, ...]
    rules: Rules = NO_RULES

    @classmethod
    def fit(
        cls,
        frame: "pd.DataFrame",
        columns: Sequence[str],
        *,
        min_category_rows: int = MIN_CATEGORY_ROWS,
        rules: Rules = NO_RULES,
    ) -> "TableEncoder":
        """Learns the encoding of ``columns`` from training rows.

        Columns of numbers are scaled; booleans, text and everything else become categories.

        Args:
            frame: the training rows, to which the rules were applied.
            columns: which columns, in the order of the inputs.
            min_category_rows: a text that fewer rows have is no category, and not kept.
            rules: what is to be done to raw rows before they are encoded.

        Raises:
            DataError: if that leaves no input, or numbers can't be scaled.
        """
        encoder = cls(
            tuple(
                NumericColumn.fit(frame[name])
                if of_numbers(frame[name])
                else CategoricalColumn.fit(frame[name], min_rows=min_category_rows)
                for name in columns
            ),
            rules.of_columns(columns),
        )
        if not encoder.feature_names:
            raise DataError(f"no column has a value that {min_category_rows} training rows share")
        return encoder

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The name of each input."""
        return tuple(name for column in self.columns for name in column.feature_names)

    def encode(self, frame: "pd.DataFrame") -> tuple[np.ndarray, Unseen]:
        """The inputs without a word, of rows to which the rules were applied.

        Returns:
            (n, d) float32 inputs, and what the training rows did not have.

        Raises:
            DataError: if a column is missing, or a column of numbers holds something else.
        """
        require_columns(frame, [column.name for column in self.columns])
        unseen = Unseen()
        parts = [column.encode(frame[column.name], unseen) for column in self.columns]
        return np.concatenate(parts, axis=1, dtype=np.float32), unseen

    def transform(self, frame: Any) -> np.ndarray:  # noqa: ANN401 - pandas is loaded lazily
        """(n, d) float32 inputs for the raw rows of a table; other columns are ignored.

        Values that the training rows did not have (or too few of them) are all zeros, numbers
        missing for the first time are the mean, and a few texts among numbers are missing, with one
        warning each that counts them.

        Raises:
            DataError: if a column is missing, or a column of numbers holds something else.
        """
        require_columns(frame, [column.name for column in self.columns])
        inputs, unseen = self.encode(self.rules.apply(frame))
        warn_unseen(unseen)
        return inputs

    def to_dict(self) -> dict[str, object]:
        """A JSON-ready form."""
        columns = [column.to_dict() for column in self.columns]
        return {"kind": "table", "columns": columns, **self.rules.to_dict()}

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
        return cls(columns, Rules.from_dict(form))


def warn_unseen(unseen: Unseen) -> None:
    """A warning each for new values, missing ones, and texts among numbers, counted per column."""
    lines = [
        f"column {name!r}: no value is one of the categories of training ({known}), so that it "
        "says nothing about any row; are they written in another way here?"
        for name, known in unseen.strangers.items()
    ]
    if unseen.categories:
        lines.append(
            "values that the training rows did not have, or too few of them, count as none of the "
            f"categories: {_counted(unseen.categories)}"
        )
    if unseen.fixed:
        lines.append(
            "columns with one value in training, or none, say nothing, and count as if they "
            f"had it: {_counted(unseen.fixed)}"
        )
    if unseen.strays:
        told = [f"{name!r}: {text}" for name, text in unseen.strays.items()]
        lines.append(f"texts among numbers: {noted(told, between='; ')}")
    filled = []
    if unseen.missing:
        filled.append(f"in {_counted(unseen.missing)} take the training mean")
    if unseen.texts:
        filled.append(f"in {_counted(unseen.texts)} count as none of the categories")
    if filled:
        lines.append(f"missing values {', and '.join(filled)}")
    for line in lines:
        warnings.warn(line, DralignWarning, stacklevel=3)


def _numbers(values: "pd.Series[Any]") -> tuple[np.ndarray, str]:
    """(n,) float64 numbers, NaN where missing or a text, and what there is to say about texts.

    Raises:
        DataError: if more than a few values are no numbers, or one may be two.
    """
    from pandas.api.types import is_object_dtype, is_string_dtype

    if not (is_object_dtype(values.dtype) or is_string_dtype(values.dtype)):
        return numbers(values), ""
    try:
        result = numerals(values)
    except TypeError:  # lists and the like
        return numbers(values), ""
    unclear = result.unclear
    if result.mark == ",":  # by a few rows, which is not enough where others may be two numbers
        texts = values.dropna().unique()
        unclear = next((text for text in texts if "." in str(text) and has_two_meanings(text)), "")
    if unclear:
        raise DataError(
            f"column {values.name!r}: {unclear!r} may be two numbers; to say which: "
            "--decimal , or --decimal ."
        )
    if result.mostly:
        return result.values, result.told()
    return numbers(values), ""


def _counted(rows: Mapping[str, int]) -> str:
    """The columns with their number of rows, in words."""
    return noted([f"{name!r} ({count:,} row{'s' * (count > 1)})" for name, count in rows.items()])


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
    if column.std < 0:
        raise DataError(f"encoder column: 'std' must be 0 or above, got {column.std:g}")
    return column
