"""What installed packages add: modules that register methods, gaps, schedules and the like."""

from functools import cache
from importlib.metadata import entry_points
from typing import Final

ENTRY_POINTS: Final = "dralign.extensions"  # modules of installed packages that register more


@cache
def load_extensions() -> None:
    """Imports the modules that installed packages name, once, also in worker processes."""
    for found in entry_points(group=ENTRY_POINTS):
        found.load()
