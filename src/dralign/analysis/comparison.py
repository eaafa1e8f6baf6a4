"""Two methods of a study against each other: at equal weight, at matched precision, as fronts."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final

from dralign.analysis.contrast import At, Contrast, Figure, Weights, contrast_of
from dralign.analysis.fronts import Point, front, gap_at, hypervolume
from dralign.analysis.rows import absolute, group_by_setting
from dralign.analysis.significance import PValues, holm
from dralign.errors import OptionError
from dralign.gaps import gap_type, judged_by
from dralign.methods import BASELINES, PLAIN, method_settings, method_type
from dralign.methods.shared import GAP
from dralign.metrics import gap_measure
from dralign.study.record import TrialRecord
from dralign.study.spec import TrialSpec
from dralign.training import Selection

# What one method may set as it likes and still be compared with another; all else must be equal.
OWN_SETTINGS: Final = (
    "gap_bound",
    "bound_measure",
    "readings",
    "seed",
)  # and the settings of methods
_STEPS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)  # the last has six levels in all
_MOST_LEVELS: Final = 6


@dataclass(frozen=True)
class Comparison:
    """Two methods on the same data, judged by the same gap, under the same training settings.

    Attributes:
        first: a trial of the first method that stands for its settings; weights and seed are 0.
        second: the same of the second.
        fingerprint: of the data.
        selection: the rule that chose each trial's epoch.
        measure: the measure of the gap.
        reference: the lowest average precision and the largest gap that count in the hypervolume.
        contrasts: what was compared.
    """

    first: TrialSpec
    second: TrialSpec
    fingerprint: str
    selection: Selection
    measure: str
    reference: Point
    contrasts: tuple[Contrast, ...]

    def find(self, figure: Figure, at: At, level: float = math.nan) -> list[Contrast]:
        """The contrasts of a figure; a level narrows them to that weight or average precision."""
        return [
            one
            for one in self.contrasts
            if (one.figure, one.at) == (figure, at)
            and (math.isnan(level) or math.isclose(one.level, level))
        ]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form; undefined figures are NaN."""
        return {
            "first": self.first.to_dict(),
            "second": self.second.to_dict(),
            "fingerprint": self.fingerprint,
            "selection": str(self.selection),
            "measure": self.measure,
            "reference": {"average_precision": self.reference[0], "gap": self.reference[1]},
            "contrasts": [asdict(contrast) for contrast in self.contrasts],
        }


def compare_methods(
    records: Iterable[TrialRecord],
    first: str,
    second: str,
    *,
    selection: Selection,
    measure: str | None = None,
    at: Sequence[float] | None = None,
    reference: Point | None = None,
) -> list[Comparison]:
    """Compares two methods wherever a study has both under the same settings.

    One comparison comes for each data set, gap, network and so on that both were run with, and
    for each variant of a method (``OWN_SETTINGS``). Gaps are absolute for each seed. A method
    trained for one form of a gap meets one trained for another (``judged_by``) where the form is
    named: ``"gap/all_cutoffs_demographic_parity"`` against ``"gap/demographic_parity"``.

    - At equal weight: average precision and gap of every setting of the first method against the
      second's at the same fairness weight, or against the only setting of a method without weights.
      Where both methods have several alignment weights, they must be equal too, and so must the
      gap bounds of methods whose weights were found under one. Not between two forms of a gap: a
      weight means something else in each.
    - At matched average precision: the gap, read for each seed on the straight lines of its own
      front. Seeds whose front does not reach the level on either side are left out, never
      extrapolated; ``difference.n`` of ``seeds`` says how many remained.
    - Fronts: the hypervolume, for seeds that have every setting of their method.

    Args:
        records: of a study; failed ones are left out.
        first: a method, or ``"METHOD/GAP"`` for what was trained for that gap alone.
        second: another.
        selection: chooses each trial's epoch.
        measure: of the gap; that of the selection if not given.
        at: average precisions to match at; None takes up to six round ones that the fronts of at
            least two seeds reach.
        reference: of the hypervolume; None takes average precision 0 and the largest gap that
            ``erm`` shows in any seed, or gap 1 where the study has no ``erm``.

    Returns:
        The comparisons; ``Contrast.holm`` is corrected over those of one data set and gap.

    Raises:
        OptionError: if a method or gap is unknown, both are the same, or the measure is unknown.
    """
    ours, theirs = _Form.parse(first), _Form.parse(second)
    if ours == theirs:
        raise OptionError(f"compare: expected two methods, got {first!r} twice")
    named = bool(ours.gap and theirs.gap)
    judged = measure or selection.measure
    compared = [
        _compare(a, b, erm, selection, judged, at, reference)
        for sides in _comparable(records, selection, judged)
        for erm in [_find(sides, _Form(PLAIN))]
        for a in _find(sides, ours)
        for b in _find(sides, theirs)
        if (named or a.spec.gap == b.spec.gap) and _meet(a.spec, b.spec)
    ]
    return _corrected(compared)


