"""A user's own images: a folder, and a table that says what is on each of them."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dralign.data.columns import require_columns
from dralign.data.dataset import Dataset
from dralign.data.grouping import table_groups, warn_of_lacking
from dralign.data.images import image_dataset
from dralign.data.images_cache import PAPER_SIZE, ImageFiles, decoded, list_files
from dralign.data.labels import coded_label
from dralign.data.reading import file_column, parse_table, table_bytes
from dralign.data.splitting import check_seed, stratified_split
from dralign.errors import DataError, OptionError
from dralign.groups import require_groups

if TYPE_CHECKING:
    import pandas as pd


def load_images(
    folder: str | Path,
    *,
    labels: str | Path,
    label: str,
    positive: str = "",
    sensitive: Sequence[str] | str,
    image_size: int = 0,
    seed: int = 0,
) -> Dataset:
    """A user's own images as a dataset: 60/20/20, in equal shares of every group and label.

    Images are resized to a square without a crop and normalised as ImageNet is. They are decoded
    once, into the user's cache. Files that the table does not name are not used.

    Args:
        folder: of the images.
        labels: the table, CSV or Parquet: a column of file names relative to the folder (called
            ``file``, ``filename``, ``file_name``, ``image``, ``image_id`` or ``path``; else it is
            the first column), one with the label, and the sensitive column(s).
        label: the column to predict, as in ``load_table``.
        positive: the value that counts as 1, as in ``load_table``.
        sensitive: the column(s) that make the groups.
        image_size: height and width in pixels; 0 for 256.
        seed: of the split.

    Raises:
        OptionError: if the label, a sensitive column or the table is not given.
        DataError: if the table or an image can't be used.
        GroupError: if there are fewer than two groups, or one has no training rows.
    """
    check_seed(seed)
    columns = (sensitive,) if isinstance(sensitive, str) and sensitive else tuple(sensitive)
    for given, name, what in (
        (str(labels), "--labels", "which table tells what is on the images?"),
        (label, "--label", "which column is to be predicted?"),
        (columns, "--sensitive", "which column makes the groups?"),
    ):
        if not given:
            raise OptionError(f"{folder}: {what} give it with {name}")
    if label in columns:
        raise OptionError(f"column {label!r} can't be both label and sensitive")
    content = table_bytes(labels)
    frame = parse_table(labels, content, of_images=True)
    require_columns(frame, [label, *columns], where=str(labels))
    files = _files(frame, folder, labels)
    y, shown, classes = coded_label(frame[label], positive)
    groups = table_groups(frame, columns)
    warn_of_lacking(frame, columns)
    rows = stratified_split(groups.codes.numpy() * (len(classes) or 2) + y, seed)
    if not all(map(len, rows)):
        raise DataError(f"{labels}: {len(frame)} rows are too few for three parts")
    require_groups(groups.codes[rows[0]], groups.names, where="training")
    return image_dataset(
        decoded(files, image_size or PAPER_SIZE),
        y,
        groups,
        rows,
        name=Path(folder).name,
        preparation="standard",
        sensitive=columns,
        label=label,
        positive=shown,
        class_names=classes,
        fingerprint=_fingerprint(content, files),
    )


def images_fingerprint(folder: str | Path, labels: str | Path) -> str:
    """The SHA-256 of the table and of the images that it names.

    What is wrong with them is a DataError.
    """
    content = table_bytes(labels)
    frame = parse_table(labels, content, of_images=True)
    return _fingerprint(content, _files(frame, folder, labels))


def _fingerprint(table: bytes, files: ImageFiles) -> str:
    """The SHA-256 of a table's content and of the files that it names."""
    text = f"{hashlib.sha256(table).hexdigest()}{files.content}"
    return hashlib.sha256(text.encode()).hexdigest()


def _files(frame: "pd.DataFrame", folder: str | Path, labels: str | Path) -> ImageFiles:
    """The files that the table names, in its order.

    Raises:
        DataError: if a file is missing, not named, or named twice.
    """
    column = frame[file_column(list(frame.columns))]
    if column.isna().any():
        raise DataError(f"{labels}: {int(column.isna().sum())} rows name no file")
    if column.duplicated().any():
        twice = column[column.duplicated()].iloc[0]
        raise DataError(f"{labels}: {twice!r} is named twice in column {column.name!r}")
    return list_files(Path(folder), list(map(str, column)), listed_in=Path(labels))
