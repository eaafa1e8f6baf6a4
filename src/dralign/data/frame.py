"""Users' own tables: which columns are used and how, and the dataset made from them."""

import hashlib
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dralign.data.columns import distinct_texts, places, require_columns
from dralign.data.dataset import Dataset
from dralign.data.encoding import TableEncoder
from dralign.data.inputs import usable_columns
from dralign.data.reading import parse_table, table_bytes
from dralign.data.splitting import assemble, check_seed, stratified_split
from dralign.errors import DataError, DralignWarning, GroupError, OptionError
from dralign.groups import GroupCodes, encode_groups, require_groups, written

if TYPE_CHECKING:
    import pandas as pd

MANY_GROUPS = 50
MANY_CLASSES = 50


def load_table(
    path: str | Path,
    *,
    label: str,
    positive: str = "",
    sensitive: Sequence[str] | str,
    include_sensitive: bool = False,
    seed: int = 0,
) -> Dataset:
    """A user's own table as a dataset: 60/20/20, in equal shares of every group and label.

    Columns of numbers are scaled, booleans and text become categories, all fitted on the training
    rows; a text that fewer than 10 of them have is no category. Columns that can't help are left
    out with a warning (``usable_columns``). Rows whose sensitive value is missing are in no group.

    Args:
        path: the file.
        label: the column to predict. With more than two values and no ``positive`` each of them is
            a class.
        positive: the value that counts as 1, as it is written; not needed for 0/1 and booleans. The
            others count as 0.
        sensitive: the column(s) that make the groups.
        include_sensitive: whether they are inputs too.
        seed: of the split.

    Raises:
        OptionError: if no label or no sensitive column is given, or the seed is not in range.
        DataError: if the file, the label or a column can't be used.
        GroupError: if there are fewer than two groups, or one has no training rows.
    """
    check_seed(seed)
    sensitive = (sensitive,) if isinstance(sensitive, str) and sensitive else sensitive
    if not label:
        raise OptionError(f"{path}: which column is to be predicted? give it with --label")
    if not sensitive:
        raise OptionError(f"{path}: which column makes the groups? give it with --sensitive")
    if label in sensitive:
        raise OptionError(f"column {label!r} can't be both label and sensitive")
    content = table_bytes(path)
    frame = parse_table(path, content)
    require_columns(frame, [label, *sensitive], where=str(path))
    y, shown, classes = coded_label(frame[label], positive)
    groups = table_groups(frame, sensitive)
    rows = stratified_split(groups.codes.numpy() * (len(classes) or 2) + y, seed)
    if not all(map(len, rows)):
        raise DataError(f"{path}: {len(frame)} rows are too few for three parts")
    require_groups(groups.codes[rows[0]], groups.names, where="training")
    not_inputs = {label, *(() if include_sensitive else sensitive)}
    inputs = usable_columns(frame.drop(columns=list(not_inputs)), rows[0], where=str(path))
    encoder = TableEncoder.fit(frame.iloc[rows[0]], inputs)
    return assemble(
        encoder.encode(frame)[0],
        y,
        groups,
        rows,
        encoder=encoder,
        name=Path(path).name,
        preparation="standard",
        sensitive=tuple(sensitive),
        label=label,
        positive=shown,
        class_names=classes,
        fingerprint=hashlib.sha256(content).hexdigest(),
    )


def coded_label(values: "pd.Series[Any]", positive: str) -> tuple[np.ndarray, str, tuple[str, ...]]:
    """The label as 0 and 1, or as classes 0..C-1 in the order of their values.

    Returns:
        (n,) codes, how 1 is written (empty with classes), and the names of the classes (none with
        two values).

    Raises:
        DataError: if values are missing, there are too many or only one of them, or it is not clear
            which is 1.
    """
    place, texts, found = _label_values(values)
    if positive or len(found) <= 2:
        return *binary_label(values, positive), ()
    if len(found) > MANY_CLASSES:
        raise DataError(
            f"label {values.name!r}: {len(found)} different values ({_some(found)}), at most "
            f"{MANY_CLASSES} can be classes; put them into bins first, or give the one that counts "
            "as positive with --positive"
        )
    order = {text: code for code, text in enumerate(found)}
    return np.array([order[text] for text in texts])[place], "", tuple(found)


