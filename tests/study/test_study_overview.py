"""What is kept of the data beside a study: it is of these data alone, and reads as it was kept."""

import json
import warnings

import pytest

from dralign.data import DataSource
from dralign.data.source import Overview
from dralign.errors import DralignWarning, StudyError
from dralign.study.overview import keep_overview, kept_overviews

BY_SEX = DataSource("people.csv", label="loan", positive="yes", sensitive="sex")
BY_RACE = DataSource("people.csv", label="loan", positive="yes", sensitive="race")


def of_groups(*names, fingerprint="one", **texts):
    return Overview(**{"lines": ("600 rows",), "findings": (), **texts}, groups=names,
                    fingerprint=fingerprint)  # fmt: skip


def test_other_data_have_another_place_and_the_same_data_the_same(tmp_path):
    sexes, races, changed = of_groups("F", "M"), of_groups("b", "w"), of_groups("F", "M", "x")
    changed = changed._replace(fingerprint="two")
    assert kept_overviews(tmp_path) == {}
    for source, overview in (
        (BY_SEX, of_groups("f", "m")),
        (BY_RACE, races),
        (BY_SEX, changed),
        (BY_SEX, sexes),
    ):
        keep_overview(tmp_path / "study", source, overview)
    assert kept_overviews(tmp_path / "study") == {
        (BY_SEX, "one"): sexes,
        (BY_RACE, "one"): races,
        (BY_SEX, "two"): changed,
    }


def test_of_a_file_the_folder_does_not_matter_as_in_records(tmp_path):
    keep_overview(tmp_path, BY_SEX.at("/home/me/people.csv"), of_groups("F", "M"))
    assert [*kept_overviews(tmp_path)] == [(BY_SEX, "one")]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"findings": ("twice", "twice")}, None),
        ({"lines": ("twice", "twice")}, None),
        ({"findings": ("caf\udce9 \n",)}, {"findings": (r"caf\udce9 \n",)}),
    ],
)
def test_whatever_is_kept_is_read(tmp_path, given, shown):
    keep_overview(tmp_path, BY_SEX, of_groups(**given))
    assert kept_overviews(tmp_path) == {(BY_SEX, "one"): of_groups(**(shown or given))}


def test_where_they_are_too_long_the_oldest_go(tmp_path):
    half = of_groups(findings=("z" * 2**19,))
    for source in (BY_SEX, BY_RACE):
        keep_overview(tmp_path, source, half)
    assert [*kept_overviews(tmp_path)] == [(BY_RACE, "one")]
    keep_overview(tmp_path, BY_SEX, of_groups(findings=("z" * 2**20,)))
    assert kept_overviews(tmp_path) == {}


def test_data_with_a_name_that_no_record_can_hold_leave_the_file_as_it_is(tmp_path):
    keep_overview(tmp_path, BY_SEX, of_groups("F", "M"))
    before = (tmp_path / "overview.json").read_bytes()
    keep_overview(tmp_path, BY_SEX.at("caf\udce9.csv"), of_groups("F", "M"))
    assert (tmp_path / "overview.json").read_bytes() == before


def test_one_of_an_older_dralign_is_told_of_and_replaced(tmp_path):
    old = {"lines": ["600 rows"], "findings": [], "groups": ["F", "M"]}
    (tmp_path / "overview.json").write_text(json.dumps(old), encoding="utf-8")
    with pytest.warns(DralignWarning, match="older dralign and does not say of which data it is"):
        assert kept_overviews(tmp_path) == {}
    with pytest.warns(DralignWarning, match="it is not used"):
        keep_overview(tmp_path, BY_SEX, of_groups("F", "M"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [*kept_overviews(tmp_path)] == [(BY_SEX, "one")]


ENTRY = {"data": {"name": "a.csv"}, "fingerprint": "", "lines": [], "findings": [], "groups": []}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\xff", "not JSON"),
        ({"lines": []}, "unknown entry 'lines'"),
        ({"comparisons": 7}, "'comparisons' must be a list"),
        ({"comparisons": [{**ENTRY, "groups": [1]}]}, "'groups' must be a list of texts"),
        ({"comparisons": [{**ENTRY, "data": {"name": 1}}]}, "'name' must be a text"),
        ({"comparisons": [{**ENTRY, "data": {"name": "adult", "label": "a"}}]}, "label is given"),
        ({"comparisons": [{**ENTRY, "more": 1}]}, "unknown entry 'more'"),
    ],
)
def test_one_that_is_none_of_ours_is_refused_and_the_next_comparison_replaces_it(
    tmp_path, content, reason
):
    path = tmp_path / "overview.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    with pytest.raises(StudyError, match=reason) as caught:
        kept_overviews(tmp_path)
    assert str(caught.value).startswith(str(path))
    keep_overview(tmp_path, BY_SEX, of_groups("F", "M"))
    assert [*kept_overviews(tmp_path)] == [(BY_SEX, "one")]
