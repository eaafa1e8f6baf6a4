"""The placebo of DRAlign: random parts of each batch are aligned in the place of its groups.

A control for claims about DRAlign: what the placebo gains as well, the alignment of the groups did
not gain. Everything but the direction of one gradient is as in DRAlign.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Final

import torch
from torch import Tensor, nn

from dralign.alignment import backward_in_blocks
from dralign.methods.base import Step, StepResult, absent_cells
from dralign.methods.dralign import DRALIGN, AlignedStep, DRAlign, alignment_note, build
from dralign.methods.registry import MethodType
from dralign.step import (
    Batch,
    Block,
    Passes,
    collect,
    rank,
    running_statistics_kept,
    with_mean_one,
)


@dataclass(frozen=True)
class Placebo(DRAlign):
    """DRAlign with an alignment term between random parts of the batch, scaled to the real one.

    At each aligned step the rows of each group (under equalized odds of each cell) are dealt out
    evenly to as many random parts as there are groups, drawn anew. Within each stratum of the gap
    the rationales of the parts are aligned. The gradient of that term by all parameters of the
    network is scaled to the norm that the real term's gradient has at the same step, and takes its
    place; where its own norm is 0 or not finite it is left out. Task loss and gap, or penalty, are
    those of ``gap`` and ``mixup``.

    An aligned step costs 21 forward passes' worth where DRAlign's costs 9: 3 for ``gap``, and 9 for
    each of the two terms, each of which is computed with dropout masks of its own.
    """

    name: ClassVar[str] = "placebo"

    def begin(self, model: nn.Module, *, n_groups: int, generator: torch.Generator) -> Step:
        """The step function of one run of ``model``; parts are drawn from ``generator``."""
        unaligned = self.unaligned().begin(model, n_groups=n_groups, generator=generator)
        if not self.alignment_weight:
            return unaligned
        return PlaceboStep(self, model, unaligned, n_groups=n_groups, generator=generator)


class PlaceboStep(AlignedStep):
    """The step of one run of the placebo."""

    def _aligned(self, batch: Batch, multiplier: float, times: float, passes: Passes) -> StepResult:
        """A step with the term, ``times`` its weight; its value is reported without the scale."""
        method, n_groups = self._method, self._n_groups
        beta = times * multiplier * method.alignment_weight
        # The generators of all processes are in the same state, so all deal the rows out alike.
        parts = in_random_parts(batch, n_parts=n_groups, generator=self._generator)
        _, real = self._alignment_gradient(batch, beta, passes)
        value, placebo = self._alignment_gradient(parts, beta, passes)
        result = self._unaligned(batch, multiplier, passes)
        wanted, length = norm(real), norm(placebo)
        # Of scaled losses an overflow is left in: the trainer then leaves the step out.
        if 0 < length < math.inf or (length and passes.loss_scale != 1):
            self._add(placebo, wanted / length)
        skipped = absent_cells(batch, method.gap, n_groups)
        return StepResult(result.loss + value, max(result.skipped, skipped))

    def _alignment_gradient(
        self, batch: Batch, weight: float, passes: Passes
    ) -> tuple[Tensor, list[Tensor | None]]:
        """Minus ``weight`` times the similarity of a batch's blocks, and its (scaled) gradient."""
        before = [parameter.grad for parameter in self._model.parameters()]
        self._model.zero_grad(set_to_none=True)
        with running_statistics_kept(self._model):
            value = backward_in_blocks(
                self._model,
                batch,
                alignment=self._alignment,
                alignment_weight=weight,
                gap=self._method.gap,
                fairness_weight=0.0,
                n_groups=self._n_groups,
                loss=None,
                passes=passes,
            )
        gradient = [parameter.grad for parameter in self._model.parameters()]
        for parameter, old in zip(self._model.parameters(), before, strict=True):
            parameter.grad = old
        return value, gradient

    def _add(self, gradient: Sequence[Tensor | None], scale: float) -> None:
        """Adds a scaled gradient to ``.grad``."""
        for parameter, entry in zip(self._model.parameters(), gradient, strict=True):
            if entry is not None:
                old = 0 if parameter.grad is None else parameter.grad
                parameter.grad = old + entry * scale


def in_random_parts(batch: Batch, *, n_parts: int, generator: torch.Generator) -> Batch:
    """The rows of a balanced batch in blocks of random parts, which stand in for its groups.

    The rows of each block are dealt out at random and evenly: of two blocks of the same size a part
    has equally many rows. Rows without a group keep a block of their own. Where blocks have fewer
    rows than there are parts, a part that would be empty is left out.

    Where torch.distributed is initialised, the rows of all processes are dealt out together, and
    each process gets its own rows; the generators of all must be in the same state.

    Args:
        batch: rows in blocks of one group (or cell) each.
        n_parts: the number of parts, at least 1.
        generator: the source of randomness.
    """
    own = torch.tensor([block.stop - block.start for block in batch.blocks])
    by_process = torch.stack(collect(own.to(batch.y.device))).cpu()  # (processes, blocks)
    starts, sizes = by_process[: rank()].sum(0).tolist(), by_process.sum(0).tolist()
    # By part and label; the rows of no part are those of no group.
    rows: dict[tuple[int | None, int | None], list[Tensor]] = {}
    for block, start, size in zip(batch.blocks, starts, sizes, strict=True):
        inside = torch.arange(block.start, block.stop)
        if block.group is None:
            rows.setdefault((None, block.label), []).append(inside)
            continue
        dealt = torch.randperm(size, generator=generator)[start : start + len(inside)] % n_parts
        for part in range(min(n_parts, size)):
            rows.setdefault((part, block.label), []).append(inside[dealt == part])
    order, blocks, end = [], [], 0
    for (code, label), pieces in rows.items():
        order += pieces
        begin, end = end, end + sum(map(len, pieces))
        blocks.append(Block(begin, end, code, label))
    at = torch.cat(order).to(batch.y.device)
    weight = None if batch.weight is None else with_mean_one(batch.weight[at], blocks)
    return Batch(batch.x[at], batch.y[at], batch.group[at], tuple(blocks), weight)


def norm(gradient: Sequence[Tensor | None]) -> float:
    """The Euclidean norm of all entries, in double precision; 0 where there are none."""
    squares = [
        float(torch.linalg.vector_norm(entry, dtype=torch.float64)) ** 2
        for entry in gradient
        if entry is not None
    ]
    return math.sqrt(sum(squares))


def _note(settings: Mapping[str, Any]) -> str:
    """What was aligned in the place of groups."""
    return (
        f"placebo {alignment_note(settings)}, between random parts of each batch in the place of "
        "the groups, as strongly."
    )


PLACEBO: Final = MethodType(
    "placebo",
    "a control: as dralign, but random parts of each batch are aligned instead of the groups",
    partial(build, Placebo),
    settings=DRALIGN.settings,
    scaled=DRALIGN.scaled,
    note=_note,
)
