"""The plug-in: a plainly trained network whose scores are shifted against the gap afterwards."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

import torch
from torch import Tensor, nn

from dralign.errors import OptionError
from dralign.gaps import Gap
from dralign.methods.base import Adjustment, Step
from dralign.methods.erm import Erm
from dralign.methods.registry import MethodType
from dralign.methods.shared import FAIRNESS_WEIGHT
from dralign.postprocessing import GAPS, CellModel, shift_network
from dralign.step import Balance, LossConvention

if TYPE_CHECKING:  # which needs pandas
    from dralign.data import Dataset


@dataclass(frozen=True)
class Plugin:
    """Trains like ``erm``; log-odds are then lowered by c times what the inputs tell of the group.

    The network that is judged and kept is the trained one together with a linear model of the
    groups, fitted on the training rows (Eq. 35). It needs no group at prediction. Which groups are
    lowered, and in what proportion, is taken from the validation rows, anew after each epoch.

    Attributes:
        gap: the gap that the scores are shifted against.
        fairness_weight: c, 0 or more; at 0 it is ``erm``, and beyond what makes the expected rates
            equal (c* of Eq. 37) it changes nothing.
        loss: the loss convention; a uniform batch is one block, so both are its mean.
    """

    name: ClassVar[str] = "plugin"
    balance: ClassVar[Balance] = "uniform"
    needs_groups: ClassVar[bool] = True
    post_process: ClassVar[None] = None
    gap: Gap
    fairness_weight: float
    loss: LossConvention = "batch_mean"

    def begin(self, model: nn.Module, *, n_groups: int, generator: torch.Generator) -> Step:
        """The step function of one run of ``model``, that of ``erm``."""
        return Erm(self.gap, self.loss).begin(model, n_groups=n_groups, generator=generator)

    def adjustment(self, dataset: "Dataset") -> Adjustment:
        """What shifts the scores of a network that was trained on these data.

        Raises:
            OptionError: if the rows are not numbers, which the model of the groups is made of.
        """
        rows = dataset.train
        if not isinstance(rows.x, Tensor) or rows.x.ndim != 2:
            raise OptionError(f"method: {self.name!r} needs rows of numbers, not images")
        cells = CellModel.fit(
            rows.x, rows.y, rows.group, gap=self.gap.name, n_groups=dataset.n_groups
        )

        def adjust(model: nn.Module, prob: Tensor) -> nn.Module:
            shift, _ = cells.shift_for(prob.double().numpy(), dataset.validation.x)
            weight = shift.up_to_parity(self.fairness_weight)
            return shift_network(model, cells, shift, weight)

        return adjust


PLUGIN: Final = MethodType(
    "plugin",
    "as erm, then log-odds lowered by λ times what the inputs tell of the group",
    lambda gap, loss, settings: Plugin(gap, settings["fairness_weight"], loss),
    settings=(FAIRNESS_WEIGHT,),
    gaps=GAPS,
    two_classes=True,
)
