"""Layers that only some rows reach, in some parts of a batch or some processes, or by chance."""

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn

from dralign.alignment import RationaleAlignment, aligned_backward
from dralign.rationale import group_losses, per_sample_loss
from meeting import meeting


class Experts(nn.Module):
    """Sends rows to one of three experts by their first input, as it is rounded."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 6), nn.Linear(6, 1)
        self.experts = nn.ModuleList([nn.Linear(6, 6) for _ in range(3)])

    def forward(self, x):
        h = torch.tanh(self.first(x))
        result = torch.zeros_like(h)
        for number, expert in enumerate(self.experts):
            rows = (x[:, 0] == number).nonzero()[:, 0]
            if len(rows):
                result = result.index_add(0, rows, expert(h[rows]))
        return self.last(torch.tanh(result))


class LeftOut(nn.Module):
    """Leaves blocks out at random while it is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 6), nn.Linear(6, 1)
        self.blocks = nn.ModuleList([nn.Linear(6, 6) for _ in range(3)])

    def forward(self, x):
        h = torch.tanh(self.first(x))
        for block in self.blocks:
            if not self.training or torch.rand(()) > 0.3:
                h = h + torch.tanh(block(h))
        return self.last(h)


def network(layers=Experts):
    torch.manual_seed(0)
    return layers().double()


def rows(experts):
    """40 rows; ``experts`` says which of three a row goes to."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(40, 4, generator=generator, dtype=torch.float64)
    x[:, 0] = torch.tensor(experts)
    return x, (x[:, 1] > 0).long(), torch.arange(40) % 2


def gradients(model):
    return [torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters()]


def plain(data, layers):
    """The gradients by automatic differentiation of the whole, in one piece."""
    model, (x, y, group) = network(), data
    losses = per_sample_loss(model(x), y)
    term = RationaleAlignment(model, layers=layers).align(group_losses(losses, group, n_groups=2))
    (losses.mean() + 0.5 * term).backward()
    return gradients(model)


def step(data, layers, **options):
    model, (x, y, group) = network(), data
    aligned_backward(
        model, x, label=y, group=group, n_groups=2,
        alignment=RationaleAlignment(model, layers=layers), alignment_weight=0.5, **options,
    )  # fmt: skip
    return gradients(model)


@pytest.mark.parametrize("layers", ["all", ["first", "last"]])
@pytest.mark.parametrize("where", ["late", "early"])
@pytest.mark.filterwarnings("ignore:layers without a gradient")
def test_a_layer_that_some_parts_of_a_batch_reach_counts_with_its_rows(layers, where):
    rare = [1] * 4 + [0] * 36
    data = rows(rare if where == "early" else rare[::-1])
    for one, other in zip(step(data, layers, micro_batch=10), plain(data, layers), strict=True):
        assert torch.allclose(one, other, rtol=1e-10, atol=1e-12)


HALVES = [0, 0, 1, 1] * 5 + [0, 0, 2, 2] * 5  # the experts that each of two processes reaches


def process(rank, folder, layers):
    mine = slice(20 * rank, 20 * rank + 20)
    with meeting(folder, rank):
        np.savez(f"{folder}/{rank}.npz", *step([column[mine] for column in rows(HALVES)], layers))


@pytest.mark.skipif(not dist.is_available(), reason="torch was built without torch.distributed")
@pytest.mark.parametrize("layers", ["all", ["first", "last"]])
def test_a_layer_that_one_process_reaches_has_its_own_gradient_in_all(tmp_path, layers):
    torch.multiprocessing.spawn(process, args=(str(tmp_path), layers), nprocs=2)
    expected = plain(rows(HALVES), layers)
    for rank in range(2):
        with np.load(tmp_path / f"{rank}.npz") as found:
            for name, other in zip(found, expected, strict=True):
                assert np.allclose(found[name], other, rtol=1e-10, atol=1e-12)


@pytest.mark.filterwarnings("ignore:layers without a gradient")
def test_a_layer_that_is_left_out_at_random_is_no_hidden_one():
    model, (x, y, group) = network(LeftOut), rows([0] * 40)
    term, reached = RationaleAlignment(model), set()
    for _ in range(20):
        model.zero_grad()
        aligned_backward(
            model, x, label=y, group=group, n_groups=2, alignment=term, alignment_weight=0.1
        )
        reached.add(sum(block.weight.grad is not None for block in model.blocks))
    assert len(reached) > 1
