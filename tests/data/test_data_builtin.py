"""Adult and German Credit: the published bytes, the paper's preparation and the standard one."""

import hashlib
import lzma
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from dralign.data import canonical, fetch_adult, fetch_german, load
from dralign.errors import AssumptionWarning, DataError, OptionError

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
FOLDER = {"adult.data": "adult", "adult.test": "adult", "german.data": "german"}


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AssumptionWarning)
        yield


def cells(split):
    """The rows of each (group, label), as REFERENCE.md lists them."""
    return [int(((split.group == g) & (split.y == y)).sum()) for g in (0, 1) for y in (0, 1)]


@pytest.mark.parametrize("name", FOLDER)
def test_embedded_bytes_are_the_published_ones(name):
    source = SHARED / FOLDER[name] / name
    if not source.exists():
        pytest.skip("the staged copies of the UCI files are not here")
    assert canonical.embedded_bytes(name) == source.read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda packed: lzma.compress(lzma.decompress(packed)[:-1] + b"?"), "not the published"),
        (lambda packed: packed[: len(packed) // 2], "damaged"),
        (lambda _: b"no xz at all", "damaged"),
        (None, "No such file"),
    ],
    ids=["changed", "truncated", "not xz", "absent"],
)
def test_a_changed_embedded_file_is_refused_by_name(tmp_path, monkeypatch, change, message):
    packed = (canonical.EMBEDDED / "german.data.xz").read_bytes()
    if change:
        (tmp_path / "german.data.xz").write_bytes(change(packed))
    monkeypatch.setattr(canonical, "EMBEDDED", tmp_path)
    with pytest.raises(DataError, match=rf"german\.data.*{message}"):
        canonical.embedded_bytes("german.data")


def test_notice_lists_the_sums_that_are_checked():
    notice = (canonical.EMBEDDED / "NOTICE.md").read_text(encoding="utf-8")
    assert "CC BY 4.0" in notice
    for name, digest in canonical.SHA256.items():
        assert digest in notice
        assert hashlib.sha256(canonical.embedded_bytes(name)).hexdigest() == digest


def test_importing_the_package_loads_no_pandas():
    code = "import sys, dralign.data; print('pandas' in sys.modules, 'sklearn' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "False"]


def test_raw_adult_has_the_published_counts_and_rates():
    frame = fetch_adult().frame
    parts = frame.iloc[:32561], frame.iloc[32561:]
    assert [len(part) for part in parts] == [32561, 16281]
    assert [len(part.dropna()) for part in parts] == [30162, 15060]
    for part, overall, women, men in (
        (parts[0], 0.24081, (0.10946, 10771), (0.30574, 21790)),
        (parts[1], 0.23623, (0.10884, 5421), (0.29982, 10860)),
    ):
        rich = part["income"] == ">50K"
        assert rich.mean() == pytest.approx(overall, abs=5e-6)
        for sex, (rate, count) in (("Female", women), ("Male", men)):
            assert rich[part["sex"] == sex].mean() == pytest.approx(rate, abs=5e-6)
            assert (part["sex"] == sex).sum() == count


def test_raw_german_has_the_published_counts_and_rates():
    frame = fetch_german().frame
    good, status = frame["credit"] == "good", frame["personal_status_sex"]
    assert (len(frame), int(good.sum())) == (1000, 700)
    assert status.value_counts().to_dict() == {"A93": 548, "A92": 310, "A94": 92, "A91": 50}
    assert good[status != "A92"].mean() == pytest.approx(0.72319, abs=5e-6)
    assert good[status == "A92"].mean() == pytest.approx(0.64839, abs=5e-6)
    assert good[frame["age"] > 25].mean() == pytest.approx(0.7284, abs=5e-5)
    assert good[frame["age"] <= 25].mean() == pytest.approx(0.5789, abs=5e-5)


@pytest.mark.parametrize(("fetch", "width"), [(fetch_adult, 14), (fetch_german, 20)])
def test_fetchers_work_like_those_of_scikit_learn(fetch, width):
    table = fetch()
    assert table.frame.shape[1] == width + 1
    assert table.data.shape[1] == width == len(table.feature_names)
    assert table.target.name not in table.data.columns
    x, y = fetch(as_frame=False, return_X_y=True)
    assert isinstance(x, np.ndarray)
    assert x.shape == table.data.shape
    assert list(y[:3]) == table.target[:3].tolist()
    table.frame["age"] = 0
    assert fetch().frame["age"].max() > 60, "what was handed out is a copy"


