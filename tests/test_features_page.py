"""The table of features: whole rows, and a test that exists behind every entry of ours."""

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parent
PAGE = (TESTS.parent / "docs" / "features.md").read_text(encoding="utf-8")
TABLE, _, HELD = PAGE.partition("## What holds our entries")


def rows(text: str) -> list[list[str]]:
    """The cells of every row of every table, headings left out."""
    lines = re.findall(r"^\| (.*) \|$", text, re.MULTILINE)
    cells = [line.split(" | ") for line in lines]
    return [row for row in cells if row[0] not in {"feature", "package"} and row[0] != "---"]


def test_what_we_have_is_held_by_tests_that_exist():
    ours = {row[0]: row[1].strip("*") for row in rows(TABLE.partition("## The table")[2])}
    held = {feature: re.findall(r"`(\S+\.py)`", tests) for feature, tests in rows(HELD)}
    assert len(ours) > 30
    assert (
        {feature for feature, entry in ours.items() if entry[0] in "yp"} <= held.keys() <= set(ours)
    )
    for feature, names in held.items():
        assert names, feature
        assert all((TESTS / name).is_file() for name in names), feature


def test_every_row_has_an_entry_for_every_package():
    for row in rows(TABLE.partition("## The table")[2]):
        assert len(row) == 11, row[0]
        assert all(re.match(r"[*]{0,2}[yp?-]|by hand|not tried", cell) for cell in row[1:]), row


def test_the_version_of_every_package_is_told():
    told = " ".join(row[0] for row in rows(TABLE.partition("## The table")[0])).lower()
    header = re.search(r"^\| feature \| dralign \| (.*) \|$", TABLE, re.MULTILINE)[1]
    for name in re.split(r" \| | / ", header):
        assert name.lower() in told, name
