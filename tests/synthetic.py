"""Small networks, rows and data sets for tests."""

import torch
from torch import Tensor, nn

from dralign.data.dataset import Dataset, Split
from dralign.models import mlp


def split(n: int, *, n_groups: int = 2, n_inputs: int = 6, seed: int = 0) -> Split:
    """Rows whose label leans on the first input and on the group."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, n_inputs, generator=generator)
    group = torch.randint(n_groups, (n,), generator=generator)
    noise = torch.randn(n, generator=generator)
    y = (x[:, 0] + 0.8 * group + 0.5 * noise > 0.4).to(torch.int64)
    return Split(x, y, group)


def dataset(*, n_groups: int = 2, n_inputs: int = 6, n: int = 300) -> Dataset:
    """A dataset of three synthetic splits."""
    train, validation, test = (
        split(n, n_groups=n_groups, n_inputs=n_inputs, seed=seed) for seed in range(3)
    )
    return Dataset(
        name="synthetic",
        preparation="standard",
        train=train,
        validation=validation,
        test=test,
        group_names=tuple("abcdef"[:n_groups]),
        sensitive=("group",),
        label="label",
        positive="1",
    )


def perceptron(seed: int = 0, *, n_outputs: int = 1) -> nn.Sequential:
    """A small network for these data sets, the same for the same seed."""
    torch.manual_seed(seed)
    return mlp(6, hidden=8, n_outputs=n_outputs)


def crossed_rows(
    n: int = 24,
    n_inputs: int = 4,
    *,
    n_groups: int = 2,
    seed: int = 1,
    dtype: torch.dtype = torch.float64,
) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs, labels and groups in which every cell has rows; the inputs mean nothing."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, n_inputs, generator=generator, dtype=dtype)
    return x, torch.arange(n) // n_groups % 2, torch.arange(n) % n_groups
