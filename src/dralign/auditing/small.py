"""Small groups, whose figures would tell the labels of single people, are withheld."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dralign.errors import GroupError
from dralign.gaps import figure_names, gap_type
from dralign.metrics import all_measures, evaluate
from dralign.metrics.arrays import THRESHOLD

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
FEWEST_ROWS = 2  # that gradients and intervals of a group need


class Shown(NamedTuple):
    """The groups that are large enough.

    Attributes:
        codes: (n,) int64 codes 0..G-1; -1 for rows of no group and of a small one.
        names: of the groups that are left.
        withheld: the names of the others.
    """

    codes: Tensor
    names: tuple[str, ...]
    withheld: tuple[str, ...]


def large_enough(codes: Tensor, names: Sequence[str], least: int) -> Shown:
    """The groups with at least ``least`` rows, numbered anew where one is withheld.

    Raises:
        GroupError: if there is only one group, or only one is large enough, or a group has fewer
            than 2 rows.
    """
    if len(names) < 2:
        where = f"all rows are in one group ({names[0]!r})" if names else "no row is in a group"
        raise GroupError(f"{where}; an audit compares two at least")
    counts = torch.bincount(codes[codes >= 0], minlength=len(names)).tolist()
    kept = [code for code, count in enumerate(counts) if count >= least]
    if len(kept) < 2:
        few = len(kept) or "none"
        raise GroupError(
            f"{few} of the groups {', '.join(map(repr, names))} have {least} rows or more, "
            "and an audit compares two at least; a smaller min_group_size (--min-group-size) "
            "shows smaller ones"
        )
    for code in kept:
        if counts[code] < FEWEST_ROWS:
            raise GroupError(
                f"group {names[code]!r}: expected at least {FEWEST_ROWS} rows, got {counts[code]}"
            )
    if len(kept) == len(names):
        return Shown(codes, tuple(names), ())
    new = torch.full((len(names),), -1, dtype=torch.int64, device=codes.device)
    new[kept] = torch.arange(len(kept), device=codes.device)
    renumbered = torch.where(codes >= 0, new[codes.clamp(min=0)], codes)
    withheld = tuple(name for code, name in enumerate(names) if code not in kept)
    return Shown(renumbered, tuple(names[code] for code in kept), withheld)


def large_cells(label: Codes, group: Codes, least: int) -> Codes:
    """(n,) group codes; -1 for rows whose group has fewer than ``least`` rows of their label."""
    cells = group.copy()
    for code in np.unique(group):
        for value in np.unique(label):
            rows = (group == code) & (label == value)
            if rows.sum() < least:
                cells[rows] = -1
    return cells


def figures(
    label: Floats | Codes,
    prob: Floats,
    group: Codes,
    cells: Codes,
    n_groups: int,
    thresholds: Sequence[float],
    weight: Floats | None = None,
) -> dict[str, float]:
    """``evaluate``, with the gaps that condition on the label over large cells alone."""
    limits = limits_of(thresholds)
    how: dict[str, Any] = {"n_groups": n_groups, "thresholds": limits, "sample_weight": weight}
    result = evaluate(label, prob, group, **how)
    if not np.array_equal(cells, group):
        over_cells = evaluate(label, prob, cells, **how)
        result |= {name: x for name, x in over_cells.items() if name in at_a_label()}
    return result


def limits_of(thresholds: Sequence[float]) -> Sequence[float] | None:
    """The thresholds by group; None where all are the usual one."""
    return None if {*thresholds} <= {THRESHOLD} else thresholds


def at_a_label() -> set[str]:
    """The names of the figures of gaps whose rates are those of rows of one label."""
    kinds = map(gap_type, figure_names())
    gaps = [kind.name for kind in kinds if kind.of_order and kind.strata_of(2) != (None,)]
    measures = [known for known in all_measures() if known.of_gap]
    return {known.key(gap) for known in measures for gap in gaps}


def withheld_line(
    withheld: Sequence[str],
    label: Codes,
    group: Codes,
    names: Sequence[str],
    least: int,
    *,
    positive: str = "1",
) -> str:
    """One line that names what is withheld; empty if nothing is.

    Args:
        withheld: the names of small groups.
        label: (n,) labels of the rows of the other groups.
        group: (n,) their codes.
        names: their names.
        least: rows that a group, and a label of a group, must have.
        positive: how label 1 is written.
    """
    told = [repr(name) for name in withheld]
    texts = ("0", "1") if positive == "1" else (f"other than {positive!r}", repr(positive))
    for value in np.unique(label):
        counts = np.bincount(group[label == value], minlength=len(names))
        told += [
            f"{names[code]!r} at label {texts[value]}"
            for code in np.flatnonzero(counts < least).tolist()
        ]
    if not told:
        return ""
    return (
        f"fewer than {least} rows, so that figures are withheld and left out of gaps: "
        f"{', '.join(told)}; min_group_size (--min-group-size) sets how many are needed"
    )
