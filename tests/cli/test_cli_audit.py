"""`dralign audit` as a user meets it: networks of ours and of their own, one line for mistakes."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from dralign.artifact import load_artifact
from dralign.cli import main

QUICK = ["--epochs", "2", "--iterations", "10", "--hidden", "8", "--batch-size", "20"]
FEW = ["--splits", "20", "--bootstrap", "20"]
FACTORY = r"""
from torch import nn

def make():
    return nn.Sequential(nn.Linear(2, 5), nn.ReLU(), nn.Linear(5, 1))

def three():
    return nn.Sequential(nn.Linear(2, 5), nn.ReLU(), nn.Linear(5, 3))

def norm():
    return nn.BatchNorm1d(2)

def broken():
    raise RuntimeError("no such\nthing")

def number():
    return 3
"""


def people(n: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    income, age = rng.normal(30, 10, n), rng.integers(18, 80, n)
    return pd.DataFrame(
        {
            "income": income.round(2),
            "region": rng.choice(["north", "south"], n),
            "age": age,
            "loan": np.where(income + rng.normal(0, 5, n) > 30, "granted", "refused"),
            "class": np.digitize(income, [25, 35]),
        }
    )


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Iterator[Path]:
    """A folder with a table, a module of networks and weights; the current one."""
    monkeypatch.chdir(tmp_path)
    people().to_csv("people.csv", index=False)
    Path("nets.py").write_text(FACTORY)
    generator = torch.Generator().manual_seed(0)
    for name, n_outputs in (("make", 1), ("three", 3)):
        state = {
            "0.weight": torch.randn(5, 2, generator=generator),
            "0.bias": torch.zeros(5),
            "2.weight": torch.randn(n_outputs, 5, generator=generator),
            "2.bias": torch.zeros(n_outputs),
        }
        save_file(state, f"{name}.safetensors")
    save_file({"weight": torch.ones(2), "bias": torch.ones(2), "running_mean": torch.ones(2),
               "running_var": torch.ones(2), "num_batches_tracked": torch.tensor(1)},
              "norm.safetensors")  # fmt: skip
    whole = Path("make.safetensors").read_bytes()
    Path("half.safetensors").write_bytes(whole[: len(whole) // 2])
    yield tmp_path
    sys.modules.pop("nets", None)


def own(factory="nets:make", weights="make.safetensors", table="people.csv", label="loan", **more):
    """The arguments of an audit of a network of one's own."""
    options = {"--model": factory, "--weights": weights, "--label": label, "--sensitive": "region"}
    if label == "loan":
        options["--positive"] = "granted"
    words = [word for pair in (options | more).items() for word in pair if pair[1]]
    return ["audit", table, *FEW, *words]


@pytest.fixture
def net(folder, capsys) -> str:
    """A network trained on the table."""
    train = ["train", "people.csv", "--label", "loan", "--positive", "granted"]
    assert main([*train, "--sensitive", "region", "--out", "net", *QUICK]) == 0
    capsys.readouterr()
    return "net"


def test_an_artifact_is_audited_on_a_table_with_its_own_label_and_groups(net, capsys):
    assert main(["audit", net, "people.csv", "--out", "audit.html", *FEW]) == 0
    shown = capsys.readouterr()
    assert "north" in shown.out
    assert "Findings" in shown.out
    stages = ["group figures", "similarity", "exact influences", "independence", "what-if"]
    told = [line for line in shown.err.splitlines() if line.startswith("audit: ")]
    assert [line for line in told if "%" not in line] == [f"audit: {stage}" for stage in stages]
    assert "written: audit.html" in shown.err
    page = Path("audit.html").read_text()
    assert "Audit of net on people.csv" in page


def test_parts_of_an_audit_are_chosen_with_commas(net, capsys):
    command = ["audit", net, "people.csv", "--json", *FEW, "--parts"]
    assert main([*command, "outcomes, independence"]) == 0
    form = json.loads(capsys.readouterr().out)
    assert form["provenance"]["parts"] == ["outcomes", "independence"]
    assert [*form["provenance"]["seconds"]] == ["group figures", "independence"]
    assert main([*command, "scores"]) == 2
    assert "unknown part of an audit 'scores'; known: outcomes" in capsys.readouterr().err


