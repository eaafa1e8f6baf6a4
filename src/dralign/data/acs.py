"""American Community Survey (Ding et al., 2021): folktables' tasks, from a copy of one's own."""

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dralign.data.columns import require_columns
from dralign.data.dataset import Dataset
from dralign.data.encoding import TableEncoder
from dralign.data.limits import within_memory
from dralign.data.local import ENVIRONMENT, homes
from dralign.data.parquet import one_line
from dralign.data.reading import table_bytes
from dralign.data.splitting import assemble, check_seed, check_sensitive, stratified_split
from dralign.errors import DataError, OptionError, unknown
from dralign.files import is_file, is_folder
from dralign.groups import encode_groups

if TYPE_CHECKING:
    import pandas as pd

Condition = Callable[["pd.DataFrame"], "pd.Series[bool]"]

HOMEPAGE: Final = "https://www.census.gov/programs-surveys/acs/microdata.html"
# As the Census Bureau calls the files of a state's people, since 2017 and before.
FILES: Final = ("psam_p[0-9][0-9].csv", "ss[0-9][0-9]p[a-z][a-z].csv")
# The last two are how folktables keeps them.
FOLDERS: Final = ("", "acs/", "[0-9]*/[15]-Year/", "acs/[0-9]*/[15]-Year/")
NUMBERS: Final = ("AGEP", "PINCP", "WKHP")  # every other input is a code
GROUPS: Final[Mapping[str, Mapping[int, str]]] = {
    "RAC1P": {
        1: "White",
        2: "Black",
        3: "American Indian",
        4: "Alaska Native",
        5: "American Indian or Alaska Native, not specified",
        6: "Asian",
        7: "Native Hawaiian or Pacific Islander",
        8: "some other race",
        9: "two or more races",
    },
    "SEX": {1: "Male", 2: "Female"},
}
SENSITIVE: Final = tuple(GROUPS)
_ABILITIES: Final = ("DEAR", "DEYE", "DREM")
_ORIGINS: Final = ("CIT", "MIG", "MIL", "ANC", "NATIVITY")


@dataclass(frozen=True)
class Task:
    """What is predicted of which people, as folktables defines it.

    Attributes:
        name: of the dataset.
        label: the column that is predicted.
        positive: what counts as 1, in words.
        holds: whether a row counts as 1; a missing value does not.
        inputs: the columns that folktables calls features, in its order.
        kept: whether a row is one of the task's.
        needed: columns that ``kept`` reads beyond these.
    """

    name: str
    label: str
    positive: str
    holds: Condition
    inputs: tuple[str, ...]
    kept: Condition
    needed: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """All that are read, each once."""
        return tuple(dict.fromkeys((*self.inputs, self.label, *self.needed)))


TASKS: Final = (
    Task(
        "acs_income",
        "PINCP",
        ">50000",
        lambda rows: rows["PINCP"] > 50_000,
        ("AGEP", "COW", "SCHL", "MAR", "OCCP", "POBP", "RELP", "WKHP", "SEX", "RAC1P"),
        lambda rows: (
            (rows["AGEP"] > 16) & (rows["PINCP"] > 100) & (rows["WKHP"] > 0) & (rows["PWGTP"] >= 1)
        ),
        needed=("PWGTP",),
    ),
    Task(
        "acs_employment",
        "ESR",
        "1",
        lambda rows: rows["ESR"] == 1,
        (
            *("AGEP", "SCHL", "MAR", "RELP", "DIS", "ESP"),
            *(*_ORIGINS, *_ABILITIES, "SEX", "RAC1P"),
        ),
        lambda rows: rows["AGEP"] >= 0,  # everybody
    ),
    Task(
        "acs_public_coverage",
        "PUBCOV",
        "1",
        lambda rows: rows["PUBCOV"] == 1,
        (
            *("AGEP", "SCHL", "MAR", "SEX", "DIS", "ESP"),
            *(*_ORIGINS, *_ABILITIES, "PINCP", "ESR", "ST", "FER", "RAC1P"),
        ),
        lambda rows: (rows["AGEP"] < 65) & (rows["PINCP"] <= 30_000),
    ),
)


def find_files(data_home: str | Path | None = None) -> list[Path]:
    """The files of people in the first of the homes that has any; a home may be such a file."""
    for home in homes(data_home):
        if is_file(home):
            return [home]
        if not is_folder(home):
            continue
        if paths := [p for inner in FOLDERS for name in FILES for p in home.glob(inner + name)]:
            return sorted(paths)
    return []


def find_file(data_home: str | Path | None = None) -> Path | None:
    """Where the data lie: the file, or where there are several the folder of the first."""
    paths = find_files(data_home)
    if not paths:
        return None
    return paths[0] if len(paths) == 1 else paths[0].parent


