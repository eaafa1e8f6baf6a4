"""``dralign front``: the trade-off at once, as a table and a figure, and a network of it."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from dralign.artifact import load_artifact, score_table
from dralign.cli import main
from dralign.data import DataSource
from dralign.errors import OptionError
from dralign.metrics import evaluate
from dralign.study import TrialSpec
from dralign.study.front import train_trial_front

OPTIONS = ["--label", "loan", "--positive", "granted", "--sensitive", "region"]
SHORT = ["--epochs", "2", "--iterations", "5", "--hidden", "8", "--batch-size", "20"]
COMMAND = ["front", "people.csv", *OPTIONS, *SHORT, "--weights", "0,0.2,0.6"]


@pytest.fixture(autouse=True)
def table(tmp_path, monkeypatch):
    """A table in the current folder."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    region = rng.choice(["north", "south"], 400)
    income = rng.normal(30, 10, 400).round(2) + 5 * (region == "north")
    loan = np.where(income + rng.normal(0, 5, 400) > 30, "granted", "refused")
    frame = pd.DataFrame({"income": income, "age": rng.permutation(400), "region": region})
    frame.assign(loan=loan).to_csv("people.csv", index=False)
    return frame.assign(loan=loan)


def test_the_saved_network_is_that_of_the_recommended_point(table, capsys):
    assert main([*COMMAND, "--max-gap", "0.3", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [point["weight"] for point in told["points"]] == [0, 0.2, 0.6]
    assert set(told["files"]) == {"net", "md", "png"}
    network = load_artifact(told["files"]["net"])
    assert network.training["trial"]["fairness_weight"] == told["chosen"]
    assert network.training["front"] == {"weights": [0, 0.2, 0.6]}
    chosen = next(point for point in told["points"] if point["weight"] == told["chosen"])
    assert network.training["test"] == chosen["test"]
    # The validation rows decide: the highest AP among those that keep the gap.
    kept = [
        point
        for point in told["points"]
        if point["validation"]["base_rate_demographic_parity"] <= 0.3
    ]
    best = max(kept, key=lambda point: point["validation"]["average_precision"])
    assert best["weight"] == told["chosen"]
    score_table(network, table)


def test_intervals_are_of_the_test_rows_and_hold_the_figures():
    spec = TrialSpec(
        DataSource("people.csv", label="loan", positive="granted", sensitive=("region",)),
        "gap", fairness_weight=0.0, epochs=2, iterations=5, hidden=8, batch_size=20,
    )  # fmt: skip
    trained = train_trial_front(spec, (0.0, 0.5))
    data = spec.data.load(0)
    for index, point in enumerate(trained.points):
        network = trained.network(index, threshold=0.5, remember_rows=True).artifact
        with torch.inference_mode():
            prob = network.model(data.test.x).squeeze(1).sigmoid()
        figures = evaluate(data.test.y.numpy(), prob.numpy(), data.test.group.numpy(), n_groups=2)
        for name, key in (
            ("average_precision", "average_precision"),
            ("base_rate", "base_rate_demographic_parity"),
        ):
            low, high = trained.intervals[index][name]
            assert point.record.test[key] == pytest.approx(figures[key], abs=1e-6)
            assert low <= figures[key] <= high
            assert low < high


@pytest.mark.parametrize(
    ("given", "expected"), [({}, [0.0, 0.05]), ({"alignment_weight": 0.03}, [0.03] * 2)]
)
def test_beta_is_a_tenth_of_each_weight_unless_it_is_given(given, expected):
    source = DataSource("people.csv", label="loan", positive="granted", sensitive=("region",))
    short = {"epochs": 1, "iterations": 2, "hidden": 8, "batch_size": 20}
    trained = train_trial_front(TrialSpec(source, "dralign", **short, **given), (0.0, 0.5))
    for index, beta in enumerate(expected):
        saved = trained.network(index, threshold=0.5, remember_rows=False).artifact.training
        assert saved["trial"]["alignment_weight"] == pytest.approx(beta)


def test_the_networks_of_a_front_have_each_the_weights_of_its_own_point():
    source = DataSource("people.csv", label="loan", positive="granted", sensitive=("region",))
    short = {"epochs": 1, "iterations": 5, "hidden": 8, "batch_size": 20}
    trained = train_trial_front(TrialSpec(source, "gap", **short), (0.0, 5.0))
    networks = [trained.network(i, threshold=0.5, remember_rows=False) for i in (0, 1)]
    for point, network in zip(trained.points, networks, strict=True):
        own = network.artifact.model.state_dict()
        assert all(torch.equal(own[name], kept) for name, kept in point.state.items())
    first, second = (point.state for point in trained.points)
    assert not all(torch.equal(first[name], second[name]) for name in first)


def test_a_further_point_is_told_of_by_its_own_rule_which_leaves_no_epoch_out():
    source = DataSource("people.csv", label="loan", positive="granted", sensitive=("region",))
    short = {"epochs": 10, "iterations": 1, "hidden": 8, "batch_size": 20}
    trained = train_trial_front(TrialSpec(source, "gap", **short), (0.0, 0.5))
    told = [
        trained.network(index, threshold=0.5, remember_rows=False).artifact.training["selection"]
        for index in (0, 1)
    ]
    assert told == ["smallest base-rate gap, first 1 left out", "smallest base-rate gap"]


def test_table_sentence_and_groups_are_printed_and_the_folder_has_its_default(capsys):
    assert main(COMMAND) == 0
    out, err = capsys.readouterr()
    assert "base-rate gap" in out
    assert "*" in out
    assert "Recommended: λ" in err
    assert "group north" in err
    assert "written: fronts/people-demographic_parity/net" in err
    assert "| λ | AP | base-rate gap |" in (
        Path("fronts/people-demographic_parity/front.md").read_text()
    )


def test_a_gap_that_no_weight_keeps_is_said(capsys):
    assert main([*COMMAND, "--max-gap", "0"]) == 0
    assert "NO weight keeps the base-rate gap at 0" in capsys.readouterr().err


def test_of_a_single_weight_no_front_and_no_reason_is_claimed(capsys):
    assert main([*COMMAND[:-1], "0.2"]) == 0
    out, err = capsys.readouterr()
    assert "Recommended: λ 0.2, the only weight. On the test rows" in err
    assert "gap, trained. Figures" in " ".join(out.split())


def test_what_is_undefined_of_three_classes_is_a_dash(table, capsys):
    level = np.select([table.income > 35, table.income > 30], ["high", "middle"], "low")
    table.assign(loan=level).to_csv("levels.csv", index=False)
    short = [*SHORT, "--weights", "0,0.2"]
    assert main(["front", "levels.csv", "--label", "loan", "--sensitive", "region", *short]) == 0
    told = Path("fronts/levels-demographic_parity/front.md").read_text()
    assert "mean score" in told
    assert "| – |" in told
    assert "nan" not in told + capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (["--method", "erm"], "--method: erm has no fairness weight, so it has no front"),
        (["--method", "plugin"], "--method: plugin has its whole front from one network"),
        (["--gap-bound", "0.1"], "--gap-bound: finds one weight, and a front has many"),
        (["--weights", "0,0"], "--weights: expected different numbers from 0 up"),
        (["--weights", "0.2,nan"], "--weights: expected different numbers from 0 up"),
        (["--weights", "inf"], "--weights: expected different numbers from 0 up"),
        (["--out", "people.csv"], "--out: people.csv is a file; give the name of a folder"),
        (["--weights", "a"], "--weights: expected numbers with commas"),
        (["--max-gap", "-1"], "--max-gap: expected a number from 0 up, got -1"),
        (["--threshold", "7"], "--threshold"),
        (
            ["--max-gap", "0.1", "--measure", "hard", "--threshold", "base-rate"],
            "--threshold: a bound on the hard gap holds for decisions from 0.5 on, not from",
        ),
        (
            ["--select=highest_ap_under_bound", "--bound=0.1", "--measure=hard", "--threshold=0.4"],
            "--threshold: a bound on the hard gap holds for decisions from 0.5 on, not from 0.4",
        ),
        (["--fairness-weight", "1"], "No such option"),
    ],
)
def test_what_makes_no_front_is_refused_before_the_first_step(more, line, capsys, tmp_path):
    assert main([*COMMAND, *more]) == 2
    err = capsys.readouterr().err
    assert line in err
    assert "epoch" not in err.replace("--epochs", "")
    assert not (tmp_path / "fronts").exists()


def test_a_method_without_a_weight_is_refused_from_python_too():
    source = DataSource("people.csv", label="loan", positive="granted", sensitive=("region",))
    with pytest.raises(OptionError, match="method: oversample has no fairness weight"):
        train_trial_front(TrialSpec(source, "oversample"), (0.0, 0.2))


def test_a_folder_that_holds_something_else_is_left_alone(capsys, tmp_path):
    (tmp_path / "mine" / "net").mkdir(parents=True)
    (tmp_path / "mine" / "net" / "letter.txt").write_text("dear")
    assert main([*COMMAND, "--out", "mine"]) == 2
    assert "mine/net" in capsys.readouterr().err
    assert (tmp_path / "mine" / "net" / "letter.txt").read_text() == "dear"
