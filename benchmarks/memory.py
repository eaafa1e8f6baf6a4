"""Memory of a step: AlexNet at 64 x 64 with a batch of 64, and whether it grows over 1,000 steps.

Each figure comes from a process of its own.

    OMP_NUM_THREADS=1 python benchmarks/memory.py
"""

import resource
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch
from torch import nn

from dralign import models
from dralign.methods import Step, build_method
from dralign.step import Batch, Block

MIB = 2**20
METHODS: dict[str, dict[str, float]] = {
    "oversample": {},
    "gap": {"fairness_weight": 0.2},
    "dralign": {"fairness_weight": 0.2, "alignment_weight": 0.02},
}


def begun(model: nn.Module, name: str, x: torch.Tensor) -> tuple[Step, Batch]:
    torch.set_num_threads(1)
    half = len(x) // 2
    blocks = (Block(0, half, 0), Block(half, 2 * half, 1))
    group = torch.arange(len(x)) // half
    step = build_method(name, **METHODS[name]).begin(
        model, n_groups=2, generator=torch.Generator().manual_seed(0)
    )
    return step, Batch(x, torch.arange(len(x)) % 2, group, blocks)


def peak(name: str) -> tuple[float, float]:
    """Peak MiB of three steps of AlexNet beyond what the process had, and MiB of its weights."""
    model = models.alexnet()
    optimiser = torch.optim.Adam(model.parameters(), fused=True)
    step, batch = begun(model, name, torch.rand(64, 3, 64, 64))
    before = resident()
    for _ in range(3):
        optimiser.zero_grad()
        step(batch)
        optimiser.step()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return most - before, sum(p.numel() for p in model.parameters()) * 4 / MIB


def growth(name: str) -> tuple[float, float]:
    """MiB after 100 steps of the perceptron, and after 1,000."""
    model = models.mlp(120)
    step, batch = begun(model, name, torch.rand(1000, 120))
    seen = []
    for steps in (100, 900):
        for _ in range(steps):
            model.zero_grad()
            step(batch)
        seen.append(resident())
    return seen[0], seen[1]


def resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / MIB


def alone(call: Callable[[str], tuple[float, float]], name: str) -> tuple[float, float]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(call, name).result()


if __name__ == "__main__":
    for method in METHODS:
        most, weights = alone(peak, method)
        print(
            f"{method:12s} AlexNet, batch 64: {most:,.0f} MiB more ({weights:.0f} MiB of weights)"
        )
    for method in ("gap", "dralign"):
        early, late = alone(growth, method)
        print(f"{method:12s} after 100 steps {early:.1f} MiB, after 1,000 {late:.1f} MiB")
