"""Prejudice remover and HSIC: their values and gradients, and where they are 0."""

import math
from itertools import pairwise

import pytest
import torch

from dralign.errors import OptionError
from dralign.methods import build_method
from dralign.rationale import per_sample_loss
from dralign.step import Batch, Block, Passes
from switched_off import method_of
from synthetic import perceptron, split

DP, EO, EOP = "demographic_parity", "equalized_odds", "equal_opportunity"
NAMES = ["prejudice_remover", "hsic"]
every_method = pytest.mark.parametrize("name", NAMES)


def information(scores, group):
    """I(decision; group) by summing log ratios row by row, as Kamishima et al. print it."""
    classes = scores if scores.ndim == 2 else torch.stack([1 - scores, scores], 1)
    total = 0.0
    for row, code in zip(classes, group, strict=True):
        for c in range(classes.shape[1]):
            of_group, of_all = classes[group == code, c].mean(), classes[:, c].mean()
            total = total + row[c] * (of_group / of_all).log()
    return total / len(classes)


def trace_of_kernels(scores, group):
    """tr(K H L H) / n^2 with a Gaussian kernel of scores and a linear one of one-hot groups."""
    rows = scores.reshape(len(scores), -1)
    n = len(rows)
    hot = torch.nn.functional.one_hot(group).to(rows)
    centre = torch.eye(n, dtype=rows.dtype) - 1 / n
    kernel = torch.exp(-torch.cdist(rows, rows).square())
    return torch.trace(kernel @ centre @ (hot @ hot.T) @ centre) / n**2


ORACLES = {"prejudice_remover": information, "hsic": trace_of_kernels}


def rows(n_groups: int = 2, n_classes: int = 2, n: int = 48):
    """Scores that lean on the group, with a gradient; groups of unequal size; labels."""
    draw = torch.Generator().manual_seed(n_groups + n_classes)
    group = torch.randint(n_groups + 1, (n,), generator=draw).clamp(max=n_groups - 1)
    logits = torch.randn(n, n_classes, generator=draw, dtype=torch.float64)
    scores = torch.softmax(logits + group[:, None] * torch.arange(n_classes), 1)
    label = torch.randint(n_classes, (n,), generator=draw)
    return (scores[:, 1] if n_classes == 2 else scores).requires_grad_(), group, label


def value_and_gradient(value, scores):
    (gradient,) = torch.autograd.grad(value, scores)
    return float(value.detach()), gradient


@every_method
@pytest.mark.parametrize("n_groups", [2, 3])
@pytest.mark.parametrize(
    ("gap", "n_classes", "strata"),
    [(DP, 2, ()), (DP, 3, ()), (EO, 2, (0, 1)), (EO, 3, (0, 1, 2)), (EOP, 2, (1,))],
)
def test_value_and_gradient_are_those_of_the_printed_formula(
    name, n_classes, n_groups, gap, strata
):
    scores, group, label = rows(n_groups, n_classes)
    method = build_method(name, gap=gap, n_classes=n_classes, fairness_weight=1.0)
    ours = value_and_gradient(method.of_rows(scores, group, label, n_groups), scores)
    within = [label == y for y in strata] or [slice(None)]
    wanted = sum(ORACLES[name](scores[part], group[part]) for part in within)
    value, gradient = value_and_gradient(wanted, scores)
    assert ours[0] == pytest.approx(value, rel=1e-9)
    assert value > 1e-3
    torch.testing.assert_close(ours[1], gradient, rtol=1e-7, atol=1e-9)


@every_method
def test_gradients_are_those_of_differences(name):
    scores, group, label = rows(3, n=12)
    method = build_method(name, fairness_weight=1.0)
    inside = (0.1 + 0.8 * scores.detach()).requires_grad_()
    assert torch.autograd.gradcheck(lambda f: method.of_rows(f, group, label, 3), (inside,))


@every_method
@pytest.mark.parametrize("gap", [DP, EO])
def test_it_is_nothing_where_every_group_has_the_same_scores(name, gap):
    draw = torch.Generator().manual_seed(1)
    scores = torch.rand(20, generator=draw, dtype=torch.float64).repeat(3).requires_grad_()
    label = torch.randint(2, (20,), generator=draw).repeat(3)
    group = torch.arange(3).repeat_interleave(20)
    method = build_method(name, gap=gap, fairness_weight=1.0)
    value, gradient = value_and_gradient(method.of_rows(scores, group, label, 3), scores)
    assert value == pytest.approx(0, abs=1e-12)
    assert gradient.abs().max() < 1e-12


def test_information_sees_means_alone_and_the_kernels_whole_distributions():
    scores = torch.tensor([0.5, 0.5, 0.1, 0.9], dtype=torch.float64)
    group, label = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1])
    of = {name: build_method(name, fairness_weight=1.0).of_rows for name in NAMES}
    assert float(of["prejudice_remover"](scores, group, label, 2)) == pytest.approx(0, abs=1e-12)
    assert float(of["hsic"](scores, group, label, 2)) > 1e-3


