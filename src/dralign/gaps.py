"""Gaps: differentiable differences between groups in the predicted probability of label 1.

Every gap compares a rate between groups, and every rate is a weighted mean over the rows of a
group, sum w v / sum w, of a value v with a weight w (f is the probability, y the label):

=========================  =======  ==============
gap                        value    weights
=========================  =======  ==============
demographic_parity         f        1
equalized_odds             f        1 - y, then y
equal_opportunity          f        y
predictive_parity          y        f
printed_predictive_parity  f        1
=========================  =======  ==============

The last is the surrogate printed in A.11, Eq. 22: the demographic parity of batches in which every
label of a group has the same number of rows. It is chosen by name only; as a function it is
``demographic_parity_gap`` of such a batch.

With more than two classes demographic parity and equalized odds are taken for every class c, with
f_c in the place of f and a stratum per label, and of the classes the largest or the mean is taken
within each stratum (Eq. 23). Two classes, as (n, 2) probabilities, give what (n,) give.

The arguments are the same for all of them:

- ``prob``: (n,) probabilities of label 1, or (n, C) of C classes, in [0, 1], usually with a graph;
  half precision is summed in float32.
- ``group``: (n,) int64 codes 0..G-1; rows coded -1 take no part.
- ``label``: (n,) labels 0 or 1, or 0..C-1, of any dtype.
- ``n_groups``: the number of groups G.
- ``aggregate``: over pairs of groups, and over more than two classes, take the largest difference
  (``"max"``) or their mean (``"mean"``).

A group or cell without rows is left out. Where fewer than two are left, the difference is 0 with
a zero gradient: never NaN, and never a constant outside the graph. A gap costs no pass through the
network of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, get_args

import torch
from torch import Tensor

from dralign.errors import DataError, ModelError, OptionError, unknown
from dralign.groups import check_group

GapName = Literal[
    "demographic_parity",
    "equalized_odds",
    "equal_opportunity",
    "predictive_parity",
    "printed_predictive_parity",
]
Aggregate = Literal["max", "mean"]
GAP_NAMES: Final[tuple[GapName, ...]] = get_args(GapName)
CLASS_GAPS: Final[tuple[GapName, ...]] = ("demographic_parity", "equalized_odds")

_AGGREGATES: Final[tuple[Aggregate, ...]] = get_args(Aggregate)
_SLACK = 1e-3  # a probability may pass 0 or 1 by half-precision rounding
_Terms = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Gap:
    """One gap, as a method asks for it.

    Attributes:
        name: what it is called everywhere.
        strata: the labels within which groups are aligned with each other (paper, 4.3, A.2 and
            A.11); None stands for all rows.
        aggregate: how pairs of groups, and classes, become one number.
        n_classes: the number of classes C.
    """

    name: GapName
    strata: tuple[int | None, ...]
    aggregate: Aggregate = "max"
    n_classes: int = 2

    @property
    def conditions_on_label(self) -> bool:
        """Whether every group must have rows of every label: all gaps but demographic parity."""
        return self.name != "demographic_parity"

    @property
    def judged_by(self) -> str:
        """The gap whose figures, of decisions and rankings, a network trained for it is judged by.

        Its own name but for a gap that is another form of one to be trained with.
        """
        return judged_by(self.name)

    def __call__(self, prob: Tensor, group: Tensor, label: Tensor, n_groups: int) -> Tensor:
        """The gap, a scalar, of arguments that are already checked.

        A training loop calls this form: unlike the functions it never waits for the device.

        Raises:
            ModelError: if the probabilities are not those of ``n_classes`` classes.
        """
        n_classes = 2 if prob.ndim == 1 else prob.shape[1]
        if n_classes != self.n_classes:
            raise ModelError(
                f"the network tells {n_classes} classes apart, the labels have {self.n_classes}"
            )
        prob = _at_least_single(prob)
        if prob.ndim == 1:
            return self._by_stratum(prob, group, label, n_groups).sum()
        by_class = [self._by_stratum(f, group, label, n_groups) for f in prob.unbind(1)]
        apart = torch.stack(by_class)  # (classes, strata)
        return (apart.amax(0) if self.aggregate == "max" else apart.mean(0)).sum()

    def _by_stratum(self, prob: Tensor, group: Tensor, label: Tensor, n_groups: int) -> Tensor:
        """The differences between groups in the probability of one class: (n,) -> (strata,)."""
        value, weights = _TERMS[self.name](prob, label, self.n_classes)  # (n,), (strata, n)
        codes = torch.arange(n_groups, device=group.device)
        cells = weights[:, None] * (group == codes[:, None])  # (strata, groups, n)
        size = cells.sum(-1)  # (strata, groups)
        present = size > 0
        # Products and sums, not a matrix product: autocast would round that to half precision.
        rate = (cells * value).sum(-1) / torch.where(present, size, torch.ones_like(size))
        return _over_pairs(rate, present, self.aggregate)


def resolve_gap(name: str, *, aggregate: str = "max", n_classes: int = 2) -> Gap:
    """The gap called ``name``, for any number of groups and for ``n_classes`` classes.

    Raises:
        OptionError: if ``name`` or ``aggregate`` is unknown, or the gap needs two classes.
    """
    if name not in GAP_NAMES:
        raise OptionError(unknown("gap", name, GAP_NAMES))
    if aggregate not in _AGGREGATES:
        raise OptionError(unknown("aggregate", aggregate, _AGGREGATES))
    if n_classes > 2 and name not in CLASS_GAPS:
        raise OptionError(
            f"gap: {name!r} needs two classes, the label has {n_classes}; choose "
            f"{' or '.join(CLASS_GAPS)}, or say which value is positive"
        )
    strata = tuple(range(n_classes)) if name == "equalized_odds" else _STRATA[name]
    return Gap(name, strata, aggregate, n_classes)


def judged_by(name: str) -> str:
    """The gap whose figures a network trained for the gap called ``name`` is judged by.

    Records have figures of these gaps alone, under keys such as ``soft_demographic_parity``.

    Raises:
        OptionError: if the gap is unknown.
    """
    return resolve_gap(name).name


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
    gap = _resolve_for("demographic_parity", prob, aggregate)
    _check(prob, group, None, n_groups)
    return gap(prob, group, group, n_groups)  # this gap reads no label


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
    gap = _resolve_for("equalized_odds", prob, aggregate)
    _check(prob, group, label, n_groups)
    return gap(prob, group, label, n_groups)


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
    gap = _resolve_for("equal_opportunity", prob, aggregate)
    _check(prob, group, label, n_groups)
    return gap(prob, group, label, n_groups)


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
    gap = _resolve_for("predictive_parity", prob, aggregate)
    _check(prob, group, label, n_groups)
    return gap(prob, group, label, n_groups)


def _demographic_parity(prob: Tensor, _label: Tensor, _n_classes: int) -> tuple[Tensor, Tensor]:
    return prob, torch.ones_like(prob)[None]


def _equalized_odds(prob: Tensor, label: Tensor, n_classes: int) -> tuple[Tensor, Tensor]:
    strata = torch.arange(n_classes, device=label.device)
    return prob, (label == strata[:, None]).to(prob.dtype)


def _equal_opportunity(prob: Tensor, label: Tensor, _n_classes: int) -> tuple[Tensor, Tensor]:
    return prob, label.to(prob.dtype)[None]


def _predictive_parity(prob: Tensor, label: Tensor, _n_classes: int) -> tuple[Tensor, Tensor]:
    return label.to(prob.dtype), prob[None]


_TERMS: Final[dict[GapName, _Terms]] = {
    "demographic_parity": _demographic_parity,
    "equalized_odds": _equalized_odds,
    "equal_opportunity": _equal_opportunity,
    "predictive_parity": _predictive_parity,
    "printed_predictive_parity": _demographic_parity,
}
_STRATA: Final[dict[GapName, tuple[int | None, ...]]] = {
    "demographic_parity": (None,),
    "equal_opportunity": (1,),
    "predictive_parity": (0, 1),
    "printed_predictive_parity": (0, 1),
}


def _at_least_single(prob: Tensor) -> Tensor:
    """Probabilities in a precision in which a batch can be summed."""
    return prob.float() if prob.dtype in {torch.float16, torch.bfloat16} else prob


def _over_pairs(rate: Tensor, present: Tensor, aggregate: Aggregate) -> Tensor:
    """The difference of rates over pairs of present groups: (strata, groups) -> (strata,)."""
    pair = present[:, :, None] & present[:, None, :]  # (strata, groups, groups)
    apart = (rate[:, :, None] - rate[:, None, :]).abs() * pair
    if aggregate == "max":
        return apart.amax((1, 2))
    n_present = present.sum(1)
    return apart.sum((1, 2)) / (n_present * (n_present - 1)).clamp(min=1)


def _resolve_for(name: GapName, prob: Tensor, aggregate: Aggregate) -> Gap:
    """The gap for as many classes as ``prob`` has columns."""
    return resolve_gap(name, aggregate=aggregate, n_classes=prob.shape[1] if prob.ndim == 2 else 2)


def _check(prob: Tensor, group: Tensor, label: Tensor | None, n_groups: int) -> None:
    """Checks the arguments of a public gap.

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
    if n:
        low, high = map(float, prob.detach().aminmax())
        if not (low >= -_SLACK and high <= 1 + _SLACK):  # also true for NaN
            fix = "sigmoid(logits)" if prob.ndim == 1 else "softmax(logits, dim=1)"
            raise DataError(
                f"prob: expected probabilities in [0, 1], got {low:g} to {high:g}; pass torch.{fix}"
            )
    if label is not None:
        check_label(label, n_rows=n, n_classes=n_classes)


def check_label(label: Tensor, *, n_rows: int, n_classes: int) -> Tensor:
    """The labels as int64, after a check that they are 0..C-1, one per row.

    Of whole numbers the smallest and the largest are looked at, which takes microseconds and waits
    for a GPU once.

    Raises:
        DataError: if they are not.
    """
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
