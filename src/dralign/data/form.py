"""Checked access to a JSON form that may come from anyone."""

import math
from collections.abc import Mapping
from typing import Any

from dralign.errors import DataError


class Form:
    """A JSON object whose entries are checked as they are taken.

    Args:
        content: the parsed JSON.
        where: what it is, for messages.

    Raises:
        DataError: by every method, if the entry is missing or of another type.
    """

    def __init__(self, content: object, where: str) -> None:
        self.where = where
        if not isinstance(content, Mapping):
            raise DataError(f"{where}: expected a JSON object, got {type(content).__name__}")
        self.content = content

    def text(self, key: str) -> str:
        """A text."""
        return str(self._take(key, str, "a text"))

    def flag(self, key: str) -> bool:
        """True or false."""
        return bool(self._take(key, bool, "true or false"))

    def number(self, key: str) -> float:
        """A finite number."""
        return self._finite(key, self._take(key, (int, float), "a number"))

    def numbers(self, key: str, count: int) -> tuple[float, ...]:
        """A list of ``count`` finite numbers."""
        entries = self.entries(key)
        if len(entries) != count:
            raise self._wrong(key, f"{count} numbers, got {len(entries)}")
        return tuple(self._finite(key, entry) for entry in entries)

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of different texts."""
        entries = self.entries(key)
        if not all(isinstance(entry, str) for entry in entries):
            raise self._wrong(key, "a list of texts")
        if len(set(entries)) < len(entries):
            raise self._wrong(key, "different texts, got one of them twice")
        return tuple(entries)

    def entries(self, key: str) -> list[Any]:
        """A list."""
        return list(self._take(key, (list, tuple), "a list"))

    def only(self, *keys: str) -> None:
        """Checks that there are no other keys."""
        for key in self.content:
            if key not in keys:
                raise DataError(f"{self.where}: unknown entry {str(key)[:50]!r}")

    def _take(self, key: str, kind: type | tuple[type, ...], wanted: str) -> Any:  # noqa: ANN401
        if key not in self.content:
            raise DataError(f"{self.where}: the entry {key!r} is missing")
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

    def _wrong(self, key: str, wanted: str) -> DataError:
        return DataError(f"{self.where}: {key!r} must be {wanted}")
