"""COMPAS: found, checked, without names, in the paper's and in a standard preparation."""

import shutil
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import compas_table
from dralign.artifact import Artifact, load_artifact, save_artifact
from dralign.data import DataSource, compas, encoder_from_dict, fetch_compas, load
from dralign.errors import AssumptionWarning, DataError, OptionError
from dralign.models import mlp

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
NAME = "compas-scores-two-years.csv"
real = pytest.mark.skipif(
    not (SHARED / "compas" / NAME).exists(), reason="the published COMPAS file is not here"
)


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    """No folder of the user's is looked into, and assumptions are not told."""
    monkeypatch.delenv("DRALIGN_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AssumptionWarning)
        yield


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder with a made-up file in place of the published one."""
    made_up = compas_table.content()
    monkeypatch.setattr(compas, "FILE", compas_table.described(made_up))
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / NAME).write_bytes(made_up)
    return folder


def test_no_identifying_column_survives(home):
    frame = fetch_compas(data_home=home).frame
    assert len(frame) == 406
    assert not frame.astype(str).isin([compas_table.MARK]).any(axis=None)
    assert not {"id", "name", "first", "last", "dob", "c_case_number"} & set(frame.columns)
    assert compas_table.MARK in (home / NAME).read_text(encoding="utf-8")


def test_filter_keeps_the_bounds_and_drops_each_kind_of_odd_row(home):
    data = load("compas", preparation="standard", data_home=home)
    assert sum(map(len, (data.train, data.validation, data.test))) == 400
    assert data.group_names == ("African-American", "Caucasian", "Hispanic", "Other")


def test_paper_preparation_has_two_races_and_its_four_features(home):
    data = load("compas", data_home=home)
    assert [len(data.train), len(data.validation), len(data.test)] == [128, 32, 40]
    assert data.group_names == ("African-American", "Caucasian")
    assert data.sensitive == ("race",)
    inputs = {name.split("=")[0] for name in data.encoder.feature_names}
    assert inputs == {"age_cat", "sex", "priors_count", "c_charge_degree"}
    assert (data.label, data.positive) == ("two_year_recid", "1")
    by_sex = load("compas", sensitive="sex", data_home=home)
    assert by_sex.group_names == ("Female", "Male")
    assert not [name for name in by_sex.encoder.feature_names if name.startswith(("sex", "race"))]


def test_paper_rows_follow_the_seed_and_scaling_the_training_rows(home):
    raw = fetch_compas(data_home=home).frame
    kept = raw.iloc[:400][lambda f: f["race"].isin(["African-American", "Caucasian"])]
    order = np.random.RandomState(3).permutation(200)
    data = load("compas", seed=3, data_home=home)
    for split, rows in (
        (data.test, order[:40]),
        (data.validation, order[40:72]),
        (data.train, order[72:]),
    ):
        chosen = kept.iloc[rows]
        assert split.y.tolist() == chosen["two_year_recid"].tolist()
        assert split.group.tolist() == (chosen["race"] == "Caucasian").astype(int).tolist()
    priors = data.train.x[:, data.encoder.feature_names.index("priors_count")]
    assert float(priors.mean()) == pytest.approx(0, abs=1e-5)
    assert float(priors.std(correction=0)) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("place", [".", "compas"])
@pytest.mark.parametrize("how", ["argument", "environment", "cache"])
def test_the_file_is_found_in_the_folder_or_one_named_compas(
    home, tmp_path, monkeypatch, how, place
):
    new = (tmp_path / "cache" / "dralign" if how == "cache" else tmp_path / "new") / place
    new.mkdir(parents=True)
    shutil.move(home / NAME, new / NAME)
    folder = None
    if how == "argument":
        folder = tmp_path / "new"
    elif how == "environment":
        monkeypatch.setenv("DRALIGN_DATA", str(tmp_path / "new"))
    assert len(fetch_compas(data_home=folder).frame) == 406


def test_a_missing_file_is_told_with_the_places_and_the_way_to_get_it(tmp_path):
    with pytest.raises(DataError, match=r"compas-scores-two-years\.csv is not in .*cache/dralign"):
        load("compas")
    with pytest.raises(DataError, match=rf"is not in {tmp_path}, .*'dralign data fetch compas'"):
        fetch_compas(data_home=tmp_path)


def test_another_file_of_that_name_is_refused(home):
    (home / NAME).write_bytes(compas_table.content(399))
    with pytest.raises(DataError, match=rf"{NAME}: not the published file \(\d+ bytes with SHA"):
        load("compas", data_home=home)


def test_a_source_is_the_same_wherever_the_file_lies(home):
    here, there = DataSource("compas", data_home=str(home)), DataSource("compas")
    assert here == there
    assert here.fingerprint() == there.fingerprint() != DataSource("german").fingerprint()
    assert torch.equal(here.load(1).train.x, load("compas", seed=1, data_home=home).train.x)


def test_a_saved_network_scores_raw_rows(home, tmp_path):
    data = load("compas", data_home=home)
    artifact = Artifact(
        mlp(data.n_inputs, 5),
        {"name": "mlp", "n_inputs": data.n_inputs, "hidden": 5, "depth": 2},
        data.encoder,
        data.label,
        data.positive,
        data.sensitive,
        data.group_names,
        {},
    )
    loaded = load_artifact(save_artifact(artifact, tmp_path / "net"))
    assert encoder_from_dict(data.encoder.to_dict()) == data.encoder
    raw = fetch_compas(data_home=home).data.iloc[:9]
    assert loaded.predict_proba(raw).shape == (9,)
    with pytest.raises(DataError, match="no column 'priors_count'"):
        loaded.predict_proba(raw.drop(columns="priors_count"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preparation": "raw"}, "unknown preparation 'raw'"),
        ({"sensitive": "age"}, "unknown sensitive column of compas 'age'; known: race, sex"),
        ({"sensitive": ("race", "sex")}, "use preparation 'standard'"),
        ({"include_sensitive": True}, "use preparation 'standard'"),
    ],
)
def test_unknown_options_are_refused(home, options, message):
    with pytest.raises(OptionError, match=message):
        load("compas", data_home=home, **options)


def test_assumptions_are_told_by_every_load(home):
    for _ in range(2):
        with pytest.warns(AssumptionWarning, match="race as the sensitive feature"):
            load("compas", data_home=home)


@real
def test_the_published_file_has_the_published_counts_and_rates():
    frame = fetch_compas(data_home=SHARED).frame
    assert len(frame) == 7214
    assert frame["two_year_recid"].mean() == pytest.approx(0.45065, abs=5e-6)
    data = load("compas", preparation="standard", data_home=SHARED)
    splits = (data.train, data.validation, data.test)
    y, group = (torch.cat([getattr(split, name) for split in splits]) for name in ("y", "group"))
    assert float(y.double().mean()) == pytest.approx(0.45512, abs=5e-6)
    counts = {
        name: (int((group == code).sum()), round(float(y[group == code].double().mean()), 4))
        for code, name in enumerate(data.group_names)
    }
    assert counts == {
        "African-American": (3175, 0.5231),
        "Asian": (31, 0.2581),
        "Caucasian": (2103, 0.3909),
        "Hispanic": (509, 0.3713),
        "Native American": (11, 0.4545),
        "Other": (343, 0.3615),
    }


@real
@pytest.mark.parametrize("sensitive", ["race", "sex"])
def test_every_cell_of_the_published_file_fills_its_share_of_a_batch(sensitive):
    data = load("compas", sensitive=sensitive, data_home=SHARED)
    assert [len(data.train), len(data.validation), len(data.test)] == [3377, 845, 1056]
    sizes = dict(data.batch_sizes)
    cells = pd.crosstab(data.train.group.numpy(), data.train.y.numpy())
    assert cells.to_numpy().min() >= sizes["equalized_odds"]
    assert cells.sum(axis=1).min() >= sizes["demographic_parity"]
