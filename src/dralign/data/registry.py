"""Which datasets are known by a name of their own; every other name is the path of a file."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from dralign.data.acs import TASKS, acs_fingerprint, load_acs
from dralign.data.adult import load_adult
from dralign.data.baf import baf_fingerprint, load_baf
from dralign.data.canonical import SHA256
from dralign.data.celeba import celeba_fingerprint, load_celeba
from dralign.data.compas import FILE as COMPAS
from dralign.data.compas import load_compas
from dralign.data.dataset import Dataset
from dralign.data.german import load_german
from dralign.extensions import Registry


@dataclass(frozen=True)
class DatasetType:
    """A dataset that is known by its name.

    Attributes:
        name: by which users choose it.
        load: makes it from ``preparation``, ``seed``, ``sensitive`` (columns; none for its own),
            ``include_sensitive`` and its options, all given by name.
        fingerprint: a checksum of its content, from its options, given by name. It tells trials on
            other content apart.
        options: entries of ``DataSource`` that it takes beyond these: ``data_home``, ``label``,
            ``image_size`` or ``partition``.
        preparation: the one that is meant where none is given; ``load`` says which it knows.
    """

    name: str
    load: Callable[..., Dataset]
    fingerprint: Callable[..., str]
    options: tuple[str, ...] = ()
    preparation: str = "standard"


def _published(*sums: str) -> Callable[..., str]:
    """The fingerprint of published files, whose sums stand for the content."""
    return lambda **_options: hashlib.sha256("".join(sums).encode()).hexdigest()


_DATASETS: Final = Registry[DatasetType](
    "dataset",
    (
        DatasetType(
            "adult",
            load_adult,
            _published(SHA256["adult.data"], SHA256["adult.test"]),
            preparation="paper",
        ),
        DatasetType("german", load_german, _published(SHA256["german.data"]), preparation="paper"),
        DatasetType(
            "compas",
            load_compas,
            _published(COMPAS.sha256),
            options=("data_home",),
            preparation="paper",
        ),
        DatasetType(
            "celeba",
            load_celeba,
            lambda *, partition, data_home, **_options: celeba_fingerprint(
                partition=partition, data_home=data_home
            ),
            options=("data_home", "label", "image_size", "partition"),
            preparation="paper",
        ),
        DatasetType("baf", load_baf, baf_fingerprint, options=("data_home",)),
        *(
            DatasetType(task.name, partial(load_acs, task), acs_fingerprint, options=("data_home",))
            for task in TASKS
        ),
    ),
)


def register_dataset(kind: DatasetType) -> None:
    """Makes a dataset known by its name, at every door.

    Installed packages do so in a module that they name in an entry point (docs/extending.md).

    Raises:
        OptionError: if the name is taken.
    """
    _DATASETS.add(kind)


def unregister_dataset(name: str) -> None:
    """Forgets a dataset that ``register_dataset`` made known; for tests."""
    _DATASETS.remove(name)


def dataset_names() -> tuple[str, ...]:
    """The names of all datasets that have one."""
    return tuple(kind.name for kind in _DATASETS.all())


def dataset_type(name: str) -> DatasetType:
    """The dataset called ``name``.

    Raises:
        OptionError: if there is none.
    """
    return _DATASETS.find(name)
