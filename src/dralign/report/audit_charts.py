"""The charts of an audit's page, as plotly figures, from ``Audit.to_dict()``."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from dralign.report.labels import chart_text
from dralign.report.look import (
    ALERT,
    BELOW,
    BLUE,
    GRID,
    GROUPS,
    INK,
    LAYOUT,
    SHADES,
    SOFT,
    faint,
)

if TYPE_CHECKING:
    import plotly.graph_objects as go

Form = Mapping[str, Any]
MOST_COLUMNS = 300
FEW_GROUPS = 5  # up to so many, dots and height stay as they are
GOLDEN = 0.6180339887  # its multiples, modulo 1, are spread evenly
RATES: Final = {
    "base_rate": "base rate",
    "mean_probability": "mean probability",
    "selection_rate": "selection rate",
    "true_positive_rate": "true positive rate",
    "false_positive_rate": "false positive rate",
    "accuracy": "accuracy",
    "average_precision": "average precision",
}


def rates_chart(outcomes: Form) -> "go.Figure":
    """Every figure of every group as a dot with its interval."""
    import plotly.graph_objects as go

    figure = go.Figure()
    groups, labels = outcomes["groups"], list(RATES.values())
    for code, group in enumerate(groups):
        figures = [group["figures"][name] for name in RATES]
        shift = _shift(code, len(groups))
        figure.add_scatter(
            x=[one["value"] for one in figures],
            y=[index + shift for index in range(len(labels))],
            error_x=_bars(figures),
            mode="markers",
            marker={"size": 9, "color": _colour(code)},
            name=f"{chart_text(group['group'])} (n = {group['n']:,})",
            hovertext=[f"{name}: {_range(one)}" for name, one in zip(labels, figures, strict=True)],
            hoverinfo="text+name",
        )
    figure.update_xaxes(range=[-0.02, 1.02], **GRID)
    figure.update_yaxes(
        tickvals=list(range(len(labels))), ticktext=labels, autorange="reversed", **GRID
    )
    return _look(figure, height=115 + 57 * max(len(groups), FEW_GROUPS))


def noise_chart(similarity: Form) -> "go.Figure":
    """For each granularity and layer the random splits, the noise floor and what was seen."""
    from plotly.subplots import make_subplots

    titles = [f"per {name}" for name in similarity]
    figure = make_subplots(rows=1, cols=len(titles), subplot_titles=titles, horizontal_spacing=0.12)
    n_layers = 1
    for column, result in enumerate(similarity.values(), start=1):
        n_layers = len(result["layers"])
        total = {**result["total"], "layer": "total / layers"}
        for index, test in enumerate([*result["layers"], total]):
            scale = n_layers if index == n_layers else 1
            _noise_row(figure, column, index, test, scale, legend=column == 1 and index == 0)
        names = [chart_text(_short(test["layer"])) for test in result["layers"]]
        figure.update_yaxes(
            row=1,
            col=column,
            tickvals=list(range(n_layers + 1)),
            ticktext=[*names, f"<b>total / {n_layers}</b>"],
            range=[n_layers + 0.6, -0.6],
            **GRID,
        )
    figure.update_xaxes(title="cosine similarity", **GRID)
    figure.update_annotations(font={"size": 13})
    return _look(figure, height=190 + 44 * (n_layers + 1))


def influence_chart(layer: Form, groups: Sequence[str]) -> "go.Figure":
    """Unit x group influences, divided by the largest of the layer, by falling parity score."""
    import plotly.graph_objects as go

    known = [unit for unit, score in enumerate(layer["scores"]) if score is not None]
    order = sorted(known, key=lambda unit: -layer["scores"][unit])[:MOST_COLUMNS]
    values = [[row[unit] for unit in order] for row in layer["influences"]]
    largest = max((value for row in values for value in row), default=0.0) or 1.0
    figure = go.Figure()
    figure.add_heatmap(
        z=[[float(f"{value / largest:.4g}") for value in row] for row in values],
        x=[str(unit) for unit in order],
        y=[chart_text(name) for name in groups],
        customdata=[
            [[unit, float(f"{value:.4g}")] for unit, value in zip(order, row, strict=True)]
            for row in values
        ],
        hovertemplate="unit %{customdata[0]}, %{y}<br>influence %{customdata[1]:.3g}"
        "<br>%{z:.3f} of the largest<extra></extra>",
        colorscale=SHADES,
        zmin=0,
        zmax=1,
        colorbar={"title": {"text": "of largest", "side": "right"}, "thickness": 12},
        xgap=0.5 if len(order) <= 60 else 0,
        ygap=2,
    )
    figure.update_xaxes(
        type="category", title="unit, highest parity score first", nticks=40, **GRID
    )
    figure.update_yaxes(type="category", autorange="reversed", automargin=True)
    return _look(figure, height=130 + 34 * len(groups), legend=False)


def independence_chart(removals: Sequence[Form]) -> "go.Figure":
    """What sets of weights do together, over the sum of what each does alone, by set size."""
    from plotly.subplots import make_subplots

    titles = ("influences: joint / sum", "signed loss changes: |joint − sum| / |joint|")
    figure = make_subplots(rows=1, cols=2, subplot_titles=titles, horizontal_spacing=0.1)
    groups = list(dict.fromkeys(one["group"] for one in removals))
    sizes = sorted({one["size"] for one in removals})
    for code, group in enumerate(groups):
        own = [one for one in removals if one["group"] == group]
        spot = [sizes.index(one["size"]) + _shift(code, len(groups)) for one in own]
        for column, key in enumerate(("influence_ratio", "change_error"), start=1):
            figure.add_scatter(
                row=1,
                col=column,
                x=spot,
                y=[one[key][1] for one in own],
                error_y=_quartile_bars([one[key] for one in own]),
                mode="lines+markers",
                marker={"size": 9, "color": _colour(code)},
                line={"width": 1.5, "color": _colour(code)},
                name=chart_text(group),
                legendgroup=group,
                showlegend=column == 1,
                hovertemplate="%{y:.3g}<extra>" + chart_text(group) + "</extra>",
            )
    for column, level in ((1, 1.0), (2, 0.0)):
        figure.add_hline(level, row=1, col=column, line={"color": SOFT, "dash": "dot", "width": 1})
    figure.update_xaxes(
        title="weights removed together",
        tickvals=list(range(len(sizes))),
        ticktext=[str(size) for size in sizes],
        **GRID,
    )
    figure.update_yaxes(rangemode="tozero", **GRID)
    figure.update_annotations(font={"size": 13})
    return _look(figure, height=380)


def what_if_chart(steps: Sequence[Form]) -> "go.Figure":
    """Average precision and gaps without the top units, beside as many random ones."""
    from plotly.subplots import make_subplots

    panels = {
        "average precision": ("average_precision",),
        "demographic parity gap": ("soft_demographic_parity", "hard_demographic_parity"),
        "equalized odds gap": ("soft_equalized_odds", "hard_equalized_odds"),
    }
    figure = make_subplots(rows=1, cols=3, subplot_titles=list(panels), horizontal_spacing=0.07)
    positions = list(range(len(steps)))
    lines = (
        ("figures", "highest parity scores", ALERT),
        ("random", "random units (median)", SOFT),
    )
    shown: set[str] = set()
    for column, keys in enumerate(panels.values(), start=1):
        for key in keys:
            form = {"soft": "on probabilities", "hard": "on decisions"}.get(key.split("_")[0], "")
            for source, name, colour in lines:
                label = f"{name}, {form}" if form else name
                style = label.replace("on probabilities", "").strip(", ")
                figure.add_scatter(
                    row=1,
                    col=column,
                    x=positions,
                    y=[step[source][key] for step in steps],
                    mode="lines+markers",
                    marker={"size": 7, "color": colour},
                    line={
                        "color": colour,
                        "width": 2,
                        "dash": "dot" if key.startswith("hard") else "solid",
                    },
                    name=style,
                    legendgroup=style,
                    showlegend=style not in shown,
                    hovertemplate=f"%{{y:.4f}}<extra>{label}</extra>",
                )
                shown.add(style)
    figure.update_xaxes(
        title="units removed",
        tickvals=positions,
        ticktext=[str(step["k"]) for step in steps],
        **GRID,
    )
    for column, keys in enumerate(panels.values(), start=1):
        figure.update_yaxes(row=1, col=column, range=_span(steps, keys))
    figure.update_yaxes(**GRID)
    figure.update_annotations(font={"size": 13})
    return _look(figure, height=380)


def _shift(code: int, n_groups: int) -> float:
    """How far a group's dot stands from the label that all groups share; labels are 1 apart."""
    return 0.8 / max(n_groups, FEW_GROUPS) * (code - (n_groups - 1) / 2)


