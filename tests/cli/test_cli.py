"""The command line as a user meets it: files in, results out, one clear line for mistakes."""

import io
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from dralign.artifact import load_artifact
from dralign.cli import main
from dralign.methods import method_names

QUICK = ["--epochs", "2", "--iterations", "10", "--hidden", "8", "--batch-size", "20"]


NAMES = ["islands", "north", "south"]


def table(n: int = 240) -> pd.DataFrame:
    """People with text, missing values, three groups and a label of words."""
    rng = np.random.default_rng(0)
    region = rng.choice(["north", "south", "islands"], n)
    income = rng.normal(30, 10, n) + 5 * (region == "north")
    return pd.DataFrame(
        {
            "name": [f"person {i}" for i in range(n)],
            "region": np.where(rng.random(n) < 0.05, None, region),
            "income": np.where(rng.random(n) < 0.1, np.nan, income.round(1)),
            "job": rng.choice(["clerk", "nurse", "smith", None], n),
            "member": rng.random(n) < 0.5,
            "loan": np.where(income + rng.normal(0, 5, n) > 32, "granted", "refused"),
        }
    )


@pytest.fixture
def people(tmp_path) -> Path:
    path = tmp_path / "people.csv"
    table().to_csv(path, index=False)
    return path


def own(people: Path, **changes: str) -> list[str]:
    options = {"--label": "loan", "--positive": "granted", "--sensitive": "region"} | changes
    return [str(people), *(word for pair in options.items() for word in pair if pair[1])]


def failure(arguments: list[str], capsys) -> str:
    """Runs a command that must fail with exit code 2; the line of its error.

    It is the last of all and the only one, but for warnings and what is said of the data.
    """
    assert main(arguments) == 2
    captured = capsys.readouterr()
    *before, last = captured.err.splitlines()
    told = ("warning: ", "people.csv: ", "missing values: ", "label ", "groups by ", "split: ")
    assert all(line.startswith(told) for line in before), captured.err
    assert last.startswith("dralign: error: ")
    assert not captured.out
    return last.removeprefix("dralign: error: ")


