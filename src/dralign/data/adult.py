"""Adult (Census Income): the raw table, the paper's preparation and a standard one."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from dralign.data.canonical import bunch, embedded_bytes
from dralign.data.columns import UNSEEN, index_in, numbers, one_hot, require_columns
from dralign.data.dataset import Dataset, Preparation
from dralign.data.encoding import TableEncoder, Unseen, warn_unseen
from dralign.data.splitting import (
    assemble,
    check_seed,
    choose_sensitive,
    stratified_split,
)
from dralign.errors import DataError
from dralign.forms import Form
from dralign.groups import encode_groups

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "age",
    "workclass",
    "fnlwgt",
    "education",
    "education-num",
    "marital-status",
    "occupation",
    "relationship",
    "race",
    "sex",
    "capital-gain",
    "capital-loss",
    "hours-per-week",
    "native-country",
    "income",
)
LABEL, POSITIVE = "income", ">50K"
N_OFFICIAL_TRAIN = 32_561
CONTINUOUS = ("age", "education-num", "capital-gain", "capital-loss", "hours-per-week")
CATEGORICAL = ("workclass", "marital-status", "occupation", "relationship")
N_BINS = 10
SENSITIVE = ("sex", "race")
# A.1: batches of 1000 under DP and 2000 under EO, which is 500 per group or cell; the paper's
# other two gaps sample as EO does.
PAPER_BATCHES = (
    ("demographic_parity", 500),
    ("equalized_odds", 500),
    ("equal_opportunity", 500),
    ("predictive_parity", 500),
    ("printed_predictive_parity", 500),
)


def fetch_adult(*, as_frame: bool = True, return_X_y: bool = False) -> Any:  # noqa: ANN401, N803
    """The raw Adult table: 48,842 rows, the 32,561 official training rows first.

    ``?`` is a missing value and the full stop after the labels of the test file is removed; nothing
    else is changed. ``fnlwgt`` is a sampling weight, not a property of the person. Source: Becker
    and Kohavi (1996), UCI, CC BY 4.0.

    Args:
        as_frame: pandas objects; else numpy arrays.
        return_X_y: ``(data, target)`` instead of a Bunch.

    Returns:
        A scikit-learn Bunch with ``data`` (14 columns), ``target`` (``"<=50K"`` or ``">50K"``),
        ``frame`` (both; None for arrays), ``feature_names`` and ``DESCR``.
    """
    return bunch(_raw().copy(), LABEL, fetch_adult.__doc__ or "", as_frame, return_X_y)


@dataclass(frozen=True)
class PaperAdultEncoder:
    """The 120 binary inputs of fair-mixup's preparation, which the paper follows.

    Five continuous columns become ten bins each, all by the same edges: the deciles of standardised
    *age* (a quirk of the published code). 35 binary columns (34 categories and race == White)
    become two inputs each. Every row has 40 ones. Missing values and categories that the data do
    not have are "not" in every binary column of theirs. Where race makes the groups, its two inputs
    are left out (118, 39 ones).

    Attributes:
        mean: of the continuous columns over training and validation rows.
        std: the same.
        edges: the ten bin edges, in rising order.
        categories: of each categorical column.
        race: whether race == White is an input.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    edges: tuple[float, ...]
    categories: tuple[tuple[str, ...], ...]
    race: bool = True

    @classmethod
    def fit(
        cls, frame: "pd.DataFrame", train: np.ndarray, known: np.ndarray, *, race: bool = True
    ) -> "PaperAdultEncoder":
        """Learns the scaling from the ``known`` rows (train and validation), edges from train."""
        values = _continuous(frame)
        mean, std = values[known].mean(axis=0), values[known].std(axis=0)
        age = (values[train, 0] - mean[0]) / std[0]
        edges = np.quantile(age, np.arange(N_BINS) / N_BINS)
        categories = tuple(tuple(sorted(frame[name].unique())) for name in CATEGORICAL)
        means, deviations, bins = (tuple(values.tolist()) for values in (mean, std, edges))
        return cls(means, deviations, bins, categories, race)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The name of each input."""
        bins = [f"{name} bin {index}" for name in CONTINUOUS for index in range(N_BINS)]
        hot = [
            f"{name}={value}"
            for name, values in zip(CATEGORICAL, self.categories, strict=True)
            for value in values
        ]
        names = [*hot, "race=White"] if self.race else hot
        return (*bins, *(f"{form}{name}" for name in names for form in ("not ", "")))

    def encode(self, frame: "pd.DataFrame") -> tuple[np.ndarray, Unseen]:
        """``transform`` without a word: the inputs, and the unknown values per column.

        Raises:
            DataError: if a column is missing, or a continuous value is.
        """
        require_columns(frame, [*CONTINUOUS, *CATEGORICAL, *(["race"] if self.race else [])])
        scaled = (_continuous(frame) - np.array(self.mean)) / np.array(self.std)
        index = np.digitize(scaled, self.edges).clip(1, N_BINS) - 1  # (n, 5)
        binary, strange = [], Unseen()
        for name, values in zip(CATEGORICAL, self.categories, strict=True):
            rank = index_in(frame[name], values)
            binary.append(one_hot(rank, len(values)))
            if count := int((rank == UNSEEN).sum()):
                strange.categories[name] = count
        if self.race:
            binary.append(one_hot(index_in(frame["race"], ["White"]), 1))
        yes = np.concatenate(binary, axis=1)  # (n, 35)
        pairs = np.stack([1 - yes, yes], axis=2).reshape(len(yes), -1)  # (n, 70)
        bins = [one_hot(column, N_BINS) for column in index.T]
        return np.concatenate([*bins, pairs], axis=1, dtype=np.float32), strange

    def transform(self, frame: Any) -> np.ndarray:  # noqa: ANN401 - pandas is loaded lazily
        """(n, 120) or (n, 118) float32 inputs for raw rows; unused columns may be absent.

        Raises:
            DataError: if a column is missing, or a continuous value is.
        """
        inputs, strange = self.encode(frame)
        warn_unseen(strange)
        return inputs

    def to_dict(self) -> dict[str, object]:
        """A JSON-ready form."""
        return {
            "kind": "adult-paper",
            "mean": list(self.mean),
            "std": list(self.std),
            "edges": list(self.edges),
            "categories": dict(zip(CATEGORICAL, map(list, self.categories), strict=True)),
            "race": self.race,
        }

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> "PaperAdultEncoder":
        """The encoder that ``to_dict`` gave.

        Raises:
            DataError: if the form is not one of ours.
        """
        entries = Form(form, "encoder")
        mean = entries.numbers("mean", len(CONTINUOUS))
        std = entries.numbers("std", len(CONTINUOUS))
        edges = entries.numbers("edges", N_BINS)
        lists = Form(entries.content.get("categories"), "encoder categories")
        if min(std) <= 0 or list(edges) != sorted(edges):
            raise DataError("encoder: expected 'std' above 0 and 'edges' in rising order")
        race = "race" not in entries.content or entries.flag("race")
        return cls(mean, std, edges, tuple(lists.texts(name) for name in CATEGORICAL), race)


def load_adult(
    *, preparation: Preparation, seed: int, sensitive: Sequence[str], include_sensitive: bool
) -> Dataset:
    """Adult as a dataset; an unknown option is an OptionError."""
    check_seed(seed)
    chosen = choose_sensitive(
        "adult",
        preparation,
        sensitive,
        known=SENSITIVE,
        in_paper=SENSITIVE,
        include_sensitive=include_sensitive,
    )
    if preparation == "paper":
        return _paper(seed, chosen)
    return _standard(seed, chosen, include_sensitive)


def _continuous(frame: "pd.DataFrame") -> np.ndarray:
    """(n, 5) float64 values of the continuous columns.

    Raises:
        DataError: if one is missing or not a number.
    """
    values = np.column_stack([numbers(frame[name]) for name in CONTINUOUS])
    absent = np.isnan(values).any(axis=0)
    if absent.any():
        name = CONTINUOUS[int(absent.argmax())]
        raise DataError(f"column {name!r}: the paper's preparation has no missing numbers")
    return values


@cache
def _raw() -> "pd.DataFrame":
    """The table; the same object each time, so never changed and never handed out."""
    import pandas as pd

    def read(name: str, skip: int) -> "pd.DataFrame":
        return pd.read_csv(
            io.BytesIO(embedded_bytes(name)),
            names=list(COLUMNS),
            skiprows=skip,
            skipinitialspace=True,
            na_values=["?"],
            keep_default_na=False,
        )

    frame = pd.concat([read("adult.data", 0), read("adult.test", 1)], ignore_index=True)
    frame[LABEL] = frame[LABEL].str.rstrip(".")
    return frame


def _paper(seed: int, sensitive: tuple[str, ...]) -> Dataset:
    """Fair-mixup's preparation: 27,132 / 9,045 / 9,045 rows of 120 binary inputs.

    Sex is never an input. Race is White or not here, and no input where it makes the groups.
    """
    raw = _raw()
    frame = raw[raw["native-country"].notna() & raw["occupation"].notna()].reset_index(drop=True)
    order = np.random.RandomState(seed).permutation(len(frame))
    known, test = np.split(order, [int(0.8 * len(order))])
    validation, train = np.split(known, [len(test)])
    encoder = PaperAdultEncoder.fit(frame, train, known, race="race" not in sensitive)
    features = frame.assign(race=frame["race"].where(frame["race"] == "White", "not White"))
    return assemble(
        encoder.encode(frame)[0],
        (frame[LABEL] == POSITIVE).to_numpy(),
        encode_groups(features[list(sensitive)]),
        (train, validation, test),
        encoder=encoder,
        name="adult",
        preparation="paper",
        sensitive=sensitive,
        label=LABEL,
        positive=POSITIVE,
        batch_sizes=PAPER_BATCHES,
    )


def _standard(seed: int, sensitive: tuple[str, ...], include_sensitive: bool) -> Dataset:
    """Official test rows; a seeded fifth of the official training rows for validation.

    All columns are inputs but the label, the sampling weight ``fnlwgt`` and, unless asked for, the
    sensitive ones. Columns that hint at them (``relationship`` says Husband) stay.
    """
    frame = _raw()
    y = (frame[LABEL] == POSITIVE).to_numpy()
    groups = encode_groups(frame[list(sensitive)])
    cell = groups.codes.numpy() * 2 + y
    train, validation, _ = stratified_split(cell[:N_OFFICIAL_TRAIN], seed, (0.8, 0.2))
    test = np.arange(N_OFFICIAL_TRAIN, len(frame))
    left_out = {LABEL, "fnlwgt", *(() if include_sensitive else sensitive)}
    inputs = [name for name in COLUMNS if name not in left_out]
    encoder = TableEncoder.fit(frame.iloc[train], inputs, min_category_rows=1)
    return assemble(
        encoder.encode(frame)[0],
        y,
        groups,
        (train, validation, test),
        encoder=encoder,
        name="adult",
        preparation="standard",
        sensitive=sensitive,
        label=LABEL,
        positive=POSITIVE,
    )
