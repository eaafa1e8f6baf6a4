"""Processes that others started: they end with the one that waits for them, and leave it a line."""

import os
import threading
import time
from pathlib import Path
from typing import Final

RUN_FOLDER: Final = "DRALIGN_RUN_FOLDER"  # names the folder of a run of several processes


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


def left_to_launcher(line: str) -> bool:
    """Whether a launcher started this process; it is then told of the error, and will print it."""
    folder = os.environ.get(RUN_FOLDER)
    if folder is None:
        return False
    try:
        own = line_of(Path(folder), int(os.environ["RANK"]))
        own.write_text(line, encoding="utf-8", errors="backslashreplace")
    except OSError:  # the launcher is gone
        return False
    return True


def line_of(folder: Path, rank: int) -> Path:
    """The file in which a process of a run tells what stopped it."""
    return folder / f"{rank}.txt"
