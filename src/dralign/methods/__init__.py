"""Methods: the ways to train, one file each, built by name in one place."""

from typing import Final, Literal, get_args

from dralign.errors import OptionError, unknown
from dralign.gaps import CLASS_GAPS, GAP_NAMES, Aggregate, GapName, resolve_gap
from dralign.methods.adversarial import Adversarial
from dralign.methods.base import LossConvention, Method, PostProcess, Step, StepResult
from dralign.methods.decorrelation import Decorrelation
from dralign.methods.dralign import DRAlign
from dralign.methods.erm import Erm
from dralign.methods.gap import GapRegularisation
from dralign.methods.mixup import FairMixup, PathPenalty
from dralign.methods.oversample import oversample
from dralign.methods.thresholds import Thresholds
from dralign.rationale import Granularity, LayerChoice

Penalty = Literal["gap", "mixup"]

METHOD_NAMES: Final = (
    "erm",
    "oversample",
    "gap",
    "dralign",
    "mixup",
    "adversarial",
    "decorrelation",
    "thresholds",
)
WEIGHTED_METHODS: Final = ("gap", "dralign", "mixup", "adversarial")
DEFAULT_LAMBDA: Final = 0.2
BETA_SHARE: Final = 0.1  # beta = lambda / 10, the paper's choice on Adult (A.1)
LARGEST_WEIGHT: Final = 1e20  # float32 still holds it times all else that enters a step
DEFAULT_EVERY: Final = 8  # steps from one with the alignment term to the next

_COMPARE_PAIRS: Final = ("gap", "mixup", "dralign")
_TWO_CLASSES: Final = ("adversarial", "thresholds")
_LIMITED_GAPS: Final[dict[str, tuple[GapName, ...]]] = {
    "mixup": ("demographic_parity", "equalized_odds"),
    "adversarial": ("demographic_parity", "equalized_odds", "equal_opportunity"),
    "thresholds": ("demographic_parity", "equalized_odds", "equal_opportunity"),
}

__all__ = [
    "BETA_SHARE",
    "METHOD_NAMES",
    "WEIGHTED_METHODS",
    "LossConvention",
    "Method",
    "Penalty",
    "PostProcess",
    "Step",
    "StepResult",
    "bounded_weights",
    "build_method",
    "default_schedule",
    "default_weights",
    "supported_gaps",
]


def supported_gaps(method: str, n_classes: int = 2) -> tuple[GapName, ...]:
    """The names of the gaps that a method can be trained for or, without a gap term, judged by.

    None where the method does not take as many classes.

    Raises:
        OptionError: if the method is unknown.
    """
    if method not in METHOD_NAMES:
        raise OptionError(unknown("method", method, METHOD_NAMES))
    names = _LIMITED_GAPS.get(method, GAP_NAMES)
    if n_classes == 2:
        return names
    return () if method in _TWO_CLASSES else tuple(name for name in names if name in CLASS_GAPS)


def default_weights(
    method: str,
    fairness_weight: float | None = None,
    alignment_weight: float | None = None,
    *,
    gap_bound: float | None = None,
) -> tuple[float, float]:
    """Lambda and beta, where one is not given and the method uses it: 0.2, and a tenth of lambda.

    A weight that the method does not use, or that a gap bound is to find, is 0 if it is not given.
    """
    if fairness_weight is None:
        used = method in WEIGHTED_METHODS and gap_bound is None
        fairness_weight = DEFAULT_LAMBDA if used else 0.0
    if alignment_weight is None:
        alignment_weight = BETA_SHARE * fairness_weight if method == "dralign" else 0.0
    return fairness_weight, alignment_weight


def default_schedule(method: str, alignment_every: int | None = None) -> int:
    """How often ``dralign`` aligns, where it is not given: on every eighth step.

    It is the cheapest setting that was tried; docs/speed.md says what it may lose against the
    paper's, every step. Other methods align nothing, and have 1.
    """
    if alignment_every is None:
        return DEFAULT_EVERY if method == "dralign" else 1
    return alignment_every


def bounded_weights(
    method: str, fairness_weight: float, alignment_weight: float
) -> tuple[float, float]:
    """The weights of a method whose lambda a gap bound finds: 1, and a tenth of it as beta.

    Training multiplies both by the lambda of the step, so beta follows it.

    Raises:
        OptionError: if the method has no lambda, or a weight is given beside the bound.
    """
    if method not in WEIGHTED_METHODS:
        raise OptionError(
            f"gap_bound: the method {method!r} has no weight to find; methods that have one: "
            f"{', '.join(WEIGHTED_METHODS)}"
        )
    if fairness_weight or alignment_weight:
        given = "fairness_weight" if fairness_weight else "alignment_weight"
        raise OptionError(f"{given}: gap_bound finds the weights; give one or the other")
    return 1.0, BETA_SHARE if method == "dralign" else 0.0


