"""Whole training runs on Adult, evaluation included: what alignment costs, and the old structure.

One epoch of 100 steps and its evaluation, one thread. The kinds of run take turns, so that a drift
of the machine's speed meets all of them; compare the figures of one call with each other.

    OMP_NUM_THREADS=1 python benchmarks/fit.py --repeats 7
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from dralign.data import Dataset, DataSource
from dralign.methods import build_method
from dralign.metrics import evaluate
from dralign.models import mlp
from dralign.training import TrainingSettings, predict_probability, train

LAMBDA, BETA, ITERATIONS, ROWS = 0.2, 0.02, 100, 500


def run(method: str, **options: Any) -> Callable[[Dataset], None]:
    built = build_method(method, **options)

    def once(data: Dataset) -> None:
        torch.manual_seed(0)
        train(mlp(data.n_inputs), data, built, TrainingSettings(epochs=1, iterations=ITERATIONS))

    return once


def reference_structure(data: Dataset) -> None:
    """The published structure: three forward passes a step, index lists rebuilt at every step.

    The joint batch is forwarded for the task loss and each group once more for the gap; rows are
    drawn by ``numpy.random.choice`` without a generator of their own.
    """
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - as it was
    model = nn.Sequential(
        nn.Linear(data.n_inputs, 200), nn.ReLU(),
        nn.Linear(200, 200), nn.ReLU(),
        nn.Linear(200, 1), nn.Sigmoid(),
    )  # fmt: skip
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    x, y, a = (column.numpy() for column in (data.train.x, data.train.y, data.train.group))
    for _ in range(ITERATIONS):
        first = np.where(a == 0)[0].tolist()
        second = np.where(a == 1)[0].tolist()
        drawn = [
            np.random.choice(rows, size=ROWS, replace=False).tolist()  # noqa: NPY002
            for rows in (first, second)
        ]
        x0, x1 = (torch.tensor(x[rows]).float() for rows in drawn)
        y0, y1 = (torch.tensor(y[rows]).float() for rows in drawn)
        inputs, target = torch.cat([x0, x1]), torch.cat([y0, y1])
        output = model(inputs)
        loss = nn.functional.binary_cross_entropy(output, target.reshape(-1, 1))
        gap = torch.abs(model(x0).mean() - model(x1).mean())
        optimiser.zero_grad()
        (loss + LAMBDA * gap).backward()
        optimiser.step()
    for split in (data.validation, data.test):
        prob = predict_probability(model[:-1], split.x)
        evaluate(split.y.numpy(), prob.numpy(), split.group.numpy(), n_groups=2)


def bare_loop(data: Dataset) -> None:
    """What no run in torch can go below: one forward pass, one backward pass, the optimiser.

    The same rows at every step, and no evaluation.
    """
    torch.manual_seed(0)
    model = mlp(data.n_inputs)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    x, y = data.train.x[: 2 * ROWS], data.train.y[: 2 * ROWS].float()
    for _ in range(ITERATIONS):
        logit = model(x).squeeze(1)
        prob = torch.sigmoid(logit)
        loss = nn.functional.binary_cross_entropy_with_logits(logit, y)
        gap = torch.abs(prob[:ROWS].mean() - prob[ROWS:].mean())
        optimiser.zero_grad()
        (loss + LAMBDA * gap).backward()
        optimiser.step()


RUNS: dict[str, Callable[[Dataset], None]] = {
    "gap": run("gap", fairness_weight=LAMBDA),
    "erm": run("erm"),
    "mixup": run("mixup", fairness_weight=LAMBDA),
    **{
        f"dralign, {granularity}, every {every}": run(
            "dralign",
            fairness_weight=LAMBDA,
            alignment_weight=BETA,
            alignment_every=every,
            granularity=granularity,
        )
        for granularity in ("unit", "parameter")
        for every in (1, 4, 8)
    },
    "gap, reference structure": reference_structure,
    "gap, bare loop": bare_loop,
}


def measure(repeats: int) -> None:
    """Prints medians and their ratios to a run of gap regularisation."""
    torch.set_num_threads(1)
    adult = DataSource("adult", preparation="paper").load(0)
    wall: dict[str, list[float]] = {name: [] for name in RUNS}
    processor: dict[str, list[float]] = {name: [] for name in RUNS}
    for repeat in range(repeats + 1):
        for name, once in RUNS.items():
            began = time.perf_counter(), time.process_time()
            once(adult)
            if repeat:  # the first round warms up
                wall[name].append(time.perf_counter() - began[0])
                processor[name].append(time.process_time() - began[1])
    print(f"seconds, median of {repeats} (smallest); ratio to gap in each round, median (range)")
    for name in RUNS:
        print(name.ljust(32), shown(wall, name), "   processor", shown(processor, name))


def shown(seconds: dict[str, list[float]], name: str) -> str:
    median = statistics.median(seconds[name])
    ratios = [ours / gap for ours, gap in zip(seconds[name], seconds["gap"], strict=True)]
    return (
        f"{median:6.2f} ({min(seconds[name]):5.2f}) {statistics.median(ratios):5.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f})"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    measure(parser.parse_args().repeats)
