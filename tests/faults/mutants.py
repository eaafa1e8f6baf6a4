"""Changes the code in about 300 written ways, one at a time, and sees whether a test notices.

The list is ``mutants.toml``. Each entry names a piece of code (looked for in the whole package,
within one function, and found exactly once: else it is an error, so that the list does not rot),
what takes its place, and why that would matter. The tree is copied to a temporary folder; there the
mutant is applied, the tests nearest to it run until one fails, and broader ones where none did.

A change that can't matter is marked ``equivalent`` with the reason, and is not run. The log, a JSON
object a line, lets a run that was stopped continue; a mutant runs again when its file, its tests or
its text have changed.

    python tests/faults/mutants.py [--list] [--only NAME ...] [--log FILE]
"""

import argparse
import ast
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NoReturn

os.environ["OMP_NUM_THREADS"] = "1"
# Loaded once, here: each run of the tests is a fork, which saves half of its time.
import hypothesis  # noqa: F401
import numba  # noqa: F401
import pandas as pd  # noqa: F401
import pytest
import scipy.stats  # noqa: F401
import sklearn.metrics  # noqa: F401
import torch  # noqa: F401

ROOT = Path(__file__).resolve().parents[2]
LIST = Path(__file__).with_name("mutants.toml")
PACKAGE = "src/dralign"
COPIED = (
    "src",
    "tests",
    "examples",
    "experiments",
    "results",
    "docs",
    "pyproject.toml",
    "README.md",
)
LONGEST = 1800.0  # seconds that one run of tests may take at all
FAILED = {1, 2}  # pytest: a test failed, or a test file could not be imported


class ListError(Exception):
    """The list does not fit the source any more."""


@dataclass(frozen=True)
class Mutant:
    """One change of the code.

    Attributes:
        name: of the mutant.
        part: of the package, for the table.
        within: the function or class the code is in; empty for anywhere.
        old: the code, found there exactly once.
        new: what takes its place.
        why: what would go wrong.
        tests: the test files, or pytest's names of tests, that run first.
        more: those that run where the first notice nothing.
        equivalent: why no test can notice; empty for a mutant that one must notice.
    """

    name: str
    part: str
    within: str
    old: str
    new: str
    why: str
    tests: tuple[str, ...]
    more: tuple[str, ...]
    equivalent: str = ""

    def applied(self, root: Path) -> tuple[Path, str]:
        """The file and its changed text.

        Raises:
            ListError: if the code is not found exactly once, or what comes out is no Python.
        """
        found = [
            (file, text, at)
            for file, text in _source(root)
            for at in _places(text, self.within, self.old)
        ]
        if len(found) != 1:
            inside = f" in {self.within}" if self.within else ""
            raise ListError(f"{self.name}: {self.old!r}{inside} is {len(found)} times in {PACKAGE}")
        ((file, text, at),) = found
        changed = text[:at] + self.new + text[at + len(self.old) :]
        try:
            ast.parse(changed)
        except SyntaxError as error:
            raise ListError(f"{self.name}: {error}") from error
        return file, changed


@cache
def _source(root: Path) -> list[tuple[Path, str]]:
    """The files of the package as they are without any mutant."""
    files = sorted((root / PACKAGE).rglob("*.py"))
    return [(file, file.read_text(encoding="utf-8")) for file in files]


def _places(text: str, within: str, old: str) -> list[int]:
    """Where the code begins in the text, inside the named functions or classes."""
    if old not in text:
        return []
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    spans = [(0, len(text))]
    if within:
        spans = [
            (starts[node.lineno - 1], starts[node.end_lineno or node.lineno])
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == within
        ]
    found = set()
    for start, stop in spans:
        at = text.find(old, start, stop)
        while at >= 0:
            found.add(at)
            at = text.find(old, at + 1, stop)
    return sorted(found)


