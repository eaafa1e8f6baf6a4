"""The command line: parse, call, show progress, print."""

from dralign.tiers import require

require("the command line", "rich", "typer")

import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TextIO

import typer

from dralign.cli.commands import CommandLine
from dralign.cli.lines import complain, forget_warnings, warn_once
from dralign.cli.work import Interrupted, NotLoadedError
from dralign.errors import DralignError
from dralign.interrupts import INTERRUPTED, Terminated, hear_interrupts, silence_interrupts
from dralign.workers import left_to_launcher

# What torch and the system say, as other errors, where Python says MemoryError.
_NO_MEMORY = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "can't start new thread",
    "failed to map segment",
)
_ACCOUNTS: tuple[tuple[type[BaseException], Callable[[Any], str], int], ...] = (
    (typer.TyperException, lambda error: _hinted(error.format_message()), 2),
    (Interrupted, str, INTERRUPTED),
    (KeyboardInterrupt, lambda _: "interrupted", INTERRUPTED),
    (NotLoadedError, str, 1),
    (DralignError, str, 2),
    (OSError, lambda error: f"{error.filename or 'system'}: {error.strerror or error}", 1),
    (RecursionError, lambda _: "something that was given is nested too deeply", 2),
    (MemoryError, lambda error: f"out of memory: {error}".removesuffix(": "), 1),
)

app = typer.Typer(
    cls=CommandLine,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Train classifiers whose decision rationale differs less between groups, and judge them.",
)


@app.callback(invoke_without_command=True)
def _root(
    *,
    version: bool = typer.Option(False, "--version", help="Print the version and stop."),
) -> None:
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"dralign {installed('dralign')}")
        raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Returns:
        0 if all went well; 1 if some trials failed or the system refused something; 2 for input
        that can't be used; 130 after an interrupt, 143 after SIGTERM, 129 after SIGHUP.
    """
    warnings.showwarning = _show_warning
    forget_warnings()
    try:
        given = sys.argv[1:] if arguments is None else list(arguments)
        code = int(app(given, standalone_mode=False, obj=given) or 0)
    except (Exception, KeyboardInterrupt, Terminated) as error:  # noqa: BLE001 - unknown ones are raised again
        silence_interrupts()  # a second Ctrl-C while the first one is told of
        try:
            line, code = _account(error)
            _tell(line)
        finally:
            hear_interrupts()
        return code
    # Typer turns an interrupt outside of these commands into this code by itself.
    if code == INTERRUPTED:
        _tell("interrupted")
    return code


def _account(error: BaseException) -> tuple[str, int]:
    """The line and the exit code for what ended a command; what is a bug of ours is raised."""
    if isinstance(error, Terminated):
        return str(error), error.code
    foreign = isinstance(error, (RuntimeError, ImportError)) and not isinstance(error, DralignError)
    if foreign and any(words in str(error) for words in _NO_MEMORY):
        error = MemoryError(str(error).partition("\n")[0])
    for kind, line, code in _ACCOUNTS:
        if isinstance(error, kind):
            return line(error), code
    raise error


def _hinted(message: str) -> str:
    """What typer says of the arguments, with what mostly was meant."""
    if message.startswith("Got unexpected extra argument"):
        return f"{message}; several values of an option take commas without spaces: 0.2,0.4"
    return message


def _tell(line: str) -> None:
    """Prints the line of an error; one of several processes leaves that to the one they share."""
    if not left_to_launcher(line):
        complain(line)


def _show_warning(
    message: Warning | str,
    category: type[Warning],  # noqa: ARG001
    filename: str,  # noqa: ARG001
    lineno: int,  # noqa: ARG001
    file: TextIO | None = None,  # noqa: ARG001
    line: str | None = None,  # noqa: ARG001
) -> None:
    """A warning as one line, without the place in the source that means nothing to a user."""
    warn_once(str(message))
