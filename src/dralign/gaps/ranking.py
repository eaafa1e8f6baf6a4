"""The gaps of the ranking that can be trained: the all-cut-offs gap, smoothed (Eq. 32 to Eq. 34).

The soft gaps of :mod:`dralign.gaps.rates` get smaller when every probability gets smaller. These do
not change, nor does their gradient ask for a change, when all scores are shifted or multiplied by a
positive number: they ask for another order. They are the trainable form of
:func:`dralign.metrics.all_cutoffs_gap`.

For each of K shares q of the batch there is a cut-off t and a width h, and a row with score z is
selected to the degree sigmoid((z - t) / h):

- t is where the degrees of all rows have the mean q (Eq. 33), so exactly the share q is selected,
  rows that tie by the same fraction. It is *not* detached: with t fixed the gradient would have a
  part that shifts all scores at once, which changes no order.
- h is ``temperature`` times the distance of the scores around the cut-off (Eq. 34), not detached
  either, for the same reason and multiplication. It is a *local* distance: with one spread for all,
  a few huge scores would blur every cut-off, and the gap would look small.

Scores are log-odds; those of more than two classes are each class's against the rest, and "all
scores" above means these. Rows without a group take no part, also not in the shares. The shares are
those of the *batch*: where groups are drawn equally often each has the same weight in them.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

import torch
from torch import Tensor

from dralign.gaps.gap import GapType
from dralign.gaps.rates import DEMOGRAPHIC_PARITY, EQUAL_OPPORTUNITY, EQUALIZED_ODDS
from dralign.networks import log_odds

CUTOFFS: Final = 15
TEMPERATURE: Final = 1.0

_FLOOR: Final = 0.01  # the part of the whole spread that a width has at least, where scores tie
_STEPS: Final = 7  # of Newton's method; six leave less than 1e-7 at the default


@dataclass(frozen=True)
class SmoothSelection:
    """The degree to which each row is selected at each cut-off.

    Attributes:
        cutoffs: the number of shares K.
        temperature: how wide a cut-off is; at 1 it reaches to the next ones.
    """

    takes_weights: ClassVar[bool] = True
    cutoffs: int = CUTOFFS
    temperature: float = TEMPERATURE

    def __call__(self, score: Tensor, group: Tensor, weight: Tensor | None = None) -> Tensor:
        """The degrees, (cutoffs, n), or (cutoffs, n, C) of the scores of more than two classes.

        Where rows are weighted the shares are those of the weight.
        """
        if not len(score):
            return score.expand(self.cutoffs, *score.shape)
        known = (group >= 0).to(score.dtype)
        if weight is not None:
            known = known * weight.to(score.dtype)
        if score.ndim == 1:
            return _selected(score, known, self.cutoffs, self.temperature)
        by_class = [_selected(z, known, self.cutoffs, self.temperature) for z in score.unbind(1)]
        return torch.stack(by_class, dim=-1)


def at_all_cutoffs(kind: GapType) -> GapType:
    """The form of a gap that compares who is selected, at every cut-off; judged as that gap is."""
    return replace(
        kind,
        name=f"all_cutoffs_{kind.name}",
        words=f"{kind.words} at all cut-offs",
        of_rows=log_odds,
        scores=SmoothSelection(),
        figures_of=kind.name,
    )


RANKINGS: Final = tuple(
    map(at_all_cutoffs, (DEMOGRAPHIC_PARITY, EQUALIZED_ODDS, EQUAL_OPPORTUNITY))
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
    index = (end < (share * count)[:, None]).sum(1).clamp(max=len(score) - 1)
    at = _CutOff.apply(score, width, known, share, ranked[index].detach())  # type: ignore[no-untyped-call]
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
            known: (n,) what each row counts, 0 where it does not.
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
