"""A skorch classifier with the alignment term takes the steps that a plain loop takes."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import dralign
from dralign.errors import DataError, OptionError

pytest.importorskip("skorch", reason="skorch is not installed")

from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from dralign.integrations.skorch import AlignedNet

BETA = 0.3


class Granting(nn.Module):
    """Takes no group."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2))

    def forward(self, x):
        return self.net(x)


def data():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(40, 4)).astype(np.float32)
    return {"x": x, "group": np.arange(40) % 2}, (x[:, 0] > 0).astype(np.int64)


def net(**options):
    given = {"alignment_weight": BETA, "max_epochs": 3, "lr": 0.5, "batch_size": -1,
             "train_split": None, "verbose": 0, **options}  # fmt: skip
    return AlignedNet(Granting, **given)


@pytest.mark.parametrize("by_label", [False, True])
def test_a_fit_is_that_of_a_plain_loop(by_label):
    rows, y = data()
    own = net(by_label=by_label).fit(rows, y)
    model, label = Granting(), torch.as_tensor(y)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(3):
        losses = F.cross_entropy(model(torch.as_tensor(rows["x"])), label, reduction="none")
        strata = dralign.group_losses(
            losses, torch.as_tensor(rows["group"]), n_groups=2, label=label if by_label else None
        )
        optimiser.zero_grad()
        (losses.mean() + BETA * dralign.RationaleAlignment(model).align(strata)).backward()
        optimiser.step()
    for ours, expected in zip(own.module_.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-6, rtol=1e-5)


def test_prediction_does_without_the_group_and_gives_probabilities():
    rows, y = data()
    fitted = net().fit(rows, y)
    alone = fitted.predict_proba({"x": rows["x"]})
    np.testing.assert_array_equal(alone, fitted.predict_proba(rows))
    np.testing.assert_allclose(alone.sum(1), 1, rtol=1e-5)


def test_it_is_cloned_and_searched_like_any_classifier():
    rows, y = data()
    assert clone(net(n_groups=3)).n_groups == 3
    grid = GridSearchCV(net(max_epochs=1), {"alignment_weight": [0.0, 0.1]}, cv=2)
    from skorch.helper import SliceDict

    assert grid.fit(SliceDict(**rows), y).best_params_["alignment_weight"] in {0.0, 0.1}


@pytest.mark.parametrize(
    "criterion",
    [
        {"weight": torch.tensor([1.0, 9.0])},
        {"ignore_index": 0},
        {"reduction": "sum"},
        {"weight": torch.tensor([1.0, 9.0]), "label_smoothing": 0.2},
    ],
)
def test_the_loss_without_the_term_is_that_of_the_criterion(criterion):
    rows, y = data()
    options = {f"criterion__{name}": value for name, value in criterion.items()}
    fitted = net(alignment_weight=0.0, max_epochs=1, **options).fit(rows, y)
    model = Granting()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.5)
    loss = nn.CrossEntropyLoss(**criterion)(model(torch.as_tensor(rows["x"])), torch.as_tensor(y))
    loss.backward()
    optimiser.step()
    assert fitted.history[-1]["train_loss"] == pytest.approx(loss.item(), rel=1e-6)
    for ours, expected in zip(fitted.module_.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-6, rtol=1e-5)


def test_rationales_are_those_of_the_criterion_row_by_row():
    rows, y = data()
    weight = torch.tensor([1.0, 9.0])
    fitted = net(max_epochs=1, criterion__weight=weight).fit(rows, y)
    model, label = Granting(), torch.as_tensor(y)
    outputs = model(torch.as_tensor(rows["x"]))
    losses = F.cross_entropy(outputs, label, weight=weight, reduction="none")
    strata = dralign.group_losses(losses, torch.as_tensor(rows["group"]), n_groups=2)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.5)
    task = losses.sum() / weight[label].sum()
    (task + BETA * dralign.RationaleAlignment(model).align(strata)).backward()
    optimiser.step()
    for ours, expected in zip(fitted.module_.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-6, rtol=1e-5)


def test_a_criterion_of_the_callers_stays_as_it_is():
    criterion = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0]))
    fitted = net(criterion=criterion).fit(*data())
    assert criterion.reduction == "mean"
    assert fitted.criterion_.weight is criterion.weight


class OneValue(nn.Module):
    def forward(self, outputs, label):
        return F.cross_entropy(outputs, label)


@pytest.mark.parametrize(
    ("options", "rows", "error", "line"),
    [
        ({}, {"x": data()[0]["x"]}, DataError, "the entry 'group' of group codes"),
        ({}, data()[0]["x"], DataError, "the entry 'group' of group codes"),
        ({"criterion": OneValue}, data()[0], OptionError, "a value for each of 40 rows"),
    ],
)
def test_what_can_not_be_aligned_is_refused_in_one_line(options, rows, error, line):
    with pytest.raises(error, match=line):
        net(**options).fit(rows, data()[1])
