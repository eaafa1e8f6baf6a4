"""One page for a study: a single HTML file that needs no network."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dralign.analysis import Comparison, Row, learning_curves
from dralign.data.source import Overview
from dralign.forms import shown
from dralign.gaps import gap_type
from dralign.methods import method_names
from dralign.metrics import gap_measure
from dralign.report.charts import MOST_LINES, layer_chart, learning_chart, tradeoff_chart
from dralign.report.contrasts import contrast_table
from dralign.report.labels import (
    OWN_PLACE,
    Panel,
    data_labels,
    method_style,
    panels,
    selection_text,
    setting_text,
    varying_settings,
)
from dralign.report.page import (
    chart,
    definitions,
    folded,
    listed,
    overview_section,
    scrolled,
    table,
    write_page,
)
from dralign.report.tables import ResultTable, caution_lines, result_table
from dralign.report.verdict import groups_of, row_name, smallest_gap, verdicts
from dralign.study import TrialRecord
from dralign.study.network import FEWEST_SHOWN

if TYPE_CHECKING:
    import plotly.graph_objects as go

_TRADEOFF = (
    "Right is better average precision, down is a smaller gap. Lines join a method's weights, bars "
    "are 95 % t-intervals over seeds; where they rest on few seeds they may leave the frame. Point "
    "at a mark for its settings; click a name to hide it. The buttons change the measure of the "
    "gap."
)
MOST_IN_TITLE: Final = 3
_GROUP_FIGURES: Final = {
    "positives": "positive",
    "base_rate": "base rate",
    "mean_score": "mean score",
    "selection_rate": "selected",
    "true_positive_rate": "true positive rate",
    "false_positive_rate": "false positive rate",
}
_BATCH: Final = "that of the data, else 500 rows of each group or cell"
_STATISTICS: Final = "Differences between methods, with intervals and p-values"
_LEARNING = (
    "Means over seeds on the validation split, after each epoch: a line for each method and "
    "weight, fainter where the weights are smaller."
)
_LAYERS = (
    "Cosine similarity of the groups' rationales per unit on the validation split, at the "
    "chosen epoch. Higher means that the groups' decisions rest on more similar parts of the "
    "network. Layers have their names in the network, as in an audit and for --layers."
)
_EVERY_GROUP = (
    "The test rows of each group under the first seed of each setting, at its chosen epoch; "
    "decisions at 0.5, or by the method's own thresholds."
)


def write_report(
    path: Path | str,
    records: Sequence[TrialRecord],
    rows: Sequence[Row],
    *,
    comparisons: Sequence[Comparison] = (),
    title: str = "",
    overview: Overview | None = None,
) -> Path:
    """Writes the page: results, trade-off, similarity, learning curves, statistics, provenance.

    Everything that comes from data or settings is escaped. The tables can be read without
    JavaScript.

    Args:
        path: the HTML file.
        records: the trials, failed ones too.
        rows: what ``summarise`` made of them.
        comparisons: what ``compare_with_baseline`` made of them.
        title: the heading; empty for the data and the gap.
        overview: what the data hold, where that is known.

    Returns:
        The path of the file.

    Raises:
        StudyError: if the file can't be written.
    """
    result = panels(rows)
    sections, charts = _panels(result, records)
    return write_page(
        path,
        "study",
        title=title or _title(result),
        facts=_facts(records, rows),
        charts=charts,
        filters=_filters(result),
        panels=sections,
        table=_result_table(result, rows) + _every_group(result, records, overview),
        statistics=folded(_STATISTICS, _statistics(result, comparisons, rows)),
        summary=_summary(result, rows) + _best(result, records, overview),
        data=overview_section(overview.lines, overview.findings) if overview else "",
        problems=_problems(records),
        settings=definitions(_settings(rows)),
        environment=definitions(_environment(records)),
    )


def _title(result: Sequence[Panel]) -> str:
    """The data and the gap, of each of a few panels."""
    if not 0 < len(result) <= MOST_IN_TITLE:
        return f"Study of {len(result)} data sets and gaps" if result else "Study"
    return "; ".join(map(_panel_name, result))


def _facts(records: Sequence[TrialRecord], rows: Sequence[Row]) -> list[tuple[str, str]]:
    """The figures at the top of the page."""
    done = [record for record in records if record.status == "done"]
    return [
        (str(len(done)), "trials done"),
        (str(len(records) - len(done)), "failed"),
        (str(len(rows)), "settings"),
        (str(len({record.spec.seed for record in done})), "seeds"),
        (f"{sum(record.seconds for record in done) / 60:.1f} min", "of computing"),
    ]


def _filters(result: Sequence[Panel]) -> str:
    """A box for each method, and a choice of data and gap where there are several."""
    present = {row.spec.method for panel in result for row in panel.rows}
    methods = [name for name in method_names() if name in present]
    if not methods:
        return ""
    boxes = "".join(
        f'<label><input type="checkbox" value="{name}" checked>'
        f'<span style="background:{method_style(name).colour}"></span>{name}</label>'
        for name in methods
    )
    choice = ""
    if len(result) > 1:
        entries = "".join(
            f'<option value="{index}">{escape(_panel_name(panel))}</option>'
            for index, panel in enumerate(result)
        )
        choice = (
            '<label>Data and gap <select id="panel"><option value="">all</option>'
            f"{entries}</select></label>"
        )
    return f'<form id="filters"><fieldset><legend>Show</legend>{boxes}{choice}</fieldset></form>'


def _panel_name(panel: Panel) -> str:
    """Data and gap in one line."""
    return f"{panel.data} · {gap_type(panel.gap).words}"


def _panels(
    result: Sequence[Panel], records: Sequence[TrialRecord]
) -> tuple[str, dict[str, "go.Figure"]]:
    """The sections of every data set and gap, and the charts in them by key."""
    parts: list[str] = []
    charts: dict[str, go.Figure] = {}
    curves = learning_curves(records, measure=result[0].measure) if result else {}
    for index, panel in enumerate(result):
        some = f" Some of {len(panel.rows)} settings, evenly over the weights."
        learning = _LEARNING + (some if len(panel.rows) > MOST_LINES else "")
        figures = ""
        for number, (name, text, figure) in enumerate(
            (
                ("Trade-off", _TRADEOFF, tradeoff_chart(panel)),
                (
                    "Similarity of the rationales, by layer",
                    _LAYERS,
                    layer_chart(panel),
                ),
                ("Learning curves", learning, learning_chart(panel, curves)),
            )
        ):
            key = f"chart-{index}-{number}"
            charts[key] = figure
            division = chart(key, figure, f"{name}: {_panel_name(panel)}")
            figures += f"<section><h3>{name}</h3><p>{text}</p>{division}</section>"
        parts.append(
            f'<div data-panel="{index}"><h2>{escape(panel.data)}'
            f"<span>gap: {escape(gap_type(panel.gap).words)}</span></h2>{figures}</div>"
        )
    return "".join(parts), charts


def _result_table(result: Sequence[Panel], rows: Sequence[Row]) -> str:
    """The result table; rows on the front have a class of their own."""
    indices = {row.setting: index for index, panel in enumerate(result) for row in panel.rows}
    marks = [
        f'class="{"front" if row.non_dominated else "behind"}" data-method="{row.spec.method}" '
        f'data-panel="{indices[row.setting]}"'
        for row in rows
    ]
    return _table(result_table(rows), marks, "Results")


def _statistics(
    result: Sequence[Panel], comparisons: Sequence[Comparison], rows: Sequence[Row]
) -> str:
    """A table of the comparisons for each data set and gap, what they are above them."""
    parts = [f"<p>{escape(contrast_table(comparisons, rows).caption)}</p>"]
    for index, panel in enumerate(result):
        keys = {(row.spec.data, row.fingerprint, row.spec.gap) for row in panel.rows}
        own = [
            one for one in comparisons if (one.first.data, one.fingerprint, one.first.gap) in keys
        ]
        if own:
            name = _panel_name(panel)
            marks = [f'data-method="{one.first.method}"' for one in own for _ in one.contrasts]
            given = replace(contrast_table(own, panel.rows), caption="")
            cells = _table(given, marks, f"Statistics: {name}")
            parts.append(f'<div data-panel="{index}"><h3>{escape(name)}</h3>{cells}</div>')
    return "".join(parts)


def _table(given: ResultTable, marks: Sequence[str], label: str) -> str:
    """A table of texts with the attributes of its rows, in a frame that scrolls, and its caption.

    The caption is below the frame: within, a narrow window would cut it off.
    """
    head, body = map(escape, given.header), (map(escape, cells) for cells in given.cells)
    below = f'<p class="caption">{escape(given.caption)}</p>' if given.caption else ""
    return scrolled(table(head, body, marks=marks), label) + below


def _summary(result: Sequence[Panel], rows: Sequence[Row]) -> str:
    """The result in a sentence, and what must be known to read the figures."""
    sentences, cares = verdicts(result), caution_lines(rows)
    parts = [f"<p>{escape(text)}</p>" for text in sentences]
    if cares:
        parts += ["<h3>Read with care</h3>", listed([escape(line) for line in cares])]
    return f"<section><h2>In short</h2>{''.join(parts)}</section>" if parts else ""


def _best(
    result: Sequence[Panel], records: Sequence[TrialRecord], overview: Overview | None
) -> str:
    """The groups of the test rows under the setting of each verdict, if their names are known."""
    parts = []
    for panel in result:
        row = smallest_gap(panel)
        groups = groups_of([row], records, overview.groups)[0] if row and overview else []
        if row and groups:
            head = ["group", "test rows", *_GROUP_FIGURES.values()]
            body = [[escape(shown(one["group"])), *_rates(one)] for one in groups]
            name = f"The groups at {row_name(row, panel)}, seed {row.spec.seed}"
            if row.spec.data.weight:
                name += f", rates weighted by {shown(row.spec.data.weight)}, rows counted"
            cells = scrolled(table(head, body), name)
            parts.append(f"<section><h2>{escape(name)}</h2>{cells}</section>")
    return "".join(parts)


def _every_group(
    result: Sequence[Panel], records: Sequence[TrialRecord], overview: Overview | None
) -> str:
    """The groups of the test rows under every setting, folded; if their names are known."""
    names = overview.groups if overview else ()
    body: list[list[str]] = []
    marks: list[str] = []
    for index, panel in enumerate(result if names else ()):
        of_rows = groups_of(panel.rows, records, names)
        for row, groups in zip(panel.rows, of_rows, strict=True):
            name = escape(f"{row_name(row, panel)}, seed {row.spec.seed}")
            body += [[name, escape(shown(one["group"])), *_rates(one)] for one in groups]
            mark = f'data-method="{row.spec.method}" data-panel="{index}"'
            marks += [mark] * len(groups)
    if not body:
        return ""
    name = "The groups at every setting"
    head = ["setting", "group", "test rows", *_GROUP_FIGURES.values()]
    cells = scrolled(table(head, body, marks=marks), name)
    return folded(name, f"<p>{_EVERY_GROUP}</p>{cells}")


def _rates(group: Mapping[str, Any]) -> list[str]:
    """The cells of a group: its rows and rates; of a small one that it is small."""
    if group["rows"] is None:
        return [f"fewer than {FEWEST_SHOWN}", *["withheld"] * len(_GROUP_FIGURES)]
    cells = [f"{group['rows']:,}", f"{group['positives']:,}"]
    told = {"base_rate": group["positives"] / group["rows"], **group}
    rates = [told[key] for key in list(_GROUP_FIGURES)[1:]]
    return [*cells, *("–" if math.isnan(rate) else f"{rate:.3f}" for rate in rates)]


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
        f"<h3>{name}</h3>"
        + listed([f"{escape(shown(text))} <span>({n}×)</span>" for text, n in result.items()])
        for name, result in (("Failed trials", failures), ("Warnings", warnings))
        if result
    ]
    return f"<section>{''.join(parts)}</section>" if parts else ""


def _settings(rows: Sequence[Row]) -> dict[str, str]:
    """What all rows share, and how their figures were made."""
    if not rows:
        return {}
    specs = [row.spec for row in rows]
    varying = {*varying_settings(specs), *OWN_PLACE}
    shared = {
        name.replace("_", " "): _BATCH
        if name == "batch_size" and not value
        else setting_text(value)
        for spec in specs
        for name, value in spec.values
        if name not in varying and (value is not None or name == "batch_size")
    }
    seeds = sorted({seed for row in rows for seed in row.seeds})
    versions = sorted(
        {(label, row.fingerprint) for label, row in zip(data_labels(rows), rows, strict=True)}
    )
    return {
        "selection rule": selection_text(rows),
        "interval": "95 % t-interval over seeds",
        "measure of the gap": gap_measure(rows[0].measure).words,
        "seeds": ", ".join(map(str, seeds)),
        "data": "; ".join(f"{label} (SHA-256 {mark[:12]})" for label, mark in versions),
        **shared,
    }


def _environment(records: Sequence[TrialRecord]) -> dict[str, str]:
    """Versions and machine; several values where trials differ."""
    result: dict[str, dict[str, None]] = {}
    for record in records:
        for name, value in record.environment.items():
            result.setdefault(name, {})[value] = None
    return {name: ", ".join(values) for name, values in result.items()}