def _span(steps: Sequence[Form], keys: Sequence[str]) -> list[float] | None:
    """A range that holds all values and is at least 0.04 wide: small changes should look small."""
    result = [step[form][key] for step in steps for form in ("figures", "random") for key in keys]
    known = [value for value in result if value is not None]
    if not known:
        return None
    low, high = min(known), max(known)
    margin = max(0.1 * (high - low), 0.02 - (high - low) / 2)
    return [low - margin, high + margin]


def _noise_row(
    figure: "go.Figure", column: int, index: int, test: Form, scale: float, *, legend: bool
) -> None:
    """One layer: grey dots for the random splits, a bar for the noise floor, the mark."""
    null = [value / scale for value in test["null"]]
    # A fixed spread instead of random jitter: the page is the same each time it is written.
    heights = [index + 0.5 * (GOLDEN * k % 1.0 - 0.5) for k in range(len(null))]
    shown, floor = test["similarity"], test["noise_floor"] / scale
    value = shown["value"] / scale
    own = {name: None if x is None else x / scale for name, x in shown.items()}
    figure.add_scatter(
        row=1,
        col=column,
        x=null,
        y=heights,
        mode="markers",
        marker={"size": 5, "color": faint(SOFT, 0.3)},
        name="random splits of the same rows",
        legendgroup="null",
        showlegend=legend,
        hoverinfo="skip",
    )
    figure.add_scatter(
        row=1,
        col=column,
        x=[floor, floor],
        y=[index - 0.36, index + 0.36],
        mode="lines",
        line={"color": INK, "width": 2},
        name="noise floor (p ≤ 0.05 below it)",
        legendgroup="floor",
        showlegend=legend,
        hovertext=f"noise floor {floor:.3f}",
        hoverinfo="text",
    )
    figure.add_scatter(
        row=1,
        col=column,
        x=[value],
        y=[index],
        error_x=_bars([own]),
        mode="markers",
        marker={
            "size": 13,
            "symbol": "diamond",
            "color": BLUE if test["within_noise"] else ALERT,
            "line": {"width": 1, "color": "white"},
        },
        name="the groups, with 95 % interval (orange: below the floor)",
        legendgroup="seen",
        showlegend=legend,
        hovertext=f"{_range(own)}, p = {test['p_value']:.3f}",
        hoverinfo="text",
    )


