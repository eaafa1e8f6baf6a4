"""Where trials run: processes of this machine (joblib's loky) or the workers of a Dask cluster.

Both are executors of ``concurrent.futures``. ``joblib.Parallel`` is not used: over its Dask backend
a worker that dies is never reported and the call waits for ever (joblib 1.6), and over loky it does
not tell which of the trials under way had ended.
"""

import logging
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final
from urllib.parse import urlsplit

from dralign.errors import DralignWarning, OptionError, StudyError
from dralign.workers import end_with

CONNECT_SECONDS: Final = 5.0
PATIENCE_SECONDS: Final = 60.0  # how long a cluster may be without any worker
# Small networks are fastest with one thread each, and one process for each core.
_ONE_THREAD: Final = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)


@dataclass(frozen=True)
class Pool:
    """Workers that run one call at a time each.

    Attributes:
        width: the number of workers.
        executor: gives a working executor; after a worker died this may be a new one.
        died: the error of a call whose worker died.
        check: called while nothing ends; raises if nothing ever will.
    """

    width: int
    executor: Callable[[], Executor]
    died: type[Exception]
    check: Callable[[], None] = lambda: None

    def submit(self, call: Callable[..., Any], *arguments: object) -> Future[Any]:
        """Hands a call to a worker."""
        with _interrupts_unheard():
            try:
                return self.executor().submit(call, *arguments)
            except BrokenExecutor:  # it broke between the two
                return self.executor().submit(call, *arguments)

    def deaths(self, future: Future[Any]) -> int:
        """How many workers died over a call that has ended; 0 if it gave a result.

        Raises:
            StudyError: if the call could not be made at all.
        """
        if future.cancelled():
            raise StudyError("the connection to the cluster was lost; the same command continues")
        error = future.exception()
        if error is None:
            return 0
        if isinstance(error, self.died):
            # Dask's scheduler tries again by itself before it gives up.
            return 1 + int(getattr(error, "allowed_failures", 0))
        text = " ".join(str(error).split())
        raise StudyError(
            f"a worker can't run trials: {type(error).__name__}: {text}; every worker needs this "
            "version of dralign"
        ) from error


@contextmanager
def open_pool(jobs: int, dask: str | None = None) -> Iterator[Pool]:
    """Workers for the length of a block; leaving it by an error stops what is under way.

    Args:
        jobs: the number of processes on this machine; a running cluster has its own.
        dask: None for joblib, ``"local"`` for a Dask cluster on this machine, or the address of a
            scheduler, for example ``"tcp://10.0.0.1:8786"``.
    """
    with _processes(jobs) if dask is None else _cluster(jobs, dask) as pool:
        yield pool


@contextmanager
def _processes(jobs: int) -> Iterator[Pool]:
    """Processes of this machine; idle ones are kept a while for the next study."""
    from joblib.externals.loky import get_reusable_executor

    def executor() -> Executor:
        found: Executor = get_reusable_executor(
            max_workers=jobs,
            timeout=300,
            initializer=_follow,
            initargs=(os.getpid(),),
            env=_ONE_THREAD,
        )
        return found

    with warnings.catch_warnings():
        # A worker whose memory has grown is replaced after its trial: no news for the user.
        warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
        try:
            yield Pool(jobs, executor, BrokenExecutor)
        except BaseException:
            with _thread_errors_unsaid():
                executor().shutdown(wait=True, kill_workers=True)  # type: ignore[call-arg]
            raise


