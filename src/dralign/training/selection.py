"""Which epoch of a run counts: rules applied afterwards, from its records alone."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from dralign.errors import OptionError, unknown
from dralign.metrics import gap_measure
from dralign.metrics.measures import DEFAULT, PUBLISHED
from dralign.training.history import EpochRecord, History

Rule = Literal["smallest_gap", "highest_ap", "last", "highest_ap_under_bound"]
RULES: tuple[Rule, ...] = get_args(Rule)


@dataclass(frozen=True)
class Selection:
    """A rule that picks one epoch by its validation figures.

    Attributes:
        rule: ``"smallest_gap"`` (the smallest validation gap), ``"highest_ap"``, ``"last"``, or
            ``"highest_ap_under_bound"``.
        warmup: epochs at the start that are left out, where any others are left.
        bound: the largest validation gap allowed by ``"highest_ap_under_bound"``.
        measure: in which gaps are measured: ``"base_rate"``, which lower scores don't make smaller,
            or another of ``dralign.metrics.gap_measure_names()``.
    """

    rule: Rule = "smallest_gap"
    warmup: int = 1
    bound: float | None = None
    measure: str = DEFAULT

    def __post_init__(self) -> None:
        """Checks the rule, its bound and the measure.

        Raises:
            OptionError: if the rule or the measure is unknown, the bound is missing, or the warm-up
                is negative.
        """
        gap_measure(self.measure)
        if self.rule not in RULES:
            raise OptionError(unknown("selection rule", self.rule, RULES))
        if self.warmup < 0:
            raise OptionError(f"warmup: expected 0 or more epochs, got {self.warmup}")
        if (self.rule == "highest_ap_under_bound") != (self.bound is not None):
            raise OptionError("bound: needed by the rule 'highest_ap_under_bound', and only by it")

    @classmethod
    def of(
        cls,
        rule: Rule | None = None,
        warmup: int = 1,
        bound: float | None = None,
        *,
        measure: str | None = None,
        gap_bound: float | None = None,
    ) -> "Selection":
        """The selection of a run; without a rule ``"smallest_gap"``.

        Where the run was trained under a gap bound, the rule without a word is
        ``"highest_ap_under_bound"``, and its bound without a number is that one. Without a measure
        it is the base-rate gap.
        """
        if rule is None:
            rule = "smallest_gap" if gap_bound is None else "highest_ap_under_bound"
        if rule == "highest_ap_under_bound" and bound is None:
            bound = gap_bound
        return cls(rule, warmup, bound, measure or DEFAULT)

    def __str__(self) -> str:
        words = gap_measure(self.measure).words
        shown = {
            "smallest_gap": f"smallest {words}",
            "highest_ap": "highest AP",
            "last": "last epoch",
            "highest_ap_under_bound": f"highest AP with a {words} of at most {self.bound}",
        }[self.rule]
        return f"{shown}, first {self.warmup} left out" if self.warmup else shown

    def choose(self, history: History, gap: str) -> EpochRecord:
        """The chosen epoch's record; the earliest of several equals.

        An undefined figure (NaN) is never the best. Where no epoch keeps the bound, the one with
        the smallest gap is taken; where no epoch has a gap, the one with the highest AP.

        Args:
            history: the records of a run, one or more.
            gap: the gap the run was trained for, for example ``"demographic_parity"``.

        Raises:
            OptionError: if the history is empty, or its records do not have the measure.
        """
        if not history:
            raise OptionError("selection: the run has no epochs")
        records = history[self.warmup :] or history[-1:]
        if self.rule == "last":
            return records[-1]
        precision = np.array([record.validation["average_precision"] for record in records])
        if self.rule == "highest_ap" or np.isnan(gaps := self._gaps(records, gap)).all():
            return records[_first_best(-precision)]
        kept = gaps <= self.bound if self.bound is not None else np.zeros_like(gaps, dtype=bool)
        if kept.any():
            indices = np.flatnonzero(kept)
            return records[int(indices[_first_best(-precision[indices])])]
        return records[_first_best(gaps)]

    def told(self, history: History, gap: str) -> str:
        """How the epoch was chosen, in words: by the rule, or otherwise where it has no choice.

        Args:
            history: as in ``choose``.
            gap: as there.

        Raises:
            OptionError: if the records do not have the measure.
        """
        if len(history) <= self.warmup:
            return f"the last epoch; a warm-up of {self.warmup} leaves no other"
        if self.without_gap(history, gap):
            return "highest AP; no epoch has a gap on the validation rows"
        return str(self)

    def without_gap(self, history: History, gap: str) -> bool:
        """Whether the rule asks for a gap, and no epoch has one: the highest AP then chose."""
        if self.rule in {"last", "highest_ap"}:
            return False
        return bool(np.isnan(self._gaps(history[self.warmup :] or history[-1:], gap)).all())

    def _gaps(self, records: History, gap: str) -> np.ndarray:
        """The validation gap of each epoch.

        Raises:
            OptionError: if the records do not have the measure.
        """
        if (key := gap_measure(self.measure).key(gap)) not in records[0].validation:
            raise OptionError(f"selection: the records have no figure {key!r}")
        return np.array([record.validation[key] for record in records])


def _first_best(cost: np.ndarray) -> int:
    """The index of the smallest cost, NaN counting as infinite."""
    return int(np.argmin(np.where(np.isnan(cost), np.inf, cost)))


# As in the published code: the first epoch left out, then the smallest soft validation gap.
PUBLISHED_RULE = Selection(measure=PUBLISHED)
