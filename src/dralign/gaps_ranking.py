"""A gap of the ranking that can be trained: the all-cut-offs gap, smoothed (Eq. 32 to Eq. 34).

The soft gaps of :mod:`dralign.gaps` get smaller when every probability gets smaller. This one does
not change, nor does its gradient ask for a change, when all scores are shifted or multiplied by a
positive number: it asks for another order. It is the trainable form of
:func:`dralign.metrics.all_cutoffs_gap`.

For each of K shares q of the batch there is a cut-off t and a width h, and a row with score z is
selected to the degree sigmoid((z - t) / h):

- t is where the degrees of all rows have the mean q (Eq. 33), so exactly the share q is selected,
  rows that tie by the same fraction. It is *not* detached: with t fixed the gradient would have a
  part that shifts all scores at once, which changes no order.
- h is ``temperature`` times the distance of the scores around the cut-off (Eq. 34), not detached
  either, for the same reason and multiplication. It is a *local* distance: with one spread for all,
  a few huge scores would blur every cut-off, and the gap would look small.

The arguments:

- ``logits``: (n,) scores, usually with a graph; log-odds, as a network with one output returns. If
  only probabilities are at hand pass ``torch.logit(prob)``: probabilities are in the same order,
  but crowded at 0 and 1. Or (n, C) outputs of C classes; the score of a class is then its log-odds
  against the rest, and "all scores" above means these.
- ``group``, ``label``, ``n_groups``, ``aggregate``: as in :mod:`dralign.gaps`. Rows coded -1 take
  no part, also not in the shares. The shares are those of the *batch*: where groups are drawn
  equally often each has the same weight in them.

A group or cell without rows is left out; with fewer than two left the gap is 0, its gradient too.
Half precision is computed in float32. The gap costs no pass through the network of its own.
"""

from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from dralign.errors import DataError, ModelError, OptionError, unknown
from dralign.gaps import Aggregate, GapName, resolve_gap
from dralign.groups import check_group

RANKING_GAPS: Final[tuple[GapName, ...]] = (
    "demographic_parity",
    "equalized_odds",
    "equal_opportunity",
)
CUTOFFS: Final = 15
TEMPERATURE: Final = 1.0

_FLOOR: Final = 0.01  # the part of the whole spread that a width has at least, where scores tie
_STEPS: Final = 7  # of Newton's method; six leave less than 1e-7 at the default


@dataclass(frozen=True)
class SmoothRankingGap:
    """The smoothed all-cut-offs gap, as a method asks for it.

    Attributes:
        name: which gap is taken at every cut-off.
        strata: the labels within which groups are compared; None stands for all rows.
        aggregate: how pairs of groups, and classes, become one number.
        n_classes: the number of classes C.
        cutoffs: the number of shares K.
        temperature: how wide a cut-off is; at 1 it reaches to the next ones.
    """

    name: GapName
    strata: tuple[int | None, ...]
    aggregate: Aggregate = "max"
    n_classes: int = 2
    cutoffs: int = CUTOFFS
    temperature: float = TEMPERATURE

    def __call__(self, logits: Tensor, group: Tensor, label: Tensor, n_groups: int) -> Tensor:
        """The gap, a scalar, of arguments that are already checked; never waits for the device.

        Raises:
            ModelError: if the scores are not those of ``n_classes`` classes.
        """
        n_classes = 2 if logits.ndim == 1 else logits.shape[1]
        if n_classes != self.n_classes:
            raise ModelError(
                f"the network tells {n_classes} classes apart, the labels have {self.n_classes}"
            )
        if logits.dtype in {torch.float16, torch.bfloat16}:
            logits = logits.float()
        if not len(logits):
            return logits.sum()
        if logits.ndim == 1:
            return self._by_stratum(logits, group, label, n_groups).sum()
        by_class = [self._by_stratum(z, group, label, n_groups) for z in _log_odds(logits)]
        apart = torch.stack(by_class)  # (classes, strata)
        return (apart.amax(0) if self.aggregate == "max" else apart.mean(0)).sum()

    def _by_stratum(self, score: Tensor, group: Tensor, label: Tensor, n_groups: int) -> Tensor:
        """The mean over cut-offs of the differences between groups: (n,) -> (strata,)."""
        known = (group >= 0).to(score.dtype)
        selected = _selected(score, known, self.cutoffs, self.temperature)  # (cutoffs, n)
        codes = torch.arange(n_groups, device=group.device)
        inside = [label == y if y is not None else torch.ones_like(group) for y in self.strata]
        cells = torch.stack(inside)[:, None] * (group == codes[:, None])  # (strata, groups, n)
        size = cells.sum(-1)  # (strata, groups)
        present = size > 0
        # Products and sums, not a matrix product: autocast would round that to half precision.
        rate = (selected[:, None, None] * cells).sum(-1) / size.clamp(min=1)
        return _over_pairs(rate, present, self.aggregate).mean(0)


