"""The paper's statements on average precision, gaps and time, each as a check of the results.

Gaps are in ``Results.measure`` at the epoch of ``Results.selection``, so that one check serves
every reading. What "at similar AP" means is spelled out once, in ``_matched`` and ``_at_its_ap``.
A check gives one part for each thing that the sentence says.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from dralign.analysis.courses import Course
from dralign.reproduce.convergence import sooner
from dralign.reproduce.entry import printed
from dralign.reproduce.fronts import by_seed, matched_ratio, ratio_at, volumes
from dralign.reproduce.levels import MARGIN, finding
from dralign.reproduce.results import (
    DP,
    EO,
    Results,
    Values,
    gap_in,
    mean,
    off_one,
    precision,
)
from dralign.reproduce.verdicts import (
    AP_MARGIN,
    Outcome,
    Part,
    above,
    less,
    less_by,
    matched,
    more,
    near,
    other_experiment,
    pooled,
)
from dralign.study import TrialSpec

DP_WEIGHTS: Final = (0.2, 0.3, 0.4, 0.5, 0.6)  # of FairReg on Adult (Table 2)
EO_WEIGHTS: Final = (0.5, 1.0, 2.0)
SHORT: Final = {DP: "DP", EO: "EO"}
LESS_AT_770: Final = 0.416  # Sec. 5.2
OBVIOUS: Final = 0.1  # of a gap
LIMITED: Final = 0.5  # of a gap that is left at least
NEAR: Final = 0.01  # of average precision, where one weight stands for "similar AP"


def oversampling_fixes_little(results: Results) -> Outcome:
    """ERM has a gap above .1, and Oversample leaves more than half of it, Adult DP."""
    plain, sampled = results.gaps("erm"), results.gaps("oversample")
    half = {seed: LIMITED * gap for seed, gap in plain.items()}
    return (
        above("gap of ERM above .1", plain, OBVIOUS, margin=MARGIN * OBVIOUS),
        less("half the gap of ERM under that of Oversample", half, sampled),
    )


def regularisation_costs_precision(results: Results) -> Outcome:
    """The gap of FairReg is below that of ERM at each weight, and its AP at the largest."""
    largest = DP_WEIGHTS[-1]
    gaps = (
        less(f"gap, lambda {w:g}", results.gaps("gap", fairness_weight=w), results.gaps("erm"))
        for w in DP_WEIGHTS
    )
    weighted = results.precisions("gap", fairness_weight=largest)
    return (*gaps, more(f"AP of ERM, lambda {largest:g}", results.precisions("erm"), weighted))


def mixup_beats_gap(results: Results) -> Outcome:
    """Fair Mixup has a lower gap than FairReg at equal AP, Adult DP."""
    return (_matched("gap at equal AP", results, "adult", DP, "mixup", "gap"),)


def best_at_equal_precision(results: Results) -> Outcome:
    """DRAlign has a lower gap than every other method at equal AP, Adult DP and EO."""
    parts = []
    for gap in (DP, EO):
        for other in ("gap", "mixup", "adversarial"):
            label = f"{SHORT[gap]}, against {other}"
            parts.append(_matched(label, results, "adult", gap, "dralign", other))
        parts += [
            _at_its_ap(f"{SHORT[gap]}, against {other}", results, gap, other)
            for other in ("erm", "oversample")
        ]
    return tuple(parts)


def less_than_mixup_at_770(results: Results) -> Outcome:
    """The gap of DRAlign is less than that of Fair Mixup at AP .770, Adult DP, and by 41.6 %."""
    sides = [_course(results, "adult", DP, name) for name in ("dralign", "mixup")]
    if not all(side.test for side in sides):
        return tuple(
            Part(name, "not run", "no trial") for name in ("gap at AP .770", "41.6 % less")
        )
    points = by_seed(*sides)
    found = finding(ratio_at(*two, 0.77) for two in points.values())
    return matched("gap at AP .770", found), less_by("41.6 % less", found, LESS_AT_770)


def oversampling_is_less_effective(results: Results) -> Outcome:
    """The gap of FairReg, in the mean over its weights, is below that of Oversample."""
    return tuple(
        less(
            f"Adult {SHORT[gap]}",
            pooled([results.gaps("gap", gap=gap, fairness_weight=w) for w in weights]),
            results.gaps("oversample", gap=gap),
        )
        for gap, weights in ((DP, DP_WEIGHTS), (EO, EO_WEIGHTS))
    )


def oversampling_beats_erm(results: Results) -> Outcome:
    """The gap of Oversample is below that of ERM, on Adult and Credit."""
    return tuple(
        less(
            f"{data} {SHORT[gap]}",
            *(results.gaps(name, data=data, gap=gap) for name in ("oversample", "erm")),
        )
        for data in ("adult", "german")
        for gap in (DP, EO)
    )


def mixup_wins_credit(results: Results) -> Outcome:
    """The front of Fair Mixup dominates more than that of DRAlign, Credit DP."""
    return (_dominates("hypervolume", results, "german", DP, "mixup", "dralign"),)


def dralign_beats_gap_on_credit(results: Results) -> Outcome:
    """The front of DRAlign dominates more than that of FairReg, Credit DP."""
    return (_dominates("hypervolume", results, "german", DP, "dralign", "gap"),)


def mixup_takes_longer(results: Results) -> Outcome:
    """Fair Mixup needs more time than the others until validation AP is .005 from its best."""
    return tuple(
        sooner(f"{SHORT[gap]}, {other} under mixup", results, gap, other, "mixup")
        for gap in (DP, EO)
        for other in ("gap", "dralign")
    )


def wider_has_higher_precision(results: Results) -> Outcome:
    """The AP of 200 units is above that of each narrower network, in the mean over lambda."""

    def at(width: int) -> Values:
        plain = results.precisions("oversample", hidden=width)
        weighted = [
            results.precisions("gap", fairness_weight=w, hidden=width) for w in (*DP_WEIGHTS, 0.7)
        ]
        return pooled([plain, *weighted])

    return tuple(more(f"c200 over c{width}", at(200), at(width)) for width in (10, 20, 50))


def augmentation_helps_alignment(results: Results) -> Outcome:
    """DRAlign with Fair Mixup's penalty has less gap and more AP than with the gap (A.8)."""
    mixed, plain = (
        _point(results, "dralign", data="german", fairness_weight=0.8, penalty=penalty)
        for penalty in ("mixup", "gap")
    )
    text = printed("text")
    return (
        *_better("", mixed, plain),
        *_sizes("before", plain, text["a8_dralign_ap"], text["a8_dralign_fairness"]),
        *_sizes("after", mixed, text["a8_mixup_ap"], text["a8_mixup_fairness"]),
    )


