"""How a table of one's own is read and used: each option is declared once, as a setting."""

import codecs
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from dralign.errors import OptionError, quoted, unknown
from dralign.settings import Setting

SEPARATOR_NAMES: Final = {"tab": "\t", "space": " "}


def _encoding(value: Any) -> str:  # noqa: ANN401 - that is what is tried
    """The name of an encoding of text, in its one form; empty for UTF-8.

    Raises:
        OptionError: if there is no such encoding.
    """
    try:
        known = codecs.lookup(value) if value else None
    except (LookupError, TypeError, ValueError) as error:
        raise OptionError(
            f"encoding: expected a name such as latin-1, cp1252 or utf-16, got {quoted(value)}"
        ) from error
    if known is not None and not getattr(known, "_is_text_encoding", True):
        raise OptionError(f"encoding: {quoted(value)} is not an encoding of text")
    return "" if known is None or known.name == "utf-8" else known.name


def _separator(value: Any) -> str:  # noqa: ANN401 - that is what is tried
    """The mark between columns; empty if it is to be recognised.

    Raises:
        OptionError: if it is not one character.
    """
    mark = SEPARATOR_NAMES.get(value, value) if isinstance(value, str) else None
    if mark is None or len(mark) > 1 or mark in {'"', "\n", "\r", "\x00"}:
        raise OptionError(
            f"sep: expected one character, or {' or '.join(SEPARATOR_NAMES)}, got {quoted(value)}"
        )
    return mark


def edges(text: str) -> tuple[str, tuple[float, ...]]:
    """The column and the inner edges of its bins, of a text such as ``age=25,60``.

    Raises:
        OptionError: if it is not of that form, or the edges do not rise.
    """
    name, equals, listed = text.rpartition("=")
    try:
        result = tuple(float(edge) for edge in listed.split(","))
    except ValueError:
        result = ()
    rising = all(low < high for low, high in pairwise(result))
    if not (name and equals and result and rising and all(map(math.isfinite, result))):
        raise OptionError(f"bin: expected column=edge,edge with rising edges, got {quoted(text)}")
    return name, result


def _bins(value: Any) -> tuple[str, ...]:  # noqa: ANN401 - that is what is tried
    """Texts such as ``age=25,60``, each in its one form.

    Raises:
        OptionError: if one is not of that form, or a column has bins twice.
    """
    texts = (value,) if isinstance(value, str) else value
    if not isinstance(texts, Sequence) or not all(isinstance(text, str) for text in texts):
        raise OptionError(f"bin: expected texts such as age=25,60, got {quoted(value)}")
    parsed = [edges(text) for text in texts]
    names = [name for name, _ in parsed]
    if twice := [name for index, name in enumerate(names) if name in names[:index]]:
        raise OptionError(f"bin: {quoted(twice[0])} has bins twice")
    return tuple(f"{name}={','.join(f'{edge!r}' for edge in result)}" for name, result in parsed)


TABLE: Final = (
    Setting(
        "sep",
        "The mark between columns: one character, tab or space; recognised if not given.",
        "text",
        default="",
        read=_separator,
        panel="data",
    ),
    Setting(
        "decimal",
        "The decimal mark, '.' or ','; recognised column by column if not given.",
        "choice",
        default="",
        choices=("", ".", ","),
        panel="data",
    ),
    Setting(
        "encoding",
        "The encoding of the text, for example latin-1; UTF-8 if not given.",
        "text",
        default="",
        read=_encoding,
        panel="data",
    ),
    Setting(
        "na",
        "A text that stands for a missing value, besides the usual ones.",
        "texts",
        default=(),
        panel="data",
    ),
    Setting("drop", "A column to leave out of the inputs.", "texts", default=(), panel="data"),
    Setting(
        "keep_columns",
        "A column to be an input; the others are then left out.",
        "texts",
        default=(),
        panel="data",
    ),
    Setting(
        "categorical",
        "A column whose numbers are codes: each is a category.",
        "texts",
        default=(),
        panel="data",
    ),
    Setting(
        "bin",
        "Puts numbers into bins: age=25,60 makes 'up to 25', 'over 25 up to 60', 'over 60'.",
        "texts",
        default=(),
        read=_bins,
        panel="data",
    ),
    Setting(
        "drop_missing_label",
        "Leave out rows without a label.",
        "flag",
        default=False,
        panel="data",
    ),
    Setting(
        "min_group_size",
        "Groups of fewer rows are merged into one; if that is too small too, they are no groups.",
        "count",
        default=0,
        least=0,
        panel="data",
    ),
    Setting(
        "favourable",
        "The label value that is good for the person it is about; only recorded and shown.",
        "text",
        default="",
        panel="data",
    ),
    Setting(
        "weight",
        "A column of numbers from 0 up, what each row counts; it is no input.",
        "text",
        default="",
        panel="data",
    ),
    Setting(
        "test",
        "A file whose rows are the test rows; the split is then 75/25.",
        "text",
        default="",
        panel="data",
    ),
    Setting(
        "split_column",
        "The column that says which rows are train, validation and test.",
        "text",
        default="",
        panel="data",
    ),
)
BY_NAME: Final = {setting.name: setting for setting in TABLE}


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """How a table is read and used; what each field means stands in ``TABLE``."""

    sep: str = ""
    decimal: str = ""
    encoding: str = ""
    na: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    keep_columns: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    bin: tuple[str, ...] = ()
    drop_missing_label: bool = False
    min_group_size: int = 0
    favourable: str = ""
    weight: str = ""
    test: str = ""
    split_column: str = ""

    def __post_init__(self) -> None:
        """Brings every option to its one form.

        Raises:
            OptionError: if one is impossible, or contradicts another.
        """
        for setting in TABLE:
            object.__setattr__(self, setting.name, setting.checked(getattr(self, setting.name)))
        if both := sorted({*self.drop} & {*self.keep_columns}):
            raise OptionError(f"drop and keep_columns: both name {quoted(both[0])}")
        if both := sorted({*self.categorical} & {edges(text)[0] for text in self.bin}):
            raise OptionError(f"categorical and bin: both name {quoted(both[0])}")
        if self.weight and self.weight == self.split_column:
            raise OptionError(f"weight and split_column: both name {quoted(self.weight)}")
        named = {*self.keep_columns, *self.categorical, *(edges(text)[0] for text in self.bin)}
        if self.weight in named:
            raise OptionError(f"weight: {quoted(self.weight)} is no input, and is named as one")
        if self.test and self.split_column:
            raise OptionError("test and split_column: give one or the other")

    def given(self) -> dict[str, Any]:
        """The options that are not off, by name."""
        values = {name: getattr(self, name) for name in BY_NAME}
        return {name: value for name, value in values.items() if value != BY_NAME[name].off}

    @classmethod
    def of_keywords(cls, given: Mapping[str, Any]) -> "TableOptions":
        """The options that are given by name.

        Raises:
            OptionError: if one is unknown or impossible.
        """
        if extra := sorted(given.keys() - BY_NAME):
            raise OptionError(unknown("option", extra[0], BY_NAME))
        return cls(**given)
