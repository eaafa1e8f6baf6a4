"""The method plugin: trained as erm, judged and kept with its scores shifted."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dralign.artifact import load_artifact, save_artifact
from dralign.data import DataSource
from dralign.errors import OptionError
from dralign.methods import build_method
from dralign.metrics import evaluate
from dralign.models import ShiftedNetwork
from dralign.postprocessing import CellModel, shifted
from dralign.study import TrialSpec, train_network
from dralign.training import Selection, TrainingSettings, predict_probability, train
from synthetic import dataset, perceptron

SETTINGS = TrainingSettings(epochs=3, iterations=10, batch_size=40, learning_rate=0.02)
DP = "demographic_parity"


def leaning():
    """Rows whose second input tells something of the group."""
    data = dataset()
    parts = {part: getattr(data, part) for part in ("train", "validation", "test")}
    column = torch.eye(6)[1]
    return replace(
        data,
        **{n: replace(one, x=one.x + 2 * one.group[:, None] * column) for n, one in parts.items()},
    )


def run(name: str, **options):
    data = leaning()
    torch.manual_seed(0)
    return data, train(perceptron(), data, build_method(name, **options), SETTINGS)


def test_at_a_weight_of_0_it_is_erm():
    (_, plain), (_, same) = run("erm"), run("plugin", fairness_weight=0.0)
    for one, other in zip(plain.history, same.history, strict=True):
        assert one.validation == other.validation
        assert one.test == other.test
        assert one.similarity == other.similarity


def test_its_figures_are_those_of_the_shifted_scores_of_the_network_of_erm():
    (data, plain), (_, result) = run("erm"), run("plugin", fairness_weight=0.3)
    for name, weight in plain.model.state_dict().items():
        assert torch.equal(weight, result.model.state_dict()[name])
    rows = data.train
    cells = CellModel.fit(rows.x, rows.y, rows.group, gap=DP, n_groups=2)
    valid, test = (
        predict_probability(plain.model, part.x).double().numpy()
        for part in (data.validation, data.test)
    )
    shift, _ = cells.shift_for(valid, data.validation.x)
    assert shift.to_parity > 0.3
    f = shifted(test, shift.amount(cells.probabilities(data.test.x)), 0.3)
    wanted = evaluate(data.test.y.numpy(), f, data.test.group.numpy(), n_groups=2)
    last = result.history[-1]
    for name in ("average_precision", f"base_rate_{DP}", f"soft_{DP}", f"hard_{DP}", "accuracy"):
        assert np.isclose(last.test[name], wanted[name], atol=1e-5)
    assert last.test[f"soft_{DP}"] < 0.9 * plain.history[-1].test[f"soft_{DP}"]
    assert last.similarity == plain.history[-1].similarity


def test_more_weight_than_equal_rates_need_does_not_turn_the_gap_around():
    """As with gap regularisation, whose least loss is at equal rates from some weight on."""
    (data, plain), (_, result), (_, more) = (
        run("erm"), *(run("plugin", fairness_weight=c) for c in (5.0, 50.0)),
    )  # fmt: skip
    cells = CellModel.fit(data.train.x, data.train.y, data.train.group, gap=DP, n_groups=2)
    prob = predict_probability(plain.model, data.validation.x).double().numpy()
    shift, _ = cells.shift_for(prob, data.validation.x)
    assert 0 < shift.to_parity < 5
    assert result.history[-1].test == more.history[-1].test
    rows = data.validation
    signed = [
        evaluate(rows.y.numpy(), f, rows.group.numpy(), n_groups=2)[f"soft_{DP}"]
        for f in (prob, shifted(prob, shift.amount(cells.probabilities(rows.x)), shift.to_parity))
    ]
    assert abs(signed[1]) < 0.3 * abs(signed[0])


def test_the_chosen_epoch_is_judged_by_its_own_network():
    data, result = run("plugin", fairness_weight=0.3)
    record = result.restore(Selection("highest_ap"), DP)
    prob = predict_probability(result.judged(data), data.test.x).numpy()
    figures = evaluate(data.test.y.numpy(), prob, data.test.group.numpy(), n_groups=2)
    assert figures["average_precision"] == record.test["average_precision"]


def test_a_trained_one_is_saved_whole_and_read_back(tmp_path):
    spec = TrialSpec(
        DataSource("german"), "plugin", fairness_weight=0.2, epochs=1, iterations=5, hidden=4
    )
    with pytest.warns(UserWarning, match="german, paper preparation"):
        trained = train_network(spec)
    folder = save_artifact(trained.artifact, tmp_path / "net")
    again = load_artifact(folder)
    assert isinstance(again.model, ShiftedNetwork)
    x = torch.randn(20, again.architecture["network"]["n_inputs"])
    before = predict_probability(trained.artifact.model, x)
    assert torch.equal(before, predict_probability(again.model, x))
    assert "a linear model of the groups shifts its scores" in (folder / "README.md").read_text()


def test_images_are_refused():
    data = dataset()
    images = replace(data.train, x=torch.zeros(len(data.train), 3, 8, 8))
    method = build_method("plugin")
    with pytest.raises(OptionError, match="'plugin' needs rows of numbers, not images"):
        method.adjustment(replace(data, train=images))
