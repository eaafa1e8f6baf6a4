"""Two methods of a study against each other: at equal weight, at matched precision, as fronts."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final

from dralign.analysis.contrast import At, Contrast, Figure, Weights, contrast_of
from dralign.analysis.courses import even_weights
from dralign.analysis.fronts import Point, front, gap_at, hypervolume
from dralign.analysis.sides import Form, Side, comparable, find, meet, opponents, weighted
from dralign.analysis.significance import PValues, holm
from dralign.errors import OptionError
from dralign.gaps import judged_by
from dralign.methods import BASELINES, PLAIN
from dralign.study.record import TrialRecord
from dralign.study.spec import TrialSpec
from dralign.training import Selection

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
        on_fronts: lambda and beta of the settings whose points make the fronts: equally many of
            each method.
        contrasts: what was compared.
    """

    first: TrialSpec
    second: TrialSpec
    fingerprint: str
    selection: Selection
    measure: str
    reference: Point
    on_fronts: tuple[tuple[Weights, ...], tuple[Weights, ...]]
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
            "on_fronts": {"first": self.on_fronts[0], "second": self.on_fronts[1]},
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
    - Fronts: the hypervolume.

    Both of these are of equally many settings of each method, as the front of more lies lower
    without being better: of the method with more, those nearest to the other's in mean validation
    AP (``even_weights``; ``Comparison.on_fronts``). A seed that lacks one of them is left out.

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
    ours, theirs = Form.parse(first), Form.parse(second)
    if ours == theirs:
        raise OptionError(f"compare: expected two methods, got {first!r} twice")
    named = bool(ours.gap and theirs.gap)
    judged = measure or selection.measure
    compared = [
        _compare(a, b, erm, selection, judged, at, reference)
        for sides in comparable(records, selection, judged)
        for erm in [find(sides, Form(PLAIN))]
        for a in find(sides, ours)
        for b in find(sides, theirs)
        if (named or a.spec.gap == b.spec.gap) and meet(a.spec, b.spec)
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
    candidates = [Form(name) for name in BASELINES] if baseline is None else [Form.parse(baseline)]
    judged = measure or selection.measure
    compared = []
    for sides in comparable(records, selection, judged):
        against = next((result for form in candidates if (result := find(sides, form))), [])
        named = any(form.gap for form in candidates)
        erm = find(sides, Form(PLAIN))
        compared += [
            _compare(a, b, erm, selection, judged, None, None)
            for a in sides
            for b in (against if named else opponents(a, against))
            if a is not b and meet(a.spec, b.spec)
        ]
    return _corrected(compared)


def _compare(
    first: Side,
    second: Side,
    erm: Sequence[Side],
    selection: Selection,
    measure: str,
    at: Sequence[float] | None,
    reference: Point | None,
) -> Comparison:
    """All contrasts of two sides, not corrected yet."""
    if reference is None:
        gaps = [
            gap
            for side in erm
            for points in side.course.test.values()
            for _, gap in points.values()
        ]
        reference = (0.0, max((gap for gap in gaps if not math.isnan(gap)), default=1.0))
    kept = even_weights(first.course, second.course)
    ours, theirs = first.course.of_seeds(kept[0]), second.course.of_seeds(kept[1])
    seeds = len(first.course.seeds() & second.course.seeds())
    contrasts = [
        *(_at_weights(first, second) if first.spec.gap == second.spec.gap else ()),
        *_at_precisions(ours, theirs, at, seeds),
        contrast_of(
            "hypervolume",
            "front",
            math.nan,
            {seed: hypervolume(points, reference) for seed, points in ours.items()},
            {seed: hypervolume(points, reference) for seed, points in theirs.items()},
            seeds,
        ),
    ]
    return Comparison(
        first.spec,
        second.spec,
        first.fingerprint,
        selection,
        measure,
        reference,
        kept,
        tuple(contrasts),
    )


def _at_weights(first: Side, second: Side) -> list[Contrast]:
    """Gap and average precision at equal fairness weight."""
    one, other = first.course.test, second.course.test
    pairs = [
        (ours, theirs)
        for ours in one
        for theirs in other
        if not (weighted(first.spec) and weighted(second.spec))
        or (ours[0] == theirs[0] and (not (ours[1] and theirs[1]) or ours[1] == theirs[1]))
    ]
    figures: tuple[tuple[Figure, int], ...] = (("gap", 1), ("average_precision", 0))
    return [
        contrast_of(
            figure,
            "weight",
            ours[0] or theirs[0],
            {seed: point[index] for seed, point in one[ours].items()},
            {seed: point[index] for seed, point in other[theirs].items()},
            len(one[ours].keys() & other[theirs].keys()),
            weights=(ours, theirs),
        )
        for ours, theirs in pairs
        for figure, index in figures
    ]


def _at_precisions(
    first: Mapping[int, list[Point]],
    second: Mapping[int, list[Point]],
    at: Sequence[float] | None,
    seeds: int,
) -> list[Contrast]:
    """The gap at matched average precisions, on the front of each seed's points."""
    ours, theirs = (
        {seed: front(points) for seed, points in side.items()} for side in (first, second)
    )
    shared = sorted(ours.keys() & theirs.keys())
    levels = _levels([(ours[s], theirs[s]) for s in shared]) if at is None else list(at)
    return [
        contrast_of(
            "gap",
            "average_precision",
            level,
            {seed: gap_at(result, level) for seed, result in ours.items()},
            {seed: gap_at(result, level) for seed, result in theirs.items()},
            seeds,
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
