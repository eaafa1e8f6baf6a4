"""Several processes take the steps of one, and fail together."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

from dralign.alignment import Passes
from dralign.sampling import Block, part_of
from dralign.training import TrainingSettings, distributed, seeded, train
from dralign.training.distributed import from_first
from switched_off import method_of
from synthetic import dataset
from training_cases import CASES, error, two_steps

pytestmark = pytest.mark.skipif(not dist.is_available(), reason="torch without distributed")

TYPES = {"float64": (torch.float64, 1e-10), "float32": (torch.float32, 1e-4)}
IN_PARTS = Passes(micro_batch=4)
TINY = 1  # rows of a block: the second process has none
RUNS = {
    "dralign": {"name": "dralign", "fairness_weight": 0.3, "alignment_weight": 0.03},
    "adversarial": {"name": "adversarial", "fairness_weight": 0.3},
    "mixup": {"name": "mixup", "fairness_weight": 0.3},
    "bound": {"name": "gap", "fairness_weight": 1.0},
    "normalised": {"name": "gap", "fairness_weight": 0.3},
}


def run(name: str) -> np.ndarray:
    """The weights and buffers after a short run; 7 rows of each group a batch, 14 or 15 in all."""
    data = dataset()
    splits = {
        where: replace(getattr(data, where), x=getattr(data, where).x.double())
        for where in ("train", "validation", "test")
    }
    with seeded(0):
        layers = [nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1)]
        model = nn.Sequential(*layers).double()
        if name == "normalised":
            model.insert(1, nn.BatchNorm1d(8).double())
    settings = TrainingSettings(
        epochs=2, iterations=6, batch_size=7, gap_bound=0.05 if name == "bound" else None
    )
    done = train(model, replace(data, **splits), method_of(**RUNS[name]), settings)
    figures = [done.history[-1].validation["average_precision"], done.history[-1].loss]
    state = [x.flatten().double() for x in model.state_dict().values()]
    return torch.cat([*state, torch.tensor(figures, dtype=torch.float64)]).numpy()


def process(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/init", rank=rank, world_size=2)
    kept = {}
    for key, case in CASES.items():
        where = {"place": rank, "n_parts": 2}
        for name, (dtype, _) in TYPES.items():
            kept[f"{key} {name}"] = two_steps(case, dtype=dtype, **where)
        kept[f"{key} parts"] = two_steps(case, passes=IN_PARTS, **where)
        kept[f"{key} tiny"] = two_steps(case, rows=TINY, **where)
    kept = {f"{key}/{i}": x.numpy() for key, found in kept.items() for i, x in enumerate(found)}
    kept |= {f"run {name}": run(name) for name in RUNS}
    told = from_first(lambda: {"nan": float("nan"), "third": 1 / 3, "rank": rank})
    kept["told"] = np.array(list(told.values()))
    np.savez(f"{folder}/{rank}.npz", **kept)
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> list[dict[str, np.ndarray]]:
    """What two processes, started once for all tests, found."""
    folder = tmp_path_factory.mktemp("processes")
    torch.multiprocessing.spawn(process, args=(str(folder),), nprocs=2)
    return [dict(np.load(folder / f"{rank}.npz")) for rank in range(2)]


def found(result: dict[str, np.ndarray], key: str) -> list[np.ndarray]:
    return [value for name, value in result.items() if name.startswith(f"{key}/")]


@pytest.mark.parametrize("kind", [*TYPES, "parts", "tiny"])
@pytest.mark.parametrize("key", CASES)
def test_two_processes_take_the_step_of_one(results, key, kind):
    """Also in parts, and with blocks of one row, of which the second process has none."""
    dtype, tolerance = TYPES.get(kind, TYPES["float64"])
    expected = two_steps(CASES[key], dtype=dtype, rows=TINY if kind == "tiny" else 7)
    for result in results:
        assert error(found(result, f"{key} {kind}"), expected) <= tolerance


@pytest.mark.parametrize("name", RUNS)
def test_a_whole_run_ends_alike_in_both_processes_and_in_one(results, name):
    """Batch normalisation takes statistics from a process's own rows: only the first holds."""
    one, other = (result[f"run {name}"] for result in results)
    assert np.array_equal(one, other)
    if name != "normalised":
        np.testing.assert_allclose(one, run(name), rtol=1e-7, atol=1e-10)


