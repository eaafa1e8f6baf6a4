"""Several processes are started, watched and ended together, and nobody else reaches them."""

import json
import os
import pickle
import signal
import socket
import stat
import subprocess
import sys
import time
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from dralign.errors import DralignWarning, OptionError
from dralign.training import joined, launch, launched, launcher
from dralign.workers import RUN_FOLDER

pytestmark = pytest.mark.skipif(not dist.is_available(), reason="torch without distributed")
PROC = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc")
LISTENS = "0A"


def command(folder: Path, *more: str, before: tuple[str, ...] = ()) -> list[str]:
    options = ["--iterations", "3", "--hidden", "8", "--batch-size", "9", "--out", str(folder)]
    return [sys.executable, *before, "-m", "dralign", "train", "german", *options, *more]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", **more}


@contextmanager
def running(tmp_path: Path):
    """A run of two processes after its first epoch, with what they print from then on."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    given = command(tmp_path / "net", "--epochs", "100000", "--nproc", "2")
    told = environment(TMPDIR=str(temporary), GLOO_SOCKET_IFNAME="elsewhere")
    with subprocess.Popen(
        given, stderr=subprocess.PIPE, text=True, env=told, start_new_session=True
    ) as run:
        try:
            lines = (line for line in run.stderr if not line.startswith("warning"))
            assert any(line.startswith("epoch 0") for line in lines)  # after the data's overview
            yield run, lines, temporary
        finally:
            with suppress(ProcessLookupError):
                os.killpg(run.pid, signal.SIGKILL)


def children(pid: int) -> list[int]:
    return sorted(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def listening(pid: int) -> list[tuple[str, int]]:
    """Address (as /proc has it) and port of every socket on which a process listens."""
    links = Path(f"/proc/{pid}/fd").iterdir()
    own = {str(link.readlink()) for link in links if link.is_symlink()}
    found = []
    for kind in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{kind}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENS and f"socket:[{fields[9]}]" in own:
                address, port = fields[1].split(":")
                found.append((address, int(port, 16)))
    return found


class Evil:
    """Unpickling it makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def attack(marker: Path) -> bytes:
    """Has torch's store over TCP keep an object for torchrun's launcher, which unpickles it."""
    key, value = b"/torch.rendezvous.dralign", pickle.dumps(Evil(marker))
    texts = [len(content).to_bytes(8, "little") + content for content in (key, value)]
    validate, put = b"\0" + (0x3C85F7CE).to_bytes(4, "little"), b"\1"
    return b"".join([validate, put, *texts])


def said_to(port: int, content: bytes) -> bytes:
    """What is answered to it within two seconds."""
    with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
        connection.sendall(content)
        try:
            return connection.recv(1000)
        except TimeoutError:
            return b""


def not_epochs(lines) -> list[str]:
    return [line for line in lines if not line.startswith("epoch")]


@PROC
def test_the_processes_meet_where_only_their_user_can_and_ctrl_c_ends_them(tmp_path):
    """Before, the launcher unpickled what anybody wrote into a store that listened."""
    marker, shared = tmp_path / "ran", set(Path("/dev/shm").iterdir())
    with running(tmp_path) as (run, lines, temporary):
        ranks = children(run.pid)
        assert len(ranks) == 2
        assert listening(run.pid) == []
        for address, port in {place for rank in ranks for place in listening(rank)}:
            assert address == "0100007F"  # 127.0.0.1
            assert said_to(port, attack(marker)) == b""
        (folder,) = temporary.glob("dralign-*")
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert [next(lines)[:5] for _ in range(20)] == ["epoch"] * 20  # nothing came of it
        assert not marker.exists()
        started = time.monotonic()
        os.killpg(run.pid, signal.SIGINT)  # as a terminal does
        told = not_epochs(lines)
        assert run.wait() == 130
        assert time.monotonic() - started < 60
        assert not any(Path(f"/proc/{rank}").exists() for rank in ranks)
        assert not folder.exists()
    assert len(told) == 1
    assert told[0].startswith("dralign: error: interrupted")
    left = set(Path("/dev/shm").iterdir()) - shared
    assert not [path for path in left if str(run.pid) in path.name]


def test_the_attack_would_have_reached_a_store_that_listens(tmp_path):
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    assert said_to(store.port, attack(tmp_path / "ran")) == b""
    pickle.loads(store.get("torch.rendezvous.dralign"))
    assert (tmp_path / "ran").exists()


@PROC
def test_the_processes_end_with_a_launcher_that_was_killed(tmp_path):
    with running(tmp_path) as (run, lines, _):
        ranks = children(run.pid)
        run.kill()
        not_epochs(lines)  # until the last of them has closed its end
        assert not any(Path(f"/proc/{rank}/exe").exists() for rank in ranks)


@PROC
def test_a_killed_process_ends_the_run_with_one_line(tmp_path):
    with running(tmp_path) as (run, lines, _):
        os.kill(children(run.pid)[1], signal.SIGKILL)
        told = not_epochs(lines)
        assert run.wait() == 1
    assert told == ["dralign: error: process 1 stopped (SIGKILL); the others were ended\n"]
    assert not (tmp_path / "net").exists()


