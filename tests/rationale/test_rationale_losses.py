"""Losses of one's own: squared, focal, of several labels at once."""

import copy
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dralign.alignment import RationaleAlignment, aligned_backward
from dralign.errors import DataError, DralignWarning, ModelError, OptionError
from dralign.rationale import group_losses, parity_scores, per_sample_loss
from synthetic import crossed_rows


def focal(outputs: Tensor, label: Tensor) -> Tensor:
    losses = F.binary_cross_entropy_with_logits(
        outputs[:, 0], label.to(outputs.dtype), reduction="none"
    )
    return (1 - torch.exp(-losses)) ** 2 * losses


def squared(outputs: Tensor, label: Tensor) -> Tensor:
    return (outputs[:, 0] - label) ** 2


def multi_label(outputs: Tensor, label: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(outputs, label, reduction="none").mean(1)


def network(n_outputs: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, n_outputs)).double()


def case(name: str):
    """A loss, the number of outputs, and labels as it takes them."""
    x, y, _ = crossed_rows()
    labels = {
        "focal": (focal, 1, y),
        "squared": (squared, 1, x[:, 0] * 2 - 0.3),
        "multi-label": (multi_label, 3, torch.stack([y, 1 - y, x[:, 1] > 0], dim=1).double()),
    }
    return labels[name]


every_loss = pytest.mark.parametrize("name", ["focal", "squared", "multi-label"])


@every_loss
@pytest.mark.parametrize("micro_batch", [None, 9])
def test_the_fast_step_has_the_gradient_of_the_plain_term(name, micro_batch):
    loss, n_outputs, y = case(name)
    x, _, group = crossed_rows()
    model = network(n_outputs)
    term = RationaleAlignment(model)
    losses = loss(model(x), y)
    whole = losses.mean() + 0.2 * term.align(group_losses(losses, group, n_groups=2))
    whole.backward()
    expected = [p.grad for p in model.parameters()]
    model.zero_grad()
    value = aligned_backward(
        model, x, label=y, group=group, n_groups=2, alignment=term, alignment_weight=0.2,
        loss=loss, micro_batch=micro_batch,
    )  # fmt: skip
    torch.testing.assert_close(value, whole.detach())
    torch.testing.assert_close([p.grad for p in model.parameters()], expected)


@every_loss
def test_exact_influences_are_changes_of_the_loss_without_a_weight(name):
    loss, n_outputs, y = case(name)
    x, _, group = crossed_rows()
    model = network(n_outputs)
    scores = parity_scores(model, x, y, group=group, loss=loss)
    assert scores.engine == "plain"
    removed = copy.deepcopy(model)
    with torch.no_grad():
        removed[0].weight[3, 1] = 0
        change = loss(removed(x), y) - loss(model(x), y)
    for code in (0, 1):
        expected = change[group == code].mean().item() ** 2
        assert scores.influences["0"][code][3, 1] == pytest.approx(expected, rel=1e-9)


@every_loss
def test_taylor_influences_are_of_the_gradient_of_the_loss(name):
    loss, n_outputs, y = case(name)
    x, _, group = crossed_rows()
    model = network(n_outputs)
    scores = parity_scores(model, x, y, group=group, loss=loss, method="taylor")
    for code in (0, 1):
        (grad,) = torch.autograd.grad(loss(model(x), y)[group == code].mean(), [model[2].weight])
        expected = (grad * model[2].weight).square().detach()
        torch.testing.assert_close(torch.from_numpy(scores.influences["2"][code]), expected)


def test_cross_entropy_of_ones_own_gives_what_no_loss_gives():
    x, y, group = crossed_rows()
    model = network(2)
    ours, theirs = (
        parity_scores(model, x, y, group=group, engine="plain", loss=loss)
        for loss in (None, lambda z, label: F.cross_entropy(z, label, reduction="none"))
    )
    assert ours.total == theirs.total


def test_a_gap_is_still_one_of_probabilities():
    x, y, group = crossed_rows()
    values = []
    for weight in (0.0, 0.5):
        model = network(1)
        value = aligned_backward(
            model, x, label=y, group=group, n_groups=2, alignment=RationaleAlignment(model),
            alignment_weight=0.0, fairness_weight=weight, loss=focal,
        )  # fmt: skip
        values.append(value)
    prob = torch.sigmoid(network(1)(x))[:, 0].detach()
    gap = (prob[group == 0].mean() - prob[group == 1].mean()).abs()
    torch.testing.assert_close(values[1] - values[0], 0.5 * gap)


def test_a_gap_needs_labels_that_are_classes():
    loss, n_outputs, y = case("squared")
    x, _, group = crossed_rows()
    model = network(n_outputs)
    for options in ({"fairness_weight": 0.1}, {"gap": "equalized_odds"}):
        with pytest.raises(DataError, match="label: expected 0 and 1"):
            aligned_backward(
                model, x, label=y, group=group, n_groups=2, alignment=RationaleAlignment(model),
                alignment_weight=0.1, loss=loss, **options,
            )  # fmt: skip


