"""Hostile texts in every place of the pages that comes from others, in a real browser.

Whoever writes a table, a plan, a ledger or a network folder chooses names that stand in a page.
None may run, load, link or hide anything: the page must have the elements of a harmless one.
"""

from dataclasses import replace
from html.parser import HTMLParser
from itertools import cycle

import pytest

import records as made_up
from audits import form as audited
from browser import NEEDED, browse
from dralign import forms
from dralign.analysis import compare_with_baseline, summarise
from dralign.data import DataSource
from dralign.data.source import Overview
from dralign.report import write_report
from dralign.report.audit_page import write_audit_page
from dralign.training import Selection

RUN = "document.documentElement.dataset.ran=1"
PAYLOADS = (
    f"<script>{RUN}</script>",
    f"</script><script>{RUN}</script>",
    f"</ScRiPt ><ScRiPt>{RUN}</sCrIpT>",
    f"<script/src=data:text/javascript,{RUN}></script>",
    f"<img src=x onerror={RUN}>",
    f"<svg/onload={RUN}>",
    f"<svg><script>{RUN}</script></svg>",
    f"<svg><animate onbegin={RUN} attributeName=x dur=1s>",
    f"<math><mtext><img src=x onerror={RUN}></mtext></math>",
    f"<body onload={RUN}>",
    f"<iframe srcdoc='<script>parent.{RUN}</script>'></iframe>",
    f"<details open ontoggle={RUN}>x</details>",
    f"<a href='javascript:{RUN}'>click</a>",
    f'<a href="JaVaScRiPt:{RUN}">click</a>',
    '<a href="https://example.org/">elsewhere</a>',
    f"<span style='font-size:1px' onmouseover={RUN}>x</span>",
    f'" autofocus onfocus="{RUN}" x="',
    f"' onmouseover='{RUN}' x='",
    f'"><script>{RUN}</script>',
    f"'-({RUN})-'",
    f'\\"}}]}};{RUN};//',
    f"\u2028{RUN}\u2029",
    f"${{{RUN}}} $title ${{plotly}} $$",
    f"%{{x}} %{{meta}} %{{y:{RUN}}} %%",
    f"{{{{constructor.constructor('{RUN}')()}}}}",
    r"$\href{javascript:x}{TeX}$ \begin{x} \[ \unicode{x}",
    "<!-- ]]> <![CDATA[ --> <!--",
    "</title></style></textarea></noscript></table></main>",
    "<style>* { display: none }</style><base href='//example.org/'><meta http-equiv=refresh>",
    "&lt;script&gt; &#60;b&#62; &amp;amp; &notanentity",
    "\u202eright to left\u202c \u2066 abc \u200b\ufeff",
    "\x00 \x01 \x08 \x0b \x0c \x1b[31m \x7f \x85 \r\n\t .",
)
# Points at marks of every chart, and presses every button for sorting and every filter.
TOUCH = """
addEventListener("load", () => setTimeout(() => {
  let shown = 0;
  for (const chart of document.querySelectorAll(".js-plotly-plot")) {
    chart.data.slice(0, 8).forEach((trace, curveNumber) => {
      const place = (trace.xaxis ?? "x") + (trace.yaxis ?? "y");
      const pointNumber = trace.type === "heatmap" ? [0, 0] : 0;
      Plotly.Fx.hover(chart, [{ curveNumber, pointNumber }], place);
      shown += chart.querySelectorAll(".hovertext").length;
    });
  }
  for (const button of document.querySelectorAll("th button")) button.click();
  for (const box of document.querySelectorAll("#filters input")) { box.click(); box.click(); }
  document.documentElement.dataset.touched = shown;
}, 3000));
"""


