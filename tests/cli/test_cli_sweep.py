"""``dralign sweep`` and ``export``: a plan from file to ledger to table, on real data."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import dralign.study.trial
import interrupts
from dralign.cli import main
from dralign.study import Ledger, ledger_path, load_plan, only_writer
from dralign.training import Selection

ROOT = Path(__file__).resolve().parents[2]
PLANS = sorted(
    path for folder in ("examples", "experiments") for path in (ROOT / folder).glob("*.toml")
)
PLAN = """
name = "small"
assumed = ["all of it"]
[defaults]
dataset = "german"
epochs = 2
iterations = 2
hidden = 5
seeds = {seeds}
[[trials]]
method = ["erm", "gap"]
fairness_weight = 0.5
"""


@pytest.fixture
def plan(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(PLAN.format(seeds=2))
    return path


def sweep(plan, capsys, *options):
    out = plan.parent / "study"
    code = main(["sweep", str(plan), "--out", str(out), "--jobs", "1", *options])
    return code, capsys.readouterr()


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_the_plans_that_come_with_it_are_plans(path):
    plan = load_plan(path)
    assert plan.trials
    assert plan.name == path.stem


def test_a_plan_runs_once_and_what_it_grew_by_later(plan, capsys):
    code, printed = sweep(plan, capsys)
    assert code == 0
    path = plan.parent / "study" / "study.sqlite"
    line = "small: 4 trials, 4 done (0 of them before), 0 failed; kept in"
    assert printed.out.strip() == f"{line} {path}"
    told = [line for line in printed.err.splitlines() if re.match(r"\d of 4: ", line)]
    assert [line.partition(";")[0] for line in told] == [
        "1 of 4: erm, seed 0",
        "2 of 4: gap, λ=0.5, seed 0",
        "3 of 4: erm, seed 1",
        "4 of 4: gap, λ=0.5, seed 1",
    ]
    assert [bool(re.search(r"; about \d+ (s|min) left$", line)) for line in told] == [1, 1, 1, 0]
    code, printed = sweep(plan, capsys, "--json")
    found = json.loads(printed.out)
    assert (code, found["trials"], found["done"], found["skipped"]) == (0, 4, 4, 4)
    assert (found["name"], found["assumed"], found["failed"]) == ("small", ["all of it"], [])
    assert found["ledger"] == str(path)
    plan.write_text(PLAN.format(seeds=3))
    code, printed = sweep(plan, capsys, "--json")
    assert (json.loads(printed.out)["trials"], json.loads(printed.out)["skipped"]) == (6, 4)
    assert (plan.parent / "study" / "plan.toml").read_text() == plan.read_text()
    with Ledger(path, create=False) as ledger:
        assert {record.spec for record in ledger.records()} == set(load_plan(plan).trials)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_the_records_are_exported_by_epoch_and_by_trial(plan, capsys, ending):
    sweep(plan, capsys)
    study, file = plan.parent / "study", plan.parent / f"table.{ending}"
    read = pd.read_csv if ending == "csv" else pd.read_parquet
    with Ledger(study / "study.sqlite", create=False) as ledger:
        records = {record.hash: record for record in ledger.records()}
    assert main(["export", str(study), "--out", str(file)]) == 0
    table = read(file)
    assert len(table) == 4 * 2
    for _, row in table.iterrows():
        record = records[row["hash"]]
        epoch = record.history[row["epoch"]]
        assert (row["dataset"], row["method"]) == ("german", record.spec.method)
        assert (row["seed"], row["loss"]) == (record.spec.seed, "batch_mean")
        assert row["training_loss"] == pytest.approx(epoch.loss, nan_ok=True)
        for name, value in epoch.test.items():
            assert row[f"test_{name}"] == pytest.approx(value, nan_ok=True)
        total = epoch.similarity_total("parameter")
        assert row["similarity_parameter"] == pytest.approx(total, nan_ok=True)
    options = ["--per", "trial", "--select", "highest_ap", "--warmup", "0"]
    assert main(["export", str(study), "--out", str(file), *options]) == 0
    table = read(file)
    chosen = [
        Selection("highest_ap", 0).choose(records[h].history, "demographic_parity").epoch
        for h in table["hash"]
    ]
    assert np.array_equal(table["epoch"], chosen)
    assert set(table["selection"]) == {"highest AP"}


def corrupt(plan):
    path = plan.parent / "study" / "study.sqlite"
    path.parent.mkdir()
    path.write_bytes(b"SQLite format 3\x00" + bytes(5000))


@pytest.mark.parametrize(
    ("prepare", "options", "message"),
    [
        (lambda plan: plan.write_text("sede = 1"), [], "plan.toml: unknown key 'sede'"),
        (lambda plan: plan.unlink(), [], "plan.toml: the plan can't be read: No such file"),
        (
            lambda plan: plan.write_text(PLAN.format(seeds=2).replace("epochs = 2", "epochs = 0")),
            [],
            "plan.toml: defaults: epochs: expected a whole number from 1 up, got 0",
        ),
        (
            lambda plan: plan.write_text(PLAN.format(seeds=2) + 'sensitive = "height"'),
            [],
            "plan.toml: ",
        ),
        (corrupt, [], "study.sqlite: not a study of dralign, or damaged"),
        (lambda plan: None, ["--dask", "here"], "dask: expected 'local' or an address"),
        (lambda plan: None, ["--dask", "tcp://h:1"], "jobs: a running Dask cluster has its own"),
    ],
)
def test_trouble_is_one_clear_line(plan, capsys, prepare, options, message):
    prepare(plan)
    code, printed = sweep(plan, capsys, *options)
    lines = [line for line in printed.err.splitlines() if not line.startswith("warning:")]
    assert (code, len(lines), printed.out) == (2, 1, "")
    assert lines[0].startswith("dralign: error: ")
    assert message in lines[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "table.xlsx"], "--out: expected a .parquet or .csv file, got 'table.xlsx'"),
        (["--out", "t.csv", "--per", "seed"], "unknown kind of row 'seed'; known: epoch, trial"),
    ],
)
def test_an_export_that_can_not_be_made_is_one_clear_line(plan, capsys, options, message):
    sweep(plan, capsys)
    code = main(["export", str(plan.parent / "study"), *options])
    assert (code, message in capsys.readouterr().err) == (2, True)
    assert main(["export", str(plan.parent / "none"), "--out", "t.csv"]) == 2
    assert "no study at" in capsys.readouterr().err


def test_ctrl_c_ends_with_130_and_says_what_is_kept_and_how_to_continue(plan):
    plan.write_text(PLAN.format(seeds=500))
    out = plan.parent / "study"
    command = [
        sys.executable,
        "-m",
        "dralign",
        "sweep",
        str(plan),
        "--out",
        str(out),
        "--jobs",
        "2",
    ]
    process = interrupts.start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if line.startswith("5 of 1000"):
            break
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    *_, kept, last = errors.splitlines()
    with Ledger(out / "study.sqlite", create=False) as ledger:
        count = len(ledger.done_hashes())
    assert kept == f"{count} of 1000 trials are kept in {out / 'study.sqlite'}"
    assert (
        last == "dralign: error: interrupted; finished trials are kept, the same command continues"
    )
    assert "Traceback" not in errors


@pytest.mark.parametrize("command", ["sweep", "compare"])
def test_a_study_is_made_in_a_folder_not_under_the_name_of_a_ledger(plan, capsys, command):
    out = plan.parent / "study.sqlite"
    what = str(plan) if command == "sweep" else "german"
    assert main([command, what, "--out", str(out)]) == 2
    line = f"dralign: error: --out: expected the folder of a study, got the name of a ledger, {out}"
    assert capsys.readouterr().err == f"{line}\n"
    assert not out.exists()


def test_a_second_sweep_on_a_folder_is_refused_and_leaves_its_plan_alone(plan, capsys):
    assert sweep(plan, capsys)[0] == 0
    folder = plan.parent / "study"
    before = plan.read_text()
    plan.write_text(PLAN.format(seeds=3))
    with Ledger(ledger_path(folder)) as first, only_writer(first):
        code, printed = sweep(plan, capsys)
    assert code == 2
    assert "study.sqlite: another sweep is writing this study; let it end\n" in printed.err
    assert (folder / "plan.toml").read_text() == before


def test_the_plan_that_is_kept_is_the_one_that_ran(plan, capsys, monkeypatch):
    before = plan.read_bytes()
    check = dralign.study.trial.check_trials

    def check_while_it_is_edited(specs):
        check(specs)
        plan.write_text(PLAN.format(seeds=3))

    monkeypatch.setattr("dralign.study.trial.check_trials", check_while_it_is_edited)
    assert sweep(plan, capsys)[0] == 0
    assert (plan.parent / "study" / "plan.toml").read_bytes() == before


def test_a_trial_over_the_time_limit_is_a_failed_one(plan, capsys):
    plan.write_text(
        PLAN.format(seeds=1)
        .replace("epochs = 2", "epochs = 100000")
        .replace('["erm", "gap"]\nfairness_weight = 0.5', '"erm"')
    )
    code, printed = sweep(plan, capsys, "--trial-timeout", "3", "--json")
    (failed,) = json.loads(printed.out)["failed"]
    assert code == 1
    assert failed["error"] == "took longer than the time limit of 3 s for a trial, and was ended"
