"""CelebA: faces with 40 attributes, from the official folder layout."""

import hashlib
import io
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from dralign.data.dataset import Dataset
from dralign.data.images import image_dataset
from dralign.data.images_cache import PAPER_SIZE, ImageFiles, decoded, list_files
from dralign.data.local import ENVIRONMENT, homes
from dralign.data.splitting import Rows, check_seed, stratified_split
from dralign.errors import DataError, DralignWarning, OptionError, unknown
from dralign.files import is_file, read_whole
from dralign.groups import CROSS, GroupCodes, encode_groups, require_groups

ROWS = 202_599
HOMEPAGE = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
ATTRIBUTES, PARTITION, IMAGES = "list_attr_celeba", "list_eval_partition", "img_align_celeba"
ENDINGS = (".txt", ".csv")
FOLDERS = ("", "celeba", "CelebA")
MOST_TEXT = 2**28  # bytes; the attributes of all images are 2**25
PARTS = {"0": "training", "1": "validation", "2": "test"}
LABEL, SENSITIVE = "Wavy_Hair", "Male"
# Of the official text files; their content is checked where all images are there.
MD5 = {
    f"{ATTRIBUTES}.txt": "75e246fa4810816ffd6ee81facbd244c",
    f"{PARTITION}.txt": "d32c9cbf5e040fd4025c592c306e6668",
}
# 64 images a batch under DP (two groups), 128 under EO (four cells); the paper's other two gaps
# sample as EO does.
PAPER_BATCHES = (
    ("demographic_parity", 32),
    ("equalized_odds", 32),
    ("equal_opportunity", 32),
    ("predictive_parity", 32),
    ("printed_predictive_parity", 32),
)


@dataclass(frozen=True)
class Faces:
    """The folder of CelebA, with all that its text files say about the chosen attributes.

    Attributes:
        attributes: the file of attributes.
        partition: the file that puts images into parts.
        files: the images that both list.
        values: (n,) 0 or 1 of every chosen attribute.
        part: (n,) text "0", "1" or "2" for training, validation and test.
        texts: the SHA-256 of each of the two text files.
    """

    attributes: Path
    partition: Path
    files: ImageFiles
    values: dict[str, np.ndarray]
    part: np.ndarray
    texts: tuple[str, str]

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the text files and of the images."""
        return hashlib.sha256("".join((self.files.content, *self.texts)).encode()).hexdigest()


def load_celeba(
    *,
    preparation: str,
    seed: int,
    sensitive: Sequence[str],
    include_sensitive: bool,
    label: str = "",
    image_size: int = 0,
    partition: str = "",
    data_home: str | Path | None = None,
) -> Dataset:
    """CelebA as a dataset, prepared as the paper's sources do.

    The images are resized to a square (256 pixels if no size is given) without a crop and
    normalised by the mean and deviation of ImageNet. They are decoded once, into the user's cache.

    Args:
        preparation: ``"paper"``, the only one.
        seed: of the validation part where the partition has none; else nothing depends on it.
        sensitive: the attribute(s) that make the groups; Male if none is given.
        include_sensitive: False; what is to be seen on a face can't be taken out.
        label: the attribute to predict; Wavy_Hair, the paper's main task, if not given.
        image_size: height and width in pixels; 0 for 256.
        partition: a partition file of one's own, of the official form; a path, or the name of a
            file beside the official one.
        data_home: the folder it lies in, itself or as ``celeba/``.

    Raises:
        DataError: if a file is missing or not of its form, or a part has no images.
        GroupError: if there are fewer than two groups, or one has no training images.
        OptionError: if an option is unknown.
    """
    check_seed(seed)
    if preparation != "paper":
        raise OptionError(unknown("preparation of celeba", preparation, ("paper",)))
    if include_sensitive:
        raise OptionError("celeba: the inputs are images; a sensitive attribute can't be added")
    chosen, target = tuple(sensitive or (SENSITIVE,)), label or LABEL
    if target in chosen:
        raise OptionError(f"attribute {target!r} can't be both label and sensitive")
    faces = read_faces((target, *chosen), partition=partition, data_home=data_home)
    y, groups = faces.values[target], _groups(faces, chosen)
    rows = _parts(faces, groups.codes.numpy() * 2 + y, seed)
    require_groups(groups.codes[torch.from_numpy(rows[0])], groups.names, where="training")
    return image_dataset(
        decoded(faces.files, image_size or PAPER_SIZE),
        y,
        groups,
        rows,
        name="celeba",
        preparation="paper",
        sensitive=chosen,
        label=target,
        positive="1",
        batch_sizes=PAPER_BATCHES,
        fingerprint=faces.fingerprint,
    )


def find_folder(data_home: str | Path | None = None) -> Path | None:
    """The folder with a file of CelebA's attributes, among the homes and ``celeba/`` in them."""
    for home in homes(data_home):
        for inner in FOLDERS:
            if any((home / inner / f"{ATTRIBUTES}{ending}").is_file() for ending in ENDINGS):
                return home / inner
    return None


