"""Numbers written as text: decimal commas, groups of three, and a few texts among them."""

import json

import numpy as np
import pandas as pd
import pytest
from torch import nn

from dralign import DRAlignClassifier
from dralign.artifact import Artifact
from dralign.data import DataSource, TableEncoder, encoder_from_dict, load_table, read_table
from dralign.data.numerals import numerals, with_numbers
from dralign.data.rules import Rules, bin_names, binned
from dralign.errors import DataError, DralignWarning

NUMBERS = [f"{value / 2}" for value in np.random.default_rng(1).integers(0, 100, 1500)]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["1", "2.5", "-3", "+4", ".5", "1e3"], [1, 2.5, -3, 4, 0.5, 1000]),
        (["1", "2,5", "-3", "1.234,5"], [1, 2.5, -3, 1234.5]),
        (["1 234,5", "7,0", "1'000,25"], [1234.5, 7, 1000.25]),
        (["1,234.5", "1,234", "7"], [1234.5, 1234, 7]),
        (["1,234,567", "1,234"], [1234567, 1234]),
        (["0,125", "1,234"], [0.125, 1.234]),
        (["1", None, "3"], [1, np.nan, 3]),
    ],
)
def test_numbers_are_read_as_they_are_written(texts, expected):
    found = numerals(pd.Series(texts))
    assert np.array_equal(found.values, expected, equal_nan=True)
    assert not found.strays
    assert not found.unclear


@pytest.mark.parametrize("texts", [["1,234", "5,678"], ["1,234", "7"]])
def test_a_comma_that_may_mean_two_things_is_not_guessed(texts):
    found = numerals(pd.Series(texts))
    assert found.unclear == "1,234"
    assert not found.mostly


def test_a_column_whose_commas_are_unclear_stays_text_and_is_told():
    column = [f"{i},{100 + i}" for i in range(1, 50)]
    table, notes = with_numbers(pd.DataFrame({"a": column}))
    assert table["a"].tolist() == column
    (note,) = notes
    assert note.endswith("'a' (for example '1,101'); to say which: --decimal , or --decimal .")


@pytest.mark.parametrize(
    ("strays", "message"),
    [
        (["unknown"], "'unknown' in 1 row counts as missing"),
        (["n.a."] * 2, "'n.a.' in 2 rows counts as missing"),
        (
            ["n.a.", "n.a.", "x", "y", "z"],
            "'n.a.' in 2 rows, 'x' in 1 row, 'y' in 1 row and 1 others count as missing",
        ),
    ],
)
def test_a_few_texts_among_numbers_are_missing_and_named(strays, message):
    texts = [*NUMBERS[: -len(strays)], *strays]
    table, notes = with_numbers(pd.DataFrame({"score": texts, "kind": ["a", "b", "3"] * 500}))
    assert np.array_equal(
        table["score"],
        [*map(float, NUMBERS[: -len(strays)]), *[np.nan] * len(strays)],
        equal_nan=True,
    )
    assert table["kind"].tolist() == ["a", "b", "3"] * 500
    n = 1500 - len(strays)
    assert notes == [f"texts among numbers: 'score': {n:,} of 1,500 values are numbers; {message}"]


@pytest.mark.parametrize(
    "column",
    [
        ["a", *map(str, range(5))] * 20,
        [*map(str, range(80)), *["low"] * 20],
        ["00123", *map(str, range(10000, 10099))],
        [True, "a", *map(str, range(98))],
        [["a"], *map(str, range(99))],
    ],
    ids=["few kinds", "too many texts", "keys", "truth value", "list"],
)
def test_other_columns_of_texts_stay_what_they_are(column):
    frame = pd.DataFrame({"a": pd.Series(column, dtype=object)})
    table, notes = with_numbers(frame)
    assert table["a"].tolist() == column
    assert not notes


def people(n=400):
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"x": draw.normal(50, 9, n).round(1), "sex": draw.choice(["f", "m"], n)})
    return frame.assign(y=(frame["x"] + draw.normal(0, 9, n) > 50).astype(int))