def alignment_alone_helps(results: Results) -> Outcome:
    """DRAlign without a gap term has less gap and more AP than ERM (A.9)."""
    aligned, plain = _point(results, "dralign", fairness_weight=0.0), _point(results, "erm")
    text = printed("text")
    return (
        *_better("", aligned, plain),
        *_sizes("before", plain, text["adult_erm_ap"], text["adult_erm_fairness"]),
        *_sizes("after", aligned, text["a9_ap"], text["a9_fairness"]),
    )


def significant_at_every_weight(results: Results) -> Outcome:
    """DRAlign's gap is lower than FairReg's at each lambda of Table 12, p < .05."""
    return tuple(
        less(f"lambda {w:g}", *_at_weight(results.gaps, w)) for w in printed("table12")["weights"]
    )


def more_precise_at_every_weight(results: Results) -> Outcome:
    """DRAlign's gap is lower and its AP higher than FairReg's, each in the mean over lambda."""
    weights = printed("table12")["weights"]
    gaps, precisions = (
        [pooled(side) for side in zip(*(_at_weight(f, w) for w in weights), strict=True)]
        for f in (results.gaps, results.precisions)
    )
    return less("gap", *gaps), more("AP", *precisions)


def two_more_measures(results: Results) -> Outcome:
    """DRAlign's EOP is nearer to 1, and its PP lower, than FairReg's at each lambda of Table 14.

    EOP is the printed ratio of rates; PP is trained with the printed surrogate, and judged by it
    and by the gap of precisions of its definition.
    """
    paper = printed("table14")
    trained = (
        ("EOP, from 1", "equal_opportunity", off_one, paper["eop_weights"]),
        ("printed PP", PRINTED_PP, gap_in(results.measure), paper["pp_weights"]),
        ("PP as defined", "predictive_parity", gap_in(results.measure), paper["pp_weights"]),
    )
    return tuple(
        less(
            f"{words}, lambda {w:g}",
            *(results.values(f, m, gap=gap, fairness_weight=w) for m in ("dralign", "gap")),
        )
        for words, gap, f, weights in trained
        for w in weights
    )