def read_faces(
    chosen: Sequence[str], *, partition: str = "", data_home: str | Path | None = None
) -> Faces:
    """What the text files say, with every image of theirs found.

    Raises:
        DataError: if a file is missing or not of its form.
        OptionError: if an attribute is unknown.
    """
    folder = find_folder(data_home)
    if folder is None:
        looked = ", ".join(map(str, homes(data_home)))
        raise DataError(
            f"no CelebA in {looked} (or a folder celeba/ there): expected {ATTRIBUTES}.txt or "
            f".csv, {PARTITION}.txt or .csv and {IMAGES}/; say where it is with --data-home or "
            f"{ENVIRONMENT}, it is to be had from {HOMEPAGE}"
        )
    attributes = _text_file(folder, ATTRIBUTES)
    parts = _partition_file(folder, partition)
    about, partition_of = _content(attributes), _content(parts)
    names, values = _read_attributes(attributes, about, chosen)
    listed = _read_partition(parts, partition_of)
    if lacking := [name for name in names if name not in listed]:
        raise DataError(
            f"{parts}: {len(lacking)} of the {len(names)} images of {attributes.name} are in no "
            f"part, the first is {lacking[0]}"
        )
    images = folder / IMAGES
    if (images / IMAGES).is_dir():  # as some copies are packed
        images /= IMAGES
    files = list_files(images, names, listed_in=attributes)
    part = np.array([listed[name] for name in names])
    texts = hashlib.sha256(about).hexdigest(), hashlib.sha256(partition_of).hexdigest()
    return Faces(attributes, parts, files, values, part, texts)


def check_folder(data_home: str | Path | None = None) -> str:
    """Checks every file but the content of the images; how much is there, in words.

    Raises:
        DataError: if something is missing or not of its form, or there are all images but the text
            files are not the official ones.
    """
    faces = read_faces((), data_home=data_home)
    n = len(faces.files.names)
    if n < ROWS:
        return f"{n:,} of {ROWS:,} images"
    for path in (faces.attributes, faces.partition):
        with path.open("rb") as file:
            result = hashlib.file_digest(file, "md5").hexdigest()
        if MD5.get(path.name, result) != result:
            raise DataError(f"{path}: not the official file (MD5 {result})")
    return "all images"


def celeba_fingerprint(*, partition: str = "", data_home: str | Path | None = None) -> str:
    """The SHA-256 of the text files and of the images."""
    return read_faces((), partition=partition, data_home=data_home).fingerprint


def _groups(faces: Faces, chosen: tuple[str, ...]) -> GroupCodes:
    """The groups of the attributes, named after them: ``not Male``, ``Male``."""
    codes, result = encode_groups({name: faces.values[name] for name in chosen})
    names = [
        CROSS.join(
            name if value == "1" else f"not {name}"
            for name, value in zip(chosen, crossed.split(CROSS), strict=True)
        )
        for crossed in result
    ]
    return GroupCodes(codes, tuple(names))


