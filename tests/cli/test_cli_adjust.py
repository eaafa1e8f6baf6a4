"""`dralign adjust` as a user meets it: another network, which every other command takes."""

import json
import pathlib
import re

import numpy as np
import pandas as pd
import pytest

from dralign import metrics
from dralign.artifact import load_artifact
from dralign.auditing import artifact_case
from dralign.cli import main
from dralign.errors import ArtifactError, DralignWarning
from dralign.study.adjusting import adjusting_rows
from dralign.training import predict_probability

COLUMNS = ["--label", "loan", "--positive", "yes", "--sensitive", "sex"]
QUICK = ["--method", "erm", "--epochs", "2", "--iterations", "60", "--hidden", "8"]


def people(n: int = 1500, seed: int = 0) -> pd.DataFrame:
    """Incomes that differ by sex, and a height that tells of it."""
    draw = np.random.default_rng(seed)
    male = draw.random(n) < 0.5
    income = draw.normal(38, 10, n) + 8 * male
    return pd.DataFrame(
        {
            "income": income.round(2),
            "height": (draw.normal(165, 6, n) + 13 * male).round(1),
            "sex": np.where(male, "M", "F"),
            "loan": np.where(income + draw.normal(0, 8, n) > 45, "yes", "no"),
        }
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    people().to_csv(folder / "people.csv", index=False)
    people(seed=1).to_csv(folder / "others.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["train", "people.csv", *COLUMNS, *QUICK, "--out", "net"]) == 0
        assert main(["adjust", "net", "people.csv", "--max-gap", "0.1", "--out", "moved"]) == 0
    return folder


@pytest.fixture(autouse=True)
def _there(home, monkeypatch):
    monkeypatch.chdir(home)


def gap_of(folder: str, table: str = "others.csv") -> float:
    rows = pd.read_csv(table)
    prob = load_artifact(folder).predict_proba(rows).numpy()
    return metrics.base_rate_gap(rows["loan"] == "yes", prob, sensitive_features=rows["sex"])


def test_the_gap_of_new_rows_is_smaller_and_no_group_is_needed():
    assert gap_of("moved") < 0.5 * gap_of("net")
    rows = pd.read_csv("others.csv")
    with_group = load_artifact("moved").predict_proba(rows)
    without = load_artifact("moved").predict_proba(rows.drop(columns=["sex", "loan"]))
    assert with_group.equal(without)


def test_the_card_and_the_record_say_what_was_done():
    training = load_artifact("moved").training
    done = training["adjusted"]
    assert done["max_gap"] == 0.1
    assert done["met"] == "yes"
    assert done["validation_gap"] <= 0.1
    assert done["rows"] == "the parts of people.csv it was trained with"
    assert training["test"] != load_artifact("net").training["test"]
    card = " ".join(pathlib.Path("moved/README.md").read_text().split())
    assert "Adjusted after training: method scores shifted, how by what the inputs tell" in card
    assert "not needed for prediction" in card
    assert "a linear model of the groups shifts its scores" in card


def test_predict_and_audit_take_it_as_any_network(capsys):
    assert main(["predict", "moved", "others.csv", "--out", "scores.csv"]) == 0
    scores = pd.read_csv("scores.csv")["probability"]
    prob = load_artifact("moved").predict_proba(pd.read_csv("others.csv")).numpy()
    assert np.allclose(scores, prob)
    few = ["--splits", "20", "--bootstrap", "20", "--sample", "2", "--json"]
    capsys.readouterr()
    assert main(["audit", "moved", "people.csv", *few]) == 0
    form = json.loads(capsys.readouterr().out)
    own = load_artifact("moved").training["test"]
    gap = form["outcomes"]["gaps"]["base_rate_demographic_parity"]["value"]
    assert np.isclose(gap, own["base_rate_demographic_parity"], atol=1e-6)


def test_with_the_group_scores_shift_by_group_and_prediction_asks_for_it(capsys):
    command = ["adjust", "net", "people.csv", "--max-gap", "0.02", "--use-group", "--json"]
    assert main([*command, "--out", "by-group"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (
        shown["after"]["base_rate_demographic_parity"]
        < shown["before"]["base_rate_demographic_parity"]
    )
    assert gap_of("by-group") < 0.1 < gap_of("net")
    network, rows = load_artifact("by-group"), pd.read_csv("others.csv")
    plain = load_artifact("net").predict_proba(rows)
    rows.loc[3, "sex"] = None
    with pytest.warns(
        DralignWarning, match="^1 of 1,500 rows are in no group of sex.* not shifted"
    ):
        moved = network.predict_proba(rows)
    assert moved[3] == plain[3]  # a row of no group stays as it is
    women = (rows["sex"] == "F").to_numpy()
    assert (moved[women] > plain[women]).all()
    rows.drop(columns=["sex", "loan"]).to_csv("anonymous.csv", index=False)
    assert main(["predict", "by-group", "anonymous.csv"]) == 2
    assert "no column 'sex'" in capsys.readouterr().err
    assert main(["audit", "by-group", "others.csv"]) == 2
    assert "audit its predictions" in capsys.readouterr().err
    assert "used at prediction" in pathlib.Path("by-group/README.md").read_text()


def test_equal_opportunity_with_the_group_shifts_by_the_label_that_is_likely(capsys):
    command = ["adjust", "net", "people.csv", "--gap", "equal_opportunity", "--use-group"]
    assert main([*command, "--weight", "0.1", "--out", "eop"]) == 0
    capsys.readouterr()
    shifts = np.array(load_artifact("eop").shifts)
    assert (shifts[:, 0] == 0).all()
    assert shifts[0, 1] < 0 < shifts[1, 1]


def test_a_weight_beyond_equal_rates_is_that_of_equal_rates(capsys):
    said = []
    for weight in ("50", "100"):
        assert main(["adjust", "net", "people.csv", "--weight", weight, "--out", weight]) == 0
        line = rf"weight: (\S+), that of equal expected rates, in the place of {weight}\n"
        said.append(re.search(line, capsys.readouterr().err).group(1))
    assert said[0] == said[1]
    assert 0 < float(said[0]) < 5


def test_another_table_is_split_and_its_rows_are_told(capsys):
    command = ["adjust", "net", "others.csv", "--max-gap", "0.1", "--threshold", "base-rate"]
    assert main([*command, "--out", "other"]) == 0
    assert "rows: 1,500 rows of others.csv, 60/20/20" in capsys.readouterr().err
    assert load_artifact("other").threshold != 0.5


@pytest.mark.parametrize("threshold", ["base-rate", "0.3"])
@pytest.mark.parametrize("more", [[], ["--use-group"]], ids=["inputs", "group"])
def test_a_bound_on_decisions_is_judged_at_the_threshold_that_is_delivered(more, threshold, capsys):
    """The oracle decides the validation rows with the saved network."""
    command = ["adjust", "net", "people.csv", "--max-gap", "0.05", "--measure", "hard"]
    assert main([*command, "--threshold", threshold, *more, "--out", "hard"]) == 0
    capsys.readouterr()
    network = load_artifact("hard")
    rows = adjusting_rows(load_artifact("net"), "people.csv")[0].validation
    prob = network.shifted(predict_probability(network.model, rows.x), rows.group).numpy()
    told = network.training["adjusted"]
    selected = prob >= network.threshold
    first, second = (selected[rows.group.numpy() == code].mean() for code in (0, 1))
    assert np.isclose(told["validation_gap"], abs(first - second))
    assert told["met"] == "yes"
    assert told["validation_gap"] <= 0.05
    if threshold == "base-rate":
        assert selected.sum() == rows.y.sum()
    else:
        assert network.threshold == 0.3


def test_a_gap_that_cannot_be_reached_is_said_not_to_be(capsys):
    assert main(["adjust", "net", "people.csv", "--max-gap", "0", "--out", "zero"]) == 0
    assert load_artifact("zero").training["adjusted"]["met"] == "NO"
    shown = capsys.readouterr().err
    assert "base-rate gap on the validation rows" in shown
    assert "NOT met; this is the smallest there is" in shown


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["net", "people.csv"], "expected a largest gap (--max-gap) or a weight (--weight)"),
        (
            ["net", "people.csv", "--max-gap", "-1"],
            "--max-gap: expected a number from 0 up, got -1",
        ),
        (["moved", "people.csv", "--max-gap", "0.1"], "was adjusted already"),
        (["net", "adult", "--max-gap", "0.1"], "adult: no such file, and not the dataset of"),
        (["net", "people.csv", "--weight", "1", "--gap", "predictive_parity"], "can be shifted"),
    ],
)
def test_a_mistake_is_one_line(arguments, line, capsys):
    assert main(["adjust", *arguments, "--out", "new"]) == 2
    assert line in capsys.readouterr().err


def test_a_forged_network_by_group_is_refused(tmp_path):
    from dralign.artifact.layout import CHECKSUM, checksum

    main(["adjust", "net", "people.csv", "--weight", "0.2", "--use-group", "--out", "forged"])
    content = json.loads(pathlib.Path("forged/artifact.json").read_text())
    for change in ({"shifts": [[1.0, 2.0]]}, {"version": 2}, {"shifts": [[1.0], [2.0]]}):
        form = {**content, **change}
        form[CHECKSUM] = checksum(form)
        with pathlib.Path("forged/artifact.json").open("w") as file:
            json.dump(form, file)
        with pytest.raises(ArtifactError, match=r"'shifts' are for|format version 2|2 numbers"):
            load_artifact("forged")


def test_intervals_of_the_test_rows_hold_the_figures_and_are_printed(capsys):
    command = ["adjust", "net", "people.csv", "--max-gap", "0.1", "--out", "again"]
    assert main([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    keys = {"average_precision": "average_precision", "base_rate": "base_rate_demographic_parity"}
    for name in ("before", "after"):
        assert told["intervals"][name].keys() == keys.keys()
        for measure, key in keys.items():
            low, high = told["intervals"][name][measure]
            assert low < high
            assert low <= told[name][key] <= high
    assert main(command) == 0
    lines = capsys.readouterr().err.splitlines()
    [line] = [
        line for line in lines if line.startswith("95 % intervals over test rows drawn anew, a")
    ]
    low, high = told["intervals"]["after"]["base_rate"]
    assert line.endswith(f"base-rate gap {low:.3f} to {high:.3f}")


def test_rows_that_a_network_was_adjusted_by_are_not_taken_for_its_audit():
    assert main(["adjust", "net", "others.csv", "--max-gap", "0.1", "--out", "by_others"]) == 0
    taken = len(artifact_case("by_others", "others.csv").x)
    assert 0.15 * 1500 < taken < 0.25 * 1500
    assert len(artifact_case("net", "others.csv").x) == 1500


def test_a_label_that_training_did_not_know_is_refused(capsys):
    rows = pd.read_csv("others.csv")
    rows.loc[:200, "loan"] = "maybe"
    rows.to_csv("maybe.csv", index=False)
    assert main(["adjust", "net", "maybe.csv", "--weight", "1", "--out", "of-maybe"]) == 2
    assert "'maybe' is not among the values of training" in capsys.readouterr().err


def test_what_must_be_known_first_of_the_figures_is_printed(capsys):
    rows = pd.read_csv("others.csv")
    few = rows.groupby("sex").head(50).index.union(rows.index[rows["sex"] == "M"])
    rows.loc[few].to_csv("few.csv", index=False)
    assert main(["adjust", "net", "few.csv", "--weight", "1", "--out", "of-few"]) == 0
    told = capsys.readouterr().err
    assert "warning: group 'F' has 10 test rows: its rates are uncertain by up to ± 0.31" in told
    assert load_artifact("of-few").training["notes"][0] in told
