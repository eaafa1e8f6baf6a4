"""What every step does alike: weights times a multiplier, and rows without a group."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from dralign.gaps import resolve_gap
from dralign.methods import method_names, users_of
from dralign.methods.mixup import PathPenalty
from dralign.models import mlp
from dralign.step import Batch, batch_in_blocks
from dralign.training import TrainingSettings, train
from path_penalty import path_penalty
from switched_off import method_of
from synthetic import dataset, perceptron, split

DP, EO = "demographic_parity", "equalized_odds"
LAMBDA, BETA = 0.4, 0.05


def gradients(method, batch: Batch, *multiplier: float) -> list[torch.Tensor]:
    model = perceptron().double()
    step = method.begin(model, n_groups=2, generator=torch.Generator().manual_seed(1))
    step(batch, *multiplier)
    return [parameter.grad for parameter in model.parameters()]


def batch_of(gap: str, *, lost: int) -> Batch:
    """Rows in blocks of a group or cell; the last ``lost`` ones of no group."""
    rows = split(80)
    group = rows.group.clone()
    group[80 - lost :] = -1
    return batch_in_blocks(rows.x.double(), rows.y, group, n_groups=2, by_label=gap == EO)


@pytest.mark.parametrize("penalty", ["gap", "mixup"])
@pytest.mark.parametrize("name", users_of("fairness_weight"))
def test_multiplier_scales_the_weights_of_a_step_and_one_changes_nothing(name, penalty):
    def gradient(scale: float, *multiplier: float) -> list[torch.Tensor]:
        aligned = name in users_of("alignment_weight")
        method = method_of(
            name,
            fairness_weight=LAMBDA * scale,
            alignment_weight=BETA * scale if aligned else 0.0,
            penalty=penalty if aligned else "gap",
        )
        return gradients(method, batch, *multiplier)

    batch = batch_of(DP, lost=0)
    if name == "adversarial":
        batch = replace(batch, blocks=(replace(batch.blocks[0], stop=80, group=None),))
    for found, wanted in zip(gradient(1, 2.0), gradient(2), strict=True):
        assert torch.equal(found, wanted)
    for found, wanted in zip(gradient(1, 0.0), gradient(0), strict=True):
        assert torch.equal(found, wanted)
    for found, wanted in zip(gradient(1, 1.0), gradient(1), strict=True):
        assert torch.equal(found, wanted)


def formula(batch: Batch, name: str, gap: str, loss: str) -> list[torch.Tensor]:
    """The task loss of all rows; gap, penalty and similarity of those with a group alone."""
    model = perceptron().double()
    logits, y = model(batch.x)[:, 0], batch.y.double()
    losses = binary_cross_entropy_with_logits(logits, y, reduction="none")
    total = losses.mean()
    if loss == "group_sum":
        total = sum(losses[block.rows].mean() for block in batch.blocks)
    known = [block for block in batch.blocks if block.group is not None]
    end = known[-1].stop
    if name == "mixup":
        rows = Batch(batch.x[:end], batch.y[:end], batch.group[:end], tuple(known))
        seed = torch.Generator().manual_seed(1)
        total = (
            total
            + LAMBDA * path_penalty(PathPenalty(resolve_gap(gap)), model, rows, generator=seed)[0]
        )
    for label in {block.label for block in known}:
        one, other = (block.rows for block in known if block.label == label)
        if name in {"gap", "dralign"}:
            prob = torch.sigmoid(logits)
            total = total + LAMBDA * (prob[one].mean() - prob[other].mean()).abs()
        if name == "dralign":
            for weight in (p for p in model.parameters() if p.ndim == 2):
                c = []
                for rows in (one, other):
                    mean = losses[rows].mean()
                    (gradient,) = torch.autograd.grad(mean, weight, create_graph=True)
                    c.append(((gradient * weight) ** 2).sum(1))
                total = total - BETA * (c[0] @ c[1]) / (c[0].norm() * c[1].norm())
    return list(torch.autograd.grad(total, list(model.parameters())))


@pytest.mark.parametrize("loss", ["batch_mean", "group_sum"])
@pytest.mark.parametrize("gap", [DP, EO])
@pytest.mark.parametrize("name", ["oversample", "gap", "mixup", "dralign"])
def test_rows_without_a_group_count_in_the_task_loss_alone(name, gap, loss):
    batch = batch_of(gap, lost=15)
    assert batch.blocks[-1].group is None
    method = method_of(
        name,
        gap=gap,
        fairness_weight=0.0 if name == "oversample" else LAMBDA,
        alignment_weight=BETA if name == "dralign" else 0.0,
        loss=loss,
    )
    expected = formula(batch, name, gap, loss)
    for found, wanted in zip(gradients(method, batch), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", method_names())
def test_every_method_trains_on_data_with_rows_without_a_group(name):
    data = dataset()
    rows = data.train
    group = rows.group.clone()
    group[::7] = -1
    model = mlp(6, hidden=8)
    method = method_of(
        name,
        fairness_weight=LAMBDA if name in users_of("fairness_weight") else 0.0,
        alignment_weight=BETA if name in users_of("alignment_weight") else 0.0,
    )
    result = train(
        model,
        replace(data, train=replace(rows, group=group)),
        method,
        TrainingSettings(epochs=1, iterations=3, batch_size=20),
    )
    assert 0 < result.history[0].loss < 3
    assert result.history[0].skipped == 0


def test_rows_without_a_group_change_what_is_learned():
    """A label that only they contradict is learned from them."""
    data = dataset(n=400)
    rows = data.train
    lost = torch.arange(400) % 2 == 0
    turned = replace(
        rows, y=torch.where(lost, 1 - rows.y, rows.y), group=torch.where(lost, -1, rows.group)
    )
    figures = []
    for train_rows in (rows, turned):
        torch.manual_seed(0)
        result = train(
            mlp(6, hidden=8),
            replace(data, train=train_rows),
            method_of("oversample"),
            TrainingSettings(epochs=2, iterations=40, batch_size=50, learning_rate=1e-2),
        )
        figures.append(result.history[-1].test["average_precision"])
    assert figures[0] > figures[1] + 0.05
