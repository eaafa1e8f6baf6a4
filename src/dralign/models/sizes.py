"""Checked sizes of networks."""

from typing import Final

from dralign.errors import OptionError

MOST: Final = 10**9  # a layer of so many units can't be held anywhere


def check_sizes(least: int = 1, /, **sizes: int) -> None:
    """Checks that every size is at least ``least``, and no more than any network can have.

    Raises:
        OptionError: if one is not.
    """
    for name, value in sizes.items():
        if value < least:
            raise OptionError(f"{name}: expected at least {least}, got {value}")
        if value > MOST:
            raise OptionError(f"{name}: expected at most {MOST:,}, got {value:.3g}")