def check_file(task: Task, data_home: str | Path | None = None) -> str:
    """How many people are in the file and in the task, in words; no checksum is known.

    Raises:
        DataError: if the file is missing or not of its form, or there are several.
    """
    path, content = _content(data_home)
    frame = _parsed(path, content, task.columns)
    return f"{int(task.kept(frame).sum()):,} of {len(frame):,} people are in the task"


def acs_fingerprint(*, data_home: str | Path | None = None) -> str:
    """The SHA-256 of the file.

    Raises:
        DataError: if it can't be read.
    """
    return hashlib.sha256(_content(data_home)[1]).hexdigest()


def load_acs(
    task: Task,
    *,
    preparation: str,
    seed: int,
    sensitive: Sequence[str],
    include_sensitive: bool,
    data_home: str | Path | None = None,
) -> Dataset:
    """A task of folktables as a dataset: its rows, label and features, split 60/20/20 by the seed.

    AGEP, WKHP and PINCP are numbers; every other feature is a code, and so a category, of which a
    missing one is another. Groups are those of RAC1P if no column is given, as in folktables.

    Raises:
        DataError: if the file is missing or not of its form, or there are several.
        OptionError: if an option is unknown.
    """
    check_seed(seed)
    if preparation != "standard":
        raise OptionError(unknown(f"preparation of {task.name}", preparation, ("standard",)))
    chosen = tuple(sensitive or SENSITIVE[:1])
    check_sensitive(task.name, chosen, SENSITIVE)
    path, content = _content(data_home)
    frame = _parsed(path, content, task.columns)
    frame = frame[task.kept(frame)].reset_index(drop=True)
    y = task.holds(frame).to_numpy(dtype=np.int64)
    if len(np.unique(y)) < 2:
        raise DataError(f"{path}: expected people with {task.label} {task.positive} and without")
    groups = encode_groups({name: _named(frame[name], path) for name in chosen})
    rows = stratified_split(groups.codes.numpy() * 2 + y, seed)
    inputs = [name for name in task.inputs if include_sensitive or name not in chosen]
    codes = {name: "category" for name in inputs if name not in NUMBERS}
    coded = frame[inputs].astype(codes)
    encoder = TableEncoder.fit(coded.iloc[rows[0]], inputs, min_category_rows=1)
    return assemble(
        encoder.encode(coded)[0],
        y,
        groups,
        rows,
        encoder=encoder,
        name=task.name,
        preparation="standard",
        sensitive=chosen,
        label=task.label,
        positive=task.positive,
        fingerprint=hashlib.sha256(content).hexdigest(),
    )


def _named(values: "pd.Series[Any]", path: Path) -> np.ndarray:
    """(n,) what the codes of a sensitive column mean.

    Raises:
        DataError: if a code is none of them.
    """
    words = values.map(GROUPS[str(values.name)])
    if words.isna().any():
        last = max(GROUPS[str(values.name)])
        raise DataError(f"{path}: {values.name}: expected a code from 1 to {last} in every row")
    named: np.ndarray = words.to_numpy()
    return named


def _parsed(path: Path, content: bytes, columns: Sequence[str]) -> "pd.DataFrame":
    """(n, columns) numbers, NaN where a field is empty; the other columns end with the parser.

    Raises:
        DataError: if it is no table, lacks a column, or one holds something else than numbers.
    """
    import pyarrow as pa
    from pyarrow import csv

    # Some early files have blanks around numbers; folktables takes them out as well.
    given = io.BytesIO(content.replace(b" ", b""))
    try:
        with within_memory(path):
            header = csv.open_csv(given).schema.names
            kinds = dict.fromkeys(columns, pa.float64())
            chosen = [name for name in columns if name in header]
            convert = csv.ConvertOptions(include_columns=chosen, column_types=kinds)
            given.seek(0)
            frame: pd.DataFrame = csv.read_csv(given, convert_options=convert).to_pandas()
    except (pa.ArrowException, ValueError) as error:
        raise DataError(
            f"{path}: not a table of the survey's people ({one_line(error)})"
        ) from error
    require_columns(frame, columns, where=str(path))
    if not len(frame):
        raise DataError(f"{path}: has a header but no rows")
    return frame


def _content(data_home: str | Path | None) -> tuple[Path, bytes]:
    """The path of the file and what is in it.

    Raises:
        DataError: if it is missing, can't be read, or is one of several.
    """
    paths = find_files(data_home)
    if not paths:
        looked = ", ".join(str(folder) for folder in homes(data_home))
        raise DataError(
            f"no file of people of the ACS (psam_p06.csv of California) is in {looked} (or acs/ or "
            f"2018/1-Year/ there); get one from {HOMEPAGE} and say where it is with --data-home or "
            f"{ENVIRONMENT}"
        )
    if len(paths) > 1:
        raise DataError(
            f"{paths[0].parent}: {len(paths)} files of people of the ACS, {paths[0].name} to "
            f"{paths[-1].name}; say which with --data-home FILE"
        )
    return paths[0], table_bytes(paths[0])
