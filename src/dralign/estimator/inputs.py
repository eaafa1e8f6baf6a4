"""From what users pass to ``fit`` to the rows of the training loop."""

import numbers
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from dralign.data import Dataset, Split, TableEncoder
from dralign.data.inputs import usable_columns
from dralign.data.numerals import with_numbers
from dralign.data.rules import Rules
from dralign.data.splitting import stratified_split
from dralign.errors import DataError, DralignWarning, GroupError, OptionError
from dralign.groups import MISSING, GroupCodes, encode_groups, require_groups
from dralign.metrics.arrays import weights_of
from dralign.table_options import TableOptions
from dralign.turns import warnings_kept

if TYPE_CHECKING:
    import pandas as pd

Rows = np.ndarray


def checked_array(
    fitted: Any,  # noqa: ANN401
    X: Any,  # noqa: ANN401, N803
    *,
    reset: bool,
    **how: Any,  # noqa: ANN401 - as ``check_array`` takes them
) -> Any:  # noqa: ANN401
    """X, which is no frame, as scikit-learn's ``validate_data`` gives it.

    scikit-learn changes the filters of warnings meanwhile, which other threads have too, so that
    threads take turns. An array of numbers needs nothing of that: no prediction from one waits for
    a training.
    """
    if type(X) is np.ndarray and X.ndim == 2 and X.size and X.dtype.kind in "biuf":
        validate_data(fitted, X, reset=reset, skip_check_array=True)
        kind = how["dtype"]
        return X if kind == "numeric" or kind is None else X.astype(kind, copy=False)
    with warnings_kept():
        return validate_data(fitted, X, reset=reset, **how)


