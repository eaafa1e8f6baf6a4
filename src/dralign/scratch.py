"""Scratch folders: places beside a file or folder for what is not yet whole.

Each holds a mark, a file with the name that will be written, which is locked while the folder is in
use. By it the next writer knows what a killed process left, and removes it; where locks are not
known nothing is removed.
"""

import glob
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from dralign.locks import open_lock, take

_START, _END = ".dralign-", ".part"
_OURS: Final = re.compile(rf"{re.escape(_START)}[a-z0-9_]{{8}}{re.escape(_END)}")  # as mkdtemp does
_MARK: Final = "name"
_LONGEST: Final = 4096  # bytes of a name
_NEW, _OLD = "new", "old"
_YOUNG: Final = 60.0  # seconds; a scratch folder may not be locked yet in its first moment


@contextmanager
def scratch_for(path: Path) -> Iterator[Path]:
    """An empty folder beside ``path``, in a scratch folder that is gone after the block.

    Raises:
        OSError: if it can't be made.
    """
    remove_left(path.parent, glob.escape(path.name))
    scratch, handle = _made_beside(path)
    try:
        take(handle)
        os.write(handle, os.fsencode(path.name))
        (scratch / _NEW).mkdir()
        yield scratch / _NEW
    finally:
        done = _put_back(scratch, path)
        os.close(handle)  # Windows removes nothing that is open
        if done:
            _remove(scratch)


def _made_beside(path: Path) -> tuple[Path, int]:
    """A new scratch folder and the handle of its mark.

    Raises:
        OSError: if they can't be made.
    """
    while True:
        scratch = Path(tempfile.mkdtemp(dir=path.parent, prefix=_START, suffix=_END))
        try:
            return scratch, open_lock(scratch / _MARK, os.O_CREAT)
        except FileNotFoundError:  # another process took it for an empty one that was left
            continue
        except OSError:
            _remove(scratch)
            raise


def set_aside(target: Path, new: Path) -> None:
    """Moves a folder into the scratch folder of ``new``, which is to take its place.

    If nothing takes it, the folder is put back: at the end of the scratch folder's block, or by the
    next writer if the process is killed.

    Raises:
        OSError: if it can't be moved.
    """
    target.replace(new.with_name(_OLD))


def remove_left(folder: Path | str, names: str = "*", *, young: float = _YOUNG) -> None:
    """Removes the scratch folders that killed processes left.

    Args:
        folder: where they lie.
        names: of the files or folders that were being written; a * stands for any text.
        young: how many seconds old they are at least; below 0 is only for who holds a lock that
            keeps every other writer of these names away.

    Raises:
        OSError: if it can't be read.
    """
    for left in Path(folder).iterdir():
        if _OURS.fullmatch(left.name) and not left.is_symlink():
            with suppress(OSError):  # from before its mark or after it; who made it makes another
                left.rmdir()
                continue
            # Another process may be removing it too; without a mark it is not ours.
            with suppress(OSError, ValueError):
                _remove_if_left(left, names, young)


def _remove_if_left(left: Path, names: str, young: float) -> None:
    """Removes a scratch folder that nobody has locked, if it is old enough.

    Raises:
        OSError: if it has no mark, or it is gone meanwhile.
        ValueError: if its mark holds what can't be a name.
    """
    age = time.time() - left.stat().st_mtime
    handle = open_lock(left / _MARK)
    try:
        name = os.fsdecode(os.read(handle, _LONGEST))
        is_left = abs(age) > young and fnmatchcase(name, names) and take(handle)
        if is_left and _put_back(left, left.with_name(name)):
            _remove(left)
    finally:
        os.close(handle)


def _put_back(scratch: Path, target: Path) -> bool:
    """Gives a folder that was set aside its name again, unless something else has it.

    Returns:
        Whether the scratch folder holds nothing that is needed.
    """
    old = scratch / _OLD
    if not os.path.lexists(old) or os.path.lexists(target):
        return True
    with suppress(OSError):
        old.replace(target)
    return not os.path.lexists(old)


def _remove(scratch: Path) -> None:
    """Removes a scratch folder; its mark last, so that what a kill leaves of it is known."""
    for part in (scratch / _NEW, scratch / _OLD, scratch):
        shutil.rmtree(part, ignore_errors=True)
