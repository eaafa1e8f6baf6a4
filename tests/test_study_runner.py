"""The runner: nothing twice, nothing lost, the same at any number of processes."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch

import records as made_up
import study_runs as runs
from dralign.errors import OptionError
from dralign.study import Ledger, TrialSpec, run_study, unfinished

SPECS = made_up.specs(seeds=range(2), weights=(0.2,))
SEEDS = [TrialSpec(made_up.ADULT, "erm", seed=seed) for seed in range(6)]


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        yield ledger


def test_every_trial_is_kept_with_its_settings_and_what_it_was_run_with(ledger):
    seen = []
    outcome = run_study(SPECS, ledger, jobs=1, run=runs.quick, on_record=seen.append)
    assert (outcome.done, outcome.skipped, outcome.failed) == (len(SPECS), 0, ())
    assert [record.hash for record in seen] == list(outcome.hashes)
    records = ledger.records(outcome.hashes)
    assert {record.spec for record in records} == set(SPECS)
    for record in records:
        assert record.history == made_up.history(record.spec)
        assert record.environment["torch"] == torch.__version__
        assert record.environment["threads"] == "1"
        assert record.seconds > 0


def test_the_results_are_the_same_at_any_number_of_processes(tmp_path):
    histories = []
    for jobs in (1, 2, 3):
        with Ledger(tmp_path / f"{jobs}.sqlite") as ledger:
            run_study(SEEDS, ledger, jobs=jobs, run=runs.computed)
            histories.append([(r.hash, r.history) for r in ledger.records()])
    assert histories[0] == histories[1] == histories[2]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_trial_has_one_thread_and_this_process_gets_its_own_back(ledger, jobs):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run_study(SEEDS, ledger, jobs=jobs, run=runs.threads)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert {record.history[0].loss for record in ledger.records()} == {1.0}


def test_the_same_command_again_runs_nothing_and_a_grown_one_only_what_is_new(ledger):
    run_study(SEEDS[:4], ledger, jobs=1, run=runs.quick)
    seen = []
    again = run_study(SEEDS[:4], ledger, jobs=1, run=runs.quick, on_record=seen.append)
    assert (again.done, again.skipped, seen) == (0, 4, [])
    assert [trial.spec for trial in unfinished(SEEDS, ledger).values()] == SEEDS[4:]
    grown = run_study(SEEDS, ledger, jobs=1, run=runs.quick, on_record=seen.append)
    assert (grown.done, grown.skipped) == (2, 4)
    assert [record.spec for record in seen] == SEEDS[4:]


def test_equal_trials_run_once(ledger):
    outcome = run_study([*SEEDS[:2], replace(SEEDS[0])], ledger, jobs=1, run=runs.quick)
    assert (outcome.done, len(outcome.hashes)) == (2, 2)


def test_no_trials_is_no_work(ledger):
    assert run_study([], ledger, run=runs.quick).hashes == ()


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_trial_that_raises_is_recorded_in_one_line_and_tried_again(ledger, jobs):
    outcome = run_study(SPECS, ledger, jobs=jobs, run=runs.gap_fails)
    assert outcome.done == 4
    errors = {record.spec.method: record.error for record in outcome.failed}
    assert errors["dralign"] == "the loss is not finite"
    assert errors["gap"].startswith("ZeroDivisionError: bad luck (study_runs.py:")
    kept = {record.spec.method: record for record in ledger.records(status="failed")}
    assert {method: record.error for method, record in kept.items()} == errors
    assert all(record.history == () for record in kept.values())
    again = run_study(SPECS, ledger, jobs=jobs, run=runs.quick)
    assert (again.done, again.skipped, again.failed) == (4, 4, ())
    assert ledger.records(status="failed") == []


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_warnings_of_a_trial_are_kept_with_it_once(ledger, jobs, recwarn):
    run_study(SPECS, ledger, jobs=jobs, run=runs.gap_fails)
    for record in ledger.records(status="done"):
        expected = ("a batch size is assumed",) if record.spec.method == "oversample" else ()
        assert record.warnings == expected
    assert not recwarn.list


def test_ctrl_c_in_a_trial_leaves_the_finished_ones(ledger):
    with pytest.raises(KeyboardInterrupt):
        run_study(SEEDS, ledger, jobs=1, run=runs.interrupts)
    assert {record.spec.seed for record in ledger.records()} == {0, 1}
    assert run_study(SEEDS, ledger, jobs=1, run=runs.quick).done == 4


def test_an_interrupt_that_reaches_a_worker_is_left_to_the_coordinator(ledger):
    assert run_study(SEEDS, ledger, jobs=2, run=runs.interrupts).done == 6


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_while_reporting_leaves_the_finished_ones(ledger, jobs, recwarn):
    def stop(record):
        if len(ledger.done_hashes()) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(SEEDS, ledger, jobs=jobs, run=runs.slow, on_record=stop)
    assert len(ledger.done_hashes()) == 2
    assert not recwarn.list
    assert run_study(SEEDS, ledger, jobs=jobs, run=runs.quick).done == 4


def test_ctrl_c_in_a_terminal_stops_all_processes_quietly(tmp_path):
    path = tmp_path / "ledger.sqlite"
    code = (
        f"import sys; sys.path = {sys.path!r}\n"
        "import records, study_runs; from dralign.study import Ledger, TrialSpec, run_study\n"
        "specs = [TrialSpec(records.ADULT, 'erm', seed=seed) for seed in range(200)]\n"
        "try:\n"
        f"    with Ledger({str(path)!r}) as ledger:\n"
        "        run_study(specs, ledger, jobs=2, run=study_runs.slow)\n"
        "except KeyboardInterrupt:\n"
        "    sys.exit(130)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], start_new_session=True, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    kept = 0
    while kept < 2 and time.monotonic() < deadline:
        time.sleep(0.2)
        if path.exists() and path.stat().st_size:
            with Ledger(path, create=False) as ledger:
                kept = len(ledger.done_hashes())
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert not errors
    with Ledger(path, create=False) as ledger:
        assert kept <= len(ledger.done_hashes()) < 200


@pytest.mark.parametrize("jobs", [0, -1])
def test_jobs_below_one_are_refused(ledger, jobs):
    with pytest.raises(OptionError, match=rf"jobs: expected at least 1, got {jobs}"):
        run_study(SEEDS, ledger, jobs=jobs, run=runs.quick)


@pytest.mark.parametrize("module", ["study", "report"])
def test_importing_loads_nothing_heavy(module):
    code = (
        f"import sys; sys.path = {sys.path!r}; import dralign.{module}\n"
        "print(*{'joblib', 'matplotlib', 'plotly', 'scipy', 'pandas', 'sklearn'} & {*sys.modules})"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""
