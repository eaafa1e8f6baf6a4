"""Running the trials of a study: many processes, one ledger, nothing done twice."""

import os
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from dralign.errors import DralignError, OptionError, StudyError
from dralign.study.environment import environment
from dralign.study.ledger import Ledger
from dralign.study.record import TrialRecord
from dralign.study.spec import Trial, TrialSpec, identify
from dralign.study.trial import run_trial
from dralign.training import History

Run = Callable[[TrialSpec], History]


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
    on_record: Callable[[TrialRecord], None] | None = None,
    run: Run = run_trial,
) -> StudyOutcome:
    """Runs every trial that the ledger does not hold as done, and keeps each as it ends.

    A trial runs in one process with one thread, so that the results are the same at any number of
    processes. A trial that raises is recorded as failed and tried again by the next call.
    Interrupting the call, or losing it, costs only the trials that are under way.

    Args:
        specs: the trials; equal ones are run once.
        ledger: where the records go; only this process writes to it.
        jobs: processes at a time; None takes the number of CPUs this process may use. With 1 the
            trials run in this process.
        on_record: called with each record once it is in the ledger.
        run: what runs a trial; a function that other processes can import.

    Raises:
        OptionError: if ``jobs`` is below 1.
        StudyError: if a worker process dies or the ledger can't be written; what is in the ledger
            stays.
    """
    import joblib

    if jobs is not None and jobs < 1:
        raise OptionError(f"jobs: expected at least 1, got {jobs}")
    trials = identify(specs)
    finished = ledger.done_hashes() & trials.keys()
    todo = {digest: trial for digest, trial in trials.items() if digest not in finished}
    n_done, failed = 0, list[TrialRecord]()
    try:
        with _results(todo, min(jobs or joblib.cpu_count(), len(todo)), run) as records:
            for record in records:
                ledger.add(record)
                if record.status == "done":
                    n_done += 1
                else:
                    failed.append(record)
                if on_record is not None:
                    on_record(record)
    except BrokenExecutor as error:
        kept = len(finished) + n_done
        raise StudyError(
            f"a worker process died (out of memory, or killed); {kept} of {len(trials)} trials "
            "are kept; run the same command again to continue"
        ) from error
    return StudyOutcome(tuple(trials), len(finished), n_done, tuple(failed))


@contextmanager
def _results(todo: Mapping[str, Trial], jobs: int, run: Run) -> Iterator[Iterator[TrialRecord]]:
    """The records of the trials as they end; leaving the block early stops the workers."""
    import joblib

    if not todo:
        yield iter(())
        return
    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        # Batches of one: a finished trial is reported at once and none waits behind another.
        parallel = joblib.Parallel(
            n_jobs=jobs, return_as="generator_unordered", batch_size=1, pre_dispatch="2*n_jobs"
        )
        records = parallel(
            joblib.delayed(_attempt)(run, digest, trial, os.getpid())
            for digest, trial in todo.items()
        )
        try:
            yield records
        finally:
            with warnings.catch_warnings():  # joblib warns about a generator that is left early
                warnings.simplefilter("ignore")
                records.close()


def _attempt(run: Run, digest: str, trial: Trial, coordinator: int) -> TrialRecord:
    """Runs one trial; whatever it raises becomes a failed record."""
    in_main_thread = threading.current_thread() is threading.main_thread()  # or signal() refuses
    if os.getpid() != coordinator and in_main_thread:
        # Ctrl-C in a terminal reaches every process; only the coordinator acts on it.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    start = time.perf_counter()
    history: History = ()
    error = ""
    with _one_thread(), warnings.catch_warnings(record=True) as caught:
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
