"""Several processes take the steps of one."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn

from dralign.step import Block, Passes, part_of
from dralign.training import TrainingSettings, loop, seeded, train
from dralign.training.distributed import from_first
from meeting import meeting
from switched_off import method_of
from synthetic import dataset, perceptron
from training_cases import CASES, error, two_steps

pytestmark = pytest.mark.skipif(not dist.is_available(), reason="torch without distributed")

TYPES = {"float64": (torch.float64, 1e-10), "float32": (torch.float32, 1e-4)}
IN_PARTS = Passes(micro_batch=4)
TINY = 1  # rows of a block: the second process has none
RUNS = {
    "dralign": {"name": "dralign", "fairness_weight": 0.3, "alignment_weight": 0.03},
    "adversarial": {"name": "adversarial", "fairness_weight": 0.3},
    "mixup": {"name": "mixup", "fairness_weight": 0.3},
    "fairbatch": {"name": "fairbatch", "share_step": 0.2},
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
    with meeting(folder, rank):
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


def test_a_process_without_a_callback_takes_part_as_often_as_one_with_it(monkeypatch):
    def times(on_epoch) -> int:
        asked = []
        monkeypatch.setattr(loop, "from_first", lambda figures: asked.append(1) or figures())
        settings = TrainingSettings(epochs=2, iterations=3, batch_size=9)
        train(perceptron(), dataset(), method_of("erm"), settings, on_epoch=on_epoch)
        return len(asked)

    assert times(None) == times(lambda _: False) > 0
