"""What goes to the terminal in colour: tables to stdout, everything about the run to stderr."""

import sys
from typing import TYPE_CHECKING, Final

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from dralign.report import ResultTable

errors: Final = Console(stderr=True, highlight=False)
WIDE: Final = 132  # where no terminal sets a width, a table should not be squeezed into 80 columns


def say(message: str) -> None:
    """Prints a line about the run."""
    errors.print(escape(message), soft_wrap=True)


def print_table(table: "ResultTable") -> None:
    """Prints a result table with its caption."""
    shown = Table(
        caption=escape(table.caption),
        caption_justify="left",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1),
    )
    for column, name in enumerate(table.header):
        shown.add_column(escape(name), justify="left" if column == 0 else "right")
    for row in table.cells:
        shown.add_row(*map(escape, row))
    width = None if sys.stdout.isatty() else WIDE
    Console(highlight=False, width=width).print(shown)