def test_a_label_that_is_no_good_for_people_is_told_so(net, capsys):
    assert main(["audit", net, "people.csv", "--favourable", "refused", "--json", *FEW]) == 0
    form = json.loads(capsys.readouterr().out)
    assert form["meaning"]["positive"] == "granted"
    assert form["meaning"]["favourable"] is False
    assert "is decided 'granted', which is unfavourable, most often" in form["findings"][0]
    rates = [1 - one["figures"]["selection_rate"]["value"] for one in form["outcomes"]["groups"]]
    ratio = form["outcomes"]["selection_ratio"]["value"]
    assert ratio == pytest.approx(min(rates) / max(rates))
    assert main(["audit", net, "people.csv", "--favourable", "granted", *FEW]) == 0
    assert "is decided 'granted' most often" in capsys.readouterr().out
    assert main(["audit", net, "people.csv", "--favourable", "given", *FEW]) == 2
    line = "label 'loan': no value 'given'; it has 'granted' and 'refused'"
    assert line in capsys.readouterr().err


def test_the_page_of_an_audit_tells_which_rows_and_names_inputs(net, capsys):
    assert main(["audit", net, "people.csv", "--out", "audit.html", "--json", *FEW]) == 0
    form = json.loads(capsys.readouterr().out)
    page = Path("audit.html").read_text()
    audited, trained, *_ = form["meaning"]["data"]
    assert audited == "audited: the 39 test rows of people.csv; the network was not trained on them"
    assert trained.startswith("trained on people.csv: 200 rows, 5 columns: ")
    assert audited in page
    assert trained in page
    assert form["meaning"]["inputs"] == ["income", "age", "class"]
    assert re.search("unit [0-9], input (income|age|class)<", page)
    assert len(form["findings"]) <= 5
    assert "In detail, in the terms of the paper</summary>" in page


def test_json_is_the_whole_audit(net, capsys):
    assert main(["audit", net, "people.csv", "--json", *FEW]) == 0
    form = json.loads(capsys.readouterr().out)
    assert form["format"] == "dralign audit"
    assert sum(form["groups"].values()) == 39, "the test rows"
    assert set(form["groups"]) == {"north", "south"}


def test_a_built_in_dataset_gives_the_test_rows_of_the_training(folder, capsys):
    train = ["train", "german", "--preparation", "standard", "--seed", "3", "--out", "net"]
    assert main([*train, *QUICK]) == 0
    assert main(["audit", "net", "german", "--json", *FEW]) == 0
    form = json.loads(capsys.readouterr().out)
    assert sum(form["groups"].values()) == 200
    trained = json.loads(Path("net/artifact.json").read_text())["training"]["test"]
    ours = form["outcomes"]["gaps"]["soft_demographic_parity"]["value"]
    assert ours == pytest.approx(trained["soft_demographic_parity"], abs=1e-5)


def test_a_network_of_ones_own_gets_the_columns_of_numbers_in_order(folder, capsys):
    people().drop(columns="class").to_csv("people.csv", index=False)
    assert main([*own(), "--json"]) == 0
    shown = capsys.readouterr()
    form = json.loads(shown.out)
    assert "2 columns of numbers (income, age)" in shown.err
    assert form["provenance"]["layers"] == ["0", "2"]


def test_classes_are_audited_without_group_figures(folder, capsys):
    people().drop(columns="loan").to_csv("classes.csv", index=False)
    arguments = own("nets:three", "three.safetensors", "classes.csv", "class")
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["outcomes"] is None
    assert main(arguments) == 0
    assert "two classes" in capsys.readouterr().out


def one_row():
    table = people()
    table["region"] = "north"
    table.loc[0, "region"] = "south"
    return table


def missing():
    table = people()
    table.loc[0, "age"] = np.nan
    return table


