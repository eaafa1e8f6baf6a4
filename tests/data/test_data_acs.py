"""ACS: folktables' tasks on a file made up in the layout of the Census Bureau's."""

import csv
import hashlib

import numpy as np
import pandas as pd
import pytest

from dralign.cli import main
from dralign.data import DataSource, acs, encoder_from_dict, load
from dralign.errors import DataError, OptionError

# What folktables 0.0.12 calls features, written down here once more.
FEATURES = {
    "acs_income": "AGEP COW SCHL MAR OCCP POBP RELP WKHP SEX RAC1P",
    "acs_employment": "AGEP SCHL MAR RELP DIS ESP CIT MIG MIL ANC NATIVITY DEAR DEYE DREM SEX "
    "RAC1P",
    "acs_public_coverage": "AGEP SCHL MAR SEX DIS ESP CIT MIG MIL ANC NATIVITY DEAR DEYE DREM "
    "PINCP ESR ST FER RAC1P",
}
LAST_CODES = "COW 9 SCHL 24 MAR 5 POBP 20 DIS 2 ESP 8 CIT 5 MIG 3 MIL 4 ANC 4 NATIVITY 2 DEAR 2 "
LAST_CODES += "DEYE 2 DREM 2 SEX 2 RAC1P 9 ESR 6 FER 2 PUBCOV 2"
CODES = dict(zip(LAST_CODES.split()[::2], map(int, LAST_CODES.split()[1::2]), strict=True))
MAY_BE_EMPTY = ("COW", "OCCP", "SCHL", "MIG", "MIL", "DREM", "ESP", "ESR", "FER")
CHILD = 15  # younger people have no income, hours or occupation


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    """No folder of the user's is looked into."""
    monkeypatch.delenv("DRALIGN_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def people(n: int = 900) -> list[dict[str, str]]:
    """Made-up people as the fields of the file: texts, empty where nothing is known."""
    draw = np.random.default_rng(3)
    rows = []
    for number in range(n):
        age = int(draw.integers(0, 95))
        row = {"RT": "P", "SERIALNO": f"2018GQ{number:07d}", "ST": "06", "AGEP": f"{age:02d}"}
        row |= {name: str(draw.integers(1, last + 1)) for name, last in CODES.items()}
        row |= {"RELP": f"{draw.integers(0, 18):02d}", "OCCP": f"{10 * draw.integers(1, 20):04d}"}
        row |= {"WKHP": f"{draw.integers(1, 99):02d}", "PINCP": str(draw.integers(-900, 110_000))}
        row |= {"PWGTP": f"{draw.integers(0, 90):05d}", "SOCP": "1191XX"}
        for name in MAY_BE_EMPTY:
            if draw.random() < 0.2:
                row[name] = ""
        if age < CHILD:
            row |= dict.fromkeys(("PINCP", "WKHP", "OCCP", "COW", "ESR"), "")
        rows.append(row)
    return rows


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)
    return path


@pytest.fixture
def home(tmp_path):
    """A folder as folktables keeps it."""
    write(tmp_path / "home" / "2018" / "1-Year" / "psam_p06.csv", people())
    return tmp_path / "home"


def number(text: str) -> float:
    return float(text) if text else float("nan")


def chosen(task: str, rows: list[dict[str, str]]) -> list[tuple[int, dict[str, str]]]:
    """The label and the fields of the people of a task, by what folktables says of it."""
    result = []
    for row in rows:
        age, income = number(row["AGEP"]), number(row["PINCP"])
        if task == "acs_income":
            if age > 16 and income > 100 and number(row["WKHP"]) > 0 and number(row["PWGTP"]) >= 1:
                result.append((int(income > 50_000), row))
        elif task == "acs_employment":
            result.append((int(row["ESR"] == "1"), row))
        elif age < 65 and income <= 30_000:
            result.append((int(row["PUBCOV"] == "1"), row))
    return result


def parts(data):
    return (data.train, data.validation, data.test)


@pytest.mark.parametrize("task", FEATURES)
def test_rows_labels_and_features_are_those_of_folktables(home, task):
    data = load(task, preparation="standard", data_home=home, sensitive="SEX", seed=1)
    expected = chosen(task, people())
    assert 0.1 < len(expected) / len(people()) <= 1
    names = data.encoder.feature_names
    inputs = {name.split("=")[0].removesuffix(" is missing") for name in names}
    assert inputs == set(FEATURES[task].split()) - {"SEX"}
    rows = [
        (int(y), ("Female", "Male")[g], *(n for n, on in zip(names, x, strict=True) if on == 1))
        for part in parts(data)
        for x, y, g in zip(part.x.numpy(), part.y, part.group, strict=True)
    ]
    coded = [name for name in FEATURES[task].split() if name not in (*acs.NUMBERS, "SEX")]
    known = {name for name in names if "=" in name or " is " in name}
    oracle = []
    for y, fields in expected:
        hot = (
            f"{name}={int(fields[name])}" if fields[name] else f"{name} is missing"
            for name in coded
        )
        sex = "Male" if fields["SEX"] == "1" else "Female"
        oracle.append((y, sex, *(name for name in hot if name in known)))
    without = [tuple(v for v in row if v not in acs.NUMBERS) for row in rows]
    assert sorted(map(sorted_row, without)) == sorted(map(sorted_row, oracle))


def sorted_row(row):
    return (row[0], row[1], *sorted(row[2:]))


