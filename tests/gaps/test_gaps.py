"""The differentiable gaps: equal to plain loops, defined in every corner, differentiable."""

from collections.abc import Callable
from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dralign.errors import DataError, GroupError, GroupTypeError, OptionError
from dralign.gaps import (
    demographic_parity_gap,
    equal_opportunity_gap,
    equalized_odds_gap,
    figure_names,
    gap_names,
    judged_by,
    predictive_parity_gap,
    resolve_gap,
)
from dralign.metrics import evaluate

FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "demographic_parity": demographic_parity_gap,
    "equalized_odds": equalized_odds_gap,
    "equal_opportunity": equal_opportunity_gap,
    "predictive_parity": predictive_parity_gap,
    "printed_predictive_parity": demographic_parity_gap,
}
every_gap = pytest.mark.parametrize("name", figure_names())
every_aggregate = pytest.mark.parametrize("aggregate", ["max", "mean"])


def call(name: str, prob, group, label, n_groups: int, **options) -> Tensor:
    if FUNCTIONS[name] is not demographic_parity_gap:
        options["label"] = label
    return FUNCTIONS[name](prob, group, n_groups=n_groups, **options)


def batch(n: int, n_groups: int, seed: int, *, lowest: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    prob = torch.rand(n, dtype=torch.float64, generator=draw)
    group = torch.randint(lowest, n_groups, (n,), generator=draw)
    label = torch.randint(0, 2, (n,), generator=draw)
    return prob, group, label


def oracle(name: str, prob, group, label, n_groups: int, aggregate: str) -> float:
    """The definition in plain loops over rows, labels, groups and pairs."""
    rows = list(zip(prob.tolist(), group.tolist(), label.tolist(), strict=True))

    def over_pairs(numerator, denominator, keep) -> float:
        rates = []
        for code in range(n_groups):
            inside = [(f, y) for f, a, y in rows if a == code and keep(y)]
            below = sum(denominator(f, y) for f, y in inside)
            if below > 0:
                rates.append(sum(numerator(f, y) for f, y in inside) / below)
        apart = [abs(one - other) for one, other in combinations(rates, 2)]
        if not apart:
            return 0.0
        return max(apart) if aggregate == "max" else sum(apart) / len(apart)

    if name == "predictive_parity":
        return over_pairs(lambda f, y: y * f, lambda f, y: f, lambda y: True)
    kept_labels = {"equalized_odds": [{0}, {1}], "equal_opportunity": [{1}]}
    labels = kept_labels.get(name, [{0, 1}])
    return sum(
        over_pairs(lambda f, y: f, lambda f, y: 1, lambda y, kept=kept: y in kept)
        for kept in labels
    )


@every_gap
@every_aggregate
@pytest.mark.parametrize(
    ("n", "n_groups", "lowest"), [(40, 2, 0), (40, 2, -1), (60, 3, -1), (9, 5, -1), (1, 2, 0)]
)
def test_equal_to_plain_loops(name, aggregate, n, n_groups, lowest):
    """Two and more groups, missing codes, and batches in which groups or cells are absent."""
    for seed in range(5):
        prob, group, label = batch(n, n_groups, seed, lowest=lowest)
        result = call(name, prob, group, label, n_groups, aggregate=aggregate)
        expected = oracle(name, prob, group, label, n_groups, aggregate)
        assert result.item() == pytest.approx(expected, abs=1e-12)


def test_values_worked_out_by_hand():
    prob = torch.tensor([0.2, 0.4, 0.6, 0.9])
    group = torch.tensor([0, 0, 1, 1])
    label = torch.tensor([0, 1, 0, 1])
    values = {name: call(name, prob, group, label, 2).item() for name in figure_names()}
    assert values == pytest.approx({
        "demographic_parity": 0.45,  # .75 - .3
        "equalized_odds": 0.9,  # .4 + .5, a sum and not a maximum
        "equal_opportunity": 0.5,
        "predictive_parity": 0.4 / 0.6 - 0.9 / 1.5,
        "printed_predictive_parity": 0.45,
    })  # fmt: skip


def test_more_groups_by_maximum_or_mean_over_pairs():
    prob, group = torch.tensor([0.1, 0.2, 0.7]), torch.tensor([0, 1, 2])
    largest = demographic_parity_gap(prob, group, n_groups=3)
    mean = demographic_parity_gap(prob, group, n_groups=3, aggregate="mean")
    assert largest.item() == pytest.approx(0.6)
    assert mean.item() == pytest.approx((0.1 + 0.5 + 0.6) / 3)


@every_gap
@every_aggregate
@pytest.mark.parametrize("n_groups", [2, 3])
def test_first_and_second_derivative(name, aggregate, n_groups):
    prob, group, label = batch(20, n_groups, 7, lowest=-1)
    prob.requires_grad_()

    def gap(prob: Tensor) -> Tensor:
        return call(name, prob, group, label, n_groups, aggregate=aggregate)

    assert torch.autograd.gradcheck(gap, prob)
    assert torch.autograd.gradgradcheck(gap, prob)


EMPTY_CELLS = {
    "one group only": ([1, 1, 1], [0, 1, 1]),
    "every group missing": ([-1, -1, -1], [0, 1, 1]),
    "no rows": ([], []),
}


@every_gap
@every_aggregate
@pytest.mark.parametrize(("group", "label"), EMPTY_CELLS.values(), ids=EMPTY_CELLS)
def test_nothing_to_compare_is_zero_with_a_zero_gradient(name, aggregate, group, label):
    """Fewer than two present groups: 0, still in the graph, never NaN and never a constant."""
    prob = torch.full((len(group),), 0.3, requires_grad=True)
    codes = torch.tensor(group, dtype=torch.int64)
    gap = call(name, prob, codes, torch.tensor(label), 2, aggregate=aggregate)
    assert gap.item() == 0
    (gradient,) = torch.autograd.grad(gap, prob)
    assert torch.equal(gradient, torch.zeros_like(prob))


def test_empty_cell_drops_its_stratum_only():
    """Group 1 has no row with label 1: that label adds nothing, the other one all of its gap."""
    prob = torch.tensor([0.2, 0.9, 0.5], requires_grad=True)
    group, label = torch.tensor([0, 0, 1]), torch.tensor([0, 1, 0])
    gap = equalized_odds_gap(prob, group, label=label, n_groups=2)
    assert gap.item() == pytest.approx(0.3)
    (gradient,) = torch.autograd.grad(gap, prob)
    assert gradient.tolist() == [-1, 0, 1]
    assert equal_opportunity_gap(prob, group, label=label, n_groups=2).item() == 0


def test_printed_predictive_parity_is_the_formula_of_the_appendix():
    """A.11: a cell weighs as much as it has rows in the batch; with an absolute value."""
    prob, group, label = batch(50, 2, 5)
    means = []
    for a in (0, 1):
        cells = [prob[(group == a) & (label == y)] for y in (0, 1)]
        sizes = [len(cell) for cell in cells]
        weighted = sum(cell.mean() * size for cell, size in zip(cells, sizes, strict=True))
        means.append(weighted / sum(sizes))
    gap = resolve_gap("printed_predictive_parity")
    found, turned = (gap(prob, a, label, 2).item() for a in (group, 1 - group))
    assert found == pytest.approx(abs(means[0] - means[1]).item())
    assert turned == found > 0


def test_predictive_parity_leaves_out_a_group_whose_probabilities_are_zero():
    prob = torch.tensor([0.0, 0.0, 0.4, 0.6], requires_grad=True)
    group, label = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1])
    gap = predictive_parity_gap(prob, group, label=label, n_groups=2)
    (gradient,) = torch.autograd.grad(gap, prob)
    assert gap.item() == 0
    assert torch.isfinite(gradient).all()


