"""The content of files by SHA-256; of many files, without reading what was not touched since."""

import hashlib
import json
import os
import re
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from dralign.data.local import cache_home
from dralign.errors import DataError, OutputError
from dralign.files import open_regular, read_whole, write_atomically

# A file may change twice within one tick of a file system's clock: what changed last in these
# nanoseconds is read again the next time.
UNSETTLED: Final = 2_000_000_000
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class State(NamedTuple):
    """What the system says about a file.

    Every change of the content moves the last time, which no program can set back.
    """

    device: int
    inode: int
    size: int
    modified: int
    changed: int

    @classmethod
    def of(cls, found: os.stat_result) -> "State":
        """The state that ``stat`` gave."""
        times = found.st_mtime_ns, found.st_ctime_ns
        return cls(found.st_dev, found.st_ino, found.st_size, *times)


def file_digest(path: Path) -> str:
    """The SHA-256 of a file.

    Raises:
        DataError: if it can't be read, or is not a regular file.
    """
    try:
        with open_regular(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{str(path)[:200]!r}: {reason}") from error


def combined(names: Sequence[str], digests: Iterable[str]) -> str:
    """One SHA-256 for files with these names and digests, in this order."""
    return _of_json(list(zip(names, digests, strict=True)))


def folder_digest(folder: Path, names: Sequence[str], states: Sequence[State]) -> str:
    """The ``combined`` SHA-256 of files in a folder.

    It is kept in the user's cache under all that the system says about the files; while that stays
    the same, they are not read again.

    Args:
        folder: where they lie.
        names: of the files, relative to it.
        states: of the files.

    Raises:
        DataError: if a file can't be read.
    """
    memo = cache_home() / "digests" / _of_json([list(names), list(states)])
    with suppress(OSError, ValueError):
        known = read_whole(memo, at_most=64).decode()
        if _DIGEST.fullmatch(known):
            return known
    settled = max((state.changed for state in states), default=0) + UNSETTLED < time.time_ns()
    result = combined(names, (file_digest(folder / name) for name in names))
    if settled:
        with suppress(OutputError):  # without a cache they are read each time
            write_atomically(memo, lambda file: file.write_text(result))
    return result


def _of_json(value: object) -> str:
    """The SHA-256 of a value written as JSON."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
