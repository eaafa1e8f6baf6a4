"""Which data a trial uses: a description that can be written down, hashed and loaded."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, cast

from dralign.data.adult import load_adult
from dralign.data.canonical import SHA256
from dralign.data.compas import FILE as COMPAS
from dralign.data.compas import load_compas
from dralign.data.dataset import Dataset, Preparation
from dralign.data.form import Form
from dralign.data.frame import load_table
from dralign.data.german import load_german
from dralign.errors import DataError, OptionError

BUILT_IN = {"adult": load_adult, "german": load_german, "compas": load_compas}
# The sums of the published files, which stand for the content of a built-in dataset.
CONTENT = {
    "adult": (SHA256["adult.data"], SHA256["adult.test"]),
    "german": (SHA256["german.data"],),
    "compas": (COMPAS.sha256,),
}


@dataclass(frozen=True)
class DataSource:
    """Where rows come from and how they are prepared.

    Attributes:
        name: ``"adult"``, ``"german"``, ``"compas"``, or the path of a file.
        preparation: ``"paper"`` or ``"standard"``; empty for the default (paper for the built-in
            datasets; files have only one).
        sensitive: the column(s) that make the groups; empty for the dataset's default.
        include_sensitive: whether they are inputs too.
        label: the column to predict, of a file.
        positive: the value that counts as 1, of a file.
        data_home: the folder of datasets that are not in the package; empty for DRALIGN_DATA's and
            the cache. Not part of what is compared.
    """

    name: str
    preparation: str = ""
    sensitive: tuple[str, ...] = ()
    include_sensitive: bool = False
    label: str = ""
    positive: str = ""
    data_home: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        """Brings equal descriptions to one form.

        Raises:
            OptionError: if an option does not fit the kind of data.
        """
        columns: Any = self.sensitive
        columns = (columns,) if isinstance(columns, str) else tuple(columns)
        if len(set(columns)) < len(columns):
            raise OptionError(f"sensitive: a column is given twice: {', '.join(columns)}")
        object.__setattr__(self, "sensitive", columns)
        if self.name in BUILT_IN:
            if self.label or self.positive:
                raise OptionError(f"{self.name}: the label is given; --label is for your own files")
            object.__setattr__(self, "preparation", self.preparation or "paper")
        elif self.preparation not in {"", "standard"}:
            self._require_a_file()
            raise OptionError(
                f"preparation {self.preparation!r}: files of your own have 'standard' only"
            )
        else:
            object.__setattr__(self, "preparation", "standard")

    def load(self, seed: int) -> Dataset:
        """The dataset, split with ``seed``.

        Whatever is wrong with the data is a DataError, GroupError or OptionError of one line.
        """
        if self.name in BUILT_IN:
            where = {"data_home": self.data_home} if self.name == COMPAS.dataset else {}
            return BUILT_IN[self.name](
                preparation=cast("Preparation", self.preparation),  # the loader checks it
                seed=seed,
                sensitive=self.sensitive,
                include_sensitive=self.include_sensitive,
                **where,
            )
        self._require_a_file()
        return load_table(
            self.name,
            label=self.label,
            positive=self.positive,
            sensitive=self.sensitive,
            include_sensitive=self.include_sensitive,
            seed=seed,
        )

    def fingerprint(self) -> str:
        """The SHA-256 of the content: changes when a file changes, not when it moves.

        Raises:
            DataError: if the file can't be read.
        """
        if self.name in BUILT_IN:
            return hashlib.sha256("".join(CONTENT[self.name]).encode()).hexdigest()
        self._require_a_file()
        try:
            with Path(self.name).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise DataError(f"{self.name[:200]!r}: {reason}") from error

    def _require_a_file(self) -> None:
        """Tells a misspelt dataset from a file that is not there.

        Raises:
            OptionError: if the name is neither.
        """
        try:
            there = Path(self.name).exists()
        except (OSError, ValueError):  # too long for the system, or with a zero byte
            there = False
        if not there and not Path(self.name).suffix:
            raise OptionError(
                f"unknown dataset {self.name!r}; known: {', '.join(BUILT_IN)}, or the path of a "
                "CSV or Parquet file"
            )

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form; of a file it keeps the name, not the folder."""
        form = asdict(self)
        return {**form, "name": Path(self.name).name, "sensitive": list(self.sensitive)}

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> "DataSource":
        """The description that ``to_dict`` gave; what is left out takes its default.

        Raises:
            DataError: if an entry is unknown, missing or of another type.
        """
        entries = Form(form, "data")
        entries.only(*(entry.name for entry in fields(cls)))
        take = {"sensitive": entries.texts, "include_sensitive": entries.flag}
        given: dict[str, Any] = {
            key: take.get(key, entries.text)(key) for key in ("name", *entries.content)
        }
        return cls(**given)
