"""A front that was trained at once: its table, its figure, and the point that is recommended."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dralign.analysis import front
from dralign.metrics import all_measures, gap_measure
from dralign.metrics.measures import AP_LOSS
from dralign.metrics.resampling import Interval
from dralign.report.figures import LOOK
from dralign.report.labels import data_label, method_style
from dralign.report.look import FAINT, SOFT
from dralign.report.tables import ResultTable
from dralign.study.front import TrainedFront

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CHOSEN = "*"
_NOTE: Final = "trained from one beginning; bars: 95 % over rows drawn anew; ring: recommended"

_ROOM: Final = (80, 24)  # of a label in pixels


def front_table(trained: TrainedFront, chosen: int) -> ResultTable:
    """The points, from the smallest weight on, with figures of the test rows."""
    measure, gap = gap_measure(trained.rule.measure), trained.spec.gap
    others = [one for one in all_measures() if one.column and one.name not in _judged(trained)]
    header = ("λ", "AP", measure.words, *(one.words for one in others))
    cells = []
    for index, point in enumerate(trained.points):
        figures, intervals = point.record.test, trained.intervals[index]
        mark = f" {CHOSEN}" if index == chosen else ""
        judged = (
            _with_interval(figures["average_precision"], intervals["average_precision"]),
            _with_interval(measure.of(figures, gap), intervals[measure.name]),
        )
        rest = (_figure(one.of(figures, gap)) for one in others)
        cells.append((f"{point.weight:g}{mark}", *judged, *rest))
    caption = (
        f"{data_label(trained.spec)}. {_made(trained)}. Figures of the test rows, with 95 % "
        "intervals over rows drawn anew "
        f"(one split, one seed: {trained.spec.seed}), at the epoch chosen on the validation rows "
        f"by: {trained.rule}. {CHOSEN} recommended, by validation figures alone."
    )
    return ResultTable(header, tuple(cells), caption)


def recommendation(trained: TrainedFront, chosen: int, max_gap: float | None) -> str:
    """The recommended point in a sentence or two, with its intervals."""
    measure, gap = gap_measure(trained.rule.measure), trained.spec.gap
    point, first = trained.points[chosen], trained.points[0]
    if max_gap is None and len(trained.points) == 1:
        why = "the only weight"
    elif max_gap is None:
        why = (
            f"the smallest {measure.words} on the validation rows at an AP within "
            f"{AP_LOSS:g} of λ {first.weight:g}"
        )
    elif measure.of(point.record.validation, gap) <= max_gap:
        why = f"the highest AP with a {measure.words} of at most {max_gap:g} on the validation rows"
    else:
        why = (
            f"NO weight keeps the {measure.words} at {max_gap:g} on the validation rows, this one "
            "comes nearest (larger weights may)"
        )
    text = f"Recommended: λ {point.weight:g}, {why}. On the test rows {_figures(trained, chosen)}"
    if chosen:
        text = f"{text}; at λ {first.weight:g} {_figures(trained, 0)}"
    return f"{text}."


def front_figure(trained: TrainedFront, chosen: int) -> "Figure":
    """Average precision against the gap on the test rows, the recommended point ringed.

    Args:
        trained: the front.
        chosen: the number of the recommended point.
    """
    shown = ShownFront(
        title=data_label(trained.spec),
        method=trained.spec.method,
        gap=trained.spec.gap,
        measure=trained.rule.measure,
        rows="test",
        weights=tuple(point.weight for point in trained.points),
        figures=tuple(point.record.test for point in trained.points),
        intervals=trained.intervals,
    )
    return front_drawing(shown, chosen)


@dataclass(frozen=True)
class ShownFront:
    """What is drawn of a front.

    Attributes:
        title: above it.
        method: its name.
        gap: the gap it was trained for.
        measure: in which the gap is drawn.
        rows: what the rows of the figures are called.
        weights: lambda of each point, from the smallest on.
        figures: of each point, by the names of ``dralign.metrics.evaluate``.
        intervals: of each point those of average precision and of the measure, by measure.
    """

    title: str
    method: str
    gap: str
    measure: str
    rows: str
    weights: tuple[float, ...]
    figures: tuple[Mapping[str, float], ...]
    intervals: tuple[Mapping[str, Interval], ...]


def front_drawing(shown: ShownFront, chosen: int) -> "Figure":
    """Average precision against the gap, with intervals, the recommended point ringed.

    Args:
        shown: what is drawn.
        chosen: the number of the recommended point.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    measure, style = gap_measure(shown.measure), method_style(shown.method)
    points = [(one["average_precision"], measure.of(one, shown.gap)) for one in shown.figures]
    with rc_context(LOOK):
        figure = Figure(figsize=(6.4, 4.6), dpi=200, layout="constrained", facecolor="white")
        ax: Any = figure.subplots()
        reached = front(points)
        if len(reached) > 1:
            ax.plot(*zip(*reached, strict=True), drawstyle="steps-pre", color=FAINT, lw=4, zorder=1)
        ax.errorbar(
            *zip(*points, strict=True),
            xerr=_bars(points, shown.intervals, 0, "average_precision"),
            yerr=_bars(points, shown.intervals, 1, measure.name),
            color=style.colour,
            marker="o",
            ecolor=f"{style.colour}50",
            elinewidth=0.8,
            markeredgecolor="white",
            label=shown.method,
        )
        ax.plot(*points[chosen], "o", ms=15, mfc="none", mec=style.colour, mew=1.6, zorder=4)
        ax.set_xlabel(f"average precision ({shown.rows})")
        ax.set_ylabel(f"{measure.words} ({shown.rows})")
        ax.set_ylim(bottom=0)
        ax.set_title(f"{shown.title}\n".replace("$", r"\$"), loc="left", fontweight="bold")
        ax.text(0, 1.02, _NOTE, transform=ax.transAxes, color=SOFT, fontsize=8)
        figure.draw_without_rendering()  # ticks are made now, while our look holds
        _name_weights(ax, points, shown.weights, chosen)
    return figure


