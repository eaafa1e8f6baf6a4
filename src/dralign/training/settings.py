"""The settings of a training run."""

from dataclasses import dataclass
from typing import Literal, get_args

from dralign.errors import OptionError, unknown

Precision = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class TrainingSettings:
    """How long and how fast to train.

    Attributes:
        epochs: epochs, each ending in an evaluation.
        iterations: steps per epoch (100 in the published code).
        batch_size: rows per block of a batch (a group, or a cell for gaps that condition on the
            label); None takes the dataset's own, or 500. Uniform batches are as large in all.
        learning_rate: of Adam.
        seed: the integer that all randomness of the run comes from.
        gap_bound: the largest soft validation gap; lambda is then found while training (Eq. 24), as
            a multiple of the method's own weights. None leaves these as they are.
        micro_batch: rows to forward at a time, for batches that don't fit in memory; the step is
            still that of the whole batch. None forwards all.
        precision: what autocast computes forward passes in; weights, losses, the alignment and the
            evaluation are float32 all the same. ``"float16"`` scales the loss.
        patience: training stops once the chosen epoch has been the same for so many epochs: the one
            that ``keep`` of ``train`` picks, or ``Selection()`` if it picks none. None never stops.
    """

    epochs: int = 10
    iterations: int = 100
    batch_size: int | None = None
    learning_rate: float = 1e-3
    seed: int = 0
    gap_bound: float | None = None
    micro_batch: int | None = None
    precision: Precision = "float32"
    patience: int | None = None

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            OptionError: if a count is below 1, the learning rate or the bound is not a positive
                number, or the precision is unknown.
        """
        for name in ("epochs", "iterations", "batch_size", "micro_batch", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise OptionError(f"{name}: expected at least 1, got {value}")
        for name in ("learning_rate", "gap_bound"):
            number = getattr(self, name)
            if number is not None and not 0 < number < float("inf"):
                raise OptionError(f"{name}: expected a positive number, got {number}")
        if self.precision not in get_args(Precision):
            raise OptionError(unknown("precision", self.precision, get_args(Precision)))
