"""Image files decoded once: a memory-mapped file of bytes, kept by what the files hold."""

import hashlib
import io
import json
import os
import re
import shutil
import stat
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dralign.data.content import State, combined, file_digest, folder_digest
from dralign.data.local import cache_home
from dralign.errors import DataError, DralignWarning, OptionError
from dralign.files import open_regular, read_whole, write_folder
from dralign.scratch import remove_left
from dralign.tiers import installing
from dralign.turns import warnings_kept

if TYPE_CHECKING:
    from PIL.Image import Image

VERSION = 3  # of how files become bytes; part of the key
PAPER_SIZE = 256
WHITE_16 = 65535  # grey of 16 bits
MOST_PIXELS = 4096
MOST_SOURCE_PIXELS = 2**28 // 3  # of a file, before it is resized: a quarter of a GiB
# Others (EPS) start another program to be drawn.
FORMATS = frozenset({"AVIF", "BMP", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "MPO", "PCX", "PNG"})
FORMATS |= {"PPM", "SGI", "TGA", "TIFF", "WEBP", "XBM"}
CHUNK = 64
MUCH = 2**30  # bytes that one should be told of
SOME = 3
_PIXELS, _SUM = "pixels.npy", "sha256"


@dataclass(frozen=True)
class ImageFiles:
    """The files of a set of images, which were all there.

    Attributes:
        folder: where they lie.
        names: of the files, in the order of the images; relative to the folder.
        states: what the system says about them.
    """

    folder: Path
    names: tuple[str, ...]
    states: tuple[State, ...]

    @cached_property
    def content(self) -> str:
        """The SHA-256 of their names and contents; a file that can't be read is a DataError."""
        return folder_digest(self.folder, self.names, self.states)

    def key(self, size: int) -> str:
        """The SHA-256 that identifies the decoded images.

        It is made of the names and contents of the files and the size in pixels, not of where the
        files lie.
        """
        return hashlib.sha256(json.dumps([VERSION, size, self.content]).encode()).hexdigest()


def list_files(folder: Path, names: Sequence[str], *, listed_in: Path) -> ImageFiles:
    """The image files with these names.

    Args:
        folder: where they lie.
        names: relative to it.
        listed_in: the file that lists them, for messages.

    Raises:
        DataError: if the folder or a file is missing or not a regular file, or a name leads out of
            the folder.
    """
    inner = {os.path.dirname(name) for name in names}  # noqa: PTH120 - many names
    for path in inner:
        if Path(path).is_absolute() or ".." in Path(path).parts:
            raise DataError(f"{listed_in}: {path!r} leads out of the folder of images")
    result, wanted = dict[str, os.stat_result](), set(names)
    try:
        for path in inner:
            result |= _found(folder, path, wanted)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in a name
        where = getattr(error, "filename", None) or folder
        raise DataError(f"{where}: {getattr(error, 'strerror', None) or error}") from error
    absent = [name for name in names if name not in result]
    if absent:
        raise DataError(
            f"{folder}: {len(absent)} of the {len(names)} images that {listed_in.name} lists are "
            f"missing: {', '.join(absent[:SOME])}{', ...' if len(absent) > SOME else ''}"
        )
    for name in names:
        if not stat.S_ISREG(result[name].st_mode):
            raise DataError(f"{folder / name}: not a regular file")
    return ImageFiles(folder, tuple(names), tuple(State.of(result[name]) for name in names))


def _found(folder: Path, inner: str, names: set[str]) -> dict[str, os.stat_result]:
    """What the system says about the files with these names in one folder inside of another."""
    with os.scandir(folder / inner) as entries:
        inside = {os.path.join(inner, entry.name): entry for entry in entries}  # noqa: PTH118
    return {name: entry.stat() for name, entry in inside.items() if name in names}


def decoded(files: ImageFiles, size: int) -> np.ndarray:
    """(n, 3, size, size) bytes of all images, read-only; decoded on the first call.

    The memory map is in the user's cache, in a folder ``images/<key>`` that only the user can read.
    The folder gets its name when it is complete, so an interrupted run leaves none, and what is in
    it is compared with its checksum. Threads decode, because Pillow works outside of Python's lock.

    Raises:
        DataError: if an image can't be read (it is named), a file is changed meanwhile, or there is
            too little room on the disk.
        OptionError: if the size is not in range.
        OutputError: if the cache can't be written.
    """
    if not 1 <= size <= MOST_PIXELS:
        raise OptionError(f"image_size: expected a number from 1 to {MOST_PIXELS}, got {size}")
    shape = (len(files.names), 3, size, size)
    index = cache_home() / "images" / files.key(size)
    try:
        return _opened(index, shape)
    except (OSError, ValueError):  # not there, or not whole; a DataError is a ValueError
        pass
    with suppress(OSError):  # also of other images, before it is asked how much room there is
        remove_left(index.parent)
    _check_disk(index.parent, shape)
    write_folder(index, lambda new: _fill(new, files, shape))
    return _mapped(index, shape)


def _in_colours(image: "Image") -> "Image":
    """An image in red, green and blue of 8 bits each; grey of 16 bits is scaled.

    Raises:
        DataError: if its pixels are numbers whose white is not known.
    """
    from PIL.Image import fromarray

    if image.mode.startswith("I;16"):
        grey = np.asarray(image, dtype=np.float64) / WHITE_16 * 255
        image = fromarray(np.round(grey).astype(np.uint8))
    elif image.mode in {"I", "F"}:
        raise DataError("its pixels are numbers of 32 bits; save it with 8 or 16 bits a pixel")
    return image.convert("RGB")


