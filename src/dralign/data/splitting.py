"""Splitting rows into training, validation and test, and building the dataset from them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from dralign.data.columns import text_counts
from dralign.data.dataset import Dataset, Encoder, Split
from dralign.errors import DataError, OptionError, unknown
from dralign.groups import GroupCodes

if TYPE_CHECKING:
    import pandas as pd

Rows = np.ndarray
LARGEST_SEED = 2**32 - 1
SHARES: Final = (0.6, 0.2)  # of training and validation rows
KEPT_BACK: Final = (0.75, 0.25)  # of the rows that are not test rows, where those are given
# What the parts are called in a column that says which rows are for what.
PART_WORDS: Final = {
    "training": ("train", "training", "fit"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "holdout", "held-out", "held out"),
}


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
    check_sensitive(dataset, chosen, known)
    return chosen


def check_sensitive(dataset: str, chosen: Sequence[str], known: Sequence[str]) -> None:
    """Checks that a dataset of this name has the sensitive columns.

    Raises:
        OptionError: if it lacks one.
    """
    for name in chosen:
        if name not in known:
            raise OptionError(unknown(f"sensitive column of {dataset}", name, known))


def stratified_split(
    strata: np.ndarray, seed: int, shares: tuple[float, float] = SHARES
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


def kept_split(strata: np.ndarray, test: np.ndarray, seed: int) -> tuple[Rows, Rows, Rows]:
    """Row numbers of training, validation and test, where the test rows are given.

    Args:
        strata: (n,) the stratum of each row.
        test: (n,) whether it is a test row.
        seed: of the permutation of the others, a quarter of which is for validation.
    """
    rest = np.flatnonzero(~test)
    train, validation, over = stratified_split(strata[rest], seed, KEPT_BACK)
    train = np.sort(np.concatenate([train, over]))  # what rounding left over
    return rest[train], rest[validation], np.flatnonzero(test)


def split_by_column(
    values: "pd.Series[Any]", strata: np.ndarray, seed: int
) -> tuple[Rows, Rows, Rows]:
    """Row numbers of training, validation and test, as a column says.

    Without validation rows, a quarter of the training rows are taken for it.

    Raises:
        DataError: if a value is missing or names no part, or there are no training or test rows.
    """
    part_of = {word: part for part, words in PART_WORDS.items() for word in words}
    known = values.map(lambda value: part_of.get(str(value).strip().lower()))
    if known.isna().any():
        wrong = text_counts(values[known.isna()])
        example = repr(next(iter(wrong))) if wrong else "no value"
        raise DataError(
            f"column {values.name!r}: expected train, validation or test, got {example} in "
            f"{int(known.isna().sum())} of {len(values)} rows"
        )
    train, validation, test = (np.flatnonzero(known == part) for part in PART_WORDS)
    if not len(train) or not len(test):
        lacking = "test" if len(train) else "training"
        raise DataError(f"column {values.name!r}: names no {lacking} rows")
    if len(validation):
        return train, validation, test
    return kept_split(strata, (known == "test").to_numpy(), seed)


def assemble(
    inputs: np.ndarray,
    y: np.ndarray,
    groups: GroupCodes,
    rows: tuple[Rows, Rows, Rows],
    *,
    encoder: Encoder,
    weights: np.ndarray | None = None,
    **about: Any,  # noqa: ANN401 - the descriptive fields of Dataset
) -> Dataset:
    """The dataset of encoded rows.

    Args:
        inputs: (n, d) encoded inputs of all rows.
        y: (n,) labels, 0 or 1.
        groups: the coded groups of all rows.
        rows: the row numbers of training, validation and test.
        encoder: what made the inputs.
        weights: (n,) positive weights of all rows; None where they are not weighted.
        about: the fields of Dataset that describe it.
    """
    labels = torch.from_numpy(y.astype(np.int64))
    x = torch.from_numpy(np.ascontiguousarray(inputs, dtype=np.float32))
    counted = None if weights is None else torch.from_numpy(weights)
    train, validation, test = (
        Split(x[part], labels[part], groups.codes[part], None if counted is None else counted[part])
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
