"""The exceptions and warnings of dralign; each also inherits the builtin that users catch."""

from collections.abc import Iterable
from typing import Final

LONGEST_QUOTE: Final = 80  # characters of one value in a line for a person


class DralignError(Exception):
    """Base of every error that dralign raises on purpose; its text is one line for a person."""


class OptionError(DralignError, ValueError):
    """An option has a value that is not known or not in range."""


class DataError(DralignError, ValueError):
    """A table, label, feature or file of data can't be used as given."""


class GroupError(DataError):
    """The sensitive feature can't be used: a group is missing, alone, or not known."""


class GroupTypeError(DralignError, TypeError):
    """A group tensor is not an int64 tensor of codes."""


class ModelError(DralignError, ValueError):
    """A network can't be aligned, audited or built as asked."""


class ArtifactError(DralignError, ValueError):
    """A saved network is missing, damaged, or not one of ours."""


class MissingPackageError(DralignError, ImportError):
    """A part of dralign needs a package that is not installed; the line says how to get it."""


class StudyError(DralignError, RuntimeError):
    """A study can't be run, continued or read."""


class OutputError(DralignError, OSError):
    """A file or folder can't be written where it is wanted."""


class DralignWarning(UserWarning):
    """Base of the warnings of dralign."""


class UndefinedMetricWarning(DralignWarning):
    """A metric has no value for these data, for example a rate over no rows; it is NaN."""


class AssumptionWarning(DralignWarning):
    """A setting the source does not state was filled in by an assumption of ours."""


def unknown(what: str, given: object, known: Iterable[str]) -> str:
    """The text of an error for an unknown value of a named option, listing the known ones."""
    return f"unknown {what} {quoted(given)}; known: {', '.join(known)}"


def quoted(given: object) -> str:
    """What was given as Python writes it; of a long one the beginning."""
    text = repr(given)
    return text if len(text) <= LONGEST_QUOTE else f"{text[:LONGEST_QUOTE]}..."
