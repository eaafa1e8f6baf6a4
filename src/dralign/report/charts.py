"""The interactive charts of a page, as plotly figures."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dralign.analysis import Curve, Interval, Row, Setting
from dralign.forms import shown
from dralign.metrics import all_measures, gap_measure, gap_measure_names
from dralign.report.labels import (
    EQUAL,
    LEAST_SPAN,
    Panel,
    axis_range,
    chart_text,
    curve_label,
    method_style,
    setting_text,
    tells,
    weight_text,
)
from dralign.report.look import BELOW, FAINT, GRID, LAYOUT, SOFT, TEXT, faint
from dralign.report.tables import format_interval

if TYPE_CHECKING:
    import plotly.graph_objects as go

_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
_BELOW = 10
MOST_LINES = 60  # of learning curves; more can't be told apart
_COLUMNS = 4
_FIGURES = ("average_precision", "gap", "similarity")


def tradeoff_chart(panel: Panel) -> "go.Figure":
    """Average precision against the gap: a curve for each method, bars, hover, front.

    A menu changes the measure of the gap.
    """
    import plotly.graph_objects as go

    figure, lines = go.Figure(), _lines(panel)
    names = _in_menu(panel)
    x, y = _front(panel, names[0])
    figure.add_scatter(
        x=x,
        y=y,
        mode="lines",
        line={"color": faint(FAINT), "width": 8, "shape": "vh"},
        name="non-dominated",
        hoverinfo="skip",
    )
    for label, rows, line in lines:
        style = method_style(rows[0].spec.method)
        figure.add_scatter(
            x=_means([row.average_precision for row in rows]),
            y=_means([row.gap for row in rows]),
            error_x=_bars([row.average_precision for row in rows], style.colour),
            error_y=_bars([row.gap for row in rows], style.colour),
            mode="lines+markers+text" if len(rows) > 1 else "markers",
            text=panel.point_labels(rows),
            textposition=style.label_side,
            textfont={"size": 11, "color": TEXT},
            marker={"symbol": style.symbol, "size": 11, "line": {"width": 1, "color": "white"}},
            line=line,
            name=chart_text(label),
            meta=rows[0].spec.method,
            hovertext=[_hover(row, panel.varying) for row in rows],
            hoverinfo="text",
        )
    figure.add_annotation(
        text="better",
        showarrow=True,
        x=0.99,
        y=0.02,
        xref="paper",
        yref="paper",
        ax=-52,
        ay=-38,
        arrowhead=2,
        arrowsize=1.3,
        arrowwidth=1.5,
        arrowcolor=SOFT,
        font={"color": SOFT},
    )
    precision = axis_range([row.average_precision for row in panel.rows], least=LEAST_SPAN)
    figure.update_xaxes(title="average precision (test)", range=precision, **GRID)
    figure.update_yaxes(**_gap_axis(panel, names[0]), **GRID)
    if len(names) > 1:
        figure.update_layout(updatemenus=[_menu(panel, names, lines)])
    return _look(figure, height=540, entries=len(figure.data), above=32 if len(names) > 1 else 0)


def _menu(
    panel: Panel, names: Sequence[str], lines: Sequence[tuple[str, list[Row], dict[str, Any]]]
) -> dict[str, Any]:
    """Buttons that change the measure of the gap: points, bars, front and axis."""
    buttons = []
    for name in names:
        x, y = _front(panel, name)
        curves = [[row.figures[name] for row in rows] for _, rows, _ in lines]
        precisions = [
            _means([row.average_precision for row in rows], digits=4) for _, rows, _ in lines
        ]
        traces = {
            "x": [x, *precisions],
            "y": [y, *(_means(intervals, digits=4) for intervals in curves)],
            "error_y.array": [None, *(_widths(intervals) for intervals in curves)],
        }
        axis = {f"yaxis.{key}": value for key, value in _gap_axis(panel, name).items()}
        axis["yaxis.title.text"] = axis.pop("yaxis.title")
        buttons.append(
            {"method": "update", "label": gap_measure(name).words, "args": [traces, axis]}
        )
    return {
        "type": "buttons",
        "direction": "right",
        "buttons": buttons,
        "x": 0,
        "xanchor": "left",
        "y": 1.02,
        "yanchor": "bottom",
        "showactive": True,
        "pad": {"t": 0, "b": 4, "l": 0, "r": 0},
        "font": {"size": 11},
    }


def _front(panel: Panel, measure: str) -> tuple[list[float], list[float]]:
    """The front in a measure of the gap, as coordinates."""
    points = panel.front(measure)
    return [x for x, _ in points], [y for _, y in points]


def _gap_axis(panel: Panel, measure: str) -> dict[str, Any]:
    """Title and range of the axis of the gap."""
    return {
        "title": f"{panel.axis(measure)} (test)",
        "range": axis_range([row.figures[measure] for row in panel.rows], least=LEAST_SPAN),
    }


def _in_menu(panel: Panel) -> list[str]:
    """The measures of the gap that are defined here, first the one by which rows are judged."""
    names = (panel.measure, *gap_measure_names())
    return [
        name
        for name in dict.fromkeys(names)
        if name == panel.measure or any(row.figures[name].n for row in panel.rows)
    ]


def learning_chart(panel: Panel, curves: dict[Setting, Curve]) -> "go.Figure":
    """Validation figures by epoch, a line for each setting: its mean over seeds.

    Of more than ``MOST_LINES`` settings each curve shows some, evenly over its weights.
    """
    from plotly.subplots import make_subplots

    titles = ("average precision", panel.axis(panel.measure), "similarity, total")
    figure = make_subplots(rows=1, cols=3, subplot_titles=titles, horizontal_spacing=0.06)
    lines = _lines(panel)
    for label, every, line in lines:
        rows = _spread(every, MOST_LINES // len(lines)) if len(panel.rows) > MOST_LINES else every
        for index, row in enumerate(rows):
            name = _setting_label(row, panel.varying)
            width = f" ± %{{customdata}} (n={row.n})" if row.n > 1 else " (n=1)"
            for column, key in enumerate(_FIGURES, start=1):
                intervals = getattr(curves[row.setting], key)
                figure.add_scatter(
                    row=1,
                    col=column,
                    y=_means(intervals, digits=4),  # its places are the epochs
                    mode="lines",
                    line=line,
                    opacity=0.35 + 0.65 * (index + 1) / len(rows),
                    name=chart_text(label),
                    legendgroup=label,
                    showlegend=column == 1 and index == len(rows) - 1,
                    meta=row.spec.method,
                    customdata=[_finite(one.half_width, digits=2) for one in intervals]
                    if row.n > 1
                    else None,
                    hovertemplate=f"<b>{name}</b><br>epoch %{{x}}: %{{y:.3f}}{width}"
                    "<extra></extra>",
                )
    figure.update_xaxes(title={"text": "epoch", "standoff": 2}, **GRID)
    figure.update_yaxes(**GRID)
    for column, key in enumerate(_FIGURES[:2], start=1):  # small differences should look small
        own = [one for row in panel.rows for one in getattr(curves[row.setting], key)]
        means = [Interval(one.mean, math.nan, one.n) for one in own]
        figure.update_yaxes(range=axis_range(means, least=LEAST_SPAN), row=1, col=column)
    return _look(figure, height=420, entries=len(panel.curves()))


def layer_chart(panel: Panel) -> "go.Figure":
    """Similarity of the rationales against lambda, a field for each layer and one for all.

    A layer in which it is 1 for all rows, as it always is with one unit, has no field.
    """
    from plotly.subplots import make_subplots

    every = list(dict.fromkeys(name for row in panel.rows for name, _ in row.layer_similarity))
    layers = [name for name in every if not _always_one(panel, name)]
    titles = [chart_text(f"layer {shown(name)}") for name in layers]
    alike = chart_text(shown(", ".join(name for name in every if name not in layers)))
    total = f"all layers, added up{f' (layer {alike}: always 1)' if alike else ''}"
    n_rows = -(-(len(layers) + 1) // _COLUMNS)
    height = 110 + 250 * n_rows
    figure = make_subplots(
        rows=n_rows,
        cols=min(_COLUMNS, len(layers) + 1),
        subplot_titles=[*titles, total],
        horizontal_spacing=0.05,
        vertical_spacing=70 / height,
    )
    for label, rows, line in _lines(panel):
        for field in range(len(layers) + 1):
            figure.add_scatter(
                row=field // _COLUMNS + 1,
                col=field % _COLUMNS + 1,
                line=line,
                name=chart_text(label),
                legendgroup=label,
                showlegend=field == len(layers),
                **_similarity_line(panel, rows, layers[field] if field < len(layers) else None),
            )
    of_layers = axis_range(
        [one for row in panel.rows for name, one in row.layer_similarity if name in layers]
    )
    figure.update_xaxes(title={"text": "λ", "standoff": 2}, **GRID)
    figure.update_yaxes(range=of_layers, **GRID)  # the same for all, so that layers compare
    figure.update_yaxes(
        range=axis_range([row.similarity for row in panel.rows]),
        row=len(layers) // _COLUMNS + 1,
        col=len(layers) % _COLUMNS + 1,
    )
    return _look(figure, height=height, entries=len(panel.curves()))


def _always_one(panel: Panel, layer: str) -> bool:
    """Whether the similarity of a layer is 1 in all rows that have it."""
    means = [dict(row.layer_similarity)[layer].mean for row in panel.rows
             if layer in dict(row.layer_similarity)]  # fmt: skip
    return all(abs(mean - 1) < EQUAL for mean in means)


def _similarity_line(panel: Panel, rows: Sequence[Row], layer: str | None) -> dict[str, Any]:
    """A curve's similarity in one layer, or in all added up (None), against lambda."""
    style = method_style(rows[0].spec.method)
    result = [
        row.similarity if layer is None else dict(row.layer_similarity).get(layer, Interval.of([]))
        for row in rows
    ]
    return {
        "x": [row.spec.fairness_weight for row in rows],
        "y": _means(result),
        "error_y": _bars(result, style.colour),
        "mode": "lines+markers",
        "marker": {"symbol": style.symbol, "size": 8},
        "meta": rows[0].spec.method,
        "hovertext": [
            f"<b>{_setting_label(row, panel.varying)}</b><br>{format_interval(one)}"
            for row, one in zip(rows, result, strict=True)
        ],
        "hoverinfo": "text",
    }