PRINTED_PP: Final = "printed_predictive_parity"


def best_on_compas(results: Results) -> Outcome:
    """DRAlign's gap is the lowest in every column of Table 15."""
    paper, parts = printed("table15"), []
    for gap in (DP, EO):
        weights = paper[f"{SHORT[gap].lower()}_weights"]
        of_mixup = paper.get(f"mixup_{SHORT[gap].lower()}_weights", weights)
        for weight, other in zip(weights, of_mixup, strict=True):
            ours = results.gaps("dralign", data="compas", gap=gap, fairness_weight=weight)
            for name, lam in (("erm", 0.0), ("oversample", 0.0), ("gap", weight), ("mixup", other)):
                theirs = results.gaps(name, data="compas", gap=gap, fairness_weight=lam)
                label = f"{SHORT[gap]}, lambda {weight:g}, against {name}"
                parts.append(less(label, ours, theirs))
    return tuple(parts)


def best_on_compas_at_a_tenth(results: Results) -> Outcome:
    """DRAlign at lambda .1 has less gap and more AP than the methods of its column, COMPAS DP.

    The printed sizes are those of another experiment: a gap falls there 8 times as far.
    """
    ours = _point(results, "dralign", data="compas", fairness_weight=0.1)
    others = (("erm", 0.0), ("oversample", 0.0), ("gap", 0.1), ("mixup", 0.04))
    parts: list[Part] = []
    for name, lam in others:
        theirs = _point(results, name, data="compas", fairness_weight=lam)
        parts += _better(f" against {name}", ours, theirs)
    sizes = (
        other_experiment("gap .033", ours[0], 0.033),
        other_experiment("AP .637", ours[1], 0.637),
    )
    return (*parts, *sizes)


def decorrelation_lowers_gap(results: Results) -> Outcome:
    """Inputs without the groups' mean differences have the printed gap and AP (A.14)."""
    text = printed("text")
    point = _point(results, "decorrelation")
    return _sizes("", point, text["a14_ap"], text["a14_fairness"])


def _point(results: Results, method: str, **settings: Any) -> tuple[Values, Values]:  # noqa: ANN401
    """Gap and average precision of a method at one setting."""
    return results.gaps(method, **settings), results.precisions(method, **settings)


def _better(
    name: str, first: tuple[Values, Values], second: tuple[Values, Values]
) -> tuple[Part, Part]:
    """Less gap and more average precision; both sides as ``_point`` gives them."""
    return less(f"gap{name}", first[0], second[0]), more(f"AP{name}", first[1], second[1])


def _sizes(name: str, point: tuple[Values, Values], ap: float, fairness: float) -> Outcome:
    """Whether the gap and the average precision are those printed."""
    label = f", {name}" if name else ""
    return (
        near(f"size of the gap{label}", point[0], -fairness),
        near(f"size of AP{label}", point[1], ap, margin=AP_MARGIN),
    )


