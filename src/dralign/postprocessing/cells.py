"""Which cells of group and label a gap compares, and how likely each is for a row."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from dralign.errors import OptionError
from dralign.gaps import gap_type
from dralign.metrics.arrays import Codes, Floats

GAPS: Final = ("demographic_parity", "equalized_odds", "equal_opportunity")


@dataclass(frozen=True)
class ComparedCells:
    """The cells that a gap compares: the groups, within each label that it conditions on.

    Cells are numbered stratum by stratum. Where the gap leaves out the rows of a label, these are
    one more class, the last.

    Attributes:
        strata: the labels within which groups are compared; None stands for all rows.
        n_groups: the number of groups G.
    """

    strata: tuple[int | None, ...]
    n_groups: int

    @classmethod
    def of(cls, gap: str, n_groups: int) -> "ComparedCells":
        """The cells of a gap.

        Raises:
            OptionError: if it is not one of ``GAPS``.
        """
        if gap not in GAPS:
            raise OptionError(f"gap: scores can be shifted for {', '.join(GAPS)}, got {gap!r}")
        return cls(gap_type(gap).strata_of(2), n_groups)

    @property
    def compared(self) -> int:
        """The number of cells that are compared."""
        return len(self.strata) * self.n_groups

    @property
    def n_classes(self) -> int:
        """The number of cells, with the one of the rows that are left out, if there are any."""
        return self.compared + (self.strata not in {(None,), (0, 1)})

    def codes(self, group: Codes, label: Codes) -> Codes:
        """(n,) the cell of each row; -1 for rows of no group."""
        result = np.full(len(group), self.compared, dtype=np.int64)
        for index, stratum in enumerate(self.strata):
            inside = np.ones(len(group), dtype=bool) if stratum is None else label == stratum
            result[inside] = index * self.n_groups + group[inside]
        result[group < 0] = -1
        return result

    def shares(self, codes: Codes) -> Floats:
        """(cells,) the share of the rows with a group that is in each cell."""
        counts = np.bincount(codes[codes >= 0], minlength=self.n_classes).astype(np.float64)
        return np.asarray(counts / max(counts.sum(), 1.0))

    def by_group(self, per_cell: Floats) -> Floats:
        """(groups, 2) what the cells give a group's rows if their label is 0, and if it is 1."""
        by_stratum = per_cell[: self.compared].reshape(-1, self.n_groups)
        parts = zip(self.strata, by_stratum, strict=True)
        result = np.zeros((self.n_groups, 2))
        for stratum, own in parts:
            for label in (0, 1) if stratum is None else (stratum,):
                result[:, label] += own
        return result

    def of_known_group(self, group: Codes, prob: Floats) -> Floats:
        """(n, cells) how likely each cell is for rows whose group is known.

        Args:
            group: (n,) codes; rows coded -1 are in no cell.
            prob: (n,) the probability of label 1.
        """
        own = (group[:, None] == np.arange(self.n_groups)).astype(np.float64)  # (n, groups)
        likely: dict[int | None, Floats] = {None: np.ones_like(prob), 0: 1 - prob, 1: prob}
        parts = [own * likely[stratum][:, None] for stratum in self.strata]
        rest = np.zeros((len(prob), self.n_classes - self.compared))
        return np.concatenate([*parts, rest], axis=1)
