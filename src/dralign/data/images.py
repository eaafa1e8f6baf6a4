"""Images as the inputs of a dataset: bytes in a memory map, numbers when a batch asks for them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from dralign.data.columns import require_columns
from dralign.data.dataset import Dataset, Split
from dralign.data.images_cache import MOST_PIXELS, decode_all
from dralign.data.reading import file_column
from dralign.data.splitting import Rows
from dralign.errors import DataError
from dralign.forms import Form
from dralign.groups import GroupCodes

# Of ImageNet's training images, by channel (red, green, blue), with bytes as 0..1.
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
BLOCK_BYTES = 2**26


class Images:
    """(n, 3, H, W) images that are read and normalised as they are asked for.

    It stands where a dataset has a tensor ``x``, and answers what training and evaluation ask of
    one: ``len``, ``shape``, ``ndim``, ``x[rows]`` with a tensor of row numbers, and ``split``. What
    comes out is an ordinary float32 tensor on the CPU. Only bytes are kept, in a file that all
    processes of a machine share.

    Args:
        pixels: (N, 3, H, W) bytes, usually a memory map.
        rows: (n,) which of them these images are.
    """

    ndim = 4

    def __init__(self, pixels: np.ndarray, rows: Rows) -> None:
        self._pixels, self._rows = pixels, np.asarray(rows, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """``(n, 3, H, W)``."""
        return (len(self), *self._pixels.shape[1:])

    def is_floating_point(self) -> bool:
        """False: what is kept are bytes, among which nothing is infinite or NaN."""
        return False

    def __getitem__(self, rows: Tensor | np.ndarray | slice) -> Tensor:
        """(m, 3, H, W) float32 images: bytes / 255, minus the mean, over the deviation."""
        chosen = rows.numpy(force=True) if isinstance(rows, Tensor) else rows
        return normalised(self._pixels[self._rows[chosen]])

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickled memory map would carry its whole content; its file's name is enough."""
        if isinstance(self._pixels, np.memmap):
            return _reopened, (str(self._pixels.filename), self._rows)
        return Images, (self._pixels, self._rows)

    def split(self, rows: int) -> Iterator[Tensor]:
        """The images in order, in blocks of at most ``rows``, and of at most 64 MiB."""
        for block in _blocks(len(self), rows, self.shape[2:]):
            yield self[block]


@dataclass(frozen=True)
class ImagePaths:
    """Images that are decoded as they are asked for, and not kept.

    Attributes:
        paths: of the files.
        size: height and width that they are brought to.
    """

    paths: tuple[Path, ...]
    size: int

    ndim = 4

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def shape(self) -> tuple[int, ...]:
        """``(n, 3, size, size)``."""
        return (len(self), 3, self.size, self.size)

    def __getitem__(self, rows: Tensor) -> Tensor:
        """(m, 3, size, size) float32 inputs of the images with these (m,) numbers."""
        chosen = tuple(self.paths[row] for row in rows.tolist())
        return normalised(ImagePaths(chosen, self.size).pixels())

    def pixels(self) -> np.ndarray:
        """(n, 3, size, size) bytes of all images.

        Raises:
            DataError: if a file can't be read; it is named.
        """
        target = np.empty((len(self), 3, self.size, self.size), np.uint8)
        decode_all(self.paths, self.size, target)
        return target

    def split(self, rows: int) -> Iterator[Tensor]:
        """The inputs in order, in blocks of at most ``rows``, and of at most 64 MiB."""
        for block in _blocks(len(self), rows, (self.size, self.size)):
            yield normalised(ImagePaths(self.paths[block], self.size).pixels())


def _blocks(n: int, rows: int, size: Sequence[int]) -> Iterator[slice]:
    """Consecutive rows; one empty block of no rows, as of a tensor."""
    at_once = max(1, min(rows, BLOCK_BYTES // (4 * 3 * int(np.prod(size)))))
    for start in range(0, max(n, 1), at_once):
        yield slice(start, start + at_once)


def _reopened(file: str, rows: Rows) -> Images:
    """The images of a memory map in another process of this machine."""
    return Images(np.load(file, mmap_mode="r"), rows)


def normalised(pixels: np.ndarray) -> Tensor:
    """(n, 3, H, W) float32 from bytes, by the mean and deviation of ImageNet."""
    mean, deviation = (torch.tensor(each).view(3, 1, 1) for each in (MEAN, DEVIATION))
    x = torch.from_numpy(np.ascontiguousarray(pixels)).to(torch.float32)
    return x.mul_(1 / (255 * deviation)).sub_(mean / deviation)


@dataclass(frozen=True)
class ImageEncoder:
    """Turns image files into inputs: resized without a crop, normalised as ImageNet is.

    Attributes:
        size: height and width of the inputs.
    """

    size: int

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The channels."""
        return ("red", "green", "blue")

    def transform(self, frame: Any) -> np.ndarray:  # noqa: ANN401 - pandas is loaded lazily
        """(n, 3, size, size) float32 inputs for the files that a table names, all at once.

        Raises:
            DataError: if it is no DataFrame, or a file is not named or can't be read.
        """
        return normalised(self.listed(frame).pixels()).numpy()

    def listed(self, frame: Any, folder: str | Path = "") -> ImagePaths:  # noqa: ANN401
        """The images that a table names, none of them read yet.

        Args:
            frame: a DataFrame; its column ``file`` (or ``path``, ``image``, ...) or else its first
                one holds paths.
            folder: that relative paths are counted from; the current one if not given.

        Raises:
            DataError: if it is no DataFrame, or a row names no file.
        """
        require_columns(frame, [])
        name = file_column(list(frame.columns))
        if unnamed := int(frame[name].isna().sum()):
            raise DataError(f"column {name!r}: {unnamed} of {len(frame)} rows name no file")
        return ImagePaths(tuple(Path(folder) / str(path) for path in frame[name]), self.size)

    def to_dict(self) -> dict[str, object]:
        """A JSON-ready form."""
        return {"kind": "images", "size": self.size}

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> "ImageEncoder":
        """The encoder that ``to_dict`` gave.

        Raises:
            DataError: if the form is not one of ours.
        """
        size = Form(form, "encoder").number("size")
        if size != int(size) or not 1 <= size <= MOST_PIXELS:
            raise DataError(f"encoder: 'size' must be a whole number from 1 to {MOST_PIXELS}")
        return cls(int(size))


def image_dataset(
    pixels: np.ndarray,
    y: np.ndarray,
    groups: GroupCodes,
    rows: tuple[Rows, Rows, Rows],
    **about: Any,  # noqa: ANN401 - the descriptive fields of Dataset
) -> Dataset:
    """The dataset of decoded images.

    Args:
        pixels: (N, 3, size, size) bytes.
        y: (N,) labels.
        groups: the coded groups of all images.
        rows: the numbers of the training, validation and test images.
        about: the fields of Dataset that describe it.
    """
    labels = torch.from_numpy(y.astype(np.int64))
    train, validation, test = (
        # Images has what is asked of the tensor of a split, so that tables keep a plain tensor.
        Split(cast("Tensor", Images(pixels, part)), labels[part], groups.codes[part])
        for part in rows
    )
    return Dataset(
        train=train,
        validation=validation,
        test=test,
        group_names=groups.names,
        encoder=ImageEncoder(pixels.shape[2]),
        **about,
    )
