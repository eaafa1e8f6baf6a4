"""Each method's gradient is that of its printed formula; zero weights share one path."""

from importlib.metadata import EntryPoint

import numpy as np
import pytest
import torch

from dralign import extensions
from dralign.errors import OptionError
from dralign.methods import (
    build_method,
    method_names,
    method_options,
    method_type,
    method_types,
    used_options,
    users_of,
)
from dralign.rationale import per_sample_loss
from dralign.step import Batch, Sampler
from dralign.training import TrainingSettings, train
from switched_off import method_of
from synthetic import dataset, perceptron

DP, EO = "demographic_parity", "equalized_odds"


def one_batch(balance: str, *, n_groups: int = 2) -> Batch:
    rows = dataset(n_groups=n_groups).train
    sampler = Sampler(
        rows.y,
        rows.group,
        balance=balance,
        rows_per_block=20,
        n_blocks=n_groups,
        n_groups=n_groups,
        generator=np.random.default_rng(0),
    )
    drawn = sampler.draw()
    return Batch(rows.x[drawn].double(), rows.y[drawn], rows.group[drawn], sampler.blocks)


def gradients(method, batch: Batch) -> list[torch.Tensor]:
    model = perceptron().double()
    step = method.begin(model, n_groups=2, generator=torch.Generator())
    step(batch)
    return [parameter.grad for parameter in model.parameters()]


def formula(batch: Batch, gap: str, lam: float, beta: float, loss: str, granularity: str):
    """L_cls + lambda * gap + beta * L_dF of Algorithms 1 and 2, written out for two groups."""
    model = perceptron().double()
    cells = [(g, y) for y in (0, 1) for g in (0, 1)] if gap == EO else [(0, None), (1, None)]
    mean, score, count = {}, {}, {}
    for g, y in cells:
        rows = (batch.group == g) & (
            torch.ones_like(batch.y, dtype=torch.bool) if y is None else batch.y == y
        )
        logits = model(batch.x[rows])[:, 0]
        mean[g, y] = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, batch.y[rows].double()
        )
        score[g, y], count[g, y] = torch.sigmoid(logits).mean(), int(rows.sum())
    if loss == "group_sum":
        total = sum(mean.values())
    else:
        total = sum(mean[c] * count[c] for c in cells) / sum(count.values())
    for y in sorted({y for _, y in cells}, key=str):
        total = total + lam * (score[0, y] - score[1, y]).abs()
        for weight in (p for p in model.parameters() if p.ndim == 2):
            c = []
            for g in (0, 1):
                (grad,) = torch.autograd.grad(mean[g, y], weight, create_graph=True)
                influence = (grad * weight) ** 2
                c.append(influence.sum(1) if granularity == "unit" else influence.flatten())
            total = total - beta * (c[0] @ c[1]) / (c[0].norm() * c[1].norm())
    return list(torch.autograd.grad(total, list(model.parameters())))


@pytest.mark.parametrize("gap", [DP, EO])
@pytest.mark.parametrize("loss", ["batch_mean", "group_sum"])
@pytest.mark.parametrize("granularity", ["unit", "parameter"])
@pytest.mark.parametrize(
    ("name", "lam", "beta"),
    [("oversample", 0, 0), ("gap", 0.3, 0), ("dralign", 0.3, 0.05), ("dralign", 0, 0.1)],
)
def test_gradient_is_that_of_the_formula(name, lam, beta, gap, loss, granularity):
    batch = one_batch("cell" if gap == EO else "group")
    method = method_of(
        name,
        gap=gap,
        fairness_weight=lam,
        alignment_weight=beta,
        **({"granularity": granularity} if name == "dralign" else {}),
        loss=loss,
    )
    expected = formula(batch, gap, lam, beta, loss, granularity)
    for found, wanted in zip(gradients(method, batch), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)


def test_erm_takes_the_mean_over_a_uniform_batch():
    batch = one_batch("uniform")
    model = perceptron().double()
    per_sample_loss(model(batch.x), batch.y).mean().backward()
    for found, parameter in zip(
        gradients(method_of("erm"), batch), model.parameters(), strict=True
    ):
        torch.testing.assert_close(found, parameter.grad)