def smooth_all_cutoffs_gap(
    logits: Tensor,
    group: Tensor,
    *,
    n_groups: int,
    label: Tensor | None = None,
    gap: GapName = "demographic_parity",
    cutoffs: int = CUTOFFS,
    temperature: float = TEMPERATURE,
    aggregate: Aggregate = "max",
) -> Tensor:
    """The mean over cut-offs of the gap there, smoothed (Eq. 32); a scalar, 0 is parity.

    In [0, 1]; equalized odds, which adds the labels (Eq. 2), in [0, C]. As ``cutoffs`` grows and
    ``temperature`` falls it becomes :func:`dralign.metrics.all_cutoffs_gap`. Arguments as the
    module says.

    Args:
        logits: (n,) or (n, C) scores.
        group: (n,) int64 codes.
        n_groups: the number of groups.
        label: (n,) labels; not needed for demographic parity.
        gap: one of :data:`RANKING_GAPS`; with more than two classes one of the first two.
        cutoffs: the number of shares, evenly spaced: (k - 1/2) / cutoffs.
        temperature: the width of a cut-off in units of the scores' distance around it.
        aggregate: the largest difference over pairs of groups and over classes, or the mean.

    Raises:
        DataError: if ``logits`` or ``label`` is not as the module says.
        GroupTypeError: if ``group`` is not int64.
        GroupError: if a code is out of range.
        OptionError: if an option is unknown or out of range.
    """
    smooth = resolve_smooth_ranking_gap(
        gap,
        cutoffs=cutoffs,
        temperature=temperature,
        aggregate=aggregate,
        n_classes=logits.shape[1] if logits.ndim == 2 else 2,
    )
    _check(logits, group, label, smooth, n_groups)
    return smooth(logits, group, group if label is None else label, n_groups)


def resolve_smooth_ranking_gap(
    name: str,
    *,
    cutoffs: int = CUTOFFS,
    temperature: float = TEMPERATURE,
    aggregate: str = "max",
    n_classes: int = 2,
) -> SmoothRankingGap:
    """The smoothed all-cut-offs gap of the gap called ``name``.

    Raises:
        OptionError: if an option is unknown or out of range, or the gap needs two classes.
    """
    if name not in RANKING_GAPS:
        raise OptionError(unknown("gap of a ranking", name, RANKING_GAPS))
    if cutoffs < 1:
        raise OptionError(f"cutoffs: expected at least 1, got {cutoffs}")
    if not 0 < temperature < float("inf"):
        raise OptionError(f"temperature: expected a positive number, got {temperature}")
    gap = resolve_gap(name, aggregate=aggregate, n_classes=n_classes)
    return SmoothRankingGap(
        gap.name, gap.strata, gap.aggregate, n_classes, cutoffs, float(temperature)
    )


def _selected(score: Tensor, known: Tensor, cutoffs: int, temperature: float) -> Tensor:
    """The degree to which each row is selected at each cut-off: (n,) -> (cutoffs, n)."""
    count = known.sum().clamp(min=1)
    # Only differences of scores count below; near 0 they keep their digits in float32.
    score = score - ((score * known).sum() / count).detach()
    order = score.detach().argsort(descending=True)
    ranked, weight = score[order], known[order]
    end = weight.cumsum(0)  # the rows that count, down to each row
    width = temperature * _distances(ranked, end - weight, end, cutoffs)  # (cutoffs,)
    share = (torch.arange(cutoffs, device=score.device, dtype=score.dtype) + 0.5) / cutoffs
    place = (end < (share * count)[:, None]).sum(1).clamp(max=len(score) - 1)
    at = _CutOff.apply(score, width, known, share, ranked[place].detach())  # type: ignore[no-untyped-call]
    return torch.sigmoid((score - at[:, None]) / width[:, None])


