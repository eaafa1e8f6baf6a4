"""More than two classes the whole way: methods, tables, command line, artifact, classifier."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from dralign.artifact import load_artifact
from dralign.cli import main
from dralign.data import Split, load_table
from dralign.errors import ArtifactError, DataError, DralignWarning, ModelError, OptionError
from dralign.estimator import DRAlignClassifier
from dralign.gaps import resolve_gap
from dralign.methods import method_names, method_type, users_of
from dralign.methods.mixup import PathPenalty
from dralign.models import mlp
from dralign.networks import probability
from dralign.rationale import per_sample_loss
from dralign.step import Batch, batch_in_blocks
from dralign.training import TrainingSettings, train
from path_penalty import path_penalty
from sealed import edit
from switched_off import method_of
from synthetic import dataset, perceptron, split

DP, EO = "demographic_parity", "equalized_odds"
QUICK = ["--epochs", "2", "--iterations", "10", "--hidden", "8", "--batch-size", "10"]
TRAINABLE = [(name, gap) for name in method_names() for gap in method_type(name).supported_gaps(3)]


def three(rows: Split) -> Split:
    """The same rows with a label of three classes that leans on the group too."""
    score = rows.x[:, 0] + 0.6 * rows.group
    return replace(rows, y=(score > -0.2).long() + (score > 0.8).long())


def batch(gap: str, n: int = 120) -> Batch:
    rows = three(split(n))
    return batch_in_blocks(rows.x.double(), rows.y, rows.group, n_groups=2, by_label=gap == EO)


# --- methods


@pytest.mark.parametrize("gap", [DP, EO])
@pytest.mark.parametrize(("name", "beta"), [("gap", 0.0), ("dralign", 0.05)])
def test_gradient_is_that_of_the_formula(name, beta, gap):
    """Cross-entropy, the gap of Eq. 23, and the cosines within each label's stratum."""
    rows, lam, model = batch(gap), 0.4, perceptron(n_outputs=3).double()
    logits = model(rows.x)
    losses = F.cross_entropy(logits, rows.y, reduction="none")
    total, f = losses.mean(), logits.softmax(1)
    for y in (None,) if gap == DP else (0, 1, 2):
        cells = [(rows.group == a) & ((rows.y == y) if y is not None else True) for a in (0, 1)]
        total = total + lam * (f[cells[0]].mean(0) - f[cells[1]].mean(0)).abs().max()
        for weight in (p for p in model.parameters() if p.ndim == 2):
            c = []
            for cell in cells:
                (grad,) = torch.autograd.grad(losses[cell].mean(), weight, create_graph=True)
                c.append(((grad * weight) ** 2).sum(1))
            total = total - beta * (c[0] @ c[1]) / (c[0].norm() * c[1].norm())
    expected = torch.autograd.grad(total, list(model.parameters()))
    method = method_of(name, gap=gap, fairness_weight=lam, alignment_weight=beta, n_classes=3)
    trained = perceptron(n_outputs=3).double()
    method.begin(trained, n_groups=2, generator=torch.Generator())(rows)
    for parameter, wanted in zip(trained.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("gap", [DP, EO])
def test_mixup_is_the_largest_slope_over_the_classes(gap):
    rows, model = batch(gap), perceptron(n_outputs=3).double()
    penalty = PathPenalty(resolve_gap(gap, n_classes=3))
    value, skipped = path_penalty(penalty, model, rows, generator=torch.Generator().manual_seed(3))
    generator, expected, h = torch.Generator().manual_seed(3), 0.0, 1e-5
    for y in (None,) if gap == DP else (0, 1, 2):
        gamma = torch.rand((), generator=generator).double()
        first, second = (rows.x[b.rows] for b in rows.blocks if b.label == y)
        n = min(len(first), len(second))
        means = [
            probability(model(g * first[:n] + (1 - g) * second[:n])).mean(0)
            for g in (gamma - h, gamma + h)
        ]
        expected += ((means[1] - means[0]) / (2 * h)).abs().max().item()
    assert value.item() == pytest.approx(expected, rel=1e-6)
    assert skipped == 0


@pytest.mark.parametrize(("name", "gap"), TRAINABLE)
def test_every_other_method_trains(name, gap):
    data = dataset(n_groups=3)
    parts = {part: three(getattr(data, part)) for part in ("train", "validation", "test")}
    data = replace(data, **parts, class_names=("low", "middle", "high"), positive="")
    method = method_of(
        name,
        gap=gap,
        fairness_weight=0.1 if name in users_of("fairness_weight") else 0,
        n_classes=3,
    )
    settings = TrainingSettings(epochs=1, iterations=3, batch_size=20)
    (record,) = train(perceptron(n_outputs=3), data, method, settings).history
    assert {f"soft_{DP}", f"hard_{EO}", "average_precision"} <= set(record.test)
    assert 0 < record.similarity_total("unit") <= (3 if gap == DP else 9) + 1e-6


def test_what_needs_two_classes_says_so():
    assert {name for name, _ in TRAINABLE} == set(method_names()) - {
        "adversarial",
        "fairbatch",
        "plugin",
        "thresholds",
    }
    for name in ("adversarial", "fairbatch", "plugin", "thresholds"):
        with pytest.raises(OptionError, match=f"'{name}' needs two classes, the label has 3"):
            method_of(name, n_classes=3)
    with pytest.raises(OptionError, match="'equal_opportunity' needs two classes, the label has 4"):
        method_of("gap", gap="equal_opportunity", n_classes=4)


def test_probabilities_of_every_class_add_up_to_one():
    logits = torch.randn(5, 4)
    torch.testing.assert_close(probability(logits).sum(1), torch.ones(5))
    assert probability(logits[:, :2]).shape == probability(logits[:, :1]).shape == (5,)
    assert per_sample_loss(logits, torch.arange(5) % 4).shape == (5,)


# --- tables and the command line


def table(n: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    sex = rng.choice(["f", "m"], n)
    income = rng.normal(30, 10, n) + 5 * (sex == "m")
    score = income + rng.normal(0, 4, n)
    grade = np.where(score > 38, "10", np.where(score > 28, "9", "2"))
    return pd.DataFrame({"sex": sex, "income": income, "age": rng.integers(20, 60, n), "y": grade})


@pytest.fixture
def people(tmp_path) -> Path:
    path = tmp_path / "people.csv"
    table().to_csv(path, index=False)
    return path


def test_a_label_of_three_values_makes_classes_in_their_order(people):
    data = load_table(people, label="y", sensitive="sex")
    assert (data.class_names, data.n_classes, data.positive) == (("2", "9", "10"), 3, "")
    labels = torch.cat([split.y for split in (data.train, data.validation, data.test)])
    counts = table()["y"].value_counts()
    assert labels.bincount().tolist() == [counts["2"], counts["9"], counts["10"]]


def test_a_positive_value_makes_two_classes_of_three(people):
    with pytest.warns(DralignWarning, match="'10' counts as 1, the other 2 values as 0"):
        data = load_table(people, label="y", positive="10", sensitive="sex")
    assert (data.class_names, data.n_classes, data.positive) == ((), 2, "10")
    ones = sum(int(split.y.sum()) for split in (data.train, data.validation, data.test))
    assert ones == (table()["y"] == "10").sum()


def test_a_class_of_a_single_row_is_trained_on(tmp_path):
    path = tmp_path / "rare.csv"
    table().assign(y=lambda t: t["y"].mask(t.index == 0, "7")).to_csv(path, index=False)
    data = load_table(path, label="y", sensitive="sex")
    assert data.class_names == ("2", "7", "9", "10")
    assert int((data.train.y == 1).sum()) == 1


def test_train_predict_and_audit_from_the_command_line(people, tmp_path, capsys):
    net, out = tmp_path / "net", tmp_path / "scores.csv"
    common = [str(people), "--label", "y", "--sensitive", "sex"]
    assert main(["train", *common, "--out", str(net), *QUICK, "--gap", EO]) == 0
    assert "Predicts “y” as one of “2”, “9”, “10”" in (net / "README.md").read_text()
    assert main(["predict", str(net), str(people), "--out", str(out)]) == 0
    scores = pd.read_csv(out)
    assert [*scores] == ["probability_2", "probability_9", "probability_10", "prediction"]
    prob = scores.iloc[:, :3]
    np.testing.assert_allclose(prob.sum(axis=1), 1, atol=1e-5)
    likeliest = prob.to_numpy().argmax(1)
    assert (scores["prediction"] == np.array([2, 9, 10])[likeliest]).all()
    np.testing.assert_allclose(prob, load_artifact(net).predict_proba(table()), atol=1e-6)
    capsys.readouterr()
    quick = ["--splits", "20", "--bootstrap", "20", "--sample", "5", "--json"]
    assert main(["audit", str(net), str(people), *quick]) == 0
    assert json.loads(capsys.readouterr().out)
    table().assign(y="11").to_csv(people, index=False)
    assert main(["audit", str(net), str(people), *quick]) == 2
    assert (
        "label 'y': '11' is not among the values of training, '2', '9', '10'"
        in capsys.readouterr().err
    )


def test_compare_all_means_the_methods_that_take_the_classes(people, tmp_path, capsys):
    command = ["compare", str(people), "--label", "y", "--sensitive", "sex", "--seeds", "1"]
    command += ["--jobs", "1", "--json", *QUICK]
    weights = ["--weights", "0.1"]
    assert main([*command, *weights, "--methods", "all", "--out", str(tmp_path / "a")]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["trial"]["method"] for row in rows] == list(dict(TRAINABLE))
    assert all(0 < row["figures"]["average_precision"]["mean"] < 1 for row in rows)
    for more, message in (
        (["--methods", "thresholds"], "'thresholds' needs two classes, the label has 3"),
        (["--gap", "equal_opportunity"], "'equal_opportunity' needs two classes, the label has 3"),
    ):
        assert main([*command, *more, "--out", str(tmp_path / "b")]) == 2
        assert message in capsys.readouterr().err


def test_an_artifact_without_a_name_for_each_class_is_refused(people, tmp_path):
    net = tmp_path / "net"
    main(["train", str(people), "--label", "y", "--sensitive", "sex", "--out", str(net), *QUICK])
    edit(class_names=["2", "9"])(net)
    with pytest.raises(ArtifactError, match="one output for each class"):
        load_artifact(net)


# --- the classifier

SETTINGS = {"epochs": 2, "iterations": 20, "hidden": 8, "batch_size": 20, "random_state": 0}


@pytest.mark.parametrize("method", ["dralign", "gap", "mixup", "erm"])
def test_classifier_learns_predicts_and_is_saved(method, tmp_path):
    frame = table(600)
    x, y = frame[["income", "age"]], frame["y"]
    fitted = DRAlignClassifier(method, learning_rate=0.02, **SETTINGS)
    prob = fitted.fit(x, y, sensitive_features=frame["sex"]).predict_proba(x)
    assert fitted.classes_.tolist() == ["10", "2", "9"]
    assert (prob.dtype, prob.shape) == (np.float64, (600, 3))
    np.testing.assert_allclose(prob.sum(1), 1, atol=1e-12)
    assert (fitted.predict(x) == fitted.classes_[prob.argmax(1)]).all()
    assert fitted.score(x, y) > y.value_counts(normalize=True).max()
    loaded = DRAlignClassifier.load(fitted.save(tmp_path / "net"))
    assert (loaded.predict(x) == fitted.predict(x)).all()
    assert loaded.classes_.tolist() == fitted.classes_.tolist()


def test_classifier_without_groups_and_with_a_network_of_ones_own():
    frame = table()
    x, y, a = frame[["income", "age"]], frame["y"], frame["sex"]
    with pytest.warns(DralignWarning, match="no sensitive_features"):
        plain = DRAlignClassifier(**SETTINGS).fit(x, y)
    assert plain.predict_proba(x).shape == (300, 3)
    own = DRAlignClassifier(module=lambda n: mlp(n, hidden=4, n_outputs=3), **SETTINGS)
    assert own.fit(x, y, sensitive_features=a).predict_proba(x).shape == (300, 3)
    with pytest.raises(ModelError, match=r"a logit for each of 3 classes, shape \(2, 3\), got"):
        DRAlignClassifier(module=mlp(2, hidden=4), **SETTINGS).fit(x, y, sensitive_features=a)
    with pytest.raises(OptionError, match="'predictive_parity' needs two classes"):
        DRAlignClassifier(gap="predictive_parity", **SETTINGS).fit(x, y, sensitive_features=a)
    with pytest.raises(DataError, match="expected two classes or more, got one"):
        DRAlignClassifier(**SETTINGS).fit(x, y.where(y == "9", "9"), sensitive_features=a)
