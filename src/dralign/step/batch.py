"""The rows of one step: blocks of one group, or cell of group and label, one after the other."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dralign.rationale.inputs import Inputs


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
        weight: (n,) what each row counts, in the mean over a block 1; None where rows are not
            weighted.
    """

    x: Inputs
    y: Tensor
    group: Tensor
    blocks: tuple[Block, ...]
    weight: Tensor | None = None

    def weighted(self, of_rows: Tensor, rows: slice | Tensor = slice(None)) -> Tensor:
        """What is known of some rows, (m,), times what they count."""
        return of_rows if self.weight is None else of_rows * self.weight[rows].to(of_rows)


def batch_in_blocks(
    x: Inputs, label: Tensor, group: Tensor, *, n_groups: int, by_label: bool
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


def part_of(blocks: Sequence[Block], index: int, n_parts: int) -> tuple[Tensor, tuple[Block, ...]]:
    """The row numbers of one of ``n_parts`` parts of a batch, and the blocks they make there.

    Every block is cut into neighbouring pieces whose sizes differ by at most 1, so blocks of the
    same size are cut alike. A block of fewer rows than parts is empty in some of them.

    Args:
        blocks: of the whole batch.
        index: which part, from 0.
        n_parts: how many parts there are.
    """
    pieces = [torch.arange(b.start, b.stop).tensor_split(n_parts)[index] for b in blocks]
    start, inside = 0, []
    for block, piece in zip(blocks, pieces, strict=True):
        inside.append(replace(block, start=start, stop=start + len(piece)))
        start += len(piece)
    return torch.cat(pieces), tuple(inside)
