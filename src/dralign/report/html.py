"""One page for a study: a single HTML file that needs no network."""

from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from dralign.report.charts import layer_chart, learning_chart, tradeoff_chart
from dralign.report.files import write_atomically
from dralign.report.labels import (
    GAP_LABELS,
    data_labels,
    panels,
    selection_text,
    setting_text,
    varying_settings,
)
from dralign.report.tables import result_table
from dralign.study import Row, TrialRecord, learning_curves

if TYPE_CHECKING:
    import plotly.graph_objects as go

_TRADEOFF = (
    "Right is better average precision, down is a smaller gap. Bars are 95 % t-intervals over "
    "seeds. Point at a mark for its settings; click a name to hide it."
)
_LEARNING = "Means over seeds on the validation split, after each epoch."
_LAYERS = (
    "Cosine similarity of the groups' rationales on the validation split, at the chosen epoch. A "
    "longer bar means that the groups' decisions rest on more similar parts of the network."
)


def write_report(
    path: Path | str,
    records: Sequence[TrialRecord],
    rows: Sequence[Row],
    *,
    title: str = "Study report",
) -> Path:
    """Writes the page: trade-off, result table, learning curves, similarity, provenance.

    Everything that comes from data or settings is escaped. The table can be read without
    JavaScript.

    Args:
        path: the HTML file.
        records: the trials, failed ones too.
        rows: what ``summarise`` made of them.
        title: the heading.

    Returns:
        The path of the file.

    Raises:
        StudyError: if the file can't be written.
    """
    from plotly.offline import get_plotlyjs

    pieces = {name: _piece(name) for name in ("page.html", "page.css", "page.js")}
    page = Template(pieces["page.html"]).substitute(
        title=escape(title),
        style=pieces["page.css"],
        script=pieces["page.js"],
        plotly=get_plotlyjs() if rows else "",
        facts=_facts(records, rows),
        panels=_panels(records, rows),
        table=_table(rows),
        problems=_problems(records),
        settings=_definitions(_settings(rows)),
        environment=_definitions(_environment(records)),
    )
    return write_atomically(path, lambda file: file.write_text(page, encoding="utf-8"))


def _piece(name: str) -> str:
    """A file of the page's frame, which lies beside this module."""
    return resources.files("dralign.report").joinpath(name).read_text(encoding="utf-8")


def _facts(records: Sequence[TrialRecord], rows: Sequence[Row]) -> str:
    """The figures at the top of the page."""
    done = [record for record in records if record.status == "done"]
    facts = [
        (str(len(done)), "trials done"),
        (str(len(records) - len(done)), "failed"),
        (str(len(rows)), "settings"),
        (str(len({record.spec.seed for record in done})), "seeds"),
        (f"{sum(record.seconds for record in done) / 60:.1f} min", "of computing"),
    ]
    return "".join(
        f"<div><strong>{escape(value)}</strong><span>{escape(name)}</span></div>"
        for value, name in facts
    )


def _panels(records: Sequence[TrialRecord], rows: Sequence[Row]) -> str:
    """The charts of every data set and gap."""
    curves = learning_curves(records)
    parts = []
    for place, panel in enumerate(panels(rows)):
        charts = (
            ("Trade-off", _TRADEOFF, tradeoff_chart(panel)),
            ("Learning curves", _LEARNING, learning_chart(panel, curves)),
            ("Similarity of the rationales, by layer", _LAYERS, layer_chart(panel)),
        )
        figures = "".join(
            f"<section><h3>{name}</h3><p>{text}</p>{_chart(chart, f'chart-{place}-{number}')}"
            "</section>"
            for number, (name, text, chart) in enumerate(charts)
        )
        head = f"<h2>{escape(panel.data)}<span>gap: {escape(GAP_LABELS[panel.gap])}</span></h2>"
        parts.append(head + figures)
    return "".join(parts)


def _chart(figure: "go.Figure", name: str) -> str:
    """A chart as a division that draws itself; the library is in the page's head."""
    config = {
        "displaylogo": False,
        "responsive": True,
        "modeBarButtons": [["toImage", "resetScale2d"]],
    }
    return str(
        figure.to_html(
            full_html=False,
            include_plotlyjs=False,
            include_mathjax=False,
            div_id=name,
            config=config,
        )
    )


def _table(rows: Sequence[Row]) -> str:
    """The result table; rows on the front have a class of their own."""
    table = result_table(rows)
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.header)
    body = "".join(
        f'<tr class="{"front" if row.non_dominated else "behind"}">'
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        + "</tr>"
        for row, cells in zip(rows, table.cells, strict=True)
    )
    return (
        f"<table><caption>{escape(table.caption)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _problems(records: Iterable[TrialRecord]) -> str:
    """Failed trials and the warnings of all trials, if there are any."""
    failures: dict[str, int] = {}
    warnings: dict[str, int] = {}
    for record in records:
        if record.status == "failed":
            text = f"{record.spec.method}, seed {record.spec.seed}: {record.error}"
            failures[text] = failures.get(text, 0) + 1
        for text in record.warnings:
            warnings[text] = warnings.get(text, 0) + 1
    parts = [
        f"<h3>{name}</h3><ul>"
        + "".join(f"<li>{escape(text)} <span>({n}×)</span></li>" for text, n in found.items())
        + "</ul>"
        for name, found in (("Failed trials", failures), ("Warnings", warnings))
        if found
    ]
    return f"<section>{''.join(parts)}</section>" if parts else ""


def _settings(rows: Sequence[Row]) -> dict[str, str]:
    """What all rows share, and how their figures were made."""
    if not rows:
        return {}
    specs = [row.spec for row in rows]
    varying = {*varying_settings(specs), "data", "method", "gap", "seed"}
    varying |= {"fairness_weight", "alignment_weight"}
    shared = {
        name.replace("_", " "): setting_text(value)
        for name, value in specs[0].to_dict().items()
        if name not in varying
    }
    seeds = sorted({seed for row in rows for seed in row.seeds})
    versions = sorted(
        {(label, row.fingerprint) for label, row in zip(data_labels(rows), rows, strict=True)}
    )
    return {
        "selection rule": selection_text(rows),
        "interval": "95 % t-interval over seeds",
        "seeds": ", ".join(map(str, seeds)),
        "data": "; ".join(f"{label} (SHA-256 {mark[:12]})" for label, mark in versions),
        **shared,
    }


def _environment(records: Sequence[TrialRecord]) -> dict[str, str]:
    """Versions and machine; several values where trials differ."""
    found: dict[str, dict[str, None]] = {}
    for record in records:
        for name, value in record.environment.items():
            found.setdefault(name, {})[value] = None
    return {name: ", ".join(values) for name, values in found.items()}


def _definitions(entries: dict[str, str]) -> str:
    """A list of names and values."""
    items = (f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in entries.items())
    return f"<dl>{''.join(items)}</dl>"
