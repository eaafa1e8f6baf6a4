"""One step taken in parts or by several processes is the step of the whole batch."""

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn

from dralign.alignment import RationaleAlignment, aligned_backward
from dralign.errors import DataError, OptionError
from meeting import meeting

GAPS = ("demographic_parity", "equalized_odds", "predictive_parity")


def network(dtype=torch.float64, *, dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, 7), nn.ReLU(), nn.Dropout(dropout), nn.Linear(7, 5), nn.Tanh(), nn.Linear(5, 1)
    ).to(dtype)


def rows(dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(42, 6, generator=generator, dtype=torch.float64).to(dtype)
    return x, torch.arange(42) // 3 % 2, torch.arange(42) % 3 % 2


def gradient(model, data, *, gap="demographic_parity", granularity="unit", **options):
    x, y, group = data
    value = aligned_backward(
        model, x, label=y, group=group, n_groups=2, gap=gap, fairness_weight=0.3,
        alignment=RationaleAlignment(model, granularity=granularity), alignment_weight=0.2,
        **options,
    )  # fmt: skip
    return [float(value), *(p.grad.clone() for p in model.parameters())]


def close(found, expected, tolerance):
    assert found[0] == pytest.approx(expected[0], rel=tolerance)
    for pair in zip(found[1:], expected[1:], strict=True):
        one, other = map(torch.as_tensor, pair)
        assert (one - other).abs().max() <= tolerance * other.abs().max()


@pytest.mark.parametrize("granularity", ["unit", "parameter"])
@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("micro_batch", [5, 16, 41])
def test_parts_of_a_batch_add_up_to_its_step(gap, granularity, micro_batch):
    options = {"gap": gap, "granularity": granularity}
    whole = gradient(network(), rows(), **options)
    close(gradient(network(), rows(), micro_batch=micro_batch, **options), whole, 1e-10)


def test_rows_without_a_group_are_in_the_parts_too():
    x, y, group = rows()
    data = (x, y, torch.where(torch.arange(42) % 5 == 0, -1, group))
    close(gradient(network(), data, micro_batch=10), gradient(network(), data), 1e-10)


def test_a_part_keeps_its_dropout_mask_when_it_is_forwarded_again():
    model, seen = network(dropout=0.5), []

    def see(_module, _inputs, output):
        if torch.is_grad_enabled():  # without, a few rows are looked at before the first step
            seen.append(output.detach())

    model[2].register_forward_hook(see)
    gradient(model, rows(), micro_batch=21)
    rehearsed, repeated = seen[:4], seen[4:]  # two parts of two groups
    for one, other in zip(rehearsed, repeated, strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(rehearsed[0] == 0, rehearsed[2] == 0)


@pytest.mark.parametrize("micro_batch", [None, 16])
def test_loss_scale_multiplies_the_gradient_and_not_the_value(micro_batch):
    plain = gradient(network(), rows())
    scaled = gradient(network(), rows(), loss_scale=1024.0, micro_batch=micro_batch)
    close(scaled, [plain[0], *(1024 * g for g in plain[1:])], 1e-10)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_network_keeps_the_direction_of_the_step(dtype):
    expected = torch.cat(
        [g.flatten() for g in gradient(network(torch.float32), rows(torch.float32))[1:]]
    )
    with torch.autocast("cpu", dtype):
        found = gradient(network(torch.float32), rows(torch.float32), loss_scale=256.0)[1:]
    found = torch.cat([g.flatten() for g in found])
    assert found.dtype == torch.float32
    assert torch.cosine_similarity(found, expected, dim=0) > 0.99


def test_a_micro_batch_without_rows_is_refused():
    with pytest.raises(OptionError, match="micro_batch: expected at least 1 row, got 0"):
        gradient(network(), rows(), micro_batch=0)


def share(rank: int, data):
    """Two thirds of the rows for process 0, the rest for process 1; other shares of each group."""
    mine = (torch.arange(42) % 7 < 4) == (rank == 0)
    return tuple(column[mine] for column in data)


def process(rank: int, folder: str, gap: str, granularity: str, dtype, micro_batch) -> None:
    with meeting(folder, rank):
        model = network(dtype)
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)  # must stay in the sum, once
        options = {"gap": gap, "granularity": granularity, "micro_batch": micro_batch}
        found = gradient(model, share(rank, rows(dtype)), **options)
        np.savez(f"{folder}/{rank}.npz", *(np.asarray(value) for value in found))
        x, y, group = share(rank, rows(dtype))
        try:
            gradient(model, (x, y, torch.zeros_like(group) if rank else group))
        except DataError as error:
            np.save(f"{folder}/error{rank}.npy", str(error))


@pytest.mark.skipif(not dist.is_available(), reason="torch was built without torch.distributed")
@pytest.mark.parametrize(
    ("gap", "granularity", "dtype", "micro_batch", "tolerance"),
    [
        ("demographic_parity", "unit", torch.float64, None, 1e-10),
        ("equalized_odds", "parameter", torch.float64, 8, 1e-10),
        ("demographic_parity", "unit", torch.float32, None, 1e-4),
    ],
)
def test_two_processes_take_the_step_of_one(
    tmp_path, gap, granularity, dtype, micro_batch, tolerance
):
    arguments = (str(tmp_path), gap, granularity, dtype, micro_batch)
    torch.multiprocessing.spawn(process, args=arguments, nprocs=2)
    whole = gradient(network(dtype), rows(dtype), gap=gap, granularity=granularity)
    expected = [whole[0], *(g + 1 for g in whole[1:])]
    for rank in range(2):
        with np.load(tmp_path / f"{rank}.npz") as saved:
            close(
                [float(saved["arr_0"]), *(saved[f"arr_{i}"] for i in range(1, 7))],
                expected,
                tolerance,
            )
        message = str(np.load(tmp_path / f"error{rank}.npy"))
        assert message.startswith("the processes of a step hold rows of different groups")
