"""Gives commands too little memory: one line about it, and a study that goes on.

The limit is on the address space (RLIMIT_AS), of the command and of its workers. How much Python
and torch need to start at all is found first; below that nothing of ours runs, and nothing is
tried. A system that kills a process for its memory looks like a killed worker: see kills.py.

    python tests/faults/memory.py [--jobs 1 2]
"""

import argparse
import resource
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from harness import COLUMNS, SHORT, Results, people, run, scratch

GIB = 2**30
HUGE = 60_000  # units: two layers of them have 3.6e9 weights, 13 GiB
PLAN = """
name = "memory"
[defaults]
dataset = "people.csv"
label = "income"
positive = ">50K"
sensitive = ["sex"]
epochs = 2
iterations = 3
batch_size = 20
depth = 2
[[trials]]
method = "erm"
hidden = [8, {huge}]
seeds = {seeds}
"""


def limited(size: int) -> Callable[[], None]:
    """Sets the limit, in bytes, of the process that calls it."""
    return lambda: resource.setrlimit(resource.RLIMIT_AS, (size, size))


def smallest(at_least: float = 0.5, at_most: float = 4.0, step: float = 0.25) -> float:
    """The GiB with which the command starts, loads torch and says its version of the data."""
    size = at_least
    while size < at_most:
        if run("data", "list", before=limited(int(size * GIB))).code == 0:
            return size
        size += step
    return at_most


def trials(folder: Path, seeds: int) -> Path:
    """A plan in which half of the trials need more memory than there is."""
    people(folder / "people.csv")
    path = folder / "plan.toml"
    path.write_text(PLAN.format(huge=HUGE, seeds=seeds), encoding="utf-8")
    return path


def sweep(folder: Path, results: Results, *, jobs: int, gib: float, seeds: int = 2) -> None:
    """A study with trials that are too large: they fail, with a word, and the others are done."""
    from dralign.study import Ledger

    folder.mkdir(parents=True)
    out = folder / "study"
    arguments = ["sweep", trials(folder, seeds), "--out", out, "--jobs", jobs]
    done = run(*arguments, before=limited(int(gib * GIB)))
    wrong = "traceback" if "Traceback" in done.err else ""
    if not wrong and done.code != 1:
        wrong = f"exit {done.code}: {' '.join(done.err.split())[-100:]}"
    if not wrong:
        with Ledger(out / "study.sqlite", create=False) as ledger:
            records = ledger.records()
        ended = sorted((r.spec.hidden == HUGE, r.status, "memory" in r.error) for r in records)
        small, large = (False, "done", False), (True, "failed", True)
        if ended != [small] * seeds + [large] * seeds:
            wrong = f"ended as {ended}: {[r.error for r in records if r.error][:1]}"
    results.add(f"sweep, {jobs} jobs, half of the trials too large", wrong, f"{gib:g} GiB")


def train(folder: Path, results: Results, *, hidden: int, gib: float) -> None:
    """One network; too large, or with a limit near to what the start takes."""
    table = people(folder / "people.csv")
    options = [*SHORT[:-1], hidden, "--depth", 2]
    done = run(
        "train", table, *COLUMNS, *options, "--method", "erm", "--out", folder / "net",
        before=limited(int(gib * GIB)),
    )  # fmt: skip
    if "SystemError: error return without exception set" in done.err:
        results.skip(f"train at {gib:g} GiB: Python itself fails there, without an exception")
        return
    too_large = hidden == HUGE
    wrong = done.wrong(1, 2) if too_large else done.wrong(0, 1, 2)
    if not wrong and done.code and "memory" not in done.complaints[0]:
        wrong = f"does not say what was missing: {done.complaints[0][:90]}"
    name = "a network too large" if too_large else "a small network, little memory"
    results.add(f"train, {name}", wrong, f"{gib:g} GiB: {' '.join(done.complaints)[:90]}")


def main(given: Sequence[str] | None = None) -> int:
    """Prints the table; 1 if a command did not end as it should."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", nargs="+", type=int, default=(1, 2))
    options = parser.parse_args(given)
    results = Results("too little memory")
    with scratch() as folder:
        start = smallest()
        results.skip(f"below {start:g} GiB, with which Python and torch don't start")
        for jobs in options.jobs:
            sweep(folder / f"jobs{jobs}", results, jobs=jobs, gib=start + 4)
        train(folder, results, hidden=HUGE, gib=start + 4)
        for more in (0.0, 0.25, 0.5, 1.0):
            train(folder, results, hidden=8, gib=start + more)
    return results.end()


if __name__ == "__main__":
    sys.exit(main())
