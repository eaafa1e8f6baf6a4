"""What is known by a name, and what installed packages add to it."""

from collections.abc import Iterable
from functools import cache
from importlib.metadata import entry_points
from typing import Final, Generic, Protocol, TypeVar

from dralign.errors import OptionError, unknown

ENTRY_POINTS: Final = "dralign.extensions"  # modules of installed packages that register more


class Named(Protocol):
    """Something that declares its own name."""

    @property
    def name(self) -> str:
        """By which users choose it."""
        ...


Entry = TypeVar("Entry", bound=Named)


class Registry(Generic[Entry]):
    """Methods, gaps and the like by name, in the order in which they were registered.

    Whatever is looked up, installed packages are asked first what they add.
    """

    def __init__(self, what: str, entries: Iterable[Entry] = ()) -> None:
        """Registers what is there from the start.

        Args:
            what: what an entry is, in messages.
            entries: those that need no extension.
        """
        self._what = what
        self._entries = {entry.name: entry for entry in entries}

    def add(self, entry: Entry) -> None:
        """Makes an entry known by its name.

        Raises:
            OptionError: if the name is taken.
        """
        self.require_free(entry.name)
        self._entries[entry.name] = entry

    def require_free(self, name: str) -> None:
        """Checks that nothing has the name yet.

        Raises:
            OptionError: if it is taken.
        """
        if name in self._entries:
            raise OptionError(f"{self._what}: {name!r} is known already")

    def remove(self, name: str) -> None:
        """Forgets an entry; for tests."""
        self._entries.pop(name, None)

    def find(self, name: str) -> Entry:
        """The entry called ``name``.

        Raises:
            OptionError: if there is none.
        """
        load_extensions()
        if name not in self._entries:
            raise OptionError(unknown(self._what, name, self._entries))
        return self._entries[name]

    def all(self) -> tuple[Entry, ...]:
        """Every entry."""
        load_extensions()
        return self.so_far()

    def so_far(self) -> tuple[Entry, ...]:
        """Those that are registered now: what an extension that is being loaded can look at."""
        return tuple(self._entries.values())


@cache
def load_extensions() -> None:
    """Imports the modules that installed packages name, once, also in worker processes."""
    for result in entry_points(group=ENTRY_POINTS):
        result.load()
