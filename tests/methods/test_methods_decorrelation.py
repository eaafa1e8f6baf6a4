"""Decorrelation takes out of a batch the directions in which group means differ, no others."""

import numpy as np
import pytest
import torch

from dralign.errors import DataError
from dralign.methods.decorrelation import decorrelate
from dralign.models import mlp
from dralign.rationale import per_sample_loss
from dralign.step import Batch, Block
from switched_off import method_of
from synthetic import split


def rows(n_groups: int = 3, *, missing: bool = False):
    """Inputs that lean on the group; some rows without a group if asked."""
    given = split(80, n_groups=n_groups)
    x = given.x.double() + given.group[:, None] * torch.arange(6)
    group = given.group.clone()
    if missing:
        group[::7] = -1
    return x, given.y, group


@pytest.mark.parametrize("n_groups", [2, 3])
def test_it_is_the_residual_of_the_projection_on_differences_of_means(n_groups):
    """Least squares of each row on m_a - m, written out with numpy."""
    x, _, group = rows(n_groups)
    values, mean = x.numpy(), x.numpy().mean(0)
    apart = np.stack([values[group.numpy() == g].mean(0) - mean for g in range(n_groups)], 1)
    coefficients, *_ = np.linalg.lstsq(apart, (values - mean).T, rcond=None)
    expected = values - (apart @ coefficients).T
    found = decorrelate(x, group, n_groups=n_groups)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-11)
    lost = np.linalg.matrix_rank(values - mean) - np.linalg.matrix_rank(found.numpy() - mean)
    assert lost == n_groups - 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_inputs_are_uncorrelated_with_every_group_and_keep_their_mean(dtype):
    x, _, group = rows()
    x = x.to(dtype)
    found = decorrelate(x, group, n_groups=3)
    precision = 20 * torch.finfo(dtype).eps
    for g in range(3):
        indicator = (group == g).to(dtype)
        covariance = ((indicator - indicator.mean())[:, None] * (found - found.mean(0))).mean(0)
        assert covariance.abs().max() < precision
    torch.testing.assert_close(found.mean(0), x.mean(0))


def test_the_network_can_not_read_the_group_from_the_value_of_a_binary_column():
    """The map is one for all rows: equal inputs stay equal whatever their group."""
    x = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    found = decorrelate(x, torch.tensor([0, 0, 1, 1]), n_groups=2)
    assert torch.equal(found[1], found[2])


def test_rows_without_a_group_take_no_part_in_the_directions_and_are_mapped_too():
    x, _, group = rows(missing=True)
    found = decorrelate(x, group, n_groups=3)
    known = group >= 0
    alone = decorrelate(x[known], group[known], n_groups=3)
    torch.testing.assert_close(found[known], alone)
    assert not torch.allclose(found[~known], x[~known])


def test_an_absent_group_and_a_batch_without_groups_are_no_trouble():
    x, _, group = rows(2)
    torch.testing.assert_close(decorrelate(x, group, n_groups=4), decorrelate(x, group, n_groups=2))
    for alone in (torch.full_like(group, -1), torch.zeros_like(group)):
        assert torch.equal(decorrelate(x, alone, n_groups=2), x)


def test_inputs_of_any_shape_are_taken_entry_by_entry():
    x, _, group = rows()
    image = x.reshape(80, 2, 3)
    found = decorrelate(image, group, n_groups=3)
    torch.testing.assert_close(found.reshape(80, 6), decorrelate(x, group, n_groups=3))


def test_codes_are_refused():
    x, _, group = rows()
    with pytest.raises(DataError, match=r"expected floating-point inputs, got torch.int64"):
        decorrelate(x.long(), group, n_groups=3)


def test_the_step_trains_on_decorrelated_inputs_and_leaves_the_batch_alone():
    x, y, group = rows()
    batch = Batch(x.clone(), y, group, (Block(0, len(y)),))
    torch.manual_seed(0)
    model = mlp(6, hidden=8).double()
    method = method_of("decorrelation")
    method.begin(model, n_groups=3, generator=torch.Generator())(batch)
    found = [p.grad for p in model.parameters()]
    loss = per_sample_loss(model(decorrelate(x, group, n_groups=3)), y).mean()
    for gradient, wanted in zip(
        found, torch.autograd.grad(loss, list(model.parameters())), strict=True
    ):
        torch.testing.assert_close(gradient, wanted)
    assert torch.equal(batch.x, x)
    assert method.balance == "uniform"
