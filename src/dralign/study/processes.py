"""Workers that are processes of this machine, each at the other end of a pipe of its own."""

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from multiprocessing import Pipe
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final

from dralign.errors import StudyError
from dralign.study.pools import ONE_THREAD, Call, Ended, Flight, Pool
from dralign.study.record import TrialRecord
from dralign.study.worker import settle

IDLE_SECONDS: Final = 300.0  # a worker without work is kept so long for the next study
QUIET_SECONDS: Final = 2.0  # without a beat, after which it is asked whether a worker computes
END_SECONDS: Final = 5.0  # a killed process may be held up in the system

Tell = Callable[["_Worker", str, Any], None]
_idle: list["_Worker"] = []


@contextmanager
def open_processes(jobs: int) -> Iterator[Pool]:
    """Processes of this machine for the length of a block; leaving it by an error ends them all.

    Args:
        jobs: how many at most.

    Raises:
        StudyError: if this system can't hand them pipes.
    """
    if os.name != "posix":
        raise StudyError("several processes need a POSIX system; use jobs=1 or dask='local'")
    pool = _Processes(jobs)
    try:
        yield pool
    except BaseException:
        pool.close(keep=False)
        raise
    pool.close(keep=True)


class _Processes(Pool):
    """Workers that are started as they are needed; see ``Pool``."""

    def __init__(self, jobs: int) -> None:
        super().__init__()
        self.jobs = jobs
        self._free: list[_Worker] = []
        self._busy: dict[_Worker, Flight] = {}
        self._ending: list[_Worker] = []
        self._mail: SimpleQueue[tuple[_Worker, str, Any]] = SimpleQueue()

    def has_room(self) -> bool:
        return len(self._busy) < self.jobs

    def hand_out(self, digest: str, call: Call, *arguments: object) -> None:
        worker = self._free_worker()
        flight = Flight(digest, f"process {worker.pid}" if worker.pid else "a process")
        self._busy[worker] = self.flights[digest] = flight
        worker.give((call, arguments), self._tell)

    def take_back(self, digest: str) -> None:
        flight = self.flights.pop(digest)
        worker = next(worker for worker, held in self._busy.items() if held is flight)
        self._end(worker)

    def close(self, *, keep: bool) -> None:
        """Ends the workers, but for those that are free and to be kept; none is left running."""
        while self._busy:
            self._end(next(iter(self._busy)))
        for worker in self._free:
            if keep and len(_idle) < self.jobs:
                worker.stay()
            else:
                self._end(worker)
        deadline = time.monotonic() + END_SECONDS
        for worker in self._ending:
            worker.thread.join(max(deadline - time.monotonic(), 0.0))
        self.flights.clear()

    def _news(self, seconds: float) -> list[Ended]:
        ended = list[Ended]()
        with suppress(Empty):
            ended += self._heard(*self._mail.get(timeout=seconds))
            while True:
                ended += self._heard(*self._mail.get_nowait())
        for worker, flight in self._busy.items():
            if flight.silent > QUIET_SECONDS and worker.computes():
                flight.silent, flight.told = 0.0, False
        return ended

    def _heard(self, worker: "_Worker", kind: str, value: Any) -> list[Ended]:  # noqa: ANN401
        """What a message of a worker ends.

        Raises:
            StudyError: if the study can't go on.
        """
        flight = self._busy.get(worker)
        if flight is None:  # of a trial that was taken back
            return []
        flight.silent, flight.told = 0.0, False
        flight.begun = flight.begun or kind == "begun"
        flight.worker = f"process {worker.pid}"
        if kind == "raised":
            error, text = value
            raise error(text)
        if kind == "refused":
            raise StudyError(f"a worker process can't run trials: {value}")
        if kind == "unstarted":
            raise StudyError(f"a worker process can't be started: {value}; try fewer --jobs")
        if kind not in {"done", "gone"}:
            return []
        del self._busy[worker], self.flights[flight.digest]
        (self._free if kind == "done" else self._ending).append(worker)
        return [(flight.digest, value if isinstance(value, TrialRecord) else None)]

    def _tell(self, worker: "_Worker", kind: str, value: object) -> None:
        """Takes a message, in any thread."""
        self._mail.put((worker, kind, value))

    def _end(self, worker: "_Worker") -> None:
        """Ends a worker at once."""
        worker.end()
        self._busy.pop(worker, None)
        self._ending.append(worker)

    def _free_worker(self) -> "_Worker":
        """A worker that is there: one of this study, one of an earlier one, or a new one."""
        while self._free:
            if (worker := self._free.pop()).alive:
                return worker
        while _idle:
            if (worker := _idle.pop()).alive:
                worker.give((settle, _surroundings()), _unheard)
                return worker
        return _Worker()