def compare_with_baseline(
    records: Iterable[TrialRecord],
    baseline: str | None = None,
    *,
    selection: Selection,
    measure: str | None = None,
) -> list[Comparison]:
    """Compares every other method with a baseline, as in ``compare_methods``.

    What was trained for another form of a gap, the baseline itself included, is compared with the
    baseline trained for that form; where there is none, with the one trained for the gap that
    judges both.

    Args:
        records: of a study.
        baseline: a method, or ``"METHOD/GAP"``; None takes ``gap``, or else ``erm``, or else
            ``oversample``, whichever there is first under the same settings. What a named gap
            made is compared with everything.
        selection: chooses each trial's epoch.
        measure: of the gap; that of the selection if not given.

    Returns:
        The comparisons, none where there is no baseline; corrected as there.

    Raises:
        OptionError: if the baseline or the measure is unknown.
    """
    candidates = (
        [_Form(name) for name in BASELINES] if baseline is None else [_Form.parse(baseline)]
    )
    judged = measure or selection.measure
    compared = []
    for sides in _comparable(records, selection, judged):
        against = next((result for form in candidates if (result := _find(sides, form))), [])
        named = any(form.gap for form in candidates)
        erm = _find(sides, _Form(PLAIN))
        compared += [
            _compare(a, b, erm, selection, judged, None, None)
            for a in sides
            for b in (against if named else _opponents(a, against))
            if a is not b and _meet(a.spec, b.spec)
        ]
    return _corrected(compared)


@dataclass(frozen=True)
class _Form:
    """A method, trained for whatever gap, or for one alone."""

    method: str
    gap: str = ""

    @classmethod
    def parse(cls, text: str) -> "_Form":
        """From ``"METHOD"`` or ``"METHOD/GAP"``.

        Raises:
            OptionError: if there is no such method or gap.
        """
        method, _, gap = text.partition("/")
        return cls(method_type(method).name, gap and gap_type(gap).name)


@dataclass(frozen=True)
class _Side:
    """The trials of one method: average precision and gap by weights and seed."""

    spec: TrialSpec
    fingerprint: str
    points: Mapping[Weights, Mapping[int, Point]]

    def seeds(self) -> set[int]:
        """The seeds of any setting."""
        return {seed for points in self.points.values() for seed in points}

    def of_seed(self, seed: int) -> list[Point]:
        """The points of a seed."""
        return [points[seed] for points in self.points.values() if seed in points]

    def fronts(self) -> dict[int, list[Point]]:
        """The front of each seed."""
        return {seed: front(self.of_seed(seed)) for seed in sorted(self.seeds())}

    def hypervolumes(self, reference: Point) -> dict[int, float]:
        """The hypervolume of each seed that has every setting."""
        whole = {seed: self.of_seed(seed) for seed in sorted(self.seeds())}
        return {
            seed: hypervolume(points, reference)
            for seed, points in whole.items()
            if len(points) == len(self.points)
        }


def _comparable(
    records: Iterable[TrialRecord], selection: Selection, measure: str
) -> list[list[_Side]]:
    """The sides that may be compared with each other: they differ in ``OWN_SETTINGS`` alone.

    Raises:
        OptionError: if the measure is unknown.
    """
    gap_measure(measure)
    sides: dict[tuple[TrialSpec, str], dict[Weights, dict[int, Point]]] = {}
    for (spec, fingerprint), trials in group_by_setting(records).items():
        weights = (spec.fairness_weight, spec.alignment_weight)
        key = (spec.but(fairness_weight=0.0, alignment_weight=0.0), fingerprint)
        sides.setdefault(key, {})[weights] = {
            trial.spec.seed: _point(trial, selection, measure) for trial in trials
        }
    groups: dict[object, list[_Side]] = {}
    for (spec, fingerprint), points in sides.items():
        shared = tuple(
            (name, value)
            for name, value in spec.values
            if name not in {GAP.name, *OWN_SETTINGS, *method_settings()}
        )
        together = (spec.data, judged_by(spec.gap), shared, fingerprint)
        groups.setdefault(together, []).append(_Side(spec, fingerprint, points))
    return list(groups.values())


def _point(trial: TrialRecord, selection: Selection, measure: str) -> Point:
    """Average precision and absolute gap on the test rows, at the chosen epoch."""
    test = selection.choose(trial.history, trial.spec.gap).test
    return test["average_precision"], absolute(gap_measure(measure), test, trial.spec.gap)


def _find(sides: Iterable[_Side], form: _Form) -> list[_Side]:
    """The sides of a method, of one form of the gap if it says which."""
    return [
        side
        for side in sides
        if side.spec.method == form.method and form.gap in {"", side.spec.gap}
    ]


