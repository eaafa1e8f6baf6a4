"""The parts of a step's batch: rows forwarded one after the other, by one process or by several."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dralign.step.batch import Batch, Block, part_of
from dralign.step.processes import add_up, collect, n_processes, rank, require_same


def split(batch: Batch, micro_batch: int | None) -> list[Batch]:
    """Parts of about ``micro_batch`` rows, each with rows of every block that has enough.

    None makes one part of all rows.
    """
    n_parts = 1 if micro_batch is None else -(-len(batch.y) // micro_batch)
    if n_parts <= 1:
        return [batch]
    parts = []
    for index in range(n_parts):
        rows, blocks = part_of(batch.blocks, index, n_parts)
        rows = rows.to(batch.y.device)
        weight = None if batch.weight is None else batch.weight[rows]
        parts.append(Batch(batch.x[rows], batch.y[rows], batch.group[rows], blocks, weight))
    return parts


def with_mean_one(weight: Tensor, blocks: Sequence[Block]) -> Tensor:
    """Weights of a batch's rows, scaled so that their mean over each block is 1 (Eq. 38).

    Where torch.distributed is initialised, the block is that of all processes.
    """
    size = torch.tensor([block.stop - block.start for block in blocks]).to(weight)
    total = torch.stack([weight[block.rows].sum() for block in blocks])
    add_up([size, total])
    scale = size / torch.where(total > 0, total, torch.ones_like(total))
    scaled = [weight[block.rows] * s for block, s in zip(blocks, scale, strict=True)]
    return torch.cat(scaled)


def count_rows(batch: Batch) -> list[int]:
    """The number of rows of each block, over all processes.

    Raises:
        DataError: if the processes hold rows of different groups (or labels).
    """
    own = [block.stop - block.start for block in batch.blocks]
    if n_processes() == 1:
        return own
    codes = [
        -1 if code is None else code
        for block in batch.blocks
        for code in (block.group, block.label)
    ]
    require_same(torch.tensor(codes, device=batch.y.device))
    rows = torch.tensor(own, device=batch.y.device)
    add_up([rows])
    counts: list[int] = rows.tolist()
    return counts


class AllRows:
    """What was read of each row of a step: of every part and of every process.

    Attributes:
        weight: (n,) what each row counts; None where rows are not weighted.
    """

    def __init__(self, of_rows: Sequence[Tensor], parts: Sequence[Batch]) -> None:
        """Exchanges it.

        Args:
            of_rows: of the rows of each part of this process; a graph is left alone.
            parts: the parts.
        """
        self._parts = [each.detach() for each in of_rows]
        self._of_rows = collect(_joined(self._parts))
        own = [part.weight for part in parts if part.weight is not None]
        self.weight = _joined(collect(_joined(own))) if own else None
        self._group = _joined(collect(_joined([part.group for part in parts])))
        self._label = _joined(collect(_joined([part.y for part in parts])))

    def with_graph_of(self, index: int, of_rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What was read, groups and labels; a graph leads to one part of this process alone.

        So the gradients of a function of them, added up over parts and processes, are those that
        the function has where all rows are one part.

        Args:
            index: of the part, from 0.
            of_rows: what was read of its rows, with a graph.
        """
        own = _joined([*self._parts[:index], of_rows, *self._parts[index + 1 :]])
        before, after = self._of_rows[: rank()], self._of_rows[rank() + 1 :]
        return _joined([*before, own, *after]), self._group, self._label


def _joined(rows: Sequence[Tensor]) -> Tensor:
    """All rows as one tensor; a copy only where there are several."""
    return rows[0] if len(rows) == 1 else torch.cat(list(rows))
