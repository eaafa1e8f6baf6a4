"""Settings: each declared once, with its default, range, help and panel.

The command line, plans, content hashes, table notes, checks and the reference page
(docs/settings.md) are made of these declarations.
"""

import math
import numbers
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from dralign.errors import OptionError, quoted, unknown

Layers = Literal["all"] | int | tuple[str, ...]
Kind = Literal["number", "count", "choice", "text", "texts", "layers", "flag", "own"]
Panel = Literal["data", "method", "network", "training", "images", "output"]
UNSET: Final = "<no value>"  # no value of any setting


@dataclass(frozen=True)
class Setting:
    """One setting of a trial.

    Attributes:
        name: as it is written in Python, plans and records; with dashes on the command line.
        help: one sentence for a person.
        kind: of its values.
        default: what None stands for, or a function of the settings resolved before it.
        off: the value of a trial that does not use it; the default unless said otherwise. It is
            left out of content hashes, so that a setting that is added later leaves the hashes of
            older trials alone.
        least: the smallest number that it may be.
        most: the largest.
        positive: whether it must be above 0.
        choices: the texts that it may be, or a function that finds them, as packages may add some;
            empty for any.
        optional: whether None is a value of its own.
        read: makes the one form of a value of the kind "own", in which it is kept and written.
        when: whether it means anything beside the others; None for always.
        panel: the heading that it stands under in ``--help``.
        sign: how it is written in tables and figures, for example λ; empty for its name.
    """

    name: str
    help: str
    kind: Kind
    default: Any = None
    off: Any = UNSET
    least: float = -math.inf
    most: float = math.inf
    positive: bool = False
    choices: tuple[str, ...] | Callable[[], tuple[str, ...]] = ()
    optional: bool = False
    read: Callable[[Any], Any] | None = None
    when: Callable[[Mapping[str, Any]], bool] | None = None
    panel: Panel = "method"
    sign: str = ""

    def __post_init__(self) -> None:
        """Fills in what a trial that does not use it has."""
        if self.off == UNSET:
            object.__setattr__(self, "off", None if callable(self.default) else self.default)

    @property
    def words(self) -> str:
        """Its name for a person."""
        return self.sign or self.name.replace("_", " ")

    @property
    def known(self) -> tuple[str, ...]:
        """The texts that it may be; empty for any."""
        return self.choices() if callable(self.choices) else self.choices

    def checked(self, value: Any) -> Any:  # noqa: ANN401 - of any kind
        """The value in its one form: 1 becomes 1.0 where a number is meant, -0.0 becomes 0.0.

        Raises:
            OptionError: if it is of another kind, unknown, or not in range.
        """
        if value is None and self.optional:
            return None
        return _CHECKS[self.kind](self, value) if self.read is None else self.read(value)

    def parsed(self, text: str | Sequence[str]) -> Any:  # noqa: ANN401 - of any kind
        """The value that a text of the command line stands for; of the kind "texts", several.

        Raises:
            OptionError: if it stands for none.
        """
        read: Callable[[Any], Any] = _READERS.get(self.kind, str)
        try:
            value = read(text)
        except ValueError:
            value = text  # which the check refuses in words
        return self.checked(value)


def resolved(settings: Sequence[Setting], given: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting with its value: what is given, or else its default.

    Args:
        settings: in their order; the default of one may depend on those before it.
        given: values by name; None stands for the default, unless it is a value of its own.

    Raises:
        OptionError: if a value is not one of the setting, or means nothing beside the others.
    """
    own: dict[str, Any] = {}
    for setting in settings:
        value = given.get(setting.name)
        if value is None:
            value = setting.default(own) if callable(setting.default) else setting.default
        own[setting.name] = setting.checked(value)
    for setting in settings:
        if setting.when is not None and not setting.when(own) and own[setting.name] != setting.off:
            raise OptionError(
                f"{setting.name}: means nothing beside the other settings, got "
                f"{quoted(own[setting.name])}"
            )
    return own


def _number(setting: Setting, value: object) -> float:
    """A finite float; adding 0.0 turns -0.0 into 0.0.

    Raises:
        OptionError: if it is none, or not in range.
    """
    bounded = f"a number from {setting.least:g} up" if setting.least > -math.inf else "a number"
    wanted = "a positive number" if setting.positive else bounded
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    number = float(cast("float", value)) + 0.0 if real else math.nan
    if not math.isfinite(number) or number < setting.least or (setting.positive and number <= 0):
        raise OptionError(f"{setting.name}: expected {wanted}, got {quoted(value)}")
    if number > setting.most:
        raise OptionError(f"{setting.name}: expected {setting.most:g} at most, got {quoted(value)}")
    return number


def _count(setting: Setting, value: Any) -> int:  # noqa: ANN401 - that is what is tried
    """A whole number from ``least`` up.

    Raises:
        OptionError: if it is none.
    """
    try:
        count = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        count = None
    if count is None or not setting.least <= count < 2**63:  # what a column of a table can hold
        raise OptionError(
            f"{setting.name}: expected a whole number from {setting.least:g} up, "
            f"got {quoted(value)}"
        )
    return count


def _choice(setting: Setting, value: object) -> str:
    """One of the known texts.

    Raises:
        OptionError: if it is none of them.
    """
    if not isinstance(value, str) or value not in setting.known:
        raise OptionError(unknown(setting.words, value, setting.known))
    return value


def _text(setting: Setting, value: object) -> str:
    """A text.

    Raises:
        OptionError: if it is none.
    """
    if not isinstance(value, str):
        raise OptionError(f"{setting.name}: expected a text, got {quoted(value)}")
    return value


def _texts(setting: Setting, value: object) -> tuple[str, ...]:
    """Different texts, of which one may come alone.

    Raises:
        OptionError: if they are none.
    """
    texts = (value,) if isinstance(value, str) else value
    if not isinstance(texts, Sequence) or not all(isinstance(text, str) for text in texts):
        raise OptionError(f"{setting.name}: expected texts, got {quoted(value)}")
    if twice := [text for index, text in enumerate(texts) if text in texts[:index]]:
        raise OptionError(f"{setting.name}: {quoted(twice[0])} is given twice")
    return tuple(texts)


def _flag(setting: Setting, value: object) -> bool:
    """True or false.

    Raises:
        OptionError: if it is neither.
    """
    if not isinstance(value, bool):
        raise OptionError(f"{setting.name}: expected true or false, got {quoted(value)}")
    return value


def _layers(setting: Setting, value: object) -> Layers:
    """``all``, a count, or names; whether the network has them is seen later.

    Raises:
        OptionError: if it is none of these.
    """
    if value == "all" or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    if isinstance(value, Sequence) and all(isinstance(name, str) for name in value):
        return (value,) if isinstance(value, str) else tuple(value)
    raise OptionError(f"{setting.name}: expected 'all', a count or names, got {quoted(value)}")


def _layers_of(text: str) -> str | int | tuple[str, ...]:
    """``all``, a count, or names with commas."""
    if text.isdigit():
        return int(text)
    return text if text == "all" else tuple(text.split(","))


_READERS: Final[dict[Kind, Callable[[str], Any]]] = {
    "number": float,
    "count": int,
    "texts": lambda texts: texts,
    "flag": {"True": True, "False": False}.get,
    "layers": _layers_of,
}
_CHECKS: Final[dict[Kind, Callable[[Setting, Any], Any]]] = {
    "number": _number,
    "count": _count,
    "choice": _choice,
    "text": _text,
    "texts": _texts,
    "layers": _layers,
    "flag": _flag,
}
