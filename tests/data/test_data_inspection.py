"""A table is understood before it is used: what it holds, and each doubt in one line."""

import re

import numpy as np
import pandas as pd
import pytest

from dralign import fetch_adult, fetch_compas, fetch_german
from dralign.data import DataSource, inspect_table, load_table
from dralign.data.codes import codes
from dralign.data.giveaways import giveaways
from dralign.errors import DataError, OptionError

N = 1000
DRAW = np.random.default_rng(0)
LABEL = (DRAW.random(N) < 0.3).astype(int)


def column(**values):
    return pd.DataFrame({name: np.asarray(entry) for name, entry in values.items()})


def found(values, label=LABEL, names=("0", "1")):
    return [str(one) for one in giveaways(column(a=values), ["a"], label, names)]


LEAKS = {
    "text": np.where(LABEL, "granted", "refused"),
    "threshold": np.where(LABEL, 5.0, 1.0) + DRAW.random(N),
    "large": np.where(LABEL, 1e300, -1e308) * DRAW.random(N),
    "last digits": 1_700_000_000 + LABEL,
    "outside": np.where(LABEL, 3.0, 0.5) * DRAW.choice([-1, 1], N) * (1 + 0.1 * DRAW.random(N)),
    "truth value": LABEL == 1,
    "missing": np.where(LABEL, DRAW.random(N), np.nan),
    "few errors": np.where(DRAW.random(N) < 0.003, 1 - LABEL, LABEL),
    "finer categories": [f"{y}-{k}" for y, k in zip(LABEL, DRAW.integers(0, 9, N), strict=True)],
}


@pytest.mark.parametrize("values", LEAKS.values(), ids=LEAKS)
def test_a_column_that_tells_the_label_is_found(values):
    (line,) = found(values)
    assert line.startswith("'a' (accuracy ")
    assert line.endswith(" on held-out rows)")


CLEAN = {
    "noise": DRAW.random(N),
    "names": [f"person {i}" for i in range(N)],
    "keys": DRAW.permutation(N),
    "half a leak": np.where(DRAW.random(N) < 0.5, LABEL, 0),
    "constant": np.zeros(N),
    "lists": pd.Series([[1]] * N),
    "empty": np.full(N, np.nan),
}


@pytest.mark.parametrize("values", CLEAN.values(), ids=CLEAN)
def test_a_column_that_does_not_tell_the_label_is_not_found(values):
    assert found(values) == []


def test_saying_the_commonest_label_always_is_no_leak():
    label = (np.arange(N) % 250 != 0).astype(int)
    assert found(DRAW.random(N), label) == []
    assert found(label, label) == [], "chance could do it with four rows"


def test_a_score_that_ranks_nearly_without_a_fault_is_found_by_average_precision():
    label = (DRAW.random(N) < 0.5).astype(int)
    score = DRAW.normal(0, 1, N)
    assert "average precision 0.99" in found(score + 4.5 * label, label)[0]
    assert found(score + 3 * label, label) == []


def test_a_column_that_tells_one_of_three_groups_is_found_with_that_group():
    group = DRAW.integers(0, 3, N)
    assert found(group == 2, group, "abc") == ["'a' ('c', accuracy 1.000 on held-out rows)"]
    assert found(group + 10, group, "abc") == ["'a' (accuracy 1.000 on held-out rows)"]


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("position", [1131, 1210, 2100, 3003], True),
        ("zip", range(1000, 1200), True),
        ("jobCode", [1, 2, 3], True),
        ("amount", [100, 500, 1000, 2000], False),
        ("year", range(1990, 2020), False),
        ("children", [0, 1, 2, 3], False),
        ("idle", range(100), False),
        ("weight", [1131.5, 2100.5, 3000.5, 9000.5], False),
    ],
)
def test_numbers_that_look_like_codes_are_told(name, values, expected):
    numbers = pd.Series(DRAW.choice(list(values), N), name=name)
    line = codes(numbers, None)
    different = sorted({*numbers})
    text = f"{name!r} ({len(different):,} values from {different[0]:g} to {different[-1]:g})"
    assert line == (text if expected else "")