def _at_weight(figure: Callable[..., Values], weight: float) -> list[Values]:
    """DRAlign's and FairReg's figure at a lambda of Table 12."""
    return [figure(name, fairness_weight=weight) for name in ("dralign", "gap")]


def _matched(label: str, results: Results, data: str, gap: str, first: str, second: str) -> Part:
    """``first`` has less gap at equal AP: in the mean over what both fronts of a seed reach.

    Gaps are read on the straight lines of each seed's own front at 50 equidistant APs of the range
    that both share, with equally many weights of each; nothing is extrapolated.
    """
    sides = [_course(results, data, gap, name) for name in (first, second)]
    if not all(side.test for side in sides):
        return Part(label, "not run", "no trial")
    return matched(label, finding(matched_ratio(*two) for two in by_seed(*sides).values()))


def _at_its_ap(label: str, results: Results, gap: str, other: str) -> Part:
    """DRAlign has less gap than a method without weights, at the one weight nearest in AP, Adult.

    The weight is chosen by mean validation AP; where the test APs are further apart than .01 in
    the mean, no weight has a similar AP.
    """
    sides = [_course(results, "adult", gap, name) for name in ("dralign", other)]
    if not all(side.test for side in sides):
        return Part(label, "not run", "no trial")
    points = by_seed(*sides)
    ours, theirs = ({s: two[i][0] for s, two in points.items()} for i in (0, 1))
    off = mean({s: ours[s][0] - theirs[s][0] for s in points})
    if abs(off) > NEAR:
        return Part(label, "not comparable", f"nearest AP is {off:+.3f} off", len(points))
    return less(label, *({s: point[1] for s, point in side.items()} for side in (ours, theirs)))


def _dominates(label: str, results: Results, data: str, gap: str, first: str, second: str) -> Part:
    """The hypervolume of ``first`` is larger than that of ``second``, at equally many weights."""
    sides = [_course(results, data, gap, name) for name in (first, second)]
    if not all(side.test for side in sides):
        return Part(label, "not run", "no trial")
    ours, theirs = volumes(by_seed(*sides))
    return less(f"{label} of {second} under that of {first}", theirs, ours)


def _course(results: Results, data: str, gap: str, method: str) -> Course[float]:
    """The points of a method on networks of 200 units, without the variants of A.8 and A.9."""
    figure = gap_in(results.measure)
    validation: dict[float, dict[int, float]] = {}
    test: dict[float, dict[int, tuple[float, float]]] = {}
    for trial, epoch in results.of_method(data, gap, method):
        spec = trial.spec
        if _wide(spec):
            kept = validation.setdefault(spec.fairness_weight, {})
            kept[spec.seed] = epoch.validation["average_precision"]
            point = precision(trial, epoch), figure(trial, epoch)
            test.setdefault(spec.fairness_weight, {})[spec.seed] = point
    return Course(validation, test)


def _wide(spec: TrialSpec) -> bool:
    """Whether a trial is of a curve of Fig. 3."""
    aligned_alone = spec.method == "dralign" and not spec.fairness_weight
    return (spec.hidden, spec.penalty) == (200, "gap") and not aligned_alone


CHECKS: Final[Mapping[str, Callable[[Results], Outcome]]] = {
    check.__name__: check
    for check in (
        oversampling_fixes_little,
        regularisation_costs_precision,
        mixup_beats_gap,
        best_at_equal_precision,
        less_than_mixup_at_770,
        oversampling_is_less_effective,
        oversampling_beats_erm,
        mixup_wins_credit,
        dralign_beats_gap_on_credit,
        mixup_takes_longer,
        wider_has_higher_precision,
        augmentation_helps_alignment,
        alignment_alone_helps,
        significant_at_every_weight,
        more_precise_at_every_weight,
        two_more_measures,
        best_on_compas,
        best_on_compas_at_a_tenth,
        decorrelation_lowers_gap,
    )
}
