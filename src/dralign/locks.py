"""Locks of files, which go with the process that has them, however it ends."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dralign.errors import OutputError

_system: Any = None  # not POSIX: nothing is locked
with suppress(ImportError):
    import fcntl as _system


@contextmanager
def locked(path: Path | str) -> Iterator[bool]:
    """Holds a lock for the length of a block, made of an empty file that stays there.

    Yields:
        Whether it was free; where locks are not known (Windows, some network disks) it always is.

    Raises:
        OutputError: if the file can't be made, or is not a regular one.
    """
    try:
        handle = open_lock(path, os.O_CREAT)
    except OSError as error:
        raise OutputError(f"{path}: can't be locked: {error.strerror}") from error
    try:
        yield take(handle) is not False
    finally:
        os.close(handle)


def open_lock(path: Path | str, flags: int = 0) -> int:
    """Opens a regular file that can be locked; a pipe or device would be waited for without end.

    Args:
        path: the file.
        flags: of ``os.open``, besides those for reading and writing: some network disks lock only
            what can be written.

    Returns:
        The handle, to be closed.

    Raises:
        OSError: if it can't be opened, or is not a regular file.
    """
    with suppress(FileNotFoundError):
        _require_regular(Path(path).stat())  # even opening can do something to a device
    handle = os.open(path, os.O_RDWR | getattr(os, "O_NONBLOCK", 0) | flags, 0o666)
    try:
        _require_regular(os.fstat(handle))  # another may have taken its place
    except OSError:
        os.close(handle)
        raise
    return handle


def take(handle: int) -> bool | None:
    """Takes the lock of an open file, without waiting.

    Returns:
        True if it was free, False if another process has it, None where locks are not known, so
        that another one may or may not have it.
    """
    if _system is None:
        return None
    try:
        _system.flock(handle, _system.LOCK_EX | _system.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a disk without locks
        return None
    return True


def _require_regular(found: os.stat_result) -> None:
    """Checks what the system says about a file.

    Raises:
        OSError: if it is not a regular one.
    """
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "not a regular file; move it away")
