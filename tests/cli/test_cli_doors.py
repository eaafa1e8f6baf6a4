"""What the commands do can be done from Python, in the same steps and with the same figures."""

import json
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch

import records as made_up
from dralign import auditing
from dralign.artifact import load_artifact, save_artifact, score_table
from dralign.cli import main
from dralign.cli.console import tell_failures
from dralign.data import DataSource
from dralign.errors import DralignWarning, ModelError, OptionError
from dralign.study import (
    TrialSpec,
    compared_trials,
    load_plan,
    methods_for,
    train_network,
)
from dralign.study.plan import MOST_TRIALS

SHORT = {"epochs": 2, "iterations": 5, "hidden": 8, "batch_size": 20}
OPTIONS = [
    word for name, value in SHORT.items() for word in ("--" + name.replace("_", "-"), str(value))
]
COLUMNS = {"label": "loan", "positive": "granted", "sensitive": ("region",)}
FEW = {"n_splits": 20, "n_bootstrap": 20}


def people(n: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    income = rng.normal(30, 10, n).round(2)
    return pd.DataFrame(
        {
            "income": income,
            "region": rng.choice(["north", "south"], n),
            "age": rng.permutation(n),
            "loan": np.where(income + rng.normal(0, 5, n) > 30, "granted", "refused"),
        }
    )


@pytest.fixture
def table(tmp_path, monkeypatch):
    """The path of a table in the current folder."""
    monkeypatch.chdir(tmp_path)
    people().to_csv("people.csv", index=False)
    return "people.csv"


def without_times(form):
    """An audit as JSON, but for its times."""
    form = json.loads(json.dumps(form))
    del form["provenance"]["seconds"]
    return form


def test_a_network_is_trained_saved_scored_and_audited_as_by_the_commands(table, capsys):
    source = DataSource(table, **COLUMNS)
    trained = train_network(TrialSpec(source, "gap", seed=1, **SHORT))
    save_artifact(trained.artifact, "ours")
    command = ["train", table, "--label", "loan", "--positive", "granted", "--sensitive", "region"]
    command += ["--method", "gap", "--seed", "1", "--out", "theirs", *OPTIONS]
    assert main(command) == 0
    network, other = load_artifact("ours"), load_artifact("theirs")
    assert all(map(torch.equal, network.model.parameters(), other.model.parameters()))
    assert network.training["test"] == other.training["test"] == trained.chosen.test

    assert main(["predict", "theirs", table, "--out", "scores.csv"]) == 0
    pd.testing.assert_frame_equal(
        score_table(network, people()), pd.read_csv("scores.csv"), check_dtype=False
    )
    capsys.readouterr()
    few = ["--splits", "20", "--bootstrap", "20", "--rows", "150"]
    assert main(["audit", "theirs", table, "--json", *few]) == 0
    ours = auditing.artifact_case("theirs", table).drawn(150).audit(**FEW)
    assert without_times(ours.to_dict()) == without_times(json.loads(capsys.readouterr().out))


def test_a_network_of_ones_own_is_given_the_columns_of_numbers(table):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1))
    case = auditing.network_case(model, table, **COLUMNS)
    frame = people()
    assert case.columns == ("income", "age")
    assert case.title == "Audit of Sequential on people.csv"
    expected = torch.tensor(frame[["income", "age"]].to_numpy(np.float32))
    assert torch.equal(case.x, expected)
    assert case.label.tolist() == (frame["loan"] == "granted").astype(int).tolist()
    assert [case.groups.names[code] for code in case.groups.codes] == frame["region"].tolist()
    direct = auditing.audit(
        model,
        expected,
        label=case.label,
        sensitive_features=frame["region"].tolist(),
        meaning=auditing.Meaning(positive="granted", inputs=("income", "age")),
        **FEW,
    )
    assert without_times(case.audit(**FEW).to_dict()) == without_times(direct.to_dict())


