"""What is done to a table before its columns are used, in training and whenever rows come later."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dralign.data.columns import of_numbers
from dralign.data.numerals import decimal_marks, is_textual, number_of, numerals, rewritten
from dralign.errors import DataError, OptionError
from dralign.forms import Form
from dralign.groups import written
from dralign.table_options import TableOptions, edges

if TYPE_CHECKING:
    import pandas as pd

_KEYS: Final = ("na", "bin")
_MARKS: Final = (",", ".")


@dataclass(frozen=True)
class Rules:
    """How numbers are written, which texts are missing values, which columns are put into bins.

    Attributes:
        na: the texts; a number is meant however it is written.
        bin: as in ``TableOptions``.
        decimal: texts such as ``pay=,``: the decimal mark of a column whose numbers may be texts.
    """

    na: tuple[str, ...] = ()
    bin: tuple[str, ...] = ()
    decimal: tuple[str, ...] = ()

    @classmethod
    def of(cls, options: TableOptions) -> "Rules":
        """Those of the options."""
        return cls(options.na, options.bin)

    @classmethod
    def learned(
        cls, frame: "pd.DataFrame", options: TableOptions, apart: frozenset[str] = frozenset()
    ) -> "Rules":
        """Those of the options, and the decimal marks that a table's columns have.

        Args:
            frame: the raw rows of the table.
            options: how it is read.
            apart: columns to leave alone, unless they are put into bins.
        """
        cleaned = cls.of(options).cleaned(frame, {})
        apart -= cls.of(options).binned_columns
        marks = decimal_marks(frame.assign(**cleaned), apart, options.decimal)
        return replace(cls.of(options), decimal=tuple(f"{name}={marks[name]}" for name in marks))

    @property
    def marks(self) -> dict[str, str]:
        """The decimal marks by column."""
        return {name: mark for name, _, mark in (text.rpartition("=") for text in self.decimal)}

    @property
    def binned_columns(self) -> frozenset[str]:
        """The columns that are put into bins."""
        return frozenset(edges(text)[0] for text in self.bin)

    def of_columns(self, names: Iterable[str]) -> "Rules":
        """With the decimal marks of these columns, and of those with bins, alone."""
        known = {*names, *self.binned_columns}
        kept = tuple(text for text in self.decimal if text.rpartition("=")[0] in known)
        return replace(self, decimal=kept)

    def apply(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        """The table by these rules; it is not changed. Columns that it lacks are passed over.

        Raises:
            DataError: if a column that is to be put into bins is not one of numbers.
        """
        known = {} if was_rewritten(frame) else self.marks
        marks = {name: mark for name, mark in known.items() if name in frame}
        cleaned = self.cleaned(frame, marks)
        frame = frame.assign(**cleaned) if cleaned else frame
        texts = {name: frame[name] for name in marks if is_textual(frame[name])}
        new = {name: rewritten(values, marks[name]) for name, values in texts.items()}
        new |= {n: _numbers_alone(values) for n, values in cleaned.items() if n not in new}
        frame = frame.assign(**new) if new else frame
        if bins := [edges(text) for text in self.bin]:
            new = {name: binned(frame[name], result) for name, result in bins if name in frame}
            frame = frame.assign(**new)
        return frame

    def cleaned(
        self, frame: "pd.DataFrame", marks: Mapping[str, str]
    ) -> dict[str, "pd.Series[Any]"]:
        """The columns with words for missing values, without these."""
        result = {}
        for name, values in frame.items() if self.na else ():
            words = marks.get(str(name), frame.attrs.get("decimal", ""))
            found = have_words(values, self.na, words, marks.get(str(name), ""))
            if found.any():
                result[str(name)] = values.mask(found)
        return result

    def to_dict(self) -> dict[str, list[str]]:
        """A JSON-ready form; what is not used is not there."""
        keys = (*_KEYS, "decimal")
        return {key: list(getattr(self, key)) for key in keys if getattr(self, key)}

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> "Rules":
        """The rules that ``to_dict`` gave, among other entries.

        Raises:
            DataError: if an entry is not one of ours.
        """
        entries = Form(form, "encoder")
        given: Any = {key: entries.texts(key) for key in _KEYS if key in form}
        try:
            rules = cls.of(TableOptions(**given))
        except OptionError as error:
            raise DataError(f"encoder: {error}") from error
        rules = replace(rules, decimal=entries.texts("decimal") if "decimal" in form else ())
        if len(rules.marks) < len(rules.decimal) or not {*rules.marks.values()} <= {*_MARKS}:
            raise DataError(
                "encoder: 'decimal': expected texts such as 'pay=,', of different columns"
            )
        return rules


def was_rewritten(frame: "pd.DataFrame") -> bool:
    """Whether numbers in texts were rewritten as the table was read."""
    return bool(frame.attrs.get("decimal"))


def have_words(
    values: "pd.Series[Any]", words: Sequence[str], mark: str = "", own: str = ""
) -> np.ndarray:
    """(n,) whether a value is one of these texts, or one of the numbers that they are.

    Args:
        values: the column.
        words: the texts.
        mark: the decimal mark of the words; empty if it is not known.
        own: that of the column.
    """
    import pandas as pd
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    none = np.zeros(len(values), dtype=bool)
    meant = {number for word in words if (number := number_of(word, mark)) is not None}
    if is_numeric_dtype(values.dtype):
        return none if is_bool_dtype(values.dtype) else values.isin(meant).to_numpy(dtype=bool)
    try:
        code, kinds = pd.factorize(values)
    except TypeError:  # lists and the like
        return none
    is_word = [str(kind).strip() in words or number_of(kind, own) in meant for kind in kinds]
    result: np.ndarray = np.array([*is_word, False], dtype=bool)[code]
    return result


def _numbers_alone(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """A column of texts that are all numbers as these; another one as it is."""
    import pandas as pd

    if not is_textual(values):
        return values
    result = numerals(values)
    if not result.n_numbers or result.strays:
        return values
    return pd.Series(result.values, index=values.index, name=values.name)


def binned(values: "pd.Series[Any]", inner: Sequence[float]) -> "pd.Series[Any]":
    """A column of numbers as the names of their bins; an edge belongs to the bin below it.

    Raises:
        DataError: if the column is not one of numbers.
    """
    import pandas as pd

    if of_numbers(values):
        numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        result = numerals(values)
        if not result.mostly:
            raise DataError(f"column {values.name!r}: expected numbers to put into bins")
        numbers = result.values
    names = bin_names(inner)
    code = np.searchsorted(np.array(inner), numbers)
    texts = np.array([*names, None], dtype=object)
    code[np.isnan(numbers)] = len(names)
    return pd.Series(texts[code], index=values.index, name=values.name)


def bin_names(inner: Sequence[float]) -> tuple[str, ...]:
    """How the bins between these edges are called, from below."""
    first, *rest = map(written, inner)
    between = [f"over {low} up to {high}" for low, high in zip([first, *rest], rest, strict=False)]
    return (f"up to {first}", *between, f"over {[first, *rest][-1]}")
