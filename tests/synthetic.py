"""Small data sets for tests, with a label that depends on the group."""

import torch

from dralign.data.dataset import Dataset, Split


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