def class_codes(y: object, kept: Rows | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The different labels in sorted order, and for every row that is kept which of them it has.

    Returns:
        (C,) labels and (m,) int64 codes 0..C-1.

    Raises:
        DataError: if a value is missing or there are not two different ones.
    """
    import pandas as pd

    with warnings_kept():
        values = column_or_1d(y, warn=True)
    values = values if kept is None else values[kept]
    missing = int(pd.isna(values).sum())
    if missing:
        raise DataError(f"y: {missing} of {len(values)} rows have no value (NaN or None)")
    with warnings_kept():
        check_classification_targets(values)
    classes, codes = np.unique(values, return_inverse=True)
    if len(classes) < 2:
        raise DataError(f"y: expected two classes or more, got one class: {classes.tolist()[0]!r}")
    return classes, codes.astype(np.int64)


def coded_groups(sensitive_features: object, n_given: int, kept: Rows | None = None) -> GroupCodes:
    """The groups of the rows that are kept, at least two; rows without one give a warning.

    Raises:
        GroupError: if there is not one value a row, or all rows are in one group.
    """
    groups = encode_groups(sensitive_features)
    if len(groups.codes) != n_given:
        raise GroupError(f"sensitive_features: expected {n_given} rows, got {len(groups.codes)}")
    n_rows = n_given if kept is None else len(kept)
    if kept is not None and n_rows < n_given:
        codes = groups.codes[torch.from_numpy(kept)]
        there = [code for code in range(len(groups.names)) if bool((codes == code).any())]
        new = torch.full((len(groups.names) + 1,), MISSING)  # the last is for code -1
        new[there] = torch.arange(len(there))
        groups = GroupCodes(new[codes], tuple(groups.names[code] for code in there))
    require_groups(groups.codes, groups.names, where="training")
    lacking = int((groups.codes < 0).sum())
    if lacking:
        warnings.warn(
            f"{lacking} of {n_rows} rows have no sensitive value: they are in no group",
            DralignWarning,
            stacklevel=4,
        )
    return groups


def rows_kept_back(
    labels: np.ndarray, groups: GroupCodes, fraction: float, seed: int
) -> tuple[Rows, Rows]:
    """The rows to train on and those that are kept back, the same share of every cell.

    Args:
        labels: (n,) codes 0..C-1.
        groups: the coded groups; without names where there are none.
        fraction: the share of every cell (a group within a label) that is kept back.
        seed: of the split.

    Raises:
        DataError: if there are too few rows to keep any back.
    """
    cells = groups.codes.numpy() * (int(labels.max()) + 1) + labels
    kept, *rest = stratified_split(cells, seed, (fraction, 1 - fraction))
    if len(kept) and not (groups.names and bool((groups.codes[kept] < 0).all())):
        return np.sort(np.concatenate(rest)), kept
    wanted = f"to keep a fraction of {fraction:g} of every group and label back for validation"
    if groups.names and len(stratified_split(labels, seed, (fraction, 1 - fraction))[0]):
        raise DataError(
            f"sensitive_features has {len(groups.names)} different values in {len(labels)} rows, "
            f"too few rows each {wanted}; bin the values, or leave them out"
        )
    raise DataError(f"X: {len(labels)} rows are too few {wanted}")


def training_data(
    table: "pd.DataFrame",
    labels: np.ndarray,
    groups: GroupCodes | None,
    *,
    classes: np.ndarray,
    fraction: float,
    seed: int,
    leave_out: bool,
    weight: np.ndarray | None = None,
    label_weight: np.ndarray | None = None,
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
        weight: (n,) positive weights of the rows; None where they are not weighted.
        label_weight: (C,) what a row of each label counts in training besides; None for 1.

    Raises:
        DataError: if there are too few rows to keep any back.
    """
    if groups is None:
        groups = GroupCodes(torch.full((len(labels),), MISSING), ())
    training, validation = rows_kept_back(labels, groups, fraction, seed)
    rules = Rules()
    if leave_out:
        rules = Rules.learned(table, TableOptions())
        table, notes = with_numbers(rules.apply(table))
        for note in notes:
            warnings.warn(note, DralignWarning, stacklevel=4)
    inputs = usable_columns(table, training, where="X") if leave_out else list(table.columns)
    encoder = TableEncoder.fit(table.iloc[training], inputs, rules=rules)
    x, y = torch.from_numpy(encoder.encode(table)[0]), torch.from_numpy(labels)
    weights = None if weight is None else torch.from_numpy(weight)
    train, held_back, none = (
        Split(x[at], y[at], groups.codes[at], None if weights is None else weights[at])
        for at in (training, validation, slice(0))
    )
    if label_weight is not None:
        of_label = torch.from_numpy(label_weight)[train.y]
        whole = of_label if train.weight is None else of_label * train.weight
        # A label that is to count for nothing still has rows, which batches are drawn from.
        train = replace(train, weight=whole.clamp(min=torch.finfo(torch.float32).tiny))
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


def row_weights(sample_weight: object, n_rows: int) -> tuple[Rows, np.ndarray | None]:
    """Which rows weigh something, and (m,) their weights; None where these all weigh the same.

    Raises:
        DataError: if there is not one a row, one is negative or not finite, or all are 0.
    """
    weight = weights_of(sample_weight, n_rows)
    if weight is None:
        return np.arange(n_rows), None
    kept = np.flatnonzero(weight)
    if not len(kept):
        raise DataError(f"sample_weight: the weights of all {n_rows} rows are zero")
    return kept, weights_of(weight[kept], len(kept))


def label_weights(
    class_weight: object, classes: np.ndarray, labels: np.ndarray, weight: np.ndarray | None
) -> np.ndarray | None:
    """(C,) what a row of each class counts: as given, or so that all classes weigh the same.

    Raises:
        OptionError: if it is neither None, ``"balanced"`` nor a number from 0 up for some classes.
    """
    if class_weight is None:
        return None
    if isinstance(class_weight, str) and class_weight == "balanced":
        of_class = np.bincount(labels, weight, len(classes))
        return np.asarray(of_class.sum() / (len(classes) * of_class))
    if not isinstance(class_weight, Mapping):
        raise OptionError(
            f'class_weight: expected None, "balanced" or a dict of labels, got {class_weight!r:.50}'
        )
    known = classes.tolist()
    if others := [label for label in class_weight if label not in known]:
        raise OptionError(
            f"class_weight: {others[0]!r} is no label; the labels are {', '.join(map(repr, known))}"
        )
    given = [class_weight.get(label, 1.0) for label in known]
    numbers_only = all(isinstance(w, numbers.Real) and 0 <= float(w) < np.inf for w in given)
    if not numbers_only or not any(given):
        raise OptionError(f"class_weight: expected numbers from 0 up, got {class_weight!r:.80}")
    return np.array(given, dtype=np.float64)


def column_names(values: Any, default: str) -> tuple[str, ...]:  # noqa: ANN401 - any columns
    """What a Series or the columns of a DataFrame are called; the default for anything else."""
    columns = getattr(values, "column_names", getattr(values, "columns", None))
    if columns is not None:
        return tuple(str(name) for name in columns)
    name = getattr(values, "name", None)
    return (default if name is None else str(name),)