@contextmanager
def _interrupts_unheard() -> Iterator[None]:
    """A process that is started in the block ignores Ctrl-C; in this one it takes effect after it.

    Otherwise a worker that is still importing when Ctrl-C comes prints where it was.
    """
    handler = signal.getsignal(signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()
    if not main or handler is None or not hasattr(signal, "pthread_sigmask"):
        yield
        return
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextmanager
def _thread_errors_unsaid() -> Iterator[None]:
    """Errors that end other threads are not printed.

    loky's thread may be about to hand out a call that was cancelled because of the shutdown, and
    then ends with a KeyError (joblib 1.6), which is no news for the user.
    """
    before = threading.excepthook
    threading.excepthook = lambda _: None
    try:
        yield
    finally:
        threading.excepthook = before


def _follow(parent: int) -> None:
    """Ties a worker to its coordinator, which may be gone by the time the worker has started."""
    # Ctrl-C in a terminal reaches every process; only the coordinator acts on it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with(parent)


@contextmanager
def _cluster(jobs: int, address: str) -> Iterator[Pool]:
    """The workers of a Dask cluster.

    Raises:
        StudyError: if Dask is not installed, or the cluster can't be reached or has no workers.
    """
    try:
        from distributed.scheduler import KilledWorker
    except ImportError as error:
        raise StudyError("Dask is not installed; pip install 'dralign[distributed]'") from error
    with ExitStack() as stack:
        client = _client(jobs, address, stack)
        _check_versions(client, address)
        threads = client.ncores()
        if max(threads.values()) > 1:
            warnings.warn(
                "some Dask workers have several threads, a trial uses one: start them with "
                "--nthreads 1",
                DralignWarning,
                stacklevel=2,
            )
        # Without pure=False a trial that is tried again would get its old error at once.
        executor = client.get_executor(pure=False)
        stack.callback(executor.shutdown, wait=False)
        yield Pool(len(threads), lambda: executor, KilledWorker, _Watch(client, address).check)


def _client(jobs: int, address: str, stack: ExitStack) -> Any:  # noqa: ANN401 - Dask has no types
    """A client of the cluster, which it starts if it is a local one.

    Raises:
        StudyError: if the cluster can't be reached or has no workers.
    """
    import dask
    import distributed
    from distributed.utils import silence_logging_cmgr

    untyped: Any = distributed
    # The runner counts the deaths itself; a remote scheduler has its own setting.
    stack.enter_context(dask.config.set({"distributed.scheduler.allowed-failures": 0}))
    # A lost worker or scheduler would be pages of traceback; what matters is said in one line.
    stack.enter_context(silence_logging_cmgr(logging.CRITICAL))
    try:
        target = address
        if address == "local":
            target = stack.enter_context(
                untyped.LocalCluster(
                    n_workers=jobs,
                    threads_per_worker=1,
                    processes=True,
                    memory_limit=None,
                    dashboard_address=None,
                    silence_logs=logging.CRITICAL,
                )
            )
        client = stack.enter_context(
            untyped.Client(target, timeout=CONNECT_SECONDS, set_as_default=False, name="dralign")
        )
        client.wait_for_workers(1, timeout=2 * CONNECT_SECONDS)
    except TimeoutError as error:
        raise StudyError(f"the Dask cluster at {address} has no workers") from error
    except Exception as error:  # whatever it is that answers at the address
        raise StudyError(
            f"no Dask scheduler answers at {address}; start one with 'dask scheduler', or use local"
        ) from error
    return client


def _check_versions(client: Any, address: str) -> None:  # noqa: ANN401 - Dask has no types
    """Checks that scheduler and workers have this version of dralign; otherwise they go silent.

    Raises:
        StudyError: if one has not.
    """

    def installed() -> str:  # a nested function travels as code and needs no dralign there
        from importlib import metadata

        try:
            return metadata.version("dralign")
        except metadata.PackageNotFoundError:
            return ""

    own = version("dralign")
    for found in {*client.run(installed).values(), client.run_on_scheduler(installed)} - {own}:
        there = f"dralign {found}" if found else "no dralign"
        raise StudyError(f"the Dask cluster at {address} has {there}, this is {own}; install it")


def check_address(dask: str) -> None:
    """Checks that a cluster is named in a way that can be tried.

    Raises:
        OptionError: if it is not.
    """
    try:
        parts = urlsplit(dask)
        good = dask == "local" or bool(parts.scheme and parts.hostname and parts.port)
    except ValueError:  # the port
        good = False
    if not good:
        raise OptionError(
            f"dask: expected 'local' or an address such as tcp://10.0.0.1:8786, got {dask!r}"
        )


class _Watch:
    """Finds out that a cluster has had no workers for too long."""

    def __init__(self, client: Any, address: str) -> None:  # noqa: ANN401 - Dask has no types
        self.client, self.address = client, address
        self.since: float | None = None

    def check(self) -> None:
        """Looks once.

        Raises:
            StudyError: if there were none at every look for ``PATIENCE_SECONDS``.
        """
        now = time.monotonic()
        if self.client.ncores():
            self.since = None
        elif self.since is None:
            self.since = now
        elif now - self.since > PATIENCE_SECONDS:
            raise StudyError(
                f"the Dask cluster at {self.address} has lost all its workers; start some and run "
                "the same command again to continue"
            )