def _name_weights(
    ax: "Axes", points: Sequence[tuple[float, float]], weights: Sequence[float], chosen: int
) -> None:
    """Writes the first, the recommended and the last weight beside their points.

    All of them would lie on each other. Two that would, share a label; none hangs below the axis.
    """
    labels: list[tuple[np.ndarray, list[int]]] = []
    for index in sorted({0, chosen, len(points) - 1}):
        place = ax.transData.transform(points[index])
        near = (one for at, one in labels if (np.abs(place - at) < _ROOM).all())
        if (together := next(near, None)) is None:
            labels.append((place, [index]))
        else:
            together.append(index)
    bottom = ax.transAxes.transform((0, 0))[1]
    for place, indices in labels:
        text = "λ=" + ", ".join(f"{weights[index]:g}" for index in indices)
        low = place[1] - bottom < 2 * _ROOM[1]
        ax.annotate(
            text, points[indices[-1]], fontsize=7.5,
            xytext=(12 if low else 7, 9 if low else -12), textcoords="offset points",
        )  # fmt: skip


def _judged(trained: TrainedFront) -> tuple[str, str]:
    """The measures of the two axes."""
    return "average_precision", trained.rule.measure


def _figures(trained: TrainedFront, index: int) -> str:
    """Gap and average precision of a point on the test rows."""
    measure, figures = gap_measure(trained.rule.measure), trained.points[index].record.test
    gap = _with_interval(
        measure.of(figures, trained.spec.gap), trained.intervals[index][measure.name]
    )
    precision = _with_interval(
        figures["average_precision"], trained.intervals[index]["average_precision"]
    )
    return f"{measure.words} {gap}, AP {precision}"


def _made(trained: TrainedFront) -> str:
    """The method and its weights."""
    n, method = len(trained.points), trained.spec.method
    return f"{method} at {n} weights, trained from one beginning" if n > 1 else f"{method}, trained"


def _figure(value: float) -> str:
    """A figure, or a dash where it is undefined."""
    return "–" if math.isnan(value) else f"{value:.3f}"


def _with_interval(value: float, interval: Interval) -> str:
    """A figure and its interval, if they are defined."""
    known = not math.isnan(value)
    return f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})" if known else _figure(value)


def _bars(
    points: Sequence[tuple[float, float]],
    intervals: Sequence[Mapping[str, Interval]],
    axis: int,
    name: str,
) -> list[list[float]]:
    """How far the intervals reach below and above the points."""
    ends = [one[name] for one in intervals]
    low = [max(at[axis] - end[0], 0.0) for at, end in zip(points, ends, strict=True)]
    high = [max(end[1] - at[axis], 0.0) for at, end in zip(points, ends, strict=True)]
    return [low, high]
