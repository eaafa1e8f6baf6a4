"""What a training run leaves behind: one record per epoch, ready for JSON."""

from dataclasses import dataclass, field, fields
from typing import Any, Final, get_args

from dralign.errors import DataError, DralignError
from dralign.forms import Form
from dralign.metrics import Cells, gap_measure
from dralign.metrics.measures import SHARES
from dralign.rationale import Granularity

Scores = dict[str, float]
_SLACK: Final = 1e-6  # shares are rounded


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
        cells: for ``"validation"`` and ``"test"`` the sizes, rates and score quantiles of every
            group and label; empty without groups, and with more than two classes.
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
    cells: dict[str, Cells] = field(default_factory=dict)

    def similarity_total(self, granularity: str) -> float:
        """The similarity added up over layers: 3.0 at most for three layers under DP."""
        return sum(self.similarity[granularity].values())

    def keeps(self, bound: float, gap: str, measure: str) -> bool:
        """Whether the validation gap, so measured, is within the bound; not where undefined."""
        return gap_measure(measure).of(self.validation, gap) <= bound

    def to_dict(self) -> dict[str, Any]:
        """A form for ``forms.to_json``; it shares its figures with the record."""
        form = dict(vars(self))  # asdict copies every figure, at ten times the cost
        return {**form, "cells": {split: cells.to_dict() for split, cells in self.cells.items()}}

    @classmethod
    def from_dict(
        cls, record: object, where: str = "epoch", *, error: type[DralignError] = DataError
    ) -> "EpochRecord":
        """The record that ``to_dict`` gave, also after its way through JSON.

        An undefined figure is NaN again. Readings and cells, and whatever else was added later, may
        be missing.

        Args:
            record: the form.
            where: what it is, for messages.
            error: what is raised.

        Raises:
            DralignError: the ``error``, if an entry is unknown, missing, of another type or out of
                range.
        """
        form = Form(record, where, error=error)
        form.only(*_ENTRIES)
        similarity = form.form("similarity")
        similarity.only(*get_args(Granularity))
        given = form.content
        cells = form.form("cells") if "cells" in given else Form({}, where, error=error)
        cells.only("validation", "test")
        return cls(
            epoch=form.integer("epoch"),
            loss=form.figure("loss"),
            validation=_scores(form, "validation"),
            test=_scores(form, "test"),
            similarity={name: similarity.figures(name) for name in similarity.content},
            seconds=form.amount("seconds"),
            evaluation_seconds=form.amount("evaluation_seconds"),
            skipped=form.integer("skipped") if "skipped" in given else 0,
            found_weight=(
                None if given.get("found_weight") is None else form.amount("found_weight")
            ),
            readings=form.figures("readings") if "readings" in given else {},
            cells={
                split: Cells.from_dict(content, f"{where}, cells, {split}", error=error)
                for split, content in cells.content.items()
            },
        )


def _scores(form: Form, split: str) -> Scores:
    """The figures of a split.

    Raises:
        DralignError: the error of the form, if they are none, or a share is not from 0 to 1.
    """
    figures = form.figures(split)
    for name in SHARES:
        value = figures.get(name, 0.0)
        if value < -_SLACK or value > 1 + _SLACK:
            raise form.error(f"{form.where}, {split}: {name} must be from 0 to 1, got {value:g}")
    return figures


History = tuple[EpochRecord, ...]
_ENTRIES = tuple(entry.name for entry in fields(EpochRecord))