@pytest.mark.parametrize("gap", [DP, EO])
def test_zero_weights_make_three_methods_bit_identical(gap):
    data, weights = dataset(), []
    for name in ("oversample", "gap", "dralign"):
        model = perceptron()
        method = method_of(name, gap=gap)
        train(model, data, method, TrainingSettings(epochs=1, iterations=20, batch_size=30))
        weights.append(torch.cat([p.flatten() for p in model.parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert torch.equal(weights[0], weights[2])


def test_only_the_last_layers_are_aligned_when_asked():
    batch = one_batch("group")
    whole = gradients(method_of("dralign", alignment_weight=0.5), batch)
    last = gradients(method_of("dralign", alignment_weight=0.5, layers=1), batch)
    assert not torch.allclose(whole[0], last[0])


def test_alignment_every_third_step_has_three_times_its_weight():
    batch = one_batch("group")
    sparse = {"fairness_weight": 0.3, "alignment_weight": 0.1, "alignment_every": 3}
    model = perceptron().double()
    step = method_of("dralign", **sparse).begin(model, n_groups=2, generator=torch.Generator())
    aligned = gradients(method_of("dralign", fairness_weight=0.3, alignment_weight=0.3), batch)
    between = gradients(method_of("gap", fairness_weight=0.3), batch)
    for expected in (aligned, between, between, aligned):
        model.zero_grad()
        step(batch)
        for parameter, wanted in zip(model.parameters(), expected, strict=True):
            torch.testing.assert_close(parameter.grad, wanted)


@pytest.mark.parametrize("n_groups", [2, 3])
@pytest.mark.parametrize(
    ("name", "gap"),
    [(name, gap) for name in method_names() for gap in method_type(name).supported_gaps()],
)
def test_every_method_trains_for_every_gap_and_number_of_groups(name, gap, n_groups):
    method = method_of(
        name,
        gap=gap,
        fairness_weight=0.1 if name in users_of("fairness_weight") else 0,
        alignment_weight=0.01 if name == "dralign" else 0,
    )
    result = train(
        perceptron(),
        dataset(n_groups=n_groups),
        method,
        TrainingSettings(epochs=1, iterations=3, batch_size=20),
    )
    (record,) = result.history
    assert 0 < record.loss < 3
    top = {"demographic_parity": 3, "equal_opportunity": 3}.get(gap, 6)
    assert 0 < record.similarity_total("unit") <= top + 1e-6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "fair"}, "unknown method 'fair'; known: erm, oversample, gap, dralign, "),
        ({"name": "gap", "gap": "parity"}, "unknown gap 'parity'; known: demographic_parity"),
        ({"name": "gap", "fairness_weight": -1}, "fairness_weight: expected a number from 0 up"),
        ({"name": "gap", "fairness_weight": float("nan")}, "fairness_weight: expected a number"),
        ({"name": "erm", "fairness_weight": 1}, "'erm' does not use it, got 1"),
        ({"name": "gap", "alignment_weight": 1}, "alignment_weight: the method 'gap' does not"),
        ({"name": "mixup", "gap": "predictive_parity"}, "'mixup' supports demographic_parity, eq"),
        ({"name": "adversarial", "gap": "predictive_parity"}, "supports .*, got 'predictive_pari"),
        (
            {"name": "dralign", "penalty": "mixup", "gap": "equal_opportunity"},
            "'dralign with the mixup penalty' supports demographic_parity, equalized_odds, got",
        ),
        ({"name": "dralign", "penalty": "cutmix"}, "unknown penalty 'cutmix'; known: gap, mixup"),
        ({"name": "gap", "penalty": "mixup"}, "penalty: the method 'gap' does not use it, got 'm"),
        ({"name": "gap", "mixup_layer": "1"}, "mixup_layer: the method 'gap' does not use it"),
        ({"name": "dralign", "mixup_layer": "1"}, "mixup_layer: means nothing beside the other"),
        ({"name": "erm", "aggregate": "mean"}, "aggregate: the method 'erm' does not use it"),
        ({"name": "gap", "strength": 1}, "unknown setting 'strength'; known: fairness_weight, "),
        ({"name": "gap", "aggregate": "sum"}, "unknown aggregate 'sum'; known: max, mean"),
        (
            {"name": "dralign", "alignment_every": 0},
            "alignment_every: expected a whole number from 1",
        ),
        ({"name": "dralign", "alignment_every": 1.5}, "alignment_every: expected a whole number"),
        ({"name": "gap", "alignment_every": 2}, "alignment_every: the method 'gap' does not use"),
        ({"name": "gap", "loss": "sum"}, "unknown loss 'sum'; known: batch_mean"),
    ],
)
def test_bad_options_say_what_is_known(options, message):
    with pytest.raises(OptionError, match=message):
        build_method(**options)


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("erm", {}, {}),
        ("gap", {}, {"fairness_weight": 0.2}),
        ("dralign", {}, {"fairness_weight": 0.2, "alignment_weight": 0.02, "alignment_every": 8}),
        ("dralign", {"fairness_weight": 0.5}, {"alignment_weight": 0.05}),
        ("dralign", {"fairness_weight": 0.5, "alignment_weight": 0}, {"alignment_weight": 0}),
        ("dralign", {"fairness_weight": 0, "alignment_weight": 0.3}, {"fairness_weight": 0}),
        ("dralign", {"fairness_weight": None, "alignment_every": 1}, {"fairness_weight": 0.2}),
    ],
)
def test_what_is_not_given_takes_the_methods_own_default(name, given, expected):
    options = method_options(method_type(name), given)
    assert options.keys() == set(method_type(name).setting_names)
    assert {key: options[key] for key in expected} == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("erm", {}, "gap_bound: the method 'erm' has no weight to find; methods .*: gap, dralign"),
        ("gap", {"fairness_weight": 0.2}, "fairness_weight: gap_bound finds the weights; give one"),
        ("dralign", {"alignment_weight": 0.2}, "alignment_weight: gap_bound finds the weights"),
    ],
)
def test_a_bound_stands_in_for_weights_and_not_beside_them(name, given, message):
    with pytest.raises(OptionError, match=message):
        method_options(method_type(name), given, gap_bound=0.1)