def test_rows_of_a_clean_file_are_scored_as_those_with_a_stray_text(tmp_path):
    """Once, "44.0" of training and 44 of scoring were two names of categories."""
    frame = people()
    dirty = frame.assign(x=frame["x"].astype(object))
    dirty.loc[3, "x"] = "unknown"
    path = tmp_path / "t.csv"
    dirty.to_csv(path, index=False)
    with pytest.warns(DralignWarning, match="399 of 400 values are numbers; 'unknown' in 1 row"):
        data = load_table(path, label="y", sensitive="sex")
    assert data.encoder.feature_names == ("x", "x is missing")
    clean, same = data.encoder.transform(frame), data.encoder.transform(frame.astype({"x": str}))
    assert np.array_equal(clean, same)
    commas = frame.assign(x=frame["x"].astype(str).str.replace(".", ","))
    assert np.array_equal(clean, data.encoder.transform(commas))
    with pytest.warns(DralignWarning, match="texts among numbers: 'x': 399 of 400"):
        again = data.encoder.transform(dirty)
    assert again[3].tolist() == [0, 1]


def test_more_than_a_few_texts_in_rows_to_be_scored_are_refused():
    encoder = TableEncoder.fit(people(), ["x"])
    with pytest.raises(DataError, match="'x': expected finite numbers, got 'low' in 2 of 2 rows"):
        encoder.transform(pd.DataFrame({"x": ["low", "high"]}))
    with pytest.raises(DataError, match="'x': '1,234' may be two numbers; to say which"):
        encoder.transform(pd.DataFrame({"x": ["1,234"]}))


def test_the_classifier_takes_a_stray_text_as_missing_too():
    frame = people()
    frame["x"] = frame["x"].astype(object)
    frame.loc[3, "x"] = "unknown"
    classifier = DRAlignClassifier("gap", epochs=1, iterations=2, hidden=4, random_state=0)
    with pytest.warns(DralignWarning, match="'unknown' in 1 row counts as missing"):
        classifier.fit(frame[["x"]], frame["y"], sensitive_features=frame["sex"])
    assert classifier.encoder_.feature_names[0] == "x"


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_the_mark_between_columns_is_recognised(tmp_path, mark):
    path = tmp_path / "t.csv"
    frame = people().assign(note="a, b")
    frame.to_csv(path, index=False, sep=mark)
    read = read_table(path)
    assert read.equals(frame)
    assert read.attrs["separator"] == mark


def test_the_mark_and_the_decimal_mark_can_be_given(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a b c\n1,5 1.234 x\n2,5 5.678 y\n")
    read = read_table(path, sep="space", decimal=",")
    assert read["a"].tolist() == [1.5, 2.5]
    assert read["b"].tolist() == [1234, 5678]
    assert read["c"].tolist() == ["x", "y"]
    path.write_text('a,b\n"1,234",x\n"5,678",y\n')
    assert read_table(path, decimal=".")["a"].tolist() == [1234, 5678]
    assert read_table(path, decimal=",")["a"].tolist() == [1.234, 5.678]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "cp1252"])
def test_an_encoding_that_is_named_is_read(tmp_path, encoding):
    path = tmp_path / "t.csv"
    path.write_bytes("größe,ort\n1,Köln\n".encode(encoding))
    assert read_table(path, encoding=encoding).to_dict("list") == {"größe": [1], "ort": ["Köln"]}


def test_words_for_missing_values_are_missing_in_every_column_and_travel_with_the_network():
    frame = pd.DataFrame({"n": [1, -9, 3], "t": ["a", "-9", "b"], "m": ["1", "-9.0", "2"]})
    rules = Rules(na=("-9",))
    done = rules.apply(frame)
    assert done["n"].tolist()[::2] == [1, 3]
    assert done["n"].isna().tolist() == done["t"].isna().tolist() == [False, True, False]
    assert frame["n"].tolist() == [1, -9, 3]
    encoder = TableEncoder.fit(done, ["n"], rules=rules)
    again = encoder_from_dict(json.loads(json.dumps(encoder.to_dict())))
    assert again == encoder
    assert again.transform(frame)[:, 1].tolist() == [0, 1, 0]


