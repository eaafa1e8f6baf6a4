"""Fair Mixup's penalty of a whole batch, for tests of its value."""

import torch
from torch import Tensor, nn

from dralign.methods.mixup import PathPenalty, Paths
from dralign.step import WHOLE, Batch


def path_penalty(
    penalty: PathPenalty, model: nn.Module, batch: Batch, *, generator: torch.Generator, n_groups=2
) -> tuple[Tensor, int]:
    """The penalty, and how many groups or cells no pair was made of."""
    paths = Paths(penalty, model, batch, n_groups=n_groups, generator=generator)
    return paths.combine(paths.measure(batch, None, WHOLE)), paths.skipped