@every_gap
def test_missing_rows_change_nothing(name):
    prob, group, label = batch(30, 2, 3)
    more = [torch.cat([tensor, tensor]) for tensor in (prob, group, label)]
    more[1][30:] = -1
    without, with_missing = call(name, prob, group, label, 2), call(name, *more, 2)
    torch.testing.assert_close(without, with_missing)


@every_gap
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_summed_in_single(name, dtype):
    """A running sum of bfloat16 stops at 256; autocast must not round the means either."""
    prob, group, label = batch(4000, 2, 0)
    rounded = prob.to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = call(name, rounded, group, label, 2)
        double = call(name, rounded.double(), group, label, 2)
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(double.item(), abs=1e-6)
    assert double.item() == pytest.approx(oracle(name, rounded, group, label, 2, "max"))


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float32])
@every_gap
def test_labels_of_any_type(name, dtype):
    prob, group, label = batch(30, 2, 4)
    expected = oracle(name, prob, group, label, 2, "max")
    assert call(name, prob, group, label.to(dtype), 2).item() == pytest.approx(expected)


@pytest.mark.parametrize("value", [0.5, 1.25, float("nan"), float("inf")])
def test_a_label_that_is_no_whole_number_is_refused_and_not_cut_off(value):
    label = torch.tensor([0.0, 1.0, value])
    with pytest.raises(DataError, match=f"label: expected 0 and 1, got .*{value}"):
        equalized_odds_gap(torch.rand(3), torch.tensor([0, 1, 1]), label=label, n_groups=2)


