"""JSON from anyone is read or refused in one line; what is undefined is written as null."""

import math

import pytest

from dralign.errors import DataError, StudyError
from dralign.forms import Form, parse_json, plain, to_json


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
