"""Short training runs in processes of their own that are killed in the middle."""

import json
import multiprocessing
import os
import signal
import sys
from itertools import count
from pathlib import Path

import numpy as np
import torch
from torch import nn

from dralign.step import Sampler
from dralign.training import Checkpoints, Selection, Training, TrainingSettings, seeded, train
from dralign.training.run import Run
from dralign.training.snapshot import Snapshot
from meeting import meeting
from switched_off import method_of
from synthetic import dataset

EPOCHS, STEPS, EVERY = 3, 5, 2
LAST = 2
CASES = {
    "gap": {"name": "gap", "fairness_weight": 0.5},
    "dralign": {
        "name": "dralign", "fairness_weight": 0.5, "alignment_weight": 0.1, "alignment_every": 4,
    },
    "placebo": {
        "name": "placebo", "fairness_weight": 0.5, "alignment_weight": 0.1, "alignment_every": 4,
    },
    "adversarial": {"name": "adversarial", "fairness_weight": 0.5},
    "mixup": {"name": "mixup", "fairness_weight": 0.5},
    "fairbatch": {"name": "fairbatch", "share_step": 0.2},
    "bound": {"name": "gap", "fairness_weight": 1.0},
    "noisy": {"name": "dralign", "fairness_weight": 0.5, "alignment_weight": 0.1},
    "float16": {"name": "erm"},
}  # fmt: skip
FILES = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir"}


def network(name: str) -> nn.Module:
    with seeded(0):
        noisy = [nn.BatchNorm1d(8), nn.Dropout(0.3)] if name == "noisy" else []
        model = nn.Sequential(nn.Linear(6, 8), *noisy, nn.ReLU(), nn.Linear(8, 1))
    if name == "float16":  # gradients overflow at first, and the scale of the loss comes down
        model[-1].weight.data *= 1000
    return model


def settings(name: str, **given) -> TrainingSettings:
    bound, half = {"bound": 0.001}.get(name), name == "float16"
    return TrainingSettings(
        **{"epochs": EPOCHS, "iterations": STEPS, "batch_size": 20, "learning_rate": 0.02}
        | {"gap_bound": bound, "precision": "float16" if half else "float32"}
        | given
    )


def run(name: str, folder: Path | None = None, *, keep="all", on_epoch=None, **given) -> Training:
    """A run of 15 steps, saved after every second one and at the end of each of three epochs."""
    checkpoints = None if folder is None else Checkpoints(folder, every=EVERY, last=LAST)
    return train(
        network(name), dataset(), method_of(**CASES[name]), settings(name, **given),
        keep=keep, checkpoints=checkpoints, on_epoch=on_epoch,
    )  # fmt: skip


def outcome(done: Training) -> dict[str, np.ndarray]:
    """All that a run leaves, but for the time it took."""
    states = {"end": done.model.state_dict()}
    states |= {str(epoch): state for epoch, state in enumerate(done.states) if state is not None}
    found = {f"{at}/{name}": x.numpy() for at, state in states.items() for name, x in state.items()}
    times = {"seconds": 0.0, "evaluation_seconds": 0.0}
    history = [record.to_dict() | times for record in done.history]
    return found | {"history": np.array(json.dumps(history))}


def outcome_of(run: Run) -> dict[str, np.ndarray]:
    """All that a run between two steps holds."""
    snapshot = Snapshot.of(run)
    found = {name: x.numpy().copy() for name, x in snapshot.tensors.items()}
    return found | {"rest": np.array(json.dumps(snapshot.rest()))}


def attempt(name: str, folder: str | None, out: str, moment: tuple[str, int], keep) -> None:
    """A run that dies at the given moment: before a step, in a write, or at an access to a file."""
    torch.set_num_threads(1)
    kind, at = moment
    calls = count(1)

    def die() -> None:
        if next(calls) == at:
            os.kill(os.getpid(), signal.SIGKILL)

    if kind == "step":
        draw = Sampler.draw
        Sampler.draw = lambda self: [die(), draw(self)][1]
    if kind == "write":
        import safetensors.torch as files

        whole = files.save_file

        def save_file(tensors, path, metadata):
            whole(tensors, path, metadata)
            os.truncate(path, Path(path).stat().st_size // 2)
            die()
            whole(tensors, path, metadata)

        files.save_file = save_file
    if kind == "file":
        sys.addaudithook(lambda event, args: event in FILES and folder in str(args) and die())
    done = run(name, None if folder is None else Path(folder), keep=keep)
    np.savez(out, **outcome(done))


def in_process(
    name: str, folder: Path | None, out: Path, moment: tuple[str, int] = ("never", 0), keep="all"
) -> bool:
    """Whether the attempt ended by itself; it has a process of its own."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["dralign.training", "safetensors.torch", "torch._dynamo"])
    where = None if folder is None else str(folder)
    process = context.Process(target=attempt, args=(name, where, str(out), moment, keep))
    process.start()
    process.join(120)
    assert process.exitcode in {0, -signal.SIGKILL}, process.exitcode
    return process.exitcode == 0


def kept_selection() -> Selection:
    return Selection("highest_ap", warmup=0)


def one_of_two(rank: int, folder: str) -> None:
    """Both processes run; the second then loses its newest checkpoint, and both run again."""
    with meeting(folder, rank):
        np.savez(f"{folder}/{rank}-whole.npz", **outcome(run("noisy")))
        run("noisy", Path(folder) / "run")
        if rank:
            (newest,) = (Path(folder) / "run").glob("step-15-process-1.*")
            newest.unlink()
        np.savez(f"{folder}/{rank}-done.npz", **outcome(run("noisy", Path(folder) / "run")))
