"""Splitting rows into training, validation and test, and building the dataset from them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from dralign.data.dataset import Dataset, Encoder, Split
from dralign.errors import OptionError, unknown
from dralign.groups import GroupCodes

Rows = np.ndarray
LARGEST_SEED = 2**32 - 1


def check_seed(seed: int) -> None:
    """Checks that a seed is one numpy's generators take.

    Raises:
        OptionError: if it is not a whole number in their range.
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise OptionError(f"seed: expected a whole number, got {seed!r}")
    if not 0 <= seed <= LARGEST_SEED:
        raise OptionError(f"seed: expected a number from 0 to {LARGEST_SEED}, got {seed}")


def choose_sensitive(
    dataset: str,
    preparation: str,
    sensitive: Sequence[str],
    *,
    known: Sequence[str],
    in_paper: Sequence[str] = ("sex",),
    include_sensitive: bool,
) -> tuple[str, ...]:
    """The sensitive columns of a built-in dataset; sex if none is given.

    Args:
        dataset: its name.
        preparation: paper or standard.
        sensitive: the columns that are asked for.
        known: those the standard preparation has.
        in_paper: those the paper's preparation has.
        include_sensitive: whether they are asked for as inputs too.

    Raises:
        OptionError: if the preparation, or a column for it, is unknown.
    """
    if preparation not in {"paper", "standard"}:
        raise OptionError(unknown("preparation", preparation, ("paper", "standard")))
    chosen = tuple(sensitive or ("sex",))
    if preparation == "paper" and (not set(chosen) <= set(in_paper) or include_sensitive):
        raise OptionError(
            f"{dataset}: the paper's preparation has {' and '.join(in_paper)} as sensitive "
            "features, kept out of the inputs; use preparation 'standard' for others"
        )
    for name in chosen:
        if name not in known:
            raise OptionError(unknown(f"sensitive column of {dataset}", name, known))
    return chosen


def stratified_split(
    strata: np.ndarray, seed: int, shares: tuple[float, float] = (0.6, 0.2)
) -> tuple[Rows, Rows, Rows]:
    """Row numbers of training, validation and test, in the same shares in every stratum.

    Args:
        strata: (n,) the stratum of each row, for example its cell (group and label).
        seed: of the permutation.
        shares: of training and validation; the test rows are the rest.
    """
    generator = np.random.RandomState(seed)
    parts: tuple[list[Rows], ...] = ([], [], [])
    for value in np.unique(strata):
        rows = generator.permutation(np.flatnonzero(strata == value))
        first = round(shares[0] * len(rows))
        second = first + round(shares[1] * len(rows))
        for part, chosen in zip(parts, np.split(rows, [first, second]), strict=True):
            part.append(chosen)
    train, validation, test = (np.sort(np.concatenate(part)) for part in parts)
    return train, validation, test


def assemble(
    inputs: np.ndarray,
    y: np.ndarray,
    groups: GroupCodes,
    rows: tuple[Rows, Rows, Rows],
    *,
    encoder: Encoder,
    **about: Any,  # noqa: ANN401 - the descriptive fields of Dataset
) -> Dataset:
    """The dataset of encoded rows.

    Args:
        inputs: (n, d) encoded inputs of all rows.
        y: (n,) labels, 0 or 1.
        groups: the coded groups of all rows.
        rows: the row numbers of training, validation and test.
        encoder: what made the inputs.
        about: the fields of Dataset that describe it.
    """
    labels = torch.from_numpy(y.astype(np.int64))
    x = torch.from_numpy(np.ascontiguousarray(inputs, dtype=np.float32))
    train, validation, test = (
        Split(x[part], labels[part], groups.codes[part])
        for part in (torch.from_numpy(np.asarray(part)) for part in rows)
    )
    return Dataset(
        train=train,
        validation=validation,
        test=test,
        group_names=groups.names,
        encoder=encoder,
        **about,
    )
