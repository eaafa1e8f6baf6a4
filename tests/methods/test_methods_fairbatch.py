"""FairBatch: its steps are those of the published rule, where batches have the wanted shares."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from dralign.errors import OptionError
from dralign.methods import build_method
from dralign.methods.fairbatch import ADJUST_EVERY
from dralign.step import Batch, Block, Passes
from dralign.training import TrainingSettings, train
from switched_off import method_of
from synthetic import dataset, perceptron, split

DP, EO, EOP = "demographic_parity", "equalized_odds", "equal_opportunity"
GAPS = [DP, EO, EOP]


def uniform(rows, at=slice(None), weight=None) -> Batch:
    x, y, group = rows.x[at].double(), rows.y[at], rows.group[at]
    return Batch(x, y, group, (Block(0, len(y)),), weight)


def begun(model, *, alpha: float, gap: str = DP, n_groups: int = 2):
    method = build_method("fairbatch", gap=gap, share_step=alpha)
    return method.begin(model, n_groups=n_groups, generator=torch.Generator())


def gradient_of(step, model, batch, passes: Passes | None = None) -> list[torch.Tensor]:
    model.zero_grad()
    step(batch, 1.0, passes or Passes())
    return [parameter.grad.clone() for parameter in model.parameters()]


def published(logits, y, z, alpha: float, gap: str, adjustments: int) -> tuple[float, float]:
    """The shares of group 1 among labels 1 and 0, by the algorithm of Roh et al. for two groups."""
    first = float((z[y == 1] == 1).double().mean())
    second = float((z[y == 0] == 1).double().mean())
    towards = y if gap != DP else torch.ones_like(y)
    losses = binary_cross_entropy_with_logits(logits, towards.double(), reduction="none")

    def of(label: int, group: int) -> float:
        inside = (y == label) & (z == group)
        size = (z == group).sum() if gap == DP else inside.sum()
        return float(losses[inside].sum() / size)

    for _ in range(adjustments):
        apart1, apart0 = of(1, 1) - of(1, 0), of(0, 1) - of(0, 0)
        if gap == EOP or abs(apart1) > abs(apart0):
            first += alpha if apart1 > 0 else -alpha
        elif gap == EO:
            second += alpha if apart0 > 0 else -alpha
        else:
            second -= alpha if apart0 > 0 else -alpha
        first, second = min(max(first, 0.0), 1.0), min(max(second, 0.0), 1.0)
    return first, second


@pytest.mark.parametrize("alpha", [0.03, 0.4])
@pytest.mark.parametrize("turned", [False, True], ids=["as it is", "groups swapped"])
@pytest.mark.parametrize("harder", [0, 1])
@pytest.mark.parametrize("gap", GAPS)
def test_after_two_adjustments_the_step_is_that_of_the_published_shares(gap, harder, turned, alpha):
    rows = split(300)
    # Group 1 has more of a label that is hard to tell, so that each label is adjusted in a case.
    flip = (rows.y == harder) & (rows.group == 1) & (torch.arange(300) % 3 > 0)
    rows = replace(
        rows,
        x=torch.where(flip[:, None], -rows.x, rows.x),
        group=1 - rows.group if turned else rows.group,
    )
    model = perceptron().double()
    model[-1].bias.data += 0.5
    whole = uniform(rows)
    step = begun(model, alpha=alpha, gap=gap)
    for number in range(2 * ADJUST_EVERY):  # together every row twice
        gradient_of(step, model, uniform(rows, slice(number % ADJUST_EVERY, None, ADJUST_EVERY)))
    ours = gradient_of(step, model, whole)

    logits, y, z = model(whole.x)[:, 0], whole.y, whole.group
    first, second = published(logits.detach(), y, z, alpha, gap, adjustments=2)
    share = {(1, 1): first, (1, 0): 1 - first, (0, 1): second, (0, 0): 1 - second}
    losses = binary_cross_entropy_with_logits(logits, y.double(), reduction="none")
    loss = sum(
        (y == label).double().mean() * part * losses[(y == label) & (z == group)].mean()
        for (label, group), part in share.items()
    )
    wanted = torch.autograd.grad(loss, list(model.parameters()))
    torch.testing.assert_close(ours, list(wanted), rtol=1e-9, atol=1e-12)


def test_before_it_adjusts_and_at_alpha_zero_it_is_plain_training_bit_for_bit():
    batch = uniform(split(80))
    plain_model, model, still = (perceptron().double() for _ in range(3))
    plain = method_of("erm").begin(plain_model, n_groups=2, generator=torch.Generator())
    wanted = gradient_of(plain, plain_model, batch)
    step, idle = begun(model, alpha=0.1), begun(still, alpha=0.0)
    for number in range(ADJUST_EVERY + 1):
        moving, same = gradient_of(step, model, batch), gradient_of(idle, still, batch)
        assert all(map(torch.equal, same, wanted))
        assert all(map(torch.equal, moving, wanted)) == (number < ADJUST_EVERY)


def test_a_share_ends_at_nothing_and_the_other_at_all():
    model, batch = perceptron().double(), uniform(split(80))
    step = begun(model, alpha=1.0, gap=EOP)
    for _ in range(3 * ADJUST_EVERY):
        gradient_of(step, model, batch)
    inside = (batch.y == 1)[:, None] & (batch.group[:, None] == torch.arange(2))
    losses = binary_cross_entropy_with_logits(
        model(batch.x)[:, 0], batch.y.double(), reduction="none"
    )
    gains = int(losses[inside[:, 1]].mean() > losses[inside[:, 0]].mean())
    positive = batch.y == 1
    loss = (~positive * losses).mean() + positive.double().mean() * losses[inside[:, gains]].mean()
    wanted = list(torch.autograd.grad(loss, list(model.parameters())))
    torch.testing.assert_close(gradient_of(step, model, batch), wanted, rtol=1e-9, atol=1e-12)


def test_losses_before_the_last_adjustment_are_forgotten():
    model, rows = perceptron().double(), split(80)
    step = begun(model, alpha=0.02, gap=EOP)
    for given in (rows, replace(rows, group=1 - rows.group)):  # what went one way comes back
        before = step.moved.clone()
        for _ in range(ADJUST_EVERY):
            gradient_of(step, model, uniform(given))
        assert not torch.equal(step.moved, before)
    torch.testing.assert_close(step.moved, torch.zeros_like(step.moved))


def test_of_three_groups_the_lowest_gives_to_the_highest():
    rows = split(300, n_groups=3)
    model, batch = perceptron().double(), uniform(rows)
    step = begun(model, alpha=0.02, gap=EOP, n_groups=3)
    for _ in range(ADJUST_EVERY):
        gradient_of(step, model, batch)
    logits = model(batch.x)[:, 0].detach()
    losses = binary_cross_entropy_with_logits(logits, batch.y.double(), reduction="none")
    means = [float(losses[(batch.y == 1) & (batch.group == g)].mean()) for g in range(3)]
    moved = [0.0] * 3
    moved[means.index(max(means))] = 0.02
    moved[means.index(min(means))] = -0.02
    assert step.moved[0].tolist() == [0.0] * 3
    assert step.moved[1].tolist() == pytest.approx(moved)


def test_rows_without_a_group_count_as_they_are_and_an_absent_group_takes_no_part():
    rows = split(120)
    group = rows.group.clone()
    group[::5] = -1
    model, batch = perceptron().double(), uniform(replace(rows, group=group))
    known = uniform(replace(rows, group=group), (group >= 0).nonzero()[:, 0])
    step, alone = (begun(model, alpha=0.1, gap=EO, n_groups=4) for _ in range(2))
    for _ in range(ADJUST_EVERY):
        gradient_of(step, model, batch)
        gradient_of(alone, model, known)
    torch.testing.assert_close(step.moved, alone.moved)
    assert not step.moved[:, 2:].any()
    assert step.moved.any()
    ours = gradient_of(step, model, batch)
    rest = replace(uniform(rows, (group < 0).nonzero()[:, 0]))
    plain = method_of("erm").begin(model, n_groups=2, generator=torch.Generator())
    parts = [gradient_of(alone, model, known), gradient_of(plain, model, rest)]
    share = len(known.y) / 120
    wanted = [share * one + (1 - share) * other for one, other in zip(*parts, strict=True)]
    torch.testing.assert_close(ours, wanted)


@pytest.mark.parametrize("group", [0, -1], ids=["one group", "no groups"])
def test_fewer_than_two_groups_change_nothing(group):
    rows = split(40)
    batch = uniform(replace(rows, group=torch.full_like(rows.group, group)))
    model = perceptron().double()
    step = begun(model, alpha=0.1)
    first = gradient_of(step, model, batch)
    for _ in range(ADJUST_EVERY):
        last = gradient_of(step, model, batch)
    assert all(map(torch.equal, first, last))


def test_a_frozen_network_is_measured_and_left_as_it_is():
    model = perceptron().double().requires_grad_(False)
    step = begun(model, alpha=0.1)
    batch = uniform(split(40))
    result = step(batch, 1.0, Passes())
    expected = binary_cross_entropy_with_logits(model(batch.x)[:, 0], batch.y.double())
    assert float(result.loss) == pytest.approx(float(expected))
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("gap", GAPS)
def test_a_row_of_weight_three_counts_as_three_rows(gap):
    rows = split(60)
    counts = torch.tensor([1, 2, 3]).repeat(20)
    again = torch.arange(60).repeat_interleave(counts)
    model = perceptron().double()
    weighted, repeated = uniform(rows, weight=counts.double() / 2), uniform(rows, again)
    gradients = []
    for batch in (weighted, repeated):
        step = begun(model, alpha=0.1, gap=gap)
        for _ in range(ADJUST_EVERY + 1):
            last = gradient_of(step, model, batch)
        gradients.append(last)
    torch.testing.assert_close(*gradients)


def test_parts_of_a_batch_make_the_step_and_the_shares_of_the_whole():
    model, batch = perceptron().double(), uniform(split(60))
    steps, gradients = [], []
    for passes in (Passes(), Passes(micro_batch=13), Passes(loss_scale=8.0)):
        step = begun(model, alpha=0.1)
        for _ in range(ADJUST_EVERY + 1):
            last = gradient_of(step, model, batch, passes)
        steps.append(step)
        gradients.append([each / passes.loss_scale for each in last])
    assert steps[0].moved.any()
    for step, gradient in zip(steps[1:], gradients[1:], strict=True):
        torch.testing.assert_close(step.recent, steps[0].recent)
        torch.testing.assert_close(gradient, gradients[0])


def test_a_step_goes_on_from_its_state():
    model, rows = perceptron().double(), split(300)
    parts = [uniform(rows, slice(number, None, 7)) for number in range(4 * ADJUST_EVERY)]
    step = begun(model, alpha=0.1)
    for batch in parts[: ADJUST_EVERY + 3]:
        gradient_of(step, model, batch)
    other = begun(model, alpha=0.1)
    other.load_state_dict({name: x.clone() for name, x in step.state_dict().items()})
    assert step.recent.all()
    assert torch.equal(other.recent, step.recent)
    for batch in parts[ADJUST_EVERY + 3 :]:
        one, same = gradient_of(step, model, batch), gradient_of(other, model, batch)
        assert all(map(torch.equal, one, same))


@pytest.mark.parametrize("gap", [DP, EO])
def test_it_makes_the_gap_of_a_trained_network_smaller(gap):
    data = dataset(n=600)
    parts = {
        name: replace(rows, x=rows.x + rows.group[:, None])  # every input tells of the group
        for name in ("train", "validation", "test")
        if (rows := getattr(data, name))
    }
    settings = TrainingSettings(epochs=4, iterations=100, batch_size=50, learning_rate=0.01)
    found = []
    for method in (method_of("erm", gap=gap), build_method("fairbatch", gap=gap, share_step=0.02)):
        history = train(perceptron(), replace(data, **parts), method, settings).history
        found.append(history[-1].test[f"soft_{gap}"])
    assert found[1] < 0.7 * found[0]


@pytest.mark.parametrize("value", [-0.1, 1.5])
def test_an_alpha_that_is_no_share_is_refused(value):
    with pytest.raises(OptionError, match="share_step: expected"):
        build_method("fairbatch", share_step=value)


def test_it_needs_two_classes():
    with pytest.raises(OptionError, match="'fairbatch' needs two classes, the label has 3"):
        build_method("fairbatch", n_classes=3)