def test_a_column_of_numbers_without_its_word_for_missing_is_one_of_numbers():
    done = Rules(na=("unknown",)).apply(pd.DataFrame({"n": ["1", "unknown", "2"]}))
    assert done["n"].dtype == np.float64


def test_an_encoder_without_rules_has_the_form_it_had_before():
    assert set(TableEncoder.fit(people(), ["x"]).to_dict()) == {"kind", "columns"}


@pytest.mark.parametrize("kind", [float, str, "Int64", object])
def test_numbers_are_put_into_bins_whose_upper_edge_belongs_to_them(kind):
    values = pd.Series([17, 25, 26, 60, 61], name="age").astype(kind)
    expected = ["up to 25"] * 2 + ["over 25 up to 60"] * 2 + ["over 60"]
    assert binned(values, (25, 60)).tolist() == expected


def test_a_missing_number_is_in_no_bin_and_text_can_t_be_put_into_bins():
    assert binned(pd.Series([1.0, np.nan]), (25,)).isna().tolist() == [False, True]
    with pytest.raises(DataError, match="column 'a': expected numbers to put into bins"):
        binned(pd.Series(["x", "y"], name="a"), (25,))


def german(values):
    """Numbers as they are written in German, without the part after the comma where it is 0."""
    texts = [f"{value:,.2f}".translate(str.maketrans(",.", ".,")) for value in values]
    return [text.removesuffix(",00") for text in texts]


def loans(n=300):
    draw = np.random.default_rng(0)
    pay = draw.integers(500, 9000, n) + draw.choice([0, 0.5], n)
    return pd.DataFrame(
        {
            "pay": german(pay),
            "x": draw.normal(size=n).round(2),
            "sex": draw.choice(["f", "m"], n),
            "y": (pay > 4000).astype(int),
        }
    )


LATER = ["8.500", "1.234", "950", "7.250,50"]
MEANT = [8500, 1234, 950, 7250.5]


@pytest.mark.parametrize("options", [{}, {"na": "-9"}, {"decimal": ","}], ids=repr)
@pytest.mark.parametrize("as_file", [True, False], ids=["file", "frame"])
def test_the_decimal_mark_of_training_is_that_of_rows_that_come_later(tmp_path, options, as_file):
    """Once 8.500 was 8.5 in rows where nothing else told what its point is."""
    table = loans()
    if as_file:
        table.to_csv(path := tmp_path / "t.csv", index=False, sep=";")
        table = path
    data = load_table(table, label="y", sensitive="sex", **options)
    encoder = encoder_from_dict(json.loads(json.dumps(data.encoder.to_dict())))
    column = encoder.columns[0]
    rows = pd.DataFrame({"pay": LATER, "x": 0.0})
    for later, meant in ((rows, MEANT), *((rows[i : i + 1], MEANT[i : i + 1]) for i in range(4))):
        inputs = encoder.transform(later)[:, 0]
        np.testing.assert_allclose(inputs, (np.array(meant) - column.mean) / column.std, rtol=1e-6)
    given = encoder.transform(pd.DataFrame({"pay": MEANT, "x": 0.0}))
    assert np.array_equal(given, encoder.transform(rows))


