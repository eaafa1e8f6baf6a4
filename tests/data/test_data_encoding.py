"""Encoders: what they learn, what they do with the unexpected, and their JSON form."""

import itertools
import json
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dralign.data import TableEncoder, encoder_from_dict, fetch_adult, fetch_german, load
from dralign.data.encoding import NumericColumn
from dralign.errors import DataError, DralignWarning

TRAIN = pd.DataFrame(
    {
        "age": [20.0, 30.0, None, 40.0],
        "hours": [1, 2, 3, 6],
        "job": ["nurse", None, "cook", "cook"],
        "member": [True, False, True, True],
    }
)
COLUMNS = ["age", "hours", "job", "member"]
ENCODER = TableEncoder.fit(TRAIN, COLUMNS, min_category_rows=1)


def test_table_is_encoded_as_described():
    """Numbers are scaled by the training rows, 0 and a flag where missing; the rest is one-hot."""
    assert ENCODER.feature_names == (
        "age",
        "age is missing",
        "hours",
        "job=cook",
        "job=nurse",
        "job is missing",
        "member=False",
        "member=True",
    )
    x = ENCODER.transform(TRAIN)
    assert x.dtype == np.float32
    std = np.sqrt(200 / 3)
    np.testing.assert_allclose(x[:, 0], [-10 / std, 0, 0, 10 / std], rtol=1e-6)
    assert x[:, 1].tolist() == [0, 0, 1, 0]
    np.testing.assert_allclose(x[:, 2], (np.array([1, 2, 3, 6]) - 3) / np.sqrt(3.5), rtol=1e-6)
    assert x[:, 3:6].tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0], [1, 0, 0]]
    assert x[:, 6:].tolist() == [[0, 1], [1, 0], [0, 1], [0, 1]]


def test_unseen_values_are_zeros_with_one_warning_that_counts_them():
    rows = pd.DataFrame(
        {"age": [1, 2], "hours": [1, 1], "job": ["cook", "smith"], "member": [None, "maybe"]}
    )
    with pytest.warns(DralignWarning) as caught:
        x = ENCODER.transform(rows)
    assert [str(warning.message).partition(": ")[2] for warning in caught] == [
        "'job' (1 row), 'member' (1 row)",
        "",
    ]
    assert str(caught[1].message) == (
        "missing values in 'member' (1 row) count as none of the categories"
    )
    assert x[1, 3:].tolist() == [0, 0, 0, 0, 0]


@pytest.mark.parametrize("missing", [False, True])
def test_zeros_and_ones_are_false_and_true_and_the_other_way_round(missing):
    truth = np.tile([True, False, False], 20)
    some = pd.Series(truth, dtype=object).mask(missing & (np.arange(60) % 7 == 0))
    forms = {
        "bool": pd.Series(some, dtype="boolean") if missing else pd.Series(truth),
        "object": some,
        "Int64": pd.Series(some, dtype="boolean").astype("Int64"),
        "float": pd.Series([np.nan if pd.isna(x) else float(x) for x in some]),
        "text": pd.Series([None if pd.isna(x) else str(int(x)) for x in some]),
    }
    for trained, scored in itertools.permutations(forms, 2):
        encoder = TableEncoder.fit(forms[trained].to_frame("member"), ["member"])
        same = encoder.transform(forms[trained].to_frame("member"))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            x = encoder.transform(forms[scored].to_frame("member"))
        np.testing.assert_array_equal(x, same, err_msg=f"{trained} {scored}")


def test_a_zero_is_not_false_where_there_are_other_categories():
    known = pd.DataFrame({"answer": ["False", "True", "unknown"] * 20})
    with pytest.warns(DralignWarning, match="'answer'"):
        x = TableEncoder.fit(known, ["answer"]).transform(pd.DataFrame({"answer": ["0", "True"]}))
    assert x.tolist() == [[0, 0, 0], [0, 1, 0]]


