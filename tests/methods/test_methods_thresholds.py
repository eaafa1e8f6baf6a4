"""Per-group thresholds equalise the rates of the gap, at the highest accuracy there is."""

from itertools import product

import numpy as np
import pytest
import torch

from dralign.gaps import resolve_gap
from dralign.methods.thresholds import DEFAULT_THRESHOLD, fit_thresholds
from dralign.metrics import evaluate
from dralign.models import mlp
from dralign.training import TrainingSettings, train
from switched_off import method_of
from synthetic import dataset

DP, EO, EOP = "demographic_parity", "equalized_odds", "equal_opportunity"


def scored(n: int = 600, *, n_groups: int = 2, seed: int = 0):
    """Probabilities that lean on the group more than the labels do."""
    generator = torch.Generator().manual_seed(seed)
    group = torch.randint(n_groups, (n,), generator=generator)
    signal = torch.randn(n, generator=generator) + 0.5 * group
    y = (signal + torch.randn(n, generator=generator) > 0.5).long()
    prob = torch.sigmoid(2 * signal + 0.8 * group - 1)
    return prob, y, group


def rates(decision, y, gap) -> np.ndarray:
    """The rates that the hard gap compares, of one group."""
    strata = {DP: [y >= 0], EOP: [y == 1], EO: [y == 0, y == 1]}[gap]
    return np.array([float(decision[rows].float().mean()) for rows in strata])


def naive(prob, y, group, gap, targets):
    """Every group's nearest threshold for every target, by trying all; the most accurate wins."""
    best = (-1.0, None)
    for target in targets:
        decisions, accuracy = [], 0.0
        for g in range(int(group.max()) + 1):
            p, label = prob[group == g], y[group == g]
            options = [p > 1, *[p >= t for t in p.unique().flip(0)]]
            far = [np.abs(rates(option, label, gap) - target).sum() for option in options]
            decisions.append(options[int(np.argmin(np.round(far, 12)))])
            accuracy += float((decisions[-1].long() == label).sum())
        if accuracy > best[0]:
            best = (accuracy, decisions)
    return best


@pytest.mark.parametrize(("gap", "n_groups"), list(product([DP, EO, EOP], [2, 3])))
def test_thresholds_are_those_of_a_plain_search(gap, n_groups):
    prob, y, group = scored(48, n_groups=n_groups)
    options = [prob > 1, *[prob >= t for t in prob.unique().flip(0)]]
    accuracy, _ = naive(prob, y, group, gap, [rates(option, y, gap) for option in options])
    found = fit_thresholds(prob, label=y, group=group, n_groups=n_groups, gap=resolve_gap(gap))
    assert float(((prob >= found[group]).long() == y).sum()) == accuracy


@pytest.mark.parametrize("gap", [DP, EO, EOP])
@pytest.mark.parametrize("seed", range(4))
def test_rows_with_one_probability_are_decided_alike(gap, seed):
    prob, y, group = scored(48, seed=seed)
    prob = (6 * prob).round() / 6
    options = [prob > 1, *[prob >= t for t in prob.unique().flip(0)]]
    accuracy, _ = naive(prob, y, group, gap, [rates(option, y, gap) for option in options])
    found = fit_thresholds(prob, label=y, group=group, n_groups=2, gap=resolve_gap(gap))
    assert float(((prob >= found[group]).long() == y).sum()) == accuracy


def test_where_nobody_is_to_be_selected_a_probability_of_one_is_not():
    prob, group = torch.tensor([1.0, 0.6, 1.0, 0.2]), torch.tensor([0, 0, 1, 1])
    y = torch.zeros(4, dtype=torch.int64)
    found = fit_thresholds(prob, label=y, group=group, n_groups=2, gap=resolve_gap(DP))
    assert not (prob >= found[group]).any()


@pytest.mark.parametrize("seed", range(1, 9))
def test_how_far_rates_are_apart_is_the_sum_of_their_differences(seed):
    """Of the two rates of equalized odds; the root of their squares would choose others."""
    prob, y, group = scored(30, seed=seed)
    options = [prob > 1, *[prob >= t for t in prob.unique().flip(0)]]
    accuracy, _ = naive(prob, y, group, EO, [rates(option, y, EO) for option in options])
    found = fit_thresholds(prob, label=y, group=group, n_groups=2, gap=resolve_gap(EO))
    assert float(((prob >= found[group]).long() == y).sum()) == accuracy


