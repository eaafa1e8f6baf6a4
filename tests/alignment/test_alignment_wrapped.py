"""With a model in DistributedDataParallel the term is the mean of each process's own."""

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from dralign.alignment import RationaleAlignment
from dralign.errors import ModelError
from dralign.rationale import group_losses
from meeting import meeting


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1)).double()


def share(rank):
    """The rows of a process."""
    draw = torch.Generator().manual_seed(rank)
    x = torch.randn(12, 4, generator=draw, dtype=torch.float64)
    return x, (x[:, :1] > 0).double(), torch.arange(12) % 2


def gradient(model, inner, rows):
    x, y, group = rows
    losses = F.binary_cross_entropy_with_logits(model(x), y, reduction="none")[:, 0]
    term = RationaleAlignment(inner).align(group_losses(losses, group, n_groups=2))
    (losses.mean() + 0.5 * term).backward()
    return [p.grad for p in inner.parameters()]


def process(rank, folder):
    with meeting(folder, rank):
        model = network()
        found = gradient(DistributedDataParallel(model), model, share(rank))
        torch.save(found, f"{folder}/{rank}.pt")


@pytest.mark.skipif(not dist.is_available(), reason="this build of torch has no torch.distributed")
def test_each_process_aligns_its_own_rows_and_gradients_are_averaged(tmp_path):
    torch.multiprocessing.spawn(process, args=(tmp_path,), nprocs=2)
    own = [gradient(model := network(), model, share(rank)) for rank in (0, 1)]
    for rank in (0, 1):
        reduced = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for given, one, other in zip(reduced, *own, strict=True):
            torch.testing.assert_close(given, (one + other) / 2, rtol=1e-12, atol=1e-14)


def refused():
    model = network()
    wrapped = DistributedDataParallel(model, static_graph=True)
    with pytest.raises(ModelError, match="leave static_graph out"):
        gradient(wrapped, model, share(0))


@pytest.mark.skipif(not dist.is_available(), reason="this build of torch has no torch.distributed")
def test_a_wrapped_model_that_would_exchange_nothing_is_refused(tmp_path):
    with meeting(tmp_path, world_size=1):
        # The wrapped model goes before the group: one that outlives it takes it along, and torch
        # then waits for the group's threads with the interpreter lock, which one of them may need.
        refused()
