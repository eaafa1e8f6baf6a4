"""Files and folders that appear whole or not at all, tried before the work that fills them.

Whatever is written under a name is first written into a scratch folder beside it and then renamed,
so that a reader, a full disk or a kill never leaves half of it there. Where the name is a link, the
link is replaced: one that somebody else laid there leads nothing astray.
"""

import ctypes
import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from io import BufferedReader
from pathlib import Path
from typing import Final

from dralign.errors import DralignError, OptionError, OutputError
from dralign.interrupts import at_the_end
from dralign.scratch import scratch_for, set_aside

_HERE: Final = -100  # AT_FDCWD: paths are relative to the current folder
_EXCHANGE: Final = 2  # RENAME_EXCHANGE


def write_atomically(path: Path | str, write: Callable[[Path], object]) -> Path:
    """Lets ``write`` fill a file beside ``path`` and then puts it in place in one step.

    Args:
        path: the file to make or replace; its folder is made if it is missing.
        write: gets a path with the same name, in another folder, to be written.

    Returns:
        The path of the file.

    Raises:
        OutputError: if the file can't be written; what was there before stays.
    """
    path = Path(path)
    with refusals_of(path):
        make_folder(path.parent)
        with scratch_for(path) as folder:
            new = folder / path.name
            write(new)
            _sync(new)
            new.replace(path)
            _sync(path.parent)
    return path


def write_folder(target: Path | str, fill: Callable[[Path], object]) -> Path:
    """Lets ``fill`` write files into a new folder, which then takes the place of ``target``.

    Args:
        target: the folder to make or replace; the caller has checked what it replaces.
        fill: gets an empty folder.

    Returns:
        The target.

    Raises:
        OutputError: if it can't be written; what was there before stays.
    """
    target = Path(target)
    with refusals_of(target):
        make_folder(target.parent)
        with scratch_for(target) as new:
            fill(new)
            for path in (*new.iterdir(), new):
                _sync(path)
            _put(new, target)
            _sync(target.parent)
    return target


def make_folder(folder: Path) -> None:
    """Makes a folder and those above it that are missing; their names are then on the disk.

    Raises:
        OSError: if one can't be made.
    """
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for one in missing:
        _sync(one.parent)


def check_output(
    path: Path | str,
    *,
    option: str = "--out",
    inputs: Iterable[Path | str] = (),
    endings: Iterable[str] = (),
) -> None:
    """Finds out, before the work, whether a file can be written where it is wanted.

    Args:
        path: the file that will be made or replaced.
        option: how the caller was asked for it, for messages.
        inputs: files and folders that are read, which it must not be or lie in the place of.
        endings: of the names that the file may have, for example ``.html``; empty for any.

    Raises:
        OptionError: if it is one of the inputs, a folder, or has another ending.
        OutputError: if it can't be written there.
    """
    path, endings = Path(path), tuple(endings)
    for given in inputs:
        if is_same(path, given):
            raise OptionError(f"{option}: {path} is an input; choose another name")
    if endings and path.suffix.lower() not in endings:
        raise OptionError(f"{option}: expected a name ending in {' or '.join(endings)}, got {path}")
    if path.exists() and not path.is_file():
        raise OptionError(f"{option}: {path} is not a file; give the name of one")
    try_output(path)


def try_output(path: Path | str) -> None:
    """Finds out whether something can be written under this name, by making its scratch folder.

    Folders that are not there are made within the scratch folder: several processes may try the
    same name at the same time.

    Raises:
        OutputError: if it can't, or nothing can take its place: a mount point, or the working
            folder.
    """
    path = Path(path)
    with refusals_of(path):
        if os.path.ismount(path) or (not path.is_symlink() and is_same(path, ".")):
            raise OutputError(
                f"{path}: a mount point or the working folder, whose place nothing can take; name "
                f"one inside of it, for example {path / 'new'}"
            )
        missing = [folder for folder in path.parents if not os.path.lexists(folder)]
        there = missing[-1].parent if missing else path.parent
        with scratch_for(there / path.name) as scratch:
            inside = scratch.joinpath(*(folder.name for folder in reversed(missing)))
            inside.mkdir(parents=True, exist_ok=True)
            (inside / path.name).write_bytes(b"\0")


