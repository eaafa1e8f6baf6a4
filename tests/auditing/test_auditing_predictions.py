"""Predictions alone are audited: of any model, from labels, scores and groups."""

import json
import re

import numpy as np
import pandas as pd
import pytest

import dralign
from dralign import metrics
from dralign.auditing import Meaning
from dralign.cli import main
from dralign.errors import DataError, DralignWarning, GroupError, OptionError

FEW = {"n_bootstrap": 30}


def rows(n: int = 600, seed: int = 0):
    draw = np.random.default_rng(seed)
    group = draw.choice(["women", "men"], n)
    z = draw.normal(size=n) + 0.8 * (group == "men")
    return (z + 0.5 * draw.normal(size=n) > 0.6).astype(int), 1 / (1 + np.exp(0.8 - 2 * z)), group


Y, SCORE, GROUP = rows()


def test_the_group_table_and_the_gaps_are_those_of_the_metrics():
    audit = dralign.audit_predictions(Y, SCORE, GROUP, threshold=0.3, **FEW)
    decided = (SCORE >= 0.3).astype(int)
    for one in audit.outcomes.groups:
        inside = one.group == GROUP
        figures = {name: estimate.value for name, estimate in one.figures.items()}
        assert one.n == inside.sum()
        assert np.isclose(figures["base_rate"], Y[inside].mean())
        assert np.isclose(figures["selection_rate"], decided[inside].mean())
        assert np.isclose(figures["true_positive_rate"], decided[inside & (Y == 1)].mean())
        assert np.isclose(figures["false_positive_rate"], decided[inside & (Y == 0)].mean())
    gaps = {name: estimate.value for name, estimate in audit.outcomes.gaps.items()}
    kept = {"sensitive_features": GROUP}
    wanted = {
        "base_rate_demographic_parity": metrics.base_rate_gap(Y, SCORE, **kept),
        "all_cutoffs_equalized_odds": metrics.all_cutoffs_gap(
            Y, SCORE, gap="equalized_odds", **kept
        ),
        "soft_demographic_parity": metrics.soft_demographic_parity_difference(Y, SCORE, **kept),
        "hard_demographic_parity": metrics.demographic_parity_difference(Y, decided, **kept),
        "hard_equal_opportunity": metrics.equal_opportunity_difference(Y, decided, **kept),
    }
    for name, value in wanted.items():
        assert np.isclose(gaps[name], value)
        assert audit.outcomes.gaps[name].low <= value <= audit.outcomes.gaps[name].high
    assert audit.outcomes.overall["brier_score"].value == metrics.brier_score(Y, SCORE)


def test_the_repr_is_a_line_with_rows_groups_and_two_figures():
    audit = dralign.audit_predictions(Y, SCORE, GROUP, **FEW)
    gap = metrics.demographic_parity_difference(Y, SCORE >= 0.5, sensitive_features=GROUP)
    precision = metrics.average_precision(Y, SCORE)
    assert repr(audit) == (
        f"<PredictionAudit of {len(Y)} rows in {len(set(GROUP))} groups: "
        f"average precision {precision:.3f}, demographic parity gap {gap:.3f}>"
    )


def test_it_says_what_the_audit_of_a_network_says_of_its_outcomes():
    import torch

    torch.manual_seed(0)
    x = torch.tensor(np.stack([SCORE, Y + 0.1 * SCORE], axis=1)).float()
    network = torch.nn.Linear(2, 1)
    whole = dralign.audit(
        torch.nn.Sequential(network), x, Y, sensitive_features=GROUP, n_splits=20, **FEW
    )
    prob = network(x).sigmoid()[:, 0].detach().numpy()
    alone = dralign.audit_predictions(Y, prob, GROUP, **FEW)
    for mine, theirs in zip(alone.outcomes.groups, whole.outcomes.groups, strict=True):
        values = {name: one.value for name, one in theirs.figures.items()}
        assert {name: one.value for name, one in mine.figures.items()} == pytest.approx(values)
    assert alone.findings[0].split("(")[0] == whole.findings[0].split("(")[0]


def test_the_terminal_and_the_page_tell_the_groups_and_nothing_of_a_network(tmp_path):
    audit = dralign.audit_predictions(Y, SCORE, GROUP, meaning=Meaning(positive="granted"), **FEW)
    shown = " ".join(str(audit).split())
    assert shown.startswith("Audit of 600 predictions (group 'men' ")
    assert "Group 'men' is decided 'granted' most often" in shown
    assert "they certify nothing" in shown
    page = audit.to_html(tmp_path / "audit.html").read_text()
    assert "What is decided" in page
    assert "Figures of each group" in page
    text = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    for word in ("rationale", "What the network", "Independence", "noise floor"):
        assert word not in text
    assert json.loads(json.dumps(audit.to_dict()))["format"] == "dralign audit of predictions"


def test_names_from_data_are_escaped_on_the_page(tmp_path):
    hostile = np.where(GROUP == "men", "<script>alert(1)</script>", "women")
    page = dralign.audit_predictions(Y, SCORE, hostile, **FEW).to_html(tmp_path / "a.html")
    assert "<script>alert(1)" not in page.read_text()


NUMBERS = np.random.default_rng(5).integers(-1, 2, 600)