def picture(path: Path, content: bytes, size: int) -> np.ndarray:
    """(3, size, size) bytes of an image: RGB, resized without a crop (bilinear).

    Args:
        path: the file, for messages.
        content: of the file.
        size: height and width.

    Raises:
        DataError: if it is truncated, not an image, or too large.
        OptionError: if Pillow is not installed.
    """
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        raise OptionError(f"images need pillow; {installing('vision')}") from error
    Image.init()
    try:
        with Image.open(io.BytesIO(content), formats=sorted(FORMATS & Image.OPEN.keys())) as image:
            if image.width * image.height > MOST_SOURCE_PIXELS:
                raise DataError(
                    f"{image.width} x {image.height} pixels, at most "
                    f"{MOST_SOURCE_PIXELS:,} in all are decoded"
                )
            colours = _in_colours(image)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    except MemoryError as error:
        raise DataError(f"{path}: does not fit into the memory of this machine") from error
    except Exception as error:  # damaged files make Pillow raise anything
        reason = re.sub(r"<_io\.BytesIO[^>]*>", "it", " ".join(str(error).split()))[:200]
        raise DataError(f"{path}: truncated, or not an image ({reason})") from error
    if colours.size != (size, size):
        colours = colours.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(colours).transpose(2, 0, 1)


def decode_all(paths: Sequence[Path], size: int, target: np.ndarray) -> list[str]:
    """Decodes every file into its place of (n, 3, size, size) bytes.

    Returns:
        The SHA-256 of each file's content, of the bytes that were decoded.

    Raises:
        DataError: of the first file that can't be read, by name.
    """
    digests = [""] * len(paths)

    def work(start: int) -> None:
        for index in range(start, min(start + CHUNK, len(paths))):
            content = _image_bytes(paths[index])
            digests[index] = hashlib.sha256(content).hexdigest()
            target[index] = picture(paths[index], content, size)

    with warnings_kept(), ThreadPoolExecutor(max_workers=_workers()) as pool:
        # Pillow's warning of a large image; above the limit it is an error.
        warnings.filterwarnings("ignore", "Image size .* exceeds limit")
        for _ in pool.map(work, range(0, len(paths), CHUNK)):
            pass  # an error of a worker is raised here, and the rest is cancelled
    return digests


def _image_bytes(path: Path) -> bytes:
    """The content of an image's file.

    Raises:
        DataError: if it is missing or can't be read.
    """
    try:
        with open_regular(path) as file:
            return file.read()
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except MemoryError as error:
        raise DataError(f"{path}: does not fit into the memory of this machine") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{str(path)[:200]!r}: {reason}") from error


def _fill(folder: Path, files: ImageFiles, shape: tuple[int, ...]) -> None:
    """Decodes the files into a folder of the cache.

    Raises:
        DataError: if one can't be read, or they are no longer what the key says.
    """
    folder.chmod(0o700)
    index = folder / _PIXELS
    pixels = np.lib.format.open_memmap(index, "w+", np.uint8, shape)
    index.chmod(0o600)
    if hasattr(os, "posix_fallocate"):  # a full disk is an error here, and a crash in the map
        with index.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, index.stat().st_size)
    digests = decode_all([files.folder / name for name in files.names], shape[2], pixels)
    if combined(files.names, digests) != files.content:
        raise DataError(f"{files.folder}: images were changed while they were read; start again")
    pixels.flush()
    (folder / _SUM).write_text(combined((_PIXELS,), (file_digest(index),)))


def _check_disk(folder: Path, shape: tuple[int, ...]) -> None:
    """Tells that much will be decoded.

    Raises:
        DataError: if there is too little room for it.
    """
    there = next(index for index in (folder, *folder.parents) if index.exists())
    free, needed = shutil.disk_usage(there).free, int(np.prod(shape))
    if needed > free:
        raise DataError(
            f"{folder}: {needed / 2**30:.1f} GiB are needed for the decoded images, "
            f"{free / 2**30:.1f} GiB are free; take a smaller image size, or put the cache "
            "elsewhere with XDG_CACHE_HOME"
        )
    if needed > MUCH:
        warnings.warn(
            f"decoding {shape[0]:,} images once into {folder} ({needed / 2**30:.1f} GiB)",
            DralignWarning,
            stacklevel=5,
        )


def _workers() -> int:
    """One thread for each core that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _opened(index: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The memory map of a finished file.

    Raises:
        ValueError: if it is not what was written.
    """
    state = State.of((index / _PIXELS).stat())
    written = read_whole(index / _SUM, at_most=64).decode()
    if folder_digest(index, (_PIXELS,), (state,)) != written:
        raise ValueError(f"{index}: changed")
    return _mapped(index, shape)


def _mapped(index: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The memory map of a file.

    Raises:
        ValueError: if it is not of this shape.
    """
    pixels: np.ndarray = np.load(index / _PIXELS, mmap_mode="r")
    if pixels.shape != shape or pixels.dtype != np.uint8:
        raise ValueError(f"{index}: another shape")
    return pixels