@pytest.mark.parametrize("options", [{}, {"decimal": ","}], ids=repr)
def test_a_file_of_rows_to_be_scored_is_read_by_the_marks_of_training(tmp_path, options):
    path, later = tmp_path / "t.csv", tmp_path / "later.csv"
    loans().to_csv(path, index=False, sep=";")
    source = DataSource(str(path), label="y", sensitive=("sex",), **options)
    data = load_table(path, label="y", sensitive="sex", **options)
    network = Artifact(
        model=nn.Linear(data.n_inputs, 1),
        architecture={},
        encoder=data.encoder,
        label="y",
        positive="1",
        sensitive=("sex",),
        group_names=data.group_names,
        training={"trial": {"data": source.to_dict()}},
    )
    for texts, meant in ((LATER, MEANT), (LATER[:3], MEANT[:3])):
        later.write_text("pay;x\n" + "".join(f"{text};0\n" for text in texts))
        numbers = network.prepared(network.read(later))["pay"]
        assert numbers.tolist() == meant


def test_rows_of_a_test_file_are_read_as_those_of_the_table(tmp_path):
    path, test = tmp_path / "t.csv", tmp_path / "test.csv"
    loans().to_csv(path, index=False, sep=";")
    rows = loans(60).assign(pay="8.500")
    rows.to_csv(test, index=False, sep=";")
    data = load_table(path, label="y", sensitive="sex", test=str(test))
    column = data.encoder.columns[0]
    expected = np.float32((8500 - column.mean) / column.std)
    assert set(data.test.x[:, 0].tolist()) == {expected}


def test_a_comma_of_groups_in_training_is_one_in_a_single_row_later():
    frame = people().assign(x=[f"{value:,.1f}" for value in people()["x"] * 100])
    classifier = DRAlignClassifier("gap", epochs=1, iterations=2, hidden=4, random_state=0)
    classifier.fit(frame[["x"]], frame["y"], sensitive_features=frame["sex"])
    one, same = (classifier.network_inputs(pd.DataFrame({"x": [x]})) for x in ("1,234", 1234))
    assert np.array_equal(one, same)


def test_numbers_among_texts_keep_their_value_beside_decimal_commas():
    found = numerals(pd.Series([1.234, "2,5", "1.234", 7], dtype=object))
    assert found.values.tolist() == [1.234, 2.5, 1234, 7]


def test_marks_of_columns_that_are_no_inputs_are_not_kept():
    table = loans().assign(code="1,5")
    encoder = load_table(table, label="y", sensitive="sex", drop="code").encoder
    assert encoder.rules == Rules(decimal=("pay=,",))


def test_one_slip_among_numbers_with_three_decimals_is_refused_and_changes_no_other_row():
    """One 2,5 once made 52444 of every 52.444."""
    texts = [f"{value:.3f}" for value in np.random.default_rng(0).normal(50, 9, 300)]
    encoder = TableEncoder.fit(pd.DataFrame({"x": list(map(float, texts))}), ["x"])
    for rows in (texts[:2], texts):
        with pytest.raises(DataError, match=r"column 'x': '\d\d\.\d{3}' may be two numbers"):
            encoder.transform(pd.DataFrame({"x": [*rows, "2,5"]}))
    table, (note,) = with_numbers(pd.DataFrame({"x": [*texts, "2,5"]}))
    assert table["x"].tolist() == [*texts, "2,5"]
    assert "the numbers may be two each: 'x' (for example" in note


def test_one_slip_among_numbers_of_which_it_is_clear_what_they_are_is_that_number():
    texts = [f"{value / 2}" for value in range(1, 15)] * 40
    found = numerals(pd.Series([*texts, "2,5"]))
    assert found.values.tolist() == [*map(float, texts), 2.5]
    assert found.mark == "."


MISSING_HOWEVER = [
    ([f"{v:.2f}".replace(".", ",") for v in range(11, 99)], ["-9"], ["-9", "k.A."]),
    ([f"{v:.2f}".replace(".", ",") for v in range(11, 99)], ["-9,00"], ["-9,00"]),
    ([f"{v:.2f}".replace(".", ",") for v in range(11, 99)], ["-9,00"], ["-9"]),
    ([f"{v:.1f}" for v in range(11, 99)], ["-9.0", "unknown"], ["-9", "unknown"]),
    ([f"{v:.1f}" for v in range(11, 99)], ["-9.0"], ["-9"]),
]


