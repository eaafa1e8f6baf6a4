"""One attempt at a trial, in whatever process: whatever happens becomes a record."""

import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from dralign.errors import DralignError
from dralign.study.environment import environment
from dralign.study.record import TrialRecord
from dralign.study.spec import Trial, TrialSpec
from dralign.study.trial import run_trial
from dralign.training import History
from dralign.turns import warnings_recorded

Run = Callable[[TrialSpec], History]


def attempt(run: Run | None, digest: str, trial: Trial) -> TrialRecord:
    """Runs one trial; whatever it raises becomes a failed record.

    Args:
        run: what runs it; None for ``run_trial``, which sees from what it reads that these are the
            data that were fingerprinted. For any other they are looked at before and after.
        digest: the hash of the trial.
        trial: the trial.

    Raises:
        StudyError: if the data are not, or no more, those that the trial is about.
    """
    start = time.perf_counter()
    history: History = ()
    error = ""
    with warnings_recorded() as caught, one_thread():
        if run is not None:
            trial.check_data()
        try:
            if run is None:
                history = run_trial(trial.spec, fingerprint=trial.fingerprint)
            else:
                history = run(trial.spec)
        except Exception as cause:  # noqa: BLE001 - one bad trial must not stop a study
            error = _describe(cause)
        if error or run is not None:
            trial.check_data()
        versions = environment()
    return TrialRecord(
        hash=digest,
        fingerprint=trial.fingerprint,
        spec=trial.spec.portable(),
        status="failed" if error else "done",
        error=error,
        history=history,
        seconds=time.perf_counter() - start,
        warnings=tuple(dict.fromkeys(one_line(str(warning.message)) for warning in caught)),
        environment=dict(versions),
    )


def failed(digest: str, trial: Trial, error: str, *, seconds: float = 0.0) -> TrialRecord:
    """The record of a trial that left none itself, because its worker ended."""
    return TrialRecord(
        hash=digest,
        fingerprint=trial.fingerprint,
        spec=trial.spec.portable(),
        status="failed",
        error=error,
        seconds=seconds,
        environment=dict(environment()),
    )


def one_line(text: str) -> str:
    """The text with every run of white space as one blank."""
    return " ".join(text.split())


@contextmanager
def one_thread() -> Iterator[None]:
    """Runs a block with one torch thread: fastest for small networks, and reproducible."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _describe(error: Exception) -> str:
    """One line for an error: our own as they are, others with their type and place."""
    text = one_line(str(error))
    if isinstance(error, DralignError):
        return text
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {text} ({Path(frame.filename).name}:{frame.lineno})"