@settings(max_examples=60)
@given(data=st.data(), name=st.sampled_from(figure_names()), n_groups=st.integers(1, 4))
def test_range_and_symmetry(data, name, n_groups):
    """In [0, 1] ([0, 2] for equalized odds), and renumbering the groups changes nothing."""
    n = data.draw(st.integers(0, 12))
    unit = st.floats(0, 1, allow_subnormal=False)
    prob = torch.tensor(data.draw(st.lists(unit, min_size=n, max_size=n)), dtype=torch.float64)
    code, bit = st.integers(-1, n_groups - 1), st.integers(0, 1)
    group = torch.tensor(data.draw(st.lists(code, min_size=n, max_size=n)), dtype=torch.int64)
    label = torch.tensor(data.draw(st.lists(bit, min_size=n, max_size=n)), dtype=torch.int64)
    aggregate = data.draw(st.sampled_from(["max", "mean"]))
    gap = call(name, prob, group, label, n_groups, aggregate=aggregate).item()
    assert 0 <= gap <= (2 if name == "equalized_odds" else 1) + 1e-12
    swapped = torch.where(group >= 0, n_groups - 1 - group, group)
    other = call(name, prob, swapped, label, n_groups, aggregate=aggregate).item()
    assert gap == pytest.approx(other, abs=1e-12)


@every_gap
def test_resolved_gap_reads_logits_and_is_the_function_without_its_checks(name):
    logits, group, label = batch(50, 3, 1, lowest=-1)
    prob = logits.sigmoid()
    for aggregate in ("max", "mean"):
        gap = resolve_gap(name, aggregate=aggregate)
        expected = call(name, prob, group, label, 3, aggregate=aggregate)
        assert torch.equal(gap(prob, group, label, 3), expected)
        for output in (logits, logits[:, None]):
            assert torch.equal(gap(gap.of_rows(output), group, label, 3), expected)
        two = torch.stack([torch.ones_like(logits), logits + 1], dim=1)
        torch.testing.assert_close(gap(gap.of_rows(two), group, label, 3), expected)


def test_resolved_gap_knows_its_strata():
    """The labels within which groups are aligned (A.11), and whether the gap needs the label."""
    known = {name: resolve_gap(name) for name in figure_names()}
    assert {name: gap.strata for name, gap in known.items()} == {
        "demographic_parity": (None,),
        "equalized_odds": (0, 1),
        "equal_opportunity": (1,),
        "predictive_parity": (0, 1),
        "printed_predictive_parity": (0, 1),
    }
    unconditional = [name for name, gap in known.items() if not gap.conditions_on_label]
    assert unconditional == ["demographic_parity"]


@pytest.mark.parametrize("name", gap_names())
def test_records_have_figures_of_the_gap_that_a_gap_is_judged_by(name):
    figures = evaluate([0, 1, 0, 1], [0.2, 0.7, 0.4, 0.9], [0, 0, 1, 1], n_groups=2)
    assert {f"soft_{judged_by(name)}", f"hard_{judged_by(name)}"} <= figures.keys()
    assert resolve_gap(name).judged_by == judged_by(name)