class Elements(HTMLParser):
    """The kinds of elements of a page with their attributes, its links, and what it shows."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.kinds, self.links, self.texts, self.root = set(), [], [], {}
        self._hidden = ""
        self.n_scripts = 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        names = dict(attrs)
        self.kinds.add((tag, *sorted(names)))
        found = [names[name] for name in ("href", "src", "xlink:href") if name in names]
        self.links += [link.partition(";")[0] for link in found]  # a heat map is an image
        self.n_scripts += tag == "script"
        if tag == "html":
            self.root = names
        self._hidden = tag if tag in {"script", "style"} else ""

    def handle_endtag(self, tag):
        self._hidden = ""

    def handle_data(self, data):
        if not self._hidden:
            self.texts.append(data)


def study_page(path, names):
    """A page of records with the names in every text that comes from data, settings or errors."""
    name = cycle(names)
    data = DataSource(
        next(name), label=next(name), positive=next(name), sensitive=tuple(dict.fromkeys(names))
    )
    layers = [" | ".join(names[place::3]) for place in range(3)]  # each has charts of its own
    few = {"seeds": (0, 1), "weights": (0.2,), "epochs": 2}
    trials = made_up.specs(data=data, layers=tuple(names), **few)
    trials += made_up.specs(data=data, layers=names[0], **few)
    trials += made_up.specs(data=DataSource("people.csv", label=next(name)), **few)
    found = [
        replace(
            record,
            history=tuple(
                replace(epoch, similarity={"unit": dict.fromkeys(layers, 0.5)})
                for epoch in record.history
            ),
            warnings=tuple(names),
            environment=dict(zip(names, reversed(names), strict=True)),
        )
        for record in made_up.records(trials)
    ]
    found += [replace(found[0], status="failed", error=text, history=()) for text in names]
    rows = summarise(found, selection=Selection())
    comparisons = compare_with_baseline(found, selection=Selection())
    overview = Overview(tuple(names), tuple(names), (next(name), next(name)))
    known = {(row.spec.data, row.fingerprint): overview for row in rows}
    return write_report(
        path, found, rows, comparisons=comparisons, title=next(name), overviews=known
    )


def audit_page(path, names):
    """A page of an audit with the names as groups and layers, and in all of its lists."""
    found = audited(names=["east", "west"])
    places = ["east", "west", *found["provenance"]["layers"]]
    joined = [" | ".join(names[place :: len(places)]) for place in range(len(places))]
    found = renamed(found, dict(zip(places, joined, strict=True)))
    found["findings"], found["notes"] = list(names), list(reversed(names))
    found["details"], found["meaning"]["data"] = list(names), list(names)
    found["meaning"]["inputs"] = (4 * list(names))[:4]
    found["provenance"]["environment"] = dict(zip(names, reversed(names), strict=True))
    return write_audit_page(path, found, title=names[0])


def renamed(value, names):
    """The value with other texts and keys."""
    if isinstance(value, dict):
        return {names.get(key, key): renamed(entry, names) for key, entry in value.items()}
    if isinstance(value, list):
        return [renamed(entry, names) for entry in value]
    return names.get(value, value) if isinstance(value, str) else value


def shown(write, names, folder):
    """The page in a browser after every mark, button and filter of it was touched."""
    folder.mkdir()
    path = write(folder / "page.html", names)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("</body>\n</html>", f"<script>{TOUCH}</script></body></html>"))
    dom, console = browse(path, folder / "profile")
    return Elements(dom), console


@pytest.mark.browser
@NEEDED
@pytest.mark.parametrize("write", [study_page, audit_page])
def test_no_text_of_others_runs_links_or_hides_anything(tmp_path, write):
    names = [f"name {place}" for place in range(len(PAYLOADS))]
    harmless, _ = shown(write, names, tmp_path / "harmless")
    hostile, console = shown(write, PAYLOADS, tmp_path / "hostile")
    assert "data-ran" not in hostile.root
    assert console == []
    assert int(hostile.root["data-touched"]) > 10  # marks of charts told what they are
    assert hostile.kinds == harmless.kinds
    assert not [name for _, *names in hostile.kinds for name in names if name.startswith("on")]
    assert (hostile.n_scripts, hostile.links) == (harmless.n_scripts, harmless.links)
    text = "\n".join(hostile.texts)
    for payload in PAYLOADS[:-1]:  # a page has no place for control characters
        assert payload in text or forms.shown(payload) in text
