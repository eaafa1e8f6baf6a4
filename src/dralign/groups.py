"""Groups: from columns of any type to int64 codes 0..G-1, with -1 where a value is missing."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from dralign.errors import DataError, GroupError, GroupTypeError

if TYPE_CHECKING:
    import pandas as pd

MISSING = -1
CROSS = " & "


class GroupCodes(NamedTuple):
    """Coded groups.

    Attributes:
        codes: (n,) int64 tensor; code ``g`` stands for ``names[g]``, -1 for a missing value.
        names: one name per group; crossed columns are joined by ``" & "``.
    """

    codes: Tensor
    names: tuple[str, ...]


def encode_groups(sensitive_features: object, *, names: Sequence[str] | None = None) -> GroupCodes:
    """Codes for the groups of one sensitive feature, or of several crossed.

    Groups are numbered in the sorted order of their values (numbers by size, text by letter),
    column by column, so ``"Female"`` is 0 and ``"Male"`` is 1. Only combinations that occur become
    groups. A row with a missing value (None, NaN, NaT, ``pandas.NA``) in any column gets -1.

    Args:
        sensitive_features: (n,) or (n, c) array, tensor, list, Series or DataFrame, or a dict of
            columns.
        names: the group names of an earlier coding; the codes then follow their order.

    Returns:
        The codes and the group names.

    Raises:
        DataError: if these are not columns of values that can name a group.
        GroupError: if there is no value at all, if two different values have the same name, or if a
            value is not among ``names``.
    """
    columns = _columns(sensitive_features)
    if not columns or not len(columns[0]):
        raise GroupError("sensitive features: expected at least one column and one row, got none")
    ranks, labels = zip(*(_rank(column) for column in columns), strict=True)
    rows = np.stack(ranks, axis=1)  # (n, c)
    known = (rows != MISSING).all(axis=1)
    if not known.any():
        raise GroupError("sensitive features: every row has a missing value")
    combinations, inverse = np.unique(rows[known], axis=0, return_inverse=True)
    found = [
        CROSS.join(label[rank] for label, rank in zip(labels, row, strict=True))
        for row in combinations
    ]
    if len(set(found)) < len(found):
        twice = next(name for name in found if found.count(name) > 1)
        raise GroupError(f"sensitive features: two different values are both written {twice!r}")
    order = found if names is None else list(names)
    if len(set(order)) < len(order):
        raise GroupError(f"names: {next(x for x in order if order.count(x) > 1)!r} is given twice")
    new = [name for name in found if name not in order]
    if new:
        raise GroupError(
            f"group {new[0]!r} is not among the known groups: {', '.join(map(repr, order))}"
        )
    position = np.array([order.index(name) for name in found])
    codes = np.full(len(rows), MISSING, dtype=np.int64)
    codes[known] = position[inverse.reshape(-1)]
    return GroupCodes(torch.from_numpy(codes), tuple(order))


def check_group(group: Tensor, *, n_rows: int, n_groups: int) -> None:
    """Checks that ``group`` is a vector of int64 codes below ``n_groups`` for ``n_rows`` rows.

    Raises:
        GroupTypeError: if it is not a tensor or its dtype is not int64.
        GroupError: if its shape or a code is out of range.
    """
    kind = group.dtype if isinstance(group, Tensor) else type(group).__name__
    if kind != torch.int64:
        raise GroupTypeError(
            f"group: expected an int64 tensor of codes, got {kind}; use encode_groups"
        )
    if group.shape != (n_rows,):
        raise GroupError(f"group: expected shape ({n_rows},), got {tuple(group.shape)}")
    # One transfer for both, because a step on a GPU waits for each.
    low, high = torch.stack(group.aminmax()).tolist() if n_rows else (MISSING, MISSING)
    if low < MISSING or high >= n_groups:
        raise GroupError(f"group: expected codes from -1 to {n_groups - 1}, got {low} to {high}")


def require_groups(
    group: Tensor, names: Sequence[str], *, where: str, label: Tensor | None = None
) -> None:
    """Checks that at least two groups are known and that each of them (or each cell) has rows.

    Args:
        group: (n,) int64 codes.
        names: the name of each group.
        where: the part of the data that is checked, for the message ("training").
        label: (n,) labels; if given, every group must have rows of every label.

    Raises:
        GroupError: if there is only one group, or a group or cell has no row.
    """
    if len(names) < 2:
        raise GroupError(
            f"all {where} rows are in one group ({', '.join(names)}); at least two are needed"
        )
    for code, name in enumerate(names):
        rows = group == code
        if not bool(rows.any()):
            raise GroupError(f"group {name!r} has no {where} rows")
        if label is not None:
            for value in label.unique().tolist():
                if not bool((label[rows] == value).any()):
                    raise GroupError(
                        f"group {name!r} has no {where} rows with label {value:g}, "
                        "which the chosen gap conditions on"
                    )


def written(value: object) -> str:
    """How a value of a table is written as text; whole floats without the decimal point."""
    whole = isinstance(value, (float, np.floating)) and float(value).is_integer()
    if whole and abs(float(value)) < 2**53:  # type: ignore[arg-type]
        return str(int(value))  # type: ignore[call-overload]
    return str(value)


def _columns(features: Any) -> "list[pd.Series[Any]]":  # noqa: ANN401
    """The sensitive columns as a list of pandas Series.

    Raises:
        DataError: if they are not a vector or a table.
    """
    import pandas as pd

    if isinstance(features, Tensor):
        # numpy has no bfloat16
        features = features.detach().cpu()
        features = (features.double() if features.is_floating_point() else features).numpy()
    if isinstance(features, pd.Series):
        return [features]
    if not isinstance(features, pd.DataFrame):
        if isinstance(features, (str, bytes)) or not isinstance(features, Iterable):
            raise DataError(
                f"sensitive features: expected columns of values, got {type(features).__name__}"
            )
        shaped = isinstance(features, dict) or hasattr(features, "shape")
        if not shaped:
            features = list(features)
            if len({len(row) for row in features if isinstance(row, (list, tuple))}) > 1:
                raise DataError("sensitive features: the rows differ in length")
        try:
            features = pd.DataFrame(features)
        except (TypeError, ValueError) as error:
            raise DataError(
                f"sensitive features: expected (n,) or (n, c) values ({error})"
            ) from error
    return [features.iloc[:, column] for column in range(features.shape[1])]


def _rank(column: "pd.Series[Any]") -> tuple[np.ndarray, list[str]]:
    """Each row's rank among the sorted distinct values (-1 where missing), and their names.

    Raises:
        DataError: if a value can't name a group, for example a list.
    """
    import pandas as pd

    try:
        place, found = pd.factorize(column)
    except TypeError as error:
        raise DataError(f"sensitive features: values can't name groups ({error})") from error
    values = found.tolist()
    try:
        order = sorted(range(len(values)), key=values.__getitem__)
    except TypeError:  # mixed types have no order of their own
        order = sorted(
            range(len(values)), key=lambda at: (type(values[at]).__name__, str(values[at]))
        )
    rank = np.full(len(values) + 1, MISSING, dtype=np.int64)  # the last is for place -1
    rank[order] = np.arange(len(values))
    return rank[place], [written(values[at]) for at in order]
