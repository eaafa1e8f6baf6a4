"""The paper's statements on CelebA, each as a check of the trials on all of it.

A statement about several lambdas is judged at those that have trials. Trials on a sample are not
comparable, so they are not judged (``dralign.reproduce.claims``).
"""

from collections.abc import Callable, Mapping
from typing import Final

from dralign.reproduce.celeba import BETA, BETAS, Faces, alike
from dralign.reproduce.levels import MARGIN
from dralign.reproduce.results import DP, EO, Values
from dralign.reproduce.verdicts import Outcome, Part, apart, less, more, near, pooled

_SHORT: Final = {DP: "DP", EO: "EO"}
_OF_SUM: Final = MARGIN * 8  # a margin: the top of AlexNet's eight layers is 8


def gap_beats_mixup_on_faces(found: Faces) -> Outcome:
    """FairReg has a lower gap than Fair Mixup, DP, in the mean over the lambdas that both have."""
    weights = {
        name: {
            trial.spec.fairness_weight
            for trial in found.results.records
            if (trial.spec.method, trial.spec.gap) == (name, DP)
        }
        for name in ("gap", "mixup")
    }
    shared = sorted(weights["gap"] & weights["mixup"])
    sides = [pooled([found.gaps(m, fairness_weight=w) for w in shared]) for m in weights]
    return (less("gap", *sides),)


def gap_beats_oversampling_on_faces(found: Faces) -> Outcome:
    """FairReg has less gap and more AP than Oversample, EO, in the mean over its lambdas.

    Oversample's gap and AP are those printed; FairReg's are of one lambda, which is not said.
    """
    gaps, precisions = (
        [figure(method, gap=EO) for method in ("gap", "oversample")]
        for figure in (found.gaps, found.precisions)
    )
    return (
        less("gap", *gaps),
        more("AP", *precisions),
        near("size of Oversample's gap", gaps[1], 0.069),
        near("size of Oversample's AP", precisions[1], 0.812, margin=0.005),
    )


def small_beta_is_close_to_gap(found: Faces) -> Outcome:
    """With beta .001 similarity and gap are nearer to those of FairReg than with beta .01."""
    parts = []
    for name, figure in (("similarity", alike("unit")), ("gap", None)):
        plain, *aligned = (_at(found, figure, beta) for beta in (0.0, *BETAS[:2]))
        parts.append(less(name, *(apart(values, plain) for values in aligned)))
    return tuple(parts)


def large_beta_harms(found: Faces) -> Outcome:
    """With beta .1 the similarity is higher, and AP lower, than with beta .01."""
    similar = [_at(found, alike("unit"), beta) for beta in BETAS[1:]]
    precise = [
        found.precisions("dralign", fairness_weight=0.5, alignment_weight=beta)
        for beta in BETAS[1:]
    ]
    return more("similarity", *similar[::-1], margin=_OF_SUM), more("AP is lower", *precise)


def better_in_both_on_attractive(found: Faces) -> Outcome:
    """DRAlign has less gap and more AP than FairReg at each lambda of Table 5."""
    return _at_each_weight(found, precision=True)


def last_layers_help(found: Faces) -> Outcome:
    """DRAlign of the last two layers of ResNet-18 has less gap than FairReg at equal lambda."""
    return _at_each_weight(found)


def significant_on_faces(found: Faces) -> Outcome:
    """DRAlign's gap is lower than FairReg's at each lambda of Table 13 that was run, p < .05."""
    return _at_each_weight(found, among=(0.2, 0.3, 0.4, 0.5))


def _at_each_weight(
    result: Faces, *, precision: bool = False, among: tuple[float, ...] = ()
) -> Outcome:
    """DRAlign against FairReg at the lambdas that both have."""
    parts = []
    for gap in (DP,) if among else (DP, EO):
        for weight in result.weights(gap):
            if among and weight not in among:
                continue
            same = {"gap": gap, "fairness_weight": weight}
            label = f"{_SHORT[gap]}, lambda {weight:g}"
            ours = result.gaps("dralign", alignment_weight=BETA, **same)
            parts.append(less(label, ours, result.gaps("gap", **same)))
            if precision:
                sides = [result.precisions(name, **same) for name in ("dralign", "gap")]
                parts.append(more(f"AP, {label}", *sides))
    return tuple(parts) or (Part("", "not run", "no lambda has both"),)


def _at(result: Faces, figure: Callable[..., float] | None, beta: float) -> Values:
    """A figure, or the gap, at lambda 0.5 and this beta; FairReg at beta 0."""
    method = "dralign" if beta else "gap"
    settings = {"fairness_weight": 0.5, "alignment_weight": beta}
    if figure is None:
        return result.gaps(method, **settings)
    return result.values(figure, method, **settings)


# With the short names of the plans that a check reads.
CELEBA_CHECKS: Final[Mapping[str, tuple[tuple[str, ...], Callable[[Faces], Outcome]]]] = {
    check.__name__: (plans, check)
    for plans, check in (
        (("dp",), gap_beats_mixup_on_faces),
        (("eo",), gap_beats_oversampling_on_faces),
        (("dp", "beta"), small_beta_is_close_to_gap),
        (("dp", "beta"), large_beta_harms),
        (("attractive",), better_in_both_on_attractive),
        (("resnet18",), last_layers_help),
        (("dp",), significant_on_faces),
    )
}
