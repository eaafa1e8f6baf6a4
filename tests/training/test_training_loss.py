"""A loss of the caller's own in the place of cross-entropy, in every method."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor, nn

import checkpoint_runs as runs
from dralign.errors import ModelError, OptionError
from dralign.methods import StepResult
from dralign.methods.erm import Erm
from dralign.rationale.losses import row_loss
from dralign.step import Passes
from dralign.training import Checkpoints, TrainingSettings, train
from switched_off import method_of
from synthetic import dataset, perceptron, split
from training_cases import CASES, batch_for, error, network, two_steps

SHORT = TrainingSettings(epochs=2, iterations=4, batch_size=20)
METHODS = {
    "erm": method_of("erm"),
    "dralign": method_of("dralign", fairness_weight=0.5, alignment_weight=0.05),
}
every_case = pytest.mark.parametrize("key", CASES)


def by_hand(outputs: Tensor, label: Tensor) -> Tensor:
    """Cross-entropy as textbooks have it."""
    if outputs.shape[1] > 1:
        return -outputs.log_softmax(1)[torch.arange(len(label)), label]
    right = torch.where(label == 1, outputs[:, 0], -outputs[:, 0])
    return torch.log1p(torch.exp(-right))


def focal(outputs: Tensor, label: Tensor, *, gamma: float = 2.0) -> Tensor:
    """Rows that are decided right already count less (Lin et al., 2017)."""
    losses = by_hand(outputs, label)
    return (1 - torch.exp(-losses)) ** gamma * losses


def sgd(parameters):
    """Adam would make a step of rounding errors."""
    return torch.optim.SGD(parameters, lr=0.1)


def weights(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def trained(method="erm", settings=SHORT, data=None, **given) -> Tensor:
    model = perceptron()
    train(model, data or dataset(), METHODS[method], settings, optimiser=sgd, **given)
    return weights(model)


@every_case
def test_cross_entropy_of_ones_own_is_the_default_in_every_method(key):
    own = two_steps(CASES[key], passes=Passes(row_loss=row_loss(by_hand)))
    assert error(own, two_steps(CASES[key])) < 1e-10


@every_case
def test_a_focal_loss_changes_the_step_of_every_method(key):
    own = two_steps(CASES[key], passes=Passes(row_loss=row_loss(focal)))
    assert error(own, two_steps(CASES[key])) > 1e-2


@every_case
def test_the_parts_of_a_batch_add_up_to_the_whole_under_a_loss_of_ones_own(key):
    loss = row_loss(focal)
    whole = two_steps(CASES[key], passes=Passes(row_loss=loss))
    assert error(two_steps(CASES[key], passes=Passes(4, row_loss=loss)), whole) < 1e-9


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("loss", [by_hand, partial(focal, gamma=0.0)], ids=["by hand", "gamma 0"])
def test_training_with_cross_entropy_of_ones_own_is_training_without(method, loss):
    torch.testing.assert_close(trained(method, loss=loss), trained(method), rtol=0, atol=1e-6)
    assert (trained(method, loss=focal) - trained(method)).abs().max() > 1e-2


def test_a_step_goes_down_the_mean_of_the_losses():
    rows, model = split(50), perceptron()
    (focal(model(rows.x), rows.y).mean()).backward()
    expected = torch.cat([(p - 0.1 * p.grad).detach().flatten() for p in model.parameters()])
    one = TrainingSettings(epochs=1, iterations=1)
    own = trained("erm", one, batches=[(rows.x, rows.y, rows.group)], loss=focal)
    torch.testing.assert_close(own, expected)


@pytest.mark.parametrize("name", ["erm", "oversample"])
def test_weights_of_rows_weigh_their_losses(name):
    method, model = method_of(name), network({})
    batch = batch_for(method, {})
    drawn = torch.rand(len(batch.y), generator=torch.Generator().manual_seed(0))
    weighted = replace(batch, weight=drawn)
    (focal(model(batch.x), batch.y) * drawn).mean().backward()
    expected = [p.grad for p in model.parameters()]
    model.zero_grad()
    step = method.begin(model, n_groups=2, generator=torch.Generator())
    step(weighted, 1.0, Passes(row_loss=row_loss(focal)))
    torch.testing.assert_close([p.grad for p in model.parameters()], expected)


def test_figures_are_those_of_classification():
    """Of the same weights they are the same, whatever the loss was."""
    still = {"optimiser": partial(torch.optim.SGD, lr=0.0)}
    first, second = (
        train(perceptron(), dataset(), METHODS["dralign"], SHORT, loss=loss, **still).history[0]
        for loss in (None, focal)
    )
    assert first.test == second.test
    assert first.similarity == second.similarity
    assert first.loss != second.loss


REFUSED = [
    ("focal", "loss: expected a function from outputs and labels to a value per row, got 'focal'"),
    (lambda z, y: by_hand(z, y).mean(), r"loss: expected one value per row, .* got \(\); torch's"),
    (lambda z, y: by_hand(z, y)[:, None], r"loss: expected one value per row, .* got \(\d+, 1\)"),
    (lambda z, y: by_hand(z.detach(), y), "loss: its values have no gradient; compute them from"),
    (lambda z, y: ((z[:, 0] > 0) != y).float(), "loss: its values have no gradient"),
]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("loss", "told"), REFUSED)
def test_a_loss_that_can_not_be_trained_on_is_refused_in_one_line(loss, told, method):
    with pytest.raises(OptionError, match=told) as raised:
        trained(method, loss=loss)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("method", METHODS)
def test_a_loss_that_is_not_finite_is_told_of_in_one_line(method):
    told = r"the loss is not finite in epoch 0; .* or a loss that is finite, with its gradient, at"
    with pytest.raises(ModelError, match=told) as raised:
        trained(method, loss=lambda z, y: by_hand(z, y) * torch.nan)
    assert "\n" not in str(raised.value)


class Apart(Erm):
    """A method whose step has a loss of its own."""

    name = "apart"

    def begin(self, model, *, n_groups, generator):
        def step(batch, multiplier=1.0, passes=None):
            loss = model(batch.x).square().mean()
            loss.backward()
            return StepResult(loss.detach())

        return step


def test_a_method_that_does_not_use_the_loss_says_so_in_one_line():
    method = Apart(METHODS["erm"].gap)
    train(perceptron(), dataset(), method, SHORT)
    with pytest.raises(OptionError, match="loss: the method 'apart' has a loss of its own") as told:
        train(perceptron(), dataset(), method, SHORT, loss=focal)
    assert "\n" not in str(told.value)


class Focal(nn.Module):
    def __init__(self, gamma: float) -> None:
        super().__init__()
        self.gamma = gamma

    def forward(self, outputs: Tensor, label: Tensor) -> Tensor:
        return focal(outputs, label, gamma=self.gamma)


def begun(folder, loss):
    places = None if folder is None else Checkpoints(folder, every=2, last=9)
    return train(
        runs.network("gap"), dataset(), method_of("gap", fairness_weight=0.5), runs.settings("gap"),
        checkpoints=places, loss=loss,
    )  # fmt: skip


def test_a_run_resumed_with_its_loss_ends_bit_for_bit_as_if_whole(tmp_path):
    whole = runs.outcome(begun(None, partial(focal, gamma=1.0)))
    begun(tmp_path, partial(focal, gamma=1.0))
    for path in tmp_path.glob("step-*"):
        if int(path.name.split("-")[1]) > 8:
            path.unlink()
    resumed = runs.outcome(begun(tmp_path, partial(focal, gamma=1.0)))
    for name, value in whole.items():
        assert value.tobytes() == resumed[name].tobytes(), name


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        (None, focal, r"loss: cross-entropy there, focal\(\) here"),
        (focal, None, r"loss: focal\(\) there, cross-entropy here"),
        (partial(focal, gamma=1.0), partial(focal, gamma=2.0), r"loss: focal\(gamma=1.0\) there"),
        (Focal(1.0), Focal(2.0), r"loss: Focal\(training=True, gamma=1.0\) there"),
    ],
    ids=["none, focal", "focal, none", "partial", "module"],
)
def test_another_loss_is_another_run(first, second, told, tmp_path):
    begun(tmp_path, first)
    with pytest.raises(OptionError, match=f"another run .{told}"):
        begun(tmp_path, second)
