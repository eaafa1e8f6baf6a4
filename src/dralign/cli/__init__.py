"""The command line: parse, call, show progress, print."""

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, TextIO

import typer

from dralign.cli.audit import audit
from dralign.cli.compare import compare
from dralign.cli.console import complain, forget_warnings, warn_once
from dralign.cli.data import data
from dralign.cli.export import export
from dralign.cli.predict import predict
from dralign.cli.report import report
from dralign.cli.reproduce import reproduce
from dralign.cli.sweep import sweep
from dralign.cli.train import train
from dralign.errors import DralignError
from dralign.training import left_to_launcher

INTERRUPTED = 130
KEPT = "interrupted; finished trials are kept, the same command continues"
NOTHING = "interrupted; nothing was written"
# What torch and the system say, as other errors, where Python says MemoryError.
_NO_MEMORY = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "can't start new thread",
    "failed to map segment",
)


class _Interrupted(Exception):  # noqa: N818 - no error
    """Ctrl-C in a command, with what is to be said of it."""


_ACCOUNTS: tuple[tuple[type[BaseException], Callable[[Any], str], int], ...] = (
    (typer.TyperException, lambda error: error.format_message(), 2),
    (_Interrupted, str, INTERRUPTED),
    (KeyboardInterrupt, lambda _: "interrupted", INTERRUPTED),
    (DralignError, str, 2),
    (OSError, lambda error: f"{error.filename or 'system'}: {error.strerror or error}", 1),
    (RecursionError, lambda _: "something that was given is nested too deeply", 2),
    (MemoryError, lambda error: f"out of memory: {error}".removesuffix(": "), 1),
)


def _telling(
    command: Callable[..., None], line: str | Callable[[Mapping[str, Any]], str]
) -> Callable[..., None]:
    """The command, which says after Ctrl-C what has become of its work.

    Args:
        command: the command.
        line: what it says, or what gives that for the options of the call.
    """

    @wraps(command)
    def run(*args: object, **given: object) -> None:
        try:
            command(*args, **given)
        except KeyboardInterrupt:
            raise _Interrupted(line if isinstance(line, str) else line(given)) from None

    return run


def _of_training(given: Mapping[str, Any]) -> str:
    """What an interrupted training leaves."""
    folder: Path | None = given["checkpoints"]
    if folder is not None and folder.is_dir() and any(folder.iterdir()):
        return f"interrupted; the same command continues from {folder}"
    return "interrupted; no network was written"


app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Train classifiers whose decision rationale differs less between groups, and judge them.",
)
for command, line in (
    (compare, KEPT),
    (sweep, KEPT),
    (report, "interrupted"),
    (reproduce, KEPT),
    (export, NOTHING),
    (train, _of_training),
    (predict, NOTHING),
    (audit, NOTHING),
):
    app.command()(_telling(command, line))
app.add_typer(data, name="data")


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
        that can't be used; 130 after an interrupt.
    """
    warnings.showwarning = _show_warning
    forget_warnings()
    try:
        given = sys.argv[1:] if arguments is None else list(arguments)
        code = int(app(given, standalone_mode=False, obj=given) or 0)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - unknown ones are raised again
        line, code = _account(error)
        _tell(line)
        return code
    # Typer turns an interrupt outside of these commands into this code by itself.
    if code == INTERRUPTED:
        _tell("interrupted")
    return code


def _account(error: BaseException) -> tuple[str, int]:
    """The line and the exit code for what ended a command; what is a bug of ours is raised."""
    foreign = isinstance(error, (RuntimeError, ImportError)) and not isinstance(error, DralignError)
    if foreign and any(words in str(error) for words in _NO_MEMORY):
        error = MemoryError(str(error).partition("\n")[0])
    for kind, line, code in _ACCOUNTS:
        if isinstance(error, kind):
            return line(error), code
    raise error


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