def test_a_column_without_a_single_known_value_is_told_plainly():
    rows = TRAIN.assign(job=["COOK", "NURSE", None, "COOK"])
    with pytest.warns(DralignWarning) as caught:
        ENCODER.transform(rows)
    (told,) = caught
    assert str(told.message) == (
        "column 'job': no value is one of the categories of training ('cook', 'nurse'), so that it "
        "says nothing about any row; are they written in another way here?"
    )


def test_numbers_missing_for_the_first_time_are_the_mean_with_one_warning_that_counts_them():
    rows = TRAIN.assign(hours=[None, 2, None, 6], age=np.nan)
    with pytest.warns(DralignWarning) as caught:
        x = ENCODER.transform(rows)
    assert [str(warning.message) for warning in caught] == [
        "missing values in 'age' (4 rows), 'hours' (2 rows) take the training mean"
    ]
    assert x[:, 2].tolist()[0] == x[:, 2].tolist()[2] == 0
    assert x[:, 1].tolist() == [1, 1, 1, 1]


def test_numbers_missing_as_in_training_are_taken_without_a_word():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ENCODER.transform(TRAIN)


def test_a_number_is_the_same_category_however_it_is_written():
    """One stray text in a column of numbers, and the same column clean, or written otherwise."""
    train = pd.DataFrame({"score": ["44.0", "17.5", "unknown", "1e3", "007"]})
    encoder = TableEncoder.fit(train, ["score"], min_category_rows=1)
    names = [name.removeprefix("score=") for name in encoder.feature_names]
    for values, expected in (
        ([44, 17.5, 1000.0], ["44", "17.5", "1000"]),
        (["44", "17.50", "1000", "x"], ["44", "17.5", "1000", None]),
        (["44.0", "007", "7"], ["44", "007", None]),
    ):
        x, unseen = encoder.encode(pd.DataFrame({"score": values}))
        found = [names[int(row.argmax())] if row.any() else None for row in x]
        assert found == expected
        assert unseen.categories == ({"score": 1} if None in expected else {})


def test_two_texts_of_one_number_are_one_category():
    train = pd.DataFrame({"code": ["1", "1.0", "2", "007"]})
    encoder = TableEncoder.fit(train, ["code"], min_category_rows=1)
    assert encoder.feature_names == ("code=007", "code=1", "code=2")
    x = encoder.encode(pd.DataFrame({"code": ["1.0", "1", "1.00", "7"]}))[0]
    assert x.tolist() == [[0, 1, 0], [0, 1, 0], [0, 1, 0], [0, 0, 0]]


def test_long_keys_that_are_one_float_stay_two_categories():
    train = pd.DataFrame({"key": ["12345678901234567890", "12345678901234567891"]})
    encoder = TableEncoder.fit(train, ["key"], min_category_rows=1)
    assert len(encoder.feature_names) == 2


def test_what_fewer_than_ten_training_rows_have_is_no_category_and_is_not_kept():
    values = ["cook"] * 10 + ["nurse"] * 9 + ["Zoë Example"] + [None] * 3
    frame = pd.DataFrame({"job": values, "new": [True] + [False] * 22})
    encoder = TableEncoder.fit(frame, ["job", "new"])
    assert encoder.feature_names == ("job=cook", "job is missing", "new=False", "new=True")
    assert "Zoë" not in json.dumps(encoder.to_dict(), ensure_ascii=False)
    assert encoder.encode(frame)[0][:20, :2].tolist() == [[1, 0]] * 10 + [[0, 0]] * 10


