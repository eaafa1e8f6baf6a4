"""Image files decoded once: a memory-mapped file of bytes, kept by what the files are."""

import hashlib
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dralign.data.local import cache_home
from dralign.errors import DataError, DralignWarning, OptionError

VERSION = 1  # of how files become bytes; part of the key
PAPER_SIZE = 256
MOST_PIXELS = 4096
CHUNK = 64
MUCH = 2**30  # bytes that one should be told of
SOME = 3


@dataclass(frozen=True)
class ImageFiles:
    """The files of a set of images, which were all there.

    Attributes:
        folder: where they lie.
        names: of the files, in the order of the images; relative to the folder.
        sizes: of the files, in bytes.
    """

    folder: Path
    names: tuple[str, ...]
    sizes: tuple[int, ...]

    def key(self, size: int) -> str:
        """The SHA-256 that identifies the decoded images.

        It is made of the names and sizes of the files and the size in pixels, not of where the
        files lie. A file changed without a change of its length goes unnoticed.
        """
        files = list(zip(self.names, self.sizes, strict=True))
        return hashlib.sha256(json.dumps([VERSION, size, files]).encode()).hexdigest()


def list_files(folder: Path, names: Sequence[str], *, listed_in: Path) -> ImageFiles:
    """The image files with these names.

    Args:
        folder: where they lie.
        names: relative to it.
        listed_in: the file that lists them, for messages.

    Raises:
        DataError: if the folder or a file is missing, or a name leads out of the folder.
    """
    sizes: dict[str, int] = {}
    try:
        for inner in {os.path.dirname(name) for name in names}:  # noqa: PTH120 - many names
            if Path(inner).is_absolute() or ".." in Path(inner).parts:
                raise DataError(f"{listed_in}: {inner!r} leads out of the folder of images")
            with os.scandir(folder / inner) as entries:
                sizes |= {
                    os.path.join(inner, entry.name): entry.stat().st_size  # noqa: PTH118
                    for entry in entries
                }
    except OSError as error:
        raise DataError(f"{error.filename}: {error.strerror or error}") from error
    absent = [name for name in names if name not in sizes]
    if absent:
        raise DataError(
            f"{folder}: {len(absent)} of the {len(names)} images that {listed_in.name} lists are "
            f"missing: {', '.join(absent[:SOME])}{', ...' if len(absent) > SOME else ''}"
        )
    return ImageFiles(folder, tuple(names), tuple(sizes[name] for name in names))


def decoded(files: ImageFiles, size: int) -> np.ndarray:
    """(n, 3, size, size) bytes of all images, read-only; decoded on the first call.

    The memory map is in the user's cache, ``images/<key>.npy``; it gets its name when it is
    complete, so an interrupted run leaves none. Threads decode, because Pillow works outside of
    Python's lock.

    Raises:
        DataError: if an image can't be read (it is named), or the disk is full.
        OptionError: if the size is not in range.
    """
    if not 1 <= size <= MOST_PIXELS:
        raise OptionError(f"image_size: expected a number from 1 to {MOST_PIXELS}, got {size}")
    shape = (len(files.names), 3, size, size)
    place = cache_home() / "images" / f"{files.key(size)}.npy"
    try:
        return _opened(place, shape)
    except (OSError, ValueError):  # not there, or not whole
        pass
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        free, needed = shutil.disk_usage(place.parent).free, int(np.prod(shape))
        if needed > free:
            raise DataError(
                f"{place.parent}: {needed / 2**30:.1f} GiB are needed for the decoded images, "
                f"{free / 2**30:.1f} GiB are free; take a smaller image size, or put the cache "
                "elsewhere with XDG_CACHE_HOME"
            )
        if needed > MUCH:
            warnings.warn(
                f"decoding {shape[0]:,} images once into {place.parent} ({needed / 2**30:.1f} GiB)",
                DralignWarning,
                stacklevel=4,
            )
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=".decode.") as scratch:
            new = Path(scratch) / place.name
            pixels = np.lib.format.open_memmap(new, "w+", np.uint8, shape)
            decode_all([files.folder / name for name in files.names], size, pixels)
            pixels.flush()
            new.replace(place)
    except OSError as error:
        raise DataError(f"{place}: can't be written ({error.strerror or error})") from error
    return _opened(place, shape)


def decode(path: Path, size: int) -> np.ndarray:
    """(3, size, size) bytes of an image: RGB, resized without a crop (bilinear).

    Raises:
        DataError: if it is missing, truncated or not an image.
        OptionError: if Pillow is not installed.
    """
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        raise OptionError("images need pillow; pip install 'dralign[vision]'") from error
    try:
        with Image.open(path) as image:
            picture = image.convert("RGB")
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).replace(repr(str(path)), "it").split())
        raise DataError(f"{path}: truncated, or not an image ({reason})") from error
    if picture.size != (size, size):
        picture = picture.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(picture).transpose(2, 0, 1)


def decode_all(paths: Sequence[Path], size: int, target: np.ndarray) -> None:
    """Decodes every file into its place of (n, 3, size, size) bytes.

    The first one that can't be read is the DataError of ``decode``.
    """

    def work(start: int) -> None:
        for place in range(start, min(start + CHUNK, len(paths))):
            target[place] = decode(paths[place], size)

    with ThreadPoolExecutor(max_workers=_workers()) as pool:
        for _ in pool.map(work, range(0, len(paths), CHUNK)):
            pass  # an error of a worker is raised here, and the rest is cancelled


def _workers() -> int:
    """One thread for each core that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _opened(place: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The memory map of a finished file.

    Raises:
        ValueError: if it is not of this shape.
    """
    pixels: np.ndarray = np.load(place, mmap_mode="r")
    if pixels.shape != shape or pixels.dtype != np.uint8:
        raise ValueError(f"{place}: another shape")
    return pixels
