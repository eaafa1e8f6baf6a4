"""Groups: from columns of any type to int64 codes 0..G-1, with -1 where a value is missing."""

import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from dralign.errors import DataError, DralignWarning, GroupError, GroupTypeError

if TYPE_CHECKING:
    import pandas as pd

MISSING = -1
CROSS = " & "
_MISSHAPEN = "sensitive features: expected (n,) or (n, c) values"
_NO_VALUE = "sensitive features: every row has a missing value"


class GroupCodes(NamedTuple):
    """Coded groups, which are taken wherever sensitive features or codes are.

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
    groups. A row with a missing value (None, NaN, NaT, ``pandas.NA``) in any column gets -1. pandas
    is needed only for what is its own.

    Numbers are values like any other, also -1 and those that are codes elsewhere; an int64 tensor
    with -1 gives a warning, as it may well hold codes. Rows are known by their position: the index
    of pandas has no part in it.

    Args:
        sensitive_features: (n,) or (n, c) array, tensor, list, Series or DataFrame, or a dict of
            columns. Groups that are coded already stay as they are.
        names: the group names of an earlier coding; the codes then follow their order.

    Returns:
        The codes and the group names.

    Raises:
        DataError: if these are not columns of values that can name a group, or the indexes of
            several columns differ.
        GroupError: if there is no value at all, if two different values have the same name, or if a
            value is not among ``names``.
    """
    if isinstance(sensitive_features, GroupCodes) and names is None:
        return _as_coded(sensitive_features)
    _warn_of_codes(sensitive_features)
    columns = _columns(sensitive_features)
    if not columns or not len(columns[0]):
        raise GroupError("sensitive features: expected at least one column and one row, got none")
    ranks, labels = zip(*(_rank(column) for column in columns), strict=True)
    rows = np.stack(ranks, axis=1)  # (n, c)
    known = (rows != MISSING).all(axis=1)
    if not known.any():
        raise GroupError(_NO_VALUE)
    combinations, inverse = np.unique(rows[known], axis=0, return_inverse=True)
    result = [
        CROSS.join(label[rank] for label, rank in zip(labels, row, strict=True))
        for row in combinations
    ]
    if len(set(result)) < len(result):
        twice = next(name for name in result if result.count(name) > 1)
        raise GroupError(f"sensitive features: two different values are both written {twice!r}")
    order = result if names is None else list(names)
    if len(set(order)) < len(order):
        raise GroupError(f"names: {next(x for x in order if order.count(x) > 1)!r} is given twice")
    places = {name: place for place, name in enumerate(order)}
    new = [name for name in result if name not in places]
    if new:
        raise GroupError(
            f"group {new[0]!r} is not among the known groups: {', '.join(map(repr, order))}"
        )
    position = np.array([places[name] for name in result])
    codes = np.full(len(rows), MISSING, dtype=np.int64)
    codes[known] = position[inverse.reshape(-1)]
    return GroupCodes(torch.from_numpy(codes), tuple(order))


def named_codes(group: object, names: Sequence[str] | None = None) -> GroupCodes:
    """Codes as they are given, checked, with a name for each.

    Args:
        group: (n,) codes from -1 up, -1 where missing, as an int64 tensor or an array of integers;
            or groups that are coded already.
        names: of the codes, which are their own names if not given.

    Raises:
        GroupTypeError: if it is something else; values of other types are sensitive features.
        GroupError: if a code is below -1, or there is not a name for each.
        DataError: if the codes are not a vector.
    """
    if isinstance(group, GroupCodes):
        names, group = names or group.names, group.codes
    elif isinstance(group, np.ndarray) and group.dtype.kind in "iu":
        group = torch.from_numpy(group.astype(np.int64))
    kind = getattr(group, "dtype", type(group).__name__)
    if not isinstance(group, Tensor) or kind != torch.int64:
        raise GroupTypeError(
            f"group: expected an int64 tensor of codes, or an array of integers, got {kind}; pass "
            "values of any type as sensitive_features"
        )
    if group.ndim != 1:
        raise DataError(f"group: expected one code per row, got shape {(*group.shape,)}")
    low, high = (int(x) for x in group.aminmax()) if len(group) else (MISSING, MISSING)
    if low < MISSING:
        raise GroupError(
            f"group: expected codes from -1 up, got {low}; pass values as sensitive_features"
        )
    names = tuple(names or map(str, range(high + 1)))
    if len(names) != high + 1:
        raise GroupError(f"group_names: expected {high + 1} names, one per code, got {len(names)}")
    return GroupCodes(group.detach(), names)


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
    if not names:
        raise GroupError(f"no {where} row is in a group; at least two are needed")
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


def _as_coded(groups: GroupCodes) -> GroupCodes:
    """Groups that are coded already, on the CPU.

    Raises:
        GroupError: if a code has no name, or every row is in no group.
    """
    check_group(groups.codes, n_rows=len(groups.codes), n_groups=len(groups.names))
    if not bool((groups.codes >= 0).any()):
        raise GroupError(_NO_VALUE)
    return GroupCodes(groups.codes.detach().cpu(), tuple(groups.names))