@pytest.mark.parametrize(
    "same",
    [
        pd.Series(["1", "2", None]),
        pd.Series([1.0, 2.0, None]),
        pd.Series([1, 2, None], dtype="Int64"),
        pd.Series([1, 2, None], dtype=object),
        pd.Series(["1", "2", None], dtype="category"),
        pd.Series(["1", "2", None], dtype="string"),
        pd.Series([1, 2, None], dtype="int64[pyarrow]"),
    ],
    ids=lambda series: str(series.dtype),
)
def test_a_value_counts_the_same_however_it_is_stored(same):
    train = pd.DataFrame({"code": ["2", "1", "1b", None], "size": [1, 2, 3, 3]})
    encoder = TableEncoder.fit(train, ["code", "size"], min_category_rows=1)
    rows = pd.DataFrame({"code": same, "size": same.to_numpy()})
    x = encoder.transform(rows)
    assert x[:, :4].tolist() == [[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    mean, std = np.mean([1, 2, 3, 3]), np.std([1, 2, 3, 3])
    np.testing.assert_allclose(x[:, 4], [(1 - mean) / std, (2 - mean) / std, 0], rtol=1e-6)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (TRAIN.drop(columns="job"), "no column 'job'; it has: age, hours, member"),
        (
            TRAIN.assign(age=["20", "old", "x", None]),
            "'age': expected finite numbers, got 'old' in 2 of 4",
        ),
        (
            TRAIN.assign(hours=[1, 2, np.inf, 4]),
            "'hours': expected finite numbers, got 'inf' in 1 of 4",
        ),
        (TRAIN.assign(hours=[1, 2, 1e300, 4]), "'hours': 1e[+]300 is too far"),
        (TRAIN.assign(hours=pd.Timestamp("2020")), "'hours': expected finite numbers, got '2020"),
        (TRAIN.assign(hours=1 + 2j), r"'hours': expected finite numbers, got '\(1\+2j\)' in 4"),
        (TRAIN.assign(job=[["cook"], [], [], []]), "'job': expected text or numbers"),
        (pd.concat([TRAIN, TRAIN], axis=1), "2 columns named 'age'"),
        ([[1, 2, 3, 4]], "expected a pandas DataFrame of raw rows, got list"),
    ],
    ids=["absent", "text", "infinite", "far", "date", "complex", "list", "twice", "no frame"],
)
def test_rows_that_can_t_be_encoded_are_refused_in_one_line(rows, message):
    with pytest.raises(DataError, match=message) as caught:
        ENCODER.transform(rows)
    assert "\n" not in str(caught.value)


def test_numbers_too_large_to_scale_are_refused():
    with pytest.raises(DataError, match="'x': its numbers are too large"):
        TableEncoder.fit(pd.DataFrame({"x": [1e308, -1e308, 1e308]}), ["x"])


def test_fit_looks_at_the_training_rows_only():
    """The encoder of the standard preparation is the one fitted on the training rows alone."""
    raw = fetch_german().frame
    data = load("german", preparation="standard", seed=1)
    x = data.train.x.numpy()
    column = data.encoder.feature_names.index("duration")
    assert x[:, column].mean() == pytest.approx(0, abs=1e-6)
    assert x[:, column].std() == pytest.approx(1, abs=1e-6)
    whole = TableEncoder.fit(raw, [c.name for c in data.encoder.columns], min_category_rows=1)
    assert whole != data.encoder, "all rows would have given other means"


TEXT = st.text(st.characters(codec="utf-8"), max_size=3)


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.none() | st.floats(-1e6, 1e6), st.none() | TEXT), min_size=2, max_size=9)
)
def test_json_form_gives_the_same_encoder(rows):
    frame = pd.DataFrame(
        {
            "number": pd.Series([a for a, _ in rows], dtype=float),
            "text": pd.Series([b for _, b in rows], dtype=object),
        }
    )
    encoder = TableEncoder.fit(frame, ["number", "text"], min_category_rows=1)
    again = encoder_from_dict(json.loads(json.dumps(encoder.to_dict(), allow_nan=False)))
    assert again == encoder
    assert np.array_equal(again.transform(frame), encoder.transform(frame))
    assert encoder.transform(frame).shape == (len(rows), len(encoder.feature_names))


