"""The trials of a study by method, and which of them may be compared with which."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dralign.analysis.contrast import Weights
from dralign.analysis.courses import Course
from dralign.analysis.rows import absolute, group_by_setting
from dralign.gaps import gap_type, judged_by
from dralign.methods import method_settings, method_type
from dralign.methods.shared import GAP
from dralign.metrics import gap_measure
from dralign.study.record import TrialRecord
from dralign.study.spec import TrialSpec
from dralign.training import EpochRecord, Selection

# What one method may set as it likes and still be compared with another; all else must be equal.
OWN_SETTINGS: Final = (
    "gap_bound",
    "bound_measure",
    "readings",
    "seed",
)  # and the settings of methods


@dataclass(frozen=True)
class Form:
    """A method, trained for whatever gap, or for one alone."""

    method: str
    gap: str = ""

    @classmethod
    def parse(cls, text: str) -> "Form":
        """From ``"METHOD"`` or ``"METHOD/GAP"``.

        Raises:
            OptionError: if there is no such method or gap.
        """
        method, _, gap = text.partition("/")
        return cls(method_type(method).name, gap and gap_type(gap).name)


@dataclass(frozen=True)
class Side:
    """The trials of one method: average precision and gap by weights and seed."""

    spec: TrialSpec
    fingerprint: str
    course: Course[Weights]


def comparable(
    records: Iterable[TrialRecord], selection: Selection, measure: str
) -> list[list[Side]]:
    """The sides that may be compared with each other: they differ in ``OWN_SETTINGS`` alone.

    Raises:
        OptionError: if the measure is unknown.
    """
    gap_measure(measure)
    sides: dict[tuple[TrialSpec, str], dict[Weights, dict[int, EpochRecord]]] = {}
    for (spec, fingerprint), trials in group_by_setting(records).items():
        weights = (spec.fairness_weight, spec.alignment_weight)
        key = (spec.but(fairness_weight=0.0, alignment_weight=0.0), fingerprint)
        sides.setdefault(key, {})[weights] = {
            trial.spec.seed: selection.choose(trial.history, spec.gap) for trial in trials
        }
    groups: dict[object, list[Side]] = {}
    for (spec, fingerprint), epochs in sides.items():
        shared = tuple(
            (name, value)
            for name, value in spec.values
            if name not in {GAP.name, *OWN_SETTINGS, *method_settings()}
        )
        together = (spec.data, judged_by(spec.gap), shared, fingerprint)
        course = _course(epochs, spec.gap, measure)
        groups.setdefault(together, []).append(Side(spec, fingerprint, course))
    return list(groups.values())


def _course(
    epochs: Mapping[Weights, Mapping[int, EpochRecord]], gap: str, measure: str
) -> Course[Weights]:
    """Average precision and absolute gap at the chosen epochs, by weights and seed."""
    judged = gap_measure(measure)
    return Course(
        {
            weights: {seed: one.validation["average_precision"] for seed, one in chosen.items()}
            for weights, chosen in epochs.items()
        },
        {
            weights: {
                seed: (one.test["average_precision"], absolute(judged, one.test, gap))
                for seed, one in chosen.items()
            }
            for weights, chosen in epochs.items()
        },
    )


def find(sides: Iterable[Side], form: Form) -> list[Side]:
    """The sides of a method, of one form of the gap if it says which."""
    return [
        side
        for side in sides
        if side.spec.method == form.method and form.gap in {"", side.spec.gap}
    ]


def opponents(side: Side, against: Sequence[Side]) -> list[Side]:
    """With which sides of the baseline another side is compared; none if it is the baseline."""
    own, judge = side.spec.gap, judged_by(side.spec.gap)
    forms = (judge,) if any(one is side for one in against) else (own, judge)
    return next(
        (result for form in forms if (result := [b for b in against if b.spec.gap == form])), []
    )


def meet(first: TrialSpec, second: TrialSpec) -> bool:
    """Whether both were trained under the same gap bound, or one has no weight to find."""
    return not (weighted(first) and weighted(second)) or first.gap_bound == second.gap_bound


def weighted(spec: TrialSpec) -> bool:
    """Whether the method has a fairness weight."""
    return spec.uses("fairness_weight")
