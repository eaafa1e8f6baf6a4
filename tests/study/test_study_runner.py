"""The runner: nothing twice, nothing lost, the same at any number of processes."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
import torch

import interrupts
import records as made_up
import study_runs as runs
from dralign.data import DataSource
from dralign.errors import OptionError, StudyError
from dralign.study import Ledger, TrialSpec, only_writer, run_study, unfinished

SPECS = made_up.specs(seeds=range(2), weights=(0.2,))
SEEDS = [TrialSpec(made_up.ADULT, "erm", seed=seed) for seed in range(6)]


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        yield ledger


@pytest.fixture
def hears_ctrl_c():
    """Ctrl-C is an exception, also where the suite was started by a job that ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


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


def test_ctrl_c_in_a_trial_leaves_the_finished_ones(ledger, hears_ctrl_c):
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
    process = interrupts.start([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
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


def test_no_ctrl_c_is_lost_while_trials_are_handed_out(ledger):
    heard, lost = [], []
    done = threading.Event()

    def press():
        while not done.wait(0.02):
            before = len(heard)
            os.kill(os.getpid(), signal.SIGINT)
            deadline = time.monotonic() + 10
            while len(heard) == before and not done.is_set():
                if time.monotonic() > deadline:
                    lost.append(before)
                    break
                time.sleep(0.001)

    before = signal.signal(signal.SIGINT, lambda *_: heard.append(1))
    presses = threading.Thread(target=press)
    presses.start()
    try:
        many = [TrialSpec(made_up.ADULT, "erm", seed=seed) for seed in range(400)]
        outcome = run_study(many, ledger, jobs=2, run=runs.quick)
    finally:
        done.set()
        presses.join()
        signal.signal(signal.SIGINT, before)
    assert outcome.done == 400
    assert len(heard) > 10
    assert not lost


def test_a_coordinator_that_was_started_without_ctrl_c_goes_on_without_it(tmp_path):
    """As under nohup, or in a background job."""
    code = (
        f"import sys; sys.path = {sys.path!r}\n"
        "import os, signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "import records, study_runs; from dralign.study import Ledger, TrialSpec, run_study\n"
        "specs = [TrialSpec(records.ADULT, 'erm', seed=seed) for seed in range(6)]\n"
        f"with Ledger({str(tmp_path / 'study.sqlite')!r}) as ledger:\n"
        "    outcome = run_study(specs, ledger, jobs=2, run=study_runs.short,\n"
        "                        on_record=lambda _: os.kill(os.getpid(), signal.SIGINT))\n"
        "print(outcome.done)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=200
    )
    assert done.stdout.strip() == "6"


@pytest.mark.parametrize("jobs", [0, -1])
def test_jobs_below_one_are_refused(ledger, jobs):
    with pytest.raises(OptionError, match=rf"jobs: expected at least 1, got {jobs}"):
        run_study(SEEDS, ledger, jobs=jobs, run=runs.quick)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_a_time_limit_that_is_none_is_refused(ledger, seconds):
    with pytest.raises(OptionError, match="trial_timeout: expected seconds above 0, got"):
        run_study(SEEDS, ledger, jobs=1, trial_timeout=seconds, run=runs.quick)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_trial_over_the_time_limit_is_ended_and_recorded_as_failed(ledger, jobs):
    outcome = run_study(SEEDS, ledger, jobs=jobs, trial_timeout=5, run=runs.endless)
    assert outcome.done == 5
    (failed,) = outcome.failed
    assert failed.spec.seed == 2
    assert failed.error == "took longer than the time limit of 5 s for a trial, and was ended"
    assert failed.seconds > 5
    assert run_study(SEEDS, ledger, jobs=1, run=runs.quick).done == 1


def remove(path):
    shutil.rmtree(path.parent)


def replace_by_another(path):
    path.rename(path.with_name("aside.sqlite"))
    Ledger(path).close()


@pytest.mark.parametrize("change", [remove, replace_by_another])
def test_a_study_that_is_removed_or_replaced_while_it_runs_ends_it(tmp_path, change):
    path, seen = tmp_path / "study" / "study.sqlite", []

    def then_change(record):
        seen.append(record)
        if len(seen) == 2:
            change(path)

    with (
        Ledger(path) as ledger,
        pytest.raises(StudyError, match=r"study\.sqlite: the study was removed, moved or rep"),
    ):
        run_study(SEEDS, ledger, jobs=1, run=runs.quick, on_record=then_change)
    assert len(seen) == 2


def test_an_older_copy_that_is_written_over_a_study_while_it_runs_is_told_of(tmp_path):
    path, copy, seen = tmp_path / "study.sqlite", tmp_path / "backup", []

    def then_restore(record):
        seen.append(record)
        if len(seen) == 1:
            shutil.copyfile(path, copy)
        if len(seen) == 4:
            shutil.copyfile(copy, path)

    line = r"overwritten while it was written: 3 of 6 trials that were done are not in it"
    with Ledger(path) as ledger:
        with pytest.raises(StudyError, match=line):
            run_study(SEEDS, ledger, jobs=1, run=runs.quick, on_record=then_restore)
        assert run_study(SEEDS, ledger, jobs=1, run=runs.quick).done == 3


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_record_that_is_too_large_fails_its_trial_alone(ledger, jobs, monkeypatch):
    monkeypatch.setattr("dralign.study.record.LARGEST", 100_000)
    outcome = run_study(SEEDS, ledger, jobs=jobs, run=runs.long_for_seed_2)
    assert outcome.done == 5
    (failed,) = outcome.failed
    assert failed.spec.seed == 2
    assert re.fullmatch(r"trial record: [\d,]+ bytes; 100,000 are the most .*", failed.error)
    assert ledger.records(status="failed") == [failed]


@pytest.mark.parametrize("jobs", [1, 2])
def test_data_that_change_while_the_study_runs_end_it_and_no_record_is_of_others(tmp_path, jobs):
    file = tmp_path / "people.csv"
    file.write_text("age,label,group\n" + "3,1,a\n4,0,b\n" * 50)
    specs = [TrialSpec(DataSource(str(file), label="label"), "erm", seed=s) for s in range(6)]
    fingerprint = specs[0].data.fingerprint()
    with Ledger(tmp_path / "study.sqlite") as ledger:
        with pytest.raises(StudyError, match=r"people\.csv: the file changed while the study ran"):
            run_study(specs, ledger, jobs=jobs, run=runs.rewrites_its_data)
        assert specs[0].data.fingerprint() != fingerprint
        records = ledger.records()
    assert {record.fingerprint for record in records} <= {fingerprint}
    assert {record.spec.seed for record in records} <= {0, 1, 3}


def test_data_that_vanish_while_the_study_runs_end_it(tmp_path, ledger):
    file = tmp_path / "people.csv"
    file.write_text("age,label,group\n" + "3,1,a\n4,0,b\n" * 50)
    specs = [TrialSpec(DataSource(str(file), label="label"), "erm", seed=s) for s in range(3)]
    with pytest.raises(StudyError, match=r"people\.csv.*No such file.*when the study began"):
        run_study(specs, ledger, jobs=1, run=runs.quick, on_record=lambda _: file.unlink())
    assert len(ledger.records()) == 1


def test_a_second_sweep_of_a_study_is_refused(tmp_path):
    path = tmp_path / "study.sqlite"
    with Ledger(path) as first, Ledger(path) as second:

        def begin_another(record):
            with pytest.raises(StudyError, match=r"another sweep is writing this study; let it"):
                run_study(SEEDS, second, jobs=1, run=runs.quick)

        outcome = run_study(SEEDS, first, jobs=1, run=runs.quick, on_record=begin_another)
        assert outcome.done == 6
        assert run_study(SEEDS, second, jobs=1, run=runs.quick).skipped == 6


def test_a_ledger_behind_a_link_has_one_writer(ledger, tmp_path):
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "study.sqlite").symlink_to(ledger.path)
    with (
        Ledger(tmp_path / "linked" / "study.sqlite") as second,
        only_writer(ledger),
        pytest.raises(StudyError, match=r"another sweep is writing this study"),
        only_writer(second),
    ):
        pass


def test_a_caller_may_hold_the_study_before_it_is_run(ledger):
    with only_writer(ledger):
        assert run_study(SEEDS, ledger, jobs=1, run=runs.quick).done == 6
    with only_writer(ledger):
        pass


def test_what_a_worker_can_not_run_is_one_line_that_blames_nothing_else(ledger, monkeypatch):
    monkeypatch.setattr(runs.quick, "__module__", "no_such_module")
    monkeypatch.setattr(runs.quick, "__qualname__", "quick")
    monkeypatch.setitem(sys.modules, "no_such_module", runs)
    with pytest.raises(StudyError, match=r"a worker process can't run trials: ModuleNotFound") as e:
        run_study(SEEDS, ledger, jobs=2, run=runs.quick)
    assert "version" not in str(e.value)


@pytest.mark.parametrize("module", ["study", "report"])
def test_importing_loads_nothing_heavy(module):
    code = (
        f"import sys; sys.path = {sys.path!r}; import dralign.{module}\n"
        "print(*{'joblib', 'matplotlib', 'plotly', 'scipy', 'pandas', 'sklearn'} & {*sys.modules})"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""