def test_what_the_first_process_found_reaches_the_others_with_every_digit(results):
    for result in results:
        np.testing.assert_array_equal(result["told"], [float("nan"), 1 / 3, 0])


@pytest.mark.parametrize("n_parts", [1, 2, 3, 5])
def test_parts_of_a_batch_are_neighbouring_rows_and_differ_by_one_at_most(n_parts):
    blocks = (Block(0, 7, 0), Block(7, 14, 1), Block(14, 15))
    parts = [part_of(blocks, place, n_parts) for place in range(n_parts)]
    for i, block in enumerate(blocks):
        pieces = [rows[inside[i].rows] for rows, inside in parts]
        assert torch.cat(pieces).tolist() == list(range(block.start, block.stop))
        assert max(map(len, pieces)) - min(map(len, pieces)) <= 1
        assert all((inside[i].group, inside[i].label) == (block.group, None) for _, inside in parts)


def command(tmp_path: Path, *more: str, launcher: tuple[str, ...] = ()) -> list[str]:
    options = ["--iterations", "3", "--hidden", "8", "--batch-size", "9", "--out", str(tmp_path)]
    return [sys.executable, "-m", *launcher, "dralign", "train", "german", *options, *more]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def test_torchrun_trains_one_network_and_only_the_first_process_speaks(tmp_path):
    launcher = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m")
    given = command(tmp_path / "net", "--epochs", "2", "--json", launcher=launcher)
    done = subprocess.run(
        given, capture_output=True, text=True, check=True, timeout=200, env=environment()
    )
    assert json.loads(done.stdout)["trial"]["epochs"] == 2
    assert sum(line.startswith("epoch 0") for line in done.stderr.splitlines()) == 1
    assert (tmp_path / "net" / "model.safetensors").is_file()


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc")
def test_a_killed_process_ends_the_run_with_one_line(tmp_path):
    given = command(tmp_path / "net", "--epochs", "100000", "--nproc", "2")
    with subprocess.Popen(given, stderr=subprocess.PIPE, text=True, env=environment()) as running:
        lines = (line for line in running.stderr if not line.startswith("warning"))
        assert next(lines).startswith("epoch 0")
        children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text()
        started = time.monotonic()
        os.kill(max(map(int, children.split())), signal.SIGKILL)
        told = [line for line in lines if not line.startswith("epoch")]
    assert running.returncode == 1
    assert told == ["dralign: error: process 1 stopped (SIGKILL); the others were ended\n"]
    assert time.monotonic() - started < 120
    assert not (tmp_path / "net").exists()


def test_the_process_that_was_killed_is_named_and_not_those_that_were_ended_for_it():
    """The launcher may list both, and did so on a busy machine."""
    ended, killed = (
        ProcessFailure(place, 1, -code, "")
        for place, code in ((0, signal.SIGTERM), (1, signal.SIGKILL))
    )
    told = distributed._why({0: ended, 1: killed})
    assert told == (1, "process 1 stopped (SIGKILL); the others were ended")


def test_an_error_of_all_processes_is_told_once(tmp_path):
    given = command(tmp_path / "net", "--nproc", "2")
    given[given.index("german")] = str(tmp_path / "absent.csv")
    done = subprocess.run(
        [*given, "--label", "y", "--sensitive", "s"], capture_output=True, text=True, timeout=200,
        env=environment(), check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("dralign: error: ")
    assert "absent.csv" in done.stderr
