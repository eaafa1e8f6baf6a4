"""What a trial leaves behind, and its way to bytes and back."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, get_args

from dralign.errors import DralignError, StudyError
from dralign.forms import Form, parse_json, to_json
from dralign.metrics import gap_measure
from dralign.metrics.measures import DEFAULT, PUBLISHED
from dralign.study.spec import RECORD_FORMAT, Trial, TrialSpec
from dralign.training import EpochRecord, History

Status = Literal["done", "failed"]
# Of the text of a record: 5,000 epochs of two groups, 400 of fifty. A few kilobytes of compressed
# bytes may stand for gigabytes.
LARGEST: Final = 2**25


class RecordError(StudyError):
    """A record that can't be kept, or not be read again."""


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
        """A form for ``forms.to_json``."""
        return {
            "format": RECORD_FORMAT,
            "hash": self.hash,
            "fingerprint": self.fingerprint,
            "spec": self.spec.to_dict(),
            "status": self.status,
            "error": _whole(self.error),
            "history": [epoch.to_dict() for epoch in self.history],
            "seconds": self.seconds,
            "warnings": list(dict.fromkeys(map(_whole, self.warnings))),
            "environment": dict(self.environment),
        }

    @classmethod
    def from_dict(cls, content: object) -> "TrialRecord":
        """The record that ``to_dict`` gave, also after its way through JSON.

        Raises:
            StudyError: if it is of another format, an entry is unknown, missing, of another type or
                out of range, or its parts do not belong together.
        """
        form = Form(content, "trial record", error=StudyError)
        if (result := form.content.get("format")) != RECORD_FORMAT:
            older = isinstance(result, int) and 0 < result < RECORD_FORMAT
            what = "; it is of an older dralign: run the study again, in another folder"
            raise StudyError(
                f"trial record: expected format {RECORD_FORMAT}, got {result!r:.50}"
                f"{what if older else ''}"
            )
        form.only("format", *_ENTRIES)
        environment = form.form("environment")
        record = cls(
            hash=form.text("hash"),
            fingerprint=form.text("fingerprint"),
            spec=_spec(form.form("spec")),
            status=_status(form),
            error=form.text("error"),
            history=tuple(
                EpochRecord.from_dict(epoch, f"trial record, epoch {index}", error=StudyError)
                for index, epoch in enumerate(form.entries("history"))
            ),
            seconds=form.amount("seconds"),
            warnings=form.texts("warnings"),
            environment={name: environment.text(name) for name in environment.content},
        )
        record._check()
        return record

    def _check(self) -> None:
        """Checks that the parts belong together.

        Raises:
            StudyError: if they do not.
        """
        if Trial(self.spec, self.fingerprint).hash != self.hash:
            raise StudyError("trial record: the hash is not that of the settings and data")
        if (self.status == "done") == bool(self.error) or (self.status == "done") != bool(
            self.history
        ):
            raise StudyError("trial record: expected epochs if it is done, and else an error")
        gap = self.spec.gap
        judged = {gap_measure(name).key(gap) for name in (DEFAULT, PUBLISHED)}
        needed = {"average_precision", *judged}
        for index, epoch in enumerate(self.history):
            if epoch.epoch != index:
                raise StudyError(f"trial record, epoch {index}: 'epoch' must be {index}")
            if not (needed <= epoch.validation.keys() and needed <= epoch.test.keys()):
                raise StudyError(f"trial record, epoch {index}: expected figures of {gap}")
            if len(epoch.similarity) < 2:
                raise StudyError(f"trial record, epoch {index}: expected similarities")


_ENTRIES: Final = tuple(entry.name for entry in fields(TrialRecord))


def pack(record: TrialRecord) -> bytes:
    """The record as a ledger keeps it: compressed JSON.

    Raises:
        RecordError: if it is too large, or ``unpack`` would refuse it.
    """
    text = to_json(record.to_dict()).encode()
    if len(text) > LARGEST:
        raise RecordError(
            f"trial record: {len(text):,} bytes; {LARGEST:,} are the most it may have: train fewer "
            "epochs, or compare fewer groups"
        )
    blob = zlib.compress(text)
    try:
        unpack(blob)
    except StudyError as error:
        raise RecordError(f"could not be read again: {error}") from error
    return blob


def unpack(blob: bytes) -> TrialRecord:
    """The record that ``pack`` gave, checked in every part.

    Raises:
        StudyError: if it is damaged, too large, or not a record of ours.
    """
    stream = zlib.decompressobj()
    try:
        text = stream.decompress(blob, LARGEST)
        if not stream.eof or stream.unused_data:
            raise StudyError(f"trial record: cut off, or larger than {LARGEST:,} bytes")
        return TrialRecord.from_dict(parse_json(text, "trial record", error=StudyError))
    except zlib.error as error:
        raise StudyError(f"trial record: damaged ({error})") from error
    except MemoryError as error:
        raise StudyError("trial record: needs more memory than there is") from error


def _spec(form: Form) -> TrialSpec:
    """The settings of a trial.

    Raises:
        StudyError: if they are of no trial.
    """
    try:
        return TrialSpec.from_dict(form.content)
    except DralignError as error:
        raise StudyError(f"{form.where}: {error}") from error
    except (TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise StudyError(f"{form.where}: a setting has a value of another type") from error


def _status(form: Form) -> Status:
    """How a trial ended.

    Raises:
        StudyError: if it is not known.
    """
    for known in get_args(Status):
        if form.text("status") == known:
            return known  # type: ignore[no-any-return]  # get_args has no types
    raise StudyError(f"{form.where}: 'status' must be one of {', '.join(get_args(Status))}")


def _whole(text: str) -> str:
    """The text without halves of surrogate pairs, which names of files may hold."""
    return text.encode(errors="backslashreplace").decode()
