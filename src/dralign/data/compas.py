"""COMPAS (ProPublica, two-year recidivism): the table without names, and two preparations."""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dralign.data.canonical import bunch
from dralign.data.dataset import Dataset, Preparation
from dralign.data.encoding import TableEncoder
from dralign.data.local import PublishedFile, verified_bytes
from dralign.data.splitting import assemble, check_seed, check_sensitive, stratified_split
from dralign.errors import AssumptionWarning, OptionError, unknown
from dralign.groups import encode_groups

if TYPE_CHECKING:
    import pandas as pd

# The source has no licence and the file holds names and dates of birth of real people: it is never
# part of the package, and only COLUMNS ever leave the parser.
FILE = PublishedFile(
    dataset="compas",
    name="compas-scores-two-years.csv",
    size=2_546_489,
    sha256="c451db85908b2f7fef1d83203bedf6b71ecda0d5af468d82ae62178f91d0cc7d",
    url="https://raw.githubusercontent.com/propublica/compas-analysis/"
    "bafff5da3f2e45eca6c2d5055faad269defd135a/compas-scores-two-years.csv",
)
LABEL, POSITIVE = "two_year_recid", "1"
COLUMNS = (
    "sex",
    "age",
    "age_cat",
    "race",
    "juv_fel_count",
    "juv_misd_count",
    "juv_other_count",
    "priors_count",
    "days_b_screening_arrest",
    "c_charge_degree",
    "is_recid",
    "decile_score",
    "score_text",
    LABEL,
)
SENSITIVE = ("race", "sex")
PAPER_RACES = ("African-American", "Caucasian")
PAPER_INPUTS = ("age_cat", "sex", "priors_count", "c_charge_degree")
STANDARD_INPUTS = (
    "sex",
    "age",
    "race",
    "juv_fel_count",
    "juv_misd_count",
    "juv_other_count",
    "priors_count",
    "c_charge_degree",
)
# The smallest cell, women who were charged again, has 239 training rows.
PAPER_BATCHES = (
    ("demographic_parity", 500),
    ("equalized_odds", 200),
    ("equal_opportunity", 200),
    ("predictive_parity", 200),
    ("printed_predictive_parity", 200),
)
ASSUMPTIONS = (
    "compas, paper preparation: the paper states 5 epochs and the learning rate only; assumed are "
    "race as the sensitive feature (unless sex is chosen), a 64/16/20 split by the seed, scaling "
    "and one-hot by the training rows, and batches of 500 rows per group or 200 per cell"
)


def fetch_compas(
    *,
    data_home: str | Path | None = None,
    as_frame: bool = True,
    return_X_y: bool = False,  # noqa: N803
) -> Any:  # noqa: ANN401
    """The COMPAS table: 7,214 people, without what identifies them.

    Of the published columns only those listed in ``dralign.data.compas.COLUMNS`` are kept: no
    names, dates, case numbers or texts of charges. No row is left out. ``decile_score`` and
    ``score_text`` are the risk score that was assessed, ``is_recid`` is another outcome: none of
    these three is a feature. Source: Larson, Mattu, Kirchner and Angwin (2016), ProPublica; no
    licence is given, so the file is not part of this package: ``dralign data fetch compas``.

    Args:
        data_home: the folder it lies in; DRALIGN_DATA, and then the cache, if not given.
        as_frame: pandas objects; else numpy arrays.
        return_X_y: ``(data, target)`` instead of a Bunch.

    Returns:
        A scikit-learn Bunch with ``data`` (13 columns), ``target`` (1: charged again within two
        years), ``frame`` (both; None for arrays), ``feature_names`` and ``DESCR``.

    Raises:
        DataError: if the file is not there or not the published one.
    """
    return bunch(_raw(data_home), LABEL, fetch_compas.__doc__ or "", as_frame, return_X_y)


