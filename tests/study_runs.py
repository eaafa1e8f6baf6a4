"""Stand-ins for a training run, in a module that worker processes can import."""

import os
import signal
import sys
import threading
import time
import warnings
from dataclasses import replace
from pathlib import Path

import torch

import records as made_up
from dralign.errors import AssumptionWarning, ModelError


def quick(spec):
    """A made-up history at once."""
    return made_up.history(spec)


def computed(spec):
    """A history with a figure from torch, which depends on the threads if anything does."""
    generator = torch.Generator().manual_seed(spec.seed)
    x = torch.randn(200_003, generator=generator)
    total = (x.exp() @ x).item() + torch.linalg.norm(x.view(-1, 1) @ x[:7].view(1, -1)).item()
    return (replace(made_up.history(spec)[0], loss=total, seconds=0.0, evaluation_seconds=0.0),)


def threads(spec):
    """The number of torch threads as the loss."""
    return (replace(made_up.history(spec)[0], loss=float(torch.get_num_threads())),)


def gap_fails(spec):
    """One method has a bug, another is refused, a third warns twice."""
    if spec.method == "gap":
        raise ZeroDivisionError("bad\nluck")
    if spec.method == "dralign":
        raise ModelError("the loss is not finite")
    if spec.method == "oversample":
        for _ in range(2):
            warnings.warn("a batch\nsize is assumed", AssumptionWarning, stacklevel=1)
    return made_up.history(spec)


def long_for_seed_2(spec):
    """Seed 2 has a hundred times as many epochs."""
    return made_up.history(spec) * (100 if spec.seed == 2 else 1)


def dies(spec):
    """Seed 2 kills its worker, every time."""
    if spec.seed == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return made_up.history(spec)


def first_time(spec):
    """Whether this trial is run for the first time, by any process; MARKS names a folder."""
    try:
        (Path(os.environ["MARKS"]) / f"{spec.method}-{spec.seed}").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def dies_once(spec):
    """Seed 2 kills its worker, at its first attempt."""
    if spec.seed == 2 and first_time(spec):
        os.kill(os.getpid(), signal.SIGKILL)
    return made_up.history(spec)


def stops_once(spec):
    """Seed 2 stops its worker, at its first attempt; the others take a moment."""
    if spec.seed == 2 and first_time(spec):
        os.kill(os.getpid(), signal.SIGSTOP)
    return short(spec)


def is_late(spec):
    """Seed 2 stops its worker; its second attempt wakes it, and ends a while after the first."""
    note = Path(os.environ["MARKS"]) / "stopped"
    if spec.seed != 2:
        return made_up.history(spec)
    if first_time(spec):
        note.write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGSTOP)
    else:
        os.kill(int(note.read_text()), signal.SIGCONT)
        time.sleep(3)
    return made_up.history(spec)


def hogs(spec):
    """Seed 2 computes for a while without letting another thread of its process run."""
    if spec.seed == 2:
        before = sys.getswitchinterval()
        sys.setswitchinterval(1e5)
        end = time.process_time() + 6
        while time.process_time() < end:
            pass
        sys.setswitchinterval(before)
    return made_up.history(spec)


def endless(spec):
    """Seed 2 never ends."""
    if spec.seed == 2:
        threading.Event().wait()
    return made_up.history(spec)


def rewrites_its_data(spec):
    """Seed 2 finds that somebody else has appended to the file."""
    if spec.seed == 2:
        with Path(spec.data.name).open("a", encoding="utf-8") as file:
            file.write("5,0,a\n")
    return made_up.history(spec)


def short(spec):
    """A made-up history after a moment."""
    time.sleep(0.05)
    return made_up.history(spec)


def interrupts(spec):
    """Somebody presses Ctrl-C in the middle of seed 2 (in the coordinating process)."""
    if spec.seed == 2:
        signal.raise_signal(signal.SIGINT)
    return made_up.history(spec)


def slow(spec):
    """A made-up history after a while."""
    threading.Event().wait(0.4)
    return made_up.history(spec)