def _opponents(side: _Side, against: Sequence[_Side]) -> list[_Side]:
    """With which sides of the baseline another side is compared; none if it is the baseline."""
    own, judge = side.spec.gap, judged_by(side.spec.gap)
    forms = (judge,) if any(one is side for one in against) else (own, judge)
    return next(
        (result for form in forms if (result := [b for b in against if b.spec.gap == form])), []
    )


def _meet(first: TrialSpec, second: TrialSpec) -> bool:
    """Whether both were trained under the same gap bound, or one has no weight to find."""
    return not (_weighted(first) and _weighted(second)) or first.gap_bound == second.gap_bound


def _weighted(spec: TrialSpec) -> bool:
    """Whether the method has a fairness weight."""
    return spec.uses("fairness_weight")


def _compare(
    first: _Side,
    second: _Side,
    erm: Sequence[_Side],
    selection: Selection,
    measure: str,
    at: Sequence[float] | None,
    reference: Point | None,
) -> Comparison:
    """All contrasts of two sides, not corrected yet."""
    if reference is None:
        gaps = [gap for side in erm for seed in side.seeds() for _, gap in side.of_seed(seed)]
        reference = (0.0, max((gap for gap in gaps if not math.isnan(gap)), default=1.0))
    contrasts = [
        *(_at_weights(first, second) if first.spec.gap == second.spec.gap else ()),
        *_at_precisions(first, second, at),
        contrast_of(
            "hypervolume",
            "front",
            math.nan,
            first.hypervolumes(reference),
            second.hypervolumes(reference),
            len(first.seeds() & second.seeds()),
        ),
    ]
    return Comparison(
        first.spec, second.spec, first.fingerprint, selection, measure, reference, tuple(contrasts)
    )


def _at_weights(first: _Side, second: _Side) -> list[Contrast]:
    """Gap and average precision at equal fairness weight."""
    pairs = [
        (ours, theirs)
        for ours in first.points
        for theirs in second.points
        if not (_weighted(first.spec) and _weighted(second.spec))
        or (ours[0] == theirs[0] and (not (ours[1] and theirs[1]) or ours[1] == theirs[1]))
    ]
    figures: tuple[tuple[Figure, int], ...] = (("gap", 1), ("average_precision", 0))
    return [
        contrast_of(
            figure,
            "weight",
            ours[0] or theirs[0],
            {seed: point[index] for seed, point in first.points[ours].items()},
            {seed: point[index] for seed, point in second.points[theirs].items()},
            len(first.points[ours].keys() & second.points[theirs].keys()),
            weights=(ours, theirs),
        )
        for ours, theirs in pairs
        for figure, index in figures
    ]


def _at_precisions(first: _Side, second: _Side, at: Sequence[float] | None) -> list[Contrast]:
    """The gap at matched average precisions."""
    ours, theirs = first.fronts(), second.fronts()
    shared = sorted(ours.keys() & theirs.keys())
    levels = _levels([(ours[s], theirs[s]) for s in shared]) if at is None else list(at)
    return [
        contrast_of(
            "gap",
            "average_precision",
            level,
            {seed: gap_at(result, level) for seed, result in ours.items()},
            {seed: gap_at(result, level) for seed, result in theirs.items()},
            len(shared),
        )
        for level in levels
    ]


def _levels(pairs: Sequence[tuple[list[Point], list[Point]]]) -> list[float]:
    """At most six round average precisions that both fronts of at least two seeds reach."""
    ranges = [(max(a[0][0], b[0][0]), min(a[-1][0], b[-1][0])) for a, b in pairs if a and b]
    grids = ([round(index * step, 3) for index in range(round(1 / step) + 1)] for step in _STEPS)
    reached = (
        [level for level in grid if sum(low <= level <= high for low, high in ranges) >= 2]
        for grid in grids
    )
    return next(levels for levels in reached if len(levels) <= _MOST_LEVELS)


def _corrected(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons with Holm's correction, for each kind of test by itself.

    A family is all contrasts of one data set and gap, which make one table of a report.
    """
    families: dict[object, list[int]] = {}
    for index, one in enumerate(comparisons):
        key = (one.first.data, one.fingerprint, judged_by(one.first.gap))
        families.setdefault(key, []).append(index)
    result = list(comparisons)
    for indices in families.values():
        contrasts = [contrast for index in indices for contrast in result[index].contrasts]
        kinds = [entry.name for entry in fields(PValues)]
        by_kind = [holm([getattr(contrast.p, kind) for contrast in contrasts]) for kind in kinds]
        values = iter(zip(*by_kind, strict=True))
        for index in indices:
            own = result[index].contrasts
            corrected = tuple(replace(one, holm=PValues(*next(values))) for one in own)
            result[index] = replace(result[index], contrasts=corrected)
    return result
