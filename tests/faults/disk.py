"""Runs every command that writes on a disk that is full, too small for a file, or read-only.

The full disk is a small tmpfs, the read-only one a bind mount, for which one must be root; without
that they are skipped and said so. The limit on the size of a file works for everyone, and so does
/dev/full as stdout. Expected is one line and status 1 or 2, nothing half written, nothing left
beside, what was there before unchanged; and once there is room, the same command ends well.
Commands that only read (``report`` and ``export`` of a study, written elsewhere) must work.

    python tests/faults/disk.py [--kinds full small read-only stdout]
"""

import argparse
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness import (
    COLUMNS,
    SHORT,
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

KINDS = ("full", "small", "read-only", "stdout")
TRIALS = 6
SIZE = "size=24m"  # of a disk that has room for each result by itself
REFUSED = (1, 2)


@dataclass(frozen=True)
class Ground:
    """What the commands start from, on a disk that works.

    Attributes:
        folder: holds a table, a plan, a finished study of it and a saved network.
    """

    folder: Path

    @property
    def table(self) -> Path:
        """The people."""
        return self.folder / "people.csv"

    @property
    def study(self) -> Path:
        """A finished study."""
        return self.folder / "study"

    @property
    def network(self) -> Path:
        """A saved network."""
        return self.folder / "net"

    def commands(self, on: Path) -> dict[str, list[object]]:
        """Every command that writes, writing to the folder ``on``."""
        train = ["train", self.table, *COLUMNS, *SHORT, "--method", "erm"]
        return {
            "sweep": ["sweep", self.folder / "plan.toml", "--out", on / "sweep", "--jobs", 1],
            "report": ["report", self.study, "--out", on / "report", "--format", "md,csv"],
            "export": ["export", self.study, "--out", on / "table.csv"],
            "train": [*train, "--out", on / "net"],
            "train --checkpoints": [
                *train, "--out", self.folder / "other", "--checkpoints", on / "points",
            ],
            "predict": ["predict", self.network, self.table, "--out", on / "scores.csv"],
            "audit": [
                "audit", self.network, self.table, "--out", on / "audit.html",
                *("--splits", 20, "--bootstrap", 20, "--sample", 5),
            ],
            "compare": [
                "compare", self.table, *COLUMNS, *SHORT, "--methods", "erm", "--seeds", 2,
                *("--jobs", 1, "--out", on / "compare"),
            ],
        }  # fmt: skip


def ground(folder: Path) -> Ground:
    """Makes what the commands start from."""
    folder.mkdir()
    found = Ground(folder)
    described = plan(folder, trials=TRIALS, epochs=2, iterations=3)
    train = ["train", found.table, *COLUMNS, *SHORT, "--method", "erm", "--out", found.network]
    for arguments in (["sweep", described, "--out", found.study, "--jobs", 1], train):
        if wrong := run(*arguments).wrong(0):
            raise SystemExit(f"disk: {arguments[0]} fails on a disk that works: {wrong}")
    return found


@contextmanager
def mounted(*arguments: object) -> Iterator[bool]:
    """Whether the last argument is mounted for the block."""
    command = ["mount", *map(str, arguments)]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=20).returncode == 0
    except OSError:
        done = False
    try:
        yield done
    finally:
        if done:
            subprocess.run(["umount", "-l", str(arguments[-1])], check=False, timeout=20)


