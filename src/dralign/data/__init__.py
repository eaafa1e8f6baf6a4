"""Data: real datasets and users' own tables, as one frozen Dataset."""

from dralign.tiers import require

require("dralign.data", "narwhals", "pandas", "pyarrow")

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dralign.data.adult import PaperAdultEncoder, fetch_adult
from dralign.data.compas import fetch_compas
from dralign.data.dataset import Dataset, Encoder, Split
from dralign.data.encoding import TableEncoder
from dralign.data.frame import load_table
from dralign.data.german import PaperGermanEncoder, fetch_german
from dralign.data.images import ImageEncoder, ImagePaths, Images
from dralign.data.images_folder import load_images
from dralign.data.inspection import Inspection, inspect_table
from dralign.data.reading import read_table
from dralign.data.registry import (
    DatasetType,
    dataset_names,
    dataset_type,
    register_dataset,
    unregister_dataset,
)
from dralign.data.source import DataSource
from dralign.data.streaming import TableStream, stream_table
from dralign.errors import DataError, unknown
from dralign.forms import Form

__all__ = [
    "DataSource",
    "Dataset",
    "DatasetType",
    "Encoder",
    "ImageEncoder",
    "ImagePaths",
    "Images",
    "Inspection",
    "Split",
    "TableEncoder",
    "TableStream",
    "dataset_names",
    "encoder_from_dict",
    "fetch_adult",
    "fetch_compas",
    "fetch_german",
    "inspect_table",
    "load",
    "load_images",
    "load_table",
    "read_table",
    "register_dataset",
    "stream_table",
    "unregister_dataset",
]

_ENCODERS: dict[str, Callable[[Mapping[str, Any]], Encoder]] = {
    "table": TableEncoder.from_dict,
    "adult-paper": PaperAdultEncoder.from_dict,
    "german-paper": PaperGermanEncoder.from_dict,
    "images": ImageEncoder.from_dict,
}


def load(
    name: str,
    *,
    preparation: str = "paper",
    seed: int = 0,
    sensitive: Sequence[str] | str | None = None,
    include_sensitive: bool = False,
    data_home: str | Path | None = None,
    label: str = "",
    image_size: int = 0,
    partition: str | Path = "",
) -> Dataset:
    """A built-in dataset, ready for training.

    Args:
        name: ``"adult"``, ``"german"`` (the paper's Credit), ``"compas"`` or ``"celeba"``.
        preparation: ``"paper"``, as the published code prepares it, or ``"standard"``: the official
            split where there is one, missing values as a category, train-fitted scaling and
            one-hot.
        seed: of the split.
        sensitive: the column(s) that make the groups, crossed if several: ``"sex"`` (the default of
            Adult and German), ``"race"`` (Adult; the default of COMPAS) or ``"age"`` (German; 25
            and younger, or older); any attribute of CelebA, where Male is the default.
        include_sensitive: whether the sensitive columns are inputs too.
        data_home: the folder of datasets that are not in the package (COMPAS, CelebA);
            DRALIGN_DATA, and then the cache, if not given.
        label: the attribute of CelebA to predict; Wavy_Hair if not given.
        image_size: height and width of CelebA's images in pixels; 0 for the paper's 256.
        partition: another file that puts CelebA's images into parts.

    Raises:
        DataError: if files of the dataset are not there.
        OptionError: if the name, the preparation or a sensitive column is unknown.
    """
    dataset_type(name)
    columns = (sensitive,) if isinstance(sensitive, str) else tuple(sensitive or ())
    home = str(data_home or "")
    source = DataSource(
        name,
        preparation,
        columns,
        include_sensitive,
        label=label,
        data_home=home,
        image_size=image_size,
        partition=str(partition),
    )
    return source.load(seed)


def encoder_from_dict(form: Mapping[str, Any]) -> Encoder:
    """The encoder of a JSON form, which may come from anyone.

    Raises:
        DataError: if it is not the form of an encoder of ours.
    """
    kind = Form(form, "encoder").text("kind")
    if kind not in _ENCODERS:
        raise DataError(unknown("kind of encoder", kind[:50], _ENCODERS))
    return _ENCODERS[kind](form)
