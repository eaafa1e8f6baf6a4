"""Verdicts on the paper's statements, by rules that are written down here and nowhere set by hand.

- ``reproduced``: the statement holds for our means, and the 95 % interval over seeds bears it out.
- ``direction only``: our means point the stated way, but the interval includes no difference, or
  the size the paper states is missed.
- ``not reproduced``: our means do not point the stated way.
- ``not run``: trials that it needs are missing.
- ``needs images``: it is about CelebA.

Gaps are judged in their soft form, which is what the methods train; evidence shows the hard form.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

from dralign.reproduce.results import Values, interval_text, mean, paired

Verdict = Literal["reproduced", "direction only", "not reproduced", "not run", "needs images"]

_FROM_BEST: Final[tuple[Verdict, ...]] = (
    "reproduced",
    "direction only",
    "not reproduced",
    "not run",
    "needs images",
)


@dataclass(frozen=True)
class Finding:
    """A statement of the paper and what became of it here.

    Attributes:
        statement: in the paper's words, or nearly.
        verdict: by the rules of this module.
        evidence: the numbers it rests on.
    """

    statement: str
    verdict: Verdict
    evidence: str


def lower(first: Values, second: Values) -> tuple[Verdict, str]:
    """Whether ``first`` is lower than ``second``, over the seeds that both have."""
    difference = paired(first, second)
    if not difference.n:
        return "not run", "no seed has both"
    text = f"difference {interval_text(difference)}"
    if not difference.mean < 0:
        return "not reproduced", text
    borne_out = difference.mean + difference.half_width < 0  # false where the width is NaN
    return ("reproduced" if borne_out else "direction only"), text


def near(values: Values, printed: float, tolerance: float) -> tuple[Verdict, str]:
    """Whether our mean is within ``tolerance`` of what is printed."""
    if not values:
        return "not run", "no trial"
    text = f"ours {mean(values):.3f} (n={len(values)}), printed {printed:g}, within {tolerance:g}"
    return ("reproduced" if abs(mean(values) - printed) <= tolerance else "not reproduced"), text


def steady(series: Sequence[Values], *, falls: bool) -> tuple[Verdict, str]:
    """Whether means rise (or fall) at every step; ``direction only`` if from end to end alone."""
    means = [mean(values) for values in series]
    if any(map(math.isnan, means)):
        return "not run", "some weights have no trial"
    signed = [-value for value in means] if falls else means
    text = " ".join(f"{value:.3g}" for value in means)
    if all(a < b for a, b in pairwise(signed)):
        return "reproduced", text
    return ("direction only" if signed[0] < signed[-1] else "not reproduced"), text


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict on a statement of several parts: that of its weakest part."""
    return max(verdicts, key=_FROM_BEST.index)


def together(parts: Sequence[tuple[str, tuple[Verdict, str]]]) -> tuple[Verdict, str]:
    """The verdict on named parts, with the evidence of each."""
    text = "; ".join(f"{name}: {evidence} ({verdict})" for name, (verdict, evidence) in parts)
    return worst(verdict for _, (verdict, _) in parts), text