@pytest.mark.parametrize(("shares", "expected"), [([0.1, 0.8] * 3, True), (range(6), False)])
def test_a_few_numbers_with_which_the_label_goes_up_and_down_look_like_codes(shares, expected):
    values = DRAW.integers(0, 6, N)
    scale = np.array([*shares]) / (1 if expected else 6)
    label = (DRAW.random(N) < scale[values]).astype(int)
    assert bool(codes(pd.Series(values, name="a"), label)) is expected


def adult():
    """Without its sampling weight, of which the inspection asks."""
    return fetch_adult().frame.drop(columns="fnlwgt")


REAL = {
    "adult": (adult, "income", ">50K", ["sex"], {}),
    "adult, crossed": (adult, "income", ">50K", ["sex", "race"], {}),
    "credit": (lambda: fetch_german().frame, "credit", "good", ["age"], {"bin": "age=25"}),
    "compas": (lambda: fetch_compas().frame, "two_year_recid", "1", ["sex"], {}),
}


@pytest.mark.parametrize("name", REAL)
def test_there_is_no_false_alarm_on_real_tables(name):
    read, label, positive, sensitive, options = REAL[name]
    try:
        frame = read()
    except DataError as error:
        pytest.skip(str(error))
    result = inspect_table(frame, label=label, positive=positive, sensitive=sensitive, **options)
    assert result.findings == ()


def test_the_column_that_sex_is_read_from_is_found_in_german_credit():
    frame = fetch_german().frame
    frame["sex"] = frame["personal_status_sex"].isin(["A92", "A95"])
    result = inspect_table(frame, label="credit", positive="good", sensitive="sex")
    (finding,) = result.findings
    assert finding == (
        "gives the group away: 'personal_status_sex' (accuracy 1.000 on held-out rows); "
        "to leave out: --drop personal_status_sex"
    )


def people():
    draw = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "id": np.arange(N),
            "pay": draw.normal(40, 9, N),
            "job": draw.choice(["cook", "nurse"], N),
            "sex": draw.choice(["f", "m"], N),
        }
    )
    frame.loc[:9, "pay"] = np.nan
    return frame.assign(loan=np.where(draw.random(N) < 0.4, "yes", "no"))


def test_a_table_is_summed_up_in_five_lines():
    result = inspect_table(people(), label="loan", positive="yes", sensitive="sex", name="people")
    by_sex = people().groupby("sex")["loan"]
    rows, rates = by_sex.size(), 100 * by_sex.agg(lambda label: (label == "yes").mean())
    share = 100 * (people()["loan"] == "yes").mean()
    train, validation, test = result.split
    assert sum(result.split) == N
    assert result.lines() == (
        "people: 1,000 rows, 5 columns: 1 of numbers, 1 of categories, 1 left out",
        "missing values: pay 10",
        f"label loan: {share:.1f} % of rows are yes",
        f"groups by sex: f ({rows['f']}, {rates['f']:.1f} %), m ({rows['m']}, {rates['m']:.1f} %)",
        f"split: {train} training, {validation} validation, {test} test rows",
    )
    assert result.findings == ("columns left out of the inputs: 'id' (row numbers)",)
    roles = {one.name: (one.role, one.values, one.missing) for one in result.columns}
    assert roles == {
        "id": ("left out", N, 0),
        "pay": ("number", N - 10, 10),
        "job": ("category", 2, 0),
        "sex": ("sensitive", 2, 0),
        "loan": ("label", 2, 0),
    }
    form = result.to_dict()
    assert [group["rows"] for group in form["groups"]] == [*rows]


def test_a_table_is_inspected_without_label_and_groups_too():
    result = inspect_table(people())
    assert result.lines() == (
        "table: 1,000 rows, 5 columns: 1 of numbers, 3 of categories, 1 left out",
        "missing values: pay 10",
    )


def test_what_keeps_a_table_from_being_used_is_an_obstacle_and_no_error(tmp_path):
    frame = people()
    frame.loc[:4, "loan"] = None
    result = inspect_table(frame, label="loan", positive="yes", sensitive="id")
    lacking, groups = result.obstacles
    assert lacking.startswith("label 'loan': 5 of 1000 rows have no value; to leave them out: --")
    assert groups.startswith("'id' makes 1000 groups, at most 50")
    assert result.split == ()
    path = tmp_path / "people.csv"
    frame.to_csv(path, index=False)
    source = DataSource(str(path), label="loan", positive="yes", sensitive="sex")
    with pytest.raises(DataError, match="5 of 1000 rows have no value"):
        source.overview()


