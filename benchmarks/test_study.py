"""What a study adds to its trials, and what a second process gives.

The overhead is the time of 1,000 trials that do nothing, divided by 1,000: it holds the content
hashes, the way to a worker and back, and a transaction on disk for each. The throughput is that of
short trials that keep a core busy; the two sides are run in turn. Needs idle cores.
"""

import itertools
import time

import numpy as np
import pytest
import torch

from dralign.data import DataSource
from dralign.metrics import evaluate
from dralign.study import Ledger, TrialSpec, run_study
from dralign.training import EpochRecord

ADULT = DataSource("adult")
FRESH = itertools.count()  # seeds that were not used before
DRAWN = np.random.default_rng(0)
FIGURES = evaluate(
    DRAWN.integers(0, 2, 400), DRAWN.random(400), DRAWN.integers(0, 2, 400), n_groups=2
)
LAYERS = {name: {"0": 0.5, "2": 0.3, "4": 0.2} for name in ("unit", "parameter")}


def nothing(spec):
    """A history of 20 epochs, as large as a real one."""
    return tuple(
        EpochRecord(epoch, spec.seed / 7, FIGURES, FIGURES, LAYERS, 1.0, 0.1) for epoch in range(20)
    )


def busy(spec):
    """The same after about 30 ms of small matrix products."""
    x = torch.ones(128, 128)
    end = time.process_time() + 0.03
    while time.process_time() < end:
        x @ x
    return nothing(spec)


def specs(count):
    return [TrialSpec(ADULT, "erm", seed=next(FRESH)) for _ in range(count)]


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path / "study.sqlite") as ledger:
        run_study(specs(20), ledger, jobs=2, run=nothing)  # starts the workers
        yield ledger


@pytest.mark.benchmark(group="study, 1000 empty trials")
@pytest.mark.parametrize("jobs", [1, 2])
def test_overhead(benchmark, ledger, jobs):
    def study():
        run_study(specs(1000), ledger, jobs=jobs, run=nothing)

    benchmark.pedantic(study, rounds=3)
    benchmark.extra_info["ms a trial"] = benchmark.stats.stats.median


@pytest.mark.benchmark(group="study, throughput")
def test_two_processes_against_one(benchmark, ledger):
    seconds = {1: [], 2: []}

    def both():
        for jobs, times in seconds.items():
            trials = specs(200)
            start = time.perf_counter()
            run_study(trials, ledger, jobs=jobs, run=busy)
            times.append(time.perf_counter() - start)

    benchmark.pedantic(both, rounds=3)
    ratio = min(seconds[1]) / min(seconds[2])
    benchmark.extra_info["two processes against one"] = round(ratio, 2)
    print(f"\ntwo processes against one: {ratio:.2f} times the throughput")
