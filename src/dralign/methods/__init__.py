"""Methods: the ways to train, one file each, built by name in one place."""

from typing import get_args

from dralign.errors import OptionError, unknown
from dralign.gaps import resolve_gap
from dralign.methods.base import LossConvention, Method, Step, StepResult
from dralign.methods.dralign import DRAlign
from dralign.methods.erm import Erm
from dralign.methods.gap import GapRegularisation
from dralign.methods.oversample import oversample
from dralign.rationale import Granularity, LayerChoice

METHOD_NAMES = ("erm", "oversample", "gap", "dralign")

__all__ = ["METHOD_NAMES", "LossConvention", "Method", "Step", "StepResult", "build_method"]


def build_method(
    name: str,
    *,
    gap: str = "demographic_parity",
    fairness_weight: float = 0.0,
    alignment_weight: float = 0.0,
    granularity: Granularity = "unit",
    layers: LayerChoice = "all",
    loss: LossConvention = "batch_mean",
) -> Method:
    """The method of the given name; weights it does not use must be 0.

    Args:
        name: one of ``METHOD_NAMES``.
        gap: the gap it is trained for, or judged by.
        fairness_weight: lambda, for ``gap`` and ``dralign``.
        alignment_weight: beta, for ``dralign``.
        granularity: of the rationales, for ``dralign``.
        layers: the layers to be aligned, for ``dralign``.
        loss: ``"batch_mean"`` as in the published code, or ``"group_sum"`` as in Algorithm 1.

    Raises:
        OptionError: if a name is unknown, or a weight is negative, not finite or not used.
    """
    if name not in METHOD_NAMES:
        raise OptionError(unknown("method", name, METHOD_NAMES))
    if loss not in get_args(LossConvention):
        raise OptionError(unknown("loss convention", loss, get_args(LossConvention)))
    used = {"gap": {"fairness_weight"}, "dralign": {"fairness_weight", "alignment_weight"}}
    for key, weight in (
        ("fairness_weight", fairness_weight),
        ("alignment_weight", alignment_weight),
    ):
        if not 0 <= weight < float("inf"):
            raise OptionError(f"{key}: expected a number from 0 up, got {weight}")
        if weight and key not in used.get(name, set()):
            raise OptionError(f"{key}: the method {name!r} does not use it, got {weight:g}")
    resolved = resolve_gap(gap)
    if name == "erm":
        return Erm(resolved, loss)
    if name == "oversample":
        return oversample(resolved, loss)
    if name == "gap":
        return GapRegularisation(resolved, fairness_weight, loss)
    return DRAlign(resolved, fairness_weight, alignment_weight, granularity, layers, loss)
