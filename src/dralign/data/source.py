"""Which data a trial uses: a description that can be written down, hashed and loaded."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from numbers import Number
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dralign.data.content import file_digest
from dralign.data.dataset import Dataset
from dralign.data.frame import load_table
from dralign.data.frame_copy import FrameCopy
from dralign.data.images_folder import images_fingerprint, load_images
from dralign.data.inspection import Inspection, inspect_table
from dralign.data.limits import within_memory
from dralign.data.raw import IN_MEMORY, both_fingerprint
from dralign.data.registry import dataset_names, dataset_type
from dralign.errors import DataError, OptionError, quoted
from dralign.files import is_folder
from dralign.forms import Form
from dralign.groups import written
from dralign.table_options import BY_NAME, TableOptions

_USES = {
    "labels": "the table of a folder of your own",
    "image_size": "of CelebA, or of a folder of your own",
    "partition": "of CelebA",
}


_PATHS = ("name", "labels", "partition", "test")


class Overview(NamedTuple):
    """What data hold, for a person.

    Attributes:
        lines: at most five.
        findings: a line for each doubt.
        groups: their names, in the order of their codes.
        fingerprint: of the very content that this is said of; empty where that is not known.
    """

    lines: tuple[str, ...]
    findings: tuple[str, ...]
    groups: tuple[str, ...] = ()
    fingerprint: str = ""


@dataclass(frozen=True)
class DataSource(TableOptions):
    """Where rows come from and how they are prepared.

    The options of a table of one's own (``TableOptions``, docs/settings.md) are given by name.

    Attributes:
        name: ``"adult"``, ``"german"``, ``"compas"``, ``"celeba"``, the path of a file, or of
            a folder of images; ``"table"`` of a frame.
        preparation: ``"paper"`` or ``"standard"``; empty for the default (paper for the built-in
            datasets; files have only one).
        sensitive: the column(s) that make the groups; empty for the dataset's default.
        include_sensitive: whether they are inputs too.
        label: the column to predict, of a file; the attribute, of CelebA.
        positive: the value that counts as 1, of a file.
        data_home: the folder of datasets that are not in the package; empty for DRALIGN_DATA's and
            the cache. Not part of what is compared.
        labels: the table that says what is on the images of a folder.
        image_size: height and width of images in pixels; 0 for 256.
        partition: the file that puts the images of CelebA into parts; empty for the official one.
        frame: the rows that were in memory (``from_frame``), in the place of a file. Forms of the
            description, and so records, leave it out; they have its fingerprint.
    """

    name: str
    preparation: str = ""
    sensitive: tuple[str, ...] = ()
    include_sensitive: bool = False
    label: str = ""
    positive: str = ""
    data_home: str = field(default="", compare=False)
    labels: str = ""
    image_size: int = 0
    partition: str = ""
    frame: FrameCopy | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Brings equal descriptions to one form.

        Raises:
            OptionError: if an option does not fit the kind of data.
        """
        of_images = False
        columns = _columns(self.sensitive)
        object.__setattr__(self, "label", _text("label", self.label))
        object.__setattr__(self, "positive", _text("positive", self.positive, written))
        if len(set(columns)) < len(columns):
            raise OptionError(f"sensitive: a column is given twice: {', '.join(columns)}")
        object.__setattr__(self, "sensitive", columns)
        if self._is_named():
            kind = dataset_type(self.name)
            known = kind.options
            if self.positive or (self.label and "label" not in known):
                raise OptionError(
                    f"{self.name}: the label is given; label and positive are for your own files"
                )
            object.__setattr__(self, "preparation", self.preparation or kind.preparation)
        elif self.preparation not in {"", "standard"}:
            self._require_a_file()
            raise OptionError(
                f"preparation {quoted(self.preparation)}: files of your own have 'standard' only"
            )
        else:
            of_images = self.frame is None and (bool(self.labels) or self._names_a_folder())
            known = ("labels", "image_size") if of_images else ()
            object.__setattr__(self, "preparation", "standard")
        if self.labels and self.include_sensitive:
            raise OptionError(
                f"{self.name}: the inputs are images; a column can't be added to them"
            )
        super().__post_init__()
        if (self._is_named() or of_images) and (given := [*self.given()]):
            raise OptionError(f"{self.name}: {given[0]} is for a table of your own")
        for option, use in _USES.items():
            if getattr(self, option) and option not in known:
                raise OptionError(f"{self.name}: {option} is for images ({use})")

    @classmethod
    def from_frame(
        cls,
        frame: Any,  # noqa: ANN401 - of any library
        *,
        label: str,
        sensitive: Sequence[str] | str,
        positive: str = "",
        include_sensitive: bool = False,
        **options: Any,  # noqa: ANN401 - what ``TableOptions`` declares
    ) -> "DataSource":
        """The rows of a frame in memory, for trials and studies.

        They are copied into a private file of this machine, which worker processes read and which
        is removed as this process ends. What tells them from other data is their content.

        Args:
            frame: of pandas, polars or pyarrow.
            label: the column to predict.
            sensitive: the column(s) that make the groups.
            positive: the value that counts as 1.
            include_sensitive: whether the sensitive columns are inputs too.
            **options: how the table is used, as for ``load_table``.

        Raises:
            DataError: if it is no frame, or one that can't be copied.
            OptionError: if an option is unknown or impossible.
            OutputError: if the copy can't be written.
        """
        how = TableOptions.of_keywords(options)
        roles: dict[str, Any] = {"label": label, "positive": positive, "sensitive": sensitive}
        copy = FrameCopy.of(frame)
        return cls(
            IN_MEMORY, **roles, include_sensitive=include_sensitive, frame=copy, **how.given()
        )

    def at(self, path: str) -> "DataSource":
        """The same data at another place, where the file has the same content."""
        return replace(self, name=path, frame=None)

    def load(self, seed: int) -> Dataset:
        """The dataset, split with ``seed``; its ``fingerprint`` is of the very bytes it came from.

        Whatever is wrong with the data is a DataError, GroupError or OptionError of one line.
        """
        with within_memory(self.name):
            dataset = self._loaded(seed)
        # The files of the package and published ones are compared with these sums as they are read.
        return dataset if dataset.fingerprint else replace(dataset, fingerprint=self.fingerprint())

    def _loaded(self, seed: int) -> Dataset:
        """The dataset of ``load``."""
        if self._is_named():
            return dataset_type(self.name).load(
                preparation=self.preparation,  # the loader checks it
                seed=seed,
                sensitive=self.sensitive,
                include_sensitive=self.include_sensitive,
                **self._options(),
            )
        if self._is_of_images():
            return load_images(
                self.name,
                labels=self.labels,
                label=self.label,
                positive=self.positive,
                sensitive=self.sensitive,
                image_size=self.image_size,
                seed=seed,
            )
        return load_table(self._table(), seed=seed, **self._of_a_table())

    def overview(self, seed: int = 0, *, dataset: Dataset | None = None) -> "Overview":
        """What the data hold in five lines, and what is doubtful about them.

        Of built-in datasets and of images it is what was loaded, and there are no doubts.

        Args:
            seed: of the split.
            dataset: what ``load`` gave, if that is at hand.

        Raises:
            DataError: if the data can't be used.
        """
        if self._is_named() or self._is_of_images():
            dataset = dataset or self.load(seed)
            return Overview(dataset.summary(), (), dataset.group_names, dataset.fingerprint)
        result = self.inspect(seed)
        if result.obstacles:
            raise DataError(result.obstacles[0])
        fingerprint = result.fingerprint or self.fingerprint()
        return Overview(result.lines(), result.findings, result.groups, fingerprint)

    def inspect(self, seed: int = 0) -> Inspection:
        """What a table of one's own holds, as ``inspect_table`` says."""
        return inspect_table(self._table(), seed=seed, **self._of_a_table())

    def _table(self) -> Any:  # noqa: ANN401 - a frame is one of pandas, which is loaded lazily
        """The table of one's own: the path of its file, or a frame."""
        return self.name if self.frame is None else self.frame.read()

    def fingerprint(self) -> str:
        """The SHA-256 of the content as it is now: changes when a file does, not when it moves.

        Tables are read each time, images if the system says that a file was touched.

        What can't be read is a DataError.
        """
        if self._is_named():
            return dataset_type(self.name).fingerprint(**self._options())
        if self._is_of_images():
            return images_fingerprint(self.name, self.labels)
        self._require_a_file()
        own = self.frame.digest if self.frame else file_digest(Path(self.name))
        return both_fingerprint(own, file_digest(Path(self.test))) if self.test else own

    def _is_named(self) -> bool:
        """Whether it is a dataset with a name of its own, and no path."""
        return self.frame is None and self.name in dataset_names()

    def _options(self) -> dict[str, Any]:
        """The options of a dataset with a name of its own."""
        return {name: getattr(self, name) for name in dataset_type(self.name).options}

    def _of_a_table(self) -> dict[str, Any]:
        """How a table of one's own is read and used, once it is known to be one."""
        self._require_a_file()
        return {
            "label": self.label,
            "positive": self.positive,
            "sensitive": self.sensitive,
            "include_sensitive": self.include_sensitive,
            **self.given(),
        }

    def _is_of_images(self) -> bool:
        """Whether these are images in a folder.

        Raises:
            OptionError: if it is a folder, or there is a table of images, without the other.
        """
        folder = self._names_a_folder()
        if folder and not self.labels:
            raise OptionError(
                f"{self.name}: a folder; if it holds images, give the table that tells what is on "
                "them with --labels"
            )
        if self.labels and not folder:
            raise OptionError(f"{self.name}: no such folder; --labels is for a folder of images")
        return folder

    def _names_a_folder(self) -> bool:
        """Whether it is a folder; one that happens to be called as frames are is none of theirs."""
        is_frame = self.frame is not None or (self.name == IN_MEMORY and not self.labels)
        return not is_frame and is_folder(self.name)

    def _require_a_file(self) -> None:
        """Tells a misspelt dataset from a file that is not there.

        Raises:
            DataError: if the name is that of a frame, which is not here.
            OptionError: if it is neither.
        """
        if self.frame is not None:
            return
        if self.name == IN_MEMORY:
            raise DataError(
                f"{IN_MEMORY}: a frame that was in memory is not here; give it again in Python, to "
                "dralign.compare or DataSource.from_frame, or save it as a file"
            )
        try:
            there = Path(self.name).exists()
        except (OSError, ValueError):  # too long for the system, or with a zero byte
            there = False
        if not there and not Path(self.name).suffix:
            raise OptionError(
                f"unknown dataset {quoted(self.name)}; known: {', '.join(dataset_names())}, or the "
                "path of a CSV or Parquet file or of a folder of images"
            )

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form; of a file it keeps the name, not the folder.

        The options of images and of tables are left out at their default, so that forms (and the
        hashes made of them) written before there were any stay what they are.
        """
        form: dict[str, Any] = {
            k: list(v) if isinstance(v, tuple) else v for k, v in vars(self).items() if k != "frame"
        }
        for path in _PATHS:
            form[path] = Path(form[path]).name
        return {k: v for k, v in form.items() if v or k not in {*_USES, *BY_NAME}}

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> "DataSource":
        """The description that ``to_dict`` gave; what is left out takes its default.

        Raises:
            DataError: if an entry is unknown, missing or of another type.
        """
        entries = Form(form, "data")
        entries.only(*(entry.name for entry in fields(cls) if entry.name != "frame"))
        take: dict[str, Callable[[str], Any]] = {
            "sensitive": entries.texts,
            "include_sensitive": entries.flag,
            "image_size": lambda key: int(entries.number(key)),
        }
        kinds: dict[str, Callable[[str], Any]]
        kinds = {"texts": entries.texts, "flag": entries.flag, "count": entries.integer}
        for setting in BY_NAME.values():
            take[setting.name] = kinds.get(setting.kind, entries.text)
        given: dict[str, Any] = {
            key: take.get(key, entries.text)(key) for key in ("name", *entries.content)
        }
        return cls(**given)


def _text(name: str, value: object, as_text: Callable[[Any], str] = str) -> str:
    """The name of a column, or a value of one, as a table has it: of columns 0, 1, ... ``"0"``.

    Args:
        name: of the option.
        value: a text, a number or a boolean; None for none.
        as_text: how a number or boolean is written.

    Raises:
        OptionError: if it is anything else.
    """
    if value is None or isinstance(value, str):
        return value or ""
    if not isinstance(value, Number | np.generic):
        raise OptionError(f"{name}: expected one text or number, got {quoted(value)}")
    return as_text(value)


def _columns(given: Any) -> tuple[str, ...]:  # noqa: ANN401 - that is what is tried
    """The names of the sensitive columns, of one or several.

    Raises:
        OptionError: if they are none.
    """
    several = isinstance(given, Iterable) and not isinstance(given, str | np.generic)
    names = [_text("sensitive", name) for name in (given if several else [given])]
    return tuple(names) if several or names[0] else ()
