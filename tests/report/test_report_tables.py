"""The result table: one format for cells, columns for what differs, the rest in the caption."""

import math
from dataclasses import replace

import pytest

import records as made_up
from dralign.analysis import Interval, summarise
from dralign.data import DataSource
from dralign.report import format_interval, result_table
from dralign.training import Selection

SELECTION = Selection(rule="highest_ap", warmup=2)
PLAIN = (
    "method",
    "λ",
    "β",
    "n",
    "AP",
    "base-rate gap",
    "all-cut-offs gap",
    "soft gap",
    "hard gap",
    "mean score",
    "similarity",
    "seconds",
)


def rows(records=None):
    return summarise(made_up.records() if records is None else records, selection=SELECTION)


@pytest.mark.parametrize(
    ("interval", "digits", "expected"),
    [
        (Interval(0.78, 0.004, 3), 3, ".780 ± .004 (n=3)"),
        (Interval(2.5, 0.0, 3), 3, "2.500 ± .000 (n=3)"),
        (Interval(10.04, 10.5, 10), 1, "10.0 ± 10.5 (n=10)"),
        (Interval(-0.25, 0.1, 2), 2, "-.25 ± .10 (n=2)"),
        (Interval(0.9999, 0.1, 2), 3, "1.000 ± .100 (n=2)"),
        (Interval(0.78, math.nan, 1), 3, ".780 (n=1)"),
        (Interval(math.nan, math.nan, 0), 3, "undefined"),
    ],
)
def test_the_format_of_a_cell(interval, digits, expected):
    assert format_interval(interval, digits=digits) == expected


def test_how_many_seeds_is_told_once_unless_a_figure_rests_on_fewer():
    assert format_interval(Interval(0.78, 0.004, 3), n=3) == ".780 ± .004"
    assert format_interval(Interval(0.78, 0.004, 2), n=3) == ".780 ± .004 (n=2)"


def test_a_narrow_terminal_leaves_out_what_it_has_no_room_for_and_says_what():
    table = result_table(rows())
    whole, left = table.within(1000, ("seconds",))
    assert (whole, left) == (table, ())
    narrow, left = table.within(
        80, ("seconds", "not there", "all-cut-offs gap", "soft gap", "hard gap", "mean score")
    )
    assert narrow.width <= 80
    assert left[0] == "seconds"
    assert set(table.header) - set(narrow.header) == set(left) <= {*table.header}
    assert {len(cells) for cells in narrow.cells} == {len(narrow.header)}
    ap = [header.index("AP") for header in (table.header, narrow.header)]
    assert [row[ap[0]] for row in table.cells] == [row[ap[1]] for row in narrow.cells]


def test_every_row_has_its_figures_and_its_mark():
    found = rows()
    table = result_table(found)
    assert table.header == PLAIN
    assert len(table.cells) == len(found)
    for row, cells in zip(found, table.cells, strict=True):
        assert cells[0] == row.spec.method + (" *" if row.non_dominated else "")
        assert cells[1:3] == (f"{row.spec.fairness_weight:g}", f"{row.spec.alignment_weight:g}")
        assert cells[3:5] == (str(row.n), format_interval(row.average_precision, n=row.n))
        names = ("base_rate", "all_cutoffs", "soft", "hard", "mean_probability")
        assert cells[5:10] == tuple(format_interval(row.figures[name], n=row.n) for name in names)
        assert cells[10] == format_interval(row.similarity, n=row.n)
    assert any(row.non_dominated for row in found)
    assert not all(row.non_dominated for row in found)


@pytest.mark.parametrize(
    "part",
    [
        "adult, paper preparation",
        "demographic parity",
        "test split",
        "95 % t-interval over n seeds",
        "highest AP, first 2 left out",
        "per unit",
    ],
)
def test_the_caption_says_what_the_figures_are(part):
    assert part in result_table(rows()).caption


@pytest.mark.parametrize(
    ("settings", "column", "values"),
    [
        ({"hidden": 50}, "hidden", {"200", "50"}),
        ({"gap": "equalized_odds"}, "gap", {"demographic parity", "equalized odds"}),
        ({"batch_size": 10}, "batch size", {"default", "10"}),
        ({"layers": ("0", "2")}, "layers", {"all", "0+2", "–"}),
        (
            {"data": replace(made_up.ADULT, preparation="standard")},
            "data",
            {"adult, paper preparation", "adult, standard preparation"},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_setting_that_differs_has_a_column(settings, column, values):
    table = result_table(rows(made_up.records([*made_up.specs(), *made_up.specs(**settings)])))
    place = table.header.index(column)
    assert {cells[place] for cells in table.cells} == values


def test_data_that_changed_are_told_apart():
    found = made_up.records()
    changed = [replace(record, fingerprint="abcdef0123") for record in found]
    table = result_table(rows(found + changed))
    assert table.header[0] == "data"
    assert "adult, paper preparation #abcdef" in {cells[0] for cells in table.cells}


def test_markdown_has_a_line_for_each_row_and_escapes_what_would_break_it():
    hostile = DataSource("a|b<script>.csv")
    found = rows(made_up.records([*made_up.specs(), *made_up.specs(data=hostile)]))
    lines = result_table(found).to_markdown().splitlines()
    assert len(lines) == 2 + len(found) + 2
    assert {line.replace(r"\|", "").count("|") for line in lines[:-2]} == {len(PLAIN) + 2}
    assert "<script>" not in "".join(lines)


def test_no_rows_is_a_table_without_rows():
    table = result_table([])
    assert (table.cells, table.caption) == ((), "No trial is done.")


def test_how_often_dralign_aligns_is_said_where_it_is_not_every_step():
    """In the caption, or in a column if it varies, which other methods have nothing in."""

    def made(*counts):
        plain = [spec for spec in made_up.specs() if spec.method != "dralign"]
        aligned = [spec for spec in made_up.specs() if spec.method == "dralign"]
        several = [replace(spec, alignment_every=k) for spec in aligned for k in counts]
        return result_table(rows(made_up.records(plain + several)))

    assert "dralign aligned rationales per unit, at every step." in made(1).caption
    assert made(8).header == PLAIN
    assert "per unit, once in 8 steps, with 8 β" in made(8).caption
    both = made(4, 8)
    place = both.header.index("alignment every")
    found = {cells[0].removesuffix(" *"): set() for cells in both.cells}
    for cells in both.cells:
        found[cells[0].removesuffix(" *")].add(cells[place])
    assert found.pop("dralign") == {"4", "8"}
    assert set.union(*found.values()) == {"–"}
