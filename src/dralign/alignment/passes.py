"""Forward passes of a step that second derivatives can go through."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.instancenorm import _InstanceNorm

from dralign.sampling import Batch


def forward_blocks(model: nn.Module, batch: Batch) -> list[Tensor]:
    """The output for each block of a batch; every row is forwarded once.

    Block by block, so that a gradient of one block's loss costs no pass through the rows of the
    others. Where normalisation layers take statistics from the batch, all rows go together.
    """
    if any(_mixes_rows(module) for module in model.modules()):
        sizes = [block.stop - block.start for block in batch.blocks]
        return list(model(batch.x).split(sizes))
    return [model(batch.x[block.rows]) for block in batch.blocks]


@contextmanager
def double_backward_attention() -> Iterator[None]:
    """Attention by plain matrix products: the fused kernels have no second derivatives."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with sdpa_kernel(SDPBackend.MATH):
        yield


def random_state(model: nn.Module) -> list[Tensor]:
    """The state of the random generators that dropout in ``model`` draws from."""
    device = next(model.parameters()).device
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states


@contextmanager
def random_state_set(model: nn.Module, states: list[Tensor]) -> Iterator[None]:
    """The block draws from the given state; afterwards the generators go on where they were."""
    device = next(model.parameters()).device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.set_rng_state(states[0])
        if device.type == "cuda":
            torch.cuda.set_rng_state(states[1], device)
        yield


@contextmanager
def running_statistics_kept(model: nn.Module) -> Iterator[None]:
    """Extra passes of a step leave the running statistics of normalisation layers alone."""
    tracking = [m for m in model.modules() if isinstance(m, _NormBase) and m.track_running_stats]
    try:
        for module in tracking:
            module.track_running_stats = not module.training  # in evaluation they are read
        yield
    finally:
        for module in tracking:
            module.track_running_stats = True


def _mixes_rows(module: nn.Module) -> bool:
    """Whether a forward pass takes statistics from the batch, or changes running ones."""
    if not isinstance(module, _NormBase):
        return False
    per_row = isinstance(module, _InstanceNorm) and not module.track_running_stats
    return not per_row and (module.training or module.running_mean is None)
