"""Where the batches of a run come from: drawn from rows in memory, or an iterable of one's own."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from dralign.data import Dataset
from dralign.errors import DataError, GroupError, OptionError, quoted
from dralign.methods import Adjusting, Method
from dralign.rationale.inputs import bundled
from dralign.step import (
    Batch,
    Block,
    Sampler,
    batch_in_blocks,
    n_processes,
    part_of,
    rank,
    with_mean_one,
)
from dralign.training.settings import TrainingSettings

Rows = Sequence[Any]  # inputs, labels and groups of the rows of a batch


class Source(Protocol):
    """What gives a run its batches, one after the other, without an end."""

    def next_batch(self) -> Batch:
        """The next batch, on the device of the network."""
        ...


@runtime_checkable
class InPasses(Protocol):
    """An iterable that draws another order in every pass, by its number."""

    def set_epoch(self, epoch: int) -> None:
        """Says the number of the pass that begins, from 0."""
        ...


class Drawn:
    """Batches that a sampler draws from training rows; each of several processes has its part."""

    def __init__(self, dataset: Dataset, sampler: Sampler, device: torch.device) -> None:
        self._rows, self._sampler, self._device = dataset.train, sampler, device
        self._own, self._blocks = part_of(sampler.blocks, rank(), n_processes())

    def next_batch(self) -> Batch:
        """The next batch, or the part of it that is this process's own."""
        rows, device, blocks = self._rows, self._device, self._blocks
        drawn = self._sampler.draw()[self._own]
        x, y, group = rows.at(drawn)
        batch = Batch(x.to(device), y.to(device), group.to(device), blocks)
        if rows.weight is None:
            return batch
        weight = rows.weight.index_select(0, drawn).to(device, torch.float32)
        return replace(batch, weight=with_mean_one(weight, blocks))


class Given:
    """Batches of an iterable as they come, gathered into the blocks that the method has.

    When the iterable ends it is gone through again.
    """

    def __init__(
        self, batches: Iterable[Rows], dataset: Dataset, method: Method, device: torch.device
    ) -> None:
        self._batches, self._device = batches, device
        self._n_groups, self._n_classes = dataset.n_groups, dataset.n_classes
        self._gathered = method.balance != "uniform"
        self._by_label = method.balance == "cell"
        self._passes = 0
        self._pass: Iterator[Rows] = iter(())

    def next_batch(self) -> Batch:
        """The next batch.

        Raises:
            DataError: if the iterable has no batch, or one is not of inputs, labels and groups.
            GroupError: if a group is none of the dataset's.
        """
        given = next(self._pass, None)
        if given is None:
            given = self._first_of_a_pass()
        x, y, group = self._checked(given)
        if self._gathered:
            batch = batch_in_blocks(x, y, group, n_groups=self._n_groups, by_label=self._by_label)
        else:
            batch = Batch(x, y, group, (Block(0, len(y)),))
        to = self._device
        return replace(batch, x=batch.x.to(to), y=batch.y.to(to), group=batch.group.to(to))

    def _first_of_a_pass(self) -> Rows:
        """The first batch of the next pass.

        Raises:
            DataError: if there is none.
        """
        if isinstance(self._batches, InPasses):
            self._batches.set_epoch(self._passes)
        self._pass = iter(self._batches)
        self._passes += 1
        for given in self._pass:
            return given
        raise DataError(
            f"batches: nothing came in pass {self._passes}; give an iterable that can be gone "
            "through again and again, such as a DataLoader"
        )

    def _checked(self, given: Rows) -> tuple[Any, Tensor, Tensor]:
        """Inputs, labels and groups of a batch.

        Raises:
            DataError: if it is not these three, their lengths differ, or a label is not known.
            GroupError: if a group is not known.
        """
        if not isinstance(given, Sequence) or len(given) != 3:
            raise DataError(
                "batches: expected each to be inputs, labels and group codes, got "
                f"{quoted(type(given).__name__)}"
            )
        x = bundled(given[0] if isinstance(given[0], dict | tuple) else torch.as_tensor(given[0]))
        y, group = (torch.as_tensor(given[i]) for i in (1, 2))
        if not len(x) or y.shape != (len(x),) or group.shape != (len(x),):
            raise DataError(
                f"batches: expected as many inputs, labels and groups, at least one, got {len(x)}, "
                f"{tuple(y.shape)} and {tuple(group.shape)}"
            )
        for codes, name, least, n, error in (
            (y, "labels", 0, self._n_classes, DataError),
            (group, "groups", -1, self._n_groups, GroupError),
        ):
            if codes.dtype != torch.int64 or int(codes.min()) < least or int(codes.max()) >= n:
                raise error(
                    f"batches: expected {name} as int64 codes from {least} to {n - 1}, got "
                    f"{codes.dtype} from {codes.min():g} to {codes.max():g}"
                )
        return x, y, group


def check_given(
    dataset: Dataset, method: Method, settings: TrainingSettings, checkpoints: object
) -> None:
    """Checks that a run can take batches as they come.

    Raises:
        OptionError: if not.
    """
    reason = ""
    if checkpoints is not None:
        reason = "a run can't go on in the middle of an iterable; leave out the checkpoints"
    elif n_processes() > 1:
        reason = "several processes share what one draws; train in one"
    elif settings.batch_size is not None:
        reason = f"they have a size of their own; leave out batch_size {settings.batch_size}"
    elif dataset.is_weighted:
        reason = "their rows have no weights; leave those of the dataset out"
    elif isinstance(method, Adjusting):
        reason = f"the method {method.name!r} needs all training rows at once; choose another"
    if reason:
        raise OptionError(f"batches: {reason}")
