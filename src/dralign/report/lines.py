"""A figure of plain curves, for what is no trade-off of precision and gap."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dralign.report.look import LINE, LINES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DASHES = ("-", ":", "--", "-.")


@dataclass(frozen=True)
class Curve:
    """A curve.

    Attributes:
        label: what the legend says; empty leaves it out.
        points: (x, y) in the order in which they are joined.
        colour: the number of its colour, for curves that belong together.
        dash: the number of its line style.
    """

    label: str
    points: tuple[tuple[float, float], ...]
    colour: int = 0
    dash: int = 0


@dataclass(frozen=True)
class Curves:
    """A panel.

    Attributes:
        title: above it.
        x: what the horizontal axis shows.
        y: what the vertical axis shows.
        curves: those without points are left out.
    """

    title: str
    x: str
    y: str
    curves: tuple[Curve, ...]


def line_figure(panels: Sequence[Curves]) -> "Figure":
    """The panels beside each other."""
    from matplotlib.figure import Figure

    size = (5.6 * len(panels), 4.4)
    figure = Figure(figsize=size, dpi=160, layout="constrained", facecolor="white")
    axes = figure.subplots(1, len(panels), squeeze=False).flat
    for ax, panel in zip(axes, panels, strict=True):
        for curve in panel.curves:
            if curve.points:
                ax.plot(
                    *zip(*curve.points, strict=True),
                    _DASHES[curve.dash % len(_DASHES)],
                    color=LINES[curve.colour % len(LINES)],
                    marker="o",
                    markersize=3,
                    label=curve.label or None,
                )
        ax.set_title(panel.title, loc="left", fontsize=10)
        ax.set_xlabel(panel.x)
        ax.set_ylabel(panel.y)
        ax.grid(color=LINE)
        if ax.get_lines():
            ax.legend(fontsize=8, frameon=False)
    return figure
