"""Oversampling: the task loss on batches balanced over groups (DP) or cells (EO)."""

from typing import Final

from dralign.gaps import Gap
from dralign.methods.gap import GapRegularisation
from dralign.methods.registry import MethodType
from dralign.step import LossConvention


def oversample(gap: Gap, loss: LossConvention = "batch_mean") -> GapRegularisation:
    """The paper's w.o.FairReg-Oversample (Wang et al., 2020): gap regularisation of weight 0."""
    return GapRegularisation(gap, 0.0, loss, name="oversample")


OVERSAMPLE: Final = MethodType(
    "oversample",
    "the task loss on batches balanced over groups or cells",
    lambda gap, loss, _settings: oversample(gap, loss),
)