@pytest.mark.parametrize("n_groups", [2, 3])
@pytest.mark.parametrize("gap", [DP, EOP])
def test_a_gap_of_one_rate_is_closed_up_to_a_row(gap, n_groups):
    prob, y, group = scored(n_groups=n_groups)
    found = fit_thresholds(prob, label=y, group=group, n_groups=n_groups, gap=resolve_gap(gap))
    decision = prob >= found[group]
    cells = [(group == g) & ((y == 1) | (gap == DP)) for g in range(n_groups)]
    shares = [float(decision[cell].float().mean()) for cell in cells]
    assert max(shares) - min(shares) <= 1 / min(int(cell.sum()) for cell in cells)
    assert min(shares) > 0.2  # not by selecting nobody


def test_equalized_odds_shrinks_but_can_not_be_closed_by_one_threshold_a_group():
    prob, y, group = scored()
    found = fit_thresholds(prob, label=y, group=group, n_groups=2, gap=resolve_gap(EO))
    decision = (prob >= found[group]).double()
    halves = evaluate(y.numpy(), prob.numpy(), group.numpy(), n_groups=2)[f"hard_{EO}"]
    decided = evaluate(y.numpy(), decision.numpy(), group.numpy(), n_groups=2)[f"hard_{EO}"]
    assert 0 < decided < halves / 2


def test_parity_costs_accuracy_no_more_than_the_best_common_rate_does():
    """With equal base rates and scores there is nothing to pay."""
    prob, y, _ = scored()
    both, labels = torch.cat([prob, prob]), torch.cat([y, y])
    group = torch.arange(2).repeat_interleave(len(prob))
    found = fit_thresholds(both, label=labels, group=group, n_groups=2, gap=resolve_gap(DP))
    assert float(found[0]) == float(found[1])
    right = ((both >= found[group]).long() == labels).float().mean()
    assert right >= ((both >= 0.5).long() == labels).float().mean() - 2 / len(prob)


@pytest.mark.parametrize(
    ("keep", "gap"),
    [
        (lambda y, group: group == 0, DP),
        (lambda y, group: (group == 0) | (y == 0), EO),
        (lambda y, group: group < 0, EOP),
    ],
    ids=["one group", "a group without positives", "no rows"],
)
def test_a_group_without_the_rows_it_needs_keeps_one_half(keep, gap):
    prob, y, group = scored()
    rows = keep(y, group)
    found = fit_thresholds(
        prob[rows], label=y[rows], group=group[rows], n_groups=2, gap=resolve_gap(gap)
    )
    assert found.tolist() == [DEFAULT_THRESHOLD] * 2


@pytest.mark.parametrize("seed", range(5))
def test_rows_without_a_group_take_no_part(seed):
    """Neither do their rates, at which targets lie."""
    prob, y, group = scored(30, seed=seed)
    found = fit_thresholds(prob, label=y, group=group, n_groups=2, gap=resolve_gap(DP))
    more = fit_thresholds(
        torch.cat([prob, prob[:7] / 3]),
        label=torch.cat([y, y[:7]]),
        group=torch.cat([group, torch.full((7,), -1)]),
        n_groups=2,
        gap=resolve_gap(DP),
    )
    assert torch.equal(found, more)


def test_the_network_is_that_of_erm_and_only_the_method_post_processes():
    data, weights = dataset(), []
    for name in ("erm", "thresholds"):
        torch.manual_seed(0)
        model = mlp(6, hidden=8)
        train(model, data, method_of(name), TrainingSettings(1, 20, 30))
        weights.append(torch.cat([p.flatten() for p in model.parameters()]))
    assert torch.equal(*weights)
    assert method_of("erm").post_process is None
    prob, y, group = scored()
    fit = method_of("thresholds", gap=EOP).post_process
    assert fit is not None
    expected = fit_thresholds(prob, label=y, group=group, n_groups=2, gap=resolve_gap(EOP))
    assert torch.equal(fit(prob, label=y, group=group, n_groups=2), expected)