def binary_label(values: "pd.Series[Any]", positive: str) -> tuple[np.ndarray, str]:
    """The label as 0 and 1, and how 1 is written; of more than two values all others are 0.

    Raises:
        DataError: if values are missing, there is only one, or it is not clear which is 1.
    """
    name = values.name
    place, texts, found = _label_values(values)
    if len(found) < 2 or (len(found) > 2 and not positive):
        raise DataError(f"label {name!r}: expected two values, got {len(found)}: {_some(found)}")
    if positive == "":
        if [text.lower() for text in found] not in (["0", "1"], ["false", "true"]):
            raise DataError(
                f"label {name!r}: which of {found[0]!r} and {found[1]!r} counts as positive? "
                "give it with --positive"
            )
        positive = found[1]
    chosen = _as_read(positive, found)
    if chosen not in found:
        known = " and ".join(map(repr, found)) if len(found) == 2 else _some(found)
        raise DataError(f"label {name!r}: no value {positive!r}; it has {known}")
    if len(found) > 2:
        warnings.warn(
            f"label {name!r}: {chosen!r} counts as 1, the other {len(found) - 1} values as 0",
            DralignWarning,
            stacklevel=3,
        )
    return (np.array(texts) == chosen)[place], chosen


def class_label(values: "pd.Series[Any]", names: Sequence[str]) -> np.ndarray:
    """(n,) int64 codes of a label whose classes are known.

    Raises:
        DataError: if a value is missing or not among the classes.
    """
    _, _, found = _label_values(values)
    if new := [text for text in found if text not in names]:
        raise DataError(f"label {values.name!r}: {new[0]!r} is not among: {_some(names)}")
    return places(values, names)


def _label_values(values: "pd.Series[Any]") -> tuple[np.ndarray, list[str], list[str]]:
    """Each row's place among the texts, the texts, and the different ones in order.

    Raises:
        DataError: if values are missing.
    """
    if values.isna().any():
        raise DataError(
            f"label {values.name!r}: {int(values.isna().sum())} of {len(values)} rows have no "
            "value; remove these rows first"
        )
    place, texts = distinct_texts(values)
    found = sorted(set(texts))
    with suppress(ValueError):
        found.sort(key=float)  # 10 comes after 9
    return place, texts, found


def _some(found: Sequence[str]) -> str:
    """The first values, for a message."""
    return ", ".join(map(repr, found[:5])) + (", ..." if len(found) > 5 else "")


def table_groups(frame: "pd.DataFrame", sensitive: Sequence[str]) -> GroupCodes:
    """The groups of a user's table; rows without one are counted in a warning.

    Raises:
        GroupError: if there are too many groups to compare.
    """
    groups = encode_groups(frame[list(sensitive)])
    if len(groups.names) > MANY_GROUPS:
        raise GroupError(
            f"{' and '.join(map(repr, sensitive))} make {len(groups.names)} groups, at most "
            f"{MANY_GROUPS} can be compared; put the values into bins first"
        )
    lacking = int((groups.codes < 0).sum())
    if lacking:
        warnings.warn(
            f"{lacking} of {len(frame)} rows have no value of {' or '.join(sensitive)}: they are "
            "in no group; they train the task loss, and do not count in gaps, alignment or figures "
            "about groups",
            DralignWarning,
            stacklevel=3,
        )
    return groups


def _as_read(positive: str, found: Sequence[str]) -> str:
    """How the positive value is written once read: a file's ``true`` is True, its ``1.0`` is 1."""
    if positive in found:
        return positive
    for text in found:
        if text in {"True", "False"} and text.lower() == written(positive).lower():
            return text
    try:
        return written(float(positive))
    except ValueError:
        return positive
