"""The quoted claims (``paper/claims.toml``), each decided by a function of the results."""

import tomllib
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Final

from dralign.reproduce.entry import Reproduction
from dralign.reproduce.results import Results, Values, precision, reading, soft
from dralign.reproduce.similarity import DP_WEIGHTS, at
from dralign.reproduce.table1 import D_F, at_weights
from dralign.reproduce.verdicts import Finding, Verdict, lower, near, steady, together, worst
from dralign.study import TrialRecord, compare_methods

Outcome = tuple[Verdict, str]
DP, EO = "demographic_parity", "equalized_odds"
EXACT, CLAMPED = "unit, exact", "unit, clamped"
TOP = 3.0
NEAR_TOP = 0.05  # "3.0" has one decimal


def claims(results: Results) -> Reproduction:
    """Every quoted claim with its verdict and evidence."""
    text = (files("dralign.reproduce") / "paper" / "claims.toml").read_text(encoding="utf-8")
    findings, lines = [], []
    for claim in tomllib.loads(text)["claims"]:
        verdict, evidence = CHECKS[claim["check"]](results)
        findings.append(Finding(claim["quote"], verdict, evidence))
        lines.append((claim["section"], claim["quote"], verdict, evidence))
    return Reproduction(("section", "claim", "verdict", "evidence"), tuple(lines), tuple(findings))


def _images(_results: Results) -> Outcome:
    return "needs images", ""


def _parity_falls(results: Results) -> Outcome:
    return together(
        [(name, steady(at_weights(results, f"d_F, {name}"), falls=True)) for name in _PARITY]
    )


def _regularisation_lowers_parity(results: Results) -> Outcome:
    parts = []
    for name in _PARITY:
        figure = reading(f"d_F, {name}")
        plain = results.values(figure, "oversample")
        first = results.values(figure, "gap", fairness_weight=0.2)
        parts.append((f"{name}, lambda .2 against 0", lower(first, plain)))
    return together(parts)


def _best_at_matched_precision(results: Results) -> Outcome:
    parts = [
        (f"Adult {short}, against {other}", _matched(results, "adult", gap, other))
        for short, gap in (("DP", DP), ("EO", EO))
        for other in ("gap", "mixup")
    ]
    return together(parts)


def _matched(results: Results, data: str, gap: str, other: str) -> Outcome:
    """DRAlign's gap is lower at every average precision that both fronts of two seeds reach."""
    found = [
        contrast
        for comparison in compare_methods(
            _plain(results, data, gap), "dralign", other, selection=results.selection
        )
        for contrast in comparison.find("gap", "average_precision")
    ]
    if not found:
        return "not run", "no average precision that the fronts of two seeds share"
    outcomes: list[Verdict] = []
    for one in found:
        below = one.difference.mean + one.difference.half_width < 0
        falls = one.difference.mean < 0
        outcomes.append("reproduced" if below else "direction only" if falls else "not reproduced")
    ratios = ", ".join(f"AP {c.level:g}: {c.ratio.value:.2f} (n={c.difference.n})" for c in found)
    return worst(outcomes), f"ratio of gaps at {ratios}"


def _less_than_mixup_at_770(results: Results) -> Outcome:
    comparisons = compare_methods(
        _plain(results, "adult", DP), "dralign", "mixup", selection=results.selection, at=[0.77]
    )
    found = [c for one in comparisons for c in one.find("gap", "average_precision", 0.77)]
    if not found or not found[0].difference.n:
        return "not run", "no seed whose fronts both reach AP .770"
    one = found[0]
    text = (
        f"soft gap {100 * (1 - one.ratio.value):.1f} % less at AP .770, 95 % interval "
        f"{100 * (1 - one.ratio.high):.1f} to {100 * (1 - one.ratio.low):.1f} "
        f"(n={one.difference.n})"
    )
    if one.ratio.value >= 1:
        return "not reproduced", text
    covers = one.ratio.low <= 1 - 0.416 <= one.ratio.high and one.ratio.high < 1
    return ("reproduced" if covers else "direction only"), text


def _oversample_beats_erm(results: Results) -> Outcome:
    return together(
        [
            (f"{data} {name}", _gap_below(results, "oversample", "erm", data, gap))
            for data in ("adult", "german")
            for name, gap in (("DP", DP), ("EO", EO))
        ]
    )


def _gap_below(results: Results, first: str, second: str, data: str, gap: str) -> Outcome:
    return lower(*(results.values(soft, name, data=data, gap=gap) for name in (first, second)))


def _mixup_wins_credit(results: Results) -> Outcome:
    verdict, text = _matched_both(results, "mixup", "dralign")
    return verdict, text


def _dralign_beats_gap_credit(results: Results) -> Outcome:
    return _matched_both(results, "dralign", "gap")


def _matched_both(results: Results, first: str, second: str) -> Outcome:
    """The front of ``first`` dominates more than that of ``second``, Credit under DP."""
    found = [
        contrast
        for comparison in compare_methods(
            _plain(results, "german", DP), first, second, selection=results.selection
        )
        for contrast in comparison.find("hypervolume", "front")
    ]
    if not found or not found[0].difference.n:
        return "not run", "no seed with both fronts"
    one = found[0].difference
    text = f"hypervolume {first} minus {second}: {one.mean:+.3f} ± {one.half_width:.3f} (n={one.n})"
    if one.mean <= 0:
        return "not reproduced", text
    return ("reproduced" if one.mean - one.half_width > 0 else "direction only"), text


def _similarity_ascends(results: Results) -> Outcome:
    return together(
        [
            (f"{form}, c{width}", steady(_by_weight(results, form, width), falls=False))
            for form in (EXACT, CLAMPED)
            for width in (10, 20, 50, 200)
        ]
    )