def published_adult(seed):
    """Fair-mixup's preparation written again from its description, column by column."""
    from sklearn.preprocessing import StandardScaler

    frame = fetch_adult().frame
    frame = frame[frame["native-country"].notna() & frame["occupation"].notna()]
    names = ["age", "education-num", "capital-gain", "capital-loss", "hours-per-week"]
    dummies = pd.get_dummies(
        frame[["workclass", "marital-status", "occupation", "relationship"]]
    ).astype(int)
    dummies["white"] = (frame["race"] == "White").astype(int)
    order = np.random.RandomState(seed).permutation(45222)
    fitted, test = order[:36177], order[36177:]
    numbers = frame[names].to_numpy(dtype=float)
    numbers = StandardScaler().fit(numbers[fitted]).transform(numbers)
    parts = {"validation": fitted[:9045], "train": fitted[9045:], "test": test}
    edges = np.quantile(
        numbers[parts["train"], 0], [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    )
    blocks = []
    for column in numbers.T:
        bins = np.digitize(column, edges).clip(1, 10) - 1
        blocks.append(np.eye(10)[bins])
    blocks += [np.eye(2)[dummies[name].to_numpy()] for name in dummies.columns]
    x = np.concatenate(blocks, axis=1)
    y = (frame["income"] == ">50K").to_numpy().astype(int)
    male = (frame["sex"] == "Male").to_numpy().astype(int)
    return {name: (x[rows], y[rows], male[rows]) for name, rows in parts.items()}


@pytest.mark.parametrize("seed", [0, 1, 4, 7, 14])  # at 1, 4, 14 the bins depend on the rows taken
def test_paper_adult_equals_the_published_preparation_row_by_row(seed):
    data = load("adult", seed=seed)
    for name, (x, y, male) in published_adult(seed).items():
        split = getattr(data, name)
        assert np.array_equal(split.x.numpy(), x)
        assert np.array_equal(split.y.numpy(), y)
        assert np.array_equal(split.group.numpy(), male)


def test_paper_adult_has_the_statistics_of_the_published_code():
    data = load("adult")
    assert (len(data.train), len(data.validation), len(data.test)) == (27132, 9045, 9045)
    assert data.n_inputs == 120 == len(data.encoder.feature_names)
    assert data.group_names == ("Female", "Male")
    assert cells(data.train) == [7846, 1004, 12530, 5752]
    assert set(data.train.x.unique().tolist()) == {0.0, 1.0}
    assert set(data.train.x.sum(dim=1).tolist()) == {40.0}
    assert dict(data.batch_sizes)["demographic_parity"] == 500
    assert dict(data.batch_sizes)["equalized_odds"] == 500


def test_paper_german_is_adf_s_encoding():
    """Index codes in the order of the description (A410 is 10), amount and age rounded down."""
    data = load("german", seed=3)
    assert [len(data.train), len(data.validation), len(data.test)] == [500, 250, 250]
    assert data.n_inputs == 19
    assert data.group_names == ("female", "male")
    raw = fetch_german().frame
    x = data.encoder.transform(raw)
    first = dict(zip(data.encoder.feature_names, x[0].tolist(), strict=True))
    assert raw.iloc[0][["purpose", "credit_amount", "age"]].tolist() == ["A43", 1169, 67]
    assert (first["purpose"], first["credit_amount"], first["age"]) == (3, 11, 6)
    others = x[(raw["purpose"] == "A410").to_numpy()]
    assert set(others[:, data.encoder.feature_names.index("purpose")].tolist()) == {10.0}
    order = np.random.RandomState(3).permutation(1000)
    assert np.array_equal(data.train.x.numpy(), x[order[:500]])
    good = (raw["credit"] == "good").to_numpy()[order[500:750]]
    assert np.array_equal(data.validation.y.numpy(), good)
    assert dict(data.batch_sizes) == {
        "demographic_parity": 200,
        "equalized_odds": 125,
        "equal_opportunity": 125,
        "predictive_parity": 125,
        "printed_predictive_parity": 125,
    }


def test_assumptions_about_credit_are_told_by_every_load():
    """What a trial records does not depend on which trials its worker ran before."""
    for _ in range(2):
        with pytest.warns(AssumptionWarning, match="250 validation and 250 test rows"):
            load("german")


def test_standard_adult_tests_on_the_official_test_rows():
    data = load("adult", preparation="standard", sensitive=["sex", "race"])
    assert len(data.train) + len(data.validation) == 32561
    assert len(data.validation) == pytest.approx(32561 / 5, abs=10), (
        "half a row in each of 20 cells"
    )
    assert len(data.test) == 16281
    assert data.n_groups == 10
    assert data.group_names[0] == "Female & Amer-Indian-Eskimo"
    raw = fetch_adult().frame
    assert np.array_equal(data.test.x.numpy(), data.encoder.transform(raw.iloc[32561:]))
    names = data.encoder.feature_names
    assert not [name for name in names if name.startswith(("sex", "race", "fnlwgt", "income"))]
    assert "workclass is missing" in names
    rates = [float(split.y.double().mean()) for split in (data.train, data.validation)]
    assert rates[0] == pytest.approx(rates[1], abs=1e-3)


@pytest.mark.parametrize(
    ("sensitive", "names"),
    [
        (
            ("sex", "race"),
            ("Female & White", "Female & not White", "Male & White", "Male & not White"),
        ),
        (("race",), ("White", "not White")),
    ],
)
def test_papers_adult_crosses_sex_with_its_binary_race_which_is_then_no_input(sensitive, names):
    plain, crossed = (load("adult", sensitive=given) for given in (("sex",), sensitive))
    assert crossed.group_names == names
    assert torch.equal(crossed.train.x, plain.train.x[:, :-2])
    white = plain.train.x[:, -1] == 1  # the last input is race == White
    codes = torch.tensor([place for place, name in enumerate(names) if "not" not in name])
    assert torch.equal(torch.isin(crossed.train.group, codes), white)
    frame = fetch_adult().frame.drop(columns="race").head(3)
    assert crossed.encoder.transform(frame).shape == (3, 118)
    form = crossed.encoder.to_dict()
    assert type(crossed.encoder).from_dict(form) == crossed.encoder


def test_encoder_written_before_race_could_be_left_out_has_it():
    encoder = load("adult").encoder
    form = {key: value for key, value in encoder.to_dict().items() if key != "race"}
    assert type(encoder).from_dict(form) == encoder


@pytest.mark.parametrize(
    ("name", "sensitive", "hidden", "groups"),
    [
        ("adult", "race", "race=White", 5),
        ("adult", "sex", "sex=Male", 2),
        ("german", "sex", "personal_status_sex=A92", 2),
        ("german", "age", "age", 2),
        ("german", ("sex", "age"), "personal_status_sex=A92", 4),
    ],
)
def test_sensitive_columns_are_inputs_only_when_asked(name, sensitive, hidden, groups):
    data = load(name, preparation="standard", sensitive=sensitive)
    assert data.n_groups == groups
    assert hidden not in data.encoder.feature_names
    shown = load(name, preparation="standard", sensitive=sensitive, include_sensitive=True)
    assert hidden in shown.encoder.feature_names
    assert torch.equal(shown.train.y, data.train.y)


def test_standard_german_splits_every_cell_in_the_same_shares():
    data = load("german", preparation="standard", sensitive="age")
    assert data.group_names == ("age <= 25", "age > 25")
    whole = [80, 110, 220, 590]
    for split, share in ((data.train, 0.6), (data.validation, 0.2), (data.test, 0.2)):
        assert cells(split) == [round(share * count) for count in whole]


@pytest.mark.parametrize("name", ["adult", "german"])
@pytest.mark.parametrize("preparation", ["paper", "standard"])
def test_the_seed_decides_the_split(name, preparation):
    first, same, other = (load(name, preparation=preparation, seed=seed) for seed in (5, 5, 6))
    assert torch.equal(first.train.x, same.train.x)
    assert not torch.equal(first.validation.y, other.validation.y)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "credit"}, "unknown dataset 'credit'; known: adult, german, compas, celeba"),
        ({"preparation": "raw"}, "unknown preparation 'raw'; known: paper, standard"),
        ({"sensitive": "age"}, "use preparation 'standard'"),
        ({"include_sensitive": True}, "use preparation 'standard'"),
        ({"name": "german", "sensitive": ("sex", "age")}, "use preparation 'standard'"),
        ({"preparation": "standard", "sensitive": "age"}, "unknown sensitive column of adult"),
        ({"preparation": "standard", "sensitive": ("sex", "sex")}, "given twice"),
        ({"seed": -1}, "seed: expected a number from 0"),
        ({"seed": 2**32}, "seed: expected a number from 0"),
        ({"seed": 1.5}, "seed: expected a whole number"),
    ],
)
def test_unknown_options_are_refused(options, message):
    with pytest.raises(OptionError, match=message):
        load(**{"name": "adult", **options})
