"""The plug-in's scores are those of a plain search over all scores, and its front is measured."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize, minimize_scalar

from dralign.errors import GroupError, OptionError
from dralign.metrics import base_rate_gap, soft_demographic_parity_difference
from dralign.models import mlp, shifted_logits
from dralign.postprocessing import (
    CellModel,
    ComparedCells,
    fit_cells,
    fit_shift,
    front_of,
    shift_network,
    shifted,
)

DP, EO, EOP = "demographic_parity", "equalized_odds", "equal_opportunity"


def population(n: int = 3000, *, n_groups: int = 2, seed: int = 0):
    """Inputs that tell something of the group, true probabilities, labels and groups."""
    draw = np.random.default_rng(seed)
    group = draw.integers(0, n_groups, n)
    x = draw.normal(size=(n, 4)) + 0.8 * np.eye(4)[group]
    prob = 1 / (1 + np.exp(-(x @ [1.0, 0.4, -0.6, 0.2] - 0.4)))
    return x, prob, (draw.random(n) < prob).astype(np.int64), group


def fitted(gap: str, n_groups: int, *, seed: int = 0):
    x, prob, y, group = population(n_groups=n_groups, seed=seed)
    x, y, group = torch.tensor(x).float(), torch.tensor(y), torch.tensor(group)
    return CellModel.fit(x, y, group, gap=gap, n_groups=n_groups), x, prob, y.numpy(), group.numpy()


@pytest.mark.parametrize("k", [-6.0, -1.0, -0.3, 0.2, 1.0, 1.01, 5.0])
def test_a_shifted_score_minimises_the_expected_log_loss_plus_the_shift_times_it(k):
    for p in (1e-6, 0.02, 0.3, 0.5, 0.9, 1 - 1e-6):

        def cost(f, p=p):
            return -p * np.log(f) - (1 - p) * np.log(1 - f) + k * f

        best = minimize_scalar(cost, bounds=(1e-12, 1 - 1e-12), method="bounded")
        result = shifted(np.array([p]), np.array([1.0]), k)[0]
        assert cost(result) <= cost(best.x) + 1e-12
        assert abs(result - best.x) < 1e-5


def test_a_shift_keeps_its_digits_in_float32_and_for_extreme_scores():
    z = torch.linspace(-25, 25, 201)
    for k in (-8.0, -1.0001, -0.2, 0.0, 0.7, 0.9999, 3.0):
        shift = torch.full_like(z, k)
        exact = shifted_logits(z.double(), shift.double())
        assert torch.allclose(shifted_logits(z, shift).double(), exact, atol=2e-3)
    extreme = torch.tensor([-1e4, 1e4])
    assert torch.isfinite(shifted_logits(extreme, torch.tensor([4.0, -4.0]))).all()
    assert torch.equal(shifted_logits(z, torch.zeros_like(z)), z)


def test_at_one_half_a_row_is_selected_from_a_probability_of_a_half_and_a_quarter_of_its_shift():
    """The decisions are those of Menon and Williamson (2018)."""
    prob, amount = np.linspace(0.01, 0.99, 99), np.linspace(-1, 1, 99)[::-1]
    for weight in (0.3, 1.5):
        clear = np.abs(prob - 0.5 - weight * amount / 4) > 1e-9
        decided = shifted(prob, amount, weight) >= 0.5
        assert (decided == (prob >= 0.5 + weight * amount / 4))[clear].all()


@pytest.mark.parametrize(("gap", "n_groups"), [(DP, 2), (DP, 3), (EO, 2), (EOP, 3)])
def test_the_line_ends_where_the_expected_rates_of_the_cells_are_equal(gap, n_groups):
    model, x, prob, _, _ = fitted(gap, n_groups)
    likely = model.probabilities(x)
    shift = fit_shift(prob, likely, model.shares, model.cells)
    f = shifted(prob, shift.amount(likely), shift.to_parity)
    rates = (likely / model.shares).T @ f / len(f)
    before = (likely / model.shares).T @ prob / len(prob)
    strata = len(model.cells.strata)
    for rate, old in zip(
        rates[: strata * n_groups].reshape(strata, -1),
        before[: strata * n_groups].reshape(strata, -1),
        strict=True,
    ):
        assert np.ptp(rate) < 0.002 < np.ptp(old)


def test_the_multipliers_of_three_groups_are_those_of_a_plain_optimiser():
    model, x, prob, _, _ = fitted(DP, 3)
    ratio = model.probabilities(x) / model.shares

    def least(pair):
        k = ratio @ np.array([pair[0], pair[1], -pair[0] - pair[1]])
        f = shifted(prob, k, 1.0)
        return -np.mean(-prob * np.log(f) - (1 - prob) * np.log(1 - f) + k * f)

    best = minimize(least, [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-6}).x
    shift = fit_shift(prob, model.probabilities(x), model.shares, model.cells)
    result = shift.per_cell * model.shares * shift.to_parity
    assert np.allclose(result, [*best, -best.sum()], atol=2e-3)
    assert np.isclose(np.ptp(shift.per_cell * model.shares), 2)


def test_two_groups_are_moved_by_one_each_way_whichever_is_ahead():
    model, x, prob, _, _ = fitted(DP, 2)
    shift, _ = model.shift_for(prob, x)
    turned, _ = model.shift_for(1 - prob, x)
    ahead = int((prob @ (model.probabilities(x) / model.shares)).argmax())
    assert np.allclose(shift.per_cell * model.shares, [1 if g == ahead else -1 for g in (0, 1)])
    assert np.allclose(shift.per_cell, -turned.per_cell)


def test_inputs_that_tell_nothing_of_the_group_leave_one_point():
    draw = np.random.default_rng(0)
    prob, group = draw.random(500), draw.integers(0, 2, 500)
    cells = ComparedCells.of(DP, 2)
    shift = fit_shift(prob, np.full((500, 2), 0.5), np.array([0.5, 0.5]), cells)
    label = (prob > 0.5).astype(np.int64)
    front = front_of(prob, np.zeros(500), shift, label=label, group=group, n_groups=2, gap=DP)
    assert shift.to_parity == 0
    assert [point.weight for point in front.points] == [0]
    assert front.select(0.0, "soft") == (front.points[0], False)


@pytest.mark.parametrize("gap", [DP, EO, EOP])
def test_a_group_that_is_missing_and_a_row_without_one_take_no_part(gap):
    x, prob, y, group = population(400)
    group[:40] = -1
    rows = (torch.tensor(x).float(), torch.tensor(y), torch.tensor(group))
    model = CellModel.fit(*rows, gap=gap, n_groups=3)  # the third has no rows
    some = group >= 0
    same = CellModel.fit(*(part[some] for part in rows), gap=gap, n_groups=3)
    assert np.allclose(model.shares, same.shares)
    shift, amount = model.shift_for(prob, rows[0])
    assert shift.per_cell[2] == 0
    assert np.isfinite(amount).all()
    known = model.shift_of_known(prob, group)[1]
    assert (known[:40] == 0).all()


def test_the_cell_model_is_the_logistic_regression_of_scikit_learn():
    from sklearn.linear_model import LogisticRegression

    x, _, _, group = population(800, n_groups=3)
    model = fit_cells(torch.tensor(x).float(), torch.tensor(group), 3)
    other = LogisticRegression(max_iter=500, tol=1e-8).fit(x.astype(np.float32), group)
    with torch.no_grad():
        ours = model(torch.tensor(x).float()).softmax(1).numpy()
    assert np.allclose(ours, other.predict_proba(x), atol=2e-4)
    with pytest.raises(GroupError, match="no row has a group to learn from"):
        fit_cells(torch.ones(3, 2), torch.full((3,), -1), 2)


def test_the_network_says_what_the_arrays_say():
    model, x, _, _, _ = fitted(EO, 2)
    torch.manual_seed(0)
    network = mlp(4, hidden=5)
    with torch.no_grad():
        prob = network(x).sigmoid()[:, 0].double().numpy()
        shift, amount = model.shift_for(prob, x)
        whole = shift_network(network, model, shift, 0.3)
        result = whole(x).sigmoid()[:, 0].numpy()
    assert np.allclose(result, shifted(prob, amount, 0.3), atol=1e-5)
    assert network.training


@pytest.mark.parametrize("gap", [DP, EO, EOP])
def test_with_the_group_known_shifts_by_group_and_label_say_the_same(gap):
    model, _, prob, _, group = fitted(gap, 2)
    shift, amount = model.shift_of_known(prob, group)
    by_group = model.cells.by_group(shift.per_cell)[group]
    assert np.allclose(amount, by_group[:, 0] * (1 - prob) + by_group[:, 1] * prob)


def test_the_front_has_the_figures_of_its_rows_and_the_smallest_weight_that_does_is_taken():
    model, x, prob, y, group = fitted(DP, 2)
    shift, amount = model.shift_for(prob, x)
    front = front_of(prob, amount, shift, label=y, group=group, n_groups=2, gap=DP)
    weights = [point.weight for point in front.points]
    assert weights == sorted(weights)
    assert weights[0] == 0
    gaps = [
        base_rate_gap(y, shifted(prob, amount, weight), sensitive_features=group)
        for weight in weights
    ]
    assert np.allclose([point.gap("base_rate", DP) for point in front.points], gaps)
    chosen, met = front.select(0.1, "base_rate")
    assert met
    assert chosen.weight == next(w for w, gap in zip(weights, gaps, strict=True) if gap <= 0.1)
    soft = soft_demographic_parity_difference(
        y, shifted(prob, amount, shift.to_parity), sensitive_features=group
    )
    assert soft < 0.03
    assert front.select(0.0, "base_rate") == (front.points[int(np.argmin(gaps))], False)
    assert front.rows()[5]["base_rate"] == gaps[5]


def test_a_gap_without_a_shift_is_refused():
    with pytest.raises(OptionError, match="scores can be shifted for demographic_parity, equal"):
        ComparedCells.of("predictive_parity", 2)