def _lines(panel: Panel) -> list[tuple[str, list[Row], dict[str, Any]]]:
    """Label, rows and line of each curve; curves of one method differ in their dashes."""
    variants: dict[str, int] = {}
    result = []
    for label, rows in panel.curves().items():
        method = rows[0].spec.method
        variant = variants[method] = variants.get(method, -1) + 1
        dash = _DASHES[variant % len(_DASHES)]
        line = {"color": method_style(method).colour, "width": 2, "dash": dash}
        result.append((label, rows, line))
    return result


def _setting_label(row: Row, varying: Sequence[str]) -> str:
    """A method with its weights, and the settings that tell it apart."""
    label = f"{curve_label(row.spec, varying)}  {weight_text(row.spec)}".strip()
    return chart_text(label)


def _hover(row: Row, varying: Sequence[str]) -> str:
    """Everything about a point."""
    settings = [
        ("fairness weight λ", f"{row.spec.fairness_weight:g}"),
        ("alignment weight β", f"{row.spec.alignment_weight:g}"),
        *(
            (name.replace("_", " "), setting_text(getattr(row.spec, name)))
            for name in varying
            if tells(row.spec, name)
        ),
        ("seeds", ", ".join(map(str, row.seeds))),
        *(
            (one.words, format_interval(row.figures[one.name], n=row.n))
            for one in all_measures()
            if one.column
        ),
        ("similarity", format_interval(row.similarity, n=row.n)),
        ("training seconds", format_interval(row.seconds, digits=1, n=row.n)),
    ]
    lines = [f"{chart_text(name)}: {chart_text(value)}" for name, value in settings]
    return "<br>".join([f"<b>{chart_text(row.spec.method)}</b>", *lines])


