"""Workers and coordinators that are killed: every trial is there exactly once in the end."""

import errno
import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

import interrupts
import records as made_up
import study_runs as runs
from dralign.errors import DralignWarning, StudyError
from dralign.study import (
    Ledger,
    TrialSpec,
    identify,
    pools,
    processes,
    run_study,
    runner,
)

SPECS = [TrialSpec(made_up.ADULT, "erm", seed=seed) for seed in range(40)]
PROC = Path("/proc/self")
needs_proc = pytest.mark.skipif(not PROC.exists(), reason="finds worker processes in /proc")


def workers():
    """The process ids of the workers of this process."""
    threads = (PROC / "task").glob("*/children")
    children = " ".join(thread.read_text() for thread in threads).split()
    return [int(pid) for pid in children if is_worker(pid)]


def is_worker(pid):
    try:
        return b"study/worker.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has ended
        return False


def complete(path):
    """The ledger holds each of the 40 trials once, as done, with its own figures."""
    with Ledger(path, create=False) as ledger:
        records = ledger.records()
    assert sorted(record.hash for record in records) == sorted(identify(SPECS))
    assert {record.spec for record in records} == set(SPECS)
    return all(
        record.status == "done" and record.history == made_up.history(record.spec)
        for record in records
    )


@needs_proc
def test_workers_killed_at_random_cost_no_trial(tmp_path):
    path, seen, rng = tmp_path / "study.sqlite", [], random.Random(0)

    def kill_some(record):
        seen.append(record)
        if len(seen) in {4, 20}:
            os.kill(rng.choice(workers()), signal.SIGKILL)

    with Ledger(path) as ledger:
        outcome = run_study(SPECS, ledger, jobs=2, run=runs.short, on_record=kill_some)
    assert (outcome.done, outcome.failed) == (40, ())
    assert len(seen) == 40
    assert complete(path)


def test_a_trial_that_kills_its_worker_is_named_and_the_others_end(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "RETRIES", 2)
    with Ledger(tmp_path / "study.sqlite") as ledger:
        outcome = run_study(SPECS[:5], ledger, jobs=2, run=runs.dies)
        assert outcome.done == 4
        (failed,) = outcome.failed
        assert failed.spec.seed == 2
        assert failed.error == (
            "the worker process died 3 times, at last with no other trial beside it "
            "(out of memory, killed or stopped)"
        )
        assert ledger.records(status="failed") == [failed]
        again = run_study(SPECS[:5], ledger, jobs=2, run=runs.quick)
        assert (again.done, again.skipped, again.failed) == (1, 4, ())


CODE = """
import sys; sys.path = {path!r}
import records, study_runs; from dralign.study import Ledger, TrialSpec, run_study
specs = [TrialSpec(records.ADULT, "erm", seed=seed) for seed in range(40)]
with Ledger({ledger!r}) as ledger:
    run_study(specs, ledger, jobs=2, run=study_runs.{run})
"""


def kept(path):
    """The records so far, by hash."""
    if not (path.exists() and path.stat().st_size):
        return {}
    with Ledger(path, create=False) as ledger:
        return {record.hash: record for record in ledger.records()}


def test_everything_killed_and_continued_runs_each_trial_once(tmp_path):
    path = tmp_path / "study.sqlite"
    code = CODE.format(path=sys.path, ledger=str(path), run="short")
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    deadline = time.monotonic() + 120
    while len(kept(path)) < 5 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = kept(path)
    assert 5 <= len(before) < 40
    with Ledger(path) as ledger:
        outcome = run_study(SPECS, ledger, jobs=1, run=runs.quick)
    assert (outcome.done, outcome.skipped) == (40 - len(before), len(before))
    assert complete(path)
    assert before.items() <= kept(path).items()


def test_workers_end_with_their_coordinator(tmp_path):
    """They are not left behind when it is killed alone."""
    path = tmp_path / "study.sqlite"
    code = CODE.format(path=sys.path, ledger=str(path), run="slow")
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    deadline = time.monotonic() + 120
    while not kept(path) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGKILL)
    pytest.fail("workers are left behind")


@needs_proc
def test_a_worker_never_hears_ctrl_c_and_starting_it_changes_nothing_for_the_coordinator():
    before = signal.getsignal(signal.SIGINT), signal.pthread_sigmask(signal.SIG_BLOCK, [])
    worker, deaf, answered = processes._Worker(), [], threading.Event()
    worker.give((int, ()), lambda *message: answered.set())
    while not (worker.pid or answered.is_set()):
        time.sleep(0.001)
    while not answered.is_set():
        status = Path(f"/proc/{worker.pid}/status").read_text()
        masks = dict(line.split(":\t") for line in status.splitlines() if line.startswith("Sig"))
        # Between fork and exec the child still shows the handlers of its parent.
        deaf.append(bool((int(masks["SigBlk"], 16) | int(masks["SigIgn"], 16)) & 2))
        time.sleep(0.001)
    worker.end()
    worker.thread.join(20)
    assert deaf
    assert all(deaf)
    after = signal.getsignal(signal.SIGINT), signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert after == before