def mutants(path: Path = LIST) -> list[Mutant]:
    """The mutants of the list.

    Raises:
        ListError: if two have one name.
    """
    found = []
    for place in tomllib.loads(path.read_text(encoding="utf-8"))["place"]:
        tests, more = (
            tuple(f"tests/{test}" for test in place.get(key, ())) for key in ("tests", "more")
        )
        for entry in place["mutants"]:
            own = entry.pop("tests", None)
            first = tests if own is None else tuple(f"tests/{test}" for test in own)
            rest = tuple(test for test in (*tests, *more) if test not in first)
            entry.setdefault("within", "")
            found.append(Mutant(part=place["part"], tests=first, more=rest, **entry))
    twice = [name for name, n in Counter(m.name for m in found).items() if n > 1]
    if twice:
        raise ListError(f"names given twice: {', '.join(twice)}")
    return found


@dataclass(frozen=True)
class Result:
    """What became of a mutant: ``killed``, ``timed out``, ``SURVIVED`` or ``UNTESTED``, by what."""

    name: str
    outcome: str
    by: str
    seconds: float
    key: str


class Driver:
    """A copy of the tree in which one mutant at a time is tried."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "tree"
        self.root.mkdir()
        for name in COPIED:
            source = ROOT / name
            copy = shutil.copytree if source.is_dir() else shutil.copy2
            copy(source, self.root / name)
        self._unchanged: dict[tuple[str, ...], float] = {}  # seconds that the tests took

    def tests(self, names: Sequence[str], limit: float) -> tuple[int | None, str, float]:
        """Runs tests, for at most ``limit`` seconds of a processor: a busy machine is no kill.

        Returns:
            Pytest's exit status, None where it ran past a limit; the first failure; the seconds of
            a processor that it took.
        """
        printed = self.root / "printed.log"
        child = os.fork()
        if not child:
            self._be_pytest(names, printed, int(limit))
        status, seconds = _ended(child)
        _end(child)
        text = printed.read_text(encoding="utf-8", errors="replace")
        said = [line for line in text.splitlines() if line.startswith(("FAILED", "ERROR"))]
        if status in {None, -signal.SIGXCPU}:
            return None, "ran past the limit", seconds
        return status, said[0].split(" - ")[0] if said else text[-300:], seconds

    def _be_pytest(self, names: Sequence[str], printed: Path, limit: int) -> NoReturn:
        """Runs the tests in this process, a fork, and ends it."""
        status = 3
        try:
            os.setsid()
            os.chdir(self.root)
            os.environ["PYTHONPATH"] = str(self.root / "src")
            sys.path[:0] = [str(self.root / "src")]
            where = os.open(printed, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
            os.dup2(where, 1)
            os.dup2(where, 2)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
            status = pytest.main(["-x", "-q", "--no-header", "--tb=no", *names])
        finally:
            sys.stdout.flush()
            os._exit(int(status))

    def fails_unchanged(self, names: tuple[str, ...]) -> str:
        """The first of the tests that fails in the copy before anything is changed; else empty."""
        if names not in self._unchanged:
            status, said, seconds = self.tests(names, LONGEST)
            if status != 0:
                return said
            self._unchanged[names] = seconds
        return ""

    def run(self, mutant: Mutant) -> Result:
        """Applies a mutant, runs its tests, and takes it back."""
        start = time.monotonic()
        file, changed = mutant.applied(self.root)
        before = file.read_text(encoding="utf-8")
        outcome, by = "SURVIVED", ""
        for names in (mutant.tests, mutant.more):
            if outcome != "SURVIVED" or not names:
                continue
            if said := self.fails_unchanged(names):
                outcome, by = "UNTESTED", f"without the change too: {said}"
                continue
            self._write(file, changed)
            try:
                status, said, _ = self.tests(names, 60 + 5 * self._unchanged[names])
            finally:
                self._write(file, before)
            if status is None:
                outcome, by = "timed out", said
            elif status in FAILED:
                outcome, by = "killed", said
            elif status:
                raise ListError(f"{mutant.name}: pytest ends with {status}: {said}")
        seconds = round(time.monotonic() - start, 1)
        return Result(mutant.name, outcome, by, seconds, key_of(mutant, by, self.root))

    @staticmethod
    def _write(file: Path, text: str) -> None:
        """Writes a file and forgets what was compiled of it."""
        file.write_text(text, encoding="utf-8")
        for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*"):
            compiled.unlink()


def _ended(child: int) -> tuple[int | None, float]:
    """The exit status of a child, minus a signal, and the seconds of a processor that it took.

    The status is None if it has not ended after ``LONGEST`` seconds.
    """
    deadline = time.monotonic() + LONGEST
    while time.monotonic() < deadline:
        pid, status, used = os.wait4(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime
        time.sleep(0.1)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None, LONGEST


def _end(group: int) -> None:
    """Ends what a run of the tests left behind."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def key_of(mutant: Mutant, by: str, root: Path = ROOT) -> str:
    """A sum over what a result holds for: the code, its change, and the tests.

    Of a mutant that was killed the test file that did it, of others all.
    """
    file, changed = mutant.applied(root)
    digest = hashlib.sha256(file.read_bytes() + changed.encode())
    killer = re.search(r"tests/[\w/]+\.py", by)
    tests = [killer[0]] if killer else sorted({*mutant.tests, *mutant.more})
    for test in tests:
        digest.update((root / test.split("::", maxsplit=1)[0]).read_bytes())
    return digest.hexdigest()[:16]


