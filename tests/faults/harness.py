"""What the fault scripts share: made-up people, commands in processes of their own, final tables.

Every wait has a limit. A command that runs past its own is killed with all of its processes, and
is a failure.
"""

import hashlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

MARK = "DRALIGN_FAULT"  # in the environment of a command and of all that it starts
LIMIT = 900.0  # seconds that a command may take, on a machine that has little time for it too
ERROR = "dralign: error: "
COLUMNS = ["--label", "income", "--positive", ">50K", "--sensitive", "sex"]
SHORT = ["--epochs", "2", "--iterations", "3", "--batch-size", "20", "--hidden", "8"]


def people(path: Path, *, rows: int = 300, seed: int = 0) -> Path:
    """Writes a table whose label leans on age, hours and sex."""
    rng, lines = random.Random(seed), ["age,hours,job,sex,income"]
    for _ in range(rows):
        age, hours, sex = rng.randint(18, 80), rng.randint(10, 60), rng.choice(["F", "M"])
        job = rng.choice(["clerk", "nurse", "smith"])
        rich = age / 40 + hours / 30 + (sex == "M") + rng.gauss(0, 1) > 3.4
        lines.append(f"{age},{hours},{job},{sex},{'>50K' if rich else '<=50K'}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


PLAN = """
name = "faults"
[defaults]
dataset = "people.csv"
label = "income"
positive = ">50K"
sensitive = ["sex"]
epochs = {epochs}
iterations = {iterations}
batch_size = 30
hidden = 8
seeds = {seeds}
[[trials]]
method = ["erm", "gap"]
fairness_weight = 0.5
"""


def plan(folder: Path, *, trials: int = 40, epochs: int = 4, iterations: int = 20) -> Path:
    """Writes a table of people, and beside it a plan of so many trials on it."""
    people(folder / "people.csv")
    path = folder / "plan.toml"
    text = PLAN.format(epochs=epochs, iterations=iterations, seeds=trials // 2)
    path.write_text(text, encoding="utf-8")
    return path


@dataclass(frozen=True)
class Done:
    """A command that has ended.

    Attributes:
        code: its exit status, minus a signal; None if it ran past the limit.
        out: what it wrote to stdout.
        err: the same of stderr.
    """

    code: int | None
    out: str
    err: str

    @property
    def complaints(self) -> list[str]:
        """The lines of stderr that are neither progress nor warnings."""
        return [line for line in self.err.splitlines() if line.startswith(ERROR)]

    def wrong(self, *codes: int) -> str:
        """What is wrong with the end: another status, a traceback, not one line; else empty."""
        if self.code is None:
            return "hangs"
        if "Traceback" in self.err:
            return f"traceback: {self.err.strip().splitlines()[-1][:90]}"
        if self.code not in codes:
            return f"exit {self.code}: {' '.join(self.err.split())[-90:]}"
        if self.code and len(self.complaints) != 1:
            return f"{len(self.complaints)} lines about the error: {self.err.strip()[-90:]}"
        return ""


def command(*arguments: object) -> list[str]:
    """The command line of dralign with these arguments."""
    return [sys.executable, "-m", "dralign", *map(str, arguments)]


def start(
    arguments: Sequence[object],
    *,
    mark: str = "",
    temporary: Path | None = None,
    before: Callable[[], object] | None = None,
    **options: object,
) -> subprocess.Popen[str]:
    """Starts dralign at the head of a process group; Ctrl-C is heard even if we ignore it.

    Args:
        arguments: of dralign.
        mark: by which ``marked`` finds its processes.
        temporary: where it puts temporary files.
        before: called in the new process.
        options: more for ``Popen``.
    """
    environment = os.environ | {MARK: mark or uuid.uuid4().hex, "OMP_NUM_THREADS": "1"}
    if temporary is not None:
        environment["TMPDIR"] = str(temporary)

    def prepare() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if before is not None:
            before()

    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment} | options
    return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
        command(*arguments),
        text=True,
        start_new_session=True,
        preexec_fn=prepare,  # noqa: PLW1509 - the scripts have one thread
        **given,
    )


def finish(process: subprocess.Popen[str], limit: float = LIMIT) -> Done:
    """Waits for a command, at most ``limit`` seconds."""
    try:
        out, err = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        kill_group(process.pid)
        out, err = process.communicate()
        return Done(None, out or "", err or "")
    return Done(process.returncode, out or "", err or "")