def _warn_of_codes(features: object) -> None:
    """Says that -1 is a value, where it may be meant as the code of rows in no group."""
    if not isinstance(features, Tensor) or features.dtype != torch.int64:
        return
    if bool((features == MISSING).any()):
        warnings.warn(
            "sensitive_features: the value -1 is taken as a group of its own; if these are codes, "
            "pass all that encode_groups returned, codes and names",
            DralignWarning,
            stacklevel=3,
        )


def _columns(features: Any) -> list[np.ndarray]:  # noqa: ANN401
    """The sensitive columns, each (n,); pandas is needed for its own types alone.

    Raises:
        DataError: if they are not a vector or a table.
    """
    if isinstance(features, dict):
        indexes = [column.index for column in features.values() if hasattr(column, "iloc")]
        if any(not index.equals(indexes[0]) for index in indexes):
            raise DataError(
                "sensitive features: the columns have different indexes, so that it is unclear "
                "which rows belong together; pass a DataFrame, or reset_index(drop=True) of each"
            )
        columns = [
            _of_series(column) if hasattr(column, "iloc") else _array(column)
            for column in features.values()
        ]
        if len({column.shape for column in columns}) > 1 or any(c.ndim != 1 for c in columns):
            raise DataError(f"{_MISSHAPEN} (columns of {columns[0].shape}, {columns[-1].shape})")
        return columns
    if hasattr(features, "iloc"):
        table = features.to_frame() if features.ndim == 1 else features
        return [_of_series(table.iloc[:, column]) for column in range(table.shape[1])]
    array = _array(features)
    if array.ndim not in {1, 2}:
        raise DataError(f"{_MISSHAPEN} (shape {array.shape})")
    return [array] if array.ndim == 1 else list(array.T)


def _of_series(column: "pd.Series[Any]") -> np.ndarray:
    """The values of a column of pandas; dates stay what pandas writes them as."""
    values: np.ndarray = column.to_numpy()
    if values.dtype.kind in "mM":
        values = column.astype(object).to_numpy()
    return values


def _array(values: Any) -> np.ndarray:  # noqa: ANN401
    """Values as an array; of objects, unless they come as an array or a tensor.

    Raises:
        DataError: if they are not several values.
    """
    if isinstance(values, GroupCodes):
        coded = _as_coded(values)
        named: np.ndarray = np.array([*coded.names, None], dtype=object)
        return np.asarray(named[coded.codes.numpy()])
    if isinstance(values, Tensor):
        tensor = values.detach().cpu()  # numpy has no bfloat16
        return np.asarray(tensor.double() if tensor.is_floating_point() else tensor)
    if isinstance(values, np.ma.MaskedArray):
        whole: np.ndarray = values.data.astype(object)
        whole[np.ma.getmaskarray(values)] = None
        return whole
    if hasattr(values, "shape"):
        return np.asarray(values)
    if hasattr(values, "to_pylist"):  # of pyarrow, whose items are no values of Python
        values = values.to_pylist()
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise DataError(
            f"sensitive features: expected columns of values, got {type(values).__name__}"
        )
    rows = list(values)
    widths = {_width(row) for row in rows}
    if len(widths) > 1:
        raise DataError("sensitive features: the rows differ in length")
    width = widths.pop() if widths else None
    array = np.empty(len(rows) if width is None else (len(rows), width), dtype=object)
    for index, row in enumerate(rows):  # all at once, numpy would look into texts and arrays
        array[index] = row
    return array


def _width(row: Any) -> int | None:  # noqa: ANN401
    """The number of columns of a row; None for a single value."""
    vector = isinstance(row, np.ndarray) and row.ndim == 1
    return len(row) if vector or isinstance(row, (list, tuple)) else None


def _rank(column: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Each row's rank among the sorted distinct values (-1 where missing), and their names.

    Raises:
        DataError: if a value can't name a group, for example a list.
    """
    ranks = np.full(len(column), MISSING, dtype=np.int64)
    if column.dtype.kind in "biuf":
        known = ~np.isnan(column)
        values, ranks[known] = np.unique(column[known], return_inverse=True)
        return ranks, [written(value) for value in values.tolist()]
    if column.dtype.kind in "mM":  # finer units would be listed as numbers
        column = column.astype(f"{column.dtype.kind}8[us]")
    first: dict[Any, int] = {}
    try:
        for row, given in enumerate(column.tolist()):
            value = given.item() if isinstance(given, np.number | np.bool_) else given
            if not _is_missing(value):
                ranks[row] = first.setdefault(value, len(first))
    except TypeError as error:
        raise DataError(f"sensitive features: values can't name groups ({error})") from error
    ordered = _in_order(list(first))
    rank_of = np.full(len(first) + 1, MISSING, dtype=np.int64)  # the last is for code -1
    rank_of[[first[value] for value in ordered]] = np.arange(len(first))
    return rank_of[ranks], [written(value) for value in ordered]


def _is_missing(value: object) -> bool:
    """Whether a value is None, NaN, NaT or ``pandas.NA``."""
    try:
        return value is None or not bool(value == value)  # noqa: PLR0124 - NaN is not itself
    except (TypeError, ValueError):  # pandas.NA is neither true nor false; nor is an array
        return type(value).__name__ == "NAType"


def _in_order(values: list[Any]) -> list[Any]:
    """The values from the smallest; mixed types, which have no order of their own, by type."""
    try:
        return sorted(values)
    except TypeError:
        return sorted(values, key=lambda value: (type(value).__name__, str(value)))