@pytest.mark.filterwarnings("ignore::dralign.errors.AssumptionWarning")
@pytest.mark.parametrize("name", ["adult", "german"])
@pytest.mark.parametrize("preparation", ["paper", "standard"])
def test_an_encoder_read_back_scores_a_raw_csv_without_label_or_sex(name, preparation, tmp_path):
    from dralign.data import read_table

    data = load(name, preparation=preparation)
    raw = (fetch_adult if name == "adult" else fetch_german)().frame.head(300).dropna()
    unused = [data.label, *(["sex"] if name == "adult" else ["personal_status_sex"])]
    raw.drop(columns=unused).to_csv(tmp_path / "rows.csv", index=False)
    again = encoder_from_dict(json.loads(json.dumps(data.encoder.to_dict())))
    assert again == data.encoder
    x = again.transform(read_table(tmp_path / "rows.csv"))
    assert x.shape[1] == data.n_inputs
    assert np.array_equal(x, data.encoder.transform(raw))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("adult", {"age": None}, "'age': the paper's preparation has no missing numbers"),
        ("adult", {"age": "old"}, "'age': expected finite numbers, got 'old'"),
        ("german", {"age": None}, "'age': the paper's preparation has no missing values"),
        ("german", {"housing": "A15"}, "'housing': unknown code 'A15'; known: A151, A152, A153"),
    ],
)
@pytest.mark.filterwarnings("ignore::dralign.errors.AssumptionWarning")
def test_the_paper_s_encoders_refuse_what_they_do_not_know(name, change, message):
    raw = (fetch_adult if name == "adult" else fetch_german)().data.head(3)
    with pytest.raises(DataError, match=message):
        load(name).encoder.transform(raw.assign(**change))


def test_an_unknown_category_of_paper_adult_is_in_no_category():
    raw = fetch_adult().data.head(2)
    encoder = load("adult").encoder
    rows = raw.assign(workclass=["Private", "Pirate"], occupation=[None, "Sales"])
    with pytest.warns(DralignWarning, match=r"'workclass' \(1 row\)") as caught:
        x = encoder.transform(rows)
    assert "occupation" not in str(caught[0].message), "a missing value is not an unknown one"
    named = dict(zip(encoder.feature_names, x[1].tolist(), strict=True))
    assert sum(v for k, v in named.items() if k.startswith("workclass=")) == 0
    assert x.sum(axis=1).tolist() == [40, 40]


NUMBER = {"name": "a", "mean": 0.0, "std": 1.0, "flag_missing": False}
WORDS = {"name": "b", "categories": ["x", "y"], "flag_missing": True}
PAPER = {
    "kind": "adult-paper",
    "mean": [0.0] * 5,
    "std": [1.0] * 5,
    "edges": list(range(10)),
    "categories": {n: ["x"] for n in ("workclass", "marital-status", "occupation", "relationship")},
}


def table(*columns):
    return {"kind": "table", "columns": list(columns)}