def _distances(ranked: Tensor, start: Tensor, end: Tensor, cutoffs: int) -> Tensor:
    """How far apart the scores just above and just below each cut-off are (Eq. 34): (cutoffs,).

    The ranking is cut into 2 K parts of the same number of rows (a row may be divided). The
    distance at a cut-off is that of the means of the two parts that meet there, and a little of the
    distance of the upper and the lower half, because all scores around a cut-off may be the same.

    Args:
        ranked: (n,) falling scores.
        start: (n,) the number of rows above each row that count.
        end: (n,) the same with the row itself; equal to start for a row that does not count.
        cutoffs: the number of cut-offs K.
    """
    part = end[-1] / (2 * cutoffs)
    edges = torch.arange(2 * cutoffs + 1, device=end.device, dtype=end.dtype) * part
    inside = torch.minimum(end, edges[1:, None]) - torch.maximum(start, edges[:-1, None])
    share = inside.clamp(min=0) / torch.where(part > 0, part, torch.ones_like(part))
    means = (share * ranked).sum(1)  # (2 cutoffs,)
    whole = means[:cutoffs].mean() - means[cutoffs:].mean()
    distance = (means[0::2] - means[1::2]).clamp(min=0) + _FLOOR * whole
    return torch.where(distance > 0, distance, torch.ones_like(distance))


class _CutOff(torch.autograd.Function):
    """The cut-offs t at which the mean degree of selection is the share (Eq. 33).

    Found by Newton's method between bounds, without a graph; the derivative is that of the implicit
    function and is itself differentiable.
    """

    @staticmethod
    def forward(
        score: Tensor, width: Tensor, known: Tensor, share: Tensor, first: Tensor
    ) -> Tensor:
        """The cut-offs, (cutoffs,).

        Args:
            score: (n,) scores.
            width: (cutoffs,) widths.
            known: (n,) 1 for rows that count, else 0.
            share: (cutoffs,) the shares to select.
            first: (cutoffs,) where the search begins.
        """
        wanted = share * known.sum().clamp(min=1)
        scaled = score / width[:, None]  # (cutoffs, n)
        at = first / width
        reach = torch.logit(share).abs()  # there all degrees are above, or below, the share
        low, high = scaled.amin(1) - reach, scaled.amax(1) + reach
        for _ in range(_STEPS):
            degree = torch.sigmoid(scaled - at[:, None])
            counted = degree * known
            total = counted.sum(1)
            excess, slope = total - wanted, total - (counted * degree).sum(1)
            low, high = torch.where(excess > 0, at, low), torch.where(excess > 0, high, at)
            step = at + excess / slope
            inside = (step >= low) & (step <= high)  # false for NaN
            at = torch.where(inside, step, (low + high) / 2)
        return at * width

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:  # noqa: ANN401
        """Keeps what the derivative needs."""
        score, width, known, *_ = inputs
        ctx.save_for_backward(score, width, known, output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        """With k_i = s_i (1 - s_i): dt/dz_i = k_i / sum k, dt/dh = -sum k (z - t) / (h sum k)."""
        score, width, known, at = ctx.saved_tensors
        away = (score - at[:, None]) / width[:, None]  # (cutoffs, n)
        degree = torch.sigmoid(away)
        weight = known * degree * (1 - degree)
        weight = weight / weight.sum(1, keepdim=True).clamp(min=torch.finfo(weight.dtype).tiny)
        by_score = (grad[:, None] * weight).sum(0)
        by_width = -grad * (weight * away).sum(1)
        return by_score, by_width, None, None, None


def _log_odds(logits: Tensor) -> list[Tensor]:
    """The log-odds of every class against the rest: (n, C) -> C of (n,)."""
    n_classes = logits.shape[1]
    rest = [[c for c in range(n_classes) if c != own] for own in range(n_classes)]
    return [logits[:, own] - logits[:, rest[own]].logsumexp(1) for own in range(n_classes)]


def _over_pairs(rate: Tensor, present: Tensor, aggregate: Aggregate) -> Tensor:
    """The difference over pairs of present groups: (..., strata, groups) -> (..., strata)."""
    pair = present[:, :, None] & present[:, None, :]  # (strata, groups, groups)
    apart = (rate[..., :, None] - rate[..., None, :]).abs() * pair
    if aggregate == "max":
        return apart.amax((-1, -2))
    n_present = present.sum(-1)
    return apart.sum((-1, -2)) / (n_present * (n_present - 1)).clamp(min=1)


def _check(
    logits: Tensor, group: Tensor, label: Tensor | None, gap: SmoothRankingGap, n_groups: int
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
    if not bool(torch.isfinite(logits).all()):
        raise DataError("logits: some are NaN or infinite; pass torch.logit(prob, eps=1e-6)")
    if label is None:
        if gap.strata != (None,):
            raise DataError(f"label: {gap.name} needs the labels, got none")
        return
    if label.shape != (n,):
        raise DataError(f"label: expected shape ({n},), got {tuple(label.shape)}")
    known = torch.arange(gap.n_classes, device=label.device)
    if not bool((label[:, None] == known).any(1).all()):
        expected = "0 and 1" if gap.n_classes == 2 else f"0 to {gap.n_classes - 1}"
        raise DataError(f"label: expected {expected}, got {label.unique()[:5].tolist()}")