def test_decisions_that_are_the_group_have_all_its_information_and_a_finite_gradient():
    scores = torch.tensor([0.0, 0.0, 1.0, 1.0], requires_grad=True)
    group = torch.tensor([0, 0, 1, 1])
    method = build_method("prejudice_remover", fairness_weight=1.0)
    value, gradient = value_and_gradient(method.of_rows(scores, group, group, 2), scores)
    assert value == pytest.approx(math.log(2))
    assert bool(gradient.isfinite().all())


@every_method
def test_the_names_of_groups_and_the_order_of_rows_change_nothing(name):
    scores, group, label = rows(3)
    of_rows = build_method(name, gap=EO, fairness_weight=1.0).of_rows
    scores = scores.detach()
    expected = float(of_rows(scores, group, label, 3))
    order = torch.randperm(len(group), generator=torch.Generator().manual_seed(0))
    renamed = torch.tensor([2, 0, 1])[group]
    assert float(of_rows(scores, renamed, label, 3)) == pytest.approx(expected)
    assert float(of_rows(scores[order], group[order], label[order], 3)) == pytest.approx(expected)


@every_method
def test_rows_without_a_group_and_absent_groups_take_no_part(name):
    scores, group, label = rows(2)
    of_rows = build_method(name, gap=EO, fairness_weight=1.0).of_rows
    group = group.clone()
    group[::5] = -1
    known = group >= 0
    alone = of_rows(scores[known], group[known], label[known], 2)
    value, gradient = value_and_gradient(of_rows(scores, group, label, 4), scores)
    assert value == pytest.approx(float(alone.detach()))
    assert not gradient[~known].any()
    assert gradient[known].any()
    assert bool(gradient.isfinite().all())


@every_method
@pytest.mark.parametrize("group", [[-1] * 6, [0] * 6], ids=["no groups", "one group"])
def test_fewer_than_two_groups_are_a_zero_with_a_zero_gradient(name, group):
    scores = torch.linspace(0.1, 0.9, 6, dtype=torch.float64).requires_grad_()
    method = build_method(name, gap=EO, fairness_weight=1.0)
    label = torch.arange(6) % 2
    value, gradient = value_and_gradient(
        method.of_rows(scores, torch.tensor(group), label, 2), scores
    )
    assert value == pytest.approx(0, abs=1e-12)
    assert gradient.abs().max() < 1e-12


@every_method
def test_a_step_is_the_task_loss_and_the_weighted_term(name):
    given = split(60, n_groups=3)
    batch = Batch(given.x.double(), given.y, given.group, (Block(0, 60),))
    method = build_method(name, fairness_weight=0.7)
    gradients = []
    for passes in (Passes(), Passes(micro_batch=13)):
        model = perceptron().double()
        method.begin(model, n_groups=3, generator=torch.Generator())(batch, 2.0, passes)
        gradients.append([p.grad for p in model.parameters()])
    model = perceptron().double()
    logits = model(batch.x)
    term = ORACLES[name](torch.sigmoid(logits[:, 0]), batch.group)
    (per_sample_loss(logits, batch.y).mean() + 1.4 * term).backward()
    wanted = [p.grad for p in model.parameters()]
    torch.testing.assert_close(gradients[0], wanted, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(gradients[1], wanted, rtol=1e-7, atol=1e-9)


@every_method
def test_at_weight_zero_it_is_plain_training_bit_for_bit(name):
    given = split(40)
    batch = Batch(given.x, given.y, given.group, (Block(0, 40),))
    gradients = []
    for method in (method_of(name), method_of("erm")):
        model = perceptron()
        method.begin(model, n_groups=2, generator=torch.Generator())(batch)
        gradients.append([p.grad for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


@every_method
def test_steps_make_the_dependence_smaller_the_more_the_larger_the_weight(name):
    given = split(200)
    x = given.x + given.group[:, None]  # every input tells of the group
    batch = Batch(x, given.y, given.group, (Block(0, 200),))
    apart = []
    for weight in (0.0, 10.0, 100.0):
        model = perceptron()
        step = build_method(name, fairness_weight=weight).begin(
            model, n_groups=2, generator=torch.Generator()
        )
        optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
        for _ in range(40):
            optimiser.zero_grad()
            step(batch)
            optimiser.step()
        scores = torch.sigmoid(model(x)[:, 0]).detach()
        apart.append(float(ORACLES[name](scores, given.group)))
    assert all(later < 0.5 * before for before, later in pairwise(apart))


@every_method
def test_its_text_tells_runs_apart_and_holds_no_address(name):
    texts = {repr(build_method(name, fairness_weight=weight)) for weight in (0.1, 0.1, 0.2)}
    assert len(texts) == 2
    assert not any(" at 0x" in text for text in texts)


@every_method
def test_a_gap_without_strata_of_labels_is_refused(name):
    with pytest.raises(OptionError, match=rf"{name}' supports {DP}, {EO}, {EOP}, got 'predictive"):
        build_method(name, gap="predictive_parity")
