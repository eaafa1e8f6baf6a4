"""German Credit (the paper's Credit): the raw table, ADF's encoding and a standard one."""

import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from dralign.data.canonical import bunch, embedded_bytes
from dralign.data.dataset import Dataset, Preparation
from dralign.data.encoding import TableEncoder, require_columns, to_numbers, to_text
from dralign.data.splitting import assemble, stratified_split
from dralign.errors import AssumptionWarning, DataError, OptionError, unknown
from dralign.groups import encode_groups

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "checking_status",
    "duration",
    "credit_history",
    "purpose",
    "credit_amount",
    "savings",
    "employment_since",
    "installment_rate",
    "personal_status_sex",
    "other_debtors",
    "residence_since",
    "property",
    "age",
    "other_installment_plans",
    "housing",
    "existing_credits",
    "job",
    "n_liable",
    "telephone",
    "foreign_worker",
    "credit",
)
LABEL, POSITIVE = "credit", "good"
MALE = frozenset({"A91", "A93", "A94"})
SENSITIVE = ("sex", "age_group")
PAPER_INPUTS = tuple(name for name in COLUMNS if name not in {"personal_status_sex", LABEL})
ASSUMPTIONS = (
    "german, paper preparation: the paper states 500 training rows only; assumed are 250 "
    "validation and 250 test rows, 100 iterations an epoch, sex kept out of the inputs, and "
    "drawing with replacement from groups smaller than their share of a batch"
)
_warned: set[str] = set()


def fetch_german(*, as_frame: bool = True, return_X_y: bool = False) -> Any:  # noqa: ANN401, N803
    """The raw German Credit table: 1,000 rows with the published codes (A11, A12, ...).

    The label is written ``"good"`` (published as 1) or ``"bad"`` (2). Sex is part of
    ``personal_status_sex``: A91, A93 and A94 are male, A92 and A95 female. Source: Hofmann (1994),
    UCI, CC BY 4.0.

    Args:
        as_frame: pandas objects; else numpy arrays.
        return_X_y: ``(data, target)`` instead of a Bunch.

    Returns:
        A scikit-learn Bunch with ``data`` (20 columns), ``target``, ``frame`` (both; None for
        arrays), ``feature_names`` and ``DESCR``.
    """
    frame = _raw()[list(COLUMNS)].copy()
    return bunch(frame, LABEL, fetch_german.__doc__ or "", as_frame, return_X_y)