def _quartile_bars(quartiles: Sequence[Sequence[float | None]]) -> dict[str, Any]:
    """Bars from the first to the third quartile."""
    known = [[0.0 if value is None else value for value in three] for three in quartiles]
    return {
        "type": "data",
        "symmetric": False,
        "array": [high - middle for _, middle, high in known],
        "arrayminus": [middle - low for low, middle, _ in known],
        "thickness": 1.3,
        "width": 4,
    }


def _bars(estimates: Sequence[Form]) -> dict[str, Any]:
    """Bars of the intervals; none where a figure is undefined."""
    undefined = [one["value"] is None or one["low"] is None for one in estimates]
    return {
        "type": "data",
        "symmetric": False,
        "array": [
            0 if no else one["high"] - one["value"]
            for one, no in zip(estimates, undefined, strict=True)
        ],
        "arrayminus": [
            0 if no else one["value"] - one["low"]
            for one, no in zip(estimates, undefined, strict=True)
        ],
        "thickness": 1.3,
        "width": 4,
    }


def _range(one: Form) -> str:
    """A figure with its interval."""
    if one["value"] is None or one["low"] is None:
        return "undefined" if one["value"] is None else f"{one['value']:.3f}"
    return f"{one['value']:.3f} ({one['low']:.3f} to {one['high']:.3f})"


def _short(name: str) -> str:
    """A layer's name, its end if it is long."""
    return name if len(name) <= 24 else f"…{name[-23:]}"


def _colour(code: int) -> str:
    """The colour of a group."""
    return GROUPS[code % len(GROUPS)]


def _look(figure: "go.Figure", *, height: int, legend: bool = True) -> "go.Figure":
    """The common look of all charts."""
    figure.update_layout(
        height=height,
        margin={"l": 64, "r": 24, "t": 28, "b": 88 if legend else 52},
        legend={"traceorder": "normal", **BELOW},
        showlegend=legend,
        **LAYOUT,
    )
    figure.update_xaxes(automargin=True)
    figure.update_yaxes(automargin=True)  # names of layers and groups of any length
    return figure
