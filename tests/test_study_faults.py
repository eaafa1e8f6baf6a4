"""Workers and coordinators that are killed: every trial is there exactly once in the end."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import records as made_up
import study_runs as runs
from dralign.study import Ledger, TrialSpec, identify, run_study, runner

SPECS = [TrialSpec(made_up.ADULT, "erm", seed=seed) for seed in range(40)]
PROC = Path("/proc/self")
needs_proc = pytest.mark.skipif(not PROC.exists(), reason="finds worker processes in /proc")


def workers():
    """The process ids of the loky workers of this process."""
    children = (PROC / f"task/{os.getpid()}/children").read_text().split()
    return [
        int(pid) for pid in children if b"popen_loky" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


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
            "(out of memory, or killed)"
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


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="needs signal masks")
def test_a_worker_ignores_ctrl_c_while_it_starts_and_the_coordinator_does_not():
    """What a worker does first, which is to ignore it as well, is left out."""
    code = """
import signal
from dralign.study import pools
pools._follow = int
with pools.open_pool(1) as pool:
    print(pool.submit(signal.getsignal, signal.SIGINT).result() == signal.SIG_IGN)
print(signal.getsignal(signal.SIGINT), signal.pthread_sigmask(signal.SIG_BLOCK, []))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    worker, coordinator = done.stdout.splitlines()
    assert worker == "True"
    assert coordinator.startswith("<built-in function default_int_handler>")
    assert coordinator.endswith("set()")
