"""``--weight`` from the table to the page: every figure is weighted, and said to be."""

import contextlib
import io
import json

import numpy as np
import pandas as pd
import pytest

from dralign.cli import main

ROLES = ["--label", "loan", "--positive", "granted", "--sensitive", "region"]
TINY = ["--epochs", "2", "--iterations", "5", "--hidden", "4"]


def called(*arguments) -> tuple[int, str, str]:
    """The exit code, and what was printed on stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return code, out.getvalue(), " ".join(err.getvalue().split())


def run(*arguments) -> str:
    """What was printed on stdout by a command that ends well."""
    code, out, err = called(*arguments)
    assert code == 0, err
    return out


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A table with weights, and a network that was trained with them."""
    folder = tmp_path_factory.mktemp("weights")
    draw = np.random.default_rng(0)
    people = pd.DataFrame(
        {"pay": draw.normal(40, 9, 400), "region": draw.choice(["north", "south"], 400)}
    )
    people["loan"] = np.where(people["pay"] + draw.normal(0, 9, 400) > 40, "granted", "refused")
    people["survey"] = draw.exponential(2, 400) + 0.1
    people.to_csv(folder / "people.csv", index=False)
    people.drop(columns="survey").to_csv(folder / "without.csv", index=False)
    weight = ["--weight", "survey"]
    told = run(
        "train", folder / "people.csv", *ROLES, *weight, *TINY, "--out", folder / "net", "--json"
    )
    (folder / "told.json").write_text(told)
    return folder


def test_inspect_tells_of_weights(folder):
    text = run("data", "inspect", folder / "people.csv", *ROLES, "--weight", "survey")
    assert "of the weight is granted" in text
    assert "weights survey: shares, rates, gaps and losses are weighted, rows are counted" in text
    form = json.loads(
        run("data", "inspect", folder / "people.csv", *ROLES, "--weight", "survey", "--json")
    )
    assert form["weighting"].startswith("weights survey")


def test_train_tells_weighted_rates_of_counted_rows(folder):
    told = json.loads((folder / "told.json").read_text())
    assert any(note.startswith("rows are weighted by 'survey'") for note in told["notes"])
    for group in told["groups"]:
        assert group["weight"] > group["rows"]
        assert group["base_rate"] != group["positives"] / group["rows"]
    card = (folder / "net" / "README.md").read_text()
    assert "rows are weighted by 'survey'" in card
    _, _, told = called(
        "train", folder / "people.csv", *ROLES, "--weight", "survey", *TINY, "--out", folder / "x"
    )
    assert "positive; weighted: base rate" in told


def test_a_network_of_weighted_rows_is_not_adjusted(folder):
    code, _, told = called(
        "adjust", folder / "net", folder / "people.csv", "--max-gap", 0.1, "--out", folder / "moved"
    )
    assert code == 2
    assert "training rows were weighted, and a shift takes no weights of rows" in told


def test_predict_needs_no_weights(folder):
    scores = [
        run("predict", folder / "net", folder / name) for name in ("people.csv", "without.csv")
    ]
    assert scores[0] == scores[1]


def test_an_audit_is_weighted_as_the_training_was(folder):
    quick = ["--splits", "20", "--bootstrap", "20"]
    page = folder / "page.html"
    text = run("audit", folder / "net", folder / "people.csv", *quick, "--out", page)
    assert "rows are counted, all figures are weighted" in text
    assert "rows are weighted" in page.read_text()
    _, text, told = called("audit", folder / "net", folder / "without.csv", *quick)
    assert "are weighted" not in text
    assert "has no column 'survey', by which training rows were weighted" in told


def test_compare_says_that_its_figures_are_weighted(folder):
    study = folder / "study"
    run(
        "compare",
        folder / "people.csv",
        *ROLES,
        "--weight",
        "survey",
        *TINY,
        *("--methods", "erm,gap", "--weights", "0.2", "--seeds", "2", "--jobs", "1"),
        *("--out", study),
    )
    page = (study / "report.html").read_text()
    assert "weighted by survey" in page
    assert "rates weighted by survey, rows counted" in page
    assert "weights survey: shares, rates, gaps and losses are weighted" in page
    data = [folder / "people.csv", *ROLES, "--weight", "survey"]
    code, _, told = called("compare", *data, "--methods", "mixup", "--out", folder / "other")
    assert code == 2
    assert "'mixup' can't train on weighted rows" in told