def _by_weight(results: Results, form: str, width: int) -> list[Values]:
    return [at(results, form, "total", "gap", weight, hidden=width) for weight in DP_WEIGHTS]


def _narrow_reach_the_top(results: Results) -> Outcome:
    return together(
        [
            (
                f"{form}, c{width}",
                near(at(results, form, "total", "gap", 0.5, hidden=width), TOP, NEAR_TOP),
            )
            for form in (EXACT, CLAMPED)
            for width in (10, 20, 50)
        ]
    )


def _wide_stays_below(results: Results) -> Outcome:
    """Exactly as printed, 1.8, in the form that comes nearest; both are shown."""
    return _nearest(
        [
            (form, near(at(results, form, "total", "gap", 0.6), 1.8, 0.2))
            for form in (EXACT, CLAMPED, "parameter, exact", "parameter, clamped")
        ]
    )


def _second_layer_is_low(results: Results) -> Outcome:
    return _nearest(
        [
            (form, near(at(results, form, "2", "gap", 0.6), 0.113, 0.1))
            for form in (EXACT, CLAMPED, "parameter, exact", "parameter, clamped")
        ]
    )


def _nearest(parts: list[tuple[str, Outcome]]) -> Outcome:
    """Reproduced if the form that fits best is; the evidence shows all forms."""
    _, text = together(parts)
    verdicts = [verdict for _, (verdict, _) in parts]
    best: Verdict = "reproduced" if "reproduced" in verdicts else worst(verdicts)
    return best, text


def _mixup_mitigates(results: Results) -> Outcome:
    parts = []
    for form in (EXACT, CLAMPED):
        for weight in DP_WEIGHTS[1:]:
            gap, mixup = (at(results, form, "total", name, weight) for name in ("gap", "mixup"))
            parts.append((f"{form}, lambda {weight:g}", lower(gap, mixup)))
    return together(parts)


def _dralign_reaches_the_top(results: Results) -> Outcome:
    return together(
        [
            (
                f"lambda {weight:g}",
                near(at(results, EXACT, "total", "dralign", weight), TOP, NEAR_TOP),
            )
            for weight in (0.1, 0.2, 0.3, 0.4, 0.5)
        ]
    )


def _first_layer_above_second(results: Results) -> Outcome:
    return together(
        [
            (
                f"{form}, c{width}, lambda {weight:g}",
                lower(
                    *(at(results, form, layer, "gap", weight, hidden=width) for layer in ("2", "0"))
                ),
            )
            for form in (EXACT, CLAMPED)
            for width in (50, 200)
            for weight in DP_WEIGHTS[1:]
        ]
    )


def _wide_below_narrow_eo(results: Results) -> Outcome:
    return together(
        [
            (
                f"{method}, lambda {weight:g}, c200 against c10",
                lower(
                    *(
                        at(results, EXACT, "total", method, weight, hidden=width, gap=EO)
                        for width in (200, 10)
                    )
                ),
            )
            for method in ("gap", "mixup")
            for weight in (0.5, 1.0, 3.0)
        ]
    )


def _wider_has_higher_precision(results: Results) -> Outcome:
    return together(
        [
            (f"lambda {weight:g}, c10 against c200", lower(*_precisions(results, weight)))
            for weight in (0.0, 0.2, 0.4, 0.6)
        ]
    )


def _precisions(results: Results, weight: float) -> list[Values]:
    method = "gap" if weight else "oversample"
    return [
        results.values(precision, method, fairness_weight=weight, hidden=width)
        for width in (10, 200)
    ]


def _significant_at_every_weight(results: Results) -> Outcome:
    return together(
        [
            (
                f"lambda {weight:g}",
                lower(
                    *(
                        results.values(soft, name, fairness_weight=weight)
                        for name in ("dralign", "gap")
                    )
                ),
            )
            for weight in (0.2, 0.3, 0.4, 0.5)
        ]
    )


def _plain(results: Results, data: str, gap: str) -> list[TrialRecord]:
    """The trials of wide networks without variants, for a comparison of fronts."""
    return [
        trial
        for trial in results.records
        if (trial.spec.data.name, trial.spec.gap, trial.spec.hidden, trial.spec.penalty)
        == (data, gap, 200, "gap")
        and (trial.spec.method != "dralign" or trial.spec.fairness_weight)
    ]


_PARITY: Final = tuple(name.removeprefix("d_F, ") for name in D_F[:2])

CHECKS: Final[Mapping[str, Callable[[Results], Outcome]]] = {
    "images": _images,
    "parity_falls": _parity_falls,
    "regularisation_lowers_parity": _regularisation_lowers_parity,
    "best_at_matched_precision": _best_at_matched_precision,
    "less_than_mixup_at_770": _less_than_mixup_at_770,
    "oversample_beats_erm": _oversample_beats_erm,
    "mixup_wins_credit": _mixup_wins_credit,
    "dralign_beats_gap_credit": _dralign_beats_gap_credit,
    "similarity_ascends": _similarity_ascends,
    "narrow_reach_the_top": _narrow_reach_the_top,
    "wide_stays_below": _wide_stays_below,
    "mixup_mitigates": _mixup_mitigates,
    "dralign_reaches_the_top": _dralign_reaches_the_top,
    "first_layer_above_second": _first_layer_above_second,
    "second_layer_is_low": _second_layer_is_low,
    "wide_below_narrow_eo": _wide_below_narrow_eo,
    "wider_has_higher_precision": _wider_has_higher_precision,
    "significant_at_every_weight": _significant_at_every_weight,
}