@pytest.fixture
def impatient(tmp_path, monkeypatch):
    """Workers that have imported everything, and little patience with them from then on."""
    monkeypatch.setenv("MARKS", str(tmp_path))
    with Ledger(tmp_path / "warm.sqlite") as ledger:
        run_study(SPECS[:4], ledger, jobs=2, run=runs.short)
    monkeypatch.setattr(runner, "TELL_SECONDS", 4.0)
    monkeypatch.setattr(runner, "PATIENCE_SECONDS", 10.0)


@needs_proc
def test_a_stopped_worker_is_told_of_and_replaced_and_its_trial_tried_again(tmp_path, impatient):
    path, seen = tmp_path / "study.sqlite", []
    told = r"the trial erm, seed 2 \(.*\) has given no sign of life for \d+ s \(process \d+ is"
    with Ledger(path) as ledger, pytest.warns(DralignWarning, match=told):
        outcome = run_study(SPECS, ledger, jobs=2, run=runs.stops_once, on_record=seen.append)
    assert (outcome.done, outcome.failed) == (40, ())
    assert len(seen) == 40
    assert complete(path)
    stopped = [pid for pid in workers() if "T (stopped)" in Path(f"/proc/{pid}/status").read_text()]
    assert stopped == []


def test_a_worker_that_dies_loses_its_own_trial_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("MARKS", str(tmp_path))
    monkeypatch.setattr(runner, "RETRIES", 1)
    seen = []
    with Ledger(tmp_path / "study.sqlite") as ledger:
        run_study(SPECS[:5], ledger, jobs=2, run=runs.dies_once, on_record=seen.append)
    # Had another lost its worker too, it would have been a suspect and come at the end as well.
    assert len(seen) == 5
    assert seen[-1].spec.seed == 2


@needs_proc
def test_a_worker_that_computes_is_alive_though_it_can_not_say_so(tmp_path, monkeypatch, recwarn):
    monkeypatch.setattr(runner, "TELL_SECONDS", 4.0)
    monkeypatch.setattr(runner, "PATIENCE_SECONDS", 5.0)
    with Ledger(tmp_path / "study.sqlite") as ledger:
        outcome = run_study(SPECS[:4], ledger, jobs=2, run=runs.hogs)
    assert (outcome.done, outcome.failed) == (4, ())
    assert not recwarn.list


class Silent(pools.Pool):
    """Workers of which nothing is heard."""

    def has_room(self):
        return False

    def hand_out(self, digest, call, *arguments):
        self.flights[digest] = pools.Flight(digest, "somewhere", begun=True)

    def take_back(self, digest):
        del self.flights[digest]

    def _news(self, seconds):
        return []


def test_time_in_which_nobody_looked_is_no_silence(monkeypatch):
    """A coordinator that was itself stopped, or busy, does not blame its workers."""
    now = [0.0]
    monkeypatch.setattr(pools.time, "monotonic", lambda: now[0])
    pool = Silent()
    pool.hand_out("one", int)
    for passed in (0.5, 3600.0, 0.25):
        now[0] += passed
        pool.wait(0.0)
    assert pool.flights["one"].silent == pool.flights["one"].running == 0.5 + 2.0 + 0.25
    assert runner.TELL_SECONDS > pools.MOST_SECONDS + runner.LOOK_SECONDS


@needs_proc
@pytest.mark.parametrize("dask", [None, "local"])
def test_ctrl_c_ends_a_study_also_while_a_worker_is_stopped(tmp_path, dask):
    if dask:
        pytest.importorskip("distributed", reason="Dask is not installed")
    path = tmp_path / "study.sqlite"
    code = (CODE.replace("jobs=2", f"jobs=2, dask={dask!r}") + "print('came to its end')").format(
        path=sys.path, ledger=str(path), run="stops_once"
    )
    process = interrupts.start(
        [sys.executable, "-c", code],
        env={**os.environ, "MARKS": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while len(kept(path)) < 39 and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    try:
        printed, errors = process.communicate(timeout=30)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert (printed, errors.splitlines()[-1]) == ("", "KeyboardInterrupt")
    # Of the coordinator alone, whose code leaves it to Python: where it was just handling another
    # exception, Python tells that one too, in one of about 150 runs.
    assert errors.count('File "<string>"') == 1
    assert "/worker.py" not in errors
    assert len(kept(path)) == 39


def test_a_worker_without_a_pipe_is_one_line_at_once(tmp_path, monkeypatch):
    """Too many open files: threads that stop without a word are waited for a minute."""

    def refuse():
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(processes, "Pipe", refuse)
    monkeypatch.setattr(processes, "_idle", [])
    monkeypatch.setattr(runner, "PATIENCE_SECONDS", 5.0)
    line = "a worker process can't be started: Too many open files; try fewer --jobs"
    with (
        Ledger(tmp_path / "study.sqlite") as ledger,
        pytest.raises(StudyError, match=f"^{line}$"),
    ):
        run_study(SPECS[:4], ledger, jobs=2, run=runs.quick)
