"""A trial of a finished study as other packages keep a run: settings, figures, what it is."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dralign.analysis import record_table
from dralign.study import Ledger, TrialRecord, ledger_path
from dralign.training import Selection

_ABOUT: Final = ("hash", "fingerprint", "status", "error", "selection", "dataset")


@dataclass(frozen=True)
class TrialRun:
    """What is written of a trial; settings that it does not use and undefined figures are left out.

    Attributes:
        hash: of its content, by which it is known.
        title: a name for a person.
        done: whether it ended well.
        about: what it is and how its epoch was chosen, by names that begin with ``dralign.``.
        settings: by name.
        figures: of the chosen epoch, those of test rows among them; none if it failed.
    """

    hash: str
    title: str
    done: bool
    about: Mapping[str, Any]
    settings: Mapping[str, Any]
    figures: Mapping[str, float]

    @classmethod
    def of(cls, record: TrialRecord, rule: Selection) -> "TrialRun":
        """The trial of a record, at the epoch that the rule chooses."""
        table = record_table([record], per="trial", selection=rule)
        row: Mapping[str, Any] = table.iloc[0].to_dict()
        given = {name: value for name, value in row.items() if not _is_empty(value)}
        columns = list(row)
        settings = columns[: columns.index("trial_seconds")]  # figures stand after them
        rest = {name: value for name, value in given.items() if name not in _ABOUT}
        return cls(
            record.hash,
            f"{record.spec.method}, seed {record.spec.seed}",
            record.status == "done",
            {f"dralign.{name}": given[name] for name in _ABOUT if name in given},
            {name: value for name, value in rest.items() if name in settings},
            {name: float(value) for name, value in rest.items() if name not in settings},
        )


def study_records(study: str | Path) -> list[TrialRecord]:
    """The records of a study, which is only read.

    Args:
        study: its folder, or its ledger.

    Raises:
        StudyError: if it can't be read.
    """
    with Ledger(ledger_path(study), create=False) as ledger:
        return list(ledger.records())


def _is_empty(value: object) -> bool:
    """Whether a setting is not used, or a figure is undefined."""
    return value is None or value == "" or (isinstance(value, float) and not math.isfinite(value))
