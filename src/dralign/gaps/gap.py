"""Gaps: what is compared between groups, each declared once, and how training computes them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import torch
from torch import Tensor

from dralign.errors import ModelError
from dralign.networks import probability

Aggregate = Literal["max", "mean"]
AGGREGATES: Final[tuple[Aggregate, ...]] = get_args(Aggregate)

# (scores, labels, number of classes) to the value and its weights, one for each difference.
Terms = Callable[[Any, Any, int], tuple[Any, tuple[Any, ...]]]


def at_least_single(x: Tensor) -> Tensor:
    """The same in a precision in which a batch can be summed."""
    return x.float() if x.dtype in {torch.float16, torch.bfloat16} else x


def as_they_are(of_rows: Tensor, group: Tensor) -> Tensor:  # noqa: ARG001 - others look at it
    """The scores of soft gaps: what is read of a row."""
    return of_rows


@dataclass(frozen=True)
class GapType:
    """A gap: differences between groups in a rate, a weighted mean of a value over rows.

    Attributes:
        name: by which users choose it.
        words: what it is called in tables, titles and pages.
        strata: the labels within which groups are compared, and aligned with each other (paper,
            4.3, A.2 and A.11), None standing for all rows; or None for a stratum per label. The
            differences are added up over them.
        terms: the value v and the weights w of the rate sum w v / sum w, made of scores f and
            labels y, where it is another than the mean of f in each of the strata. The operators in
            it are those that torch and numpy share, as the same gap is trained with tensors and
            recorded with arrays. Both have the shape (n,), f may also be (..., n); a weight may be
            of bools, or None for 1. Each weight makes a difference.
        more_classes: whether it is defined for more than two classes (Eq. 23).
        of_rows: what is read of each row in training, from the network's output: (n,), or (n, C) of
            more than two classes.
        scores: what f is in training, from all that was read of a batch and the rows' groups:
            (..., n), or (..., n, C). Over the dimensions before n the mean of the gap is taken.
            With an attribute ``takes_weights`` that is true it gets, of weighted rows, what each
            counts as well, (n,).
        figures_of: the gap by whose figures a network that is trained for it is judged; its own if
            empty. Only such gaps have figures in records.
        labels_alike: whether its batches, in which a group's labels weigh the same, are what it is
            defined on. In figures of rows of any mixture a rate is then a mean over the labels.
    """

    name: str
    words: str
    strata: tuple[int | None, ...] | None = (None,)
    terms: Terms | None = None
    more_classes: bool = False
    of_rows: Callable[[Tensor], Tensor] = probability
    scores: Callable[..., Tensor] = as_they_are
    figures_of: str = ""
    labels_alike: bool = False

    def strata_of(self, n_classes: int) -> tuple[int | None, ...]:
        """The labels within which groups are compared; None stands for all rows."""
        return tuple(range(n_classes)) if self.strata is None else self.strata

    @property
    def takes_weights(self) -> bool:
        """Whether rows can be weighted: a gap with scores of its own says so by their attribute."""
        return self.scores is as_they_are or bool(getattr(self.scores, "takes_weights", False))

    @property
    def of_order(self) -> bool:
        """Whether the order of the scores has such a gap: at a cut-off f is who is selected."""
        return self.terms is None or self.labels_alike

    def weighted(self, f: Any, y: Any, n_classes: int) -> tuple[Any, tuple[Any, ...]]:  # noqa: ANN401
        """The value and the weights of its rates, of tensors or arrays; see ``terms``."""
        if self.terms is not None:
            return self.terms(f, y, n_classes)
        strata = self.strata_of(n_classes)
        return f, tuple(None if label is None else y == label for label in strata)


@dataclass(frozen=True)
class Gap:
    """A gap as a method asks for it, for groups and classes of any number.

    Attributes:
        kind: which gap.
        aggregate: how pairs of groups, and classes, become one number.
        n_classes: the number of classes C.
    """

    kind: GapType
    aggregate: Aggregate = "max"
    n_classes: int = 2

    def __repr__(self) -> str:
        """The same in every process: checkpoints tell runs apart by it."""
        return (
            f"Gap(name={self.name!r}, strata={self.strata}, aggregate={self.aggregate!r}, "
            f"n_classes={self.n_classes})"
        )

    @property
    def name(self) -> str:
        """What it is called everywhere."""
        return self.kind.name

    @property
    def judged_by(self) -> str:
        """The gap whose figures, of decisions and rankings, a network trained for it is judged by.

        Its own name but for a gap that is another form of one to be trained with.
        """
        return self.kind.figures_of or self.kind.name

    @property
    def strata(self) -> tuple[int | None, ...]:
        """The labels within which groups are aligned with each other; None stands for all rows."""
        return self.kind.strata_of(self.n_classes)

    @property
    def conditions_on_label(self) -> bool:
        """Whether every group must have rows of every label."""
        return self.strata != (None,)

    def of_rows(self, logits: Tensor) -> Tensor:
        """What it reads of each row: probabilities, or log-odds; (n,), or (n, C) of C > 2."""
        return self.kind.of_rows(logits)

    def __call__(
        self,
        of_rows: Tensor,
        group: Tensor,
        label: Tensor,
        n_groups: int,
        weight: Tensor | None = None,
    ) -> Tensor:
        """The gap, a scalar, of arguments that are already checked.

        A training loop calls this form: unlike the functions it never waits for the device.

        Args:
            of_rows: what ``of_rows`` returned for all rows, which may be parts put together.
            group: (n,) int64 codes; rows coded -1 take no part.
            label: (n,) labels.
            n_groups: the number of groups.
            weight: (n,) what each row counts; None where rows are not weighted.

        Raises:
            ModelError: if the network does not tell ``n_classes`` classes apart.
        """
        n_classes = 2 if of_rows.ndim == 1 else of_rows.shape[1]
        if n_classes != self.n_classes:
            raise ModelError(
                f"the network tells {n_classes} classes apart, the labels have {self.n_classes}"
            )
        counted = () if weight is None or self.kind.scores is as_they_are else (weight,)
        scores = self.kind.scores(at_least_single(of_rows), group, *counted)
        rows = group, label, n_groups, weight
        if of_rows.ndim == 1:
            return self._differences(scores, *rows).sum()
        by_class = [self._differences(f, *rows) for f in scores.unbind(-1)]
        stacked = torch.stack(by_class)  # (classes, differences)
        return (stacked.amax(0) if self.aggregate == "max" else stacked.mean(0)).sum()

    def _differences(
        self,
        scores: Tensor,
        group: Tensor,
        label: Tensor,
        n_groups: int,
        weight: Tensor | None,
    ) -> Tensor:
        """The differences between groups in the scores of one class: (..., n) -> (weights,)."""
        value, weights = self.kind.weighted(scores, label, self.n_classes)
        codes = torch.arange(n_groups, device=group.device)
        of_group = (group == codes[:, None]).to(scores.dtype)  # (groups, n)
        if weight is not None:
            of_group = of_group * weight.to(scores.dtype)
        cells = torch.stack(  # (..., weights, groups, n)
            [
                of_group if w is None else w.to(scores.dtype)[..., None, :] * of_group
                for w in weights
            ],
            dim=-3,
        )
        size = cells.sum(-1)  # (..., weights, groups)
        present = size > 0
        # Products and sums, not a matrix product: autocast would round that to half precision.
        total = (cells * value.to(scores.dtype)[..., None, None, :]).sum(-1)
        rate = total / torch.where(present, size, torch.ones_like(size))
        apart = over_pairs(rate, present, self.aggregate)
        return apart.flatten(0, -2).mean(0) if apart.ndim > 1 else apart


def over_pairs(rate: Tensor, present: Tensor, aggregate: Aggregate) -> Tensor:
    """The difference of rates over pairs of present groups: (..., groups) -> (...)."""
    if present.shape[-1] == 2:  # one pair: the largest and the mean, in fewer operations
        return (rate[..., 0] - rate[..., 1]).abs() * present.all(-1)
    pair = present[..., :, None] & present[..., None, :]  # (..., groups, groups)
    apart = (rate[..., :, None] - rate[..., None, :]).abs() * pair
    if aggregate == "max":
        return apart.amax((-1, -2))
    n_present = present.sum(-1)
    return apart.sum((-1, -2)) / (n_present * (n_present - 1)).clamp(min=1)