@pytest.mark.parametrize(
    ("loss", "got"),
    [
        (lambda z, y: F.mse_loss(z[:, 0], y.double()), r"got \(\)"),
        (lambda z, y: (z - y[:, None]) ** 2, r"got \(\d+, 1\)"),
        (lambda z, y: 0.0, "got float"),
    ],
)
def test_a_loss_without_a_value_per_row_is_refused_in_one_line(loss, got):
    x, y, group = crossed_rows()
    model = network(1)
    line = rf"loss: expected one value per row, shape \(\d+,\), {got}; .*reduction"
    with pytest.raises(OptionError, match=line):
        parity_scores(model, x, y, group=group, loss=loss)
    with pytest.raises(OptionError, match=line):
        aligned_backward(
            model, x, label=y, group=group, n_groups=2, alignment=RationaleAlignment(model),
            alignment_weight=0.1, loss=loss,
        )  # fmt: skip


def zero_one(outputs: Tensor, label: Tensor) -> Tensor:
    return ((outputs[:, 0] > 0) != label).double()


def test_a_loss_without_a_gradient_is_for_exact_scores_alone():
    x, y, group = crossed_rows()
    model = network(1)
    assert parity_scores(model, x, y, group=group, loss=zero_one).engine == "plain"
    line = "loss: its values have no gradient; compute them from the outputs"
    with pytest.raises(OptionError, match=line):
        parity_scores(model, x, y, group=group, loss=zero_one, method="taylor")
    with pytest.raises(OptionError, match=line):
        aligned_backward(
            model, x, label=y, group=group, n_groups=2, alignment=RationaleAlignment(model),
            alignment_weight=0.1, loss=zero_one,
        )  # fmt: skip


def test_labels_that_are_not_one_a_row_are_refused():
    x, y, group = crossed_rows()
    model = network(1)
    with pytest.raises(DataError, match="label: expected 24 rows, got shape"):
        aligned_backward(
            model, x, label=y[:9], group=group, n_groups=2, alignment=RationaleAlignment(model),
            alignment_weight=0.1, loss=squared,
        )  # fmt: skip
    with pytest.raises(DataError, match=r"label: expected shape \(24,\)"):
        parity_scores(model, x, y[:9], group=group, loss=squared)


def test_the_fast_engine_is_for_cross_entropy_alone():
    x, y, group = crossed_rows()
    with pytest.raises(ModelError, match=r"takes stacks .* and cross-entropy"):
        parity_scores(network(1), x, y, group=group, loss=focal, engine="fast")


def test_a_loss_of_probabilities_is_no_reason_for_a_warning():
    x, y, group = crossed_rows()
    model = nn.Sequential(network(1), nn.Sigmoid())

    def loss(outputs: Tensor, label: Tensor) -> Tensor:
        return F.binary_cross_entropy(outputs[:, 0], label.double(), reduction="none")

    with warnings.catch_warnings():
        warnings.simplefilter("error", DralignWarning)
        scores = parity_scores(model, x, y, group=group, loss=loss)
        aligned_backward(
            model, x, label=y, group=group, n_groups=2, alignment=RationaleAlignment(model),
            alignment_weight=0.1, loss=loss,
        )  # fmt: skip
    ours = parity_scores(network(1), x, y, group=group, engine="plain")
    assert scores.total == pytest.approx(ours.total, rel=1e-9)
    assert per_sample_loss(network(1)(x), y).shape == (24,)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"per_sample_loss": torch.tensor(0.5)}, r'per row, shape \(n,\), got \(\); .*"none"'),
        ({"per_sample_loss": torch.ones(3, 1)}, r"got \(3, 1\); .* squeeze\(1\)"),
        ({"per_sample_loss": np.ones(3)}, "per_sample_loss: expected a tensor, got ndarray"),
        ({"label": np.ones(3)}, "label: expected a tensor, got ndarray"),
        ({"label": torch.tensor([0, -1, 1])}, r"label: expected whole numbers 0\.\.C-1"),
        ({"label": torch.tensor([0, 0.5, 1])}, r"label: expected whole numbers 0\.\.C-1"),
    ],
)
def test_losses_that_are_not_one_a_row_are_refused(given, message):
    rows = {"per_sample_loss": torch.ones(3), "group": torch.tensor([0, 1, 0])} | given
    with pytest.raises(DataError, match=message):
        group_losses(**rows, n_groups=2)


def test_a_group_without_a_row_of_a_stratum_has_no_loss():
    losses, group = torch.tensor([1.0, 2.0, 4.0, 9.0]), torch.tensor([0, 2, 2, -1])
    assert group_losses(losses, group, n_groups=4) == [[1.0, None, 3.0, None]]
    label = torch.tensor([1, 0, 1, 0])
    found = group_losses(losses, group, n_groups=3, label=label)
    assert found == [[None, None, 2.0], [1.0, None, 4.0]]
    assert group_losses(losses, group, n_groups=3, label=0 * label)[1] == [None, None, None]
    nothing = group_losses(losses[:0], group[:0], n_groups=2, label=label[:0])
    assert nothing == [[None, None], [None, None]]


def test_a_loss_that_is_no_function_is_refused():
    x, y, group = crossed_rows()
    with pytest.raises(OptionError, match=r"^loss: expected a function from .*, got 'mse'$"):
        parity_scores(network(1), x, y, group=group, loss="mse")