def test_rows_are_drawn_without_repetition_in_their_order_and_anew_by_seed(table):
    case = auditing.network_case(torch.nn.Linear(2, 1), table, **COLUMNS)
    first, again, other = (case.drawn(50, seed=seed).x for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    position = {tuple(row): index for index, row in enumerate(case.x.tolist())}
    drawn = [position[tuple(row)] for row in first.tolist()]
    assert drawn == sorted(set(drawn))
    assert len(drawn) == 50
    assert case.drawn(1000).x is not case.x
    assert torch.equal(case.drawn(1000).x, case.x)
    with pytest.raises(OptionError, match="rows: expected at least 1, got 0"):
        case.drawn(0)


def test_a_table_of_scores_warns_where_all_rows_are_decided_alike(table):
    trained = train_network(TrialSpec(DataSource(table, **COLUMNS), "erm", **SHORT))
    with torch.no_grad():
        trained.artifact.model[-1].bias += 100
    with pytest.warns(DralignWarning, match="hardly tells them apart"):
        scores = score_table(trained.artifact, people())
    assert scores["decision"].tolist() == [1] * 200


def test_a_file_of_weights_that_is_not_there_is_found_out_before_training(table, tmp_path):
    with pytest.raises(ModelError, match=r"none\.pt: No such file"):
        train_network(
            TrialSpec(DataSource(table, **COLUMNS), "erm"), pretrained=tmp_path / "none.pt"
        )


def test_a_comparison_crosses_methods_weights_and_seeds_and_drops_what_a_method_does_not_use():
    source = DataSource("german")
    trials = compared_trials(
        source, ("erm", "dralign"), weights=(0.1, 0.2), seeds=2, settings={"layers": 2, "epochs": 3}
    )
    expected = [TrialSpec(source, "erm", epochs=3, seed=seed) for seed in (0, 1)]
    expected += [
        TrialSpec(source, "dralign", fairness_weight=weight, layers=2, epochs=3, seed=seed)
        for weight, seed in product((0.1, 0.2), (0, 1))
    ]
    assert trials == expected


def test_weights_that_can_be_read_once_are_those_of_every_method():
    trials = compared_trials(
        DataSource("german"), ("gap", "dralign"), weights=map(float, ("0.1", "0.2")), seeds=1
    )
    assert [(trial.method, trial.fairness_weight) for trial in trials] == [
        *product(("gap", "dralign"), (0.1, 0.2))
    ]


def test_under_a_gap_bound_there_are_no_weights_and_methods_without_one_go_without_the_bound():
    source = DataSource("german")
    trials = compared_trials(source, ("erm", "gap"), seeds=1, settings={"gap_bound": 0.1})
    assert trials == [TrialSpec(source, "erm"), TrialSpec(source, "gap", gap_bound=0.1)]
    with pytest.raises(OptionError, match="seeds: expected at least 1, got 0"):
        compared_trials(source, ("erm",), seeds=0)
    with pytest.raises(OptionError, match="weights and gap_bound: the bound finds the weight"):
        compared_trials(source, ("gap",), weights=(0.1,), settings={"gap_bound": 0.1})


@pytest.mark.parametrize(
    ("methods", "given", "message"),
    [
        (
            ("erm",),
            {"settings": {"alignment_weight": 0.5}},
            r"alignment_weight: .*\(erm\), got 0.5",
        ),
        (("erm", "gap"), {"settings": {"layers": 2}}, r"layers: .*\(erm, gap\), got 2"),
        (("erm", "oversample"), {"weights": (0.1, 0.3)}, r"weights: .* \(erm, oversample\)"),
        (("erm",), {"settings": {"gap_bound": 0.1}}, r"gap_bound: not used by the methods given"),
        ((), {}, r"methods: expected at least one, got none"),
        (("erm", "gap"), {"weights": []}, r"weights: expected at least one, got none"),
        # It has the setting, but not beside the other one.
        (
            ("dralign",),
            {"settings": {"penalty": "gap", "mixup_layer": "0"}},
            r"mixup_layer: not used by the methods given \(dralign\)",
        ),
    ],
)
def test_what_no_method_of_a_comparison_uses_is_refused(methods, given, message):
    with pytest.raises(OptionError, match=message):
        compared_trials(DataSource("german"), methods, seeds=1, **given)


def test_the_value_of_a_trial_that_does_not_use_a_setting_asks_for_nothing():
    plain = compared_trials(DataSource("german"), ("erm",), seeds=1)
    given = {"alignment_weight": 0, "gap_bound": None}
    assert compared_trials(DataSource("german"), ("erm",), seeds=1, settings=given) == plain


def test_methods_are_listed_by_the_gap_and_the_classes_they_support():
    assert "thresholds" in methods_for("demographic_parity")
    assert "thresholds" not in methods_for("predictive_parity")
    assert "gap" in methods_for("demographic_parity", n_classes=3)
    assert "thresholds" not in methods_for("demographic_parity", n_classes=3)


PLAN = """
name = "many"
[defaults]
dataset = "german"
[[trials]]
method = "erm"
seeds = {n}
"""


def test_a_plan_may_ask_for_as_many_trials_as_the_help_says(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["sweep", "--help"]) == 0
    assert f"{MOST_TRIALS:,} if not given" in capsys.readouterr().out
    path = tmp_path / "plan.toml"
    path.write_text(PLAN.format(n=MOST_TRIALS + 1))
    with pytest.raises(OptionError, match=f"more than {MOST_TRIALS:,}"):
        load_plan(path)


def test_the_help_of_report_names_every_file_it_can_write(capsys, monkeypatch):
    from dralign.report.outputs import FILES

    monkeypatch.setenv("COLUMNS", "200")
    assert main(["report", "--help"]) == 0
    assert f"Some of {','.join(FILES)}, with commas" in capsys.readouterr().out


def test_of_many_failed_trials_ten_are_told_with_their_reasons(capsys):
    specs = [TrialSpec(DataSource("german"), "gap", seed=seed) for seed in range(12)]
    records = [
        replace(record, status="failed", error="bad \x1b[31mluck", history=())
        for record in made_up.records(specs)
    ]
    assert len(tell_failures(records)) == 12
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 11
    assert lines[0].startswith("failed: gap, λ=0.2, seed 0: bad ")
    assert "\x1b" not in "".join(lines)
    assert lines[-1] == "failed: 2 more"
