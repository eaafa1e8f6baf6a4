"""The frame of a page: a single HTML file that needs no network, and the parts pages are made of.

Parts take and give HTML: what comes from data is escaped by whoever calls them.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any, Final, Literal

from dralign.files import write_atomically
from dralign.forms import shown
from dralign.report.look import style_variables

if TYPE_CHECKING:
    import plotly.graph_objects as go

Kind = Literal["study", "audit", "predictions"]
STYLES: Final[dict[Kind, str]] = {"study": "study", "audit": "audit", "predictions": "audit"}
PANEL_WIDTH: Final = 260  # pixels, at least, of each of several panels beside each other


def write_page(
    path: Path | str,
    kind: Kind,
    *,
    title: str,
    facts: Iterable[tuple[str, str]],
    charts: Mapping[str, "go.Figure"],
    **parts: str,
) -> Path:
    """Writes a page; its tables can be read without JavaScript.

    Args:
        path: the HTML file.
        kind: whose body, ``<kind>.html``, and style sheet it takes.
        title: the heading, as text.
        facts: figures at the top: value and name, as text.
        charts: the figures of the divisions that ``chart`` gave, by key.
        **parts: of the body, as HTML.

    Returns:
        The path of the file.

    Raises:
        StudyError: if the file can't be written.
    """
    from plotly.offline import get_plotlyjs

    page = Template(_piece("page.html")).substitute(
        title=escape(title),
        date=datetime.now().astimezone().date().isoformat(),
        style=style_variables() + _piece("page.css") + _piece(f"{STYLES[kind]}.css"),
        facts="".join(
            f"<div><strong>{escape(value)}</strong><span>{escape(name)}</span></div>"
            for value, name in facts
        ),
        body=Template(_piece(f"{kind}.html")).substitute(parts),
        plotly=get_plotlyjs() if charts else "",
        charts=_in_script({key: _drawable(figure) for key, figure in charts.items()}),
        script=_piece("page.js"),
    )
    return write_atomically(path, lambda file: file.write_text(page, encoding="utf-8"))


def chart(key: str, figure: "go.Figure", label: str) -> str:
    """The division that a chart is drawn in, as high as the chart.

    Several panels beside each other, and buttons, stay legible: a narrow window scrolls them.

    Args:
        key: the name of the chart in this page.
        figure: the chart.
        label: what it shows, as text, for those who don't see it.
    """
    starts = {axis.domain[0] for axis in figure.select_xaxes() if axis.domain}
    panels = 2 if figure.layout.updatemenus else len(starts)  # buttons take as much room as two
    wide = PANEL_WIDTH * panels if panels > 1 else 0
    drawn = (
        f'<div class="chart" id="{key}" role="figure" aria-label="{escape(label)}" '
        f'style="height:{figure.layout.height}px;min-width:{wide}px"></div>'
    )
    named = f'tabindex="0" role="region" aria-label="{escape(label)}"'
    return f'<div class="pan" {named}>{drawn}</div>' if wide else drawn


def table(
    head: Iterable[str],
    body: Iterable[Iterable[str]],
    *,
    marks: Iterable[str] | None = None,
) -> str:
    """A table.

    Args:
        head: the cells above.
        body: the rows of cells.
        marks: the attributes of each row; None for none.
    """
    top = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    rows = ["".join(f"<td>{cell}</td>" for cell in cells) for cells in body]
    given = [""] * len(rows) if marks is None else [f" {mark}" if mark else "" for mark in marks]
    lines = "".join(f"<tr{mark}>{row}</tr>" for mark, row in zip(given, rows, strict=True))
    return f"<table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table>"


def scrolled(content: str, label: str) -> str:
    """Something wide in a frame that scrolls, by keys too; ``label`` says what it is, as text."""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label)}">'
        f"{content}</div>"
    )


def folded(name: str, content: str) -> str:
    """Content behind a line that opens it; on paper it is open. The name is text."""
    return f"<details><summary>{escape(name)}</summary>{content}</details>" if content else ""


def overview_section(lines: Sequence[str], findings: Sequence[str] = ()) -> str:
    """What is known of the data, as text: lines, and doubts below them."""
    told = listed([escape(shown(line)) for line in lines], "findings")
    doubts = listed([f"Look at: {escape(shown(line))}" for line in findings], "findings doubts")
    return f"<section><h2>The data</h2>{told}{doubts}</section>" if told else ""


def listed(sentences: Sequence[str], kind: str = "") -> str:
    """Sentences, as HTML, in a list of a class; nothing if there is none."""
    items = "".join(f"<li>{text}</li>" for text in sentences)
    return f'<ul class="{kind}">{items}</ul>' if items else ""


def definitions(entries: Mapping[str, str]) -> str:
    """Names and values, as text."""
    items = (
        f"<div><dt>{escape(shown(k))}</dt><dd>{escape(shown(v))}</dd></div>"
        for k, v in entries.items()
    )
    return f"<dl>{''.join(items)}</dl>"


def _piece(name: str) -> str:
    """A file of the frame, which lies beside this module."""
    return resources.files("dralign.report").joinpath(name).read_text(encoding="utf-8")


def _drawable(figure: "go.Figure") -> dict[str, Any]:
    """A chart as plotly reads it, without the template that has no say in it."""
    form: dict[str, Any] = json.loads(figure.to_json())
    form["layout"].pop("template", None)
    return form


def _in_script(charts: Mapping[str, Any]) -> str:
    """The charts as JSON that can't end the script element it stands in."""
    return json.dumps(charts, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