@dataclass(frozen=True)
class PaperGermanEncoder:
    """ADF's encoding of Credit, which the paper follows: 19 small integers, not scaled.

    Codes become their place among the sorted codes of their column, the amount is divided by 100
    and the age by 10, both rounded down; the other numbers stay.

    Attributes:
        categories: the sorted codes of each column of codes.
    """

    categories: tuple[tuple[str, tuple[str, ...]], ...]

    @classmethod
    def fit(cls, frame: "pd.DataFrame") -> "PaperGermanEncoder":
        """Takes the codes from the table."""
        coded = [name for name in PAPER_INPUTS if not _is_number(frame[name])]
        return cls(tuple((name, tuple(sorted(set(to_text(frame[name]))))) for name in coded))

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The name of each input."""
        return PAPER_INPUTS

    def transform(self, frame: "pd.DataFrame") -> np.ndarray:
        """(n, 19) float32 inputs for raw rows.

        Raises:
            DataError: if a column is missing, a code is unknown or a number is missing.
        """
        require_columns(frame, PAPER_INPUTS)
        codes = dict(self.categories)
        divide = {"credit_amount": 100, "age": 10}
        columns = []
        for name in PAPER_INPUTS:
            if name in codes:
                place = {value: i for i, value in enumerate(codes[name])}
                column = to_text(frame[name]).map(place)
                if column.isna().any():
                    raise DataError(
                        f"column {name!r}: unknown code {frame[name][column.isna()].iloc[0]!r}; "
                        f"known: {', '.join(codes[name])}"
                    )
                columns.append(column.to_numpy(dtype=np.float64))
            else:
                numbers = to_numbers(frame[name])
                if np.isnan(numbers).any():
                    raise DataError(f"column {name!r}: this preparation knows no missing numbers")
                columns.append(numbers // divide.get(name, 1))
        return np.column_stack(columns).astype(np.float32)

    def to_dict(self) -> dict[str, object]:
        """A JSON-ready form."""
        categories = [[name, list(values)] for name, values in self.categories]
        return {"kind": "german-paper", "categories": categories}

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> "PaperGermanEncoder":
        """The encoder that ``to_dict`` gave; raises KeyError, TypeError or ValueError otherwise."""
        return cls(
            tuple((str(name), tuple(map(str, values))) for name, values in form["categories"])
        )


def load_german(
    *, preparation: Preparation, seed: int, sensitive: Sequence[str], include_sensitive: bool
) -> Dataset:
    """German Credit as a dataset; 1 is good credit.

    Raises:
        OptionError: if the preparation, or a sensitive column for it, is unknown.
    """
    if preparation == "paper":
        if tuple(sensitive or ("sex",)) != ("sex",) or include_sensitive:
            raise OptionError(
                "german: the paper's preparation has sex as its sensitive feature, kept out of the "
                "inputs; use preparation 'standard' for others"
            )
        return _paper(seed)
    if preparation != "standard":
        raise OptionError(unknown("preparation", preparation, ("paper", "standard")))
    chosen = tuple(sensitive or ("sex",))
    for name in chosen:
        if name not in SENSITIVE:
            raise OptionError(unknown("sensitive column of german", name, SENSITIVE))
    return _standard(seed, chosen, include_sensitive)


@cache
def _raw() -> "pd.DataFrame":
    """The table with two columns more, ``sex`` and ``age_group``; never changed."""
    import pandas as pd

    frame = pd.read_csv(io.BytesIO(embedded_bytes("german.data")), sep=" ", names=list(COLUMNS))
    frame[LABEL] = frame[LABEL].map({1: "good", 2: "bad"})
    frame["sex"] = frame["personal_status_sex"].isin(MALE).map({True: "male", False: "female"})
    frame["age_group"] = (frame["age"] > 25).map({True: "over 25", False: "25 or younger"})
    return frame


def _is_number(values: "pd.Series[Any]") -> bool:
    """Whether a raw column holds numbers."""
    from pandas.api.types import is_numeric_dtype

    return bool(is_numeric_dtype(values))


def _paper(seed: int) -> Dataset:
    """500 / 250 / 250 rows of a seeded permutation."""
    if ASSUMPTIONS not in _warned:
        _warned.add(ASSUMPTIONS)
        warnings.warn(ASSUMPTIONS, AssumptionWarning, stacklevel=4)
    frame = _raw()
    order = np.random.RandomState(seed).permutation(len(frame))
    encoder = PaperGermanEncoder.fit(frame)
    return assemble(
        encoder.transform(frame),
        (frame[LABEL] == POSITIVE).to_numpy(),
        encode_groups(frame["sex"]),
        (order[:500], order[500:750], order[750:]),
        encoder=encoder,
        name="german",
        preparation="paper",
        sensitive=("sex",),
        label=LABEL,
        positive=POSITIVE,
        batch_sizes=(("demographic_parity", 200), ("equalized_odds", 125)),
    )


def _standard(seed: int, sensitive: tuple[str, ...], include_sensitive: bool) -> Dataset:
    """A seeded 60/20/20 split in equal shares of every cell; train-fitted scaling and one-hot.

    With sex as a sensitive feature the column it is part of is left out; with the age group, age.
    """
    frame = _raw()
    y = (frame[LABEL] == POSITIVE).to_numpy()
    groups = encode_groups(frame[list(sensitive)])
    rows = stratified_split(groups.codes.numpy() * 2 + y, seed)
    carries = {"sex": "personal_status_sex", "age_group": "age"}
    left_out = {LABEL, *(() if include_sensitive else (carries[name] for name in sensitive))}
    encoder = TableEncoder.fit(frame.iloc[rows[0]], [c for c in COLUMNS if c not in left_out])
    return assemble(
        encoder.transform(frame),
        y,
        groups,
        rows,
        encoder=encoder,
        name="german",
        preparation="standard",
        sensitive=sensitive,
        label=LABEL,
        positive=POSITIVE,
    )
