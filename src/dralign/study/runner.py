"""Running the trials of a study: many processes, one ledger, nothing done twice."""

import math
import os
import warnings
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from weakref import WeakSet

from dralign.errors import DralignWarning, OptionError, StudyError
from dralign.locks import locked
from dralign.study.attempt import Run, attempt, failed
from dralign.study.cluster import open_cluster
from dralign.study.ledger import Ledger
from dralign.study.pools import Ended, Flight, Pool
from dralign.study.processes import open_processes
from dralign.study.record import RecordError, TrialRecord
from dralign.study.scheduler import check_address
from dralign.study.spec import Trial, TrialSpec, identify

RETRIES: Final = 3  # of a trial whose worker died; the last one alone
LOOK_SECONDS: Final = 0.5  # how long nobody looks at what is under way
TELL_SECONDS: Final = 10.0  # without a sign of life, after which a person is told
PATIENCE_SECONDS: Final = 60.0  # after which the worker is given up

# Ledgers that this process alone may write.
_held: "WeakSet[Ledger]" = WeakSet()


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


@contextmanager
def only_writer(ledger: Ledger) -> Iterator[None]:
    """Keeps other sweeps out of a study for the length of a block; ``run_study`` is one itself.

    Raises:
        StudyError: if another one is writing it.
        OutputError: if its lock can't be made.
    """
    if ledger in _held:
        yield
        return
    # A file of its own, as the locks of the ledger itself are SQLite's; one, by whatever link it is
    # reached.
    real = Path(os.path.realpath(ledger.path))
    with locked(real.with_name(f"{real.name}.lock")) as free:
        if not free:
            raise StudyError(f"{ledger.path}: another sweep is writing this study; let it end")
        _held.add(ledger)
        try:
            yield
        finally:
            _held.discard(ledger)


def run_study(
    specs: Iterable[TrialSpec],
    ledger: Ledger,
    *,
    jobs: int | None = None,
    dask: str | None = None,
    trial_timeout: float | None = None,
    on_record: Callable[[TrialRecord], None] | None = None,
    run: Run | None = None,
) -> StudyOutcome:
    """Runs every trial that the ledger does not hold as done, and keeps each as it ends.

    A trial runs in one process with one thread, so that the results are the same at any number of
    processes. A trial that raises is recorded as failed and tried again by the next call.
    Interrupting the call, or losing it, costs only the trials that are under way.

    When a worker dies, its trial is tried again, at most ``RETRIES`` times and the last time with
    no other beside it; if it then kills its worker it is recorded as failed. A worker that gives no
    sign of life for ``PATIENCE_SECONDS`` (it was stopped, or the machine swaps) counts as dead and
    is ended; a warning comes before.

    Args:
        specs: the trials; equal ones are run once.
        ledger: where the records go; only this process writes to it.
        jobs: processes at a time; None takes the number of CPUs this process may use. With 1 and
            no time limit the trials run in this process.
        dask: a Dask cluster to run on: ``"local"``, with ``jobs`` processes, or the address of a
            scheduler, whose workers need this version of dralign and the same files.
        trial_timeout: seconds after which a trial's worker is ended and the trial recorded as
            failed; None for no limit.
        on_record: called with each record once it is in the ledger.
        run: what runs a trial; a function that other processes can import. None for ``run_trial``.

    Raises:
        OptionError: if ``jobs`` is below 1 or given for a running cluster, ``dask`` is neither
            ``"local"`` nor an address, or ``trial_timeout`` is no positive number.
        StudyError: if the ledger can't be written, was removed or is written by another call, the
            data change meanwhile, or the workers can't be used; what is in the ledger stays. Also
            if an older copy was written over it, for what was lost.
    """
    _check_options(jobs, dask, trial_timeout)
    trials = identify(specs)
    n_done, failures = 0, list[TrialRecord]()
    with only_writer(ledger):
        finished = ledger.done_hashes() & trials.keys()
        todo = {digest: trial for digest, trial in trials.items() if digest not in finished}
        with closing(_records(todo, jobs, dask, trial_timeout, run)) as records:
            for record in records:
                # What is written to a file that was removed is lost without an error.
                ledger.check_in_place()
                record = _keep(ledger, record)  # noqa: PLW2901 - what is in the ledger
                if record.status == "done":
                    n_done += 1
                else:
                    failures.append(record)
                if on_record is not None:
                    on_record(record)
        _require_kept(ledger, trials.keys() - {record.hash for record in failures})
    return StudyOutcome(tuple(trials), len(finished), n_done, tuple(failures))


def _keep(ledger: Ledger, record: TrialRecord) -> TrialRecord:
    """Writes a record; in the place of one that can't be kept, that it can't. What was written."""
    try:
        ledger.add(record)
    except RecordError as error:
        record = replace(record, status="failed", error=str(error), history=(), warnings=())
        ledger.add(record)
    return record


