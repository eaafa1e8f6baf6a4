"""Processes that others started: they end with the one that waits for their results."""

import os
import threading
import time


def end_with(parent: int) -> None:
    """Ends this process soon after the one that started it, which may be gone already.

    A thread of its own looks, so it also works in the middle of a long computation.

    Args:
        parent: the process id of the one that started it.
    """
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    """Looks once a second; a process whose parent has ended is given to another."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)
