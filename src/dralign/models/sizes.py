"""Checked sizes of networks."""

from dralign.errors import OptionError


def check_sizes(least: int = 1, /, **sizes: int) -> None:
    """Checks that every size is at least ``least``.

    Raises:
        OptionError: if one is smaller.
    """
    for name, value in sizes.items():
        if value < least:
            raise OptionError(f"{name}: expected at least {least}, got {value}")