def test_the_forms_that_the_next_test_spoils_are_right():
    assert encoder_from_dict(table(NUMBER, WORDS)).feature_names[0] == "a"
    assert len(encoder_from_dict(PAPER).feature_names) == 60


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (None, "expected a JSON object, got NoneType"),
        ([], "expected a JSON object, got list"),
        ({}, "'kind' is missing"),
        ({"kind": ["table"]}, "'kind' must be a text"),
        ({"kind": "tabel"}, "unknown kind of encoder 'tabel'; known: table, adult-paper"),
        ({"kind": "table"}, "'columns' is missing"),
        ({"kind": "table", "columns": "ab"}, "'columns' must be a list"),
        (table(), "at least one"),
        (table(NUMBER, NUMBER), "different columns"),
        (table(3), "expected a JSON object, got int"),
        (table({**NUMBER, "name": 3}), "'name' must be a text"),
        (table({**NUMBER, "mean": "0"}), "'mean' must be a number"),
        (table({**NUMBER, "mean": True}), "'mean' must be a number"),
        (table({**NUMBER, "mean": float("nan")}), "'mean' must be finite"),
        (table({**NUMBER, "mean": 10**400}), "'mean' must be finite"),
        (table({**NUMBER, "std": -1}), "'std' must be 0 or above"),
        ({**table(NUMBER), "decimal": ["a=;"]}, "'decimal': expected texts such as 'pay=,'"),
        ({**table(NUMBER), "decimal": ["a=,", "a=."]}, "of different columns"),
        ({**table(NUMBER), "decimal": "a=,"}, "'decimal' must be a list"),
        (table({**NUMBER, "flag_missing": "no"}), "'flag_missing' must be true or false"),
        (table({**WORDS, "categories": "xy"}), "'categories' must be a list"),
        (table({**WORDS, "categories": ["x", 1]}), "'categories' must be a list of texts"),
        (table({**WORDS, "categories": ["x", "x"]}), "'categories' must be different"),
        (table({**WORDS, "categories": [["x"]]}), "'categories' must be a list of texts"),
        ({**PAPER, "mean": [0.0] * 4}, "'mean' must be 5 numbers, got 4"),
        ({**PAPER, "std": [0.0] * 5}, "'std' above 0"),
        ({**PAPER, "edges": [1, 0, *range(8)]}, "'edges' in rising order"),
        ({**PAPER, "edges": [float("inf")] * 10}, "'edges' must be finite"),
        ({**PAPER, "categories": []}, "expected a JSON object, got list"),
        ({**PAPER, "categories": {}}, "'workclass' is missing"),
        ({"kind": "german-paper", "codes": {}}, "unknown entry 'codes'"),
    ],
)
def test_a_form_that_is_not_ours_is_refused_in_one_line(form, message):
    with pytest.raises(DataError, match=message) as caught:
        encoder_from_dict(form)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [0.07, 0.1, 98.6, 1 / 3, 0.0, 5000.0, np.nan])
@pytest.mark.parametrize("n", [7, 1000])
def test_of_a_column_with_one_value_nothing_is_learned_and_others_change_nothing(value, n):
    """The std of equal numbers may be 1e-17, by which 0.0725 beside 0.07 once was 1.8e14."""
    train = pd.DataFrame({"rate": np.full(n, value), "x": np.arange(n, dtype=float)})
    train.loc[0, "rate"] = np.nan
    encoder = TableEncoder.fit(train, ["rate", "x"])
    again = encoder_from_dict(json.loads(json.dumps(encoder.to_dict())))
    assert again == encoder
    rows = pd.DataFrame({"rate": [value, 7500.25, 1e300, np.nan], "x": 3.0})
    with pytest.warns(DralignWarning) as caught:
        inputs = again.transform(rows)
    assert inputs[:, 0].tolist() == [0, 0, 0, 0]
    (told,) = [str(one.message) for one in caught if "one value" in str(one.message)]
    assert told.endswith("count as if they had it: 'rate' (2 rows)")


def test_rows_with_the_one_value_of_training_are_scored_without_a_word(recwarn):
    encoder = TableEncoder.fit(pd.DataFrame({"rate": [0.3] * 50, "x": range(50)}), ["rate", "x"])
    encoder.transform(pd.DataFrame({"rate": [0.3, 0.1 + 0.2], "x": [1, 2]}))
    assert not recwarn.list


def test_large_numbers_that_differ_a_little_are_not_one_value():
    values = pd.Series(1e13 + np.arange(8) % 2, name="when")
    assert NumericColumn.fit(values).std == pytest.approx(0.5)


def test_an_encoder_of_before_that_divides_by_the_rounding_of_one_value_does_so_no_more():
    form = {"name": "rate", "mean": 0.07000000000000002, "std": 1.3877787807814457e-17}
    encoder = encoder_from_dict({"kind": "table", "columns": [{**form, "flag_missing": False}]})
    with pytest.warns(DralignWarning, match="one value in training"):
        assert encoder.transform(pd.DataFrame({"rate": [0.0725]})).tolist() == [[0]]
