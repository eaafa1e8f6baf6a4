"""What a reader of a run's figures must know first: one line each, mostly none."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from dralign.gaps import gap_type, judged_by
from dralign.metrics import Cells, gap_measure, level_note
from dralign.metrics.decisions import FEWEST, NEARLY_ALL, same_decision_line
from dralign.metrics.measures import DEFAULT
from dralign.training.history import EpochRecord, History, Scores
from dralign.training.selection import Selection

Kind = Literal["decision", "level", "epoch", "undefined", "rows"]
FEW: Final = 30  # rows, below which a rate is uncertain by more than .18 either way
AP_AHEAD: Final = 0.02  # of average precision, by which an epoch that was passed over is told of
_NORMAL: Final = 1.96


@dataclass(frozen=True)
class Caution:
    """One thing to know first.

    Attributes:
        kind: what it is about, the same for all runs.
        text: one line.
    """

    kind: Kind
    text: str


def cautions(
    history: History,
    selection: Selection,
    gap: str,
    *,
    names: Sequence[str] = (),
    split: Literal["validation", "test"] = "test",
    rows: str = "test rows",
    decisions: Sequence[str] = ("0", "1"),
) -> list[Caution]:
    """What must be said of the chosen epoch's figures.

    - Nearly all rows get the same decision, which by itself makes hard gaps small.
    - Scores shrank or swelled: the mean score is more than a quarter off the share of positives.
    - Another epoch has a base-rate gap on the validation rows that is smaller by more than chance.
    - Another epoch, also one that is left out, has an average precision there that is higher by
      ``AP_AHEAD`` and by its standard error or more, and no base-rate gap larger by more than
      chance, so that nothing was won by what was given up. It is not told under a rule with a
      bound, nor beside the line before.
    - No epoch has a gap on the validation rows that the selection could go by.
    - A group has fewer rows than a rate needs.

    Args:
        history: the records of the run.
        selection: how the epoch was chosen.
        gap: the gap the run was trained for.
        names: of the groups, if they are known.
        split: whose figures are told.
        rows: what these rows are called.
        decisions: how the two decisions are written.
    """
    chosen = selection.choose(history, gap)
    figures: Scores = getattr(chosen, split)
    cells = chosen.cells.get(split)
    lines: list[tuple[Kind, str]] = [
        ("decision", _same(figures, cells, rows, decisions)),
        ("level", _level(figures)),
        (
            "epoch",
            _epoch(history, chosen, selection, gap) or _precision(history, chosen, selection, gap),
        ),
        ("undefined", _undefined(history, chosen, selection, gap)),
        *(("rows", line) for line in _small(cells, names, rows)),
    ]
    return [Caution(kind, line) for kind, line in lines if line]


def _same(figures: Scores, cells: Cells | None, rows: str, decisions: Sequence[str]) -> str:
    """Whether nearly all rows get the same decision."""
    share = figures.get("same_decision_share", math.nan)
    if not share >= NEARLY_ALL or (cells is not None and sum(cells.counts) < FEWEST):
        return ""
    which = "the same decision"
    if cells is not None:
        which = (
            f"decision {decisions[2 * sum(cells.selected) > sum(cells.weights or cells.counts)]}"
        )
    return same_decision_line(share, rows, which=which)


def _level(figures: Scores) -> str:
    """Whether the mean score is far off."""
    mean = figures.get("mean_probability", math.nan)
    positive = figures.get("positive_share", math.nan)
    note = level_note(mean, positive)
    return f"{note} (mean score {mean:.3f}, positives {positive:.3f})" if note else ""


def _epoch(history: History, chosen: EpochRecord, selection: Selection, gap: str) -> str:
    """Whether another epoch does better by the base-rate gap, by more than chance explains."""
    measure = gap_measure(DEFAULT)
    if measure.key(gap) not in chosen.validation:
        return ""
    best = Selection(warmup=selection.warmup).choose(history, gap)
    here, there = (measure.of(record.validation, gap) for record in (chosen, best))
    margin = margin_of(chosen.cells.get("validation"), gap)
    if not here - there > margin:
        return ""
    return (
        f"epoch {best.epoch} has a {measure.words} of {there:.3f} on the validation rows, the "
        f"chosen epoch {chosen.epoch} ({selection}) {here:.3f}: more than chance explains "
        f"(± {margin:.3f})"
    )


def _precision(history: History, chosen: EpochRecord, selection: Selection, gap: str) -> str:
    """Whether another epoch is much more precise, and the chosen one has no smaller gap for it."""
    if selection.bound is not None:
        return ""
    best = Selection("highest_ap", warmup=0).choose(history, gap)
    here, there = (record.validation["average_precision"] for record in (chosen, best))
    if not there - here >= max(AP_AHEAD, _error_of(here, chosen.cells.get("validation"))):
        return ""
    measure = gap_measure(DEFAULT)
    won = measure.of(best.validation, gap) - measure.of(chosen.validation, gap)
    margin = margin_of(chosen.cells.get("validation"), gap)
    if won > (margin if math.isfinite(margin) else 0.0):
        return ""
    rule = 'select="highest_ap" (--select highest_ap)'
    if best.epoch < selection.warmup:
        rule = 'select="highest_ap" and warmup=0 (--select highest_ap --warmup 0)'
    return (
        f"epoch {best.epoch} has an AP of {there:.3f} on the validation rows, the chosen epoch "
        f"{chosen.epoch} ({selection}) {here:.3f} at a {measure.words} smaller by no more than "
        f"chance explains; to take that one: {rule}"
    )


def _undefined(history: History, chosen: EpochRecord, selection: Selection, gap: str) -> str:
    """Whether there was nothing that the selection asks for."""
    if len(history) < 2 or not selection.without_gap(history, gap):
        return ""
    words = gap_measure(selection.measure).words
    return (
        f"no epoch has a {words} on the validation rows, where a group or a label is missing: "
        f"epoch {chosen.epoch} was chosen as the one of the highest AP"
    )


def _error_of(average_precision: float, cells: Cells | None) -> float:
    """About the standard error of an average precision: that of a share of the positive rows."""
    positive = sum(cells.counts[1::2]) if cells is not None else 0
    return math.sqrt(average_precision * (1 - average_precision) / positive) if positive else 0.0


def margin_of(cells: Cells | None, gap: str) -> float:
    """Half of the 95 % interval of a base-rate gap of the two smallest groups, at equal rates.

    By the normal distribution (Eq. 45). Infinite without quantiles, or where a group has no rows
    that are compared.

    Args:
        cells: of the rows that are judged.
        gap: the gap a run was trained for.
    """
    if cells is None or not cells.quantiles:
        return math.inf
    share = cells.selected_at_base_rate()
    taken = np.stack([1 - share, share], axis=-1)  # (groups, labels, whether it is selected)
    label, selected = np.repeat([0.0, 1.0], 2), np.tile([0.0, 1.0], 2)
    size, squares = (
        (np.reshape(one, (-1, 2, 1)) * taken).reshape(-1, 4)
        for one in (cells.weights or cells.counts, cells.squares or cells.counts)
    )
    kind = gap_type(judged_by(gap))
    value, compared = kind.weighted(selected, label, 2)
    within = (1 - label, label) if kind.labels_alike else (np.ones(4),)
    variance = 0.0
    for rate in compared:
        for part in within:
            of_rate = part if rate is None else part * rate
            rows = size @ of_rate
            if not rows.all():
                return math.inf
            mean = float((size @ (of_rate * value)).sum() / rows.sum())
            effective = np.sort(rows**2 / (squares @ of_rate**2))[:2]
            variance += mean * (1 - mean) * float((1 / effective).sum()) / len(within) ** 2
    return _NORMAL * math.sqrt(variance) if variance >= 0 else math.inf


def _small(cells: Cells | None, names: Sequence[str], rows: str) -> list[str]:
    """Groups with few rows."""
    if cells is None:
        return []
    shown = [repr(name) for name in names] or [str(code) for code in range(cells.n_groups)]
    return [
        f"group {row.group} has {row.rows} {rows}{_telling(row.rows, n)}: its rates are uncertain "
        f"by up to ± {_NORMAL * math.sqrt(0.25 / n):.2f}"
        if row.rows
        else f"group {row.group} has no {rows}"
        for row, n in zip(cells.group_rows(shown), cells.effective_rows, strict=True)
        if n < FEW
    ]


def _telling(rows: int, effective: float) -> str:
    """How many rows of equal weight would tell as much, where that is another number."""
    return "" if effective == rows else f", by their weights worth {effective:.1f} equal ones"
