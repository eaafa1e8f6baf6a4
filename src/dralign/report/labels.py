"""How settings are written and coloured, the same in every table, figure and page."""

import html
from collections.abc import Sequence
from dataclasses import dataclass, fields

from dralign.analysis import Interval, Row, front
from dralign.data import DataSource, dataset_names
from dralign.forms import BEYOND, shown
from dralign.gaps import gap_type, judged_by
from dralign.methods import method_names, method_type
from dralign.metrics import gap_measure
from dralign.report.look import METHODS
from dralign.study import TrialSpec

# Shapes help where colours can't be told apart, and in print.
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_SYMBOLS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x", "star")
EQUAL = 1e-6
LEAST_SPAN = 0.05  # of an axis of average precision or of a gap
_CROWDED = 16  # rows of a panel
_SIDES = ("top right", "bottom right", "top left", "bottom right")

# What has a column, an axis or a title of its own, is averaged over, or leaves training as it is.
OWN_PLACE = {"data", "method", "gap", "fairness_weight", "alignment_weight", "seed", "readings"}
_OF_BOUNDS = {"gap_bound", "bound_measure"}


@dataclass(frozen=True)
class MethodStyle:
    """How a method is drawn.

    Attributes:
        colour: of its points, lines and labels.
        marker: in matplotlib.
        symbol: the same shape in plotly.
        label_side: where a point's label stands; it differs, as points often lie close together.
    """

    colour: str
    marker: str
    symbol: str
    label_side: str


