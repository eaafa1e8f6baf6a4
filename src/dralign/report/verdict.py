"""The result of a study in a sentence or two, with what it can't decide."""

import math
from collections.abc import Sequence
from typing import Final

from dralign.analysis import Row
from dralign.methods import PLAIN
from dralign.metrics import gap_measure
from dralign.report.labels import Panel, curve_label, weight_text

LOSS: Final = 0.005  # of average precision, against erm, that a setting may have


def verdict(panel: Panel) -> str:
    """The smallest gap at nearly the precision of ``erm``; empty without ``erm`` or others.

    A setting is told apart from another where their 95 % intervals over seeds do not overlap; that
    is stricter than a test of the difference, and needs no pairing.
    """
    plain = [row for row in panel.rows if row.spec.method == PLAIN]
    if not plain or len(panel.rows) == len(plain):
        return ""
    erm = plain[0]
    words = gap_measure(panel.measure).words
    least = erm.average_precision.mean - LOSS
    near = [row for row in panel.rows if row.average_precision.mean >= least and _known(row)]
    if not near or not _known(erm):
        return ""
    best = min(near, key=lambda row: row.gap.mean)
    start = f"At an AP within {LOSS:g} of {PLAIN}'s {erm.average_precision.mean:.3f}"
    if best is erm:
        text = f"{start}, no setting has a smaller {words} than {PLAIN} itself ({_figure(erm)})"
        return f"{text}{_next(panel, erm)}."
    others = [row for row in near if row is not best]
    open_against = [_name(row, panel) for row in others if _overlap(row, best)]
    text = (
        f"{start}, the smallest {words} has {_name(best, panel)}: {_figure(best)} against "
        f"{_figure(erm)} of {PLAIN}, {best.n} seed{'s' if best.n > 1 else ''}"
    )
    if best.n < 2:
        return f"{text}; one seed can't tell it from the others."
    if open_against:
        return f"{text}; undecided against {', '.join(open_against)}."
    return f"{text}."


def _next(panel: Panel, erm: Row) -> str:
    """What a smaller gap than that of erm costs at least, if there is any."""
    smaller = [row for row in panel.rows if _known(row) and row.gap.mean < erm.gap.mean]
    if not smaller:
        return ""
    nearest = max(smaller, key=lambda row: row.average_precision.mean)
    lost = erm.average_precision.mean - nearest.average_precision.mean
    return f"; the next is {_name(nearest, panel)}: {_figure(nearest)} at an AP {lost:.3f} lower"


def _name(row: Row, panel: Panel) -> str:
    """A setting in a few words."""
    return f"{curve_label(row.spec, panel.varying)} {weight_text(row.spec)}".strip()


def _figure(row: Row) -> str:
    """The gap with its interval."""
    width = f" ± {row.gap.half_width:.3f}" if row.gap.n > 1 else ""
    return f"{row.gap.mean:.3f}{width}"


def _known(row: Row) -> bool:
    """Whether the row has a precision and a gap."""
    return not (math.isnan(row.average_precision.mean) or math.isnan(row.gap.mean))


def _overlap(row: Row, best: Row) -> bool:
    """Whether the intervals of two gaps meet; one without an interval may meet any."""
    apart = row.gap.mean - row.gap.half_width > best.gap.mean + best.gap.half_width
    return not apart


def verdicts(panels: Sequence[Panel]) -> list[str]:
    """The sentence of each data set and gap that has one."""
    return [text for panel in panels if (text := verdict(panel))]
