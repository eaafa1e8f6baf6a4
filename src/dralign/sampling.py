"""Batches: uniform over rows, balanced over groups, or balanced over cells (group x label)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from dralign.errors import GroupError, OptionError, unknown

Balance = Literal["uniform", "group", "cell"]


@dataclass(frozen=True)
class Block:
    """A run of neighbouring rows of a batch that were drawn from the same population.

    Attributes:
        start: the first row.
        stop: the row after the last.
        group: the group code of all its rows; None where groups are mixed.
        label: the label of all its rows; None where labels are mixed.
    """

    start: int
    stop: int
    group: int | None = None
    label: int | None = None

    @property
    def rows(self) -> slice:
        """Where the block lies in the batch."""
        return slice(self.start, self.stop)


@dataclass(frozen=True)
class Batch:
    """The rows of one training step.

    Attributes:
        x: (n, ...) inputs.
        y: (n,) labels.
        group: (n,) int64 group codes.
        blocks: the blocks, in order, that make up the n rows.
    """

    x: Tensor
    y: Tensor
    group: Tensor
    blocks: tuple[Block, ...]


def batch_in_blocks(
    x: Tensor, label: Tensor, group: Tensor, *, n_groups: int, by_label: bool
) -> Batch:
    """The rows of a batch of any order, gathered into one block per group, or per cell.

    Rows without a group (-1) come last, in a block of mixed groups. Empty blocks are left out.

    Args:
        x: (n, ...) inputs.
        label: (n,) labels 0..C-1.
        group: (n,) int64 codes.
        n_groups: the number of groups G.
        by_label: whether to keep the labels of a group apart.
    """
    n_labels = int(label.max()) + 1 if by_label and len(label) else 1
    cell = group * n_labels + (label if by_label else 0)
    cell = torch.where(group < 0, n_groups * n_labels, cell)
    order = cell.argsort(stable=True)
    blocks, start = [], 0
    for code, count in enumerate(torch.bincount(cell, minlength=n_groups * n_labels).tolist()):
        if count:
            g, y = divmod(code, n_labels)
            known = g < n_groups
            where = (g if known else None, y if known and by_label else None)
            blocks.append(Block(start, start + count, *where))
            start += count
    return Batch(x[order], label[order], group[order], tuple(blocks))


def part_of(blocks: Sequence[Block], place: int, n_parts: int) -> tuple[Tensor, tuple[Block, ...]]:
    """The row numbers of one of ``n_parts`` parts of a batch, and the blocks they make there.

    Every block is cut into neighbouring pieces whose sizes differ by at most 1, so blocks of the
    same size are cut alike. A block of fewer rows than parts is empty in some of them.

    Args:
        blocks: of the whole batch.
        place: which part, from 0.
        n_parts: how many parts there are.
    """
    pieces = [torch.arange(b.start, b.stop).tensor_split(n_parts)[place] for b in blocks]
    start, inside = 0, []
    for block, piece in zip(blocks, pieces, strict=True):
        inside.append(replace(block, start=start, stop=start + len(piece)))
        start += len(piece)
    return torch.cat(pieces), tuple(inside)


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
        place = self._generator.choice(len(rows), size, replace=len(rows) < size)
        return rows[torch.from_numpy(place)]


def _where(mask: Tensor) -> Tensor:
    """The row numbers at which the mask holds."""
    return mask.nonzero().squeeze(1)
