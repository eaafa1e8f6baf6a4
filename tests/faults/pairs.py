"""Starts two commands that write to one place at the same time.

Two sweeps of one study, a report and an export while a sweep runs, two ``train`` with one ``--out``
or one ``--checkpoints``, two ``compare``. One of the two must end well, and the other too or with
one line; afterwards what is there is whole: each trial once, with the figures of an undisturbed
run, networks that can be read, and nothing beside.

    python tests/faults/pairs.py [--each 2]
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from harness import (
    COLUMNS,
    SHORT,
    Done,
    Results,
    content,
    differences,
    figures,
    finish,
    plan,
    run,
    scratch,
    sound,
    start,
)


def both(first: Sequence[object], second: Sequence[object]) -> tuple[Done, Done]:
    """Two commands at the same time."""
    processes = [start(first), start(second)]
    ended = [finish(process) for process in processes]
    return ended[0], ended[1]


def badly(first: Done, second: Done) -> str:
    """What is wrong with the ends: one must be good, the other may be refused with one line."""
    wrong = first.wrong(0, 2) or second.wrong(0, 2)
    return wrong or ("" if 0 in {first.code, second.code} else "neither ended well")


def alone(folder: Path, *arguments: object) -> Path:
    """A command that nobody disturbs; the folder it writes to."""
    if wrong := run(*arguments).wrong(0):
        raise SystemExit(f"pairs: {arguments[0]} alone fails: {wrong}")
    return folder


def sweeps(folder: Path, trials: int) -> str:
    """Two sweeps of one study."""
    folder.mkdir(parents=True)
    described = plan(folder, trials=trials, epochs=3, iterations=10)
    whole = alone(folder / "whole", "sweep", described, "--out", folder / "whole", "--jobs", 1)
    out = folder / "study"
    command = ["sweep", described, "--out", out, "--jobs", 2]
    wrong = badly(*both(command, command))
    if not wrong:
        wrong = run(*command).wrong(0)
    ledger, expected = out / "study.sqlite", figures(whole / "study.sqlite")
    return (
        wrong
        or differences(figures(ledger), expected)
        or ("" if sound(ledger) else "the ledger is not sound")
        or differences(dict.fromkeys(content(out)), dict.fromkeys(content(whole)))
    )


def sweep_and_reader(folder: Path, trials: int, reader: str) -> str:
    """A report or an export while the sweep runs: both end well, or there is no study yet."""
    folder.mkdir(parents=True)
    out = folder / "study"
    process = start(["sweep", plan(folder, trials=trials), "--out", out, "--jobs", 1])
    for line in process.stderr or ():
        if line.startswith("2 of "):
            break
    other = {
        "report": ["report", out, "--out", folder / "report", "--format", "md"],
        "export": ["export", out, "--out", folder / "table.csv"],
    }
    read = run(*other[reader])
    swept = finish(process)
    wrong = read.wrong(0) or ("" if swept.code == 0 else f"sweep: {swept.wrong(0)}")
    if not wrong and len(figures(out / "study.sqlite")) != trials:
        wrong = "trials are missing"
    return wrong


def trains(folder: Path, shared: str) -> str:
    """Two trainings with one place to write to: ``--out``, or ``--checkpoints``."""
    folder.mkdir(parents=True)
    plan(folder)  # for its table
    table = folder / "people.csv"
    train = ["train", table, *COLUMNS, *SHORT, "--method", "gap"]
    expected = alone(folder / "alone", *train, "--out", folder / "alone")
    places = folder / "places"
    places.mkdir()
    if shared == "--out":
        commands = [[*train, "--out", places / "net"]] * 2
    else:
        points = ["--checkpoints", folder / "points"]
        commands = [[*train, *points, "--out", places / name] for name in ("net", "other")]
    wrong = badly(*both(*commands))
    for network in places.iterdir() if not wrong else ():
        if network.name.startswith("."):
            wrong = f"left behind: {network.name}"
            break
        scores = run("predict", network, table, "--out", folder / "scores.csv")
        name = "model.safetensors"
        same = (network / name).read_bytes() == (expected / name).read_bytes()
        wrong = wrong or scores.wrong(0) or ("" if same else "other weights")
    if not wrong and shared != "--out":
        wrong = run(*commands[0]).wrong(0)
    return wrong


def compares(folder: Path) -> str:
    """Two comparisons with one folder."""
    folder.mkdir(parents=True)
    plan(folder)
    out = folder / "study"
    command = [
        "compare", folder / "people.csv", *COLUMNS, *SHORT, "--methods", "erm,gap",
        *("--seeds", 2, "--jobs", 1, "--out", out),
    ]  # fmt: skip
    wrong = badly(*both(command, command)) or run(*command).wrong(0)
    left = [name for name in content(out) if Path(name).name.startswith(".")]
    return wrong or (f"left behind: {left[0]}" if left else "")


def main(given: Sequence[str] | None = None) -> int:
    """Prints the table; 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--each", type=int, default=2, help="times each pair")
    parser.add_argument("--trials", type=int, default=40)
    options = parser.parse_args(given)
    n = options.trials
    cases: dict[str, Callable[[Path], str]] = {
        "two sweeps of one study": lambda folder: sweeps(folder, n),
        "report while a sweep runs": lambda folder: sweep_and_reader(folder, n, "report"),
        "export while a sweep runs": lambda folder: sweep_and_reader(folder, n, "export"),
        "two trainings, one --out": lambda folder: trains(folder, "--out"),
        "two trainings, one --checkpoints": lambda folder: trains(folder, "--checkpoints"),
        "two comparisons of one study": compares,
    }
    results = Results("two commands at once")
    with scratch() as folder:
        for place in range(options.each):
            for number, (name, case) in enumerate(cases.items()):
                results.add(name, case(folder / f"{place}-{number}"))
    return results.end()


if __name__ == "__main__":
    sys.exit(main())
