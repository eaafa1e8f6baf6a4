"""A short form of kills.py: sweeps that are killed and continued."""

import os
from functools import partial
from pathlib import Path

import pytest

import harness
import kills
from dralign.study.processes import open_processes

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="finds processes in /proc")


def test_a_sweep_of_which_all_processes_are_killed_ends_as_if_nothing_had_happened(capsys):
    assert kills.main(["--each", "1", "--trials", "8", "--kinds", "all"]) == 0
    assert "in all" in capsys.readouterr().out


def test_the_process_that_runs_a_trial_counts_as_a_worker_and_no_other_does(tmp_path):
    told = tmp_path / "told"
    call = partial(os.system, f"echo $PPID > {told}")
    with open_processes(1) as pool:
        pool.hand_out("a", call)
        while not pool.wait(0.1):
            pass
        assert kills.is_worker(int(told.read_text()))
    assert not kills.is_worker(os.getpid())


def test_a_lost_trial_another_figure_and_a_left_file_are_told():
    whole = {"a": 1, "b": 2}
    assert not harness.differences({"b": 2, "a": 1}, whole)
    assert harness.differences({"a": 1}, whole) == "1 missing: b"
    assert harness.differences({"a": 1, "b": 3, "c": 4}, whole) == "1 more: c, 1 other: b"


@pytest.mark.parametrize(
    ("done", "wrong"),
    [
        (harness.Done(0, "", "warning: odd"), ""),
        (harness.Done(2, "", "dralign: error: no"), ""),
        (harness.Done(2, "", "no"), "0 lines about the error: no"),
        (harness.Done(1, "", "dralign: error: no"), "exit 1: dralign: error: no"),
        (harness.Done(2, "", "Traceback ...\nKeyError: 'x'"), "traceback: KeyError: 'x'"),
        (harness.Done(None, "", ""), "hangs"),
    ],
)
def test_an_end_is_wrong_by_its_status_a_traceback_or_more_than_a_line(done, wrong):
    assert done.wrong(0, 2) == wrong


def test_a_command_that_waits_for_ever_is_ended_with_its_processes():
    process = harness.start(["data", "list"], mark="waits")
    harness.os.kill(process.pid, harness.signal.SIGSTOP)
    assert harness.finish(process, limit=0.5).code is None
    assert harness.all_gone("waits", limit=5)


def test_figures_of_a_row_that_is_wrong_make_the_script_fail(capsys):
    results = harness.Results("some faults")
    results.add("good", "")
    assert results.end() == 0
    results.add("bad", "a trial is lost")
    assert results.end() == 1
    assert "FAILED bad: a trial is lost" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("code", "err", "begun", "held"),
    [
        (1, "Could not import runpy module\nTraceback\nKeyboardInterrupt", False, True),
        (1, "Could not import runpy module\nTraceback\nKeyboardInterrupt", True, False),
        (1, "Traceback\nKeyboardInterrupt", False, False),
        (-2, "Traceback\nKeyboardInterrupt", False, True),
        (130, "dralign: error: interrupted", True, True),
    ],
)
def test_ctrl_c_may_meet_python_before_any_line_of_ours(code, err, begun, held):
    assert (kills.ended_badly("SIGINT", harness.Done(code, "", err), begun=begun) == "") == held
