"""A gap bound: lambda follows the validation gap, every gap method takes it, and it is met."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from dralign.data import Dataset, Split
from dralign.errors import GroupError, OptionError
from dralign.gaps import resolve_gap
from dralign.methods import build_method, users_of
from dralign.metrics import evaluate, gap_measure_names
from dralign.models import mlp
from dralign.training import (
    Selection,
    Training,
    TrainingSettings,
    bound,
    predict_probability,
    seeded,
    train,
)
from dralign.training.bound import DualAscent
from switched_off import method_of
from synthetic import dataset

DP, EO = "demographic_parity", "equalized_odds"


def ascent(limit: float = 0.1, *, measure="soft", data=None, gap: str = DP) -> DualAscent:
    return DualAscent(limit, measure=measure, dataset=data or dataset(), gap=resolve_gap(gap))


class Steps(nn.Module):
    """A network whose demographic parity gap on the validation rows is set by hand."""

    def __init__(self, group: torch.Tensor) -> None:
        super().__init__()
        self.group, self.gap = group, 0.0
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        code = torch.cat([torch.zeros(int((self.group == 0).sum())), torch.ones(len(x))])[: len(x)]
        return torch.logit(0.25 + self.gap * code)[:, None]


def follow(gaps: list[float], limit: float = 0.1) -> list[float]:
    """Lambda after each of the measured gaps."""
    data = dataset(n=200)
    model, found = Steps(data.validation.group), []
    climbing = ascent(limit, data=data)
    for model.gap in gaps:
        climbing.observe(model)
        found.append(climbing.multiplier)
    return found


def test_lambda_moves_by_its_formula():
    gaps, expected, lam = [0.3, 0.12, 0.2, 0.04, 0.0, 0.09], [], 0.0
    for gap in gaps:
        lam = max(lam + 0.2 * (lam + 0.1) * min(gap / (0.8 * 0.1) - 1, 1), 0)
        expected.append(lam)
    assert follow(gaps) == pytest.approx(expected, rel=1e-4)


def test_lambda_is_never_negative_comes_back_to_zero_and_is_capped():
    assert follow([0.0] * 3) == [0, 0, 0]
    assert follow([0.5] * 4 + [0.0] * 20)[-1] == 0
    assert follow([0.5] * 60)[-1] == bound.LARGEST


def test_lambda_knows_no_scale_but_the_bound():
    one, other = follow([0.3, 0.05, 0.2], 0.2), follow([0.03, 0.005, 0.02], 0.02)
    assert one == pytest.approx(other, rel=1e-4)


@pytest.mark.parametrize("n_groups", [2, 4])
@pytest.mark.parametrize("gap", [DP, EO])
@pytest.mark.parametrize("measure", gap_measure_names())
def test_measured_gap_is_that_of_the_record(gap, n_groups, measure):
    data = dataset(n_groups=n_groups)
    with seeded(0):
        model = mlp(6, hidden=8)
    rows = data.validation
    prob = predict_probability(model, rows.x).numpy()
    figures = evaluate(rows.y.numpy(), prob, rows.group.numpy(), n_groups=n_groups)
    climbing = ascent(0.001, measure=measure, data=data, gap=gap)
    climbing.multiplier = 1.0
    climbing.observe(model)
    excess = min(figures[f"{measure}_{gap}"] / 0.0008 - 1, 1)
    assert climbing.multiplier == pytest.approx(1 + 0.2 * 1.1 * excess)


def test_large_groups_are_thinned_evenly_and_rows_of_no_group_left_out(monkeypatch):
    monkeypatch.setattr(bound, "MOST_ROWS", 3)
    group = torch.tensor([0, 0, 0, 0, 0, 1, 1, -1, 0, 0])
    assert bound._thinned(group, 3).tolist() == [0, 3, 9, 5, 6]


def test_measuring_leaves_the_mode_and_randomness_alone():
    with seeded(0):
        model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))
    model.train()
    before = {name: x.clone() for name, x in model.state_dict().items()}
    state = torch.get_rng_state()
    ascent().observe(model)
    assert model.training
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(x, before[name]) for name, x in model.state_dict().items())


def test_bound_on_a_gap_that_validation_rows_do_not_define_is_an_error():
    data = dataset()
    rows = data.validation
    data = replace(data, validation=Split(rows.x, rows.y, torch.zeros_like(rows.group)))
    with pytest.raises(GroupError, match="gap_bound: demographic_parity is undefined on the valid"):
        ascent(data=data).observe(mlp(6, hidden=8))


def leaning() -> Dataset:
    """Data whose second input tells the group, on which the label leans."""
    data = dataset(n=600)

    def part(rows: Split) -> Split:
        x = rows.x.clone()
        x[:, 1] += 2 * rows.group
        return Split(x, rows.y, rows.group)

    parts = {name: part(getattr(data, name)) for name in ("train", "validation", "test")}
    return replace(data, **parts)


def bounded(method: str, limit: float | None, **options) -> Training:
    built = method_of(method, gap_bound=limit, **options) if limit else method_of(method)
    with seeded(0):
        model = mlp(6, hidden=16)
    settings = TrainingSettings(epochs=6, iterations=40, batch_size=60, gap_bound=limit)
    return train(model, leaning(), built, replace(settings, learning_rate=5e-3))


@pytest.mark.parametrize(
    ("method", "options"),
    [(name, {}) for name in users_of("fairness_weight") if name != "plugin"]  # it shifts afterwards
    + [("dralign", {"penalty": "mixup"})],
)
def test_every_gap_method_meets_a_bound_that_plain_training_breaks(method, options):
    plain = bounded("gap", None).history
    assert all(not record.keeps(0.1, DP, "base_rate") for record in plain[1:])
    assert all(record.found_weight is None for record in plain)
    result = bounded(method, 0.1, **options)
    chosen = result.restore(Selection.of(gap_bound=0.1), DP)
    assert chosen.keeps(0.1, DP, "base_rate")
    assert chosen.found_weight > 0
    assert chosen.test["average_precision"] > 0.75


def test_bound_that_is_kept_without_a_penalty_trains_as_weight_zero():
    loose, plain = bounded("gap", 1.0), bounded("gap", None)
    assert all(record.found_weight == 0 for record in loose.history)
    for name, weights in plain.states[-1].items():
        assert torch.equal(weights, loose.states[-1][name])


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("erm", {}, "gap_bound: the method 'erm' has no weight to find; .* gap, dralign, mixup"),
        ("gap", {"fairness_weight": 0.2}, "fairness_weight: gap_bound finds the weights; give one"),
        ("dralign", {"alignment_weight": 0.1}, "alignment_weight: gap_bound finds the weights"),
    ],
)
def test_weight_beside_a_bound_or_without_a_use_is_refused(name, given, message):
    with pytest.raises(OptionError, match=message):
        build_method(name, gap_bound=0.1, **given)


@pytest.mark.parametrize("limit", [0, -0.1, float("nan"), float("inf")])
def test_bound_that_is_not_positive_is_refused(limit):
    with pytest.raises(OptionError, match="gap_bound: expected a positive number, got"):
        TrainingSettings(gap_bound=limit)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, Selection()),
        ({"gap_bound": 0.1}, Selection("highest_ap_under_bound", bound=0.1)),
        ({"gap_bound": 0.1, "bound": 0.2}, Selection("highest_ap_under_bound", bound=0.2)),
        ({"gap_bound": 0.1, "rule": "last", "warmup": 0}, Selection("last", 0)),
    ],
)
def test_selection_follows_the_gap_bound_unless_told_otherwise(given, expected):
    assert Selection.of(**given) == expected
