"""The paper's statements on rationales, each as a check of the results in one reading of them.

A reading is part of a name of ``dralign.rationale.readings``: ``"unit, exact"`` of a similarity,
``"parameter, mean, squared"`` of the parity score. Similarities add up to 3 under DP, 6 under EO.
"""

from collections.abc import Callable, Mapping
from typing import Final

from dralign.reproduce.results import DP, EO, Results, Values, reading
from dralign.reproduce.similarity import DP_WEIGHTS, LAYERS, WIDTHS, at
from dralign.reproduce.table1 import at_weights
from dralign.reproduce.verdicts import (
    Outcome,
    apart,
    lower,
    pooled,
    reaches,
    stays_below,
    steady,
    together,
)

TOP: Final = 3.0
ABOVE_0: Final = DP_WEIGHTS[1:]
NARROW: Final = WIDTHS[:-1]
FIRST, SECOND = LAYERS
EO_WEIGHTS: Final = (0.5, 0.8, 1.0, 2.0, 3.0)


def parity_falls(results: Results, name: str) -> Outcome:
    """d_F of FairReg falls as lambda grows."""
    return steady(at_weights(results, f"d_F, {name}"), falls=True)


def regularisation_lowers_parity(results: Results, name: str) -> Outcome:
    """d_F at each lambda above 0 is below that at 0."""
    plain, *weighted = at_weights(results, f"d_F, {name}")
    return together(
        [(f"lambda {w:g}", lower(v, plain)) for w, v in zip(ABOVE_0, weighted, strict=True)]
    )


def decorrelation_lowers_parity(results: Results, name: str) -> Outcome:
    """d_F of the pre-processing is below that of ERM (A.14)."""
    return lower(*(results.values(reading(f"d_F, {name}"), m) for m in ("decorrelation", "erm")))


def similarity_ascends(results: Results, form: str) -> Outcome:
    """The sum over layers rises with lambda in networks of every width."""
    return together(
        [(f"c{w}", steady(_curve(results, form, "total", w), falls=False)) for w in WIDTHS]
    )


def approximation_follows(results: Results, form: str) -> Outcome:
    """The approximation falls with lambda, as the paper's parity score does (Table 1)."""
    return steady(_curve(results, form, "total", 200), falls=False)


def narrow_reach_the_top(results: Results, form: str) -> Outcome:
    """Networks of 10, 20 and 50 units reach 3.0 at lambda .5."""
    parts = [(w, at(results, form, "total", "gap", 0.5, hidden=w)) for w in NARROW]
    return together([(f"c{w}", reaches(values, TOP)) for w, values in parts])


def wide_stays_below(results: Results, form: str) -> Outcome:
    """The network of 200 units has 1.8 at lambda .6, and less than each narrower one."""
    wide = at(results, form, "total", "gap", 0.6)
    narrow = [(w, at(results, form, "total", "gap", 0.6, hidden=w)) for w in NARROW]
    return together(
        [
            ("c200", stays_below(wide, TOP, 1.8)),
            *((f"c200 under c{w}", lower(wide, values)) for w, values in narrow),
        ]
    )


def mixup_mitigates(results: Results, form: str) -> Outcome:
    """Fair Mixup is above FairReg in the mean over lambda, and below 3.0 at each."""
    sides = {
        name: [at(results, form, "total", name, w) for w in ABOVE_0] for name in ("gap", "mixup")
    }
    return together(
        [
            ("gap under mixup", lower(pooled(sides["gap"]), pooled(sides["mixup"]))),
            *(
                (f"lambda {w:g}", stays_below(values, TOP))
                for w, values in zip(ABOVE_0, sides["mixup"], strict=True)
            ),
        ]
    )


def dralign_reaches_the_top(results: Results, form: str) -> Outcome:
    """DRAlign has 3.0 at every lambda of Table 2, in networks of 200 units."""
    parts = [(w, at(results, form, "total", "dralign", w)) for w in (0.1, 0.2, 0.3, 0.4, 0.5)]
    return together([(f"lambda {w:g}", reaches(values, TOP)) for w, values in parts])


def layers_ascend(results: Results, form: str) -> Outcome:
    """Each of the first two layers rises with lambda, in networks of 50 and 200 units."""
    return together(
        [
            (f"c{w}, {_named(layer)}", steady(_curve(results, form, layer, w), falls=False))
            for w in (50, 200)
            for layer in LAYERS
        ]
    )


def first_layer_above_second(results: Results, form: str) -> Outcome:
    """In the mean over lambda the second layer is below the first, at 50 and 200 units."""
    parts = []
    for width in (50, 200):
        second, first = (pooled(_curve(results, form, layer, width)) for layer in (SECOND, FIRST))
        parts.append((f"c{width}, layer 2 under 1", lower(second, first)))
    return together(parts)


def narrow_layers_are_alike(results: Results, form: str) -> Outcome:
    """In the mean over lambda, layers 1 and 2 are further apart at 200 units than at 50."""
    narrow, wide = (
        pooled([apart(*pair) for pair in zip(*curves, strict=True)])
        for curves in ([_curve(results, form, layer, w) for layer in LAYERS] for w in (50, 200))
    )
    return lower(narrow, wide)


def second_layer_is_low(results: Results, form: str) -> Outcome:
    """The second layer of 200 units has .113 at lambda .6."""
    return stays_below(at(results, form, SECOND, "gap", 0.6), 1.0, 0.113)


def wide_below_narrow_eo(results: Results, form: str) -> Outcome:
    """Under EO, 200 units are below 10 in the mean over lambda, and both rise with lambda."""
    parts = []
    for method in ("gap", "mixup"):
        wide, narrow = (
            [at(results, form, "total", method, w, hidden=width, gap=EO) for w in EO_WEIGHTS]
            for width in (200, 10)
        )
        parts.append((f"{method}, c200 under c10", lower(pooled(wide), pooled(narrow))))
        parts.append((f"{method}, c200", steady(wide, falls=False)))
    return together(parts)


def _curve(results: Results, form: str, layer: str, width: int) -> list[Values]:
    """The similarity of FairReg at every lambda from 0."""
    return [at(results, form, layer, "gap", w, hidden=width, gap=DP) for w in DP_WEIGHTS]


def _named(layer: str) -> str:
    """A layer as the paper counts."""
    return f"layer {1 + LAYERS.index(layer)}"


_Check = Callable[[Results, str], Outcome]
PARITY_CHECKS: Final[Mapping[str, _Check]] = {
    check.__name__: check
    for check in (parity_falls, regularisation_lowers_parity, decorrelation_lowers_parity)
}
SIMILARITY_CHECKS: Final[Mapping[str, _Check]] = {
    check.__name__: check
    for check in (
        approximation_follows,
        similarity_ascends,
        narrow_reach_the_top,
        wide_stays_below,
        mixup_mitigates,
        dralign_reaches_the_top,
        layers_ascend,
        first_layer_above_second,
        narrow_layers_are_alike,
        second_layer_is_low,
        wide_below_narrow_eo,
    )
}
