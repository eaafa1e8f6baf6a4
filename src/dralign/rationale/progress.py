"""How far a long measurement is."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from dralign.rationale.ablation import Report


@contextmanager
def reporting(progress: bool | Report) -> Iterator[Report]:
    """The function that is told how much is done; the line on stderr ends with the block."""
    if callable(progress):
        yield progress
    elif not progress:
        yield lambda _: None
    else:
        shown = -1

        def show(part: float) -> None:
            nonlocal shown
            if int(100 * part) != shown:
                shown = int(100 * part)
                sys.stderr.write(f"\rablation {shown:3d} %")
                sys.stderr.flush()

        try:
            yield show
        finally:
            sys.stderr.write("\n")
