"""Drawing batches: uniform over rows, balanced over groups, or over cells (group x label)."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from dralign.errors import GroupError, OptionError, unknown
from dralign.step.batch import Block

Balance = Literal["uniform", "group", "cell"]


class Sampler:
    """Draws the row numbers of batches, block by block.

    Within a batch a row is drawn at most once, as in the published code; a population smaller than
    its block is drawn with replacement instead.

    Rows without a group (-1) come last in a balanced batch, in a block of no group and no label. It
    is as large as the other blocks together times the share of such rows in the training rows, and
    never empty; without such rows there is no such block.

    Attributes:
        blocks: how every batch is laid out.
    """

    def __init__(
        self,
        label: Tensor,
        group: Tensor,
        *,
        balance: Balance,
        rows_per_block: int,
        n_blocks: int,
        n_groups: int,
        generator: np.random.Generator,
    ) -> None:
        """Finds the rows of each population once.

        Args:
            label: (n,) labels of the training rows, 0..C-1.
            group: (n,) int64 group codes.
            balance: ``"uniform"`` draws from all rows; ``"group"`` the same number from every
                group; ``"cell"`` the same number from every group within every label.
            rows_per_block: rows drawn from each population.
            n_blocks: how many blocks' worth of rows a uniform batch has, so that it is as large as
                a balanced one.
            n_groups: the number of groups.
            generator: the source of randomness; its state moves on with every draw.

        Raises:
            OptionError: if the balance is unknown or a size is not positive.
            GroupError: if a population is empty.
        """
        if rows_per_block < 1:
            raise OptionError(f"batch size: expected at least 1 row, got {rows_per_block}")
        populations: list[tuple[int | None, int | None, Tensor]]
        if balance == "uniform":
            populations = [(None, None, torch.arange(len(label)))]
            rows_per_block *= n_blocks
        elif balance == "group":
            populations = [(g, None, _where(group == g)) for g in range(n_groups)]
        elif balance == "cell":
            labels = range(int(label.max()) + 1)
            populations = [
                (g, y, _where((group == g) & (label == y))) for g in range(n_groups) for y in labels
            ]
        else:
            raise OptionError(unknown("balance", balance, ("uniform", "group", "cell")))
        for g, y, rows in populations:
            if not len(rows):
                raise GroupError(f"no training rows with group code {g} and label {y} to draw from")
        self._generator = generator
        self._draws = [(rows, rows_per_block) for _, _, rows in populations]
        unknown_group = _where(group < 0)
        if balance != "uniform" and len(unknown_group):
            size = round(rows_per_block * len(populations) * len(unknown_group) / len(group))
            self._draws.append((unknown_group, max(size, 1)))
            populations.append((None, None, unknown_group))
        ends = np.cumsum([size for _, size in self._draws]).tolist()
        self.blocks = tuple(
            Block(end - size, end, g, y)
            for end, (_, size), (g, y, _) in zip(ends, self._draws, populations, strict=True)
        )

    def draw(self) -> Tensor:
        """The row numbers of the next batch, in the order of ``blocks``."""
        return torch.cat([self._draw_from(rows, size) for rows, size in self._draws])

    def _draw_from(self, rows: Tensor, size: int) -> Tensor:
        """``size`` of the given row numbers."""
        # numpy draws a few from many without permuting them all, 50 times faster than randperm.
        drawn = self._generator.choice(len(rows), size, replace=len(rows) < size)
        return rows[torch.from_numpy(drawn)]


def _where(mask: Tensor) -> Tensor:
    """The row numbers at which the mask holds."""
    return mask.nonzero().squeeze(1)
