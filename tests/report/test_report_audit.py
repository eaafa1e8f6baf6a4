"""The audit's page: one file, no network, everything escaped, and it draws in a browser."""

import re
from html.parser import HTMLParser

import plotly.graph_objects as go
import pytest

from audits import form, small
from browser import NEEDED, browse
from dralign.errors import OutputError
from dralign.report.audit_charts import RATES, independence_chart, rates_chart
from dralign.report.audit_page import write_audit_page

HOSTILE = ("</script><script>alert('own')</script>", "<img src=x onerror=alert(1)>")


class Page(HTMLParser):
    """Collects what a browser would load and show."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.tags, self.shown, self._inside = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self._inside.append(tag)
        self.loads += [value for name, value in attrs if name in {"src", "href", "data", "action"}]

    def handle_endtag(self, tag):
        while self._inside and self._inside.pop() != tag:
            pass

    def handle_data(self, data):
        if not {"script", "style"} & set(self._inside):
            self.shown.append(data)

    @property
    def text(self):
        return " ".join(self.shown)


@pytest.fixture(scope="module")
def plain():
    return form(names=["east", "west"])


def written(tmp_path, audited, **options):
    path = write_audit_page(tmp_path / "audit.html", audited, **options)
    return path, path.read_text(encoding="utf-8")


def test_the_charts_of_the_page_are_returned_as_figures_of_plotly():
    charts = small(names=["east", "west"]).charts()
    assert {"rates", "noise", "independence", "what-if", "map-0", "map-1"} == set(charts)
    assert all(isinstance(chart, go.Figure) for chart in charts.values())
    assert [trace.name.split(" (")[0] for trace in charts["rates"].data] == ["east", "west"]
    assert "rates" not in small(n_outputs=3).charts()


@pytest.mark.parametrize("n_groups", [2, 5, 8, 12, 30])
def test_every_dot_stands_at_its_own_label_and_apart_from_the_dots_of_other_groups(n_groups):
    figures = {name: {"value": 0.5, "low": 0.4, "high": 0.6} for name in RATES}
    groups = [{"group": f"g{code}", "n": 9, "figures": figures} for code in range(n_groups)]
    chart = rates_chart({"groups": groups})
    rows = list(zip(*(trace.y for trace in chart.data), strict=True))
    assert len(rows) == len(RATES)
    for label, spots in enumerate(rows):
        assert all(abs(spot - label) <= 0.4 for spot in spots)
        assert sum(spots) / n_groups == pytest.approx(label)
    margin = chart.layout.margin
    label_apart = (chart.layout.height - margin.t - margin.b) / len(RATES)  # in pixels
    assert (rows[0][1] - rows[0][0]) * label_apart > 6

    removal = {"size": 1, "influence_ratio": [1, 1, 1], "change_error": [0, 0, 0]}
    removals = [
        removal | {"group": one["group"], "size": size} for one in groups for size in (1, 9)
    ]
    for trace in independence_chart(removals).data:
        assert [round(spot) for spot in trace.x] == [0, 1]


def test_the_page_loads_nothing_from_elsewhere(tmp_path, plain):
    _, text = written(tmp_path, plain)
    page = Page(text)
    assert page.loads == ["data:,"]
    assert "default-src 'none'" in text
    assert "@import" not in text.split("</style>")[0]
    assert page.tags.count("script") == 3  # the library, the charts, and what draws and sorts


def test_the_page_shows_findings_tables_and_limits(tmp_path, plain):
    page = Page(written(tmp_path, plain, title="Audit of a net")[1])
    text = " ".join(page.text.split())
    assert "Audit of a net" in text
    for sentence in plain["findings"]:
        assert sentence in text
    for expected in ("east", "west", "noise floor", "It certifies nothing", "20 random splits"):
        assert expected in text
    for one in plain["influence"]["units"]:
        assert f"{one['score']:.2e}" in text


def test_every_name_is_escaped(tmp_path):
    hostile = form(names=list(HOSTILE))
    hostile["findings"] = [*hostile["findings"], HOSTILE[0]]
    hostile["notes"] = [HOSTILE[1]]
    hostile["provenance"]["environment"] = {"python": HOSTILE[0]}
    for layer in hostile["influence"]["layers"]:
        layer["layer"] = HOSTILE[1]
    for found in hostile["similarity"].values():
        for test in found["layers"]:
            test["layer"] = HOSTILE[0]
    _, text = written(tmp_path, hostile, title=HOSTILE[0])
    page = Page(text)
    assert "img" not in page.tags
    assert page.tags.count("script") == 3
    own = re.sub(r"<script[^>]*>.*?</script>", "", text, flags=re.DOTALL)
    assert "alert('own')" not in own
    assert "<img" not in own
    assert HOSTILE[0] in page.text


def test_more_than_two_classes_and_groups_make_a_page_without_group_figures(tmp_path):
    page = Page(written(tmp_path, form(n_outputs=3, n_groups=3))[1])
    assert "What the network decides" not in page.text
    assert "What if" not in page.text
    assert "Which parts matter to whom" in page.text


def test_the_page_is_the_same_each_time(tmp_path, plain):
    assert written(tmp_path, plain)[1] == written(tmp_path, plain)[1]


def test_a_page_that_cannot_be_written_is_an_error(tmp_path, plain):
    with pytest.raises(OutputError, match="can't be written"):
        write_audit_page(tmp_path, plain)


@pytest.mark.browser
@NEEDED
@pytest.mark.parametrize("names", [["east", "west"], list(HOSTILE)], ids=["plain", "hostile"])
def test_every_chart_is_drawn_in_a_browser(tmp_path, names):
    path, text = written(tmp_path, form(names=names))
    shown, console = browse(path, tmp_path / "profile")
    assert console == []
    charts = re.findall(r'class="chart" id="([\w-]+)"', text)
    assert charts == ["rates", "noise", "map-0", "map-1", "what-if", "independence"]
    drawn = re.findall(r'<div class="chart js-plotly-plot" id="([\w-]+)"', shown)
    assert drawn == charts
    assert len(re.findall(r'class="main-svg"', shown)) >= len(charts)
    assert 'class="hm"' in shown  # the heat maps' own layer