class _Worker:
    """A process, and the thread that starts it, speaks with it and sees it end.

    So the coordinator waits for no pipe: neither that of a worker that stopped in the middle of a
    message nor that of one that takes none.
    """

    def __init__(self) -> None:
        self.pid = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._used: tuple[str, ...] = ()
        self._ended = False
        self._closed = False
        self._turn = threading.Lock()
        self._calls: SimpleQueue[tuple[bytes, Tell] | None] = SimpleQueue()
        self.thread = threading.Thread(target=self._keep, daemon=True)
        self.thread.start()

    @property
    def alive(self) -> bool:
        """Whether the process is there, as far as is known."""
        process = self._process
        return not self._ended and (process is None or process.poll() is None)

    def give(self, call: tuple[object, tuple[object, ...]], tell: Tell) -> None:
        """Lets the process make a call; ``tell`` gets its messages, "gone" if it ends."""
        try:
            from cloudpickle import dumps
        except ImportError:  # it comes with Dask; without it what is called must be importable
            from multiprocessing.reduction import ForkingPickler

            dumps = ForkingPickler.dumps
        data = bytes(dumps(call))
        with self._turn:
            if not self._closed:
                self._calls.put((data, tell))
                return
        tell(self, "gone", None)

    def computes(self) -> bool:
        """Whether the process has used a CPU since the last call, where the system tells.

        Compiled code, the import of torch above all, may keep it from beating for a long time.
        """
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii", errors="replace")
        except OSError:
            return False
        # The name before may hold blanks; these are the ticks of the process and the system.
        used = tuple(fields.rpartition(")")[2].split()[11:13])
        before, self._used = self._used, used
        return used != before

    def stay(self) -> None:
        """Keeps the process for the next study."""
        atexit.unregister(_end_idle)  # once is enough
        atexit.register(_end_idle)
        _idle.append(self)

    def end(self) -> None:
        """Kills the process, which a stopped one can't put off either."""
        self._ended = True
        if self._process is not None:
            self._process.kill()
        self._calls.put(None)

    def _keep(self) -> None:
        # What a thread blocks is blocked in the processes it starts, from their first moment; the
        # coordinator itself hears every Ctrl-C, in another thread.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        tell: Tell = _unheard
        try:
            pipe = self._start()
            with nullcontext() if isinstance(pipe, OSError) else pipe:
                while (call := self._calls.get(timeout=IDLE_SECONDS)) is not None:
                    data, tell = call
                    if isinstance(pipe, OSError):
                        tell(self, "unstarted", pipe.strerror)
                        return
                    self._converse(pipe, data, tell)
        except Empty:
            pass
        except (EOFError, OSError):
            tell(self, "gone", None)
        finally:
            self._ended = True
            self._leave_the_rest()
            if self._process is not None:
                self._process.kill()
                self._process.wait()

    def _leave_the_rest(self) -> None:
        """Tells of the calls that won't be made any more."""
        with self._turn, suppress(Empty):
            self._closed = True
            while True:
                if (call := self._calls.get_nowait()) is not None:
                    call[1](self, "gone", None)

    def _start(self) -> Any:  # noqa: ANN401 - of any system
        """Starts the process; our end of its pipe, or the ``OSError`` if it is refused."""
        file = str(Path(__file__).with_name("worker.py"))
        try:
            ours, theirs = Pipe()
        except OSError as error:
            return error
        handle = theirs.fileno()
        # -P: the modules beside the script are no modules of their own.
        command = [sys.executable, "-P", file, str(handle), json.dumps([*map(str, sys.path)])]
        try:
            with theirs:
                self._process = subprocess.Popen(  # noqa: S603 - our own script
                    command,
                    stdin=subprocess.DEVNULL,
                    pass_fds=[handle],
                    env={**os.environ, **ONE_THREAD},
                )
        except OSError as error:
            ours.close()
            return error
        self.pid = self._process.pid
        if self._ended:
            self._process.kill()
        return ours

    def _converse(self, pipe: Any, data: bytes, tell: Tell) -> None:  # noqa: ANN401 - of any system
        """Hands over a call and passes on what is said, up to the answer.

        Raises:
            EOFError: if the process ends before.
        """
        pipe.send_bytes(data)
        kind = ""
        while kind not in {"done", "raised", "refused"}:
            kind, value = pipe.recv()
            tell(self, kind, value)


def _surroundings() -> tuple[object, ...]:
    """What ``settle`` takes."""
    folder = "."
    with suppress(OSError):  # it was removed
        folder = str(Path.cwd())
    return folder, list(sys.path), {**os.environ, **ONE_THREAD}


def _unheard(worker: _Worker, kind: str, value: object) -> None:
    """Leaves a message aside."""


def _end_idle() -> None:
    """Ends the workers that were kept: a stopped one would not see that this process is gone."""
    while _idle:
        _idle.pop().end()
