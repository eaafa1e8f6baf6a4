"""What a training run leaves behind: one record per epoch, ready for JSON."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from dralign.forms import Form

Scores = dict[str, float]


@dataclass(frozen=True)
class EpochRecord:
    """The figures of one epoch, taken after its last step.

    Attributes:
        epoch: 0 for the first.
        loss: the mean training loss over the steps of the epoch, all terms included.
        validation: figures on the validation rows, by the names of ``dralign.metrics.evaluate``.
        test: the same on the test rows.
        similarity: per granularity, per layer, the cosine similarity of the groups' rationales on
            the validation rows, added up over the strata of the gap (Eq. 9 without its sign).
        seconds: time of the training steps alone.
        evaluation_seconds: time of the figures.
        skipped: groups or cells that were absent from a batch, added up over the steps.
        found_weight: lambda at the end of the epoch, where a gap bound finds it; None where it is
            fixed.
        readings: the paper's figures in all their readings (``dralign.rationale.readings``), on the
            training rows; empty unless a trial asks for them, and then for its chosen epoch alone.
    """

    epoch: int
    loss: float
    validation: Scores
    test: Scores
    similarity: dict[str, Scores]
    seconds: float
    evaluation_seconds: float
    skipped: int = 0
    found_weight: float | None = None
    readings: Scores = field(default_factory=dict)

    def similarity_total(self, granularity: str) -> float:
        """The similarity added up over layers: 3.0 at most for three layers under DP."""
        return sum(self.similarity[granularity].values())

    def keeps(self, bound: float, gap: str) -> bool:
        """Whether the soft validation gap is within the bound; not where it is undefined."""
        return self.validation[f"soft_{gap}"] <= bound

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form; it shares its figures with the record."""
        return dict(vars(self))  # asdict copies every figure, at ten times the cost

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "EpochRecord":
        """The record that ``to_dict`` gave."""
        return cls(**record)

    @classmethod
    def checked(cls, form: Form, epoch: int) -> "EpochRecord":
        """The record of an epoch from JSON that may come from anyone; null counts as undefined.

        Raises:
            DralignError: the form's error, if it is not one, or of another epoch.
        """
        form.only(*(entry.name for entry in fields(cls)))
        form.integer("epoch", epoch, epoch)
        similarity, found = form.form("similarity"), form.content.get("found_weight")
        return cls(
            epoch=epoch,
            loss=form.number("loss"),
            validation=_figures(form.form("validation")),
            test=_figures(form.form("test")),
            similarity={name: _figures(similarity.form(name)) for name in similarity.content},
            seconds=not_negative(form, "seconds"),
            evaluation_seconds=not_negative(form, "evaluation_seconds"),
            skipped=form.integer("skipped"),
            found_weight=None if found is None else form.number("found_weight"),
            readings=_figures(form.form("readings")),
        )


History = tuple[EpochRecord, ...]


def not_negative(form: Form, key: str) -> float:
    """A number from 0 up.

    Raises:
        DralignError: the form's error, if it is not one.
    """
    value = form.number(key)
    if value < 0:
        raise form.error(f"{form.where}: {key!r} must be 0 or more, got {value:g}")
    return value


def _figures(form: Form) -> Scores:
    """Figures by name; NaN where undefined.

    Raises:
        DralignError: the form's error, if one is no number.
    """
    found = {name: math.nan if x is None else x for name, x in form.content.items()}
    for name, value in found.items():
        if not isinstance(value, float) or math.isinf(value):
            raise form.error(f"{form.where}: {name[:50]!r} must be a number")
    return found
