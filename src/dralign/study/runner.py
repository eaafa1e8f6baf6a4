"""Running the trials of a study: many processes, one ledger, nothing done twice."""

import threading
import time
import traceback
import warnings
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from dralign.errors import DralignError, OptionError
from dralign.study.environment import environment
from dralign.study.ledger import Ledger
from dralign.study.pools import Pool, check_address, open_pool
from dralign.study.record import TrialRecord
from dralign.study.spec import Trial, TrialSpec, identify
from dralign.study.trial import run_trial
from dralign.training import History

RETRIES: Final = 3  # of a trial whose worker died; the last one alone
Run = Callable[[TrialSpec], History]

# Random state, warnings and threads belong to the process, and a Dask worker may have several
# threads: there trials take turns.
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class StudyOutcome:
    """How a call of ``run_study`` ended.

    Attributes:
        hashes: the content hashes of all trials asked for, in their order; what
            ``Ledger.records`` takes.
        skipped: how many were already done.
        done: how many this call finished.
        failed: the records of those that failed.
    """

    hashes: tuple[str, ...]
    skipped: int
    done: int
    failed: tuple[TrialRecord, ...]


def unfinished(specs: Iterable[TrialSpec], ledger: Ledger) -> dict[str, Trial]:
    """The trials that ``run_study`` would run, by hash: new ones and those that failed."""
    done = ledger.done_hashes()
    return {digest: trial for digest, trial in identify(specs).items() if digest not in done}


def run_study(
    specs: Iterable[TrialSpec],
    ledger: Ledger,
    *,
    jobs: int | None = None,
    dask: str | None = None,
    on_record: Callable[[TrialRecord], None] | None = None,
    run: Run = run_trial,
) -> StudyOutcome:
    """Runs every trial that the ledger does not hold as done, and keeps each as it ends.

    A trial runs in one process with one thread, so that the results are the same at any number of
    processes. A trial that raises is recorded as failed and tried again by the next call.
    Interrupting the call, or losing it, costs only the trials that are under way.

    When a worker dies, the trials that were under way are tried again, at most ``RETRIES`` times
    each and the last time one by one: whichever then kills its worker is recorded as failed.

    Args:
        specs: the trials; equal ones are run once.
        ledger: where the records go; only this process writes to it.
        jobs: processes at a time; None takes the number of CPUs this process may use. With 1 the
            trials run in this process.
        dask: a Dask cluster to run on: ``"local"``, with ``jobs`` processes, or the address of a
            scheduler, whose workers need this version of dralign and the same files.
        on_record: called with each record once it is in the ledger.
        run: what runs a trial; a function that other processes can import.

    Raises:
        OptionError: if ``jobs`` is below 1 or given for a running cluster, or ``dask`` is neither
            ``"local"`` nor an address.
        StudyError: if the ledger can't be written or the cluster can't be used; what is in the
            ledger stays.
    """
    if jobs is not None and jobs < 1:
        raise OptionError(f"jobs: expected at least 1, got {jobs}")
    if dask is not None:
        check_address(dask)
    if jobs is not None and dask not in {None, "local"}:
        raise OptionError("jobs: a running Dask cluster has its own number of workers")
    trials = identify(specs)
    finished = ledger.done_hashes() & trials.keys()
    todo = {digest: trial for digest, trial in trials.items() if digest not in finished}
    n_done, failed = 0, list[TrialRecord]()
    with closing(_records(todo, jobs, dask, run)) as records:
        for record in records:
            ledger.add(record)
            if record.status == "done":
                n_done += 1
            else:
                failed.append(record)
            if on_record is not None:
                on_record(record)
    return StudyOutcome(tuple(trials), len(finished), n_done, tuple(failed))


def _records(
    todo: Mapping[str, Trial], jobs: int | None, dask: str | None, run: Run
) -> Generator[TrialRecord]:
    """The records of the trials as they end; closing it early stops the workers."""
    import joblib

    width = jobs or joblib.cpu_count()
    if not todo:
        return
    if width == 1 and dask is None:
        for digest, trial in todo.items():
            yield _attempt(run, digest, trial)
        return
    with open_pool(min(width, len(todo)), dask) as pool:
        yield from _survivors(todo, pool, run)


def _survivors(todo: Mapping[str, Trial], pool: Pool, run: Run) -> Iterator[TrialRecord]:
    """The records of the trials, whatever becomes of the workers."""
    queue, suspects = deque(todo), deque[str]()
    deaths = Counter[str]()
    # Twice as many as there are workers, so that none waits for its next trial.
    for digest, future in _attempts(queue, 2 * pool.width, todo, pool, run):
        if lost := pool.deaths(future):
            deaths[digest] += lost
            # At the end of the queue the next attempt has other company.
            (queue if deaths[digest] < RETRIES else suspects).append(digest)
        else:
            yield future.result()
    for digest, future in _attempts(suspects, 1, todo, pool, run):
        if lost := pool.deaths(future):
            yield _killed(digest, todo[digest], deaths[digest] + lost)
        else:
            yield future.result()


def _attempts(
    queue: deque[str], limit: int, todo: Mapping[str, Trial], pool: Pool, run: Run
) -> Iterator[tuple[str, Future[TrialRecord]]]:
    """Runs what is in the queue, also what is added meanwhile; each attempt as it ends.

    Args:
        queue: the hashes of trials.
        limit: how many are handed to the pool at a time.
        todo: the trials by hash.
        pool: where they run.
        run: what runs a trial.
    """
    flying: dict[Future[TrialRecord], str] = {}
    while queue or flying:
        while queue and len(flying) < limit:
            digest = queue.popleft()
            flying[pool.submit(_attempt, run, digest, todo[digest])] = digest
        ended, _ = wait(flying, timeout=10, return_when=FIRST_COMPLETED)
        if not ended:
            pool.check()
        for future in ended:
            yield flying.pop(future), future


def _attempt(run: Run, digest: str, trial: Trial) -> TrialRecord:
    """Runs one trial; whatever it raises becomes a failed record."""
    start = time.perf_counter()
    history: History = ()
    error = ""
    with _one_at_a_time, _one_thread(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            history = run(trial.spec)
        except Exception as cause:  # noqa: BLE001 - one bad trial must not stop a study
            error = _describe(cause)
        versions = environment()
    return TrialRecord(
        hash=digest,
        fingerprint=trial.fingerprint,
        spec=trial.spec.portable(),
        status="failed" if error else "done",
        error=error,
        history=history,
        seconds=time.perf_counter() - start,
        warnings=tuple(dict.fromkeys(_one_line(str(warning.message)) for warning in caught)),
        environment=dict(versions),
    )


def _killed(digest: str, trial: Trial, deaths: int) -> TrialRecord:
    """The record of a trial that kills its workers."""
    return TrialRecord(
        hash=digest,
        fingerprint=trial.fingerprint,
        spec=trial.spec.portable(),
        status="failed",
        error=f"the worker process died {deaths} times, at last with no other trial beside it "
        "(out of memory, or killed)",
        environment=dict(environment()),
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    """Runs a block with one torch thread: fastest for small networks, and reproducible."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _describe(error: Exception) -> str:
    """One line for an error: our own as they are, others with their type and place."""
    text = _one_line(str(error))
    if isinstance(error, DralignError):
        return text
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {text} ({Path(frame.filename).name}:{frame.lineno})"


def _one_line(text: str) -> str:
    """The text with every run of white space as one blank."""
    return " ".join(text.split())