def method_style(method: str) -> MethodStyle:
    """The style of a method, the same in every figure whatever else is in it."""
    index = method_names().index(method)
    # Past the last colour the shapes move on by one, so that a pair comes back after 64 methods.
    shape = (index + index // len(METHODS)) % len(_MARKERS)
    colour = METHODS[index % len(METHODS)]
    return MethodStyle(colour, _MARKERS[shape], _SYMBOLS[shape], _SIDES[index % len(_SIDES)])


def data_label(spec: TrialSpec) -> str:
    """The data of a trial in words, for example ``"adult, paper preparation, groups: sex"``."""
    parts = [spec.data.name]
    if spec.data.name in dataset_names():
        parts.append(f"{spec.data.preparation} preparation")
    if spec.data.label:
        parts.append(f"label: {spec.data.label}")
    if spec.data.image_size:
        parts.append(f"{spec.data.image_size} x {spec.data.image_size} pixels")
    if spec.data.sensitive:
        parts.append("groups: " + " & ".join(spec.data.sensitive))
    if spec.data.weight:
        parts.append(f"weighted by {spec.data.weight}")
    return shown(", ".join(parts))


def data_labels(rows: Sequence[Row]) -> list[str]:
    """The data label of each row; where one stands for several data, what tells them apart is told.

    That are the options of the data that differ, and a mark where the content does.
    """
    alike: dict[str, list[Row]] = {}
    for row in rows:
        alike.setdefault(data_label(row.spec), []).append(row)
    return [_told_apart(row, alike[data_label(row.spec)]) for row in rows]


def _told_apart(row: Row, alike: Sequence[Row]) -> str:
    """The data label of a row among the rows of the same label."""
    names = [option.name for option in fields(DataSource) if option.compare]
    differing = [name for name in names if len({getattr(one.spec.data, name) for one in alike}) > 1]
    parts = [
        data_label(row.spec),
        *(shown(f"{name} {_option_text(getattr(row.spec.data, name))}") for name in differing),
    ]
    mark = f" #{row.fingerprint[:6]}" if len({one.fingerprint for one in alike}) > 1 else ""
    return f"{', '.join(parts)}{mark}"


def _option_text(value: object) -> str:
    """An option of the data; one that is not given is none."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return setting_text(value or "none")


@dataclass(frozen=True)
class Panel:
    """The rows that can be compared with each other: one data set, one gap.

    Attributes:
        data: the data label.
        gap: the name of the gap.
        rows: its rows, in their order.
        varying: the settings that tell curves of one method apart.
    """

    data: str
    gap: str
    rows: tuple[Row, ...]
    varying: tuple[str, ...]

    def curves(self) -> dict[str, list[Row]]:
        """The rows of each curve by its label, in the order of their weights."""
        result: dict[str, list[Row]] = {}
        for row in self.rows:
            result.setdefault(curve_label(row.spec, self.varying), []).append(row)
        for rows in result.values():
            rows.sort(key=lambda row: (row.spec.fairness_weight, row.spec.alignment_weight))
        return result

    def point_labels(self, rows: Sequence[Row]) -> list[str]:
        """What stands beside each point of a curve: lambda, and beta where lambda repeats.

        Where the panel is crowded only the ends of a curve are labelled.
        """
        weights = [row.spec.fairness_weight for row in rows]
        repeated = len(set(weights)) < len(weights)
        labels = []
        for index, row in enumerate(rows):
            text = f"λ={row.spec.fairness_weight:g}" if row.spec.fairness_weight else ""
            if repeated and row.spec.alignment_weight:
                text = f"{text} β={row.spec.alignment_weight:g}".strip()
            inner = 0 < index < len(rows) - 1
            labels.append("" if inner and len(self.rows) > _CROWDED else text)
        return labels

    @property
    def measure(self) -> str:
        """The measure of the gap in which its rows are judged."""
        return self.rows[0].measure

    def front(self, measure: str) -> list[tuple[float, float]]:
        """Mean average precision and mean gap of the rows that no other dominates, ascending."""
        return front((row.average_precision.mean, row.figures[measure].mean) for row in self.rows)

    def axis(self, measure: str) -> str:
        """What an axis of the gap shows, without the split."""
        words = gap_measure(measure).words.removesuffix(" gap")
        return f"{gap_type(self.gap).words} gap, {words}"


def panels(rows: Sequence[Row]) -> list[Panel]:
    """The rows by data and the gap that judges them, so that forms of one gap stand together."""
    result: dict[tuple[str, str], list[Row]] = {}
    for row, data in zip(rows, data_labels(rows), strict=True):
        result.setdefault((data, judged_by(row.spec.gap)), []).append(row)
    return [
        Panel(data, gap, tuple(rows), (*forms_of_gap(specs), *varying_settings(specs)))
        for (data, gap), rows in result.items()
        for specs in [[row.spec for row in rows]]
    ]


def forms_of_gap(specs: Sequence[TrialSpec]) -> tuple[str, ...]:
    """The gap as a setting that tells curves apart, where some were trained for forms of one."""
    gaps = {spec.gap for spec in specs}
    return ("gap",) if len({judged_by(gap) for gap in gaps}) < len(gaps) else ()


def varying_settings(specs: Sequence[TrialSpec]) -> list[str]:
    """The names of the settings that differ among ``specs`` and have no other place."""
    names = dict.fromkeys(name for spec in specs for name, _ in spec.values)
    return [
        name
        for name in names
        if name not in OWN_PLACE
        and len({getattr(spec, name) for spec in specs if tells(spec, name)}) > 1
    ]


def tells(spec: TrialSpec, name: str) -> bool:
    """Whether a setting says something of a trial: a gap bound not of a method without a weight."""
    bounded = bool(method_type(spec.method).scaled) or name not in _OF_BOUNDS
    return bounded and spec.uses(name)


def setting_text(value: object) -> str:
    """One setting's value as text."""
    if value is None:
        return "default"
    if isinstance(value, tuple):
        return shown("+".join(value))
    return f"{value:g}" if isinstance(value, float) else shown(str(value))


def curve_label(spec: TrialSpec, varying: Sequence[str]) -> str:
    """The name of a method's curve, with the settings that set it apart from its other curves."""
    own = [name for name in varying if tells(spec, name)]
    extra = ", ".join(f"{name} {setting_text(getattr(spec, name))}" for name in own)
    return f"{spec.method} ({extra})" if extra else spec.method


def weight_text(spec: TrialSpec) -> str:
    """The weights of a trial, for example ``"λ 0.5, β 0.05"``; empty where both are 0."""
    weights = (("λ", spec.fairness_weight), ("β", spec.alignment_weight))
    return ", ".join(f"{sign} {weight:g}" for sign, weight in weights if weight)


def selection_text(rows: Sequence[Row]) -> str:
    """The rule(s) that chose the epochs of the rows."""
    return "; ".join(dict.fromkeys(str(row.selection) for row in rows))


def seeds_text(rows: Sequence[Row]) -> str:
    """What the points and bars of the rows are, with how many trials they rest on."""
    counts = sorted({row.n for row in rows})
    if counts[-1] == 1:
        return "one seed, no interval"
    n = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else str(counts[0])
    return f"mean and 95 % interval over seeds, n = {n}"


def axis_range(intervals: Sequence[Interval], *, least: float = 0.0) -> tuple[float, float] | None:
    """An axis that holds all means and most of the bars; the wide ones of few seeds leave it.

    Args:
        intervals: what is drawn.
        least: how much the axis spans at least, so that small differences look small.
    """
    # A figure beyond all sense, of a forged ledger, would leave no room for the others.
    means = [one.mean for one in intervals if abs(one.mean) < BEYOND]
    if not means:
        return None
    widths = sorted(one.half_width for one in intervals if one.half_width < BEYOND)
    spread = max(means) - min(means)
    usual = widths[len(widths) // 2] if widths else 0.0
    margin = 0.12 * spread + min(usual, 0.5 * spread)
    margin = margin if margin > EQUAL else 0.05  # means that differ by rounding alone are one
    margin = max(margin, (least - spread) / 2)
    return min(means) - margin, max(means) + margin


def chart_text(text: str) -> str:
    """Text that plotly shows as it is, without reading markup, formulas or places into it."""
    return html.escape(text).replace("$", "&#36;").replace("%", "&#37;")
