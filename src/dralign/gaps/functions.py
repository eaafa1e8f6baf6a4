"""The gaps as functions, for a training loop of one's own; arguments are checked.

They are the same for all of them:

- ``prob``: (n,) probabilities of label 1, or (n, C) of C classes, in [0, 1], usually with a graph;
  half precision is summed in float32.
- ``group``: (n,) int64 codes 0..G-1; rows coded -1 take no part.
- ``label``: (n,) labels 0 or 1, or 0..C-1, of any dtype.
- ``n_groups``: the number of groups G.
- ``aggregate``: over pairs of groups, and over more than two classes, take the largest difference
  (``"max"``) or their mean (``"mean"``). Two classes, as (n, 2) probabilities, give what (n,) give.

The gap of the ranking takes ``logits`` in the place of ``prob``: (n,) log-odds, as a network with
one output returns, or (n, C) outputs; the score of a class is then its log-odds against the rest.
If only probabilities are at hand pass ``torch.logit(prob)``: probabilities are in the same order,
but crowded at 0 and 1.

A group or cell without rows is left out. Where fewer than two are left, the difference is 0 with
a zero gradient: never NaN, and never a constant outside the graph. A NaN among the probabilities or
scores gives NaN with NaN gradients, as torch's losses do, so that a gradient scaler or a check of
the loss sees it. A gap costs no pass through the network of its own.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor

from dralign.errors import DataError, OptionError, unknown
from dralign.gaps.gap import Aggregate, Gap, GapType, at_least_single
from dralign.gaps.ranking import CUTOFFS, RANKINGS, TEMPERATURE, SmoothSelection
from dralign.gaps.rates import (
    DEMOGRAPHIC_PARITY,
    EQUAL_OPPORTUNITY,
    EQUALIZED_ODDS,
    PREDICTIVE_PARITY,
)
from dralign.gaps.registry import resolved
from dralign.groups import check_group
from dralign.networks import require_tensor

_SLACK = 1e-3  # a probability may pass 0 or 1 by half-precision rounding


def demographic_parity_gap(
    prob: Tensor, group: Tensor, *, n_groups: int, aggregate: Aggregate = "max"
) -> Tensor:
    """|E[f | a=0] - E[f | a=1]| (Eq. 1), a scalar in [0, 1]; 0 is parity.

    ``prob`` may be (n, C).

    Raises:
        DataError: if ``prob`` holds no probabilities or not one a row.
        GroupTypeError: if ``group`` is not int64.
        GroupError: if a code is out of range.
        OptionError: if ``aggregate`` is unknown.
    """
    return _checked_gap(DEMOGRAPHIC_PARITY, prob, group, None, n_groups, aggregate)


def equalized_odds_gap(
    prob: Tensor, group: Tensor, *, label: Tensor, n_groups: int, aggregate: Aggregate = "max"
) -> Tensor:
    """Sum over y of |E[f | a=0, y] - E[f | a=1, y]| (Eq. 2), a scalar in [0, 2]; 0 is parity.

    The labels are added, not compared: fairlearn's equalized odds difference takes the larger.
    ``prob`` may be (n, C); the top is then C.

    Raises:
        DataError: if ``prob`` or ``label`` is not as the module says.
        GroupTypeError: if ``group`` is not int64.
        GroupError: if a code is out of range.
        OptionError: if ``aggregate`` is unknown.
    """
    return _checked_gap(EQUALIZED_ODDS, prob, group, label, n_groups, aggregate)


def equal_opportunity_gap(
    prob: Tensor, group: Tensor, *, label: Tensor, n_groups: int, aggregate: Aggregate = "max"
) -> Tensor:
    """|E[f | a=0, y=1] - E[f | a=1, y=1]|, a scalar in [0, 1]; 0 is parity.

    The paper prints it without the absolute value (A.11).

    Raises:
        DataError: if ``prob`` or ``label`` is not as the module says.
        GroupTypeError: if ``group`` is not int64.
        GroupError: if a code is out of range.
        OptionError: if ``aggregate`` is unknown.
    """
    return _checked_gap(EQUAL_OPPORTUNITY, prob, group, label, n_groups, aggregate)


def predictive_parity_gap(
    prob: Tensor, group: Tensor, *, label: Tensor, n_groups: int, aggregate: Aggregate = "max"
) -> Tensor:
    """|E[y f | a=0] / E[f | a=0] - E[y f | a=1] / E[f | a=1]|, a scalar in [0, 1]; 0 is parity.

    The soft form of |p(y=1 | a=0, yhat=1) - p(y=1 | a=1, yhat=1)|. The surrogate printed in A.11 is
    another quantity, called ``"printed_predictive_parity"``: the demographic parity gap of the
    batch. A group whose probabilities are all 0 is left out.

    Raises:
        DataError: if ``prob`` or ``label`` is not as the module says.
        GroupTypeError: if ``group`` is not int64.
        GroupError: if a code is out of range.
        OptionError: if ``aggregate`` is unknown.
    """
    return _checked_gap(PREDICTIVE_PARITY, prob, group, label, n_groups, aggregate)


def smooth_all_cutoffs_gap(
    logits: Tensor,
    group: Tensor,
    *,
    n_groups: int,
    label: Tensor | None = None,
    gap: str = "demographic_parity",
    cutoffs: int = CUTOFFS,
    temperature: float = TEMPERATURE,
    aggregate: Aggregate = "max",
) -> Tensor:
    """The mean over cut-offs of the gap there, smoothed (Eq. 32); a scalar, 0 is parity.

    In [0, 1]; equalized odds, which adds the labels (Eq. 2), in [0, C]. As ``cutoffs`` grows and
    ``temperature`` falls it becomes :func:`dralign.metrics.all_cutoffs_gap`; as it is it is called
    ``"all_cutoffs_demographic_parity"`` and so on where a gap is chosen by name.

    Args:
        logits: (n,) or (n, C) scores.
        group: (n,) int64 codes.
        n_groups: the number of groups.
        label: (n,) labels; not needed for demographic parity.
        gap: demographic parity, equalized odds or equal opportunity; with more than two classes one
            of the first two.
        cutoffs: the number of shares, evenly spaced: (k - 1/2) / cutoffs.
        temperature: the width of a cut-off in units of the scores' distance around it.
        aggregate: the largest difference over pairs of groups and over classes, or the mean.

    Raises:
        DataError: if ``logits`` or ``label`` is not as the module says.
        GroupTypeError: if ``group`` is not int64.
        GroupError: if a code is out of range.
        OptionError: if an option is unknown or out of range.
    """
    known = {kind.figures_of: kind for kind in RANKINGS}
    if gap not in known:
        raise OptionError(unknown("gap of a ranking", gap, known))
    if cutoffs < 1:
        raise OptionError(f"cutoffs: expected at least 1, got {cutoffs}")
    if not 0 < temperature < float("inf"):
        raise OptionError(f"temperature: expected a positive number, got {temperature}")
    kind = replace(known[gap], scores=SmoothSelection(cutoffs, float(temperature)))
    require_tensor("logits", logits)
    smooth = resolved(kind, aggregate, logits.shape[1] if logits.ndim == 2 else 2)
    _check_logits(logits, group, label, smooth, n_groups)
    if bool(logits.isnan().any()):
        return _nan_of(logits)
    return smooth(smooth.of_rows(logits), group, group if label is None else label, n_groups)


def _checked_gap(
    kind: GapType,
    prob: Tensor,
    group: Tensor,
    label: Tensor | None,
    n_groups: int,
    aggregate: Aggregate,
) -> Tensor:
    """A gap of probabilities; a gap that reads no label is given none."""
    require_tensor("prob", prob)
    gap = resolved(kind, aggregate, prob.shape[1] if prob.ndim == 2 else 2)
    if _check(prob, group, label, n_groups):
        return _nan_of(prob)
    return gap(prob, group, group if label is None else label, n_groups)


def _nan_of(of_rows: Tensor) -> Tensor:
    """NaN, a scalar, whose gradients are NaN too."""
    return at_least_single(of_rows).sum() * float("nan")


def _check(prob: Tensor, group: Tensor, label: Tensor | None, n_groups: int) -> bool:
    """Checks the arguments of a public gap.

    Returns:
        Whether a probability is NaN.

    Raises:
        DataError: if ``prob`` or ``label`` is not as the module says.
    """
    n_classes = prob.shape[1] if prob.ndim == 2 else 2
    if prob.ndim not in {1, 2} or n_classes < 2 or not prob.is_floating_point():
        raise DataError(
            "prob: expected a vector of probabilities, or a column for each of two or more "
            f"classes, got shape {tuple(prob.shape)} of {prob.dtype}"
        )
    n = len(prob)
    check_group(group, n_rows=n, n_groups=n_groups)
    low = 0.0
    if n:
        low, high = map(float, prob.detach().aminmax())  # both are NaN where one value is
        if low < -_SLACK or high > 1 + _SLACK:
            fix = "sigmoid(logits)" if prob.ndim == 1 else "softmax(logits, dim=1)"
            raise DataError(
                f"prob: expected probabilities in [0, 1], got {low:g} to {high:g}; pass torch.{fix}"
            )
    if label is not None:
        check_label(label, n_rows=n, n_classes=n_classes)
    return math.isnan(low)


def _check_logits(
    logits: Tensor, group: Tensor, label: Tensor | None, gap: Gap, n_groups: int
) -> None:
    """Checks the arguments of the public function.

    Raises:
        DataError: if ``logits`` or ``label`` is not as the module says.
    """
    if logits.ndim not in {1, 2} or gap.n_classes < 2 or not logits.is_floating_point():
        raise DataError(
            "logits: expected a vector of scores, or a column for each of two or more classes, "
            f"got shape {tuple(logits.shape)} of {logits.dtype}"
        )
    n = len(logits)
    check_group(group, n_rows=n, n_groups=n_groups)
    if bool(torch.isinf(logits).any()):
        raise DataError("logits: some are infinite; of probabilities pass torch.logit(prob, 1e-6)")
    if label is None:
        if gap.conditions_on_label:
            raise DataError(f"label: {gap.judged_by} needs the labels, got none")
        return
    require_tensor("label", label)
    if label.shape != (n,):
        raise DataError(f"label: expected shape ({n},), got {tuple(label.shape)}")
    known = torch.arange(gap.n_classes, device=label.device)
    if not bool((label[:, None] == known).any(1).all()):
        expected = "0 and 1" if gap.n_classes == 2 else f"0 to {gap.n_classes - 1}"
        raise DataError(f"label: expected {expected}, got {label.unique()[:5].tolist()}")


def check_label(label: Tensor, *, n_rows: int, n_classes: int) -> Tensor:
    """The labels as int64, after a check that they are 0..C-1, one per row.

    Of whole numbers the smallest and the largest are looked at, which takes microseconds and waits
    for a GPU once.

    Raises:
        DataError: if they are not.
    """
    require_tensor("label", label)
    if label.shape != (n_rows,):
        raise DataError(f"label: expected shape ({n_rows},), got {tuple(label.shape)}")
    whole = label.to(torch.int64)
    if not n_rows:
        return whole
    extremes = [*whole.aminmax()]
    if label.is_floating_point():
        extremes.append((whole != label).any().to(torch.int64))  # NaN differs from any
    low, high, *unequal = torch.stack(extremes).tolist()
    if low < 0 or high >= n_classes or any(unequal):
        expected = "0 and 1" if n_classes == 2 else f"0 to {n_classes - 1}"
        raise DataError(f"label: expected {expected}, got {label.unique()[:5].tolist()}")
    return whole
