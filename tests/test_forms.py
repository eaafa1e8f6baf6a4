"""JSON from anyone is read or refused in one line; what is undefined is written as null."""

import math

import pytest

from dralign.errors import DataError, StudyError, unknown
from dralign.forms import Form, csv_text, parse_json, plain, shown, to_json


def test_what_is_undefined_is_null_at_any_depth():
    assert plain({1: (math.nan, [math.inf, -math.inf]), "b": {"c": 0.5}}) == {
        "1": [None, [None, None]],
        "b": {"c": 0.5},
    }
    assert to_json([math.nan, 1]) == "[null,1]"


@pytest.mark.parametrize(
    "text",
    ["", "{", b"\xff", "[" * 100_000, '"\\ud800"', '{"\\udfff": 1}', "1" * 10_000],
    ids=["empty", "cut", "not UTF-8", "deep", "half a pair", "half a pair as key", "long number"],
)
def test_what_is_no_json_is_one_line(text):
    with pytest.raises(StudyError, match=r"^plan: truncated or not JSON$"):
        parse_json(text, "plan", error=StudyError)


def test_entries_are_checked_as_they_are_taken():
    form = Form({"n": 3, "f": True, "inner": {"x": 1.5}, "t": "a"}, "card", error=StudyError)
    assert form.integer("n", 1, 3) == 3
    assert form.form("inner").number("x") == 1.5
    with pytest.raises(StudyError, match="card: 'n' must be from 4 to 5, got 3"):
        form.integer("n", 4, 5)
    with pytest.raises(StudyError, match="card: 'f' must be a whole number, got bool"):
        form.integer("f")
    with pytest.raises(StudyError, match="card: 't' must be an object, got str"):
        form.form("t")
    with pytest.raises(StudyError, match="card, inner: the entry 'y' is missing"):
        form.form("inner").number("y")
    with pytest.raises(DataError, match="card: expected a JSON object, got list"):
        Form([], "card")


def test_a_foreign_name_of_any_length_is_a_short_line():
    name, long = "a" * 10_000, "a" * 79
    form = Form({name: 1}, "card")
    for ask in (form.only, lambda: form.text(name), lambda: form.form(name)):
        with pytest.raises(DataError, match=f"'{long}\\.\\.\\.") as caught:
            ask()
        assert len(str(caught.value)) < 150
    with pytest.raises(DataError, match=f"card: the entry '{long}\\.\\.\\. is missing"):
        Form({}, "card").text(name)
    assert unknown("gap", name, ["a"]) == f"unknown gap '{long}...; known: a"


def test_json_in_bytes_is_utf_8_and_pairs_of_surrogates_are_one_sign():
    assert parse_json(b'\xef\xbb\xbf"\xc3\xa9"', "x") == "é"
    assert parse_json('"\\ud83d\\ude00"', "x") == "\U0001f600"
    for text in ("\ud800", '"\ud800"', b'"\xed\xa0\x80"', '["\\\\", "\\ud800"]'):
        with pytest.raises(DataError, match="x: truncated or not JSON"):
            parse_json(text, "x")


def test_figures_may_be_undefined_and_are_floats():
    form = Form({"a": {"x": 1.5, "y": None, "z": 2}, "b": math.inf, "c": None, "d": {}}, "epoch")
    figures = form.figures("a")
    assert math.isnan(figures.pop("y"))
    assert figures == {"x": 1.5, "z": 2.0}
    assert all(type(value) is float for value in figures.values())
    assert math.isnan(form.figure("b"))
    assert math.isnan(form.figure("c"))
    assert form.figures("d") == {}


@pytest.mark.parametrize("value", ["1", True, [1.0], 10**400], ids=["text", "flag", "list", "huge"])
def test_what_is_no_figure_is_one_line(value):
    form = Form({"a": {"x": 0.5, "y": value}, "b": value}, "epoch")
    with pytest.raises(DataError, match=r"epoch: 'a' must be (numbers or null|finite numbers)$"):
        form.figures("a")
    with pytest.raises(DataError, match=r"epoch: 'b' must be (a number or null, got|finite)"):
        form.figure("b")


def test_an_amount_is_not_below_zero():
    assert Form({"s": 0}, "epoch").amount("s") == 0.0
    with pytest.raises(
        DataError, match=r"epoch: 's' must be a number from 0 up, below 1e\+100, got -0\.5"
    ):
        Form({"s": -0.5}, "epoch").amount("s")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sex & race", "sex & race"),
        ("שלום 你好 é\xa0\U0001f468\u200d\U0001f469", "שלום 你好 é\xa0\U0001f468\u200d\U0001f469"),
        ("a\x1b[31m\tb\r\nc\x00", r"a\x1b[31m\tb\r\nc\x00"),
        ("\u202egnp.exe\u2066\u2028\x85\u200b", r"\u202egnp.exe\u2066\u2028\x85\u200b"),
        ("\udcff.csv", r"\udcff.csv"),
    ],
)
def test_what_moves_the_cursor_or_turns_the_writing_is_spelt_out(text, expected):
    assert shown(text) == expected


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@a", "\tx", "\rx"])
def test_a_text_that_a_spreadsheet_would_run_begins_with_a_quote(text):
    assert csv_text(text) == f"'{text}"


@pytest.mark.parametrize("value", ["", "a=1", " =1", -1.5, 7, None, True])
def test_other_cells_stay_what_they_are(value):
    assert csv_text(value) is value
