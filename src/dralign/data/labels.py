"""The label of a user's table: which values it has, and which of them counts as 1."""

import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dralign.data.columns import TRUTH, distinct_texts, index_in, text_counts
from dralign.errors import DataError, DralignWarning
from dralign.groups import written

if TYPE_CHECKING:
    import pandas as pd

MANY_CLASSES: Final = 50
RARE: Final = 0.05  # of the rows: with two other labels, these may be mistakes
REMOVE: Final = "remove these rows first"
DROP_MISSING: Final = "to leave them out: --drop-missing-label"


def coded_label(
    values: "pd.Series[Any]", positive: str, *, remedy: str = REMOVE
) -> tuple[np.ndarray, str, tuple[str, ...]]:
    """The label as 0 and 1, or as classes 0..C-1 in the order of their values.

    Args:
        values: as they are in the table.
        positive: the value that counts as 1; empty if it is clear, or for classes.
        remedy: what is to be done where values are missing.

    Returns:
        (n,) codes, how 1 is written (empty with classes), and the names of the classes (none with
        two values).

    Raises:
        DataError: if values are missing, there are too many or only one of them, or it is not clear
            which is 1.
    """
    index, texts, result = _label_values(values, remedy)
    if positive or len(result) <= 2:
        return *binary_label(values, positive, remedy=remedy), ()
    if len(result) > MANY_CLASSES:
        raise DataError(
            f"label {values.name!r}: {len(result)} different values ({_some(result)}), at most "
            f"{MANY_CLASSES} can be classes; put them into bins first, or give the one that counts "
            "as positive (--positive)"
        )
    order = {text: code for code, text in enumerate(result)}
    return np.array([order[text] for text in texts])[index], "", tuple(result)


def binary_label(
    values: "pd.Series[Any]", positive: str, *, remedy: str = REMOVE
) -> tuple[np.ndarray, str]:
    """The label as 0 and 1, and how 1 is written; of more than two values all others are 0.

    Raises:
        DataError: if values are missing, there is only one, or it is not clear which is 1.
    """
    name = values.name
    index, texts, result = _label_values(values, remedy)
    if len(result) < 2 or (len(result) > 2 and not positive):
        raise DataError(f"label {name!r}: expected two values, got {len(result)}: {_some(result)}")
    if positive == "":
        if [text.lower() for text in result] not in (["0", "1"], ["false", "true"]):
            raise DataError(
                f"label {name!r}: which of {result[0]!r} and {result[1]!r} counts as positive? "
                "give it as positive (--positive)"
            )
        positive = result[1]
    chosen = label_value(values, positive)
    if len(result) > 2:
        warnings.warn(
            f"label {name!r}: {chosen!r} counts as 1, the other {len(result) - 1} values as 0",
            DralignWarning,
            stacklevel=3,
        )
    return (np.array(texts) == chosen)[index].astype(np.int64), chosen


def class_label(values: "pd.Series[Any]", names: Sequence[str]) -> np.ndarray:
    """(n,) int64 codes of a label whose classes are known.

    Raises:
        DataError: if a value is missing or not among the classes.
    """
    require_values(values, names)
    return index_in(values, names)


def require_values(values: "pd.Series[Any]", known: Sequence[str]) -> None:
    """Checks that a label has no values but those of training.

    Raises:
        DataError: if a value is missing or another one.
    """
    _, _, result = _label_values(values, REMOVE)
    if new := [text for text in result if text not in known]:
        these = " and ".join(map(repr, known)) if len(known) == 2 else _some(known)
        raise DataError(
            f"label {values.name!r}: {new[0]!r} is not among the values of training, {these}"
        )


def label_values(values: "pd.Series[Any]") -> tuple[str, ...]:
    """The different values in order."""
    return tuple(_sorted(text_counts(values)))


def label_value(values: "pd.Series[Any]", given: str) -> str:
    """How a value of the label, given by a person, is written once read.

    Raises:
        DataError: if the label does not have it.
    """
    return one_of(str(values.name), given, label_values(values))


def one_of(label: str, given: str, known: Sequence[str]) -> str:
    """The one of the known values of a label that a person means.

    Raises:
        DataError: if it is none of them.
    """
    chosen = _as_read(given, known)
    if chosen not in known:
        these = " and ".join(map(repr, known)) if len(known) == 2 else _some(known)
        raise DataError(f"label {label!r}: no value {given!r}; it has {these}")
    return chosen


def is_favourable(given: str, label: str, values: Sequence[str], positive: str) -> bool | None:
    """Whether label 1 is good for the person it is about; None if nobody said so.

    A value that the label does not have is a DataError.
    """
    if not given or not positive:
        return None
    return positive == (one_of(label, given, values) if values else given)


def mistaken(values: "pd.Series[Any]") -> str:
    """A line for a label of three values or more of which all but two are rare; else empty."""
    rows = text_counts(values)
    common = {text for text, _ in rows.most_common(2)}
    if len(rows) < 3 or len(rows) > MANY_CLASSES:
        return ""
    if any(rows[text] >= RARE * rows.total() for text in rows if text not in common):
        return ""
    told = ", ".join(
        f"{text!r} ({rows[text]:,} row{'s' * (rows[text] > 1)})" for text in _sorted(rows)
    )
    return (
        f"label {values.name!r}: {len(rows)} values, each a class: {told}; if two were meant, "
        "correct the others, or name the one that counts as 1: positive (--positive)"
    )


def _label_values(values: "pd.Series[Any]", remedy: str) -> tuple[np.ndarray, list[str], list[str]]:
    """Each row's place among the texts, the texts, and the different ones in order.

    Raises:
        DataError: if values are missing.
    """
    if values.isna().any():
        raise DataError(
            f"label {values.name!r}: {int(values.isna().sum())} of {len(values)} rows have no "
            f"value; {remedy}"
        )
    index, texts = distinct_texts(values)
    return index, texts, _sorted(texts)


def _sorted(texts: Sequence[str] | dict[str, int]) -> list[str]:
    """The different texts in order, numbers by size."""
    result = sorted(set(texts))
    with suppress(ValueError):
        result.sort(key=float)  # 10 comes after 9
    return result


def _some(result: Sequence[str]) -> str:
    """The first values, for a message."""
    return ", ".join(map(repr, result[:5])) + (", ..." if len(result) > 5 else "")


def _as_read(positive: str, result: Sequence[str]) -> str:
    """How a value is written once read: a file's ``true`` is True, its ``1.0`` is 1."""
    if positive in result:
        return positive
    for text in result:
        if text in {"True", "False"} and text.lower() == written(positive).lower():
            return text
    for names, others in (TRUTH, TRUTH[::-1]):
        if set(result) == set(names) and (as_text := written(positive)) in others:
            return names[others.index(as_text)]
    try:
        return written(float(positive))
    except ValueError:
        return positive