def test_an_error_of_all_processes_is_told_once_and_no_module_of_the_working_folder_is_run(
    tmp_path,
):
    given = command(tmp_path / "net", "--nproc", "2", before=("-P",))
    given[given.index("german")] = "absent.csv"
    (tmp_path / "torch.py").write_text("raise SystemExit('a stranger was here')")
    done = subprocess.run(
        [*given, "--label", "y", "--sensitive", "s"], capture_output=True, text=True, timeout=200,
        env=environment(), check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("dralign: error: ")
    assert "absent.csv" in done.stderr
    assert done.returncode == 2


def test_torchrun_trains_one_network_and_only_the_first_process_speaks(tmp_path):
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    given = command(tmp_path / "net", "--epochs", "2", "--json", before=torchrun)
    done = subprocess.run(
        given, capture_output=True, text=True, check=False, timeout=200, env=environment()
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["trial"]["epochs"] == 2
    assert sum(line.startswith("epoch 0") for line in done.stderr.splitlines()) == 1
    assert (tmp_path / "net" / "model.safetensors").is_file()


GROUP_AFTER_A_STEP = """
import torch
from pathlib import Path
from dralign.training import joined
with joined(torch.device("cpu")):
    import torch.distributed.nn.functional  # as some part of torch does in a first step
named = (task.read_text().strip() for task in Path("/proc/self/task").glob("*/comm"))
left = [name for name in named if "gloo" in name]
assert not left, left
"""


@PROC
def test_no_thread_of_the_group_is_left_to_meet_the_end_of_the_process(monkeypatch):
    stand_in(monkeypatch, GROUP_AFTER_A_STEP)
    assert launch([], 2) == (0, "")


# Stand-ins for the processes of a run from here on: they do what one in trouble does.

STOPS = "import os, signal; os.environ['RANK'] == '1' and os.kill(os.getpid(), signal.SIGSTOP)"
TELLS_BEFORE_THE_CAUSE_IS_SEEN = f"""
import os, pathlib, signal, sys, time
if os.environ["RANK"] == "0":
    pathlib.Path(os.environ["DRALIGN_RUN_FOLDER"], "0.txt").write_text("{launcher.PEER_LOST}")
    sys.exit(2)
time.sleep(1)
os.kill(os.getpid(), signal.SIGKILL)
"""


def stand_in(monkeypatch, code: str) -> None:
    monkeypatch.setattr(launcher, "_command", lambda arguments: [sys.executable, "-c", code])


@pytest.mark.skipif(not hasattr(os, "waitid"), reason="needs waitid")
def test_a_stopped_process_is_told_of_and_ended_with_the_run(monkeypatch):
    started, begin = [], subprocess.Popen

    def remembered(*arguments, **options):
        started.append(begin(*arguments, **options))
        return started[-1]

    stand_in(monkeypatch, STOPS)
    monkeypatch.setattr(subprocess, "Popen", remembered)
    monkeypatch.setattr(launcher, "_STOPPED_LOOKS", 2)
    monkeypatch.setattr(launcher, "_END_SECONDS", 0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DralignWarning, match=r"process 1 is stopped .* 'kill -CONT \d+'"):
            launch([], 2)
    assert len(started) == 2
    assert [process.returncode is None for process in started] == [False, False]


def test_the_process_that_was_killed_is_named_and_not_the_one_that_noticed(monkeypatch):
    stand_in(monkeypatch, TELLS_BEFORE_THE_CAUSE_IS_SEEN)
    assert launch([], 2) == (1, "process 1 stopped (SIGKILL); the others were ended")


def test_processes_that_end_well_end_the_run_well(monkeypatch):
    stand_in(monkeypatch, "")
    assert launch([], 3) == (0, "")


def test_a_launcher_that_is_asked_to_end_ends_what_it_started(tmp_path):
    code = """
import sys, threading, os, signal
from dralign.training import joined, launch, launched, launcher
from dralign.workers import RUN_FOLDER
from dralign.workers import RUN_FOLDER
launcher._command = lambda _: [sys.executable, "-c", "import time; time.sleep(100)"]
threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM)).start()
print(launch([], 2))
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print("nothing is left")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True,
        env=environment(TMPDIR=str(tmp_path)),
    )  # fmt: skip
    assert done.stdout.splitlines() == ["(143, 'ended by SIGTERM')", "nothing is left"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("n", [0, -1])
def test_at_least_one_process_is_started(n):
    with pytest.raises(OptionError, match=f"nproc: expected at least 1, got {n}"):
        launch([], n)


@pytest.mark.parametrize("value", ["", "two", "0", "-1", "1.5", "\u0663", "9" * 5000])
def test_a_number_of_processes_that_is_none_is_one_line(monkeypatch, value):
    monkeypatch.setenv("WORLD_SIZE", value)
    with pytest.raises(OptionError, match=r"WORLD_SIZE: expected .* of at least 1 .* unset") as one:
        launched()
    assert "\n" not in str(one.value)
    assert len(str(one.value)) < 300


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({}, "RANK: expected a number of at least 0 in the environment"),
        ({"RANK": "x"}, "RANK: expected a number of at least 0 .* got 'x'"),
        ({"RANK": "0"}, "the 2 processes of WORLD_SIZE can't meet: .*MASTER_ADDR"),
        (
            {"RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "x"},
            "can't meet: .*; start them with torchrun",
        ),
    ],
)
def test_processes_that_are_not_told_how_to_meet_end_with_one_line(monkeypatch, told, message):
    names = ("RANK", "MASTER_ADDR", "MASTER_PORT", RUN_FOLDER)
    for name in names:
        monkeypatch.delenv(name, raising=False)
    for name, value in {"WORLD_SIZE": "2", **told}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(OptionError, match=message) as caught, joined(torch.device("cpu")):
        pytest.fail("a process trains alone")
    assert "\n" not in str(caught.value)
    assert not dist.is_initialized()
