"""The smoothed all-cut-offs gap: its limit, what it does not see, derivatives, every corner."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dralign import metrics
from dralign.errors import DataError, GroupError, GroupTypeError, ModelError, OptionError
from dralign.gaps import gap_names, judged_by, resolve_gap, smooth_all_cutoffs_gap
from dralign.gaps.ranking import _selected

RANKINGS = {judged_by(name): name for name in gap_names() if judged_by(name) != name}
every_gap = pytest.mark.parametrize("gap", RANKINGS)
every_aggregate = pytest.mark.parametrize("aggregate", ["max", "mean"])


def batch(n: int, n_groups: int, seed: int = 0, *, lowest: int = 0) -> tuple[Tensor, ...]:
    """Logits that lean on label and group, group codes, labels."""
    draw = torch.Generator().manual_seed(seed)
    group = torch.randint(lowest, n_groups, (n,), generator=draw)
    label = (torch.rand(n, generator=draw) < 0.4).long()
    noise = torch.randn(n, dtype=torch.float64, generator=draw)
    return 1.5 * noise + 2 * label - 2 + 0.7 * group, group, label


def call(logits, group, label, n_groups: int = 2, **options) -> Tensor:
    return smooth_all_cutoffs_gap(logits, group, n_groups=n_groups, label=label, **options)


def exact(logits, group, label, gap: str) -> float:
    codes = [None if code < 0 else code for code in group.tolist()]
    return metrics.all_cutoffs_gap(
        label.numpy(), logits.detach().numpy(), sensitive_features=codes, gap=gap
    )


# --- what it is


def oracle(logits, group, label, gap, n_groups, aggregate, cutoffs, temperature) -> float:
    """Eq. 32 to 34 in plain loops; the cut-off by bisection, the widths from repeated rows."""
    rows = [
        (z, a, y)
        for z, a, y in zip(logits.tolist(), group.tolist(), label.tolist(), strict=True)
        if a >= 0
    ]
    # Every row 2 K times, so that 2 K parts of the ranking have whole numbers of them.
    falling = np.repeat(sorted((z for z, _, _ in rows), reverse=True), 2 * cutoffs)
    parts = falling.reshape(2 * cutoffs, len(rows)).mean(1)
    whole = parts[:cutoffs].mean() - parts[cutoffs:].mean()
    strata = {"demographic_parity": [{0, 1}], "equal_opportunity": [{1}]}.get(gap, [{0}, {1}])
    total = 0.0
    for k in range(cutoffs):
        h = temperature * (parts[2 * k] - parts[2 * k + 1] + 0.01 * whole)
        share, low, high = (k + 0.5) / cutoffs, -1e3, 1e3
        for _ in range(200):
            t = (low + high) / 2
            mean = np.mean([1 / (1 + np.exp(np.clip((t - z) / h, -700, 700))) for z, _, _ in rows])
            low, high = (t, high) if mean > share else (low, t)
        for kept in strata:
            rates = [
                np.mean(inside)
                for code in range(n_groups)
                if (
                    inside := [
                        1 / (1 + np.exp(np.clip((t - z) / h, -700, 700)))
                        for z, a, y in rows
                        if a == code and y in kept
                    ]
                )
            ]
            apart = [abs(one - other) for i, one in enumerate(rates) for other in rates[:i]]
            if apart:
                total += max(apart) if aggregate == "max" else sum(apart) / len(apart)
    return total / cutoffs


@every_gap
@every_aggregate
@pytest.mark.parametrize(("n", "n_groups", "lowest"), [(40, 2, 0), (45, 3, -1), (7, 4, -1)])
def test_equal_to_plain_loops(gap, aggregate, n, n_groups, lowest):
    """Also with missing codes and with groups and cells that are absent."""
    for seed, (cutoffs, temperature) in enumerate([(5, 1.0), (4, 0.3)]):
        logits, group, label = batch(n, n_groups, seed, lowest=lowest)
        options = {"gap": gap, "aggregate": aggregate, "cutoffs": cutoffs}
        ours = call(logits, group, label, n_groups, temperature=temperature, **options)
        expected = oracle(logits, group, label, gap, n_groups, aggregate, cutoffs, temperature)
        assert ours.item() == pytest.approx(expected, abs=1e-9)


def test_by_name_there_is_one_for_each_gap_that_a_ranking_has():
    assert RANKINGS == {
        "demographic_parity": "all_cutoffs_demographic_parity",
        "equalized_odds": "all_cutoffs_equalized_odds",
        "equal_opportunity": "all_cutoffs_equal_opportunity",
    }


@every_gap
@every_aggregate
def test_by_name_it_is_the_function_without_its_checks(gap, aggregate):
    logits, group, label = batch(50, 3, 1, lowest=-1)
    expected = call(logits, group, label, 3, gap=gap, aggregate=aggregate)
    named = resolve_gap(RANKINGS[gap], aggregate=aggregate)
    for output in (logits, logits[:, None]):
        assert torch.equal(named(named.of_rows(output), group, label, 3), expected)
    assert named.strata == resolve_gap(gap).strata
    assert named.judged_by == gap


@every_gap
@pytest.mark.parametrize("n_groups", [2, 3])
def test_it_becomes_the_exact_all_cutoffs_gap(gap, n_groups):
    """More cut-offs and a lower temperature: from within 6 % to within .4 %."""
    logits, group, label = batch(1000, n_groups)
    target = exact(logits, group, label, gap)
    for cutoffs, temperature, within in [(15, 1.0, 0.06), (50, 0.5, 0.015), (1000, 0.1, 0.004)]:
        value = call(
            logits, group, label, n_groups, gap=gap, cutoffs=cutoffs, temperature=temperature
        )
        assert value.item() == pytest.approx(target, rel=within)


def test_ties_are_selected_by_the_same_fraction_as_in_the_exact_gap():
    logits, group, label = batch(600, 2)
    logits = logits.round()
    assert len(logits.unique()) < 15
    value = call(logits, group, label, cutoffs=1000, temperature=0.01)
    assert value.item() == pytest.approx(
        exact(logits, group, label, "demographic_parity"), abs=1e-3
    )


@pytest.mark.parametrize("temperature", [0.01, 0.3, 1.0, 4.0])
def test_every_cutoff_selects_exactly_its_share_of_the_rows_that_count(temperature):
    logits, group, _ = batch(400, 2, lowest=-1)
    known = (group >= 0).double()
    shapes = {
        "smooth": logits,
        "ties": logits.round(),
        "two heaps": torch.where(logits > 0, logits + 50, logits),
        "long tail": torch.where(logits > 0, logits * 100, logits),
        "few values": (logits > 0).double(),
    }
    share = (torch.arange(15, dtype=torch.float64) + 0.5) / 15
    for name, score in shapes.items():
        mean = (_selected(score, known, 15, temperature) * known).sum(1) / known.sum()
        torch.testing.assert_close(mean, share, atol=1e-6, rtol=0, msg=name)


# --- what it does not see


@every_gap
@pytest.mark.parametrize(("factor", "shift"), [(0.5, 0.0), (1.0, -3.0), (7.0, 20.0), (1e-3, 0.0)])
def test_shifted_and_scaled_logits_have_the_same_gap(gap, factor, shift):
    logits, group, label = batch(300, 3)
    before = call(logits, group, label, 3, gap=gap)
    after = call(logits * factor + shift, group, label, 3, gap=gap)
    assert after.item() == pytest.approx(before.item(), abs=1e-12)
    single = call(logits.float() * factor + shift, group, label, 3, gap=gap)
    assert single.item() == pytest.approx(before.item(), abs=1e-5)


@every_gap
@every_aggregate
def test_the_gradient_neither_shifts_nor_scales_all_scores(gap, aggregate):
    """It is orthogonal to both directions: no step along it gains by moving the level."""
    logits, group, label = batch(300, 3, lowest=-1)
    logits.requires_grad_()
    value = call(logits, group, label, 3, gap=gap, aggregate=aggregate)
    (gradient,) = torch.autograd.grad(value, logits)
    assert gradient.abs().sum() > 0.01
    assert abs(gradient.sum().item()) < 1e-9 * gradient.abs().sum()
    along = gradient * logits.detach()
    assert abs(along.sum().item()) < 1e-9 * along.abs().sum()


def test_the_gradient_of_the_soft_gap_does_shift_all_scores():
    """Why this gap is here: the soft one can be lowered by lowering everybody."""
    from dralign import demographic_parity_gap

    logits, group, _ = batch(300, 2)
    logits.requires_grad_()
    soft = demographic_parity_gap(torch.sigmoid(logits), group, n_groups=2)
    (gradient,) = torch.autograd.grad(soft, logits)
    moved = demographic_parity_gap(torch.sigmoid(logits - 3), group, n_groups=2)
    assert moved.item() < 0.5 * soft.item()
    assert abs((gradient * logits.detach()).sum().item()) > 0.01


def test_huge_scores_of_a_few_do_not_hide_the_gap_of_the_rest():
    """An increasing transform that pulls the tail apart; one width for all would lose a third."""
    logits, group, label = batch(1000, 2)
    before = call(logits, group, label).item()
    tail = torch.where(logits > 1, 1 + 50 * (logits - 1), logits)
    assert exact(tail, group, label, "demographic_parity") == exact(
        logits, group, label, "demographic_parity"
    )
    assert call(tail, group, label).item() == pytest.approx(before, rel=0.05)


@every_gap
@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(-5, 5), st.integers(-1, 2), st.integers(0, 1)),
        min_size=1,
        max_size=20,
    )
)
def test_any_small_batch_is_in_range_with_a_finite_gradient(gap, rows):
    score, group, label = (torch.tensor(column) for column in zip(*rows, strict=True))
    score = score.double().requires_grad_()
    value = call(score, group, label, 3, gap=gap, cutoffs=6)
    assert 0 <= value.item() <= (2 if gap == "equalized_odds" else 1)
    (gradient,) = torch.autograd.grad(value, score)
    assert torch.isfinite(gradient).all()
    turned = call(score, torch.where(group < 0, -1, 2 - group), label, 3, gap=gap, cutoffs=6)
    assert turned.item() == pytest.approx(value.item(), abs=1e-9)


# --- derivatives


@every_gap
@every_aggregate
@pytest.mark.parametrize("n_groups", [2, 3])
def test_first_and_second_derivative(gap, aggregate, n_groups):
    logits, group, label = batch(18, n_groups, 7, lowest=-1)
    logits.requires_grad_()

    def value(logits: Tensor) -> Tensor:
        return call(logits, group, label, n_groups, gap=gap, aggregate=aggregate, cutoffs=4)

    assert torch.autograd.gradcheck(value, logits)
    assert torch.autograd.gradgradcheck(value, logits)


def test_following_the_gradient_lowers_the_exact_gap():
    logits, group, label = batch(400, 2)
    before = exact(logits, group, label, "demographic_parity")
    moving = logits.clone().requires_grad_()
    for _ in range(60):
        (gradient,) = torch.autograd.grad(call(moving, group, label), moving)
        moving = (moving - 30 * gradient).detach().requires_grad_()
    assert exact(moving, group, label, "demographic_parity") < 0.5 * before
    assert moving.mean().item() == pytest.approx(logits.mean().item())


# --- corners


EMPTY = {
    "one group only": ([1, 1, 1], [0, 1, 1]),
    "every group missing": ([-1, -1, -1], [0, 1, 1]),
    "no rows": ([], []),
}


@every_gap
@every_aggregate
@pytest.mark.parametrize(("group", "label"), EMPTY.values(), ids=EMPTY)
def test_nothing_to_compare_is_zero_with_a_zero_gradient(gap, aggregate, group, label):
    logits = torch.arange(len(group), dtype=torch.float32).requires_grad_()
    codes = torch.tensor(group, dtype=torch.int64)
    value = call(logits, codes, torch.tensor(label), gap=gap, aggregate=aggregate)
    assert value.item() == 0
    (gradient,) = torch.autograd.grad(value, logits)
    assert torch.equal(gradient, torch.zeros_like(logits))


@every_gap
def test_constant_scores_have_no_gap(gap):
    """But for rounding; the width is not 0 either, so that nothing is divided by 0."""
    _, group, label = batch(50, 2)
    logits = torch.full((50,), 0.3, dtype=torch.float64, requires_grad=True)
    value = call(logits, group, label, gap=gap)
    assert value.item() == pytest.approx(0, abs=1e-14)
    (gradient,) = torch.autograd.grad(value, logits)
    assert torch.isfinite(gradient).all()


def test_an_empty_cell_drops_its_stratum_only():
    """Group 1 has no row with label 1: label 0 still counts."""
    logits, group, label = batch(40, 2)
    label = label * (group == 0)
    odds = call(logits, group, label, gap="equalized_odds")
    assert odds.item() > 0
    assert call(logits, group, label, gap="equal_opportunity").item() == 0
    (gradient,) = torch.autograd.grad(
        call(logits.requires_grad_(), group, label, gap="equalized_odds"), logits
    )
    assert torch.isfinite(gradient).all()


@every_gap
def test_missing_rows_change_nothing(gap):
    logits, group, label = batch(60, 2)
    more = [torch.cat([tensor, tensor[:20]]) for tensor in (logits * 1.0, group, label)]
    more[0][60:] *= 100
    more[1][60:] = -1
    torch.testing.assert_close(
        call(logits, group, label, gap=gap), call(*more, gap=gap), atol=1e-9, rtol=0
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_single(dtype):
    logits, group, label = batch(2000, 2)
    rounded = logits.to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = call(rounded, group, label)
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(call(rounded.double(), group, label).item(), abs=1e-5)


# --- classes


@every_aggregate
@pytest.mark.parametrize("gap", ["demographic_parity", "equalized_odds"])
def test_classes_are_taken_by_their_log_odds(gap, aggregate):
    """Against the vector form, class by class, and two columns against one."""
    draw = torch.Generator().manual_seed(3)
    logits = torch.randn(90, 3, dtype=torch.float64, generator=draw)
    group = torch.randint(0, 2, (90,), generator=draw)
    label = torch.randint(0, 3, (90,), generator=draw)
    prob = logits.softmax(1)
    strata = [torch.ones(90, dtype=torch.bool)]
    if gap == "equalized_odds":
        strata = [label == y for y in range(3)]
    total = 0.0
    for kept in strata:
        # With label 1 for the stratum, equal opportunity compares its rows at the same cut-offs.
        per_class = [
            call(torch.logit(f), group, kept.long(), gap="equal_opportunity", aggregate=aggregate)
            for f in prob.unbind(1)
        ]
        stacked = torch.stack(per_class)
        total += (stacked.max() if aggregate == "max" else stacked.mean()).item()
    value = call(logits, group, label, gap=gap, aggregate=aggregate)
    assert value.item() == pytest.approx(total, abs=1e-9)
    two, one = logits[:, :2], logits[:, 1] - logits[:, 0]
    binary = (label > 0).long()
    torch.testing.assert_close(
        call(two, group, binary, gap=gap, aggregate=aggregate),
        call(one, group, binary, gap=gap, aggregate=aggregate),
    )


def test_first_derivative_of_classes():
    draw = torch.Generator().manual_seed(3)
    logits = torch.randn(16, 3, dtype=torch.float64, generator=draw, requires_grad=True)
    group, label = torch.arange(16) % 2, torch.arange(16) % 3
    assert torch.autograd.gradcheck(
        lambda z: call(z, group, label, gap="equalized_odds", cutoffs=3), logits
    )


def test_nan_gives_nan_that_a_check_of_the_gradients_sees():
    logits = torch.tensor([0.1, torch.nan, 0.9, 0.3], requires_grad=True)
    value = call(logits, torch.tensor([0, 1, 1, 0]), torch.tensor([0, 1, 0, 1]))
    assert torch.isnan(value)
    value.backward()
    assert torch.isnan(logits.grad).all()


# --- bad arguments


def test_options_out_of_range_are_named():
    logits, group, label = batch(9, 2)
    with pytest.raises(OptionError, match="unknown gap of a ranking 'predictive_parity'; known: d"):
        call(logits, group, label, gap="predictive_parity")
    with pytest.raises(OptionError, match="cutoffs: expected at least 1, got 0"):
        call(logits, group, label, cutoffs=0)
    for bad in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(OptionError, match="temperature: expected a positive number, got"):
            call(logits, group, label, temperature=bad)
    with pytest.raises(OptionError, match="unknown aggregate 'median'"):
        call(logits, group, label, aggregate="median")
    with pytest.raises(OptionError, match="needs two classes, the label has 3"):
        call(torch.eye(3), torch.tensor([0, 1, 0]), torch.arange(3), gap="equal_opportunity")
    with pytest.raises(ModelError, match="tells 3 classes apart, the labels have 2"):
        resolve_gap("all_cutoffs_demographic_parity")(torch.eye(3), group[:3], label[:3], 2)


BAD = {
    "whole numbers": ({"logits": torch.arange(3)}, DataError, "logits: expected a vector of sc"),
    "one column": ({"logits": torch.rand(3, 1)}, DataError, "two or more classes, got shape"),
    "infinite": (
        {"logits": torch.tensor([0.0, np.inf, 1.0])},
        DataError,
        r"some are infinite; of probabilities pass torch\.logit",
    ),
    "array": ({"logits": np.zeros(3)}, DataError, "logits: expected a tensor, got ndarray"),
    "label array": ({"label": np.zeros(3)}, DataError, "label: expected a tensor, got ndarray"),
    "no label": ({"label": None}, DataError, "label: equalized_odds needs the labels, got none"),
    "label": ({"label": torch.tensor([0, 1, 2])}, DataError, r"expected 0 and 1, got \[0, 1, 2\]"),
    "label rows": ({"label": torch.tensor([0, 1])}, DataError, r"label: expected shape \(3,\)"),
    "group": ({"group": torch.tensor([0, 1, 2])}, GroupError, "expected codes from -1 to 1"),
    "group type": ({"group": torch.rand(3)}, GroupTypeError, "expected an int64 tensor"),
}


@pytest.mark.parametrize(("change", "error", "match"), BAD.values(), ids=BAD)
def test_bad_arguments_are_named(change, error, match):
    arguments = {
        "logits": torch.tensor([0.1, 0.2, 0.9]),
        "group": torch.tensor([0, 1, 1]),
        "label": torch.tensor([0, 1, 0]),
    } | change
    with pytest.raises(error, match=match):
        call(**arguments, gap="equalized_odds")


def test_demographic_parity_of_a_ranking_needs_no_labels():
    logits, group, label = batch(60, 2)
    without = smooth_all_cutoffs_gap(logits, group, n_groups=2)
    assert torch.equal(without, call(logits, group, label))
