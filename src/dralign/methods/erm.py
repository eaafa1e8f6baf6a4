"""Standard training on uniform batches: the paper's w.o.FairReg."""

from dataclasses import dataclass
from typing import ClassVar, Final

import torch
from torch import nn

from dralign.gaps import Gap
from dralign.methods.base import Step, TermStep
from dralign.methods.registry import MethodType
from dralign.step import Balance, LossConvention


@dataclass(frozen=True)
class Erm:
    """Empirical risk minimisation: the task loss alone, rows drawn uniformly.

    Attributes:
        gap: the gap it is judged by; a batch is as large as that of a balanced method.
        loss: the loss convention; a uniform batch is one block, so both are its mean.
    """

    name: ClassVar[str] = "erm"
    balance: ClassVar[Balance] = "uniform"
    needs_groups: ClassVar[bool] = False
    post_process: ClassVar[None] = None
    takes_weights: ClassVar[bool] = True
    gap: Gap
    loss: LossConvention = "batch_mean"

    def begin(self, model: nn.Module, *, n_groups: int, generator: torch.Generator) -> Step:  # noqa: ARG002
        """The step function of one run of ``model``."""
        return TermStep(model, self.loss)


ERM: Final = MethodType(
    "erm",
    "the task loss alone, on uniform batches (the paper's w.o.FairReg)",
    lambda gap, loss, _settings: Erm(gap, loss),
)
