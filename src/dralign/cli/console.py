"""What goes to the terminal in colour: tables to stdout, everything about the run to stderr."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dralign.cli.lines import warn_once
from dralign.forms import shown

if TYPE_CHECKING:
    from dralign.report import ResultTable
    from dralign.study import TrialRecord, TrialSpec

errors: Final = Console(stderr=True, highlight=False)
# Columns that a narrow terminal leaves out, the first of them first.
SPARE: Final = ("seconds", "all-cut-offs gap", "β", "soft gap", "n", "hard gap", "mean score")
WIDE: Final = 132  # where no terminal sets a width, a table should not be squeezed into 80 columns
MOST_FAILURES: Final = 10  # of which the reasons are told


def say(message: str) -> None:
    """Prints a line about the run."""
    errors.print(escape(message), soft_wrap=True)


def tell_outcome(records: Sequence["TrialRecord"]) -> list["TrialRecord"]:
    """Prints the warnings of trials, each once, and why some failed; those that failed."""
    for message in dict.fromkeys(text for record in records for text in record.warnings):
        warn_once(shown(message))
    return tell_failures(records)


def tell_failures(records: Sequence["TrialRecord"]) -> list["TrialRecord"]:
    """Prints why trials failed; those that did."""
    failed = [record for record in records if record.status == "failed"]
    several = len({(record.spec.data, record.spec.gap) for record in records}) > 1
    for record in failed[:MOST_FAILURES]:
        say(f"failed: {trial_words(record.spec, several=several)}: {shown(record.error)}")
    if len(failed) > MOST_FAILURES:
        say(f"failed: {len(failed) - MOST_FAILURES} more")
    return failed


def trial_words(spec: "TrialSpec", *, several: bool) -> str:
    """A trial in a few words: method, weight and seed, and of ``several`` its data and gap too."""
    words = [spec.data.name, spec.gap] if several else []
    words.append(spec.method)
    if spec.uses("fairness_weight"):
        words.append(f"λ={spec.fairness_weight:g}")
    return ", ".join((*words, f"seed {spec.seed}"))


def print_table(table: "ResultTable") -> None:
    """Prints a result table with its caption; a narrow terminal leaves columns out, and says so."""
    width = None if sys.stdout.isatty() else WIDE
    console = Console(highlight=False, width=width)
    table, left = table.within(console.width, SPARE)
    drawn = Table(
        caption=escape(table.caption),
        caption_justify="left",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1),
    )
    for column, name in enumerate(table.header):
        drawn.add_column(escape(name), justify="left" if column == 0 else "right")
    for row in table.cells:
        drawn.add_row(*map(escape, row))
    console.print(drawn)
    if left:
        console.print(f"No room for: {', '.join(left)}; the files have them.", soft_wrap=True)