def run(*arguments: object, limit: float = LIMIT, **options: object) -> Done:
    """Runs dralign to its end."""
    return finish(start(arguments, **options), limit)  # type: ignore[arg-type]


def kill_group(pid: int) -> None:
    """Ends every process of a group, if any is left."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def marked(mark: str) -> list[int]:
    """The processes that a command started, itself included."""
    entry, found = f"{MARK}={mark}".encode(), []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if entry in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:  # it has ended meanwhile
            continue
    return found


def all_gone(mark: str, limit: float = 60.0) -> bool:
    """Whether every process of a command ends within the limit; those that don't are killed."""
    deadline = time.monotonic() + limit
    while marked(mark):
        if time.monotonic() > deadline:
            for pid in marked(mark):
                os.kill(pid, signal.SIGKILL)
            return False
        time.sleep(0.1)
    return True


def figures(path: Path) -> dict[str, object]:
    """What a ledger says of every trial but for times and machines, by hash."""
    from dralign.study import Ledger

    with Ledger(path, create=False) as ledger:
        records = ledger.records()
    found = {}
    for record in records:
        history = [
            asdict(epoch) | {"seconds": 0, "evaluation_seconds": 0} for epoch in record.history
        ]
        found[record.hash] = (record.status, record.spec, repr(history))
    if len(found) != len(records):
        raise AssertionError("a trial is in the ledger twice")
    return found


def sound(path: Path) -> bool:
    """Whether SQLite finds nothing wrong with a ledger."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        connection.close()


def content(folder: Path) -> dict[str, str]:
    """A sum over each file below a folder, by its path; links and folders by their kind."""
    found = {}
    for path in sorted(folder.rglob("*")):
        whole = path.is_file() and not path.is_symlink()
        sum_ = hashlib.sha256(path.read_bytes()).hexdigest() if whole else "no file"
        found[str(path.relative_to(folder))] = sum_
    return found


@dataclass
class Results:
    """Cases and what was wrong with them, printed as a table at the end.

    Attributes:
        title: of the table.
        lines: the kind of each case, what was wrong with it (empty: nothing), and a note.
        skipped: why cases were left out.
    """

    title: str
    lines: list[tuple[str, str, str]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def add(self, kind: str, wrong: str, note: str = "") -> None:
        """Notes a case, and shows it at once."""
        self.lines.append((kind, wrong, note))
        sys.stderr.write(f"  {'ok  ' if not wrong else 'FAIL'} {kind}: {wrong or note}\n")

    def skip(self, reason: str) -> None:
        """Notes cases that can't be tried here."""
        self.skipped.append(reason)
        sys.stderr.write(f"  skip {reason}\n")

    @property
    def wrong(self) -> list[str]:
        """The cases in which something was."""
        return [f"{kind}: {wrong}" for kind, wrong, _ in self.lines if wrong]

    def end(self) -> int:
        """Prints the table; 1 if anything was wrong."""
        kinds = list(dict.fromkeys(kind for kind, _, _ in self.lines))
        width = max([len(kind) for kind in kinds] + [4])
        print(f"\n{self.title}, {time.monotonic() - self.began:.0f} s")
        print(f"{'case':{width}}  tried  held")
        for kind in kinds:
            ends = [not wrong for name, wrong, _ in self.lines if name == kind]
            print(f"{kind:{width}}  {len(ends):5}  {sum(ends):4}")
        print(f"{'in all':{width}}  {len(self.lines):5}  {len(self.lines) - len(self.wrong):4}")
        for reason in self.skipped:
            print(f"skipped: {reason}")
        for line in self.wrong:
            print(f"FAILED {line}")
        return 1 if self.wrong else 0


def differences(found: Mapping[str, object], expected: Mapping[str, object]) -> str:
    """How two ledgers or folders differ, in a few words; empty if they don't."""
    missing, more = expected.keys() - found.keys(), found.keys() - expected.keys()
    other = [key for key in expected.keys() & found.keys() if found[key] != expected[key]]
    said = [
        f"{len(keys)} {what}: {min(keys)[:40]}"
        for keys, what in ((missing, "missing"), (more, "more"), (other, "other"))
        if keys
    ]
    return ", ".join(said)


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder of one's own for a script."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        yield Path(name)
