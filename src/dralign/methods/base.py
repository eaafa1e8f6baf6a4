"""What a method is: a way to turn a batch into gradients, begun anew for every run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from dralign.gaps import Gap
from dralign.step import (
    WHOLE,
    Balance,
    Batch,
    LossConvention,
    Passes,
    Regulariser,
    backward_in_parts,
)

if TYPE_CHECKING:  # which needs pandas
    from dralign.data import Dataset


@dataclass(frozen=True)
class StepResult:
    """What one step reports.

    Attributes:
        loss: the detached value of everything that was minimised.
        skipped: how many groups or cells were absent from the batch and left out.
    """

    loss: Tensor
    skipped: int = 0


class Step(Protocol):
    """One run's way to handle a batch; state of its own it saves as ``methods.state.Stateful``."""

    def __call__(self, batch: Batch, multiplier: float = 1.0, passes: Passes = WHOLE) -> StepResult:
        """Adds this batch's gradients to the ``.grad`` of the model's parameters.

        Where torch.distributed is initialised the batch is this process's part of the whole one;
        every process gets the ``.grad`` and the loss of the whole.

        Args:
            batch: the rows.
            multiplier: lambda and beta (or alpha) of this step are so many times the method's own.
            passes: how the rows go through the network.
        """
        ...


class PostProcess(Protocol):
    """Turns the probabilities of validation rows into decision thresholds."""

    def __call__(self, prob: Tensor, *, label: Tensor, group: Tensor, n_groups: int) -> Tensor:
        """(G,) thresholds, one per group, from (n,) probabilities, labels and group codes.

        That of a method that takes weights of rows gets (n,) as ``weight`` where there are any.
        """
        ...


Adjustment = Callable[[nn.Module, Tensor], nn.Module]


@runtime_checkable
class Adjusting(Protocol):
    """A method whose networks are judged, and kept, with something put around them."""

    def adjustment(self, dataset: "Dataset") -> Adjustment:
        """What makes the network that is judged of one that was trained on these data.

        It takes the network and its (n,) probabilities of the validation rows, and leaves the
        network as it is. Called once a run, before the first step.
        """
        ...


class Method(Protocol):
    """A way to train. A method is a frozen description; all state lives in the step it begins.

    One that heeds ``Batch.weight`` says so by an attribute ``takes_weights`` that is true; others
    are refused where rows are weighted.
    """

    @property
    def name(self) -> str:
        """The name by which users choose it."""
        ...

    @property
    def gap(self) -> Gap:
        """The gap it is trained for, or judged by."""
        ...

    @property
    def balance(self) -> Balance:
        """How its batches are drawn."""
        ...

    @property
    def needs_groups(self) -> bool:
        """Whether it can't do without the groups of the training or validation rows."""
        ...

    @property
    def post_process(self) -> PostProcess | None:
        """Fits a threshold per group once a network is trained; None decides at 0.5."""
        ...

    def begin(self, model: nn.Module, *, n_groups: int, generator: torch.Generator) -> Step:
        """The step function of one run of ``model``."""
        ...


@dataclass(frozen=True)
class TermStep:
    """The step of a method that adds a weighted term to the task loss, or replaces it by one.

    The weight's multiplier, parts of a batch, processes, precision and the random state of a second
    pass are dealt with here; the method says what the term is.

    Attributes:
        model: the network.
        loss: the convention of the task loss; None leaves it out.
        term: what is added, made for each batch; not made where its weight is 0.
        weight: of the term.
        prepare: what becomes of each batch before it goes through the network.
    """

    model: nn.Module
    loss: LossConvention | None
    term: Callable[[Batch], Regulariser] | None = None
    weight: float = 0.0
    prepare: Callable[[Batch], Batch] | None = None

    def __call__(self, batch: Batch, multiplier: float = 1.0, passes: Passes = WHOLE) -> StepResult:
        """Adds the gradients of the task loss and the term to ``.grad``; see ``Step``."""
        if self.prepare is not None:
            batch = self.prepare(batch)
        weight = multiplier * self.weight
        term = self.term(batch) if self.term is not None and weight else None
        value = backward_in_parts(
            self.model, batch, passes, loss=self.loss, regulariser=term, weight=weight
        )
        return StepResult(value, 0 if term is None else term.skipped)


def takes_weights(method: Method) -> bool:
    """Whether a method can train on weighted rows."""
    return bool(getattr(method, "takes_weights", False))


def absent_cells(batch: Batch, gap: Gap, n_groups: int) -> int:
    """How many of the groups or cells that a gap compares have no rows in a balanced batch."""
    present = [block for block in batch.blocks if block.group is not None]
    cells = n_groups * len(gap.strata)
    return cells - sum(block.label in gap.strata for block in present)


def balance_for(gap: Gap) -> Balance:
    """How balanced methods draw for a gap: by group, or by cell if it conditions on the label."""
    return "cell" if gap.conditions_on_label else "group"
