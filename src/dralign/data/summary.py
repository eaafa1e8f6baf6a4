"""Lines that sum up data for a person: the label, the groups, the split."""

from collections.abc import Sequence
from typing import Final

import numpy as np

FEWEST_TOLD: Final = 10  # rows of a group whose labels are told; fewer would tell of people
MOST_NAMED: Final = 8  # groups, classes or columns in a line
NOBODY: Final = "in no group"


def cut(told: Sequence[str]) -> str:
    """The first entries, and how many there are."""
    shown = told if len(told) <= MOST_NAMED else [*told[:MOST_NAMED], f"... ({len(told)} in all)"]
    return ", ".join(shown)


def label_line(
    name: str,
    names: Sequence[str],
    counts: np.ndarray,
    favourable: str = "",
    *,
    weighted: bool = False,
) -> str:
    """The share of the positive label, or of each class.

    Args:
        name: of the label.
        names: the positive value alone, or those of all classes.
        counts: (G + 1, C) rows of each group and class, or their weights.
        favourable: the value that is good for the person it is about.
        weighted: whether they are weights.
    """
    rates = counts.sum(0) / (counts.sum() or 1)
    if len(names) == 1:
        of = "the weight is" if weighted else "rows are"
        shares = f"{_percent(rates[1])} of {of} {names[0] or '1'}"
    else:
        shares = cut([f"{_percent(r)} {n}" for n, r in zip(names, rates, strict=True)])
    return f"label {name}: {shares}{f'; favourable: {favourable}' if favourable else ''}"


def groups_line(
    sensitive: Sequence[str],
    names: Sequence[str],
    counts: np.ndarray,
    weights: np.ndarray | None = None,
) -> str:
    """The groups with their rows, and the share of the positive label in all but tiny ones.

    Args:
        sensitive: the columns that make them.
        names: the G groups.
        counts: (G + 1, C) rows of each group and class, the last those in no group; (G + 1, 1)
            where there is no label.
        weights: the same of their weights, by which shares are taken; None where rows are not
            weighted.
    """
    told = []
    each = counts if weights is None else weights
    for name, row, weight in zip((*names, NOBODY), counts, each, strict=True):
        n = int(row.sum())
        known = len(row) == 2 and n >= FEWEST_TOLD
        rate = f", {_percent(weight[1] / weight.sum())}" if known else ""
        if n or name != NOBODY:
            told.append(f"{name} ({n:,}{rate})")
    return f"groups by {' & '.join(sensitive)}: {cut(told)}"


def split_line(sizes: Sequence[int]) -> str:
    """The number of rows of each part."""
    train, validation, test = sizes
    return f"split: {train:,} training, {validation:,} validation, {test:,} test rows"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
