"""The interactive charts of a page, as plotly figures."""

import html
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dralign.report.labels import (
    GAP_LABELS,
    Panel,
    curve_label,
    method_style,
    setting_text,
    weight_text,
)
from dralign.report.tables import format_interval
from dralign.study import Curve, Interval, Row, Setting

if TYPE_CHECKING:
    import plotly.graph_objects as go

_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
_BELOW = 10
_GREY = "#6b7280"
_LAYER_COLOURS = ("#1e3a8a", "#2563eb", "#93c5fd", "#0f766e", "#2dd4bf", "#a7f3d0")
_GRID = {"gridcolor": "#eceff3", "zeroline": False, "linecolor": "#9ca3af", "ticks": "outside"}
_FIGURES = ("average_precision", "soft_gap", "similarity")


def tradeoff_chart(panel: Panel) -> "go.Figure":
    """Average precision against the soft gap: a curve for each method, bars, hover, front."""
    import plotly.graph_objects as go

    figure = go.Figure()
    if len(front := panel.front()) > 1:
        x, y = zip(*front, strict=True)
        figure.add_scatter(
            x=x,
            y=y,
            mode="lines",
            line={"color": "rgba(156,163,175,.45)", "width": 8, "shape": "vh"},
            name="non-dominated",
            hoverinfo="skip",
        )
    variants: dict[str, int] = {}
    for label, rows in panel.curves().items():
        style = method_style(rows[0].spec.method)
        variant = variants[style.colour] = variants.get(style.colour, -1) + 1
        figure.add_scatter(
            x=_means([row.average_precision for row in rows]),
            y=_means([row.soft_gap for row in rows]),
            error_x=_bars([row.average_precision for row in rows]),
            error_y=_bars([row.soft_gap for row in rows]),
            mode="lines+markers+text" if len(rows) > 1 else "markers",
            text=panel.point_labels(rows),
            textposition=style.label_side,
            textfont={"size": 11, "color": style.colour},
            marker={"symbol": style.symbol, "size": 11, "line": {"width": 1, "color": "white"}},
            line={"color": style.colour, "width": 2, "dash": _DASHES[variant % len(_DASHES)]},
            name=html.escape(label),
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
        arrowcolor=_GREY,
        font={"color": _GREY},
    )
    figure.update_xaxes(title="average precision (test)", **_GRID)
    figure.update_yaxes(title=f"{GAP_LABELS[panel.gap]} gap, soft (test)", **_GRID)
    return _look(figure, height=500, entries=len(figure.data))


def learning_chart(panel: Panel, curves: dict[Setting, Curve]) -> "go.Figure":
    """Validation figures by epoch, a line for each setting: its mean over seeds."""
    from plotly.subplots import make_subplots

    titles = ("average precision", f"{GAP_LABELS[panel.gap]} gap, soft", "similarity, total")
    figure = make_subplots(rows=1, cols=3, subplot_titles=titles, horizontal_spacing=0.06)
    for rows in panel.curves().values():
        style = method_style(rows[0].spec.method)
        for place, row in enumerate(rows):
            name = _setting_label(row, panel.varying)
            width = f" ± %{{customdata:.3f}} (n={row.n})" if row.n > 1 else " (n=1)"
            for column, key in enumerate(_FIGURES, start=1):
                intervals = getattr(curves[row.setting], key)
                figure.add_scatter(
                    row=1,
                    col=column,
                    x=list(range(len(intervals))),
                    y=_means(intervals),
                    mode="lines",
                    line={
                        "color": style.colour,
                        "width": 2,
                        "dash": _DASHES[place % len(_DASHES)],
                    },
                    name=name,
                    legendgroup=name,
                    showlegend=column == 1,
                    customdata=[_finite(interval.half_width) for interval in intervals],
                    hovertemplate=f"<b>{name}</b><br>epoch %{{x}}: %{{y:.3f}}{width}"
                    "<extra></extra>",
                )
    figure.update_xaxes(title="epoch", **_GRID)
    figure.update_yaxes(**_GRID)
    figure.update_annotations(font={"size": 13})
    return _look(figure, height=420, entries=len(panel.rows))