@pytest.mark.parametrize(
    "values",
    [NUMBERS, NUMBERS - 8, 1000 * NUMBERS, NUMBERS / 2, NUMBERS.astype(np.int32), NUMBERS > 0],
    ids=["from -1", "from -9", "thousands", "floats", "int32", "bools"],
)
def test_numbers_that_make_groups_are_values_of_any_type(values):
    """Nobody is left out, and no group is made up."""
    audit = dralign.audit_predictions(Y, SCORE, values, **FEW)
    sizes = {str(x).removesuffix(".0"): (values == x).sum() for x in np.unique(values)}
    assert audit.groups == sizes


def test_coded_groups_are_what_they_were_made_from():
    values = np.where(np.arange(600) % 7 == 0, None, GROUP)
    coded = dralign.audit_predictions(Y, SCORE, dralign.encode_groups(values), **FEW)
    assert coded.outcomes == dralign.audit_predictions(Y, SCORE, values, **FEW).outcomes
    assert coded.notes[0] == "86 rows of no group take no part"


def test_small_groups_are_named_and_their_figures_withheld():
    group = GROUP.astype(object).copy()
    group[:6] = "few"
    group[6:16] = None
    with pytest.warns(DralignWarning, match="fewer than 10 rows, so that figures are withheld"):
        audit = dralign.audit_predictions(Y, SCORE, group, **FEW)
    assert audit.withheld == ("few",)
    assert sorted(audit.groups) == ["men", "women"]
    assert audit.notes[0] == "10 rows of no group take no part"
    assert "few" in str(audit)
    whole = dralign.audit_predictions(Y, SCORE, group, min_group_size=0, **FEW)
    assert sorted(whole.groups) == ["few", "men", "women"]


def test_groups_that_are_decided_alike_are_told_apart_by_the_labels_that_differ_most():
    group = np.array(["a"] * 40 + ["b"] * 40 + ["c"] * 40)
    label = np.tile(np.arange(40) < 8, 3).astype(int)
    label[40:80] = np.arange(40) < 30
    audit = dralign.audit_predictions(label, np.full(120, 0.7), group, **FEW)
    first = audit.findings[0]
    assert "equally often (100.0 %)" in first
    assert "75.0 % of the rows of 'b' and 20.0 % of those of" in first


def test_decisions_alone_are_said_to_have_two_ranks():
    audit = dralign.audit_predictions(Y, SCORE >= 0.5, GROUP, **FEW)
    assert any("decisions 0 and 1" in note for note in audit.notes)
    assert not dralign.audit_predictions(Y, SCORE, GROUP, **FEW).notes


def test_the_same_seed_gives_the_same_intervals():
    one, other = (dralign.audit_predictions(Y, SCORE, GROUP, seed=3, **FEW) for _ in range(2))
    assert one.outcomes == other.outcomes
    assert one.outcomes != dralign.audit_predictions(Y, SCORE, GROUP, seed=4, **FEW).outcomes


@pytest.mark.parametrize(
    ("given", "error", "line"),
    [
        ({"y_score": 3 * SCORE}, DataError, r"y_score: .* probabilities in \[0, 1\], got"),
        ({"y_score": SCORE[:9]}, DataError, "y_true and y_score differ in length: 600 and 9"),
        ({"y_score": np.full(600, np.nan)}, DataError, "y_score: 600 of 600 values are NaN"),
        ({"y_true": Y + 1}, DataError, "y_true: expected labels 0 and 1"),
        ({"sensitive_features": GROUP[:9]}, GroupError, "expected 600 rows, got 9"),
        ({"sensitive_features": ["a"] * 600}, GroupError, "all rows are in one group"),
        ({"n_bootstrap": 3}, OptionError, "n_bootstrap: expected at least 20, got 3"),
        ({"threshold": 2}, OptionError, "threshold: expected a number from 0 to 1, got 2"),
    ],
)
def test_a_mistake_is_one_line(given, error, line):
    with pytest.raises(error, match=line):
        dralign.audit_predictions(
            **{"y_true": Y, "y_score": SCORE, "sensitive_features": GROUP, **FEW, **given}
        )


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame({"score": SCORE, "loan": np.where(Y, "granted", "refused"), "sex": GROUP})
    frame.to_csv("scores.csv", index=False)
    return ["audit", "scores.csv", "--label", "loan", "--sensitive", "sex", "--bootstrap", "30"]


def test_the_command_audits_a_column_of_scores(table, capsys):
    command = [*table, "--score", "score", "--positive", "granted", "--threshold", "0.3"]
    assert main([*command, "--out", "audit.html"]) == 0
    assert "Audit of 600 predictions" in capsys.readouterr().out
    assert main([*command, "--json"]) == 0
    form = json.loads(capsys.readouterr().out)
    alone = dralign.audit_predictions(Y, SCORE, GROUP, threshold=0.3, **FEW).to_dict()
    assert form["outcomes"]["gaps"] == alone["outcomes"]["gaps"]
    assert form["meaning"]["positive"] == "granted"


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (["--score", "points"], "no column 'points'"),
        (["--score", "sex", "--positive", "granted"], "column 'sex': expected numbers"),
        (["--score", "score"], "which of 'granted' and 'refused' counts as positive"),
        (["--threshold", "0.3"], "--threshold: only with --score"),
        (["--score", "score", "--model", "a:b"], "--model: of a network; --score takes"),
        (["--score", "score", "--layers", "1"], "--layers: of a network; --score takes"),
        (["--score", "score", "--parts", "outcomes"], "--parts: of a network; --score takes"),
        (["--score", "score", "--all-rows"], "--all-rows: of a network; --score takes"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(table, more, line, capsys):
    assert main([*table, *more]) == 2
    assert line in capsys.readouterr().err
