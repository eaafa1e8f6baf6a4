"""Bank Account Fraud (Jesus et al., 2022): applications for accounts, from a copy of one's own."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dralign.data.columns import require_columns
from dralign.data.dataset import Dataset
from dralign.data.encoding import TableEncoder
from dralign.data.local import ENVIRONMENT, homes
from dralign.data.reading import parse_table, table_bytes
from dralign.data.splitting import assemble, check_seed, check_sensitive, kept_split
from dralign.errors import DataError, OptionError, unknown
from dralign.groups import encode_groups

HOMEPAGE = "https://github.com/feedzai/bank-account-fraud"
FILE, ROWS = "Base.csv", 1_000_000
FOLDERS = ("", "baf")
LABEL, POSITIVE, MONTH = "fraud_bool", "1", "month"
SENSITIVE = ("customer_age",)
OLD = 50  # years, from which on the published comparison of groups calls people older
FIRST_TEST_MONTH = 6  # of the months 0 to 7
INPUTS = (
    "income",
    "name_email_similarity",
    "prev_address_months_count",
    "current_address_months_count",
    "customer_age",
    "days_since_request",
    "intended_balcon_amount",
    "payment_type",
    "zip_count_4w",
    "velocity_6h",
    "velocity_24h",
    "velocity_4w",
    "bank_branch_count_8w",
    "date_of_birth_distinct_emails_4w",
    "employment_status",
    "credit_risk_score",
    "email_is_free",
    "housing_status",
    "phone_home_valid",
    "phone_mobile_valid",
    "bank_months_count",
    "has_other_cards",
    "proposed_credit_limit",
    "foreign_request",
    "source",
    "session_length_in_minutes",
    "device_os",
    "keep_alive_session",
    "device_distinct_emails_8w",
    "device_fraud_count",
)


def find_file(data_home: str | Path | None = None) -> Path | None:
    """Where the table lies: in one of the homes, or in ``baf/`` there."""
    paths = [home / inner / FILE for home in homes(data_home) for inner in FOLDERS]
    return next((path for path in paths if path.is_file()), None)


def check_file(data_home: str | Path | None = None) -> str:
    """How many rows there are, in words; the columns are checked, no checksum is known.

    Raises:
        DataError: if the table is missing or not of its form.
    """
    path, content = _content(data_home)
    frame = parse_table(path, content)
    require_columns(frame, [LABEL, MONTH, *INPUTS], where=str(path))
    return f"{len(frame):,} of {ROWS:,} rows"


def baf_fingerprint(*, data_home: str | Path | None = None) -> str:
    """The SHA-256 of the table.

    Raises:
        DataError: if it can't be read.
    """
    return hashlib.sha256(_content(data_home)[1]).hexdigest()


def load_baf(
    *,
    preparation: str,
    seed: int,
    sensitive: Sequence[str],
    include_sensitive: bool,
    data_home: str | Path | None = None,
) -> Dataset:
    """The base variant as a dataset, 1 for fraud; groups are people of 50 and more, and younger.

    Months 6 and 7 are the test rows, as published; a seeded quarter of the others, in equal shares
    of every cell, is for validation. Numbers of -1, which stand for missing ones, stay.

    Raises:
        DataError: if the table is missing or not of its form.
        OptionError: if an option is unknown.
    """
    check_seed(seed)
    if preparation != "standard":
        raise OptionError(unknown("preparation of baf", preparation, ("standard",)))
    check_sensitive("baf", sensitive, SENSITIVE)
    path, content = _content(data_home)
    frame = parse_table(path, content)
    require_columns(frame, [LABEL, MONTH, *INPUTS], where=str(path))
    y = frame[LABEL].to_numpy()
    if not np.isin(y, (0, 1)).all():
        raise DataError(f"{path}: {LABEL}: expected 0 or 1 in every row")
    older = np.where(frame["customer_age"] >= OLD, f"age >= {OLD}", f"age < {OLD}")
    groups = encode_groups({"customer_age": older})
    test = (frame[MONTH] >= FIRST_TEST_MONTH).to_numpy()
    rows = kept_split(groups.codes.numpy() * 2 + y, test, seed)
    if not all(map(len, rows)):
        raise DataError(f"{path}: expected rows of months below {FIRST_TEST_MONTH} and from it on")
    inputs = [name for name in INPUTS if include_sensitive or name not in SENSITIVE]
    encoder = TableEncoder.fit(frame.iloc[rows[0]], inputs, min_category_rows=1)
    return assemble(
        encoder.encode(frame)[0],
        y,
        groups,
        rows,
        encoder=encoder,
        name="baf",
        preparation="standard",
        sensitive=SENSITIVE,
        label=LABEL,
        positive=POSITIVE,
        fingerprint=hashlib.sha256(content).hexdigest(),
    )


def _content(data_home: str | Path | None) -> tuple[Path, bytes]:
    """The path of the table and what is in it.

    Raises:
        DataError: if it is missing or can't be read.
    """
    path = find_file(data_home)
    if path is None:
        looked = ", ".join(str(folder) for folder in homes(data_home))
        raise DataError(
            f"{FILE} is not in {looked} (or a folder baf/ there); get it from {HOMEPAGE} and say "
            f"where it is with --data-home or {ENVIRONMENT}"
        )
    return path, table_bytes(path)
