"""How much of a file is taken: what fits into the memory of this machine, and no bombs."""

import gzip
import io
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from dralign.errors import DataError

MOST_COLUMNS: Final = 20_000  # each takes about a millisecond to be looked at
MOST_RATIO: Final = 200  # of text to its gzip file; ordinary tables reach 5 to 50
SMALL: Final = 2**28  # bytes; what is no larger may be packed as tightly as it likes
_BLOCK: Final = 2**20
_GUESS: Final = 2**33  # bytes of memory where the system does not tell


def memory() -> int:
    """The bytes of main memory of this machine."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not POSIX
        return _GUESS


def check_room(where: object, needed: int) -> None:
    """Checks that a file's content is less than half of the memory, which it takes more than once.

    Args:
        where: the file, for the message.
        needed: bytes.

    Raises:
        DataError: if it is not.
    """
    if needed > memory() // 2:
        raise DataError(
            f"{where}: {needed / 2**30:,.1f} GiB of content are too much for the "
            f"{memory() / 2**30:,.1f} GiB of memory of this machine"
        )


@contextmanager
def within_memory(where: object) -> Iterator[None]:
    """Turns a lack of memory inside the block into one clear line.

    Raises:
        DataError: in its place.
    """
    try:
        yield
    except MemoryError as error:
        raise DataError(f"{where}: does not fit into the memory of this machine") from error


def unpacked(where: object, content: bytes) -> bytes:
    """The content of a gzip file, which is counted while it is unpacked.

    Raises:
        DataError: if it is not a whole gzip file, unpacks to more than 200 times its size (and more
            than 256 MiB), or to more than there is room for.
    """
    most, whole = max(SMALL, MOST_RATIO * len(content)), io.BytesIO()
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            while block := file.read(_BLOCK):
                whole.write(block)
                check_room(where, whole.tell())
                if whole.tell() > most:
                    raise DataError(
                        f"{where}: {len(content):,} bytes unpack to over {most:,}; if that is "
                        "right, unpack the file first"
                    )
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{where}: not a whole gzip file ({error})") from error
    return whole.getvalue()


def check_names(where: object, names: Sequence[str]) -> None:
    """Checks that there are not too many columns, and no name is used for two of them.

    Raises:
        DataError: if it is not so.
    """
    if len(names) > MOST_COLUMNS:
        raise DataError(f"{where}: {len(names):,} columns, at most {MOST_COLUMNS:,} are read")
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DataError(f"{where}: two columns are named {name!r}")
        seen.add(name)