def test_unknown_names_list_the_known_ones():
    with pytest.raises(OptionError, match="unknown gap 'parity'; known: demographic_parity, eq"):
        judged_by("parity")
    with pytest.raises(OptionError, match="unknown gap 'parity'; known: demographic_parity, eq"):
        resolve_gap("parity")
    with pytest.raises(OptionError, match="unknown aggregate 'sum'; known: max, mean"):
        resolve_gap("demographic_parity", aggregate="sum")


PROB, GROUP, LABEL = torch.tensor([0.1, 0.9]), torch.tensor([0, 1]), torch.tensor([0, 1])
BAD_ARGUMENTS = {
    "group of floats": ((PROB, GROUP.float(), LABEL), GroupTypeError, "int64.*torch.float32"),
    "group of int32": ((PROB, GROUP.int(), LABEL), GroupTypeError, "int64.*torch.int32"),
    "group code too large": ((PROB, GROUP + 1, LABEL), GroupError, "codes from -1 to 1"),
    "group too short": ((PROB, GROUP[:1], LABEL), GroupError, r"shape \(2,\), got \(1,\)"),
    "logits": ((PROB * 40 - 20, GROUP, LABEL), DataError, "-16 to 16; pass torch.sigmoid"),
    "above 1": ((PROB * 2, GROUP, LABEL), DataError, "got 0.2 to 1.8"),
    "below 0": ((PROB - 0.5, GROUP, LABEL), DataError, "got -0.4 to 0.4"),
    "infinite": ((PROB * torch.inf, GROUP, LABEL), DataError, "got inf to inf"),
    "array": ((PROB.numpy(), GROUP, LABEL), DataError, "prob: expected a tensor, got ndarray"),
    "list": ((PROB.tolist(), GROUP, LABEL), DataError, "prob: expected a tensor, got list"),
    "label array": ((PROB, GROUP, LABEL.numpy()), DataError, "label: expected a tensor, got nda"),
    "matrix": ((PROB[:, None], GROUP, LABEL), DataError, r"got shape \(2, 1\)"),
    "decisions": ((LABEL, GROUP, LABEL), DataError, "torch.int64"),
    "label too short": ((PROB, GROUP, LABEL[:1]), DataError, r"label: expected shape \(2,\)"),
    "label of -1 and 1": ((PROB, GROUP, LABEL * 2 - 1), DataError, r"got \[-1, 1\]"),
}


@pytest.mark.parametrize(("given", "error", "match"), BAD_ARGUMENTS.values(), ids=BAD_ARGUMENTS)
def test_bad_arguments_are_named(given, error, match):
    prob, group, label = given
    with pytest.raises(error, match=match):
        equalized_odds_gap(prob, group, label=label, n_groups=2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize(
    "gap",
    [demographic_parity_gap, equalized_odds_gap, equal_opportunity_gap, predictive_parity_gap],
)
@pytest.mark.parametrize("row", [0, 3])
def test_nan_gives_nan_that_a_check_of_the_gradients_sees(gap, dtype, row):
    """Also in a row of no group, and where labels leave the row out."""
    logits = torch.tensor([1.0, -1.0, 0.5, 2.0, 1.0, 0.0], dtype=dtype)
    logits[row] = torch.nan
    logits.requires_grad_()
    group, label = torch.tensor([0, 1, 0, -1, 1, 1]), torch.tensor([0, 1, 1, 0, 0, 1])
    given = {} if gap is demographic_parity_gap else {"label": label}
    value = gap(logits.sigmoid(), group, n_groups=2, **given)
    assert value.shape == ()
    assert torch.isnan(value)
    value.backward()
    assert torch.isnan(logits.grad).all()


def test_wrong_group_type_is_a_type_error():
    with pytest.raises(TypeError, match="use encode_groups"):
        demographic_parity_gap(PROB, GROUP.double(), n_groups=2)
