"""The page: one file, no network, everything escaped, and it draws in a browser."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

import records as made_up
from browser import NEEDED, browse
from dralign.analysis import compare_with_baseline, summarise
from dralign.data import DataSource
from dralign.data.source import Overview
from dralign.errors import OutputError
from dralign.metrics import Cells
from dralign.report import result_table, write_report
from dralign.training import Selection

HOSTILE = "<script>alert('own')</script>"


class Page(HTMLParser):
    """Collects what a browser would load, run and show."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.tags, self.shown, self._inside = [], [], [], []
        self.scripts = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self._inside.append(tag)
        self.loads += [value for name, value in attrs if name in {"src", "href", "data", "action"}]

    def handle_endtag(self, tag):
        while self._inside and self._inside.pop() != tag:
            pass

    def handle_data(self, data):
        if "script" in self._inside:
            self.scripts.append(data)
        elif "style" not in self._inside:
            self.shown.append(data)

    @property
    def text(self):
        return " ".join(self.shown)


def written(tmp_path, records=None, **options):
    records = made_up.records() if records is None else records
    rows = summarise(records, selection=Selection())
    found = compare_with_baseline(records, selection=Selection())
    path = write_report(tmp_path / "report.html", records, rows, comparisons=found, **options)
    return path, path.read_text(encoding="utf-8"), rows


def hostile_records():
    """Markup in every text that comes from data, settings or errors."""
    data = DataSource("<b>people<b>.csv", sensitive=("<b>race</b>", "</script><i>sex"))
    found = made_up.records(made_up.specs(data=data, layers=("<img src=x onerror=alert(1)>",)))
    similarity = {"unit": {"</script><script>alert(4)": 0.9, "<u>2</u>": 0.5}}
    found = [
        replace(r, history=tuple(replace(e, similarity=similarity) for e in r.history))
        for r in found
    ]
    found[0] = replace(found[0], status="failed", error=HOSTILE, history=())
    found[1] = replace(found[1], warnings=(HOSTILE,), environment={"python": HOSTILE})
    return found


def test_the_page_loads_nothing_from_elsewhere(tmp_path):
    _, text, _ = written(tmp_path)
    page = Page(text)
    assert page.loads == ["data:,"]
    assert page.tags.count("script") == 3  # the library, the charts' data, drawing and sorting
    assert "@import" not in text.split("</style>")[0]
    assert "default-src 'none'" in text


def test_the_title_names_data_and_gap_and_the_day(tmp_path):
    _, text, _ = written(tmp_path)
    title = re.search("<title>(.*)</title>", text)[1]
    assert re.fullmatch(r"adult, paper preparation · demographic parity · \d{4}-\d\d-\d\d", title)


def test_the_page_tells_what_the_data_hold_and_what_is_doubtful(tmp_path):
    overview = Overview(
        ("p.csv: 9 rows", "<b>split</b>"), ("gives the label away: 'a'",), ("women", "men")
    )
    of_records = {(one.spec.data, one.fingerprint): overview for one in made_up.records()}
    _, text, _ = written(tmp_path, overviews=of_records)
    page = Page(text)
    assert "The data" in page.text
    for line in (*overview.lines, f"Look at: {overview.findings[0]}"):
        assert line in page.text
    assert "The data" not in Page(written(tmp_path)[1]).text


def test_names_of_groups_stand_at_the_trials_of_their_data_alone(tmp_path):
    cells = Cells((30, 20, 40, 10), (5, 5, 5, 5), (0.5,) * 4)

    def of_data(data, fingerprint):
        found = made_up.records(made_up.specs(data=data, seeds=[0]), fingerprint=fingerprint)
        return [
            replace(r, history=tuple(replace(e, cells={"test": cells}) for e in r.history))
            for r in found
        ]

    by_sex, by_race, by_age = (
        DataSource("p.csv", sensitive=name) for name in ("sex", "race", "age")
    )
    found = [*of_data(by_sex, "1"), *of_data(by_race, "1"), *of_data(by_sex, "2"),
             *of_data(by_age, "1")]  # fmt: skip
    known = {
        (by_sex, "1"): Overview(("of sexes",), (), ("women", "men")),
        (by_race, "1"): Overview(("of races",), (), ("black", "white")),
        (by_sex, "3"): Overview(("of others",), (), ("old", "young")),
    }
    _, text, _ = written(tmp_path, found, overviews=known)
    table = text.partition("The groups at every setting")[2].partition("</table>")[0]
    rows = re.findall(r"<td>(erm[^<]*)</td><td>(\w+)</td>", table)
    assert rows == [
        ("erm, seed 0 (p.csv, groups: race · demographic parity)", "black"),
        ("erm, seed 0 (p.csv, groups: race · demographic parity)", "white"),
        ("erm, seed 0 (p.csv, groups: sex #1 · demographic parity)", "women"),
        ("erm, seed 0 (p.csv, groups: sex #1 · demographic parity)", "men"),
    ]
    shown = re.findall(r"<h2>The data: ([^<]*)</h2><ul class=.findings.><li>([^<]*)<", text)
    assert shown == [("p.csv, groups: race", "of races"), ("p.csv, groups: sex #1", "of sexes")]
    assert "of others" not in text


