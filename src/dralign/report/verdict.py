"""The result of a study in a sentence or two, with what it can't decide."""

import math
from collections.abc import Sequence
from typing import Any

from dralign.analysis import Row
from dralign.methods import PLAIN
from dralign.metrics import gap_measure
from dralign.metrics.measures import AP_LOSS
from dralign.report.labels import Panel, curve_label, weight_text
from dralign.study import TrialRecord
from dralign.study.network import told_groups
from dralign.study.overview import Overviews


def smallest_gap(panel: Panel) -> Row | None:
    """The setting that is recommended; None without ``erm`` or others.

    It is chosen by validation rows, so that the figures of the test rows, which are told of it, are
    not those of the luckiest of many: among the settings whose mean average precision there is at
    most .005 below that of ``erm``, the one of the smallest mean gap. Where ``erm`` was trained in
    several ways, for example for more epochs, it is the one of the highest precision.
    """
    plain = _plain(panel)
    if plain is None or all(row.spec.method == PLAIN for row in panel.rows):
        return None
    return min(_near(panel, plain), key=lambda row: _seen(row)[1])


def _plain(panel: Panel) -> Row | None:
    """The row of ``erm``, if it has figures; of several that of the highest validation AP."""
    plain = [row for row in panel.rows if row.spec.method == PLAIN and _known(row)]
    return max(plain, key=lambda row: _seen(row)[0], default=None)


def _near(panel: Panel, erm: Row) -> list[Row]:
    """The rows of nearly the precision of ``erm`` on the validation rows, itself among them."""
    least = _seen(erm)[0] - AP_LOSS
    return [row for row in _candidates(panel, erm) if _seen(row)[0] >= least]


def _candidates(panel: Panel, erm: Row) -> list[Row]:
    """The rows with figures under as many seeds as ``erm``.

    A mean that leaves seeds out is of those under which the setting did well enough to have one.
    """
    return [row for row in panel.rows if _known(row) and _undefined(row) <= _undefined(erm)]


def verdict(panel: Panel) -> str:
    """What is recommended, with its figures on the test rows; empty without ``erm`` or others.

    A setting is told apart from another where their 95 % intervals over seeds do not overlap; that
    is stricter than a test of the difference, and needs no pairing.
    """
    best, erm = smallest_gap(panel), _plain(panel)
    if best is None or erm is None:
        return ""
    words = gap_measure(panel.measure).words
    start = f"By the validation rows, at an AP within {AP_LOSS:g} of {_plain_name(erm, panel)}'s"
    if best is erm:
        text = f"{start}, no setting has a smaller {words} than {PLAIN} itself"
        return f"{text} (test rows: {_figure(erm)}){_next(panel, erm)}{_left_out(panel, erm)}."
    others = [row for row in _near(panel, erm) if row is not best]
    open_against = [row_name(row, panel) for row in others if _overlap(row, best)]
    text = (
        f"{start}, the smallest {words} has {row_name(best, panel)}; on the test rows "
        f"{_figure(best)} against {_figure(erm)} of {PLAIN}, at an AP of "
        f"{best.average_precision.mean:.3f} against {erm.average_precision.mean:.3f}, "
        f"{_seeds(best)}"
    )
    if best.gap.n < 2:
        text = f"{text}; one seed can't tell it from the others"
    elif open_against:
        text = f"{text}; undecided against {', '.join(open_against)}"
    return f"{text}{_left_out(panel, erm)}."


def _next(panel: Panel, erm: Row) -> str:
    """What a smaller gap than that of erm costs at least, if there is any."""
    smaller = [row for row in _candidates(panel, erm) if _seen(row)[1] < _seen(erm)[1]]
    if not smaller:
        return ""
    nearest = max(smaller, key=lambda row: _seen(row)[0])
    ap = f"{nearest.average_precision.mean:.3f} against {erm.average_precision.mean:.3f}"
    return f"; the next is {row_name(nearest, panel)}: {_figure(nearest)} at an AP of {ap}"


def _plain_name(erm: Row, panel: Panel) -> str:
    """How ``erm`` is called; where it was trained in several ways, which of them it is."""
    several = sum(row.spec.method == PLAIN for row in panel.rows) > 1
    return row_name(erm, panel) if several else PLAIN


def _seeds(row: Row) -> str:
    """On how many seeds the gap rests."""
    some = "" if row.gap.n == row.n else f"{row.gap.n} of "
    return f"{some}{row.n} seed{'s' if row.n > 1 else ''}"


def _left_out(panel: Panel, erm: Row) -> str:
    """The settings that are not asked, if there are any."""
    asked = _candidates(panel, erm)
    names = [row_name(row, panel) for row in panel.rows if row not in asked]
    return f"; left out, as undefined under more seeds: {', '.join(names)}" if names else ""


def row_name(row: Row, panel: Panel) -> str:
    """A setting in a few words."""
    return f"{curve_label(row.spec, panel.varying)} {weight_text(row.spec)}".strip()


def _figure(row: Row) -> str:
    """The gap with its interval."""
    width = f" ± {row.gap.half_width:.3f}" if row.gap.n > 1 else ""
    return f"{row.gap.mean:.3f}{width}"


def _seen(row: Row) -> tuple[float, float]:
    """Average precision and gap on the validation rows."""
    return row.validation["average_precision"].mean, row.validation[row.measure].mean


def _known(row: Row) -> bool:
    """Whether the row has a precision and a gap, on the validation and on the test rows."""
    figures = (*_seen(row), row.average_precision.mean, row.gap.mean)
    return not any(map(math.isnan, figures))


def _undefined(row: Row) -> int:
    """The seeds under which a figure that decides is not defined."""
    deciding = (row.validation["average_precision"], row.validation[row.measure], row.gap)
    return row.n - min(figure.n for figure in deciding)


def _overlap(row: Row, best: Row) -> bool:
    """Whether the intervals of two gaps meet; one without an interval may meet any."""
    apart = row.gap.mean - row.gap.half_width > best.gap.mean + best.gap.half_width
    return not apart


def groups_of(
    rows: Sequence[Row], records: Sequence[TrialRecord], overviews: Overviews
) -> list[list[dict[str, Any]]]:
    """For each setting the groups of the test rows under its first seed, at its chosen epoch.

    Sizes and rates as ``told_groups`` gives them; nothing where the record has none, or where the
    names of the groups are not known.

    Args:
        rows: the settings.
        records: the trials.
        overviews: of the data, which have the names of the groups.
    """
    done = {(one.spec, one.fingerprint): one for one in records if one.status == "done"}
    result = []
    for row in rows:
        record = done.get((row.spec, row.fingerprint))
        overview = overviews.get((row.spec.data, row.fingerprint))
        names = overview.groups if overview else ()
        epoch = row.selection.choose(record.history, row.spec.gap) if record else None
        cells = epoch.cells.get("test") if epoch else None
        known = cells is not None and cells.n_groups == len(names)
        result.append(told_groups(cells, names) if cells is not None and known else [])
    return result


def verdicts(panels: Sequence[Panel]) -> list[str]:
    """The sentence of each data set and gap that has one."""
    return [text for panel in panels if (text := verdict(panel))]