def test_what_can_t_be_looked_at_is_refused():
    with pytest.raises(DataError, match="the table has no columns 'a', 'b'; it has"):
        inspect_table(people(), label="a", sensitive="b")
    with pytest.raises(OptionError, match="unknown option 'droop'; known: sep"):
        inspect_table(people(), droop="a")


def test_a_built_in_dataset_is_summed_up_as_it_is_loaded():
    source = DataSource("german", "standard")
    dataset = source.load(0)
    expected = (dataset.summary(), (), dataset.group_names, source.fingerprint())
    assert source.overview() == expected


def test_the_labels_of_a_tiny_group_are_not_told():
    frame = people()
    frame.loc[:8, "sex"] = "x"
    result = inspect_table(frame, label="loan", positive="yes", sensitive="sex")
    assert result.lines()[3].endswith(", x (9)")


def test_an_inspection_leaves_the_table_alone():
    frame = people()
    frame["pay"] = frame["pay"].astype(str).str.replace(".", ",")
    before = frame.copy()
    result = inspect_table(frame, label="loan", positive="yes", sensitive="sex")
    assert result.reading == ("numbers with a decimal comma: 'pay'",)
    assert frame.equals(before)
    assert frame.attrs == {}


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("weight", True),
        ("Sample Weight", True),
        ("fnlwgt", True),
        ("pwgtp", True),
        ("birth_weight", False),
        ("weight_kg", False),
        ("income", False),
    ],
)
def test_a_column_that_may_be_weights_of_rows_is_named(name, found):
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({name: draw.uniform(1, 900, 200), "sex": draw.choice(["f", "m"], 200)})
    findings = inspect_table(frame, sensitive="sex").findings
    line = f"may be weights of rows: {name!r}; rows are not weighted, and it is an input: --drop "
    assert any(text.startswith(line) for text in findings) == found


def test_numbers_that_training_refuses_are_an_obstacle():
    frame = people()
    frame.loc[3, "pay"] = np.inf
    for far in (frame, people().assign(pay=lambda rows: rows["pay"] * 1e200)):
        result = inspect_table(far, label="loan", positive="yes", sensitive="sex")
        (line,) = result.obstacles
        assert line.startswith("column 'pay': ")
        with pytest.raises(DataError, match="column 'pay': "):
            load_table(far, label="loan", positive="yes", sensitive="sex")
        left_out = inspect_table(far, label="loan", positive="yes", sensitive="sex", drop="pay")
        assert left_out.obstacles == ()


@pytest.mark.parametrize("label", ["", "loan"])
def test_a_single_group_is_an_obstacle(label):
    frame = people().assign(sex="F")
    result = inspect_table(frame, label=label, positive="yes" if label else "", sensitive="sex")
    assert result.obstacles == ("all training rows are in one group (F); at least two are needed",)


def test_a_number_far_from_the_training_rows_is_an_obstacle():
    frame = people()
    frame["part"] = np.resize(["train", "train", "validation", "test"], len(frame))
    frame.loc[3, "pay"] = 1e60
    how = {"label": "loan", "positive": "yes", "sensitive": "sex", "split_column": "part"}
    line = "column 'pay': 1e+60 is too far from the training rows"
    assert inspect_table(frame, **how).obstacles == (line,)
    with pytest.raises(DataError, match=re.escape(line)):
        load_table(frame, **how)


@pytest.mark.parametrize("label", ["", "loan"])
def test_a_table_without_inputs_is_not_usable(label):
    frame = people()[["loan", "sex"] if label else ["sex"]].assign(same=1)
    result = inspect_table(frame, label=label, positive="yes" if label else "", sensitive="sex")
    assert result.obstacles == ("no column is left to predict from",)


def test_a_favourable_value_that_the_label_lacks_is_an_obstacle():
    how = {"label": "loan", "positive": "yes", "sensitive": "sex", "favourable": "maybe"}
    line = "label 'loan': no value 'maybe'; it has 'no' and 'yes'"
    assert inspect_table(people(), **how).obstacles == (line,)
    with pytest.raises(DataError, match=line):
        load_table(people(), **how)
