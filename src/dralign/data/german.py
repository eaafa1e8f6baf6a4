"""German Credit (the paper's Credit): the raw table, ADF's encoding and a standard one."""

import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from dralign.data.canonical import bunch, embedded_bytes
from dralign.data.columns import index_in, numbers, require_columns
from dralign.data.dataset import Dataset, Preparation
from dralign.data.encoding import TableEncoder
from dralign.data.splitting import (
    assemble,
    check_seed,
    choose_sensitive,
    stratified_split,
)
from dralign.errors import AssumptionWarning, DataError
from dralign.forms import Form
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
SENSITIVE = ("sex", "age")
# What each sensitive feature is read from; that column is kept out of the inputs with it.
CARRIES = {"sex": "personal_status_sex", "age": "age"}
PAPER_INPUTS = tuple(name for name in COLUMNS if name not in {"personal_status_sex", LABEL})
# The published codes in the order of the data's description; A47 does not occur, but counts.
CODES = {
    "checking_status": ("A11", "A12", "A13", "A14"),
    "credit_history": ("A30", "A31", "A32", "A33", "A34"),
    "purpose": ("A40", "A41", "A42", "A43", "A44", "A45", "A46", "A47", "A48", "A49", "A410"),
    "savings": ("A61", "A62", "A63", "A64", "A65"),
    "employment_since": ("A71", "A72", "A73", "A74", "A75"),
    "other_debtors": ("A101", "A102", "A103"),
    "property": ("A121", "A122", "A123", "A124"),
    "other_installment_plans": ("A141", "A142", "A143"),
    "housing": ("A151", "A152", "A153"),
    "job": ("A171", "A172", "A173", "A174"),
    "telephone": ("A191", "A192"),
    "foreign_worker": ("A201", "A202"),
}
DIVISORS = {"credit_amount": 100, "age": 10}
# A.1: batches of 400 under DP (two groups) and 500 under EO (four cells); the paper's other two
# gaps sample as EO does.
PAPER_BATCHES = (
    ("demographic_parity", 200),
    ("equalized_odds", 125),
    ("equal_opportunity", 125),
    ("predictive_parity", 125),
    ("printed_predictive_parity", 125),
)
ASSUMPTIONS = (
    "german, paper preparation: the paper states 500 training rows only; assumed are 250 "
    "validation and 250 test rows, 100 iterations an epoch, sex kept out of the inputs, and "
    "drawing with replacement from groups smaller than their share of a batch"
)


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

    Codes become their place in the data's description (``CODES``), the amount is divided by 100 and
    the age by 10, both rounded down; the other numbers stay. All 600 rows of ADF's own sample come
    out of the published file this way. Nothing is learned.
    """

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The name of each input."""
        return PAPER_INPUTS

    def transform(self, frame: Any) -> np.ndarray:  # noqa: ANN401 - pandas is loaded lazily
        """(n, 19) float32 inputs for raw rows.

        Raises:
            DataError: if a column or value is missing, or a code is unknown.
        """
        require_columns(frame, PAPER_INPUTS)
        return np.column_stack([_paper_input(frame[name]) for name in PAPER_INPUTS])

    def to_dict(self) -> dict[str, object]:
        """A JSON-ready form."""
        return {"kind": "german-paper"}

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> "PaperGermanEncoder":
        """The encoder that ``to_dict`` gave.

        Raises:
            DataError: if the form is not one of ours.
        """
        Form(form, "encoder").only("kind")
        return cls()


def _paper_input(values: "pd.Series[Any]") -> np.ndarray:
    """(n,) float32 values of one input of ADF's encoding.

    Raises:
        DataError: if a value is missing or a code is unknown.
    """
    name = str(values.name)
    if values.isna().any():
        raise DataError(f"column {name!r}: the paper's preparation has no missing values")
    if name not in CODES:
        return (numbers(values) // DIVISORS.get(name, 1)).astype(np.float32)
    index = index_in(values, CODES[name])
    if (index < 0).any():
        strange = values[index < 0].iloc[0]
        raise DataError(
            f"column {name!r}: unknown code {strange!r}; known: {', '.join(CODES[name])}"
        )
    return index.astype(np.float32)


def load_german(
    *, preparation: Preparation, seed: int, sensitive: Sequence[str], include_sensitive: bool
) -> Dataset:
    """German Credit as a dataset, 1 for good credit; an unknown option is an OptionError."""
    check_seed(seed)
    chosen = choose_sensitive(
        "german", preparation, sensitive, known=SENSITIVE, include_sensitive=include_sensitive
    )
    if preparation == "paper":
        return _paper(seed)
    return _standard(seed, chosen, include_sensitive)


@cache
def _raw() -> "pd.DataFrame":
    """The table; the same object each time, so never changed and never handed out."""
    import pandas as pd

    frame = pd.read_csv(io.BytesIO(embedded_bytes("german.data")), sep=" ", names=list(COLUMNS))
    frame[LABEL] = frame[LABEL].map({1: "good", 2: "bad"})
    return frame


def _sensitive(name: str) -> np.ndarray:
    """(n,) values of a sensitive feature; 25 is the usual limit of age for this dataset."""
    frame = _raw()
    if name == "sex":
        return np.where(frame["personal_status_sex"].isin(MALE), "male", "female")
    return np.where(frame["age"] > 25, "age > 25", "age <= 25")


def _paper(seed: int) -> Dataset:
    """500 / 250 / 250 rows of a seeded permutation."""
    warnings.warn(ASSUMPTIONS, AssumptionWarning, stacklevel=4)
    frame = _raw()
    order = np.random.RandomState(seed).permutation(len(frame))
    encoder = PaperGermanEncoder()
    return assemble(
        encoder.transform(frame),
        (frame[LABEL] == POSITIVE).to_numpy(),
        encode_groups(_sensitive("sex")),
        (order[:500], order[500:750], order[750:]),
        encoder=encoder,
        name="german",
        preparation="paper",
        sensitive=("sex",),
        label=LABEL,
        positive=POSITIVE,
        batch_sizes=PAPER_BATCHES,
    )


def _standard(seed: int, sensitive: tuple[str, ...], include_sensitive: bool) -> Dataset:
    """A seeded 60/20/20 split in equal shares of every cell; train-fitted scaling and one-hot.

    The column that a sensitive feature is read from is no input, unless asked for: with sex it is
    ``personal_status_sex``, with age (25 and younger, or older) it is ``age``.
    """
    frame = _raw()
    y = (frame[LABEL] == POSITIVE).to_numpy()
    groups = encode_groups({name: _sensitive(name) for name in sensitive})
    rows = stratified_split(groups.codes.numpy() * 2 + y, seed)
    left_out = {LABEL, *(() if include_sensitive else (CARRIES[name] for name in sensitive))}
    inputs = [name for name in COLUMNS if name not in left_out]
    encoder = TableEncoder.fit(frame.iloc[rows[0]], inputs, min_category_rows=1)
    return assemble(
        encoder.encode(frame)[0],
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
