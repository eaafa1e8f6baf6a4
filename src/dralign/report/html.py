"""One page for a study: a single HTML file that needs no network."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

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
from dralign.report.page import Chart, Table, write_page
from dralign.report.tables import caution_lines, result_table
from dralign.report.verdict import groups_of, row_name, smallest_gap, verdicts
from dralign.study import TrialRecord
from dralign.study.network import FEWEST_SHOWN
from dralign.study.overview import NONE_KNOWN, Overviews

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
    overviews: Overviews = NONE_KNOWN,
) -> Path:
    """Writes the page: results, trade-off, similarity, learning curves, statistics, provenance.

    Everything is escaped. The tables can be read without JavaScript.

    Args:
        path: the HTML file.
        records: the trials, failed ones too.
        rows: what ``summarise`` made of them.
        comparisons: what ``compare_with_baseline`` made of them.
        title: the heading; empty for the data and the gap.
        overviews: what the data hold, where that is known.

    Returns:
        The path of the file.

    Raises:
        StudyError: if the file can't be written.
    """
    result = panels(rows)
    shown_panels = _panels(result, records, comparisons)
    present = {row.spec.method for row in rows}
    return write_page(
        path,
        "study",
        title=title or _title(result),
        facts=_facts(records, rows),
        charts={each.key: each.figure for panel in shown_panels for _, _, each in panel.charts},
        sentences=verdicts(result),
        cares=caution_lines(rows),
        best=_best(result, records, overviews),
        data=_data(rows, overviews),
        methods={name: method_style(name).colour for name in method_names() if name in present},
        panels=shown_panels,
        results=_results(result, rows),
        every_group=_every_group(result, records, overviews),
        about_groups=_EVERY_GROUP,
        contrasts=contrast_table(comparisons, rows).caption,
        problems=_problems(records),
        settings=_settings(rows),
        environment=_environment(records),
    )


@dataclass(frozen=True)
class _Shown:
    """What is shown of a data set and gap.

    Attributes:
        index: from 0.
        name: data and gap in one line.
        data: what the data are called.
        gap: in words.
        charts: name, what it shows, and chart.
        statistics: the comparisons; None where there are none.
    """

    index: int
    name: str
    data: str
    gap: str
    charts: tuple[tuple[str, str, Chart], ...]
    statistics: Table | None


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


def _panel_name(panel: Panel) -> str:
    """Data and gap in one line."""
    return f"{panel.data} · {gap_type(panel.gap).words}"


def _panels(
    result: Sequence[Panel], records: Sequence[TrialRecord], comparisons: Sequence[Comparison]
) -> list[_Shown]:
    """What is shown of every data set and gap."""
    curves = learning_curves(records, measure=result[0].measure) if result else {}
    found = []
    for index, panel in enumerate(result):
        some = f" Some of {len(panel.rows)} settings, evenly over the weights."
        learning = _LEARNING + (some if len(panel.rows) > MOST_LINES else "")
        figures = (
            ("Trade-off", _TRADEOFF, tradeoff_chart(panel)),
            ("Similarity of the rationales, by layer", _LAYERS, layer_chart(panel)),
            ("Learning curves", learning, learning_chart(panel, curves)),
        )
        name = _panel_name(panel)
        charts = tuple(
            (about, text, Chart(f"chart-{index}-{number}", figure, f"{about}: {name}"))
            for number, (about, text, figure) in enumerate(figures)
        )
        statistics = _statistics(panel, comparisons)
        words = gap_type(panel.gap).words
        found.append(_Shown(index, name, panel.data, words, charts, statistics))
    return found


def _results(result: Sequence[Panel], rows: Sequence[Row]) -> Table:
    """The result table; rows on the front have a class of their own."""
    indices = {row.setting: index for index, panel in enumerate(result) for row in panel.rows}
    marks = [
        {
            "class": "front" if row.non_dominated else "behind",
            "data-method": row.spec.method,
            "data-panel": str(indices[row.setting]),
        }
        for row in rows
    ]
    given = result_table(rows)
    return Table("Results", given.header, given.cells, marks, given.caption)


def _statistics(panel: Panel, comparisons: Sequence[Comparison]) -> Table | None:
    """A table of the comparisons of a data set and gap."""
    keys = {(row.spec.data, row.fingerprint, row.spec.gap) for row in panel.rows}
    own = [one for one in comparisons if (one.first.data, one.fingerprint, one.first.gap) in keys]
    if not own:
        return None
    marks = [{"data-method": one.first.method} for one in own for _ in one.contrasts]
    given = contrast_table(own, panel.rows)
    return Table(f"Statistics: {_panel_name(panel)}", given.header, given.cells, marks)


def _data(rows: Sequence[Row], overviews: Overviews) -> list[tuple[str, Overview]]:
    """What is known of the data of the rows, with a label where these are several."""
    found = {
        (row.spec.data, row.fingerprint): label
        for row, label in zip(rows, data_labels(rows), strict=True)
    }
    return [
        (label if len(found) > 1 else "", overviews[data])
        for data, label in found.items()
        if data in overviews
    ]


def _best(
    result: Sequence[Panel], records: Sequence[TrialRecord], overviews: Overviews
) -> list[Table]:
    """The groups of the test rows under the setting of each verdict, if their names are known."""
    tables = []
    for panel in result:
        row = smallest_gap(panel)
        groups = groups_of([row], records, overviews)[0] if row else []
        if row and groups:
            name = f"The groups at {_place(row, panel, result)}"
            if row.spec.data.weight:
                name += f", rates weighted by {shown(row.spec.data.weight)}, rows counted"
            head = ["group", "test rows", *_GROUP_FIGURES.values()]
            body = [[shown(one["group"]), *_rates(one)] for one in groups]
            tables.append(Table(name, head, body))
    return tables


def _every_group(
    result: Sequence[Panel], records: Sequence[TrialRecord], overviews: Overviews
) -> Table:
    """The groups of the test rows under every setting; no rows where their names are unknown."""
    body: list[list[str]] = []
    marks: list[dict[str, str]] = []
    for index, panel in enumerate(result):
        of_rows = groups_of(panel.rows, records, overviews)
        for row, groups in zip(panel.rows, of_rows, strict=True):
            name = _place(row, panel, result)
            body += [[name, shown(one["group"]), *_rates(one)] for one in groups]
            mark = {"data-method": row.spec.method, "data-panel": str(index)}
            marks += [mark] * len(groups)
    head = ["setting", "group", "test rows", *_GROUP_FIGURES.values()]
    return Table("The groups at every setting", head, body, marks)


def _place(row: Row, panel: Panel, result: Sequence[Panel]) -> str:
    """Of which setting and seed groups are, and of which data and gap where there are several."""
    where = f" ({_panel_name(panel)})" if len(result) > 1 else ""
    return f"{row_name(row, panel)}, seed {row.spec.seed}{where}"


def _rates(group: Mapping[str, Any]) -> list[str]:
    """The cells of a group: its rows and rates; of a small one that it is small."""
    if group["rows"] is None:
        return [f"fewer than {FEWEST_SHOWN}", *["withheld"] * len(_GROUP_FIGURES)]
    cells = [f"{group['rows']:,}", f"{group['positives']:,}"]
    told = {"base_rate": group["positives"] / group["rows"], **group}
    rates = [told[key] for key in list(_GROUP_FIGURES)[1:]]
    return [*cells, *("–" if math.isnan(rate) else f"{rate:.3f}" for rate in rates)]


def _problems(records: Iterable[TrialRecord]) -> dict[str, dict[str, int]]:
    """Failed trials and the warnings of all trials, and how often; what there is of them."""
    failures: dict[str, int] = {}
    warnings: dict[str, int] = {}
    for record in records:
        if record.status == "failed":
            text = f"{record.spec.method}, seed {record.spec.seed}: {record.error}"
            failures[text] = failures.get(text, 0) + 1
        for text in record.warnings:
            warnings[text] = warnings.get(text, 0) + 1
    named = {"Failed trials": failures, "Warnings": warnings}
    return {name: told for name, told in named.items() if told}


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
