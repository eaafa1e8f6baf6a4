"""The groups of a user's table: made of its sensitive columns, small ones merged if asked for."""

import warnings
from collections.abc import Sequence
from shlex import quote
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from dralign.data.columns import canonical, noted, of_numbers
from dralign.errors import DralignWarning, GroupError
from dralign.groups import MISSING, GroupCodes, encode_groups

if TYPE_CHECKING:
    import pandas as pd

MANY_GROUPS: Final = 50
FEW_ROWS: Final = 30  # of a group, about which figures say little
MANY_NUMBERS: Final = 10  # more groups than these, each a number, are better put into bins
SMALLER: Final = "smaller groups"


def table_groups(
    frame: "pd.DataFrame",
    sensitive: Sequence[str],
    *,
    min_size: int = 0,
    known: Sequence[str] = (),
) -> GroupCodes:
    """The groups of a user's table; rows without one are counted in a warning.

    Args:
        frame: the table.
        sensitive: the columns that make the groups.
        min_size: groups of fewer rows are merged, or left out, with a warning that names them.
        known: the groups of training, where ``min_size`` made them: all others are merged, or left
            out, as the small ones were there, with a warning too.

    Raises:
        GroupError: if there are too many groups to compare.
    """
    from pandas.api.types import is_object_dtype, is_string_dtype

    columns = frame[list(sensitive)]
    for name in sensitive:
        if is_object_dtype(columns[name].dtype) or is_string_dtype(columns[name].dtype):
            columns = columns.assign(**{name: columns[name].map(canonical, na_action="ignore")})
    groups = encode_groups(columns)
    if SMALLER in known or (known and min_size):
        groups = _as_known(groups, known)
    elif min_size:
        groups = _without_small(groups, min_size)
    if len(groups.names) > MANY_GROUPS:
        raise GroupError(
            f"{' and '.join(map(repr, sensitive))} make{'s' * (len(sensitive) == 1)} "
            f"{len(groups.names)} groups, at most {MANY_GROUPS} can be compared; "
            f"{_remedy(frame, sensitive)}"
        )
    return groups


def in_order(groups: GroupCodes, known: Sequence[str]) -> torch.Tensor:
    """(n,) int64 codes of groups in the order of those that are known.

    Raises:
        GroupError: if there is another one.
    """
    if new := [name for name in groups.names if name not in known]:
        raise GroupError(
            f"group {new[0]!r} is not among the known groups: {', '.join(map(repr, known))}"
        )
    codes = torch.tensor([*(known.index(name) for name in groups.names), MISSING])
    return codes[groups.codes]


def warn_of_lacking(frame: "pd.DataFrame", sensitive: Sequence[str]) -> None:
    """A warning that counts the rows without a sensitive value."""
    lacking = int(frame[list(sensitive)].isna().any(axis=1).sum())
    if lacking:
        warnings.warn(
            f"{lacking} of {len(frame)} rows have no value of {' or '.join(sensitive)}: they are "
            "in no group; a method's task loss counts them, gaps, alignment and figures about "
            "groups do not",
            DralignWarning,
            stacklevel=3,
        )


def group_sizes(groups: GroupCodes) -> list[int]:
    """The number of rows of each group."""
    codes = groups.codes[groups.codes >= 0]
    return torch.bincount(codes, minlength=len(groups.names)).tolist()


def doubts(frame: "pd.DataFrame", sensitive: Sequence[str], groups: GroupCodes) -> list[str]:
    """Lines about groups of very few rows, and about numbers that make many groups."""
    lines = []
    sizes = zip(groups.names, group_sizes(groups), strict=True)
    if few := [f"{name!r} ({size:,})" for name, size in sizes if size < FEW_ROWS]:
        lines.append(
            f"groups of fewer than {FEW_ROWS} rows: {noted(few)}; figures about them say little; "
            f"to merge them or leave them out: min_group_size (--min-group-size) {FEW_ROWS}"
        )
    if len(groups.names) > MANY_NUMBERS and (bins := _bins(frame, sensitive)):
        lines.append(
            f"{' and '.join(map(repr, sensitive))} make{'s' * (len(sensitive) == 1)} "
            f"{len(groups.names)} groups; to put numbers into bins: {bins}"
        )
    return lines


def _as_known(groups: GroupCodes, known: Sequence[str]) -> GroupCodes:
    """The groups of training, with all others among the smaller ones there, or in none."""
    others = [name not in known for name in groups.names]
    sizes = group_sizes(groups)
    told = [f"{n!r} ({s:,})" for n, s, new in zip(groups.names, sizes, others, strict=True) if new]
    if told:
        what = f"are among the {SMALLER!r}" if SMALLER in known else "are no groups"
        warnings.warn(
            f"groups that training did not have {what}: {noted(told)}", DralignWarning, stacklevel=4
        )
    return _merged(groups, others, keep=SMALLER in known)


def _without_small(groups: GroupCodes, min_size: int) -> GroupCodes:
    """The groups with the small ones merged; where that makes a small one too, without them."""
    sizes = group_sizes(groups)
    small = [size < min_size for size in sizes]
    told = [f"{n!r} ({s:,})" for n, s, few in zip(groups.names, sizes, small, strict=True) if few]
    if not told:
        return groups
    enough = sum(size for size, few in zip(sizes, small, strict=True) if few) >= min_size
    what = f"merged into {SMALLER!r}" if enough else "no groups"
    warnings.warn(
        f"groups of fewer than {min_size:,} rows are {what}: {noted(told)}",
        DralignWarning,
        stacklevel=4,
    )
    return _merged(groups, small, keep=enough)


def _merged(groups: GroupCodes, small: Sequence[bool], *, keep: bool = True) -> GroupCodes:
    """The groups with some made one, which comes last, or none."""
    names = [name for name, few in zip(groups.names, small, strict=True) if not few]
    last = MISSING
    if keep and any(small):
        if SMALLER not in names:
            names.append(SMALLER)
        last = names.index(SMALLER)
    new = np.array(
        [last if few else names.index(n) for n, few in zip(groups.names, small, strict=True)]
        + [MISSING]
    )
    return GroupCodes(torch.from_numpy(new)[groups.codes], tuple(names))


def _remedy(frame: "pd.DataFrame", sensitive: Sequence[str]) -> str:
    """What to do about too many groups."""
    bins = _bins(frame, sensitive)
    if bins:
        return f"to put its numbers into bins: {bins}"
    return "merge them first, or the small ones with --min-group-size"


def _bins(frame: "pd.DataFrame", sensitive: Sequence[str]) -> str:
    """The options that put the columns of numbers into quarters; empty if there are none."""
    options = []
    for name in sensitive:
        values: Any = frame[name]
        if of_numbers(values):
            quarters = np.unique(values.dropna().quantile([0.25, 0.5, 0.75], "lower").to_numpy())
            if len(quarters) and values.nunique() > MANY_NUMBERS:
                edges = ",".join(f"{edge:g}" for edge in quarters)
                options.append(f"--bin {quote(f'{name}={edges}')}")
    return " ".join(options)
