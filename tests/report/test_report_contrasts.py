"""The statistics of a study as a table, as CSV and as JSON."""

import csv
import io
import json
import math
from dataclasses import replace

import pytest

import records as made_up
from dralign.analysis import compare_with_baseline, summarise
from dralign.report import contrast_table
from dralign.report.contrasts import contrasts_as_csv, contrasts_as_json
from dralign.training import Selection

SELECTION = Selection(rule="highest_ap", warmup=2)


def study(records=None, **options):
    """Comparisons and rows."""
    records = made_up.records() if records is None else records
    found = compare_with_baseline(records, selection=SELECTION, **options)
    return found, summarise(records, selection=SELECTION)


def contrasts(found):
    return [contrast for one in found for contrast in one.contrasts]


def test_every_contrast_has_a_line_with_its_figures():
    found, rows = study()
    table = contrast_table(found, rows)
    assert len(table.cells) == len(contrasts(found)) > 10
    column = {
        name: [cells[place] for cells in table.cells] for place, name in enumerate(table.header)
    }
    assert set(column["method"]) == {"erm", "oversample", "dralign"}
    assert set(column["against"]) == {"gap"}
    assert set(column["figure"]) == {"base-rate gap", "AP", "hypervolume"}
    assert {"λ 0.2", "λ 0.2, β 0.02", "fronts"} <= set(column["at"])
    for place, contrast in enumerate(contrasts(found)):
        assert column["seeds"][place] == f"{contrast.difference.n} of {contrast.seeds}"
        p = contrast.p.paired_t
        shown = column["paired t"][place]
        assert shown == "–" if math.isnan(p) else f"({p:.2g})" in shown
        assert shown.endswith("*") == (contrast.holm.paired_t < 0.05)


@pytest.mark.parametrize(
    "part",
    [
        "highest AP, first 2 left out",
        "The gap is the base-rate gap",
        "absolute for each seed",
        "front does not reach that AP are left out",
        "equally many settings of the two methods",
        "as splits of one data set overlap",
        "Holm's correction",
    ],
)
def test_the_caption_says_what_the_figures_are(part):
    assert part in contrast_table(*study()).caption


def test_gaps_are_named_by_their_measure():
    table = contrast_table(*study(measure="hard"))
    assert "The gap is the hard gap" in table.caption
    assert any("hard gap" in cells for cells in table.cells)


def test_several_data_sets_and_gaps_are_told_apart():
    records = made_up.records([*made_up.specs(), *made_up.specs(gap="equalized_odds", hidden=50)])
    table = contrast_table(*study(records))
    assert table.header[:2] == ("data", "gap")
    assert {cells[1] for cells in table.cells} == {"demographic parity", "equalized odds"}
    assert {cells[2] for cells in table.cells} >= {"dralign (hidden 50)", "dralign (hidden 200)"}


def test_no_baseline_is_a_table_without_lines_that_says_why():
    table = contrast_table(*study(baseline="thresholds"))
    assert table.cells == ()
    assert table.caption.startswith("Nothing to compare")


def test_csv_holds_the_figures_unrounded_and_leaves_undefined_ones_empty():
    found, rows = study(made_up.records(made_up.specs(seeds=[0, 1])))
    lines = list(csv.DictReader(io.StringIO(contrasts_as_csv(found, rows))))
    for line, contrast in zip(lines, contrasts(found), strict=True):
        assert float(line["first_mean"]) == contrast.first.mean
        p = contrast.holm.wilcoxon
        assert line["holm_wilcoxon"] == ("" if math.isnan(p) else str(p))
    assert {line["selection"] for line in lines} == {str(SELECTION)}
    assert {line["measure"] for line in lines} == {"base_rate"}
    assert any(line["level"] == "" for line in lines)  # of the fronts


def test_lines_of_the_csv_are_told_apart_by_their_weights():
    specs = [
        spec.but(alignment_weight=beta) if spec.method == "dralign" else spec
        for spec in made_up.specs(weights=(0.2,))
        for beta in (0.02, 0.2)
    ]
    found, rows = study(made_up.records(dict.fromkeys(specs)))
    lines = csv.DictReader(io.StringIO(contrasts_as_csv(found, rows)))
    betas = [
        (line["first_fairness_weight"], line["first_alignment_weight"])
        for line in lines
        if (line["method"], line["figure"], line["at"]) == ("dralign", "gap", "weight")
    ]
    assert sorted(betas) == [("0.2", "0.02"), ("0.2", "0.2")]


def test_no_comparisons_make_an_empty_csv():
    assert contrasts_as_csv([], []) == ""


def test_json_has_null_for_what_is_undefined():
    found, _ = study(made_up.records(made_up.specs(seeds=[0])))
    form = json.loads(contrasts_as_json(found), parse_constant=pytest.fail)
    assert [one["first"]["method"] for one in form] == [one.first.method for one in found]
    assert form[0]["contrasts"][0]["p"]["paired_t"] is None


def test_names_are_those_of_the_result_table():
    hostile = replace(made_up.ADULT, name="a|b<i>.csv", preparation="standard")
    records = made_up.records([*made_up.specs(), *made_up.specs(data=hostile)])
    table = contrast_table(*study(records))
    assert {cells[0] for cells in table.cells} == {"adult, paper preparation", "a|b<i>.csv"}
    assert "<i>" not in table.to_markdown()