def fill(folder: Path, *, left: int) -> Path:
    """Fills a disk with one file, but for ``left`` bytes."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
        file.truncate(max(file.tell() - left, 0))
    return ballast


def full(given: Ground, results: Results, folder: Path) -> None:
    """A disk with no room at all, and one that fills while a command writes."""
    disk = folder / "full"
    for left in (0, 12 * 1024):
        for name in given.commands(disk):
            disk.mkdir(exist_ok=True)
            with mounted("-t", "tmpfs", "-o", SIZE, "none", disk) as possible:
                if not possible:
                    results.skip("a full disk: mounting a tmpfs is not permitted")
                    return
                on_full_disk(given, results, disk, name, left)
    reading(given, results, disk, "full")


def on_full_disk(given: Ground, results: Results, disk: Path, name: str, left: int) -> None:
    """One command on a disk that fills."""
    kind = f"{name}, disk {'full' if not left else 'fills'}"
    arguments, before = given.commands(disk)[name], content(given.folder)
    ballast = fill(disk, left=left)
    done = run(*arguments)
    wrong = done.wrong(*REFUSED, *([0] if left else []))  # a small file may still have fitted
    ballast.unlink()
    if not wrong and done.code and name not in {"sweep", "compare", "train --checkpoints"}:
        left_behind = {name for name, sum_ in content(disk).items() if sum_ != "no file"}
        wrong = differences(dict.fromkeys(left_behind, ""), {})
    if not wrong:
        wrong = run(*arguments).wrong(0)
    if not wrong and name == "sweep":
        ledger = disk / "sweep" / "study.sqlite"
        expected = figures(given.study / "study.sqlite")
        wrong = differences(figures(ledger), expected) or ("" if sound(ledger) else "not sound")
    shutil.rmtree(given.folder / "other", ignore_errors=True)
    wrong = wrong or differences(content(given.folder), before)
    results.add(kind, wrong, " ".join(done.complaints)[:100])


def reading(given: Ground, results: Results, disk: Path, kind: str) -> None:
    """Commands that read a study on such a disk and write elsewhere."""
    elsewhere = given.folder.parent / "elsewhere"
    study = disk / "study"
    commands = {
        "report of a study on it": ["report", study, "--out", elsewhere, "--format", "md"],
        "export of a study on it": ["export", study, "--out", elsewhere / "table.csv"],
    }
    for name, arguments in commands.items():
        elsewhere.mkdir(exist_ok=True)
        disk.mkdir(exist_ok=True)
        options = ("-t", "tmpfs", "-o", SIZE, "none", disk)
        if kind == "read-only":
            options = ("--bind", given.folder, disk)
        with mounted(*options) as possible:
            if not possible:
                continue
            if kind == "full":
                shutil.copytree(given.study, study)
                fill(disk, left=0)
            elif not read_only(disk):
                continue
            results.add(f"{name}, {kind}", run(*arguments).wrong(0))


def read_only(disk: Path) -> bool:
    """Makes a bind mount read-only; whether that went well."""
    command = ["mount", "-o", "remount,bind,ro", str(disk)]
    return subprocess.run(command, capture_output=True, check=False, timeout=20).returncode == 0


def refused_beforehand(given: Ground, results: Results, folder: Path) -> None:
    """A read-only disk: what can't be written is said before the work."""
    disk = folder / "read-only"
    disk.mkdir(exist_ok=True)
    for name, arguments in given.commands(disk).items():
        with mounted("--bind", given.folder, disk) as possible:
            if not (possible and read_only(disk)):
                results.skip("a read-only disk: bind mounts are not permitted")
                return
            before = content(given.folder)
            done = run(*arguments)
        wrong = done.wrong(*REFUSED)
        if not wrong and "epoch 0:" in done.err:
            wrong = "trains before it finds out"
        wrong = wrong or differences(content(given.folder), before)
        results.add(f"{name}, read-only", wrong, " ".join(done.complaints)[:100])
    reading(given, results, disk, "read-only")


def limited() -> None:
    """No file of the process may grow beyond 2 KiB."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))


def small(given: Ground, results: Results, folder: Path, names: Sequence[str] = ()) -> None:
    """A limit on the size of files, as a quota has: everyone can set it."""
    for name in names or given.commands(folder):
        disk = folder / "small" / name.replace(" ", "")
        disk.mkdir(parents=True)
        arguments = given.commands(disk)[name]
        done = run(*arguments, before=limited)
        wrong = done.wrong(*REFUSED, *([0] if name in {"report", "export", "predict"} else []))
        shutil.rmtree(given.folder / "other", ignore_errors=True)
        results.add(f"{name}, files limited", wrong or run(*arguments).wrong(0),
                    " ".join(done.complaints)[:100])  # fmt: skip
        shutil.rmtree(given.folder / "other", ignore_errors=True)


def stdout(given: Ground, results: Results, folder: Path) -> None:
    """Nowhere to print to: results that are lost are an error, progress that is lost is not."""
    if not Path("/dev/full").exists():
        results.skip("stdout that is full: no /dev/full")
        return
    described = given.folder / "plan.toml"
    printing = {
        "predict": ["predict", given.network, given.table],
        "report": ["report", given.study, "--out", folder / "report", "--format", "md"],
        "sweep": ["sweep", described, "--out", folder / "sweep", "--jobs", 1],
        "sweep --json": ["sweep", described, "--out", folder / "json", "--jobs", 1, "--json"],
        "data list": ["data", "list"],
        "reproduce list": ["reproduce", "list"],
        "--version": ["--version"],
        "--help": ["--help"],
    }
    for name, arguments in printing.items():
        with Path("/dev/full").open("w") as nowhere:
            done = run(*arguments, stdout=nowhere)
        results.add(f"{name}, stdout full", done.wrong(*REFUSED), " ".join(done.complaints)[:100])
    with Path("/dev/full").open("w") as nowhere:
        arguments = ["sweep", described, "--out", folder / "silent", "--jobs", 1]
        done = finish(start(arguments, stderr=nowhere))
    ledger, expected = folder / "silent" / "study.sqlite", given.study / "study.sqlite"
    wrong = "" if done.code in {0, *REFUSED} else f"exit {done.code}"
    if not wrong and done.code == 0:
        wrong = differences(figures(ledger), figures(expected))
    results.add("sweep, stderr full", wrong, f"exit {done.code}")


def main(given: Sequence[str] | None = None) -> int:
    """Prints the table; 1 if a command did not end as it should."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    options = parser.parse_args(given)
    results = Results("disks that are full, too small or read-only")
    with scratch() as folder:
        start_from = ground(folder / "ground")
        if "full" in options.kinds:
            full(start_from, results, folder)
        if "small" in options.kinds:
            small(start_from, results, folder)
        if "read-only" in options.kinds:
            refused_beforehand(start_from, results, folder)
        if "stdout" in options.kinds:
            stdout(start_from, results, folder)
    return results.end()


if __name__ == "__main__":
    sys.exit(main())
