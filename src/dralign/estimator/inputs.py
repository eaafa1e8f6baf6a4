"""From what users pass to ``fit`` to the rows of the training loop."""

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from dralign.data import Dataset, Split, TableEncoder
from dralign.data.inputs import usable_columns
from dralign.data.numerals import with_numbers
from dralign.data.splitting import stratified_split
from dralign.errors import DataError, DralignWarning, GroupError
from dralign.groups import MISSING, GroupCodes, encode_groups, require_groups

if TYPE_CHECKING:
    import pandas as pd

Rows = np.ndarray


def class_codes(y: object) -> tuple[np.ndarray, np.ndarray]:
    """The different labels in sorted order, and for every row which of them it has.

    Returns:
        (C,) labels and (n,) int64 codes 0..C-1.

    Raises:
        DataError: if a value is missing or there are not two different ones.
    """
    import pandas as pd

    values = column_or_1d(y, warn=True)
    missing = int(pd.isna(values).sum())
    if missing:
        raise DataError(f"y: {missing} of {len(values)} rows have no value (NaN or None)")
    check_classification_targets(values)
    classes, codes = np.unique(values, return_inverse=True)
    if len(classes) < 2:
        raise DataError(f"y: expected two classes or more, got one class: {classes.tolist()[0]!r}")
    return classes, codes.astype(np.int64)


def coded_groups(sensitive_features: object, n_rows: int) -> GroupCodes:
    """The groups of the rows, at least two; rows without one are counted in a warning.

    Raises:
        GroupError: if there is not one value a row, or all rows are in one group.
    """
    groups = encode_groups(sensitive_features)
    if len(groups.codes) != n_rows:
        raise GroupError(f"sensitive_features: expected {n_rows} rows, got {len(groups.codes)}")
    require_groups(groups.codes, groups.names, where="training")
    lacking = int((groups.codes < 0).sum())
    if lacking:
        warnings.warn(
            f"{lacking} of {n_rows} rows have no sensitive value: they are in no group",
            DralignWarning,
            stacklevel=3,
        )
    return groups


def training_data(
    table: "pd.DataFrame",
    labels: np.ndarray,
    groups: GroupCodes | None,
    *,
    classes: np.ndarray,
    fraction: float,
    seed: int,
    leave_out: bool,
) -> tuple[Dataset, TableEncoder]:
    """The rows to train on and those kept back to choose an epoch by, and what encoded them.

    There are no test rows. The encoding is learned from the rows to train on.

    Args:
        table: the columns of X.
        labels: (n,) codes 0..C-1.
        groups: the coded groups; None where there are none.
        classes: (C,) what the codes stand for.
        fraction: the share of every cell, or of every label without groups, that is kept back.
        seed: of the split.
        leave_out: whether columns that can't help are left out, as ``usable_columns`` says, and a
            few texts among numbers are missing values.

    Raises:
        DataError: if there are too few rows to keep any back.
    """
    cells = labels if groups is None else groups.codes.numpy() * len(classes) + labels
    validation, *rest = stratified_split(cells, seed, (fraction, 1 - fraction))
    training = np.sort(np.concatenate(rest))
    if groups is None:
        groups = GroupCodes(torch.full((len(labels),), MISSING), ())
    if not len(validation) or (groups.names and bool((groups.codes[validation] < 0).all())):
        raise DataError(
            f"X: {len(labels)} rows are too few to keep a fraction of {fraction:g} of every group "
            "and label back for validation"
        )
    if leave_out:
        table, notes = with_numbers(table)
        for note in notes:
            warnings.warn(note, DralignWarning, stacklevel=3)
    inputs = usable_columns(table, training, where="X") if leave_out else list(table.columns)
    encoder = TableEncoder.fit(table.iloc[training], inputs)
    x, y = torch.from_numpy(encoder.encode(table)[0]), torch.from_numpy(labels)
    parts = (Split(x[at], y[at], groups.codes[at]) for at in (training, validation, slice(0)))
    train, held_back, none = parts
    data = Dataset(
        name="rows given to fit",
        preparation="standard",
        train=train,
        validation=held_back,
        test=none,
        group_names=groups.names,
        sensitive=(),
        label="y",
        positive="1",
        class_names=tuple(map(str, classes)) if len(classes) > 2 else (),
    )
    return data, encoder


def column_names(values: Any, default: str) -> tuple[str, ...]:  # noqa: ANN401 - any columns
    """What a Series or the columns of a DataFrame are called; the default for anything else."""
    if hasattr(values, "columns"):
        return tuple(str(name) for name in values.columns)
    name = getattr(values, "name", None)
    return (default if name is None else str(name),)
