"""Bank Account Fraud: found, split by month, grouped by age; on tables made up in its layout."""

import hashlib
import io

import numpy as np
import pandas as pd
import pytest

from dralign.cli import main
from dralign.data import DataSource, baf, load
from dralign.errors import DataError, OptionError

TEXTS = {"payment_type", "employment_status", "housing_status", "source", "device_os"}


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    """No folder of the user's is looked into."""
    monkeypatch.delenv("DRALIGN_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def table(n: int = 320) -> pd.DataFrame:
    """Made-up rows with the columns of the published table."""
    draw = np.random.default_rng(0)
    columns = {
        name: draw.choice(["AA", "AB", "AC"], n) if name in TEXTS else draw.integers(-1, 9, n)
        for name in baf.INPUTS
    }
    columns["customer_age"] = np.array([20, 40, 50, 70])[np.arange(n) % 4]
    row = np.arange(n)
    return pd.DataFrame({"fraud_bool": row // 4 % 2, **columns, "month": row // 8 % 8})


@pytest.fixture
def home(tmp_path):
    """A folder with such a table."""
    folder = tmp_path / "home" / "baf"
    folder.mkdir(parents=True)
    table().to_csv(folder / "Base.csv", index=False)
    return folder.parent


def test_months_make_the_test_rows_and_fifty_years_the_groups(home):
    data, frame = load("baf", preparation="standard", data_home=home, seed=1), table()
    late = frame[frame["month"] >= 6]
    assert data.group_names == ("age < 50", "age >= 50")
    assert data.test.y.tolist() == late["fraud_bool"].tolist()
    assert data.test.group.tolist() == (late["customer_age"] >= 50).astype(int).tolist()
    assert (len(data.train), len(data.validation), len(data.test)) == (180, 60, 80)
    assert (data.label, data.positive, data.sensitive) == ("fraud_bool", "1", ("customer_age",))


def test_label_and_month_are_no_inputs_and_age_only_where_asked_for(home):
    named = {
        name.split("=")[0]
        for name in load("baf", preparation="standard", data_home=home).encoder.feature_names
    }
    assert named == set(baf.INPUTS) - {"customer_age"}
    source = DataSource("baf", include_sensitive=True, data_home=str(home))
    assert "customer_age" in source.load(0).encoder.feature_names


def test_the_fingerprint_is_of_the_bytes_and_not_of_where_they_lie(home):
    source = DataSource("baf", data_home=str(home))
    content = (home / "baf" / "Base.csv").read_bytes()
    expected = hashlib.sha256(content).hexdigest()
    assert source.fingerprint() == source.load(0).fingerprint == expected
    (home / "Base.csv").write_bytes(content)
    assert baf.find_file(home) == home / "Base.csv"
    assert source.fingerprint() == expected


def test_what_is_missing_or_of_another_form_is_told_in_one_line(home, tmp_path):
    with pytest.raises(DataError, match=r"Base\.csv is not in .*get it from https://github"):
        load("baf", preparation="standard", data_home=tmp_path)
    path = home / "baf" / "Base.csv"
    for change, message in (
        ({"month": 1}, "expected rows of months below 6 and from it on"),
        ({"fraud_bool": 2}, "fraud_bool: expected 0 or 1 in every row"),
    ):
        table().assign(**change).to_csv(path, index=False)
        with pytest.raises(DataError, match=message):
            load("baf", preparation="standard", data_home=home)
    table().drop(columns="device_os").to_csv(path, index=False)
    with pytest.raises(DataError, match=r"Base\.csv.*no column 'device_os'"):
        load("baf", preparation="standard", data_home=home)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preparation": "paper"}, "unknown preparation of baf 'paper'"),
        ({"sensitive": "sex"}, "unknown sensitive column of baf 'sex'; known: customer_age"),
    ],
)
def test_options_that_it_has_not_are_refused(home, options, message):
    with pytest.raises(OptionError, match=message):
        load("baf", **{"preparation": "standard", "data_home": home} | options)


def test_commands_find_it_count_it_and_do_not_download_it(home, capsys):
    assert main(["data", "verify", "baf", "--data-home", str(home)]) == 0
    assert "320 of 1,000,000 rows" in capsys.readouterr().out
    assert main(["data", "fetch", "baf"]) == 2
    assert "baf: its terms ask for a person to fetch it; see https://" in capsys.readouterr().err


def test_a_saved_encoder_reads_raw_rows_as_training_did(home):
    data = load("baf", preparation="standard", data_home=home)
    raw = pd.read_csv(io.BytesIO((home / "baf" / "Base.csv").read_bytes()))
    rows = raw[raw["month"] >= 6]
    np.testing.assert_array_equal(data.encoder.transform(rows), data.test.x.numpy())
