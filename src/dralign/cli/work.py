"""Where a command begins to work: what it needs is loaded, and Ctrl-C is told of."""

from collections.abc import Callable, Mapping
from functools import wraps
from importlib import import_module
from typing import Any, Final

from dralign.errors import DralignError
from dralign.interrupts import hear_interrupts

KEPT: Final = "interrupted; finished trials are kept, the same command continues"
NOTHING: Final = "interrupted; nothing was written"


class Interrupted(Exception):  # noqa: N818 - no error
    """Ctrl-C in a command, with what is to be said of it."""


class NotLoadedError(Exception):
    """A module can't be imported, for a reason that is none of ours."""


def working(
    *modules: str, interrupted: str | Callable[[Mapping[str, Any]], str]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Declares what a command loads when its options are read, and what it says after Ctrl-C.

    Args:
        *modules: those of the package that its body imports. They are imported before it begins:
            Ctrl-C while compiled modules are imported is not always a ``KeyboardInterrupt``.
        interrupted: what has then become of its work, or what gives that for the options of the
            call.
    """

    def declared(body: Callable[..., None]) -> Callable[..., None]:
        @wraps(body)
        def run(*args: object, **given: object) -> None:
            for name in modules:
                imported(name)
            hear_interrupts()
            try:
                body(*args, **given)
            except KeyboardInterrupt:
                line = interrupted if isinstance(interrupted, str) else interrupted(given)
                raise Interrupted(line) from None

        return run

    return declared


def imported(name: str) -> object:
    """The module of that name.

    Raises:
        DralignError: if something it needs is not installed.
        NotLoadedError: if it can't be imported.
    """
    try:
        return import_module(name)
    except DralignError:
        raise
    except (ImportError, MemoryError, OSError) as error:  # too little memory, or badly installed
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise NotLoadedError(f"the program can't be loaded: {reason}") from error
