"""The paper's statements on rationales, each as a check of the results in one reading of them.

A reading is part of a name of ``dralign.rationale.readings``: ``"unit, exact"`` of a similarity,
``"parameter, mean, squared"`` of the parity score. Similarities add up to 3 under DP, 6 under EO.
"""

import math
from collections.abc import Callable, Mapping
from typing import Final

from dralign.reproduce.entry import printed
from dralign.reproduce.levels import MARGIN
from dralign.reproduce.results import DP, EO, Results, Values, reading
from dralign.reproduce.similarity import DP_WEIGHTS, LAYERS, WIDTHS, at
from dralign.reproduce.table1 import at_weights, rank_correlation
from dralign.reproduce.verdicts import (
    Outcome,
    above,
    apart,
    below,
    falling,
    less,
    more,
    near,
    pooled,
    rising,
)

TOP: Final = 3.0
REACHED: Final = 2.95  # is 3.0 to the digit printed
PARITY: Final = "parameter, mean, squared"  # Eq. 5
ABOVE_0: Final = DP_WEIGHTS[1:]
NARROW: Final = WIDTHS[:-1]
FIRST, SECOND = LAYERS
EO_WEIGHTS: Final = (0.5, 0.8, 1.0, 2.0, 3.0)
OF_SUM, OF_LAYER, OF_EO = MARGIN * TOP, MARGIN, MARGIN * 2 * TOP  # margins


def parity_falls(results: Results, name: str) -> Outcome:
    """d_F of FairReg falls as lambda grows."""
    return tuple(falling("", at_weights(results, f"d_F, {name}")))


def regularisation_lowers_parity(results: Results, name: str) -> Outcome:
    """d_F at each lambda above 0 is below that at 0."""
    plain, *weighted = at_weights(results, f"d_F, {name}")
    return tuple(less(f"lambda {w:g}", v, plain) for w, v in zip(ABOVE_0, weighted, strict=True))


def decorrelation_lowers_parity(results: Results, name: str) -> Outcome:
    """d_F of the pre-processing is below that of ERM, and both are those printed (A.14)."""
    ours, plain = (results.values(reading(f"d_F, {name}"), m) for m in ("decorrelation", "erm"))
    return (
        less("below ERM", ours, plain),
        near("size", ours, printed("text")["a14_parity_score"]),
        near("size of ERM", plain, printed("table1")["parity_score"][0]),
    )


def similarity_ascends(results: Results, form: str) -> Outcome:
    """The sum over layers rises with lambda in networks of every width."""
    curves = ((w, _curve(results, form, "total", w)) for w in WIDTHS)
    return tuple(part for w, curve in curves for part in rising(f"c{w}", curve, margin=OF_SUM))


def approximation_follows(results: Results, form: str) -> Outcome:
    """Over lambda, the approximation has a positive rank correlation with d_F, both ours.

    The approximation is minus the similarity; d_F is that of Eq. 5.
    """
    curves = _curve(results, form, "total", 200), at_weights(results, f"d_F, {PARITY}")
    return (above("rank correlation over lambda above 0", _trend(*curves), 0.0, margin=0.1),)


def _trend(similarity: list[Values], parity: list[Values]) -> Values:
    """The rank correlation of minus the first with the second over a series, by seed."""
    every = [*similarity, *parity]
    shared = set.intersection(*({*values} for values in every))
    result = {
        seed: rank_correlation([-v[seed] for v in similarity], [v[seed] for v in parity])
        for seed in sorted(shared)
    }
    return {seed: value for seed, value in result.items() if not math.isnan(value)}


def narrow_reach_the_top(results: Results, form: str) -> Outcome:
    """Networks of 10, 20 and 50 units reach 3.0 at lambda .5."""
    return tuple(
        above(f"c{w}", at(results, form, "total", "gap", 0.5, hidden=w), REACHED, margin=OF_SUM)
        for w in NARROW
    )


def wide_stays_below(results: Results, form: str) -> Outcome:
    """The network of 200 units has 1.8 at lambda .6, and less than each narrower one."""
    wide = at(results, form, "total", "gap", 0.6)
    narrow = ((w, at(results, form, "total", "gap", 0.6, hidden=w)) for w in NARROW)
    return (
        near("c200 is 1.8", wide, 1.8),
        *(more(f"c{w} over c200", values, wide, margin=OF_SUM) for w, values in narrow),
    )


def mixup_mitigates(results: Results, form: str) -> Outcome:
    """Fair Mixup is above FairReg in the mean over lambda, and below 3.0 at each."""
    sides = {
        name: [at(results, form, "total", name, w) for w in ABOVE_0] for name in ("gap", "mixup")
    }
    return (
        more("mixup over gap", pooled(sides["mixup"]), pooled(sides["gap"]), margin=OF_SUM),
        *(
            below(f"below the top, lambda {w:g}", values, REACHED, margin=OF_SUM)
            for w, values in zip(ABOVE_0, sides["mixup"], strict=True)
        ),
    )


def dralign_reaches_the_top(results: Results, form: str) -> Outcome:
    """DRAlign has 3.0 at every lambda of Table 2, in networks of 200 units."""
    return tuple(
        above(f"lambda {w:g}", at(results, form, "total", "dralign", w), REACHED, margin=OF_SUM)
        for w in (0.1, 0.2, 0.3, 0.4, 0.5)
    )


def layers_ascend(results: Results, form: str) -> Outcome:
    """Each of the first two layers rises with lambda, in networks of 50 and 200 units."""
    return tuple(
        part
        for w in (50, 200)
        for layer in LAYERS
        for part in rising(
            f"c{w}, {_named(layer)}", _curve(results, form, layer, w), margin=OF_LAYER
        )
    )


def first_layer_above_second(results: Results, form: str) -> Outcome:
    """In the mean over lambda the first layer is above the second, at 50 and 200 units."""
    parts = []
    for width in (50, 200):
        first, second = (pooled(_curve(results, form, layer, width)) for layer in LAYERS)
        parts.append(more(f"c{width}, layer 1 over 2", first, second, margin=OF_LAYER))
    return tuple(parts)


def narrow_layers_are_alike(results: Results, form: str) -> Outcome:
    """In the mean over lambda, layers 1 and 2 are further apart at 200 units than at 50."""
    narrow, wide = (
        pooled([apart(*pair) for pair in zip(*curves, strict=True)])
        for curves in ([_curve(results, form, layer, w) for layer in LAYERS] for w in (50, 200))
    )
    return (more("layers apart, c200 over c50", wide, narrow, margin=OF_LAYER),)


def second_layer_is_low(results: Results, form: str) -> Outcome:
    """The second layer of 200 units has .113 at lambda .6."""
    return (near("layer 2 is .113", at(results, form, SECOND, "gap", 0.6), 0.113),)


def wide_below_narrow_eo(results: Results, form: str) -> Outcome:
    """Under EO, 200 units are below 10 in the mean over lambda, and the former rise with lambda."""
    parts = []
    for method in ("gap", "mixup"):
        wide, narrow = (
            [at(results, form, "total", method, w, hidden=width, gap=EO) for w in EO_WEIGHTS]
            for width in (200, 10)
        )
        label = f"{method}, c10 over c200"
        parts.append(more(label, pooled(narrow), pooled(wide), margin=OF_EO))
        parts += rising(f"{method}, c200", wide, margin=OF_EO)
    return tuple(parts)


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