def layer_chart(panel: Panel) -> "go.Figure":
    """Similarity of the rationales, a bar for each setting that is stacked from its layers."""
    import plotly.graph_objects as go

    labels = [_setting_label(row, panel.varying) for row in panel.rows]
    layers = list(dict.fromkeys(name for row in panel.rows for name, _ in row.layer_similarity))
    figure = go.Figure()
    for place, layer in enumerate(layers):
        found = [dict(row.layer_similarity).get(layer) for row in panel.rows]
        name = f"layer {place + 1} ({html.escape(layer)})"
        figure.add_bar(
            x=[None if interval is None else _finite(interval.mean) for interval in found],
            y=labels,
            orientation="h",
            name=name,
            marker={"color": _LAYER_COLOURS[place % len(_LAYER_COLOURS)]},
            hovertext=[
                f"<b>{label}</b><br>{name}: {format_interval(interval)}"
                f"<br>all layers: {format_interval(row.similarity)}"
                if interval is not None
                else ""
                for label, interval, row in zip(labels, found, panel.rows, strict=True)
            ],
            hoverinfo="text",
        )
    grains = "/".join(sorted({row.spec.granularity for row in panel.rows}))
    figure.update_layout(barmode="stack", bargap=0.35)
    figure.update_xaxes(title=f"similarity per {grains}, added up over layers", **_GRID)
    figure.update_yaxes(autorange="reversed", type="category", automargin=True, ticksuffix="  ")
    return _look(figure, height=150 + 30 * len(panel.rows), entries=len(layers))


def _setting_label(row: Row, varying: Sequence[str]) -> str:
    """A method with its weights, and the settings that tell it apart."""
    label = f"{curve_label(row.spec, varying)}  {weight_text(row.spec)}".strip()
    return html.escape(label)


def _hover(row: Row, varying: Sequence[str]) -> str:
    """Everything about a point."""
    settings = [
        ("fairness weight λ", f"{row.spec.fairness_weight:g}"),
        ("alignment weight β", f"{row.spec.alignment_weight:g}"),
        *((name.replace("_", " "), setting_text(getattr(row.spec, name))) for name in varying),
        ("seeds", ", ".join(map(str, row.seeds))),
        ("AP", format_interval(row.average_precision)),
        ("soft gap", format_interval(row.soft_gap)),
        ("hard gap", format_interval(row.hard_gap)),
        ("similarity", format_interval(row.similarity)),
        ("training seconds", format_interval(row.seconds, digits=1)),
    ]
    lines = [f"{html.escape(name)}: {html.escape(value)}" for name, value in settings]
    return "<br>".join([f"<b>{html.escape(row.spec.method)}</b>", *lines])


def _look(figure: "go.Figure", *, height: int, entries: int) -> "go.Figure":
    """The common look of all charts; a legend of many entries scrolls at the side."""
    below = {"orientation": "h", "yref": "container", "yanchor": "bottom", "y": 0, "x": 0}
    figure.update_layout(
        template="plotly_white",
        height=height,
        margin={"l": 64, "r": 36, "t": 28, "b": 96 if entries <= _BELOW else 56},
        font={"family": "system-ui, -apple-system, Segoe UI, Roboto, sans-serif", "size": 13},
        legend={"traceorder": "normal", **(below if entries <= _BELOW else {})},
        modebar={
            "orientation": "v",
            "bgcolor": "rgba(0,0,0,0)",
            "color": "#c3c8d0",
            "activecolor": _GREY,
        },
        hoverlabel={"bgcolor": "white", "align": "left"},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )
    return figure


def _means(intervals: Sequence[Interval]) -> list[float | None]:
    """The means, with a hole where there is none."""
    return [_finite(interval.mean) for interval in intervals]


def _bars(intervals: Sequence[Interval]) -> dict[str, Any]:
    """Interval bars; a single seed has none."""
    widths = [_finite(interval.half_width) for interval in intervals]
    return {"type": "data", "array": widths, "thickness": 1.2, "width": 3}


def _finite(value: float) -> float | None:
    """The value, short enough for a page that holds many; JSON has no NaN."""
    return None if math.isnan(value) else float(f"{value:.6g}")