def build_method(
    name: str,
    *,
    gap: str = "demographic_parity",
    fairness_weight: float = 0.0,
    alignment_weight: float = 0.0,
    granularity: Granularity = "unit",
    layers: LayerChoice = "all",
    loss: LossConvention = "batch_mean",
    penalty: Penalty = "gap",
    mixup_layer: str | None = None,
    alignment_every: int = 1,
    aggregate: Aggregate = "max",
    n_classes: int = 2,
) -> Method:
    """The method of the given name; weights it does not use must be 0.

    Args:
        name: one of ``METHOD_NAMES``.
        gap: the gap it is trained for, or judged by; ``supported_gaps`` tells which.
        fairness_weight: lambda, for ``gap``, ``mixup`` and ``dralign``; alpha of ``adversarial``.
        alignment_weight: beta, for ``dralign``.
        granularity: of the rationales, for ``dralign``.
        layers: the layers to be aligned, for ``dralign``.
        loss: ``"batch_mean"`` as in the published code, or ``"group_sum"`` as in Algorithm 1.
        penalty: for ``dralign``, what lambda weighs: the gap, or Fair Mixup's penalty (A.8).
        mixup_layer: the name of the module whose output is mixed; None mixes the inputs.
        alignment_every: for ``dralign``, the alignment term enters every k-th step.
        aggregate: for ``gap``, ``mixup`` and ``dralign``, whether the largest difference of any two
            groups is made small (``"max"``) or the mean over pairs (``"mean"``).
        n_classes: the number of classes of the label.

    Raises:
        OptionError: if a name is unknown, the method does not support the gap or the classes, a
            weight is negative or not finite, or an option is not used by the method.
    """
    _check_gap(name, gap, penalty)
    if loss not in get_args(LossConvention):
        raise OptionError(unknown("loss convention", loss, get_args(LossConvention)))
    _check_used(name, fairness_weight, alignment_weight, penalty, mixup_layer)
    if alignment_every < 1:
        raise OptionError(f"alignment_every: expected at least 1, got {alignment_every}")
    if alignment_every > 1 and name != "dralign":
        raise OptionError(f"alignment_every: the method {name!r} does not align anything")
    if aggregate != "max" and name not in _COMPARE_PAIRS:
        raise OptionError(f"aggregate: the method {name!r} compares no pairs of groups")
    if n_classes > 2 and name in _TWO_CLASSES:
        raise OptionError(
            f"method: {name!r} needs two classes, the label has {n_classes}; choose another, or "
            "say which value is positive"
        )
    resolved = resolve_gap(gap, aggregate=aggregate, n_classes=n_classes)
    path = PathPenalty(resolved, mixup_layer)
    methods: dict[str, Method] = {
        "erm": Erm(resolved, loss),
        "oversample": oversample(resolved, loss),
        "gap": GapRegularisation(resolved, fairness_weight, loss),
        "mixup": FairMixup(path, fairness_weight, loss),
        "adversarial": Adversarial(resolved, fairness_weight, loss),
        "decorrelation": Decorrelation(resolved, loss),
        "thresholds": Thresholds(resolved, loss),
        "dralign": DRAlign(
            resolved,
            fairness_weight,
            alignment_weight,
            granularity,
            layers,
            loss,
            path if penalty == "mixup" else None,
            alignment_every,
        ),
    }
    return methods[name]


def _check_gap(name: str, gap: str, penalty: str) -> None:
    """Checks that the method and the penalty are known and can be trained for the gap.

    Raises:
        OptionError: if not.
    """
    supported = supported_gaps(name)
    if penalty not in get_args(Penalty):
        raise OptionError(unknown("penalty", penalty, get_args(Penalty)))
    if gap not in GAP_NAMES:
        raise OptionError(unknown("gap", gap, GAP_NAMES))
    if penalty == "mixup":
        supported = supported_gaps("mixup")
    if gap not in supported:
        what = name if penalty == "gap" else f"{name} with the mixup penalty"
        raise OptionError(f"gap: the method {what!r} supports {', '.join(supported)}, got {gap!r}")


def _check_used(
    name: str,
    fairness_weight: float,
    alignment_weight: float,
    penalty: str,
    mixup_layer: str | None,
) -> None:
    """Checks the weights, and that the method uses every option that is set.

    Raises:
        OptionError: if not.
    """
    weights = (
        ("fairness_weight", fairness_weight, name in WEIGHTED_METHODS),
        ("alignment_weight", alignment_weight, name == "dralign"),
    )
    for key, weight, used in weights:
        if not 0 <= weight < float("inf"):
            raise OptionError(f"{key}: expected a number from 0 up, got {weight}")
        if weight > LARGEST_WEIGHT:
            raise OptionError(f"{key}: {weight:g} is beyond what float32 can weigh; choose less")
        if weight and not used:
            raise OptionError(f"{key}: the method {name!r} does not use it, got {weight:g}")
    if penalty == "mixup" and name != "dralign":
        raise OptionError(f"penalty: only the method 'dralign' can swap it, got {name!r}")
    if mixup_layer is not None and name != "mixup" and penalty != "mixup":
        raise OptionError(
            f"mixup_layer: the method {name!r} does not mix anything, got {mixup_layer!r}"
        )