def _parts(faces: Faces, cell: np.ndarray, seed: int) -> tuple[Rows, Rows, Rows]:
    """The images of training, validation and test.

    Raises:
        DataError: if there are no training or no test images.
    """
    train, validation, test = (np.flatnonzero(faces.part == value) for value in PARTS)
    for value, rows in (("0", train), ("2", test)):
        if not len(rows):
            raise DataError(
                f"{faces.partition}: no {PARTS[value]} images ({value}); give another file with "
                "--partition"
            )
    if not len(validation):
        warnings.warn(
            f"{faces.partition}: no validation images (1); a tenth of the training images, chosen "
            "by the seed, takes their place",
            DralignWarning,
            stacklevel=4,
        )
        kept, held_out, _ = stratified_split(cell[train], seed, (0.9, 0.1))
        train, validation = train[kept], train[held_out]
    return train, validation, test


def _text_file(folder: Path, stem: str) -> Path:
    """The file of that name, as text or CSV.

    Raises:
        DataError: if there is neither.
    """
    for ending in ENDINGS:
        if (folder / f"{stem}{ending}").is_file():
            return folder / f"{stem}{ending}"
    raise DataError(f"{folder}: no {stem}.txt or {stem}.csv")


def _partition_file(folder: Path, partition: str) -> Path:
    """The official partition, or one of the user's.

    Raises:
        DataError: if it is not there.
    """
    if not partition:
        return _text_file(folder, PARTITION)
    for index in (Path(partition), folder / partition):
        if is_file(index):
            return index
    raise DataError(f"{partition}: no such partition file, here or in {folder}")


def _content(path: Path) -> bytes:
    """The content of a text file.

    Raises:
        DataError: if it can't be read, or is far larger than the official ones.
    """
    try:
        return read_whole(path, at_most=MOST_TEXT, what="text file of CelebA")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def _lines(path: Path, content: bytes) -> Iterator[tuple[int, list[str]]]:
    """The fields of every line that is not blank, with its number.

    Text files are parsed on white space: the official ones have CRLF ends and double blanks.

    Raises:
        DataError: if it is not text.
    """
    separator = "," if path.suffix == ".csv" else None
    try:
        file = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig")
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, line.strip().split(separator)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: {error}") from error


def _read_attributes(
    path: Path, content: bytes, chosen: Sequence[str]
) -> tuple[list[str], dict[str, np.ndarray]]:
    """The file names, and 0 or 1 of every chosen attribute.

    Raises:
        DataError: if a line has other fields than the header, or the count is wrong.
        OptionError: if an attribute is unknown.
    """
    lines = _lines(path, content)
    _, header = next(lines, (0, []))
    count = None
    if path.suffix == ".csv":
        header = header[1:]
    else:
        count, header = header, next(lines, (0, []))[1]
    if not header:
        raise DataError(f"{path}: expected the names of the attributes at the top")
    for name in chosen:
        if name not in header:
            raise OptionError(unknown("attribute of celeba", name, header))
    indices = [header.index(name) + 1 for name in chosen]
    names, values = [], []
    for number, fields in lines:
        if len(fields) != len(header) + 1:
            raise DataError(
                f"{path}: line {number} has {len(fields)} fields, expected a file name and "
                f"{len(header)} attributes"
            )
        for index in indices:
            if fields[index] not in {"1", "-1"}:
                raise DataError(f"{path}: line {number}: expected 1 or -1, got {fields[index]!r}")
        names.append(fields[0])
        values.append([fields[index] == "1" for index in indices])
    if not names or (count is not None and count != [str(len(names))]):
        said = "images" if count is None else " ".join(count)
        raise DataError(f"{path}: expected {said}, found the lines of {len(names)}")
    table = np.array(values, dtype=np.int64).reshape(len(names), len(indices))
    return names, dict(zip(chosen, table.T, strict=True))


def _read_partition(path: Path, content: bytes) -> dict[str, str]:
    """The part of every file name.

    Raises:
        DataError: if a line is not a file name and a part.
    """
    parts: dict[str, str] = {}
    for number, fields in _lines(path, content):
        if number == 1 and fields[-1] == "partition":
            continue  # the header of a CSV
        if len(fields) != 2 or fields[1] not in PARTS:
            raise DataError(
                f"{path}: line {number}: expected a file name and 0, 1 or 2, got "
                f"{' '.join(fields)[:50]!r}"
            )
        parts[fields[0]] = fields[1]
    return parts
