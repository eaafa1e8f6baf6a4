"""Forward passes of a step that second derivatives can go through."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.instancenorm import _InstanceNorm

from dralign.errors import OptionError
from dralign.networks import evaluation_mode
from dralign.rationale import logits, per_sample_loss
from dralign.rationale.derivatives import recurrence_without_cudnn
from dralign.rationale.inputs import Inputs
from dralign.rationale.losses import RowLoss
from dralign.rationale.outputs import alike
from dralign.step.batch import Batch
from dralign.turns import random_state_kept


@dataclass(frozen=True)
class Passes:
    """How the rows of a step go through the network, and what each of them loses there.

    Attributes:
        micro_batch: rows to forward at a time, for batches that don't fit in memory; None takes
            all. The step is still that of the whole batch, terms that are not sums over rows
            included, which are measured without a graph first: a forward pass more. Batch
            normalisation sees one part at a time.
        half: the type that autocast computes forward passes in, ``torch.bfloat16`` or
            ``torch.float16``; weights, outputs, losses and gradients are float32 all the same. None
            leaves the network's own.
        loss_scale: what losses are multiplied by before they go backward, and ``.grad`` with them,
            as float16 needs it (``torch.amp.GradScaler``).
        row_loss: the loss of each row, from outputs and labels, that the task loss is made of.
    """

    micro_batch: int | None = None
    half: torch.dtype | None = None
    loss_scale: float = 1.0
    row_loss: RowLoss = per_sample_loss

    def __post_init__(self) -> None:
        """Checks the size.

        Raises:
            OptionError: if ``micro_batch`` is below 1.
        """
        if self.micro_batch is not None and self.micro_batch < 1:
            raise OptionError(f"micro_batch: expected at least 1 row, got {self.micro_batch}")

    def forward(self, model: nn.Module, x: Inputs) -> Tensor:
        """The output of the network, of float32 where autocast computed it."""
        if self.half is None:
            return logits(model, x)
        # A context of its own for every pass: one without a graph would leave casts of the weights
        # without a graph to the next.
        with torch.autocast(x.device.type, self.half):
            output = logits(model, x)
        return output.float()


WHOLE = Passes()
FEW = 16  # rows of a block that are looked at


def forward_blocks(
    model: nn.Module, batch: Batch, passes: Passes = WHOLE, *, joint: bool = False
) -> list[Tensor]:
    """The output for each block of a batch; every row is forwarded once.

    Block by block, so that a gradient of one block's loss costs no pass through the rows of the
    others. Where normalisation layers take statistics from the batch, or with ``joint``, all rows
    go together.
    """
    if joint or takes_statistics(model):
        sizes = [block.stop - block.start for block in batch.blocks]
        return list(passes.forward(model, batch.x).split(sizes))
    return [passes.forward(model, batch.x[block.rows]) for block in batch.blocks]


def takes_statistics(model: nn.Module) -> bool:
    """Whether a normalisation layer of torch takes something from the other rows now."""
    return any(_mixes_rows(module) for module in model.modules())


def mixes_rows(model: nn.Module, batch: Batch) -> bool:
    """Whether the output for a row depends on the rows that are forwarded with it.

    Normalisation layers of torch are known; others, or functions in a network's own ``forward``,
    are found out on a few rows of each block. A network that draws random numbers, by which two
    passes differ anyway, is looked at in evaluation mode; one that does so there too counts as one
    that mixes rows, as does one that can't take a block alone: together is always right.
    """
    few = [torch.arange(b.start, min(b.stop, b.start + FEW)) for b in batch.blocks]
    few = [rows.to(batch.x.device) for rows in few if len(rows)]
    if len(few) < 2:
        return False
    device = batch.x.device.type
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    kept = random_state_kept(next(model.parameters()).device), running_statistics_kept(model)
    with torch.no_grad(), torch.autocast(device, enabled=False), kept[0], kept[1]:
        try:
            for mode in (nullcontext(), evaluation_mode(model)):
                with mode:
                    whole, again = (logits(model, batch.x[torch.cat(few)]) for _ in range(2))
                    if alike(whole, again):
                        alone = torch.cat([logits(model, batch.x[rows]) for rows in few])
                        return not alike(whole, alone)
        except (RuntimeError, ValueError):
            return True
        finally:
            for buffer, before in buffers:
                buffer.copy_(before)
    return True


@contextmanager
def double_backward_kernels(model: nn.Module) -> Iterator[None]:
    """Attention by plain matrix products: the fused kernels have no second derivatives.

    Neither have cuDNN's of recurrent layers; a network with any runs without cuDNN.
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with sdpa_kernel(SDPBackend.MATH), recurrence_without_cudnn(model):
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
    with random_state_kept(device):
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
