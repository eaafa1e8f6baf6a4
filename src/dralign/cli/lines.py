"""Plain lines of a command, for people and programs; without rich, which takes time to load."""

import sys

from dralign.forms import to_json

_warned: set[str] = set()


def complain(message: str) -> None:
    """Prints one line for an error."""
    text = " ".join(message.split())
    print(f"dralign: error: {text}", file=sys.stderr)


def forget_warnings() -> None:
    """A command begins: each of its warnings is told, whatever was told before."""
    _warned.clear()


def warn_once(message: str) -> None:
    """Prints a warning as one line, unless the same line was printed before."""
    text = " ".join(message.split())
    if text not in _warned:
        _warned.add(text)
        print(f"warning: {text}", file=sys.stderr)


def print_json(value: object) -> None:
    """Prints a value as JSON on stdout; undefined figures are null."""
    sys.stdout.write(to_json(value, indent=1) + "\n")