BAD = {
    "no network": (lambda: ["audit", "nowhere", "people.csv"], "no such folder"),
    "no table": (lambda: own(table="nothing.csv"), "nothing.csv: no such file"),
    "two tables": (lambda: [*own(), "more.csv"], "expected one TABLE"),
    "one name": (lambda: ["audit", "people.csv"], "expected ARTIFACT TABLE"),
    "module": (lambda: own("nonets:make"), "ModuleNotFoundError: No module named 'nonets'"),
    "factory": (lambda: own("nets:nobody"), "AttributeError: .*nobody"),
    "no colon": (lambda: own("nets"), "expected module:factory"),
    "broken": (lambda: own("nets:broken"), "RuntimeError: no such thing"),
    "number": (lambda: own("nets:number"), "expected a torch.nn.Module, got int"),
    "no weights": (lambda: own(weights=""), "which weights"),
    "absent weights": (lambda: own(weights="no.safetensors"), "No such file"),
    "truncated": (lambda: own(weights="half.safetensors"), "truncated or not a safetensors file"),
    "a table as weights": (lambda: own(weights="people.csv"), "truncated or not a safetensors"),
    "other weights": (lambda: own(weights="three.safetensors"), "does not fit the network"),
    "no layer": (lambda: own("nets:norm", "norm.safetensors"), "no Linear or Conv layer"),
    "no label": (lambda: own(label=""), "--label and --sensitive"),
    "column": (lambda: own(label="colour"), "colour"),
    "wide": (lambda: own(table="wide.csv"), "x has 3 columns.* takes 2"),
    "missing": (lambda: own(table="missing.csv"), "'age': 1 of 200 values are missing"),
    "one row": (
        lambda: own(table="one.csv"),
        "1 of the groups 'north', 'south' have 10 rows or more, .*--min-group-size",
    ),
    "one row, and none withheld": (
        lambda: own(table="one.csv", **{"--min-group-size": "0"}),
        "group 'south': expected at least 2 rows, got 1",
    ),
    "splits": (lambda: own(**{"--splits": "5"}), "--splits: expected at least 20, got 5"),
    "bootstrap": (lambda: own(**{"--bootstrap": "5"}), "--bootstrap: expected at least 20, got 5"),
    "group size": (
        lambda: own(**{"--min-group-size": "-1"}),
        "--min-group-size: expected at least 0, got -1",
    ),
    "out is the table": (lambda: own(**{"--out": "people.csv"}), "people.csv is an input; choose"),
    "out is no page": (lambda: own(**{"--out": "page.csv"}), "expected a name ending in .html or"),
    "out is a folder": (lambda: own(**{"--out": "."}), "ending in .html or .htm, got ."),
}


@pytest.mark.parametrize("case", BAD)
def test_mistakes_are_one_clear_line_and_exit_code_2(folder, case, capsys):
    narrow = {"people.csv": people(), "one.csv": one_row(), "missing.csv": missing()}
    for name, table in narrow.items():
        table.drop(columns="class").to_csv(name, index=False)
    people().to_csv("wide.csv", index=False)
    arguments, expected = BAD[case]
    assert main(arguments()) == 2
    shown = capsys.readouterr()
    lines = [line for line in shown.err.splitlines() if line.startswith("dralign: error: ")]
    assert len(lines) == 1
    assert not shown.out
    assert re.search(expected, lines[0])


def test_nan_in_the_weights_is_one_clear_line(folder, capsys):
    people().drop(columns="class").to_csv("people.csv", index=False)
    state = {"0.weight": torch.full((5, 2), torch.nan), "0.bias": torch.zeros(5),
             "2.weight": torch.ones(1, 5), "2.bias": torch.zeros(1)}  # fmt: skip
    save_file(state, "nan.safetensors")
    assert main(own(weights="nan.safetensors")) == 2
    assert "nan.safetensors: '0.weight' holds NaN or infinite values" in capsys.readouterr().err


def test_weights_of_another_kind_are_refused_and_not_cast(folder, capsys):
    people().drop(columns="class").to_csv("people.csv", index=False)
    state = {"0.weight": torch.ones(5, 2, dtype=torch.int64), "0.bias": torch.zeros(5),
             "2.weight": torch.ones(1, 5), "2.bias": torch.zeros(1)}  # fmt: skip
    save_file(state, "whole.safetensors")
    assert main(own(weights="whole.safetensors")) == 2
    assert "'0.weight' is int64 of shape (5, 2), expected float32" in capsys.readouterr().err


def test_an_audit_of_its_own_table_leaves_the_table(net, capsys):
    before = Path("people.csv").read_bytes()
    Path("page.html").symlink_to("people.csv")
    for out in ("people.csv", "page.html"):
        assert main(["audit", net, "people.csv", "--out", out, *FEW]) == 2
        assert "is an input; choose another name" in capsys.readouterr().err
    assert Path("people.csv").read_bytes() == before


