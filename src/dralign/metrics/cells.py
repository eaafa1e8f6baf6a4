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
from dralign.metrics.group_rates import GroupRow, cells_of, group_rows_from
from dralign.metrics.measures import Scored
from dralign.metrics.quantiles import POINTS, ScoreQuantiles, score_quantiles_of

_TYPE: Final = np.dtype("<f2")


@dataclass(frozen=True)
class Cells:
    """The cells of one set of predictions of two classes: label 0 and label 1 of every group.

    Attributes:
        counts: (2 G,) the rows of each cell.
        selected: (2 G,) how many of them were decided 1.
        mean_scores: (2 G,) the means of their scores; 0 in an empty cell.
        quantiles: base64 of float16 (G, 2, points), little-endian; empty where none were kept.
    """

    counts: tuple[int, ...]
    selected: tuple[int, ...]
    mean_scores: tuple[float, ...]
    quantiles: str = ""

    @classmethod
    def of(cls, rows: Scored) -> "Cells | None":
        """The cells of the rows; None without groups, and for more than two classes."""
        if rows.by_class or not rows.n_groups:
            return None
        values = (np.ones_like(rows.y), rows.decision, rows.prob)
        count, selected, total = cells_of(rows.y, values, rows.codes, rows.n_groups)
        names = tuple(map(str, range(rows.n_groups)))
        kept = score_quantiles_of(rows.y, rows.prob, rows.codes, names)
        return cls(
            tuple(count.astype(np.int64).ravel().tolist()),
            tuple(selected.astype(np.int64).ravel().tolist()),
            tuple((total / np.maximum(count, 1)).ravel().tolist()),
            base64.b64encode(kept.quantiles.astype(_TYPE).tobytes()).decode(),
        )

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
        )

    def group_rows(self, names: Sequence[str] = ()) -> tuple[GroupRow, ...]:
        """Rows, positives, mean score and rates of every group; a rate over no rows is NaN."""
        count, selected, means = (
            np.array(entries, dtype=np.float64).reshape(-1, 2)
            for entries in (self.counts, self.selected, self.mean_scores)
        )
        return group_rows_from(count, count * means, selected, self._named(names))

    def to_dict(self) -> dict[str, Any]:
        """A form for ``forms.to_json``."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in vars(self).items()}

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
        form.only("counts", "selected", "mean_scores", "quantiles")
        n = len(form.entries("counts"))
        counts, selected = (form.numbers(key, n) for key in ("counts", "selected"))
        whole = all(number.is_integer() for number in (*counts, *selected))
        within = all(0 <= part <= all_ for part, all_ in zip(selected, counts, strict=True))
        if n % 2 or not whole or not within:
            raise error(f"{where}: expected of every cell how many rows are selected of how many")
        kept = form.text("quantiles")
        if kept and _n_bytes(kept) != n * POINTS * _TYPE.itemsize:
            raise error(f"{where}: expected {POINTS} quantiles of every cell")
        means = form.numbers("mean_scores", n)
        return cls(tuple(map(int, counts)), tuple(map(int, selected)), means, kept)

    def _named(self, names: Sequence[str]) -> tuple[str, ...]:
        """The names of the groups, or their numbers."""
        return tuple(names) or tuple(map(str, range(self.n_groups)))


def _n_bytes(text: str) -> int:
    """How many bytes a base64 text stands for; -1 if it is none."""
    try:
        return len(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return -1
