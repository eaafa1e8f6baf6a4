"""What a record keeps of the scores themselves, cell by cell: enough for the next question.

For every cell of group and label its rows, how many were selected, the mean score, and quantiles
of the scores (:mod:`dralign.metrics.quantiles`). The rates of the groups follow exactly, and any
measure of score distributions to within a few thousandths, so that a new measure costs no runs.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from dralign.errors import DataError, DralignError
from dralign.forms import Form
from dralign.metrics.arrays import Floats
from dralign.metrics.group_rates import GroupRow, cells_of, group_rows_from
from dralign.metrics.quantiles import (
    POINTS,
    ScoreQuantiles,
    rows_from_quantiles,
    score_quantiles_of,
)
from dralign.metrics.scored_rows import Scored

_TYPE: Final = np.dtype("<f2")
_BITS: Final = np.dtype("<u2")  # of numbers from 0 on they are in the same order
_BITS_OF_ONE: Final = 0x3C00
_PLAIN: Final = ("counts", "selected", "mean_scores", "quantiles")
_OF_WEIGHTS: Final = ("weights", "squares")
_SLACK: Final = 1e-9  # sums of weights are rounded
_TINY: Final = 1e-300  # squares of weights that are smaller still are rounded to nothing
_MOST_ROWS: Final = 2**31  # in all cells
_MOST_WEIGHT: Final = 1e150  # of a cell: its square is a number, too


@dataclass(frozen=True)
class Cells:
    """The cells of one set of predictions of two classes: label 0 and label 1 of every group.

    Attributes:
        counts: (2 G,) the rows of each cell.
        selected: (2 G,) how many of them were decided 1; the sum of their weights where there are
            weights.
        mean_scores: (2 G,) the (weighted) means of their scores; 0 in an empty cell.
        quantiles: base64 of float16 (G, 2, points), little-endian; empty where none were kept.
        weights: (2 G,) the sum of the rows' weights; empty where they are not weighted.
        squares: (2 G,) the sum of the squares of their weights; empty where they are not weighted.
    """

    counts: tuple[int, ...]
    selected: tuple[float, ...]
    mean_scores: tuple[float, ...]
    quantiles: str = ""
    weights: tuple[float, ...] = ()
    squares: tuple[float, ...] = ()

    @classmethod
    def of(cls, rows: Scored) -> "Cells | None":
        """The cells of the rows; None without groups, and for more than two classes."""
        if rows.by_class or not rows.n_groups:
            return None
        names = tuple(map(str, range(rows.n_groups)))
        kept = score_quantiles_of(rows.y, rows.prob, rows.codes, names, weight=rows.weight)
        quantiles = base64.b64encode(kept.quantiles.astype(_TYPE).tobytes()).decode()
        if rows.weight is not None:
            return cls._weighted(rows, rows.weight, quantiles)
        values = (np.ones_like(rows.y), rows.decision, rows.prob)
        count, selected, total = cells_of(rows.y, values, rows.codes, rows.n_groups)
        return cls(
            tuple(count.astype(np.int64).ravel().tolist()),
            tuple(selected.astype(np.int64).ravel().tolist()),
            tuple((total / np.maximum(count, 1)).ravel().tolist()),
            quantiles,
        )

    @classmethod
    def _weighted(cls, rows: Scored, weight: Floats, quantiles: str) -> "Cells":
        """The cells of weighted rows."""
        values = (
            np.ones_like(weight),
            weight * rows.decision,
            weight * rows.prob,
            weight,
            weight**2,
        )
        cells = cells_of(rows.y, values, rows.codes, rows.n_groups)
        count, selected, total, weights, squares = (cell.ravel() for cell in cells)
        return cls(
            tuple(count.astype(np.int64).tolist()),
            tuple(selected.tolist()),
            tuple((total / np.where(weights > 0, weights, 1)).tolist()),
            quantiles,
            tuple(weights.tolist()),
            tuple(squares.tolist()),
        )

    @property
    def effective_rows(self) -> tuple[float, ...]:
        """(G,) how many rows of equal weight would tell as much of each group (Kish, 1965).

        (sum of w)^2 / sum of w^2; the number of rows where they are not weighted.
        """
        if not self.weights:
            counts = np.array(self.counts).reshape(-1, 2).sum(1)
            return tuple(counts.tolist())
        total, squares = (
            np.array(entries).reshape(-1, 2).sum(1) for entries in (self.weights, self.squares)
        )
        return tuple((total**2 / np.where(squares > 0, squares, 1)).tolist())

    def selected_at_base_rate(self) -> Floats:
        """(G, 2) the share of each cell that is selected at the base rate, from its quantiles.

        As many rows (or weights) are selected in all as are positive; 0 in an empty cell.

        Raises:
            DataError: if no quantiles were kept.
        """
        y, f, codes, weight = rows_from_quantiles(self.score_quantiles())
        rows = Scored(y, f, f, codes, self.n_groups, weight)
        size, selected = cells_of(
            y, (rows.counted, rows.counted * rows.at_base_rate), codes, self.n_groups
        )
        return np.asarray(selected / np.where(size > 0, size, 1))

    @property
    def n_groups(self) -> int:
        """The number of groups G."""
        return len(self.counts) // 2

    def score_quantiles(self, names: Sequence[str] = ()) -> ScoreQuantiles:
        """The quantiles, with the names of the groups, or their numbers.

        Raises:
            DataError: if none were kept.
        """
        if not self.quantiles:
            raise DataError("quantiles: this record keeps none")
        values = np.frombuffer(base64.b64decode(self.quantiles), dtype=_TYPE)
        return ScoreQuantiles(
            self._named(names),
            np.array(self.counts, dtype=np.int64).reshape(-1, 2),
            values.astype(np.float16).reshape(-1, 2, POINTS),
            np.array(self.weights).reshape(-1, 2) if self.weights else None,
        )

    def group_rows(self, names: Sequence[str] = ()) -> tuple[GroupRow, ...]:
        """Rows, positives, mean score and rates of every group; a rate over no rows is NaN."""
        count, selected, means = (
            np.array(entries, dtype=np.float64).reshape(-1, 2)
            for entries in (self.counts, self.selected, self.mean_scores)
        )
        weight = np.array(self.weights).reshape(-1, 2) if self.weights else None
        total = means * (count if weight is None else weight)
        return group_rows_from(count, total, selected, self._named(names), weight)

    def to_dict(self) -> dict[str, Any]:
        """A form for ``forms.to_json``; without weights it says nothing of them."""
        form = {key: list(v) if isinstance(v, tuple) else v for key, v in vars(self).items()}
        return {key: v for key, v in form.items() if self.weights or key not in _OF_WEIGHTS}

    @classmethod
    def from_dict(
        cls, content: object, where: str = "cells", *, error: type[DralignError] = DataError
    ) -> "Cells":
        """The cells that ``to_dict`` gave, also after their way through JSON.

        Raises:
            DralignError: the ``error``, if an entry is unknown, missing, of another type or out of
                range, or they do not belong together.
        """
        form = Form(content, where, error=error)
        weighted = any(key in form.content for key in _OF_WEIGHTS)
        form.only(*_PLAIN, *(_OF_WEIGHTS if weighted else ()))
        n = len(form.entries("counts"))
        counts, selected = (form.numbers(key, n) for key in ("counts", "selected"))
        weights, squares = (form.numbers(key, n) if weighted else () for key in _OF_WEIGHTS)
        whole = all(number.is_integer() for number in (*counts, *(() if weighted else selected)))
        sizes = [most * (1 + _SLACK) for most in weights] if weighted else counts
        within = all(0 <= part <= all_ for part, all_ in zip(selected, sizes, strict=True))
        within &= sum(counts) <= _MOST_ROWS
        if n % 2 or not whole or not within:
            raise error(f"{where}: expected of every cell how many rows are selected of how many")
        if weighted and not all(map(_can_weigh, counts, weights, squares)):
            raise error(f"{where}: expected weights of every cell's rows, and their squares")
        kept = form.text("quantiles")
        if kept and not _are_quantiles(kept, counts):
            raise error(f"{where}: expected {POINTS} quantiles of every cell, from 0 to 1")
        means = form.numbers("mean_scores", n)
        if n and not -_SLACK <= min(means) <= max(means) <= 1 + _SLACK:
            raise error(f"{where}: expected mean scores from 0 to 1")
        chosen = selected if weighted else tuple(map(int, selected))
        return cls(tuple(map(int, counts)), chosen, means, kept, weights, squares)

    def _named(self, names: Sequence[str]) -> tuple[str, ...]:
        """The names of the groups, or their numbers."""
        return tuple(names) or tuple(map(str, range(self.n_groups)))


def _can_weigh(count: float, weight: float, squares: float) -> bool:
    """Whether so many positive weights can have this sum, and this sum of squares."""
    if not count:
        return weight == squares == 0
    square = weight * weight
    least, most = square / count * (1 - _SLACK) - _TINY, square * (1 + _SLACK) + _TINY
    return count > 0 and 0 < weight <= _MOST_WEIGHT and least <= squares <= most


def _are_quantiles(text: str, counts: Sequence[float]) -> bool:
    """Whether a base64 text holds the quantiles of cells of so many rows."""
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    if len(content) != len(counts) * POINTS * _TYPE.itemsize:
        return False
    if np.frombuffer(content, dtype=_BITS).max(initial=0) <= _BITS_OF_ONE:
        return True
    kept = np.frombuffer(content, dtype=_TYPE).reshape(-1, POINTS)[np.array(counts) > 0]
    return bool(((kept >= 0) & (kept <= 1)).all())  # of empty cells they are NaN