def private_folder() -> Path:
    """The folder of this process for what goes with it; only this user can read it.

    A process that was forked has its own, and leaves that of its parent alone.
    """
    return _private_folder_of(os.getpid())


@cache
def _private_folder_of(process: int) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="dralign-"))

    def remove() -> None:
        if os.getpid() == process:
            shutil.rmtree(folder, ignore_errors=True)

    at_the_end(remove)
    return folder


def is_same(one: Path | str, other: Path | str) -> bool:
    """Whether two paths lead to the same file or folder, by whatever links."""
    try:
        return Path(one).samefile(other)
    except (OSError, ValueError):  # one of them is not there, or can't be a path
        return False


def is_file(path: Path | str) -> bool:
    """Whether there is a regular file; a name that the system refuses is that of none."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # too long, or with a zero byte
        return False


def is_folder(path: Path | str) -> bool:
    """Whether there is a folder; a name that the system refuses is that of none."""
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):
        return False


def read_whole(path: Path | str, *, at_most: int, what: str = "file") -> bytes:
    """The content of a regular file; others (pipes, devices) would be waited for without end.

    Raises:
        OSError: if it can't be read.
        ValueError: if it is not a regular file, or larger than ``at_most`` bytes.
    """
    with open_regular(path) as file:
        content = file.read(at_most + 1)
    if len(content) > at_most:
        raise ValueError(f"{path}: larger than any {what} of ours ({at_most:,} bytes)")
    return content


def _put(new: Path, target: Path) -> None:
    """Gives a folder its name, which another process may take at any moment.

    What had the name is then where the folder was, or beside it.

    Raises:
        OSError: if it can't be done.
    """
    try:
        new.replace(target)
    except OSError:
        if not target.exists():
            raise
        if not _are_swapped(new, target):
            set_aside(target, new)
            new.replace(target)


def _are_swapped(one: Path, other: Path) -> bool:
    """Swaps two folders in one step, so that neither is ever missing, where the system can."""
    try:
        swap = ctypes.CDLL(None, use_errno=True).renameat2
        paths = os.fsencode(one), os.fsencode(other)
        return bool(swap(_HERE, paths[0], _HERE, paths[1], _EXCHANGE) == 0)
    except (AttributeError, OSError, TypeError):  # not Linux
        return False


def _sync(path: Path) -> None:
    """Writes a file, or the names in a folder, through to the disk, where a system can."""
    if os.name != "posix" or not path.exists():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network shares have no such request for folders, and can't be asked.
        if error.errno != errno.EINVAL or not path.is_dir():
            raise
    finally:
        os.close(handle)


@contextmanager
def refusals_of(path: Path) -> Iterator[None]:
    """Turns what the file system raises into one clear line.

    Raises:
        DralignError: as it is, from the caller's function.
        OutputError: in the place of what the file system raises.
    """
    try:
        yield
    except DralignError:  # what the caller's function found
        raise
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"{path}: can't be written: {reason}") from error


@contextmanager
def open_regular(path: Path | str) -> Iterator[BufferedReader]:
    """Opens a regular file to be read; others (pipes, devices) would be waited for without end.

    Yields:
        The open file.

    Raises:
        OSError: if it can't be read.
        ValueError: if it is not a regular file.
    """
    if not stat.S_ISREG(Path(path).stat().st_mode):  # even opening can do something to a device
        raise ValueError(f"{path}: not a regular file")
    # A pipe that takes its place in this moment is not waited for either.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise ValueError(f"{path}: not a regular file")
        yield file
