"""What a trial leaves behind, ready for JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dralign.errors import StudyError
from dralign.study.spec import RECORD_FORMAT, TrialSpec
from dralign.training import EpochRecord, History

Status = Literal["done", "failed"]


@dataclass(frozen=True)
class TrialRecord:
    """What a trial leaves behind.

    Attributes:
        hash: the content hash of the trial when it was run.
        fingerprint: of the data it was run on.
        spec: its settings.
        status: ``"done"`` or ``"failed"``.
        error: one line that says why it failed; empty if it did not.
        history: one record per epoch; empty if it failed.
        seconds: wall time of the whole trial, data and evaluation included.
        warnings: the different warnings it gave, one line each.
        environment: versions and machine, as from ``environment()``.
    """

    hash: str
    fingerprint: str
    spec: TrialSpec
    status: Status
    error: str = ""
    history: History = ()
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """A form for JSON; undefined figures are NaN, which Python's json writes and reads."""
        return {
            "format": RECORD_FORMAT,
            "hash": self.hash,
            "fingerprint": self.fingerprint,
            "spec": self.spec.to_dict(),
            "status": self.status,
            "error": self.error,
            "history": [epoch.to_dict() for epoch in self.history],
            "seconds": self.seconds,
            "warnings": list(self.warnings),
            "environment": dict(self.environment),
        }

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> "TrialRecord":
        """The record that ``to_dict`` gave.

        Raises:
            StudyError: if it is not such a form, or of a newer format.
        """
        if form.get("format") != RECORD_FORMAT:
            raise StudyError(
                f"trial record: expected format {RECORD_FORMAT}, got {form.get('format')!r}"
            )
        try:
            return cls(
                hash=form["hash"],
                fingerprint=form["fingerprint"],
                spec=TrialSpec.from_dict(form["spec"]),
                status=form["status"],
                error=form["error"],
                history=tuple(EpochRecord.from_dict(epoch) for epoch in form["history"]),
                seconds=form["seconds"],
                warnings=tuple(form["warnings"]),
                environment=form["environment"],
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise StudyError(f"trial record: not readable: {error}") from error
