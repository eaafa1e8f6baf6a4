"""Processes of this machine that train one network: started, watched and ended together.

They are told by their environment who they are, as torchrun tells its own. They find each other
through a file in a folder that only this user may enter, and what stopped one of them is a line of
text in the same folder: nothing listens for them on the network, and no object is unpickled.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from dralign.errors import DralignWarning, OptionError, quoted
from dralign.interrupts import Terminated, terminations_raised
from dralign.workers import RUN_FOLDER, end_with, line_of

PEER_LOST: Final = "another process of the run stopped"
_PARENT: Final = "DRALIGN_RUN_PARENT"
_LOOK_SECONDS: Final = 0.2
_CAUSE_SECONDS: Final = 5.0  # for the process that stopped first to be seen
_END_SECONDS: Final = 5.0  # for a process to end when it is asked to
_STOPPED_LOOKS: Final = 50  # a process that is stopped for so many is told of


class _Failure(NamedTuple):
    """What is known of a process that stopped; of several the least one is told."""

    follows: bool  # another's failure, of which this one only tells
    rank: int
    code: int
    line: str


def launched() -> bool:
    """Whether this process is one of several, started by ``launch`` or by torchrun.

    Raises:
        OptionError: if the environment does not say of how many.
    """
    return told("WORLD_SIZE", least=1, default="1") > 1


def told(name: str, *, least: int = 0, default: str = "") -> int:
    """A number that whoever started this process put into its environment.

    Raises:
        OptionError: if it is none, or below ``least``.
    """
    text = os.environ.get(name, default)
    if not re.fullmatch("[0-9]{1,9}", text) or int(text) < least:
        raise OptionError(
            f"{name}: expected a number of at least {least} in the environment, as torchrun sets, "
            f"got {quoted(text)}; unset WORLD_SIZE to train in one process"
        )
    return int(text)


def is_first() -> bool:
    """Whether this process is the first of several, or the only one."""
    return not launched() or int(os.environ.get("RANK", "0")) == 0


def launch(arguments: Sequence[str], n: int) -> tuple[int, str]:
    """Runs ``python -m dralign`` with the arguments in ``n`` processes of this machine.

    Where one process fails the others are ended; so they are when this one ends, in whatever way.

    Args:
        arguments: of the command line.
        n: how many processes.

    Returns:
        The exit code, 0 if all went well, and else one line that says what happened.

    Raises:
        OptionError: if ``n`` is below 1.
        KeyboardInterrupt: if the run is interrupted.
    """
    if n < 1:
        raise OptionError(f"nproc: expected at least 1, got {n}")
    ranks: list[subprocess.Popen[bytes]] = []
    folder = tempfile.TemporaryDirectory(prefix="dralign-", ignore_cleanup_errors=True)
    with folder as name, terminations_raised():
        try:
            for rank in range(n):
                told = _environment(rank, n, name)
                ranks.append(_start(_command(arguments), told))
            return _wait(ranks, Path(name))
        except Terminated as asked:
            return asked.code, str(asked)
        finally:
            _end(ranks)


def run_folder() -> Path | None:
    """The folder of the run in a process that ``launch`` started, which from now on ends with it.

    None in any other process.
    """
    folder = os.environ.get(RUN_FOLDER)
    if folder is None:
        return None
    end_with(int(os.environ[_PARENT]))
    return Path(folder)


def _command(arguments: Sequence[str]) -> list[str]:
    """How a process is started; ``-P``: a module that lies in the working folder is not run."""
    return [sys.executable, "-P", "-m", "dralign", *arguments]


def _environment(rank: int, n: int, folder: str) -> dict[str, str]:
    """What a process is told: who it is, where the others are found, and to stay on this machine.

    Modules are found where this process finds them. A process with a thread for every core would
    wait for the others' threads.
    """
    names = [name for _, name in socket.if_nameindex()] if hasattr(socket, "if_nameindex") else []
    loopback = [name for name in ("lo", "lo0") if name in names][:1]
    return {
        "OMP_NUM_THREADS": str(max((os.cpu_count() or 1) // n, 1)),
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(n),
        RUN_FOLDER: folder,
        _PARENT: str(os.getpid()),
        **{f"{library}_SOCKET_IFNAME": name for name in loopback for library in ("GLOO", "NCCL")},
    }


def _start(command: Sequence[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Starts a process, which never hears Ctrl-C: the one that waits for it does."""
    if not hasattr(signal, "pthread_sigmask"):
        return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)  # noqa: S603
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)  # noqa: S603
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _wait(ranks: Sequence[subprocess.Popen[bytes]], folder: Path) -> tuple[int, str]:
    """Waits until all have ended well, or one has not; its exit code and line."""
    seen = None
    looks = [0] * len(ranks)
    while True:
        codes = [rank.poll() for rank in ranks]
        failures = [_failure(index, code, folder) for index, code in enumerate(codes) if code]
        if failures:
            seen = time.monotonic() if seen is None else seen
            told = min(failures)
            waited = time.monotonic() - seen > _CAUSE_SECONDS
            if not told.follows or waited or None not in codes:
                return told.code, told.line
        elif None not in codes:
            return 0, ""
        for index, rank in enumerate(ranks):
            looks[index] = looks[index] + 1 if _is_stopped(rank) else 0
            if looks[index] == _STOPPED_LOOKS:
                warnings.warn(
                    f"process {index} is stopped and the others wait for it; "
                    f"'kill -CONT {rank.pid}' lets it go on",
                    DralignWarning,
                    stacklevel=3,
                )
        time.sleep(_LOOK_SECONDS)


def _failure(rank: int, code: int, folder: Path) -> _Failure:
    """What a process that ended with an exit code has told, or how it ended."""
    line = ""
    with suppress(OSError, UnicodeDecodeError):  # it may have had no time to tell
        line = line_of(folder, rank).read_text(encoding="utf-8")
    if not line:
        how = f"exit code {code}"
        with suppress(ValueError):
            how = signal.Signals(-code).name if code < 0 else how
        line = f"process {rank} stopped ({how}); the others were ended"
    return _Failure(PEER_LOST in line, rank, max(code, 1), line)


def _is_stopped(rank: subprocess.Popen[bytes]) -> bool:
    """Whether a process was stopped (SIGSTOP) and may go on; False where it can't be asked."""
    if rank.returncode is not None or not hasattr(os, "waitid"):
        return False
    try:
        how = os.WSTOPPED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, rank.pid, how) is not None
    except ChildProcessError:
        return False


def _end(ranks: Sequence[subprocess.Popen[bytes]]) -> None:
    """Ends the processes that are left."""
    for rank in ranks:
        rank.terminate()
    until = time.monotonic() + _END_SECONDS
    for rank in ranks:
        try:
            rank.wait(max(until - time.monotonic(), 0))
        except subprocess.TimeoutExpired:  # stopped, or stuck in the system
            rank.kill()
            with suppress(subprocess.TimeoutExpired):
                rank.wait(_END_SECONDS)