def test_settings_that_were_not_given_are_values_or_not_there(tmp_path):
    _, text, _ = written(tmp_path)
    made = Page(text).text.partition("How it was made")[2]
    assert "default" not in made
    assert "that of the data, else 500 rows of each group or cell" in made


def test_the_page_holds_the_table_and_says_how_it_was_made(tmp_path):
    _, text, rows = written(tmp_path, title="My study")
    page = Page(text)
    table = result_table(rows)
    for cell in {cell for cells in table.cells for cell in cells} | {*table.header, table.caption}:
        assert cell in page.text
    for part in (
        "My study",
        "smallest base-rate gap, first 1 left out",
        "measure of the gap",
        "0, 1, 2",
        "2.13",
        rows[0].fingerprint[:12],
        "a lower gap is not proof of fair treatment",
        "Holm's correction over all lines",
    ):
        assert part in page.text


def test_a_page_of_a_thousand_settings_has_at_most_six_and_a_half_megabytes(tmp_path):
    weights = [round(0.001 * place, 3) for place in range(1, 500)]
    records = made_up.records(made_up.specs(seeds=[0], weights=weights, epochs=20))
    assert len(records) == 1000
    path, _, _ = written(tmp_path, records)
    assert path.stat().st_size <= 6.5e6


def test_many_settings_share_a_few_learning_curves_spread_over_the_weights(tmp_path):
    weights = [round(0.005 * place, 3) for place in range(1, 101)]
    _, text, _ = written(tmp_path, made_up.records(made_up.specs(seeds=[0], weights=weights)))
    page = Page(text)
    assert "Some of 202 settings, evenly over the weights." in page.text
    charts = json.loads(page.scripts[1])
    drawn = [t for t in charts["chart-0-2"]["data"] if t["meta"] == "dralign"]
    names = list(dict.fromkeys(trace["hovertemplate"].split("<br>")[0] for trace in drawn))
    assert len(names) == 15
    assert (names[0], names[-1]) == (
        "<b>dralign  λ 0.005, β 0.001</b>",
        "<b>dralign  λ 0.5, β 0.05</b>",
    )


def test_similarity_is_drawn_for_each_layer_against_lambda(tmp_path):
    _, text, rows = written(tmp_path)
    charts = json.loads(Page(text).scripts[1])
    traces = [t for t in charts["chart-0-1"]["data"] if t["meta"] == "gap"]
    own = [row for row in rows if row.spec.method == "gap"]
    assert [trace["x"] for trace in traces] == [[0.2, 0.5]] * 4
    for place, layer in enumerate(made_up.LAYERS):
        means = [dict(row.layer_similarity)[layer].mean for row in own]
        assert traces[place]["y"] == pytest.approx(means, rel=5e-5)
    assert traces[3]["y"] == pytest.approx([row.similarity.mean for row in own], rel=5e-5)


def test_a_layer_whose_similarity_is_always_one_has_no_field_and_is_named(tmp_path):
    similarity = {"unit": {"0": 0.7, "2": 0.8, "4": 1.0}}
    found = [
        replace(r, history=tuple(replace(e, similarity=similarity) for e in r.history))
        for r in made_up.records()
    ]
    chart = json.loads(Page(written(tmp_path, found)[1]).scripts[1])["chart-0-1"]
    titles = [one["text"] for one in chart["layout"]["annotations"]]
    assert titles == ["layer 0", "layer 2", "all layers, added up (layer 4: always 1)"]


def test_colours_are_of_a_form_that_every_release_of_plotly_takes(tmp_path):
    """Release 6 refuses #RRGGBBAA."""
    script = Page(written(tmp_path)[1]).scripts[1]
    assert "rgba(230,159,0,0.5)" in script
    assert not re.search(r'"#[0-9A-Fa-f]{8}"', script)


def test_formulas_and_places_of_plotly_are_shown_as_they_are(tmp_path):
    found = made_up.records([*made_up.specs(layers=("$x$", "%{y}")), *made_up.specs()])
    charts = json.loads(Page(written(tmp_path, found)[1]).scripts[1])
    traces = [trace for one in charts.values() for trace in one["data"]]
    shown = json.dumps([{**trace, "legendgroup": None} for trace in traces])
    assert "&#36;x&#36;+&#37;{y}" in shown
    assert "$x" not in shown
    assert "%{y}" not in shown


