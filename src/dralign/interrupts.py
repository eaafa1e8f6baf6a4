"""Ctrl-C and SIGTERM: silent while the program is loaded, exceptions once a command is at work."""

import atexit
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final, NoReturn

INTERRUPTED: Final = 130  # the exit code
_last: Final[list[Callable[[], object]]] = []
_heard: Final[list[int]] = []  # the signal that ended the block of ``terminations_raised``


class Terminated(BaseException):
    """SIGTERM, or a terminal that is closed, asks this process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.code = 128 + number  # as a shell tells of it


@contextmanager
def terminations_raised() -> Iterator[None]:
    """SIGTERM, or a terminal that is closed, ends the block with ``Terminated``.

    A signal that this process was started to ignore stays ignored, and of several blocks within
    each other the outer one hears it. A process that was forked in the block ends at once.
    """

    def terminate(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        if os.getpid() != process:
            os._exit(128 + number)
        for other in asked:
            signal.signal(other, signal.SIG_IGN)
        _heard.append(number)
        raise Terminated(number)

    process, main = os.getpid(), threading.current_thread() is threading.main_thread()
    wanted = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    asked = [number for number in wanted if main and signal.getsignal(number) == signal.SIG_DFL]
    for number in asked:
        signal.signal(number, terminate)
    try:
        yield
    finally:
        for number in asked:
            signal.signal(number, signal.SIG_DFL)
        if asked:
            _heard.clear()


def interrupt_again(error: BaseException) -> NoReturn:
    """Raises what a signal did, of which compiled code has left no more than ``error``.

    Raises:
        Terminated: if that was it.
        KeyboardInterrupt: otherwise.
    """
    if _heard:
        raise Terminated(_heard[-1]) from error
    raise KeyboardInterrupt from error


def at_the_end(action: Callable[[], object]) -> None:
    """Calls ``action`` when the process ends, also by a Ctrl-C that ends it at once."""
    atexit.register(action)
    _last.append(action)


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
    for action in _last:
        action()
    os._exit(INTERRUPTED)
