"""Kills real sweeps at random times, continues them, and compares with one that nobody disturbed.

Of 40 trials on a small table, with two workers. What is killed: a worker, the coordinator, or all
processes (SIGKILL); or Ctrl-C comes to all of them, or SIGTERM to the coordinator. Afterwards the
same command must end well, and then every trial is in the ledger once with the figures of the
undisturbed run, SQLite finds the ledger sound, no process is left, and no file is that the
undisturbed run has not left as well.

    python tests/faults/kills.py [--each 4] [--trials 40] [--seed 0]
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import (
    Done,
    Results,
    all_gone,
    content,
    differences,
    figures,
    finish,
    marked,
    plan,
    run,
    scratch,
    sound,
    start,
)

KINDS = ("worker", "coordinator", "all", "SIGINT", "SIGTERM")
# How the killed command may end; a worker's death costs the sweep nothing.
ENDS = {
    "worker": (0,),
    "coordinator": (-signal.SIGKILL,),
    "all": (-signal.SIGKILL,),
    "SIGINT": (130,),
    "SIGTERM": (-signal.SIGTERM, 128 + signal.SIGTERM),
}
# How Python ends, with status 1 and a traceback, where Ctrl-C meets it before any line of ours.
WHILE_PYTHON_STARTS = ("Could not import runpy module", "Fatal Python error: init_")


@dataclass(frozen=True)
class Undisturbed:
    """A sweep that ran to its end.

    Attributes:
        plan: what it ran.
        figures: of its trials.
        files: that it left in the folder of the study, and in that of temporary files.
        seconds: how long it took.
    """

    plan: Path
    figures: dict[str, object]
    files: set[str]
    seconds: float


def places(folder: Path) -> tuple[Path, Path]:
    """The folders of a study and of its temporary files."""
    out, temporary = folder / "study", folder / "temporary"
    temporary.mkdir(parents=True, exist_ok=True)
    return out, temporary


def arguments(out: Path, described: Path) -> list[object]:
    """Those of the sweep."""
    return ["sweep", described, "--out", out, "--jobs", 2]


def undisturbed(folder: Path, described: Path) -> Undisturbed:
    """Runs the plan without a fault."""
    out, temporary = places(folder)
    began = time.monotonic()
    if wrong := run(*arguments(out, described), temporary=temporary).wrong(0):
        raise SystemExit(f"kills: the undisturbed sweep fails: {wrong}")
    return Undisturbed(
        described,
        figures(out / "study.sqlite"),
        set(content(folder)),
        time.monotonic() - began,
    )


def wait_for_moment(process: subprocess.Popen[str], rng: random.Random, whole: Undisturbed) -> str:
    """Waits until some random trial has ended, or for a random part of the start."""
    trials = len(whole.figures)
    moment = rng.randint(-trials // 8, max(trials - 4, 1))
    if moment <= 0:
        pause = rng.uniform(0, whole.seconds / 2)
        time.sleep(pause)
        return f"{pause:.1f} s"
    for line in process.stderr or ():
        if line.startswith(f"{moment} of "):
            break
    time.sleep(rng.uniform(0, 0.15))
    return f"{moment} trials"


def strike(process: subprocess.Popen[str], kind: str, mark: str, rng: random.Random) -> bool:
    """Does the harm; whether there was a process for it."""
    if kind == "worker":
        workers = workers_of(process, mark)
        if workers:
            os.kill(rng.choice(workers), signal.SIGKILL)
        return bool(workers)
    if kind == "coordinator":
        process.kill()
    elif kind == "SIGTERM":
        process.terminate()
    elif process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL if kind == "all" else signal.SIGINT)
    return True


def workers_of(process: subprocess.Popen[str], mark: str) -> list[int]:
    """The processes that run trials for a command, which starts them in its first seconds."""
    while process.poll() is None:
        if found := [pid for pid in marked(mark) if is_worker(pid)]:
            return found
        time.sleep(0.01)
    return []


def is_worker(pid: int) -> bool:
    """Whether a process runs trials for another."""
    try:
        said = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return str(Path("dralign", "study", "worker.py")).encode() in said


def attempt(folder: Path, kind: str, rng: random.Random, whole: Undisturbed) -> tuple[str, str]:
    """One killed and continued sweep: what is wrong with it (empty: nothing), and when it was."""
    (out, temporary), mark = places(folder), uuid.uuid4().hex
    process = start(arguments(out, whole.plan), mark=mark, temporary=temporary)
    moment = wait_for_moment(process, rng, whole)
    struck = strike(process, kind, mark, rng)
    done = finish(process)
    gone = all_gone(mark)
    wrong = ended_badly(kind, done, begun=(out / "study.sqlite").exists())
    if not wrong and not struck:
        wrong = "there was no worker to kill"
    if not wrong and not gone:
        wrong = "a process is left"
    if not wrong:
        again = run(*arguments(out, whole.plan), temporary=temporary)
        wrong = again.wrong(0) or compared(folder, whole)
    return wrong, f"after {moment}, exit {done.code}"


def ended_badly(kind: str, done: Done, *, begun: bool) -> str:
    """What is wrong with the end of the killed command; empty for nothing.

    It may have been done before the harm came. Ctrl-C before the command has opened the study may
    meet Python itself while it starts.
    """
    if done.code is None:
        return "hangs"
    if kind == "SIGINT" and not begun:
        of_python = done.code == 1 and done.err.startswith(WHILE_PYTHON_STARTS)
        if of_python or done.code == -signal.SIGINT:
            return ""
    if done.code not in {0, *ENDS[kind]}:
        said = " ".join(done.err.split())
        return f"exit {done.code}: {said[:60]} ... {said[-120:]}"
    if "Traceback" in done.err:
        return f"traceback: {done.err.strip().splitlines()[-1][:90]}"
    return ""


def compared(folder: Path, whole: Undisturbed) -> str:
    """What is wrong with a continued sweep; empty for nothing."""
    path = folder / "study" / "study.sqlite"
    files = dict.fromkeys(content(folder), ""), dict.fromkeys(whole.files, "")
    return (
        differences(figures(path), whole.figures)
        or ("" if sound(path) else "the ledger is not sound")
        or differences(*files)
    )


def main(given: Sequence[str] | None = None) -> int:
    """Prints the table; 1 if anything was lost or left."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--each", type=int, default=4, help="times each kind of kill")
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    options = parser.parse_args(given)
    rng = random.Random(options.seed)
    results = Results(f"sweeps of {options.trials} trials, killed and continued")
    with scratch() as folder:
        whole = undisturbed(folder / "whole", plan(folder, trials=options.trials))
        for place in range(options.each):
            for kind in options.kinds:
                wrong, note = attempt(folder / f"{kind}-{place}", kind, rng, whole)
                results.add(kind, wrong, note)
    return results.end()


if __name__ == "__main__":
    sys.exit(main())