def test_failed_trials_and_warnings_are_named_with_their_number(tmp_path):
    found = made_up.records()
    found[0] = replace(found[0], status="failed", error="out of luck", history=())
    found[1:3] = [replace(record, warnings=("a size is assumed",)) for record in found[1:3]]
    page = Page(written(tmp_path, found)[1])
    assert "erm, seed 0: out of luck" in page.text
    assert re.search(r"a size is assumed\s+\(2×\)", page.text)


def test_everything_that_comes_from_data_is_escaped(tmp_path):
    _, text, _ = written(tmp_path, hostile_records(), title=HOSTILE)
    page = Page(text)
    assert page.text.count(HOSTILE) == 5  # title, heading, error, warning, environment
    assert page.text.count("<b>people<b>.csv") == 4  # caption, heading, statistics, provenance
    assert not {"b", "i", "u", "img"} & {*page.tags}
    assert page.tags.count("script") == 3
    assert not any(call in script for script in page.scripts for call in ("alert('own')", "<u>2"))
    charts = "".join(page.scripts[1:])
    for name in ("&lt;/script&gt;&lt;script&gt;alert(4)", "&lt;u&gt;2&lt;/u&gt;"):
        assert f"layer {name}" in charts.replace(r"\u002f", "/")


def test_an_unfinished_study_has_a_page_too(tmp_path):
    failed = [replace(r, status="failed", error="no", history=()) for r in made_up.records()]
    page = Page(written(tmp_path, failed)[1])
    assert "No trial is done." in page.text


def test_a_page_that_can_not_be_written_is_one_clear_line(tmp_path):
    (tmp_path / "report.html").mkdir()
    with pytest.raises(OutputError, match=r"report\.html: can't be written: Is a directory"):
        written(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def two_panels():
    return made_up.records([*made_up.specs(), *made_up.specs(gap="equalized_odds")])


@pytest.mark.browser
@NEEDED
@pytest.mark.parametrize("make", [made_up.records, hostile_records], ids=["plain", "hostile"])
def test_a_browser_draws_every_chart_without_a_complaint(tmp_path, make):
    path, _, _ = written(tmp_path, make())
    dom, console = browse(path, tmp_path / "profile")
    assert console == []
    assert len(re.findall(r'class="chart js-plotly-plot"', dom)) == 3
    assert len(re.findall(r'<path class="point"', dom)) >= 6
    assert dom.count('<th scope="col"><button') == 12 + 12
    assert "alert" not in "".join(re.findall(r"<script>(.{0,200})", dom))


@pytest.mark.browser
@NEEDED
def test_filters_leave_what_was_chosen_in_charts_and_tables(tmp_path):
    path, text, _ = written(tmp_path, two_panels())
    choose = """
      const act = () => {
        const chart = document.getElementById("chart-1-0");
        draw(chart);  // as the page does once it is near the window
        document.querySelector('input[value="gap"]').checked = false;
        document.getElementById("panel").value = "1";
        document.getElementById("filters").dispatchEvent(new Event("change"));
        const shown = chart.data.filter((trace) => trace.visible);
        document.body.dataset.shown = shown.map((trace) => trace.meta ?? "front").join(" ");
        const lines = [...document.querySelectorAll("tr[data-method]")];
        const left = lines.filter((row) => row.checkVisibility());
        document.body.dataset.rows = [...new Set(left.map((row) => row.dataset.method))].join(" ");
        document.body.dataset.panels = [...document.querySelectorAll("div[data-panel]")]
          .filter((part) => !part.hidden).map((part) => part.dataset.panel).join(" ");
      };
      addEventListener("load", act);
    """
    path.write_text(text.replace("</body>", f"<script>{choose}</script></body>"))
    dom, console = browse(path, tmp_path / "profile")
    assert console == []
    body = re.search(r"<body([^>]*)>", dom)[1]
    found = dict(re.findall(r'data-(\w+)="([^"]*)"', body))
    assert found == {
        "shown": "front erm oversample dralign",
        "rows": "erm oversample dralign",
        "panels": "1 1",
    }


def test_learning_curves_of_precision_and_gap_span_at_least_a_twentieth_and_stay_inside(tmp_path):
    chart = json.loads(Page(written(tmp_path)[1]).scripts[1])["chart-0-2"]
    for axis, name in (("yaxis", "y"), ("yaxis2", "y2")):
        low, high = chart["layout"][axis]["range"]
        assert high - low >= 0.05 - 1e-9
        own = [trace["y"] for trace in chart["data"] if trace.get("yaxis", "y") == name]
        assert own
        assert all(low <= value <= high for values in own for value in values)
