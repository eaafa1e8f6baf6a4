"""The options of a table of one's own: declared once, checked, and the same at every door."""

from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
import torch

from dralign.cli.commands import loaded
from dralign.data import DataSource, load, load_table
from dralign.data.grouping import SMALLER, table_groups
from dralign.errors import DataError, DralignWarning, OptionError
from dralign.study import TrialSpec
from dralign.study.plan import keys, load_plan
from dralign.table_options import BY_NAME, TABLE, TableOptions

pytestmark = pytest.mark.filterwarnings("ignore:groups of fewer than 30")


def people(n=300, seed=0):
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "key": [f"k{i}" for i in range(n)],
            "age": draw.integers(18, 80, n),
            "pay": draw.normal(40, 9, n).round(1),
            "code": draw.choice([1131, 2100, 3000], n),
            "sex": draw.choice(["f", "m"], n),
        }
    )
    return frame.assign(loan=np.where(frame["pay"] + draw.normal(0, 9, n) > 40, "yes", "no"))


OPTIONS = {"label": "loan", "positive": "yes", "sensitive": "sex", "drop": "key"}


def test_every_declared_option_is_a_field_with_its_default():
    assert {f.name: f.default for f in fields(TableOptions)} == {s.name: s.default for s in TABLE}
    assert set(BY_NAME) <= set(keys())
    for command in (loaded("train"), loaded("compare"), loaded("data").commands["inspect"]):
        assert set(BY_NAME) <= {parameter.name for parameter in command.params}, command.name


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sep": ";;"}, "sep: expected one character, or tab or space, got ';;'"),
        ({"decimal": "'"}, 'unknown decimal "\'"'),
        ({"encoding": "latin-99"}, "encoding: expected a name such as latin-1"),
        ({"encoding": "base64"}, "'base64' is not an encoding of text"),
        ({"bin": "age"}, "bin: expected column=edge,edge with rising edges, got 'age'"),
        ({"bin": "age=60,25"}, "rising edges, got 'age=60,25'"),
        ({"bin": "age=nan"}, "rising edges"),
        ({"bin": ["age=1", "age=2"]}, "bin: 'age' has bins twice"),
        ({"drop": ["a", "a"]}, "drop: 'a' is given twice"),
        ({"drop": 3}, "drop: expected texts, got 3"),
        ({"drop": ["a"], "keep_columns": ["a"]}, "drop and keep_columns: both name 'a'"),
        ({"categorical": ["a"], "bin": "a=1"}, "categorical and bin: both name 'a'"),
        ({"test": "a.csv", "split_column": "b"}, "test and split_column: give one or the other"),
        ({"min_group_size": -1}, "min_group_size: expected a whole number from 0 up"),
        ({"drop_missing_label": "yes"}, "drop_missing_label: expected true or false"),
    ],
)
def test_an_option_that_is_impossible_is_refused(given, message):
    with pytest.raises(OptionError, match=message):
        DataSource("people.csv", **given)


def test_options_have_one_form():
    one = DataSource("a.csv", bin="age=25.0,60", drop="x", sep="tab", encoding="utf8")
    other = DataSource("a.csv", bin=["age=25,6e1"], drop=("x",), sep="\t", encoding="UTF-8")
    assert one == other
    assert hash(one) == hash(other)
    assert DataSource.from_dict(one.to_dict()) == one


def test_an_option_that_is_off_leaves_forms_and_hashes_alone(tmp_path):
    """The form is what it was before there were these options."""
    path = tmp_path / "people.csv"
    path.write_bytes(b"a,b,c\n1,x,0\n2,y,1\n")
    spec = TrialSpec(DataSource(str(path), sensitive=("b",), label="c"), "erm")
    assert spec.to_dict()["data"] == {
        "name": "people.csv",
        "preparation": "standard",
        "sensitive": ["b"],
        "include_sensitive": False,
        "label": "c",
        "positive": "",
    }
    dropped = DataSource(str(path), sensitive=("b",), label="c", drop="a")
    assert TrialSpec(dropped, "erm").hash != spec.hash


@pytest.mark.parametrize("name", ["adult", "."])
def test_built_in_datasets_and_images_have_no_such_options(name):
    with pytest.raises(OptionError, match="drop is for a table of your own"):
        DataSource(name, drop="a")


def test_a_file_and_a_data_frame_give_the_same_dataset_at_every_door(tmp_path):
    frame, path = people(), tmp_path / "people.csv"
    frame.to_csv(path, index=False)
    options = {**OPTIONS, "bin": "age=30,60", "categorical": "code", "favourable": "yes"}
    expected = load_table(path, **options)
    assert "age=over 30 up to 60" in expected.encoder.feature_names
    assert "code=1131" in expected.encoder.feature_names
    assert expected.favourable == "yes"
    described = {key: value for key, value in options.items() if key != "sensitive"}
    for other in (
        load_table(frame.set_index(frame.index + 7), **options),
        DataSource(str(path), sensitive=("sex",), **described).load(0),
    ):
        assert other.encoder == expected.encoder
        for part in ("train", "validation", "test"):
            assert torch.equal(getattr(other, part).x, getattr(expected, part).x)
    plan = tmp_path / "plan.toml"
    plan.write_text(
        "[[trials]]\ndataset = 'people.csv'\nmethod = 'erm'\nseeds = 1\nlabel = 'loan'\n"
        "positive = 'yes'\nsensitive = 'sex'\ndrop = ['key', 'pay']\nmin_group_size = [0, 30]\n"
    )
    trials = load_plan(plan).trials
    assert [spec.data.drop for spec in trials] == [("key", "pay")] * 2
    assert [spec.data.min_group_size for spec in trials] == [0, 30]


