"""A column of weights of a table: no input, checked, carried to the parts, and told of."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from dralign.data import DataSource, Split, inspect_table, load_table
from dralign.errors import DataError, DralignWarning, OptionError
from dralign.forms import to_json
from dralign.study import TrialSpec
from dralign.study.spec import Trial
from dralign.study.trial import check_trial, run_trial
from dralign.training import EpochRecord

ROLES = {"label": "loan", "positive": "granted", "sensitive": "region"}


def people(n: int = 300) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"pay": draw.normal(40, 9, n), "region": draw.choice(["north", "south"], n)}
    )
    frame["loan"] = np.where(frame["pay"] + draw.normal(0, 9, n) > 40, "granted", "refused")
    frame["survey"] = np.round(draw.exponential(2, n) + 0.1, 3)
    return frame


def test_the_column_of_weights_is_no_input_and_goes_with_its_rows():
    frame = people()
    dataset = load_table(frame, **ROLES, weight="survey")
    assert dataset.encoder.feature_names == ("pay",)
    inputs = dataset.encoder.transform(frame)[:, 0].tolist()
    of_input = dict(zip(inputs, frame["survey"], strict=True))
    for split in (dataset.train, dataset.validation, dataset.test):
        assert split.weights.tolist() == [of_input[x] for x in split.x[:, 0].tolist()]


def test_rows_that_all_weigh_the_same_are_not_weighted():
    frame = people().assign(survey=2.5)
    weighed = load_table(frame, **ROLES, weight="survey")
    plain = load_table(frame.drop(columns="survey"), **ROLES)
    assert not weighed.is_weighted
    assert weighed.summary() == plain.summary()
    assert torch.equal(weighed.train.x, plain.train.x)


def test_rows_of_weight_0_are_left_out_with_a_warning():
    frame = people()
    frame.loc[:9, "survey"] = 0
    with pytest.warns(DralignWarning, match="10 of 300 rows have a weight of 0 and are left out"):
        dataset = load_table(frame, **ROLES, weight="survey")
    assert dataset.n_rows == 290


@pytest.mark.parametrize(
    ("values", "line"),
    [
        (["much", "little"] * 150, "does not hold numbers"),
        ([True, False] * 150, "does not hold numbers"),
        ([1.0, np.nan] * 150, "missing, negative or infinite in 150 of 300 rows"),
        ([1.0, -1.0] * 150, "missing, negative or infinite in 150 of 300 rows"),
        ([0.0] * 300, "is 0 in every row"),
    ],
)
def test_weights_that_can_not_be_are_refused_in_one_line(values, line):
    frame = people().assign(survey=values)
    for function in (load_table, inspect_table):
        with pytest.raises(DataError, match=f"column of weights 'survey' .*{line}"):
            function(frame, **ROLES, weight="survey")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"weight": "loan"}, "can't be both weight and label"),
        ({"weight": "region"}, "can't be both weight and sensitive"),
        ({"weight": "survey", "split_column": "survey"}, "weight and split_column: both name"),
        ({"weight": "survey", "categorical": "survey"}, "is no input, and is named as one"),
        ({"weight": "survey", "keep_columns": "survey"}, "is no input, and is named as one"),
    ],
)
def test_a_column_can_not_be_weight_and_something_else(options, line):
    with pytest.raises(OptionError, match=line):
        load_table(people(), **ROLES, **options)


def test_a_split_takes_positive_float64_weights_alone():
    x, y = torch.zeros(2, 1), torch.tensor([0, 1])
    for weight in (torch.ones(3).double(), torch.ones(2), torch.tensor([1.0, 0.0]).double()):
        with pytest.raises(DataError, match=r"weight: expected"):
            Split(x, y, y, weight)


def test_shares_of_the_overview_are_weighted_and_rows_counted():
    frame = people()
    granted, weight = frame["loan"] == "granted", frame["survey"]
    share = weight[granted].sum() / weight.sum()
    north = frame["region"] == "north"
    rate = weight[granted & north].sum() / weight[north].sum()
    equal = weight.sum() ** 2 / (weight**2).sum()
    result = inspect_table(frame, **ROLES, weight="survey")
    for lines in (result.lines(), load_table(frame, **ROLES, weight="survey").summary()):
        text = "\n".join(lines)
        assert f"label loan: {100 * share:.1f} % of the weight is granted" in text
        assert f"north ({north.sum()}, {100 * rate:.1f} %)" in text
        assert f"the 300 rows are worth {equal:,.0f} of equal weight" in text
    group = result.to_dict()["groups"][0]
    assert group["rows"] == north.sum()
    wanted = [weight[~granted & north].sum(), weight[granted & north].sum()]
    assert group["weights"] == pytest.approx(wanted)
    assert {c.name: c.role for c in result.columns}["survey"] == "weight"
    plain = inspect_table(people().drop(columns="survey"), **ROLES).to_dict()
    assert "weight" not in json.dumps(plain)


def test_a_column_that_may_be_weights_is_named_with_the_option_that_weighs():
    frame = people().rename(columns={"survey": "weight"})
    (line,) = [text for text in inspect_table(frame, **ROLES).findings if "may be weights" in text]
    assert line.endswith("it is an input: --drop weight, or weigh rows by it: --weight weight")
    weighed = inspect_table(frame, **ROLES, weight="weight")
    assert not [text for text in weighed.findings if "may be weights" in text]


def test_a_trial_without_weights_is_written_and_hashed_as_before():
    spec = TrialSpec(DataSource("people.csv", label="loan", sensitive=("region",)), "erm")
    assert "weight" not in spec.to_dict()["data"]
    known = "dd4880821782f8b41b11d2f61e2eb105b70ba7dfa2add63c5cffa0f813bb9e24"
    assert Trial(spec, "0").hash == known
    weighed = DataSource("people.csv", label="loan", sensitive=("region",), weight="survey")
    assert DataSource.from_dict(weighed.to_dict()) == weighed
    assert Trial(TrialSpec(weighed, "erm"), "0").hash != Trial(spec, "0").hash


def source(tmp_path, weight: str = "survey") -> DataSource:
    people().to_csv(tmp_path / "people.csv", index=False)
    return DataSource(
        str(tmp_path / "people.csv"),
        label="loan",
        positive="granted",
        sensitive=("region",),
        weight=weight,
    )


def test_a_study_of_weighted_rows_selects_and_records_by_weighted_figures(tmp_path):
    spec = TrialSpec(source(tmp_path), "gap", epochs=2, iterations=5, hidden=4)
    last = run_trial(spec)[-1]
    dataset = spec.data.load(0)
    weight, y = dataset.test.weights, dataset.test.y.numpy()
    figures = last.test
    assert figures["positive_share"] == pytest.approx(weight @ y / weight.sum())
    cells = last.cells["test"]
    assert sum(cells.weights) == pytest.approx(weight.sum())
    assert sum(cells.counts) == len(y)
    again = EpochRecord.from_dict(json.loads(to_json(last.to_dict())), "epoch")
    assert again.cells == last.cells


def test_what_takes_no_weights_is_refused_before_anything_is_trained(tmp_path):
    data = source(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DralignWarning)
        dataset = data.load(0)
    with pytest.raises(OptionError, match="'mixup' can't train on weighted rows"):
        check_trial(TrialSpec(data, "mixup"), dataset)
    with pytest.raises(OptionError, match=r"readings: .* not weighted"):
        check_trial(TrialSpec(data, "gap", readings=True), dataset)
    with pytest.raises(OptionError, match="adult: weight is for a table of your own"):
        DataSource("adult", weight="fnlwgt")
