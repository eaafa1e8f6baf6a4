"""What goes to the terminal: results to stdout, everything about the run to stderr."""

import sys

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dralign.forms import to_json
from dralign.report import ResultTable

errors = Console(stderr=True, highlight=False)
_warned: set[str] = set()
WIDE = 132  # where no terminal sets a width, a table should not be squeezed into 80 columns


def complain(message: str) -> None:
    """Prints one line for an error."""
    text = " ".join(message.split())
    print(f"dralign: error: {text}", file=sys.stderr)


def say(message: str) -> None:
    """Prints a line about the run."""
    errors.print(escape(message), soft_wrap=True)


def forget_warnings() -> None:
    """A command begins: each of its warnings is told, whatever was told before."""
    _warned.clear()


def warn_once(message: str) -> None:
    """Prints a warning as one line, unless the same line was printed before."""
    text = " ".join(message.split())
    if text not in _warned:
        _warned.add(text)
        print(f"warning: {text}", file=sys.stderr)


def print_table(table: ResultTable) -> None:
    """Prints a result table with its caption."""
    shown = Table(
        caption=escape(table.caption),
        caption_justify="left",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1),
    )
    for place, name in enumerate(table.header):
        shown.add_column(escape(name), justify="left" if place == 0 else "right")
    for row in table.cells:
        shown.add_row(*map(escape, row))
    width = None if sys.stdout.isatty() else WIDE
    Console(highlight=False, width=width).print(shown)


def print_json(value: object) -> None:
    """Prints a value as JSON on stdout; undefined figures are null."""
    sys.stdout.write(to_json(value, indent=1) + "\n")
