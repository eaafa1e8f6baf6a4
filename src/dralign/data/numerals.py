"""Numbers written as text: with a decimal comma, in groups of three, with texts among them."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dralign.data.columns import as_number, noted

if TYPE_CHECKING:
    import pandas as pd

NEARLY_ALL: Final = 0.9  # of the values of a column of numbers are numbers
FEW_NUMBERS: Final = 10  # codes of a few categories may well be numbers, and one of them a text
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
        comma: a number written with a decimal comma, if they are; else empty.
        unclear: a text such as ``1,234``, where it can't be told what the comma means; else empty.
    """

    values: np.ndarray
    strays: Counter[str]
    n_numbers: int
    n_kinds: int
    comma: str
    unclear: str

    @property
    def mostly(self) -> bool:
        """Whether nearly all values are numbers, and it is clear which."""
        known = self.n_numbers + self.strays.total()
        return not self.unclear and self.n_numbers > 0 and self.n_numbers >= NEARLY_ALL * known

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


def numerals(values: "pd.Series[Any]") -> Numerals:
    """The numbers of a column of texts, with what is none."""
    import pandas as pd

    code, result = pd.factorize(values)
    texts = [str(value).strip() for value in result.tolist()]
    comma, unclear = _commas(texts)
    parse = _with_comma if comma else _with_point
    numbers = [None if unclear and "," in text else parse(text) for text in texts]
    numeric = np.array([np.nan if n is None else n for n in numbers] + [np.nan], dtype=np.float64)
    rows = np.bincount(code[code >= 0], minlength=len(texts)).tolist()
    strays = Counter[str]()
    for text, number, count in zip(texts, numbers, rows, strict=True):
        if number is None:
            strays[text] += count
    n_kinds = sum(number is not None for number in numbers)
    n_numbers = sum(rows) - strays.total()
    return Numerals(numeric[code], strays, n_numbers, n_kinds, comma, unclear)


def _commas(texts: list[str]) -> tuple[str, str]:
    """A text with a decimal comma if there are any, and one whose comma can't be told.

    A comma is one of groups if each stands before three digits, and somewhere there are two of them
    or a point as well; it is a decimal comma if somewhere it can't be one of groups.
    """
    commas = [text for text in texts if "," in text]
    decimal = next((t for t in commas if _COMMA.fullmatch(t) and not _POINT.fullmatch(t)), "")
    grouped = [text for text in commas if _POINT.fullmatch(text)]
    if decimal or not grouped:
        return decimal, ""
    points = any("." in text and _with_point(text) is not None for text in texts)
    if points or any(text.count(",") > 1 for text in grouped):
        return "", ""
    return "", grouped[0]


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

    parse: Callable[[str], float | None] = _with_comma if decimal == "," else _with_point
    code, result = pd.factorize(values)
    texts = [str(value) for value in result.tolist()]
    numbers = [parse(text.strip()) for text in texts]
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
        frame: the table; it is not changed.
        apart: columns to leave alone.

    Returns:
        The table, and notes: one for the columns with stray texts, one for those that stay text.
    """
    from pandas.api.types import is_object_dtype, is_string_dtype

    new, strays, unclear, commas = {}, [], [], []
    for name, values in frame.items():
        textual = is_object_dtype(values.dtype) or is_string_dtype(values.dtype)
        if name in apart or not textual or not _of_texts(values):
            continue
        result = numerals(values)
        if result.unclear and result.strays.total():
            if sum("," in text for text in result.strays) >= NEARLY_ALL * len(result.strays):
                unclear.append(f"{name!r} (for example {result.unclear!r})")
            continue
        few = result.n_kinds <= FEW_NUMBERS and (result.strays or not result.comma)
        if few or not result.mostly or any(map(str.isdigit, result.strays)):  # 007 is a key
            continue
        new[name] = result.values
        if result.strays:
            strays.append(f"{name!r}: {result.told()}")
        if result.comma:
            commas.append(repr(name))
    notes = [f"texts among numbers: {noted(strays, between='; ')}"] if strays else []
    if unclear:
        notes.append(
            f"taken as text, for a comma may mean two things: {noted(unclear)}; to say which: "
            "--decimal , or --decimal ."
        )
    table = frame.assign(**{str(name): values for name, values in new.items()}) if new else frame
    if commas:
        table.attrs["commas"] = tuple(commas)
    return table, notes


def _of_texts(values: "pd.Series[Any]") -> bool:
    """Whether a column holds texts, or texts and numbers, and nothing else."""
    from pandas.api.types import infer_dtype

    kind = infer_dtype(values, skipna=True)
    if kind in {"string", "mixed-integer", "integer", "floating", "decimal"}:
        return True
    return kind == "mixed" and {type(value) for value in values.dropna()} <= {str, float, int}
