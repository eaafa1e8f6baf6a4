"""The command line: parse, call, show progress, print."""

import sys
import warnings
from collections.abc import Sequence
from typing import TextIO

import typer

from dralign.cli.audit import audit
from dralign.cli.compare import compare
from dralign.cli.console import complain, warn_once
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

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Train classifiers whose decision rationale differs less between groups, and judge them.",
)
for command in (compare, sweep, report, reproduce, export, train, predict, audit):
    app.command()(command)
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
    try:
        given = sys.argv[1:] if arguments is None else list(arguments)
        code = app(given, standalone_mode=False, obj=given)
    except typer.TyperException as error:
        complain(error.format_message())
        return 2
    except DralignError as error:
        _tell(str(error))
        return 2
    except OSError as error:
        _tell(f"{error.filename or 'system'}: {error.strerror or error}")
        return 1
    except KeyboardInterrupt:
        code = INTERRUPTED
    # Typer turns an interrupt into this code by itself.
    if code == INTERRUPTED:
        _tell("interrupted; finished trials are kept, the same command continues")
    return int(code or 0)


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