def load_compas(
    *,
    preparation: Preparation,
    seed: int,
    sensitive: Sequence[str],
    include_sensitive: bool,
    data_home: str | Path | None = None,
) -> Dataset:
    """COMPAS as a dataset, 1 for people charged again within two years.

    Raises:
        DataError: if the file is not there or not the published one.
        OptionError: if an option is unknown.
    """
    check_seed(seed)
    if preparation not in {"paper", "standard"}:
        raise OptionError(unknown("preparation", preparation, ("paper", "standard")))
    chosen = tuple(sensitive or ("race",))
    check_sensitive("compas", chosen, SENSITIVE)
    if preparation == "standard":
        return _standard(_screened(_raw(data_home)), seed, chosen, include_sensitive)
    if include_sensitive or len(chosen) > 1:
        raise OptionError(
            "compas: the paper's preparation has one sensitive feature, kept out of the inputs; "
            "use preparation 'standard' for others"
        )
    return _paper(_screened(_raw(data_home)), seed, chosen)


def _raw(data_home: str | Path | None) -> "pd.DataFrame":
    """All 7,214 rows; the other columns end with the parser."""
    import pandas as pd

    content = verified_bytes(FILE, data_home)
    return pd.read_csv(io.BytesIO(content), usecols=list(COLUMNS))[list(COLUMNS)]


def _screened(frame: "pd.DataFrame") -> "pd.DataFrame":
    """The 6,172 rows that ProPublica's analysis keeps: charge and score belong together."""
    kept = (
        frame["days_b_screening_arrest"].between(-30, 30)
        & (frame["is_recid"] != -1)
        & (frame["c_charge_degree"] != "O")
        & frame["score_text"].notna()  # written N/A
    )
    return frame[kept].reset_index(drop=True)


def _paper(frame: "pd.DataFrame", seed: int, sensitive: tuple[str, ...]) -> Dataset:
    """5,278 rows of a seeded permutation, in the shares of the first author's COMPAS code."""
    warnings.warn(ASSUMPTIONS, AssumptionWarning, stacklevel=4)
    frame = frame[frame["race"].isin(PAPER_RACES)].reset_index(drop=True)
    order = np.random.RandomState(seed).permutation(len(frame))
    n_test = -(-len(frame) // 5)  # a fifth, rounded up
    n_validation = -(-(len(frame) - n_test) // 5)
    test, validation, train = np.split(order, [n_test, n_test + n_validation])
    inputs = [name for name in PAPER_INPUTS if name not in sensitive]
    return _assemble(
        frame,
        (train, validation, test),
        inputs,
        sensitive,
        preparation="paper",
        batch_sizes=PAPER_BATCHES,
    )


def _standard(
    frame: "pd.DataFrame", seed: int, sensitive: tuple[str, ...], include_sensitive: bool
) -> Dataset:
    """6,172 rows of every race, split 60/20/20 in equal shares of every cell."""
    codes = encode_groups(frame[list(sensitive)]).codes.numpy()
    rows = stratified_split(codes * 2 + frame[LABEL].to_numpy(), seed)
    left_out = () if include_sensitive else sensitive
    inputs = [name for name in STANDARD_INPUTS if name not in left_out]
    return _assemble(frame, rows, inputs, sensitive, preparation="standard")


def _assemble(
    frame: "pd.DataFrame",
    rows: tuple[np.ndarray, np.ndarray, np.ndarray],
    inputs: Sequence[str],
    sensitive: tuple[str, ...],
    **about: Any,  # noqa: ANN401 - the descriptive fields of Dataset
) -> Dataset:
    """The dataset; scaling and categories come from the training rows."""
    encoder = TableEncoder.fit(frame.iloc[rows[0]], inputs, min_category_rows=1)
    return assemble(
        encoder.encode(frame)[0],
        frame[LABEL].to_numpy(),
        encode_groups(frame[list(sensitive)]),
        rows,
        encoder=encoder,
        name="compas",
        sensitive=sensitive,
        label=LABEL,
        positive=POSITIVE,
        **about,
    )