def known(log: Path, chosen: Sequence[Mutant]) -> dict[str, Result]:
    """The results of earlier runs that still hold, by the mutant's name."""
    by_name, found = {mutant.name: mutant for mutant in chosen}, {}
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    for line in lines:
        result = Result(**json.loads(line))
        mutant = by_name.get(result.name)
        if mutant is None or result.outcome == "UNTESTED":
            continue
        if key_of(mutant, result.by) == result.key:
            found[result.name] = result
    return found


def table(chosen: Sequence[Mutant], results: dict[str, Result]) -> str:
    """What became of each mutant."""
    lines = []
    for mutant in chosen:
        if mutant.equivalent:
            lines.append(f"{mutant.name:28} equivalent  {mutant.equivalent}")
        elif mutant.name in results:
            found = results[mutant.name]
            said = found.by if found.outcome == "killed" else f"{mutant.why} {found.by}"
            lines.append(f"{mutant.name:28} {found.outcome:11} {found.seconds:5.0f} s  {said}")
    return "\n".join(lines)


def counted(chosen: Sequence[Mutant], results: dict[str, Result]) -> Counter[str]:
    """How many mutants came to which end."""
    return Counter("equivalent" if m.equivalent else results[m.name].outcome for m in chosen)


def told(count: Counter[str]) -> str:
    """The counts in words."""
    return ", ".join(f"{n} {outcome}" for outcome, n in count.most_common())


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the mutants; 1 if one survives, or its tests fail by themselves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--list", action="store_true", help="check and print the list, run nothing")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="parts of names")
    parser.add_argument("--log", type=Path, default=Path("build/mutants.jsonl"))
    given = parser.parse_args(arguments)
    chosen = [m for m in mutants() if not given.only or any(part in m.name for part in given.only)]
    for mutant in chosen:
        mutant.applied(ROOT)  # one that does not fit is told before the work
    if given.list:
        for mutant in chosen:
            sys.stdout.write(f"{mutant.name:28} {mutant.part}: {mutant.why}\n")
        sys.stdout.write(f"{len(chosen)} mutants\n")
        return 0
    results = known(given.log, chosen)
    given.log.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        driver = Driver(Path(folder))
        for mutant in chosen:
            if mutant.equivalent or mutant.name in results:
                continue
            result = results[mutant.name] = driver.run(mutant)
            with given.log.open("a", encoding="utf-8") as log:
                log.write(json.dumps(vars(result)) + "\n")
            sys.stdout.write(f"{result.name:28} {result.outcome:11} {result.seconds:5.0f} s\n")
            sys.stdout.flush()
    count = counted(chosen, results)
    sys.stdout.write(f"\n{table(chosen, results)}\n\n")
    for part in dict.fromkeys(mutant.part for mutant in chosen):
        of_part = counted([mutant for mutant in chosen if mutant.part == part], results)
        sys.stdout.write(f"{part:20} {of_part.total():4}: {told(of_part)}\n")
    sys.stdout.write(f"{len(chosen)} mutants: {told(count)}\n")
    return 1 if count["SURVIVED"] + count["UNTESTED"] else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ListError as error:
        sys.exit(f"mutants: {error}")
