"""Where a command begins to work: what it needs is loaded, and Ctrl-C and options are told of."""

import os
import re
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import wraps
from importlib import import_module
from typing import Any, Final

from dralign.errors import DralignError, OptionError
from dralign.interrupts import hear_interrupts, terminations_raised
from dralign.workers import RUN_FOLDER

KEPT: Final = "interrupted; finished trials are kept, the same command continues"
NOTHING: Final = "interrupted; nothing was written"
# The settings that the line of an error begins with: "epochs: ...", "drop and keep_columns: ...".
_ABOUT: Final = re.compile(r"(\w+(?: and \w+)*)(?=: )")


class Interrupted(Exception):  # noqa: N818 - no error
    """Ctrl-C in a command, with what is to be said of it."""


class NotLoadedError(Exception):
    """A module can't be imported, for a reason that is none of ours."""


def working(
    *modules: str,
    interrupted: str | Callable[[Mapping[str, Any]], str],
    called: Mapping[str, str] | None = None,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Declares what a command loads when its options are read, and what it says after Ctrl-C.

    Args:
        *modules: those of the package that its body imports. They are imported before it begins:
            Ctrl-C while compiled modules are imported is not always a ``KeyboardInterrupt``.
        interrupted: what has then become of its work, or what gives that for the options of the
            call.
        called: the option that gives a setting of another name, by that name.
    """

    def declared(body: Callable[..., None]) -> Callable[..., None]:
        @wraps(body)
        def run(*args: object, **given: object) -> None:
            for name in modules:
                imported(name)
            hear_interrupts()
            # A process of several has a launcher, which can't wait until it hears.
            raised = nullcontext() if RUN_FOLDER in os.environ else terminations_raised()
            try:
                with raised:
                    body(*args, **given)
            except KeyboardInterrupt:
                line = interrupted if isinstance(interrupted, str) else interrupted(given)
                raise Interrupted(line) from None
            except OptionError as error:
                raise OptionError(as_typed(str(error), given, called or {})) from error

        return run

    return declared


def as_typed(line: str, given: Mapping[str, Any], called: Mapping[str, str]) -> str:
    """The line of an error with settings as the options that were typed: --epochs, not epochs.

    Args:
        line: of the error.
        given: the parameters of the command.
        called: the parameter that gives a setting of another name.
    """
    about = _ABOUT.match(line)
    names = [called.get(name, name) for name in about[0].split(" and ")] if about else []
    if about is None or not all(name in given for name in names):
        return line
    options = " and ".join(f"--{name.replace('_', '-')}" for name in names)
    return options + line[about.end() :]


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
