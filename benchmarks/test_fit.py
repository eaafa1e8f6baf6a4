"""Whole training runs on Adult, evaluation included: what alignment costs, and the old structure.

One epoch of 100 steps and its evaluation, one thread, rounds interleaved by the runner. Compare the
medians of one run with each other.
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from dralign.data import Dataset, DataSource
from dralign.methods import build_method
from dralign.metrics import evaluate
from dralign.models import mlp
from dralign.training import TrainingSettings, predict_probability, train

LAMBDA, BETA, ITERATIONS, ROWS = 0.2, 0.02, 100, 500


@pytest.fixture(scope="module")
def adult() -> Dataset:
    torch.set_num_threads(1)
    return DataSource("adult", preparation="paper").load(0)


def run(method: str, **options: float) -> Callable[[Dataset], None]:
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


RUNS: dict[str, Callable[[Dataset], None]] = {
    "erm": run("erm"),
    "gap": run("gap", fairness_weight=LAMBDA),
    "mixup": run("mixup", fairness_weight=LAMBDA),
    "dralign": run("dralign", fairness_weight=LAMBDA, alignment_weight=BETA),
    "dralign, every 4th": run(
        "dralign", fairness_weight=LAMBDA, alignment_weight=BETA, alignment_every=4
    ),
    "dralign, every 8th": run(
        "dralign", fairness_weight=LAMBDA, alignment_weight=BETA, alignment_every=8
    ),
    "gap, reference structure": reference_structure,
}


@pytest.mark.benchmark(group="fit")
@pytest.mark.parametrize("name", RUNS)
def test_fit(benchmark, adult, name):
    benchmark.pedantic(RUNS[name], args=(adult,), rounds=7, warmup_rounds=1)