def _look(figure: "go.Figure", *, height: int, entries: int, above: int = 0) -> "go.Figure":
    """The common look of all charts; a legend of many entries scrolls at the side."""
    figure.update_annotations(font={"size": 13})
    figure.update_layout(
        height=height,
        margin={"l": 72, "r": 36, "t": 28 + above, "b": 96 if entries <= _BELOW else 56},
        legend={"traceorder": "normal", **(BELOW if entries <= _BELOW else {})},
        **LAYOUT,
    )
    return figure


def _means(intervals: Sequence[Interval], digits: int = 5) -> list[float | None]:
    """The means, with a hole where there is none."""
    return [_finite(interval.mean, digits) for interval in intervals]


def _spread(rows: Sequence[Row], most: int) -> Sequence[Row]:
    """At most so many of the rows (one at least), evenly, with the first and the last."""
    if len(rows) <= most:
        return rows
    step = (len(rows) - 1) / max(1, most - 1)
    return [rows[round(index * step)] for index in range(max(1, most))]


def _bars(intervals: Sequence[Interval], colour: str) -> dict[str, Any]:
    """Interval bars, fainter than the marks; a single seed has none."""
    return {
        "type": "data",
        "array": _widths(intervals),
        "thickness": 1,
        "width": 3,
        "color": faint(colour),
    }


def _widths(intervals: Sequence[Interval]) -> list[float | None]:
    """The half-widths, with a hole where there is none."""
    return [_finite(interval.half_width, digits=2) for interval in intervals]


def _finite(value: float, digits: int = 6) -> float | None:
    """The value, short enough for a page that holds many; JSON has no NaN."""
    return None if math.isnan(value) else float(f"{value:.{digits}g}")
