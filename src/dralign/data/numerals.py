"""Numbers written as text: with a decimal comma, in groups of three, with texts among them."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dralign.data.columns import as_number, noted, of_numbers

if TYPE_CHECKING:
    import pandas as pd

NEARLY_ALL: Final = 0.9  # of the values of a column of numbers are numbers
SLIPS: Final = 100  # texts for one that tells their decimal mark
FEW_NUMBERS: Final = 10  # codes of a few categories may well be numbers, and one of them a text
# What a column of objects may be that are numbers.
LOOSE_NUMBERS: Final = {"integer", "floating", "mixed-integer", "mixed-integer-float"}
# Blanks that keep a number together, and the apostrophe, stand between groups of three too.
_GROUP: Final = "[. \u00a0\u202f']"
_COMMA: Final = re.compile(
    rf"[+-]?(?:0|[1-9][0-9]*|[1-9][0-9]{{0,2}}(?:{_GROUP}[0-9]{{3}})+)(?:,[0-9]+)?"
)
_POINT: Final = re.compile(r"[+-]?[1-9][0-9]{0,2}(?:,[0-9]{3})+(?:\.[0-9]+)?")


@dataclass(frozen=True)
class Numerals:
    """What a column of texts is as numbers.

    Attributes:
        values: (n,) float64, NaN where a value is missing or no number.
        strays: how many rows have each text that is no number.
        n_numbers: rows with a number.
        n_kinds: different texts that are numbers.
        mark: the decimal mark, where it can be told by a comma: ``,``, or ``.`` where commas stand
            between groups of three; else empty.
        unclear: a text such as ``1,234``, where it can't be told which number it is; else empty.
    """

    values: np.ndarray
    strays: Counter[str]
    n_numbers: int
    n_kinds: int
    mark: str
    unclear: str

    @property
    def mostly(self) -> bool:
        """Whether nearly all values are numbers, and it is clear which."""
        known = self.n_numbers + self.strays.total()
        return not self.unclear and self.n_numbers > 0 and self.n_numbers >= NEARLY_ALL * known

    @property
    def is_column_of_numbers(self) -> bool:
        """Whether that is a column of numbers, rather than of categories or keys."""
        few = self.n_kinds <= FEW_NUMBERS and (self.strays or self.mark != ",")
        keys = any(map(str.isdigit, self.strays))  # 007 is one
        return self.mostly and not few and not keys

    def told(self) -> str:
        """The texts that are no numbers, in words; empty if there are none."""
        if not self.strays:
            return ""
        known = self.n_numbers + self.strays.total()
        some = ", ".join(
            f"{text[:30]!r} in {count:,} row{'s' * (count > 1)}"
            for text, count in self.strays.most_common(3)
        )
        more = f" and {len(self.strays) - 3} others" if len(self.strays) > 3 else ""
        verb = "counts" if len(self.strays) == 1 else "count"
        return f"{self.n_numbers:,} of {known:,} values are numbers; {some}{more} {verb} as missing"


def numerals(values: "pd.Series[Any]", mark: str = "") -> Numerals:
    """The numbers of a column of texts, with what is none.

    Args:
        values: the column.
        mark: the decimal mark; empty if it is to be told by the texts.
    """
    import pandas as pd

    code, result = pd.factorize(values)
    kinds = result.tolist()
    texts = [str(value).strip() for value in kinds]
    unclear = ""
    if not mark:
        mark, unclear = _decimal_mark([text for text in kinds if isinstance(text, str)])
    numbers = [number_of(kind, mark) for kind in kinds]
    if unclear:
        pairs = zip(kinds, numbers, strict=True)
        numbers = [None if has_two_meanings(kind) else number for kind, number in pairs]
    numeric = np.array([np.nan if n is None else n for n in numbers] + [np.nan], dtype=np.float64)
    rows = np.bincount(code[code >= 0], minlength=len(texts)).tolist()
    strays = Counter[str]()
    for text, number, count in zip(texts, numbers, rows, strict=True):
        if number is None:
            strays[text] += count
    n_kinds = sum(number is not None for number in numbers)
    n_numbers = sum(rows) - strays.total()
    return Numerals(numeric[code], strays, n_numbers, n_kinds, mark, unclear)


def _decimal_mark(texts: list[str]) -> tuple[str, str]:
    """The decimal mark where there are commas and it can be told, and a text where it can't.

    It is told by the texts that are numbers with one of the marks alone, as ``2,5``, ``1,234,567``
    or ``1,234.5``: most of them decide. A few of them among many that may mean two things, as
    ``52.444``, decide nothing: one slip would make all others a thousand times as large.
    """
    texts = [text.strip() for text in texts if "," in text or "." in text]
    comma = {text for text in texts if _with_comma(text) is not None}
    point = {text for text in texts if _with_point(text) is not None}
    if not any("," in text for text in comma | point):
        return "", ""
    both = sorted(comma & point)
    commas, points = len(comma - point), len(point - comma)
    if both and (commas == points or SLIPS * max(commas, points) < len(both)):
        return "", next((text for text in both if "," in text), both[0])
    return "," if commas >= points else ".", ""


def number_of(value: object, mark: str) -> float | None:
    """The number that a value is, or None.

    A text that is none with this decimal mark (a point if it isn't known) may be with the other.
    """
    if not isinstance(value, str):
        return as_number(str(value))
    text = value.strip()
    first, second = (_with_comma, _with_point) if mark == "," else (_with_point, _with_comma)
    number = first(text)
    return second(text) if number is None else number


def has_two_meanings(value: object) -> bool:
    """Whether a text is another number with another decimal mark, as 1.234 and 1,234."""
    text = value.strip() if isinstance(value, str) else ""
    return len({*filter(None, (_with_comma(text), _with_point(text)))}) > 1


def _with_comma(text: str) -> float | None:
    """The number that a text with a decimal comma is, or None."""
    if not _COMMA.fullmatch(text):
        return None
    return float(re.sub(_GROUP, "", text).replace(",", "."))


def _with_point(text: str) -> float | None:
    """The number that a text with a decimal point is, or None."""
    return float(text.replace(",", "")) if _POINT.fullmatch(text) else as_number(text)


def rewritten(values: "pd.Series[Any]", decimal: str) -> "pd.Series[Any]":
    """Texts with the numbers among them as Python writes them, where the decimal mark is known."""
    import pandas as pd

    code, result = pd.factorize(values)
    texts = [str(value) for value in result.tolist()]
    numbers = [number_of(value, decimal) for value in result.tolist()]
    if texts and all(number is not None for number in numbers):
        column = np.array([*numbers, np.nan], dtype=np.float64)[code]
    else:
        new = [t if n is None else repr(n) for t, n in zip(texts, numbers, strict=True)]
        column = np.array([*new, None], dtype=object)[code]
    return pd.Series(column, index=values.index, name=values.name)


def with_numbers(
    frame: "pd.DataFrame", apart: frozenset[str] = frozenset()
) -> tuple["pd.DataFrame", list[str]]:
    """The table with its columns of numbers as numbers, and what there is to say about them.

    A column of texts is one of numbers if nine in ten of its values are, and more than ten
    different ones; the other texts then count as missing. Where a comma may mean two things, the
    column stays text.

    Args:
        frame: the table, with ``decimal_marks`` of its own in place; it is not changed.
        apart: columns to leave alone.

    Returns:
        The table, and notes: one for the columns with stray texts, one for those that stay text.
    """
    new, strays, unclear = {}, [], []
    for name, result in _texts_as_numbers(frame, apart):
        if result.unclear and result.strays.total():
            if sum(map(has_two_meanings, result.strays)) >= NEARLY_ALL * len(result.strays):
                unclear.append(f"{name!r} (for example {result.unclear!r})")
            continue
        if not result.is_column_of_numbers:
            continue
        new[name] = result.values
        if result.strays:
            strays.append(f"{name!r}: {result.told()}")
    notes = [f"texts among numbers: {noted(strays, between='; ')}"] if strays else []
    if unclear:
        notes.append(
            f"taken as text, for the numbers may be two each: {noted(unclear)}; to say which: "
            "--decimal , or --decimal ."
        )
    return frame.assign(**new) if new else frame, notes


def decimal_marks(
    frame: "pd.DataFrame", apart: frozenset[str] = frozenset(), mark: str = ""
) -> dict[str, str]:
    """The decimal marks of columns of numbers in texts, where commas among them tell it.

    Rows that come later may have none to tell it by: what is 8500 beside ``7.250,50`` would be 8.5.

    Args:
        frame: the table.
        apart: columns to leave alone.
        mark: that of all columns of numbers; empty if it is to be told by the texts.
    """
    read = bool(frame.attrs.get("decimal"))  # its numbers were rewritten then
    texts = _texts_as_numbers(frame, apart, "" if read else mark)
    found = {name: result.mark for name, result in texts if result.is_column_of_numbers}
    if not mark:
        return {name: own for name, own in found.items() if own}
    others = (name for name in frame if name not in apart and name not in found)
    numeric = (n for n in others if of_numbers(frame[n]))
    return dict.fromkeys((*found, *numeric), mark)


def _texts_as_numbers(
    frame: "pd.DataFrame", apart: frozenset[str], mark: str = ""
) -> Iterator[tuple[str, Numerals]]:
    """The columns of texts by name, as numbers."""
    for name, values in frame.items():
        if name not in apart and is_textual(values) and _of_texts(values):
            yield str(name), numerals(values, mark)


def is_textual(values: "pd.Series[Any]") -> bool:
    """Whether a column may hold texts."""
    from pandas.api.types import is_object_dtype, is_string_dtype

    return bool(is_object_dtype(values.dtype) or is_string_dtype(values.dtype))


def _of_texts(values: "pd.Series[Any]") -> bool:
    """Whether a column holds texts, or texts and numbers, and nothing else."""
    from pandas.api.types import infer_dtype

    kind = infer_dtype(values, skipna=True)
    if kind in {"string", "decimal", *LOOSE_NUMBERS}:
        return True
    return kind == "mixed" and {type(value) for value in values.dropna()} <= {str, float, int}
