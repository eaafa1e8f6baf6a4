"""Published files that can't be part of the package: where they lie, checked, and downloaded."""

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from dralign.errors import DataError

TIMEOUT = 30.0  # seconds without a byte
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
    return next((place for place in _places(file, data_home) if place.is_file()), None)


def verified_bytes(file: PublishedFile, data_home: str | Path | None = None) -> bytes:
    """The content of the file, which is the published one.

    Raises:
        DataError: if it is not there, can't be read, or is another file of that name.
    """
    place = find(file, data_home)
    if place is None:
        looked = ", ".join(str(folder) for folder in homes(data_home))
        raise DataError(
            f"{file.name} is not in {looked} (or a folder {file.dataset}/ there); get it with "
            f"'dralign data fetch {file.dataset}', or say where it is with --data-home or "
            f"{ENVIRONMENT}"
        )
    try:
        content = place.read_bytes()
    except OSError as error:
        raise DataError(f"{place}: {error.strerror or error}") from error
    check(file, content, place)
    return content


def check(file: PublishedFile, content: bytes, where: Path | str) -> None:
    """Checks that ``content`` is that of the published file.

    Raises:
        DataError: if its SHA-256 is another.
    """
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        raise DataError(
            f"{where}: not the published file ({len(content)} bytes with SHA-256 {found[:12]}..., "
            f"expected {file.size} with {file.sha256[:12]}...)"
        )


def download(file: PublishedFile, data_home: str | Path | None = None) -> Path:
    """Brings the file into the first of the ``homes`` and returns its path.

    A right copy that is already there is kept. The content is checked before the file gets its
    name, so an interrupted or wrong download leaves nothing behind.

    Raises:
        DataError: if it can't be downloaded or written, or is not the published file.
    """
    import http.client
    from urllib.request import urlopen

    place = find(file, data_home)
    if place is not None:
        verified_bytes(file, data_home)
        return place
    target = homes(data_home)[0] / file.dataset / file.name
    try:
        with urlopen(file.url, timeout=TIMEOUT) as answer:  # noqa: S310 - a constant of ours
            content = answer.read(file.size + 1)
    except (OSError, http.client.HTTPException) as error:
        cause = getattr(error, "reason", None)  # the error inside urllib's, or the words of HTTP's
        reason = " ".join(str(cause if isinstance(cause, OSError) else error).split())
        raise DataError(
            f"{file.url}: can't be downloaded ({reason}); bring the file to {target} another way"
        ) from error
    check(file, content, file.url)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".download.") as scratch:
            new = Path(scratch) / file.name
            new.write_bytes(content)
            new.replace(target)
    except OSError as error:
        raise DataError(f"{target}: can't be written ({error.strerror or error})") from error
    return target


def _places(file: PublishedFile, data_home: str | Path | None) -> list[Path]:
    """Every path the file may have."""
    return [
        place
        for folder in homes(data_home)
        for place in (folder / file.name, folder / file.dataset / file.name)
    ]
