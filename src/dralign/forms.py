"""JSON that may come from anyone: read and checked in one place, written by one rule."""

import json
import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Any, Final

from dralign.errors import DataError, DralignError, quoted

_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")  # in JSON; halves of pairs among them
_UNSHOWN: Final = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # categories of Unicode
BEYOND: Final = 1e100  # all sense: no figure of ours is as large
_OBJECT: Final = (dict, Mapping)  # the second takes much longer to find out
_JOINERS: Final = "\u200c\u200d"  # which words of some writings, and some emoji, need


def plain(value: Any) -> Any:  # noqa: ANN401 - whatever JSON can hold
    """The value as JSON can hold it: keys are texts; NaN and infinity are None."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def to_json(value: object, *, indent: int | None = None) -> str:
    """The value as strict JSON, in which what is undefined is null."""
    separators = (",", ":") if indent is None else None
    return json.dumps(plain(value), indent=indent, separators=separators, allow_nan=False)


def parse_json(text: str | bytes, where: str, *, error: type[DralignError] = DataError) -> Any:  # noqa: ANN401
    """The value that a JSON text holds; every text in it can be written down and shown.

    Args:
        text: the text; bytes are UTF-8.
        where: what it is, for messages.
        error: what is raised.

    Raises:
        DralignError: the ``error``, if it is not JSON, nested too deeply, holds a number too long
            to read, or a text with half a surrogate pair.
    """
    try:
        given = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        given.encode()
        value = json.loads(given)
        if _SURROGATE.search(given):
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as reason:  # UnicodeError is a ValueError
        raise error(f"{where}: truncated or not JSON") from reason
    return value


class Form:
    """A JSON object whose entries are checked as they are taken.

    Args:
        content: the parsed JSON.
        where: what it is, for messages.
        error: what every method raises if the entry is missing or of another type.

    Raises:
        DralignError: the ``error``, if it is not an object.
    """

    def __init__(
        self, content: object, where: str, *, error: type[DralignError] = DataError
    ) -> None:
        self.where, self.error = where, error
        if not isinstance(content, _OBJECT):
            raise error(f"{where}: expected a JSON object, got {type(content).__name__}")
        self.content = content

    def text(self, key: str) -> str:
        """A text."""
        return str(self._take(key, str, "a text"))

    def flag(self, key: str) -> bool:
        """True or false."""
        return bool(self._take(key, bool, "true or false"))

    def integer(self, key: str, least: int = 0, most: int = 2**62) -> int:
        """A whole number from ``least`` to ``most``."""
        value = int(self._take(key, int, "a whole number"))
        if not least <= value <= most:
            raise self._wrong(key, f"from {least} to {most}, got {value}")
        return value

    def form(self, key: str) -> "Form":
        """An object inside of this one."""
        return Form(self._take(key, _OBJECT, "an object"), f"{self.where}, {key}", error=self.error)

    def number(self, key: str) -> float:
        """A finite number."""
        return self._finite(key, self._take(key, (int, float), "a number"))

    def numbers(self, key: str, count: int) -> tuple[float, ...]:
        """A list of ``count`` finite numbers."""
        entries = self.entries(key)
        if len(entries) != count:
            raise self._wrong(key, f"{count} numbers, got {len(entries)}")
        return tuple(self._finite(key, entry) for entry in entries)

    def texts(self, key: str, *, different: bool = True) -> tuple[str, ...]:
        """A list of texts; of different ones if not told otherwise."""
        entries = self.entries(key)
        if not all(isinstance(entry, str) for entry in entries):
            raise self._wrong(key, "a list of texts")
        if different and len(set(entries)) < len(entries):
            raise self._wrong(key, "different texts, got one of them twice")
        return tuple(entries)

    def entries(self, key: str) -> list[Any]:
        """A list."""
        return list(self._take(key, (list, tuple), "a list"))

    def only(self, *keys: str) -> None:
        """Checks that there are no other keys."""
        if extra := self.content.keys() - keys:
            raise self.error(f"{self.where}: unknown entry {quoted(min(map(str, extra)))}")

    def _take(self, key: str, kind: type | tuple[type, ...], wanted: str) -> Any:  # noqa: ANN401
        if key not in self.content:
            raise self.error(f"{self.where}: the entry {quoted(key)} is missing")
        value = self.content[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self._wrong(key, f"{wanted}, got {type(value).__name__}")
        return value

    def _finite(self, key: str, value: object) -> float:
        try:
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                number = float(value)
                if math.isfinite(number):
                    return number
        except OverflowError:  # an int beyond the range of floats
            pass
        raise self._wrong(key, "finite numbers")

    def _wrong(self, key: str, wanted: str) -> DralignError:
        return self.error(f"{self.where}: {quoted(key)} must be {wanted}")

    def amount(self, key: str) -> float:
        """A number from 0 up that is not beyond all sense."""
        value = self.number(key)
        if not 0 <= value < BEYOND:
            raise self._wrong(key, f"a number from 0 up, below {BEYOND:g}, got {value:g}")
        return value

    def figure(self, key: str) -> float:
        """A number that may be undefined: NaN for null, and for what is not finite."""
        value = self._take(key, (int, float, type(None)), "a number or null")
        if isinstance(value, float):
            return value if math.isfinite(value) else math.nan
        return self._figures(key, {key: self.content[key]})[key]

    def figures(self, key: str) -> dict[str, float]:
        """Numbers by name, none beyond all sense; each may be undefined, as in ``figure``."""
        result = self._figures(key, self._take(key, _OBJECT, "an object"))
        values = result.values()
        # NaN may hide others from both.
        known = values if math.isfinite(sum(values)) else [v for v in values if not math.isnan(v)]
        if known and not -BEYOND < min(known) <= max(known) < BEYOND:
            raise self._wrong(key, f"numbers within ±{BEYOND:g}")
        return result

    def _figures(self, key: str, result: Mapping[str, Any]) -> dict[str, float]:
        """The numbers as floats."""
        values = result.values()
        kinds = set(map(type, values))
        # All but a few are finite floats, and there are millions of them in a large study.
        if kinds <= {float} and math.isfinite(sum(values)):
            return result if isinstance(result, dict) else dict(result)
        if not kinds <= {float, int, type(None)}:
            raise self._wrong(key, "numbers or null")
        try:
            figures = {n: math.nan if v is None else float(v) for n, v in result.items()}
        except OverflowError:  # an int beyond the range of floats
            raise self._wrong(key, "finite numbers") from None
        return {
            name: value if math.isfinite(value) else math.nan for name, value in figures.items()
        }


def shown(text: str) -> str:
    r"""A text from outside on one line: what moves the cursor or turns the writing is spelt out.

    Control characters, line breaks, marks of the writing's direction and halves of surrogate pairs
    become ``\x1b`` or ``\u202e``; all else, of whatever writing, stays.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        ascii(sign)[1:-1]
        if unicodedata.category(sign) in _UNSHOWN and sign not in _JOINERS
        else sign
        for sign in text
    )


def csv_text(value: object) -> object:
    """A cell of a CSV file: a text that a spreadsheet would take for a formula begins with ``'``.

    Anything but a text stays what it is.
    """
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value