def test_what_installed_packages_name_is_imported_when_methods_are_asked_for(monkeypatch):
    imported, named = [], EntryPoint("tilted", "string", extensions.ENTRY_POINTS)
    monkeypatch.setattr(EntryPoint, "load", lambda point: imported.append(point.value))
    monkeypatch.setattr(extensions, "entry_points", lambda group: [named] * (group == named.group))
    extensions.load_extensions.cache_clear()
    assert "gap" in method_names()
    assert method_types()
    assert imported == ["string"]


def test_alignment_weight_is_a_tenth_of_a_weight_that_is_found():
    assert dict(method_type("dralign").scaled) == {"fairness_weight": 1.0, "alignment_weight": 0.1}
    found = method_options(method_type("dralign"), {}, gap_bound=0.1)
    assert (found["fairness_weight"], found["alignment_weight"]) == (0, 0)
    built = build_method("dralign", gap_bound=0.1)
    assert (built.fairness_weight, built.alignment_weight) == (1.0, 0.1)


@pytest.mark.parametrize(("aggregate", "expected"), [("max", 0.6), ("mean", 0.4)])
@pytest.mark.parametrize("name", ["gap", "dralign"])
def test_the_gap_of_three_groups_is_put_together_as_the_settings_say(name, aggregate, expected):
    """Mean scores .2, .4 and .8 lie .2, .4 and .6 apart."""
    built = build_method(name, fairness_weight=0.5, aggregate=aggregate)
    scores, groups = torch.tensor([0.2, 0.4, 0.8]), torch.tensor([0, 1, 2])
    gap = built.gap(scores, groups, torch.tensor([0, 1, 1]), 3)
    assert float(gap) == pytest.approx(expected)


def test_settings_of_several_methods_are_dropped_where_they_mean_nothing():
    given = {"mixup_layer": "1", "alignment_every": 4, "aggregate": "mean", "penalty": "gap"}
    used = {kind.name: set(used_options(kind, given)) for kind in method_types()}
    assert used["erm"] == set()
    assert used["gap"] == {"aggregate"}
    assert used["mixup"] == {"mixup_layer", "aggregate"}
    assert used["dralign"] == {"alignment_every", "aggregate", "penalty"}
    mixed = used_options(method_type("dralign"), {**given, "penalty": "mixup"})
    assert set(mixed) == set(given)