def _require_kept(ledger: Ledger, done: AbstractSet[str]) -> None:
    """Checks that the trials that are done are in the ledger.

    Raises:
        StudyError: if some are not: an older copy was written over the file.
    """
    if lost := len(done - ledger.done_hashes()):
        raise StudyError(
            f"{ledger.path}: the study was overwritten while it was written: {lost} of "
            f"{len(done)} trials that were done are not in it; the same command runs them again"
        )


def _check_options(jobs: int | None, dask: str | None, trial_timeout: float | None) -> None:
    """Checks how the trials are to be run.

    Raises:
        OptionError: if that is not possible.
    """
    if jobs is not None and jobs < 1:
        raise OptionError(f"jobs: expected at least 1, got {jobs}")
    if dask is not None:
        check_address(dask)
    if jobs is not None and dask not in {None, "local"}:
        raise OptionError("jobs: a running Dask cluster has its own number of workers")
    if trial_timeout is not None and not (math.isfinite(trial_timeout) and trial_timeout > 0):
        raise OptionError(f"trial_timeout: expected seconds above 0, got {trial_timeout:g}")


def _records(
    todo: Mapping[str, Trial],
    jobs: int | None,
    dask: str | None,
    limit: float | None,
    run: Run | None,
) -> Generator[TrialRecord]:
    """The records of the trials as they end; closing it early stops the workers."""
    import joblib

    if not todo:
        return
    # Elsewhere they can't be handed pipes.
    width = jobs or (joblib.cpu_count() if dask or os.name == "posix" else 1)
    if width == 1 and dask is None and limit is None:
        for digest, trial in todo.items():
            yield attempt(run, digest, trial)
        return
    width = min(width, len(todo))
    with open_processes(width) if dask is None else open_cluster(width, dask) as pool:
        yield from _survivors(todo, pool, run, limit)


def _survivors(
    todo: Mapping[str, Trial], pool: Pool, run: Run | None, limit: float | None
) -> Iterator[TrialRecord]:
    """The records of the trials, whatever becomes of the workers."""
    queue, suspects = deque(todo), deque[str]()
    losses = Counter[str]()
    for digest, record in _attempts(queue, todo, pool, run, limit):
        if record is None:
            losses[digest] += 1
            # At the end of the queue the next attempt has other company.
            (queue if losses[digest] < RETRIES else suspects).append(digest)
        else:
            yield record
    for digest, record in _attempts(suspects, todo, pool, run, limit, alone=True):
        yield record or failed(
            digest,
            todo[digest],
            f"the worker process died {losses[digest] + 1} times, at last with no other trial "
            "beside it (out of memory, killed or stopped)",
        )


def _attempts(
    queue: deque[str],
    todo: Mapping[str, Trial],
    pool: Pool,
    run: Run | None,
    limit: float | None,
    *,
    alone: bool = False,
) -> Iterator[Ended]:
    """Runs what is in the queue, also what is added meanwhile; each attempt as it ends.

    Args:
        queue: the hashes of trials.
        todo: the trials by hash.
        pool: where they run.
        run: what runs a trial.
        limit: seconds that a trial may take.
        alone: whether they run one by one.
    """

    def fill() -> None:
        while queue and pool.has_room() and not (alone and pool.flights):
            digest = queue.popleft()
            pool.hand_out(digest, attempt, run, digest, todo[digest])

    while queue or pool.flights:
        fill()
        ended = pool.wait(LOOK_SECONDS)
        fill()  # now, so that no worker waits for the records to be written
        yield from ended
        for flight in tuple(pool.flights.values()):
            digest = flight.digest
            if limit is not None and flight.running > limit:
                pool.take_back(digest)
                line = f"took longer than the time limit of {limit:g} s for a trial, and was ended"
                yield digest, failed(digest, todo[digest], line, seconds=flight.running)
            elif flight.silent > PATIENCE_SECONDS:
                pool.take_back(digest)
                yield digest, None
            elif flight.silent > TELL_SECONDS and not flight.told:
                _tell(flight, todo[digest].spec)


def _tell(flight: Flight, spec: TrialSpec) -> None:
    """Warns of a trial that gives no sign of life."""
    flight.told = True
    warnings.warn(
        f"the trial {spec.method}, seed {spec.seed} ({flight.digest[:12]}) has given no sign of "
        f"life for {flight.silent:.0f} s ({flight.worker} is stopped, or the machine swaps); after "
        f"{PATIENCE_SECONDS:.0f} s it is tried again elsewhere",
        DralignWarning,
        stacklevel=2,
    )