def test_a_group_of_two_is_named_and_its_figures_are_withheld(net, capsys):
    table = people()
    table.loc[:1, "region"] = "isle"
    table.to_csv("few.csv", index=False)
    assert main(["audit", net, "few.csv", "--out", "audit.html", *FEW]) == 0
    shown = capsys.readouterr()
    (warned,) = [line for line in shown.err.splitlines() if line.startswith("warning: ")]
    assert "fewer than 10 rows, so that figures are withheld and left out of gaps: 'isle'" in warned
    (row,) = [line for line in shown.out.splitlines() if line.startswith("isle")]
    assert row.split(maxsplit=1)[1] == "fewer than 10 rows: figures withheld"
    page = Path("audit.html").read_text()
    assert "<td>isle</td><td>fewer than 10</td><td>withheld</td>" in page


def test_sensitive_columns_of_numbers_may_be_inputs(folder, capsys):
    table = people().drop(columns=["class", "age"])
    table["region"] = (table["region"] == "north").astype(int)
    table.to_csv("coded.csv", index=False)
    assert main(own(table="coded.csv")) == 2
    assert "x has 1 columns" in capsys.readouterr().err
    assert main([*own(table="coded.csv"), "--include-sensitive", "--json"]) == 0


def test_an_audit_decides_where_the_saved_network_does_and_says_so(net, capsys):
    train = ["train", "people.csv", "--label", "loan", "--positive", "granted", *QUICK]
    train += ["--sensitive", "region", "--threshold", "0.61", "--out", "strict"]
    assert main(train) == 0
    capsys.readouterr()
    assert main(["audit", "strict", "people.csv", "--out", "audit.html", *FEW]) == 0
    assert "Decided positive from a probability of 0.61 on" in capsys.readouterr().out
    assert "positive from a probability of 0.61 on" in Path("audit.html").read_text()
    form = {}
    for name in ("strict", net):
        assert main(["audit", name, "people.csv", "--all-rows", "--json", *FEW]) == 0
        form[name] = json.loads(capsys.readouterr().out)
    assert form["strict"]["provenance"]["threshold"] == 0.61
    rows = people()
    prob = load_artifact("strict").predict_proba(rows).double()
    for name, threshold in (("strict", 0.61), (net, 0.5)):
        rates = {
            region: float(
                (prob[(rows["region"] == region).to_numpy()] >= threshold).double().mean()
            )
            for region in ("north", "south")
        }
        own = form[name]["outcomes"]
        for group in own["groups"]:
            figure = group["figures"]["selection_rate"]["value"]
            assert figure == pytest.approx(rates[group["group"]])
        gap = abs(rates["north"] - rates["south"])
        assert own["gaps"]["hard_demographic_parity"]["value"] == pytest.approx(gap)
        [whole, *_] = form[name]["what_if"]
        assert whole["figures"]["hard_demographic_parity"] == pytest.approx(gap)
    assert form["strict"]["outcomes"] != form[net]["outcomes"]


def test_an_audit_decides_by_the_thresholds_of_the_groups(folder, capsys):
    train = ["train", "people.csv", "--label", "loan", "--positive", "granted", *QUICK]
    train += ["--sensitive", "region", "--method", "thresholds", "--out", "cut"]
    assert main(train) == 0
    capsys.readouterr()
    audit = ["audit", "cut", "people.csv", "--all-rows", *FEW]
    assert main([*audit, "--json"]) == 0
    form = json.loads(capsys.readouterr().out)
    network, rows = load_artifact("cut"), people()
    assert form["provenance"]["threshold"] == dict(
        zip(network.group_names, network.thresholds, strict=True)
    )
    decided = network.decide(rows, network.predict_proba(rows)).numpy()
    for group in form["outcomes"]["groups"]:
        own = decided[(rows["region"] == group["group"]).to_numpy()]
        assert group["figures"]["selection_rate"]["value"] == pytest.approx(own.mean())
    assert main(audit) == 0
    assert "Decided positive from a probability of" in capsys.readouterr().out
    assert main([*audit, "--sensitive", "class"]) == 2
    assert "it decides by the groups of 'region'; audit it without" in capsys.readouterr().err


def test_weights_of_rows_are_for_networks(tmp_path, capsys):
    people().assign(p=0.5, w=1).to_csv(table := tmp_path / "t.csv", index=False)
    columns = ["--label", "loan", "--positive", "yes", "--sensitive", "sex"]
    assert main(["audit", str(table), "--score", "p", *columns, "--weight", "w"]) == 2
    assert "--weight: of a network; --score takes a column of scores" in capsys.readouterr().err