def test_compare_on_a_users_table_ends_in_table_figure_and_report(people, tmp_path, capsys):
    out = tmp_path / "study"
    command = ["compare", *own(people), "--out", str(out), "--seeds", "2", "--jobs", "1", *QUICK]
    assert main([*command, "--weights", "0.3"]) == 0
    shown = capsys.readouterr()
    for name in ("erm", "oversample", "gap", "dralign"):
        assert name in shown.out
    assert (out / "tradeoff.png").read_bytes().startswith(b"\x89PNG")
    assert "<script" in (out / "report.html").read_text()
    assert (out / "table.md").read_text().count("\n| ") >= 4
    assert "'name' (144 different texts)" in shown.err
    assert main([*command, "--weights", "0.3,0.6", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [
        (row["trial"]["method"], row["trial"].get("fairness_weight")) for row in result["rows"]
    ] == [
        ("erm", None),
        ("oversample", None),
        ("gap", 0.3),
        ("gap", 0.6),
        ("dralign", 0.3),
        ("dralign", 0.6),
    ]
    assert all(row["figures"]["average_precision"]["n"] == 2 for row in result["rows"])


def test_compare_says_how_to_train_the_setting_it_names_and_how_groups_fare(
    people, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    command = ["compare", *own(people), "--out", "study", "--seeds=1", "--jobs", "1", *QUICK]
    command += ["--methods", "erm,dralign", "--weights", "0.3", "--layers", "1"]
    assert main(command) == 0
    shown = capsys.readouterr()
    [line] = [line for line in shown.err.splitlines() if line.startswith("to train and keep it: ")]
    told = [line.strip() for line in shown.err.splitlines() if line.startswith("  group ")]
    assert [line.split(":")[0] for line in told] == [f"group {g}" for g in sorted(NAMES)]
    page = (tmp_path / "study" / "report.html").read_text()
    assert re.search(r"<h2>The groups at (erm|dralign λ 0.3, β 0.03), seed 0</h2>", page)
    [every] = re.findall(
        r"<summary>The groups at every setting</summary>.*?</details>", page, re.DOTALL
    )
    head, *lines = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in every.split("<tr")[1:]]
    told = pd.DataFrame(lines, columns=head)
    settings = ["erm, seed 0", "dralign λ 0.3, β 0.03, seed 0"]
    assert list(zip(told["setting"], told["group"], strict=True)) == [
        (setting, group) for setting in settings for group in sorted(NAMES)
    ]
    assert main([*command, "--json"]) == 0
    [best] = json.loads(capsys.readouterr().out)["best"]
    named = told[told["setting"] == f"{best['name']}, seed 0"]
    for key, name in (("rows", "test rows"), ("selection_rate", "selected")):
        assert list(named[name].astype(float)) == pytest.approx(
            [one[key] for one in best["groups"]], abs=5e-4
        )
    rates = [one["positives"] / one["rows"] for one in best["groups"]]
    assert list(named["base rate"].astype(float)) == pytest.approx(rates, abs=5e-4)
    words = shlex.split(best["command"])
    assert line.endswith(best["command"])
    assert ("--layers" in words) == (best["spec"]["method"] == "dralign")
    assert main([*words[1:], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["groups"] == best["groups"]


@pytest.mark.parametrize("settings", [["--weights", "0.3"], ["--gap-bound", "0.01"]])
def test_compare_keeps_the_network_that_its_printed_command_trains(
    settings, people, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    command = ["compare", *own(people), "--out", "study", "--seeds=1", "--jobs", "1", *QUICK]
    command += ["--methods", "erm,gap", *settings, "--save", "best"]
    assert main(command) == 0
    err = capsys.readouterr().err.splitlines()
    [line] = [line for line in err if line.startswith("to train and keep it: ")]
    [kept] = [line for line in err if line.startswith(f"written: {Path('study', 'best')}")]
    assert re.fullmatch(r".*, the network of (erm|gap( λ 0\.3)?), seed 0", kept)
    assert main([*shlex.split(line.partition(": ")[2])[1:]]) == 0
    ours, theirs = (load_artifact(folder) for folder in (Path("study", "best"), Path("net")))
    assert torch.equal(ours.predict_proba(table()), theirs.predict_proba(table()))
    assert ours.training["test"] == theirs.training["test"]
    assert ours.training["overview"] == theirs.training["overview"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--save", "worst"], "unknown network for --save 'worst'; known: best"),
        (["--save", "best", "--methods", "gap"], "--save: the best setting is told beside erm"),
        (["--save", "best", "--methods", "erm"], "--save: the best setting is told beside erm"),
        (["--save", "best"], "best: exists and is not a saved network; choose another folder"),
    ],
)
def test_a_network_that_compare_can_not_keep_is_refused_before_the_trials(
    options, message, people, tmp_path, capsys
):
    other = tmp_path / "study" / "best" / "notes.txt"
    other.parent.mkdir(parents=True)
    other.write_text("mine")
    command = ["compare", *own(people), "--out", str(tmp_path / "study"), *QUICK]
    assert message in failure([*command, *options], capsys)
    assert not (tmp_path / "study" / "study.sqlite").exists()
    assert other.read_text() == "mine"


def test_compare_without_a_verdict_says_that_it_keeps_no_network(people, tmp_path, capsys):
    test = tmp_path / "test.csv"
    rows = table()
    rows[rows["loan"] == "refused"].to_csv(test, index=False)  # there is no precision of these
    command = ["compare", *own(people), "--test", str(test), "--methods", "erm,gap"]
    command += ["--out", str(tmp_path / "study"), "--seeds=1", "--jobs", "1", *QUICK]
    assert main([*command, "--save", "best"]) == 1
    assert "--save: nothing is kept, as no verdict names a setting" in capsys.readouterr().err
    assert not (tmp_path / "study" / "best").exists()


@pytest.mark.parametrize(
    ("gap", "left_out"),
    [
        ("demographic_parity", set()),
        (
            "predictive_parity",
            {
                "mixup",
                "adversarial",
                "plugin",
                "thresholds",
                "prejudice_remover",
                "hsic",
                "fairbatch",
            },
        ),
    ],
)
def test_all_means_every_method_that_supports_the_gap(gap, left_out, people, tmp_path, capsys):
    command = ["compare", *own(people), "--methods", "all", "--gap", gap, "--weights", "0.1"]
    command += ["--seeds", "1", "--jobs", "1", "--out", str(tmp_path / "study"), "--json", *QUICK]
    assert main(command) == 0
    result = json.loads(capsys.readouterr().out)
    assert {row["trial"]["method"] for row in result["rows"]} == set(method_names()) - left_out
    assert result["failed"] == 0


def test_results_are_the_same_at_any_number_of_processes(people, tmp_path, capsys):
    results = []
    for jobs in ("1", "2"):
        out = str(tmp_path / jobs)
        command = ["compare", *own(people), "--methods", "dralign", "--weights", "0.3", "--json"]
        assert main([*command, "--seeds", "2", "--jobs", jobs, "--out", out, *QUICK]) == 0
        rows = json.loads(capsys.readouterr().out)["rows"]
        for row in rows:
            del row["seconds"]
        results.append(rows)
    assert results[0] == results[1]


def test_trained_network_scores_a_table_without_label_and_groups(people, tmp_path, capsys):
    net, scores = tmp_path / "net", tmp_path / "scores.csv"
    assert main(["train", *own(people), "--out", str(net), *QUICK]) == 0
    capsys.readouterr()
    bare = tmp_path / "bare.csv"
    table(50).drop(columns=["loan", "region", "name"]).to_csv(bare, index=False)
    assert main(["predict", str(net), str(bare), "--out", str(scores)]) == 0
    result = pd.read_csv(scores)
    assert list(result.columns) == ["probability", "decision"]
    assert len(result) == 50
    assert result["probability"].between(0, 1).all()
    assert (result["decision"] == (result["probability"] >= 0.5)).all()
    capsys.readouterr()
    assert main(["predict", str(net), str(bare)]) == 0
    assert capsys.readouterr().out == scores.read_text()
    limit = float(result["probability"].median())
    assert main(["predict", str(net), str(bare), "--threshold", str(limit)]) == 0
    other = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert (other["decision"] == (other["probability"] >= limit)).all()
    assert 25 <= other["decision"].sum() < 50
    message = failure(["predict", str(net), str(bare), "--threshold", "1.5"], capsys)
    assert "threshold: expected a number from 0 to 1, got 1.5" in message


def test_compare_under_a_gap_bound_shows_lambda_and_whether_it_was_met(people, tmp_path, capsys):
    out = tmp_path / "study"
    command = ["compare", *own(people), "--methods", "erm,gap,dralign", "--gap-bound", "0.6"]
    command += ["--penalty", "mixup", "--seeds", "2", "--jobs", "1", "--out", str(out)]
    assert main([*command, "--json", *QUICK]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    shown = [(row["trial"]["method"], row["trial"]["gap_bound"]) for row in rows]
    assert shown == [("erm", None), ("gap", 0.6), ("dralign", 0.6)]
    assert [row["trial"].get("penalty") for row in rows] == [None, None, "mixup"]
    assert [row["bound_met"] for row in rows] == [2, 2, 2]
    assert [row["found_weight"] is None for row in rows] == [True, False, False]
    expected = "highest AP with a base-rate gap of at most 0.6, first 1 left out"
    assert {row["selection"] for row in rows} == {expected}
    table = (out / "table.md").read_text()
    assert "| bound met |" in table
    assert "| 2 of 2 |" in table


def test_train_under_a_gap_bound_tells_whether_it_was_met(people, tmp_path, capsys):
    command = ["train", *own(people), "--out", str(tmp_path / "net"), *QUICK]
    assert main([*command, "--gap-bound", "0.000001"]) == 0
    assert "gap bound 1e-06 on the validation rows: NOT met, λ" in capsys.readouterr().err
    assert main([*command, "--gap-bound", "0.9", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["bound_met"] is True
    assert result["found_weight"] == 0


def test_train_refuses_a_bound_on_decisions_from_another_threshold_on(people, tmp_path, capsys):
    command = ["train", *own(people), "--method", "gap", "--gap-bound", "0.05", *QUICK]
    hard = [*command, "--measure", "hard", "--out", str(tmp_path / "net")]
    message = failure([*hard, "--threshold", "base-rate"], capsys)
    assert "--threshold: a bound on the hard gap holds for decisions from 0.5 on" in message
    assert not (tmp_path / "net").exists()
    assert main(hard) == 0
    assert main([*command, "--threshold", "base-rate", "--out", str(tmp_path / "other")]) == 0


def test_network_with_thresholds_decides_by_the_group_of_each_row(people, tmp_path, capsys):
    net = tmp_path / "net"
    command = ["train", *own(people), "--method", "thresholds", "--out", str(net), *QUICK]
    assert main([*command, "--iterations", "100", "--learning-rate", "0.05"]) == 0
    described = json.loads((net / "artifact.json").read_text())
    limits = dict(zip(described["group_names"], described["thresholds"], strict=True))
    assert set(limits) == {"islands", "north", "south"}
    assert len(set(limits.values())) > 1
    capsys.readouterr()
    assert main(["predict", str(net), str(people), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    region = pd.read_csv(people)["region"]
    expected = [
        int(p >= limits.get(g, 0.5)) for p, g in zip(result["probability"], region, strict=True)
    ]
    assert result["decision"] == expected
    bare = tmp_path / "bare.csv"
    table().drop(columns="region").to_csv(bare, index=False)
    message = failure(["predict", str(net), str(bare)], capsys)
    assert "decides by the group, but the table has no column 'region'" in message
    message = failure(["predict", str(net), str(people), "--threshold", "0.4"], capsys)
    assert "threshold: this network has one for each group" in message


@pytest.mark.parametrize("preparation", ["paper", "standard"])
def test_network_for_a_built_in_dataset_scores_its_raw_table(preparation, tmp_path, capsys):
    from dralign import fetch_german

    net, raw = tmp_path / "net", tmp_path / "german.csv"
    fetch_german().data.to_csv(raw, index=False)
    options = ["--preparation", preparation, "--method", "gap", "--out", str(net)]
    assert main(["train", "german", *options, *QUICK]) == 0
    capsys.readouterr()
    assert main(["predict", str(net), str(raw), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["probability"]) == 1000


BAD_OPTIONS = {
    "method": (["--methods", "erm,magic"], "unknown method 'magic'; known: erm, oversample, gap"),
    "gap": (["--gap", "parity"], "unknown gap 'parity'; known: demographic_parity"),
    "weights": (["--weights", "0.1,x"], "--weights: expected numbers with commas, got '0.1,x'"),
    "negative weight": (["--weights", "-1"], "--weights: expected a number from 0 up"),
    "epochs": (["--epochs", "-3"], "--epochs: expected a whole number from 1 up, got -3"),
    "seeds": (["--seeds", "0"], "--seeds: expected at least 1, got 0"),
    "jobs": (["--jobs", "-2"], "--jobs: expected at least 1, got -2"),
    "seeds of text": (["--seeds", "many"], "--seeds"),
    "no such option": (["--bogus"], "--bogus"),
    "rule": (["--select", "best"], "unknown selection rule 'best'"),
    "bound": (["--bound", "0.1"], "--bound: needed by the rule"),
    "weights beside a bound": (
        ["--gap-bound", "0.1", "--weights", "0.2"],
        "--weights and --gap-bound: the bound finds the weight",
    ),
    "gap bound": (["--gap-bound", "0"], "--gap-bound: expected a positive number, got 0"),
    "several values with a space": (
        ["--weights", "0.1", "0.2"],
        "extra argument(s) (0.2); several values of an option take commas without spaces",
    ),
    "two options": (
        ["--drop", "job", "--keep-columns", "job"],
        "--drop and --keep-columns: both name 'job'",
    ),
    "penalty": (["--penalty", "cutmix"], "unknown penalty 'cutmix'; known: gap, mixup"),
    "mixup layer": (
        ["--penalty", "mixup", "--mixup-layer", "z"],
        "mixup: no layer 'z'; known: 0, 1",
    ),
    "layers": (["--layers", "9"], "the model has 3 layers, got a count of 9"),
    "granularity": (["--granularity", "layer"], "unknown granularity 'layer'"),
}


@pytest.mark.parametrize("case", BAD_OPTIONS)
def test_bad_option_is_one_clear_line(case, people, tmp_path, capsys):
    options, message = BAD_OPTIONS[case]
    out = ["--out", str(tmp_path / "study")]
    assert message in failure(["compare", *own(people), *out, *QUICK, *options], capsys)


def broken(tmp_path: Path, **columns: object) -> Path:
    path = tmp_path / "broken.csv"
    table().assign(**columns).to_csv(path, index=False)
    return path


BAD_DATA = {
    "unknown dataset": (lambda _: ["adults"], "unknown dataset 'adults'; known: adult, german"),
    "no file": (lambda _: ["gone.csv", "--label", "a", "--sensitive", "b"], "gone.csv: no such"),
    "no label given": (lambda p: own(p, **{"--label": ""}), "--label"),
    "no groups given": (lambda p: own(p, **{"--sensitive": ""}), "--sensitive"),
    "unknown label": (lambda p: own(p, **{"--label": "debt"}), "no column 'debt'"),
    "unknown column": (lambda p: own(p, **{"--sensitive": "sex"}), "no column 'sex'"),
    "label of three": (
        lambda p: own(broken(p.parent, loan=["a", "b", "c"] * 80)),
        "no value 'granted'; it has 'a', 'b', 'c'",
    ),
    "label missing": (
        lambda p: own(broken(p.parent, loan=["granted", None, "refused"] * 80)),
        "80 of 240 rows have no value",
    ),
    "one group": (lambda p: own(broken(p.parent, region="north")), "in one group (north)"),
    "no positive": (lambda p: own(p, **{"--positive": ""}), "give it as positive (--positive)"),
    "wrong positive": (lambda p: own(p, **{"--positive": "yes"}), "no value 'yes'"),
}


@pytest.mark.parametrize("command", ["compare", "train"])
@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data_is_one_clear_line(case, command, people, tmp_path, capsys):
    arguments, message = BAD_DATA[case]
    out = ["--out", str(tmp_path / "out")]
    assert message in failure([command, *arguments(people), *out, *QUICK], capsys)
    assert not (tmp_path / "out").exists()


def test_group_without_positives_stops_only_gaps_that_condition_on_the_label(
    people, tmp_path, capsys
):
    frame = table()
    frame.loc[frame["region"] == "north", "loan"] = "refused"
    path = tmp_path / "one-sided.csv"
    frame.to_csv(path, index=False)
    out = str(tmp_path / "net")
    for command in ("train", "compare"):
        message = failure(
            [command, *own(path), "--gap", "equalized_odds", "--out", out, *QUICK], capsys
        )
        assert "group 'north' has no training rows with label 1" in message
    assert main(["train", *own(path), "--out", out, *QUICK]) == 0
    assert "warning: group 'north' has no training rows with label 1" in capsys.readouterr().err


def test_artifact_that_is_not_ours_is_one_clear_line(people, tmp_path, capsys):
    assert "no such folder" in failure(["predict", str(tmp_path / "x"), str(people)], capsys)
    assert "not a saved network" in failure(["predict", str(tmp_path), str(people)], capsys)


def test_study_that_is_not_ours_is_one_clear_line(people, tmp_path, capsys):
    out = tmp_path / "study"
    out.mkdir()
    (out / "study.sqlite").write_text("poetry")
    assert "not a study of dralign" in failure(
        ["compare", *own(people), "--out", str(out), *QUICK], capsys
    )
    assert (out / "study.sqlite").read_text() == "poetry"


def test_interrupted_study_keeps_its_trials_and_continues(people, tmp_path, capsys, monkeypatch):
    from dralign.study import runner

    out = tmp_path / "study"
    command = ["compare", *own(people), "--methods", "erm", "--seeds", "3", "--jobs", "1"]
    command += ["--out", str(out), "--json", *QUICK]
    add, seen = runner.Ledger.add, []

    def interrupt_after_two(self, record):
        add(self, record)
        seen.append(record)
        if len(seen) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(runner.Ledger, "add", interrupt_after_two)
    assert main(command) == 130
    assert "the same command continues" in capsys.readouterr().err
    monkeypatch.setattr(
        runner.Ledger, "add", lambda self, record: (seen.append(record), add(self, record))
    )
    assert main(command) == 0
    assert len(seen) == 3
    assert json.loads(capsys.readouterr().out)["rows"][0]["seeds"] == [0, 1, 2]


def test_another_comparison_in_the_same_folder_says_what_is_not_on_its_page(
    people, tmp_path, capsys
):
    """Its files take the place of those of the first one, whose trials are kept."""
    command = ["compare", *own(people), "--methods", "erm", "--jobs", "1", *QUICK]
    command += ["--out", str(out := tmp_path / "study")]
    assert main([*command, "--seeds", "2"]) == 0
    assert "other trials" not in capsys.readouterr().err
    assert main([*command, "--seeds", "3", "--hidden", "7"]) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert f"{out}: has 2 other trials, which are kept" in told


@pytest.mark.parametrize("command", ["compare", "train", "predict", "audit"])
def test_help_has_an_example(command, capsys):
    assert main([command, "--help"]) == 0
    assert f"dralign {command}" in capsys.readouterr().out


def test_version_and_module_entry_point():
    for command in (["-m", "dralign", "--version"], ["-m", "dralign", "nonsense"]):
        result = subprocess.run(
            [sys.executable, *command], capture_output=True, text=True, check=False
        )
        if "--version" in command:
            assert result.stdout.startswith("dralign ")
            assert result.returncode == 0
        else:
            assert result.returncode == 2
            assert result.stderr.count("\n") == 1
