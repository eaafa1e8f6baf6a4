"""A Dask scheduler: one that is started here, or one that is running somewhere."""

import logging
import multiprocessing.resource_tracker
import os
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from importlib.metadata import version
from typing import Any, Final
from urllib.parse import urlsplit

from dralign.errors import OptionError, StudyError
from dralign.study.attempt import one_line

CONNECT_SECONDS: Final = 5.0
START_SECONDS: Final = 300.0  # of a cluster of our own, with any number of workers
BACK_SECONDS: Final = 90.0  # of a worker that was killed, after which another takes its place
CLOSE_SECONDS: Final = 5.0


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


def connect(distributed: Any, jobs: int, address: str, stack: ExitStack) -> tuple[Any, Any]:  # noqa: ANN401
    """A client of the cluster, and the cluster if it is our own.

    Raises:
        StudyError: if the cluster can't be reached or has no workers.
    """
    import dask
    from distributed.utils import silence_logging_cmgr

    # Of a cluster of our own: a worker that dies loses its trial at once, and on a busy machine it
    # takes more than Dask's 15 s to come back.
    ours = {
        "distributed.scheduler.allowed-failures": 0,
        "distributed.deploy.lost-worker-timeout": f"{BACK_SECONDS} s",
        # No pages about what is running, which any user of the machine could read.
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
    }
    stack.enter_context(dask.config.set(ours))
    # A lost worker or scheduler would be pages of traceback; what matters is said in one line.
    stack.enter_context(silence_logging_cmgr(logging.CRITICAL))
    own = None
    if address == "local":
        own = _start(distributed, jobs)
        stack.callback(_close, own)
    try:
        client = distributed.Client(
            address if own is None else own,
            timeout=CONNECT_SECONDS,
            set_as_default=False,
            name="dralign",
        )
        stack.callback(quietly, client.close, timeout=CLOSE_SECONDS)
        client.wait_for_workers(1, timeout=2 * CONNECT_SECONDS)
    except TimeoutError as error:
        raise StudyError(f"the Dask cluster at {address} has no workers") from error
    except Exception as error:  # whatever it is that answers at the address
        raise StudyError(
            f"no Dask scheduler answers at {address}; start one with 'dask scheduler', or use local"
        ) from error
    try:
        result = within(START_SECONDS, lambda: client.run_on_scheduler(question()))
    except Exception as error:  # it went away again
        raise StudyError(f"the Dask scheduler at {address} does not answer") from error
    require_version(address, result)
    return client, own


def _start(distributed: Any, jobs: int) -> Any:  # noqa: ANN401 - Dask has no types
    """A cluster on this machine, which only its creator can use.

    Raises:
        StudyError: if it can't be started.
    """

    def start() -> Any:  # noqa: ANN401 - Dask has no types
        return distributed.LocalCluster(
            n_workers=jobs,
            threads_per_worker=1,
            processes=True,
            memory_limit=None,
            dashboard_address=None,
            scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
            silence_logs=logging.CRITICAL,
            # Whoever reaches a scheduler has it run code. The keys stay in memory.
            security=distributed.Security.temporary(),
        )

    try:
        return within(START_SECONDS, start)
    except Exception as error:
        reason = one_line(str(error))
        raise StudyError(f"a local Dask cluster can't be started: {reason}") from error


def within(seconds: float, call: Callable[[], Any]) -> Any:  # noqa: ANN401 - what the call gives
    """Makes a call in another thread, and waits no longer than this for it.

    Processes and threads that it starts hear no Ctrl-C.

    Raises:
        TimeoutError: if it did not end; whatever it raised otherwise.
    """
    outcome: list[tuple[Any, BaseException | None]] = []

    def make() -> None:
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            outcome.append((call(), None))
        except BaseException as error:  # noqa: BLE001 - raised below, in the thread that asked
            outcome.append((None, error))

    if os.name == "posix":
        multiprocessing.resource_tracker.ensure_running()  # it would undo the mask
    thread = threading.Thread(target=make, daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise TimeoutError(f"not ready after {seconds:.0f} s")
    result, error = outcome[0]
    if error is not None:
        raise error
    return result


def _close(cluster: Any) -> None:  # noqa: ANN401 - Dask has no types
    """Ends a cluster of our own at once, also where a worker is stopped."""
    for nanny in cluster.workers.values():
        with suppress(Exception):
            nanny.close_gracefully()  # it starts no other worker then
        kill(nanny)
    quietly(cluster.close, timeout=CLOSE_SECONDS)


def kill(nanny: Any) -> None:  # noqa: ANN401 - Dask has no types
    """Kills the worker process of a nanny, which a stopped one can't put off."""
    with suppress(OSError):
        if pid := nanny.pid:
            os.kill(pid, signal.SIGKILL)


def quietly(call: Callable[..., object], *arguments: object, **options: object) -> None:
    """Makes a call whose failure changes nothing."""
    with suppress(Exception):
        call(*arguments, **options)


def question(*, imports: bool = False) -> Callable[[], str]:
    """A call that gives the version of dralign where it is made.

    Args:
        imports: whether what a trial needs is imported there, if the version is this one.
    """
    own = version("dralign")

    def installed() -> str:  # a nested function travels as code and needs no dralign there
        from importlib import import_module, metadata

        try:
            result = metadata.version("dralign")
        except metadata.PackageNotFoundError:
            return ""
        if imports and result == own:
            import_module("dralign.study.attempt")
        return result

    return installed


def require_version(address: str, found: object) -> None:
    """Checks that scheduler and workers have this version of dralign; otherwise they go silent.

    Raises:
        StudyError: if one has not.
    """
    own = version("dralign")
    if found != own:
        there = f"dralign {found}" if found else "no dralign"
        raise StudyError(f"the Dask cluster at {address} has {there}, this is {own}; install it")
