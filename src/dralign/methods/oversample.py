"""Oversampling: the task loss on batches balanced over groups (DP) or cells (EO)."""

from dralign.gaps import Gap
from dralign.methods.base import LossConvention
from dralign.methods.gap import GapRegularisation


def oversample(gap: Gap, loss: LossConvention = "batch_mean") -> GapRegularisation:
    """The paper's w.o.FairReg-Oversample (Wang et al., 2020): gap regularisation of weight 0."""
    return GapRegularisation(gap, 0.0, loss, name="oversample")