def test_columns_are_left_out_or_kept_by_name():
    frame = people()
    assert load_table(frame, **OPTIONS).encoder.feature_names == ("age", "pay", "code")
    kept = load_table(frame, **{**OPTIONS, "drop": (), "keep_columns": ["pay", "sex"]})
    assert kept.encoder.feature_names == ("pay",)
    with pytest.raises(DataError, match="the table has no columns 'a', 'b'; it has: key, age"):
        load_table(frame, **{**OPTIONS, "drop": ["a", "b"]})


def test_rows_without_a_label_are_left_out_if_asked_for():
    frame = people()
    frame.loc[:9, "loan"] = None
    with pytest.raises(DataError, match=r"10 of 300 rows have no value; .*--drop-missing-label"):
        load_table(frame, **OPTIONS)
    data = load_table(frame, **OPTIONS, drop_missing_label=True)
    assert data.n_rows == 290
    rest = load_table(frame[10:], **OPTIONS)
    assert torch.equal(data.train.x, rest.train.x)


def test_small_groups_are_merged_or_left_out_and_named():
    frame = people()
    frame.loc[:4, "sex"], frame.loc[5:9, "sex"], frame.loc[10:11, "sex"] = "a", "b", "c"
    with pytest.warns(DralignWarning, match="merged into 'smaller groups': 'a' .5., 'b' .5., 'c'"):
        merged = load_table(frame, **OPTIONS, min_group_size=10)
    assert merged.group_names == ("f", "m", SMALLER)
    parts = merged.train, merged.validation, merged.test
    assert sum(int((part.group == 2).sum()) for part in parts) == 12
    with pytest.warns(DralignWarning, match="fewer than 20 rows are no groups: 'a' .5., 'b' .5."):
        left = load_table(frame, **OPTIONS, min_group_size=20)
    assert left.group_names == ("f", "m")
    parts = left.train, left.validation, left.test
    assert sum(int((part.group == -1).sum()) for part in parts) == 12


def test_groups_that_training_merged_are_merged_in_other_rows():
    rows = pd.DataFrame({"sex": ["m", "a", "z", None, "f"]})
    with pytest.warns(
        DralignWarning, match="did not have are among the 'smaller groups': 'a' .1., 'z' .1."
    ):
        groups = table_groups(rows, ["sex"], known=("f", "m", SMALLER))
    assert [groups.names[code] if code >= 0 else None for code in groups.codes] == [
        "m",
        SMALLER,
        SMALLER,
        None,
        "f",
    ]


def test_a_column_may_say_which_rows_are_for_what():
    frame = people()
    frame["part"] = ["train"] * 150 + ["Validation"] * 50 + ["TEST"] * 100
    data = load_table(frame, **OPTIONS, split_column="part")
    assert [len(data.train), len(data.validation), len(data.test)] == [150, 50, 100]
    assert data.encoder.columns[0].mean == pytest.approx(frame["age"][:150].mean())
    frame["part"] = ["train"] * 200 + ["test"] * 100
    data = load_table(frame, **OPTIONS, split_column="part")
    assert len(data.test) == 100
    assert abs(len(data.validation) - 50) <= 2
    assert data.n_rows == 300
    frame.loc[3, "part"] = "other"
    with pytest.raises(DataError, match="'part': expected train, validation or test, got 'other'"):
        load_table(frame, **OPTIONS, split_column="part")
    with pytest.raises(DataError, match="column 'part': names no test rows"):
        load_table(frame.assign(part="train"), **OPTIONS, split_column="part")


def test_test_rows_may_lie_in_a_file_of_their_own(tmp_path):
    frame = people(400)
    own, test = tmp_path / "own.csv", tmp_path / "test.csv"
    frame[:300].to_csv(own, index=False)
    frame[300:].iloc[:, ::-1].to_csv(test, index=False)
    data = load_table(own, **OPTIONS, test=str(test))
    assert [len(data.test), data.n_rows] == [100, 400]
    x = (frame["pay"][300:].to_numpy() - data.encoder.columns[1].mean) / data.encoder.columns[1].std
    assert np.allclose(data.test.x[:, 1], x, atol=1e-5)
    source = DataSource(str(own), label="loan", sensitive=("sex",), test=str(test))
    before = source.fingerprint()
    assert before == data.fingerprint
    frame[301:].to_csv(test, index=False)
    assert source.fingerprint() != before
    assert source.to_dict()["test"] == "test.csv"
    with pytest.raises(DataError, match="the test rows are those of the table itself"):
        load_table(own, **OPTIONS, test=str(own))


def test_a_label_with_a_few_mistakes_is_told():
    frame = people()
    frame.loc[:2, "loan"] = "maybe"
    message = r"label 'loan': 3 values, each a class: 'maybe' \(3 rows\), 'no' .*; if two were"
    with pytest.warns(DralignWarning, match=message):
        load_table(frame, **{**OPTIONS, "positive": ""})


def test_the_favourable_value_must_be_one_of_the_label():
    with pytest.raises(DataError, match="no value 'granted'; it has 'no' and 'yes'"):
        load_table(people(), **OPTIONS, favourable="granted")


def test_printed_data_are_a_summary():
    text = str(load("german", preparation="standard"))
    assert text.splitlines() == [
        "german, standard: 1,000 rows, inputs: 57",
        "label credit: 70.0 % of rows are good",
        "groups by sex: female (310, 64.8 %), male (690, 72.3 %)",
        "split: 600 training, 200 validation, 200 test rows",
    ]
    assert repr(load("german", preparation="standard").test) == "<Split of 200 rows>"