@pytest.mark.parametrize(("texts", "absent", "na"), MISSING_HOWEVER)
@pytest.mark.parametrize("decimal", ["", None])
def test_a_number_that_means_missing_does_so_however_it_is_written(
    tmp_path, texts, absent, na, decimal
):
    column = [*texts, *(absent * 10), *(["k.A."] * 5 if "k.A." in na else [])]
    frame = pd.DataFrame({"x": column}).assign(
        sex=["f", "m"] * (len(column) // 2) + ["f"] * (len(column) % 2),
        y=np.arange(len(column)) // 2 % 2,
    )
    frame.to_csv(path := tmp_path / "t.csv", index=False, sep=";")
    mark = "" if decimal is None else "," if "," in texts[0] else "."
    data = load_table(path, label="y", sensitive="sex", na=na, decimal=mark)
    column = data.encoder.columns[0]
    assert column.flag_missing
    assert 40 < column.mean < 70
    later = data.encoder.transform(pd.DataFrame({"x": [*absent, texts[0]]}))
    assert later[:, 1].tolist() == [*[1] * len(absent), 0]


def test_groups_by_bins_know_a_missing_number_and_the_decimal_mark():
    table = loans().drop(columns="sex")
    how = {"label": "y", "sensitive": "pay", "bin": "pay=5000"}
    encoder = load_table(table, **how).encoder
    later = encoder.rules.apply(pd.DataFrame({"pay": LATER, "x": 0.0}))
    assert later["pay"].tolist() == ["over 5000", "up to 5000", "up to 5000", "over 5000"]
    table["pay"] = ["-9,0", *table["pay"][1:]]
    data = load_table(table, na="-9", **how)
    parts = (data.train, data.validation, data.test)
    assert sum(int((part.group == -1).sum()) for part in parts) == 1


def test_marks_go_from_the_test_file_to_the_table_too(tmp_path):
    path, test = tmp_path / "t.csv", tmp_path / "test.csv"
    draw = np.random.default_rng(0)
    thousands = [f"{v:,}".replace(",", ".") for v in draw.integers(1000, 9000, 300)]
    loans().assign(pay=thousands).to_csv(path, index=False, sep=";")
    loans(60).to_csv(test, index=False, sep=";")
    data = load_table(path, label="y", sensitive="sex", test=str(test))
    assert data.encoder.columns[0].mean > 1000


def test_thousands_with_a_point_beside_decimal_commas_are_asked_about(tmp_path):
    table = loans().assign(rent=[f"{v:,}".replace(",", ".") for v in range(1000, 1300)])
    table.to_csv(path := tmp_path / "t.csv", index=False, sep=";")
    with pytest.warns(DralignWarning, match=r"with a decimal comma: 'rent' \(for example 1.001\)"):
        load_table(path, label="y", sensitive="sex")


def test_digits_that_begin_with_a_zero_stay_texts(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("zip,n,t,007\n03300,0,0.5,1\n12345,10,00.5,2\n")
    read = read_table(path)
    assert read["007"].tolist() == [1, 2]
    assert read["zip"].tolist() == ["03300", "12345"]
    assert read["n"].tolist() == [0, 10]
    assert read["t"].tolist() == [0.5, 0.5]


def test_objects_that_are_whole_numbers_and_others_are_numbers():
    column = pd.Series([0, 1, 2.5, 7, 3.5, *range(8, 30)], dtype=object)
    table, notes = with_numbers(pd.DataFrame({"v": column}))
    assert table["v"].dtype == np.float64
    assert not notes


def test_bins_with_edges_of_many_digits_are_told_apart():
    names = bin_names((1000001.0, 1000002.0, 1000003.5))
    assert names == (
        "up to 1000001",
        "over 1000001 up to 1000002",
        "over 1000002 up to 1000003.5",
        "over 1000003.5",
    )
