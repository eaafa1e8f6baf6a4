"""One training step of each method, on the paper's perceptron and batch; one thread.

Compare the medians of one run with each other: the machine's own speed drifts.
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from dralign.alignment import RationaleAlignment
from dralign.gaps import resolve_gap
from dralign.methods import build_method
from dralign.models import mlp
from dralign.networks import probability
from dralign.rationale import group_losses, per_sample_loss
from dralign.step import Batch, Sampler

ROWS, INPUTS = 27_132, 120
GAP = resolve_gap("demographic_parity")
LAMBDA, BETA = 0.2, 0.02


@pytest.fixture(scope="module")
def sampler_and_rows() -> tuple[Sampler, tuple[torch.Tensor, ...]]:
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    choice = torch.arange(40) * 3 + torch.randint(3, (ROWS, 40), generator=generator)
    x = torch.zeros(ROWS, INPUTS).scatter_(1, choice, 1.0)  # 40 ones a row, as prepared Adult
    group = (torch.rand(ROWS, generator=generator) < 0.67).long()
    y = (torch.rand(ROWS, generator=generator) < 0.25).long()
    sampler = Sampler(
        y,
        group,
        balance="group",
        rows_per_block=500,
        n_blocks=2,
        n_groups=2,
        generator=np.random.default_rng(0),
    )
    return sampler, (x, y, group)


def draw(sampler: Sampler, rows: tuple[torch.Tensor, ...]) -> Batch:
    drawn = sampler.draw()
    return Batch(*(column[drawn] for column in rows), sampler.blocks)


def plain_term(model: nn.Module) -> Callable[[Batch], None]:
    """The drop-in term as a user adds it: one joint forward pass, autograd for the rest."""
    term = RationaleAlignment(model)

    def step(batch: Batch) -> None:
        logits = model(batch.x)
        losses = per_sample_loss(logits, batch.y)
        gap = GAP(probability(logits), batch.group, batch.y, 2)
        strata = group_losses(losses, batch.group, n_groups=2)
        (losses.mean() + LAMBDA * gap + BETA * term.align(strata)).backward()

    return step


def method_step(model: nn.Module, name: str, **weights: float) -> Callable[[Batch], object]:
    return build_method(name, **weights).begin(model, n_groups=2, generator=torch.Generator())


STEPS: dict[str, Callable[[nn.Module], Callable[[Batch], object]]] = {
    "oversample": lambda model: method_step(model, "oversample"),
    "gap": lambda model: method_step(model, "gap", fairness_weight=LAMBDA),
    "dralign": lambda model: method_step(
        model, "dralign", fairness_weight=LAMBDA, alignment_weight=BETA
    ),
    "drop-in term": plain_term,
}


@pytest.mark.benchmark(group="step")
@pytest.mark.parametrize("name", STEPS)
def test_step(benchmark, sampler_and_rows, name):
    sampler, rows = sampler_and_rows
    torch.manual_seed(0)
    model = mlp(INPUTS)
    step = STEPS[name](model)
    batch = draw(sampler, rows)

    def once() -> None:
        model.zero_grad()
        step(batch)

    benchmark.pedantic(once, rounds=40, warmup_rounds=5)


@pytest.mark.benchmark(group="step")
def test_draw(benchmark, sampler_and_rows):
    benchmark.pedantic(draw, args=sampler_and_rows, rounds=40, warmup_rounds=5)
