"""Figures for papers and READMEs, as matplotlib figures, and how one becomes a file."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any, Final

from dralign.analysis import Interval, Row
from dralign.files import write_atomically
from dralign.report.labels import (
    LEAST_SPAN,
    Panel,
    axis_range,
    method_style,
    panels,
    seeds_text,
    selection_text,
)
from dralign.report.look import FAINT, LINE, SOFT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOOK: Final[dict[Any, Any]] = {
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": SOFT,
    "axes.grid": True,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
}
_LINE_STYLES = ("-", "--", ":", "-.")
_COLUMNS = 3  # of panels; more go below


def tradeoff_figure(rows: Sequence[Row]) -> "Figure":
    """Average precision against the gap, a panel for each data set and gap.

    A curve joins the points of a method in the order of their weights; bars are 95 % intervals,
    and a grey line steps along the non-dominated rows.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(LOOK):
        result = panels(rows)
        columns = min(max(len(result), 1), _COLUMNS)
        lines = -(-max(len(result), 1) // columns)
        size = (6.4 * columns, 4.6 * lines)
        figure = Figure(figsize=size, dpi=200, layout="constrained", facecolor="white")
        axes = list(figure.subplots(lines, columns, squeeze=False).flat)
        for ax, panel in zip(axes, result, strict=False):
            _panel(ax, panel)
        for ax in axes[len(result) or 1 :]:
            ax.set_axis_off()
    return figure


def write_figure(figure: "Figure", path: Path | str) -> Path:
    """Writes a figure of matplotlib; the ending of the path tells the format (png, svg, pdf).

    Returns:
        The path of the file.

    Raises:
        OutputError: if the file can't be written.
    """
    return write_atomically(path, lambda file: figure.savefig(file, facecolor="white"))


def _panel(ax: "Axes", panel: Panel) -> None:
    """One panel: curves, front, direction, title."""
    if len(front := panel.front(panel.measure)) > 1:
        _front(ax, front)
    variants: dict[str, int] = {}
    for label, rows in panel.curves().items():
        method = rows[0].spec.method
        variant = variants[method] = variants.get(method, -1) + 1
        _curve(ax, label, rows, panel.point_labels(rows), _LINE_STYLES[variant % len(_LINE_STYLES)])
    ax.set_xlabel("average precision (test)")
    ax.set_ylabel(f"{panel.axis(panel.measure)} (test)")
    ax.set_xlim(axis_range([row.average_precision for row in panel.rows], least=LEAST_SPAN))
    ax.set_ylim(axis_range([row.gap for row in panel.rows], least=LEAST_SPAN))
    ax.set_ylim(bottom=max(0.0, ax.get_ylim()[0]))
    ax.annotate(
        "better",
        xy=(0.985, 0.03),
        xytext=(0.86, 0.13),
        xycoords="axes fraction",
        color=SOFT,
        arrowprops={"arrowstyle": "-|>", "color": SOFT, "lw": 1.2},
        ha="center",
    )
    ax.set_title(
        _plain(shorten(panel.data, 64, placeholder=" …")),
        loc="left",
        fontweight="bold",
        fontsize=10.5,
        pad=20,
    )
    ax.text(
        0,
        1.02,
        f"{seeds_text(panel.rows)}; epoch by {selection_text(panel.rows)}",
        transform=ax.transAxes,
        color=SOFT,
        fontsize=8,
    )
    _legend(ax)


def _curve(ax: "Axes", label: str, rows: Sequence[Row], texts: Sequence[str], line: str) -> None:
    """The points of one curve, joined in the order of their weights."""
    from matplotlib.patheffects import withStroke

    style = method_style(rows[0].spec.method)
    ax.errorbar(
        [row.average_precision.mean for row in rows],
        [row.gap.mean for row in rows],
        xerr=_bars([row.average_precision for row in rows]),
        yerr=_bars([row.gap for row in rows]),
        label=_plain(label),
        color=style.colour,
        marker=style.marker,
        linestyle=line,
        markersize=7,
        markeredgecolor="white",
        markeredgewidth=0.9,
        linewidth=1.5,
        elinewidth=0.8,
        ecolor=f"{style.colour}80",
    )
    vertical, horizontal = style.label_side.split()
    for row, text in zip(rows, texts, strict=True):
        if text:
            ax.annotate(
                text,
                (row.average_precision.mean, row.gap.mean),
                xytext=(7 if horizontal == "right" else -7, 5 if vertical == "top" else -12),
                textcoords="offset points",
                fontsize=8,
                color=style.colour,
                ha="left" if horizontal == "right" else "right",
                path_effects=[withStroke(linewidth=2.5, foreground="white")],
                zorder=4,
            )


def _legend(ax: "Axes") -> None:
    """A legend below the panel, where it can't hide a point; without the interval bars."""
    from matplotlib.container import ErrorbarContainer

    handles, labels = ax.get_legend_handles_labels()
    in_one_line = sum(6 + len(label) for label in labels) <= 52
    ax.legend(
        [handle[0] if isinstance(handle, ErrorbarContainer) else handle for handle in handles],
        labels,
        frameon=False,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.13),
        ncols=len(labels) if in_one_line else max(1, 64 // (6 + max(map(len, labels)))),
        columnspacing=1.4,
        handlelength=2.2,
    )


def _front(ax: "Axes", front: Sequence[tuple[float, float]]) -> None:
    """A step line along the non-dominated rows: what is reached, nothing in between."""
    ax.plot(
        *zip(*front, strict=True),
        drawstyle="steps-pre",
        color=FAINT,
        linewidth=4,
        alpha=0.45,
        solid_capstyle="round",
        label="non-dominated",
        zorder=1,
    )


def _bars(intervals: Sequence[Interval]) -> list[float]:
    """The half-widths; an absent one (one seed) draws no bar."""
    return [interval.half_width for interval in intervals]


def _plain(text: str) -> str:
    """Text that matplotlib shows as it is, without reading formulas into it."""
    return text.replace("$", r"\$")
