"""Ctrl-C: silent while the program is loaded, an exception once a command is at work."""

import os
import signal
from types import FrameType
from typing import Final

INTERRUPTED: Final = 130  # the exit code


def silence_interrupts() -> None:
    """From here on Ctrl-C ends the process at once and silently, unless somebody handles it.

    Not as an exception, which imports of compiled modules turn into others.
    """
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def hear_interrupts() -> None:
    """From here on Ctrl-C is a ``KeyboardInterrupt`` again, if it was made silent."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    """Ends the process, whatever it is doing."""
    os._exit(INTERRUPTED)