def test_race_makes_the_groups_as_in_folktables_and_sex_where_asked_for(home):
    by_race = load("acs_employment", preparation="standard", data_home=home)
    assert len(by_race.group_names) == 9
    code = by_race.group_names.index("White")
    white = sum(int((part.group == code).sum()) for part in parts(by_race))
    assert white == sum(row["RAC1P"] == "1" for row in people())
    crossed = DataSource("acs_income", sensitive=("SEX", "RAC1P"), data_home=str(home)).load(0)
    assert "Female & Asian" in crossed.group_names
    kept = DataSource("acs_income", include_sensitive=True, data_home=str(home)).load(0)
    assert {"RAC1P=1", "SEX=2"} <= set(kept.encoder.feature_names)
    assert "RAC1P=1" not in by_race.encoder.feature_names


def test_codes_are_categories_however_they_are_written(home):
    data = load("acs_income", preparation="standard", data_home=home)
    assert "OCCP=10" in data.encoder.feature_names
    encoder = encoder_from_dict(data.encoder.to_dict())
    path = home / "2018" / "1-Year" / "psam_p06.csv"
    as_text = pd.DataFrame([row for _, row in chosen("acs_income", people())])
    as_text = as_text.replace("", np.nan)
    as_numbers = pd.read_csv(path).loc[lambda rows: rows["SERIALNO"].isin(as_text["SERIALNO"])]
    inputs = encoder.transform(as_numbers)
    occupation = [name.startswith("OCCP=") for name in encoder.feature_names]
    assert inputs[:, occupation].sum() == as_text["OCCP"].notna().sum()
    np.testing.assert_array_equal(
        np.unique(inputs, axis=0),
        np.unique(np.concatenate([part.x.numpy() for part in parts(data)]), axis=0),
    )


def test_the_fingerprint_is_of_the_bytes_and_the_file_may_be_given_itself(home):
    path = home / "2018" / "1-Year" / "psam_p06.csv"
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    for given in (home, path.parent, path):
        source = DataSource("acs_income", data_home=str(given))
        assert source.fingerprint() == source.load(0).fingerprint == expected
        assert acs.find_file(given) == path


def test_of_several_files_one_must_be_named(home, capsys):
    first = home / "2018" / "1-Year" / "psam_p06.csv"
    write(first.with_name("psam_p48.csv"), people(300))
    with pytest.raises(DataError, match=r"2 files of people.*psam_p06\.csv to psam_p48\.csv; say"):
        load("acs_income", preparation="standard", data_home=home)
    assert main(["data", "verify", "acs_employment", "--data-home", str(first)]) == 0
    assert "900 of 900 people are in the task" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: {k: v for k, v in row.items() if k != "RELP"}, "no column 'RELP'"),
        (lambda row: row | {"RAC1P": "12"}, "RAC1P: expected a code from 1 to 9 in every row"),
        (lambda row: row | {"WKHP": "many"}, "not a table of the survey's people .*many"),
        (lambda row: row | {"PINCP": "900"}, "expected people with PINCP >50000 and without"),
    ],
)
def test_a_file_of_another_form_is_told_in_one_line(home, change, message):
    path = write(home / "2018" / "1-Year" / "psam_p06.csv", [change(row) for row in people()])
    with pytest.raises(DataError, match=message) as error:
        load("acs_income", preparation="standard", data_home=home)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"AGEP,SEX\n1,2\n3\n", b"\x89PNG\r\n\x1a\n\0\0", b"AGEP\n"])
def test_a_file_that_is_no_table_is_told_in_one_line(home, content):
    path = home / "2018" / "1-Year" / "psam_p06.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"psam_p06\.csv") as error:
        load("acs_income", preparation="standard", data_home=home)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preparation": "paper"}, "unknown preparation of acs_income 'paper'"),
        ({"sensitive": "AGEP"}, "unknown sensitive column of acs_income 'AGEP'; known: RAC1P, SEX"),
    ],
)
def test_options_that_it_has_not_are_refused(home, options, message):
    with pytest.raises(OptionError, match=message):
        load("acs_income", **{"preparation": "standard", "data_home": home} | options)


def test_commands_say_where_it_is_and_do_not_download_it(home, capsys, tmp_path):
    assert main(["data", "list", "--data-home", str(home)]) == 0
    assert str(home / "2018" / "1-Year" / "psam_p06.csv") in capsys.readouterr().out
    assert main(["data", "verify", "acs_income", "--data-home", str(home)]) == 0
    kept = len(chosen("acs_income", people()))
    assert f"{kept} of 900 people are in the task" in capsys.readouterr().out
    assert main(["data", "fetch", "acs_income"]) == 2
    assert "a person chooses the state and the year; see https://www." in capsys.readouterr().err
    assert main(["data", "inspect", "acs_income", "--data-home", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "no file of people of the ACS (psam_p06.csv of California) is in" in said
    assert said.count("\n") == 1


def test_blanks_around_numbers_which_early_files_have_do_not_count(home):
    path = home / "2018" / "1-Year" / "psam_p06.csv"
    plain = load("acs_employment", preparation="standard", data_home=home)
    path.write_bytes(path.read_bytes().replace(b",", b",  "))
    early = path.rename(path.with_name("ss16pca.csv"))
    spaced = load("acs_employment", preparation="standard", data_home=early)
    np.testing.assert_array_equal(plain.train.x, spaced.train.x)
