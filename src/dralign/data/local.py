"""Published files that can't be part of the package: where they lie, checked, and downloaded."""

import hashlib
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dralign.errors import DataError
from dralign.files import open_regular, write_atomically

TIMEOUT: Final = 30.0  # seconds without a byte
LONGEST: Final = 900.0  # seconds in all
SLOWEST: Final = 5_000  # bytes a second, on average after the first seconds without a byte
_BLOCK: Final = 2**16
ENVIRONMENT = "DRALIGN_DATA"


@dataclass(frozen=True)
class PublishedFile:
    """A file as its source publishes it.

    Attributes:
        dataset: the dataset it belongs to, and the folder it is kept in.
        name: its name.
        size: in bytes.
        sha256: of its content.
        url: where it can be downloaded.
    """

    dataset: str
    name: str
    size: int
    sha256: str
    url: str


def cache_home() -> Path:
    """The folder of downloaded datasets: ``dralign`` in the user's cache folder (XDG)."""
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (given if given.is_absolute() else Path.home() / ".cache") / "dralign"


def homes(data_home: str | Path | None) -> tuple[Path, ...]:
    """The folders in which datasets are looked for: the given one (or DRALIGN_DATA's), the cache.

    An empty ``data_home`` counts as not given.
    """
    given = str(data_home or "") or os.environ.get(ENVIRONMENT, "")
    return (Path(given).expanduser(), cache_home()) if given else (cache_home(),)


def find(file: PublishedFile, data_home: str | Path | None = None) -> Path | None:
    """Where the file lies, in one of the ``homes`` or a folder named after the dataset there."""
    return next((folder for folder in _candidates(file, data_home) if folder.is_file()), None)


def verified_bytes(file: PublishedFile, data_home: str | Path | None = None) -> bytes:
    """The content of the file, which is the published one.

    Raises:
        DataError: if it is not there, can't be read, or is another file of that name.
    """
    index = find(file, data_home)
    if index is None:
        looked = ", ".join(str(folder) for folder in homes(data_home))
        raise DataError(
            f"{file.name} is not in {looked} (or a folder {file.dataset}/ there); get it with "
            f"'dralign data fetch {file.dataset}', or say where it is with --data-home or "
            f"{ENVIRONMENT}"
        )
    try:
        with open_regular(index) as opened:
            content = opened.read(file.size + 1)
    except (OSError, ValueError) as error:
        raise DataError(f"{index}: {getattr(error, 'strerror', None) or error}") from error
    check(file, content, index)
    return content


def check(file: PublishedFile, content: bytes, where: Path | str) -> None:
    """Checks that ``content`` is that of the published file.

    Raises:
        DataError: if its SHA-256 is another.
    """
    result = hashlib.sha256(content).hexdigest()
    if len(content) > file.size:
        raise DataError(f"{where}: not the published file (more than its {file.size} bytes)")
    if result != file.sha256:
        raise DataError(
            f"{where}: not the published file ({len(content)} bytes with SHA-256 {result[:12]}..., "
            f"expected {file.size} with {file.sha256[:12]}...)"
        )


def download(file: PublishedFile, data_home: str | Path | None = None) -> Path:
    """Brings the file into the first of the ``homes`` and returns its path.

    A right copy that is already there is kept. The content is checked before the file gets its
    name, so an interrupted or wrong download leaves nothing behind.

    Raises:
        DataError: if it can't be downloaded in time, or is not the published file.
        OutputError: if it can't be written.
    """
    import http.client

    folder = find(file, data_home)
    if folder is not None:
        verified_bytes(file, data_home)
        return folder
    target = homes(data_home)[0] / file.dataset / file.name
    try:
        content = _in_time(file)
    except (OSError, http.client.HTTPException) as error:
        cause = getattr(error, "reason", None)  # the error inside urllib's, or the words of HTTP's
        reason = " ".join(str(cause if isinstance(cause, OSError) else error).split())
        raise DataError(
            f"{file.url}: can't be downloaded ({reason}); bring the file to {target} another way"
        ) from error
    check(file, content, file.url)
    return write_atomically(target, lambda new: new.write_bytes(content))


def _in_time(file: PublishedFile) -> bytes:
    """What the address of the file answers, at most a byte more than the file has.

    A thread of its own asks, because nothing else limits the time of a look-up of the name, or of
    an answer that comes byte by byte.

    Raises:
        TimeoutError: if the answer takes too long.
    """
    answer: list[bytes | Exception] = []

    def ask() -> None:
        try:
            answer.append(_asked(file))
        except Exception as error:  # noqa: BLE001 - it is raised in the thread that waits
            answer.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(LONGEST)
    if not answer:
        raise TimeoutError(f"no whole answer in {LONGEST:g} seconds")
    if isinstance(answer[0], Exception):
        raise answer[0]
    return answer[0]


def _asked(file: PublishedFile) -> bytes:
    """The answer of the address, read block by block.

    Raises:
        TimeoutError: if it comes too slowly.
    """
    from urllib.request import urlopen

    content, start = bytearray(), time.monotonic()
    with urlopen(file.url, timeout=TIMEOUT) as answer:  # noqa: S310 - a constant of ours
        while len(content) <= file.size:
            block = answer.read1(min(_BLOCK, file.size + 1 - len(content)))
            content += block
            if not block:
                break
            spent = time.monotonic() - start
            if spent > TIMEOUT and len(content) < SLOWEST * spent:
                raise TimeoutError(f"slower than {SLOWEST:,} bytes a second")
    return bytes(content)


def _candidates(file: PublishedFile, data_home: str | Path | None) -> list[Path]:
    """Every path the file may have."""
    return [
        index
        for folder in homes(data_home)
        for index in (folder / file.name, folder / file.dataset / file.name)
    ]
