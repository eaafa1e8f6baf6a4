"""How strongly trials speak for a statement: five levels, the same for and against.

The rule was written down before the trials that it is used on were looked at; docs/reproduction.md
and docs/does-alignment-help.md say when.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from dralign.analysis import Interval

Level = Literal[
    "borne out",
    "leans for",
    "undecided",
    "leans against",
    "contradicted",
    "too few seeds",
    "not comparable",
]
FEWEST_SEEDS: Final = 5
MARGIN: Final = 0.05  # of equivalence, as a part of the figure that is compared with


@dataclass(frozen=True)
class Finding:
    """What the trials say about a statement "the first has less of it".

    Attributes:
        ratio: the geometric mean over seeds of the first figure over the second; NaN, as its
            interval is, where it is not comparable.
        low: the lower end of its 95 % interval, by Student's t on the logarithms; NaN for one seed.
        high: the upper end.
        n: the seeds it rests on.
        level: how strongly they speak for the statement; ``"not comparable"`` where a ratio is 0 or
            infinite, which have no logarithm.
        equivalent: whether the whole interval lies within the margin of no difference.
        zero: the seeds whose first figure is 0, and so the ratio.
        infinite: those whose second figure is 0.
    """

    ratio: float
    low: float
    high: float
    n: int
    level: Level
    equivalent: bool
    zero: int = 0
    infinite: int = 0

    def __str__(self) -> str:
        if not self.n:
            return "no seeds"
        if self.level == "not comparable":
            return f"{self.level}: {self.why}"
        if self.n == 1:
            return f"{self.ratio:.2f} (n=1): {self.level}"
        words = ", no difference that matters" if self.equivalent else ""
        return (
            f"{self.ratio:.2f} ({self.low:.2f} to {self.high:.2f}, n={self.n}): {self.level}{words}"
        )

    @property
    def why(self) -> str:
        """Why it is not comparable: the ratios without a logarithm."""
        return f"ratio 0 in {self.zero} and infinite in {self.infinite} of {self.n} seeds"


def finding(ratios: Iterable[float], *, margin: float = MARGIN) -> Finding:
    """The finding of one ratio a seed, first over second, not negative; NaN ones are left out.

    Where a ratio is 0 or infinite there is no level: they are counted, never dropped.
    Borne out: the whole interval is below 1. Contradicted: above it. Between them it leans for, or
    against, where the mean is off 1 by the margin or more, and else is undecided.
    """
    known = [ratio for ratio in ratios if not math.isnan(ratio)]
    zero, infinite = known.count(0), known.count(math.inf)
    if zero or infinite:
        nan, n = math.nan, len(known)
        return Finding(nan, nan, nan, n, "not comparable", False, zero, infinite)
    logs = Interval.of(map(math.log, known))
    near = math.log1p(margin)
    low, high = logs.mean - logs.half_width, logs.mean + logs.half_width
    return Finding(
        math.exp(logs.mean),
        math.exp(low),
        math.exp(high),
        logs.n,
        level_of(logs, near),
        logs.n >= FEWEST_SEEDS and -near < low and high < near,
    )


def level_of(difference: Interval, margin: float) -> Level:
    """The level of a statement that holds where the true difference is below 0.

    Args:
        difference: the mean over seeds and its interval, in any unit.
        margin: in the same unit; a mean that is off 0 by less leans to no side.
    """
    if difference.n < FEWEST_SEEDS:
        return "too few seeds"
    if difference.mean + difference.half_width < 0:
        return "borne out"
    if difference.mean - difference.half_width > 0:
        return "contradicted"
    if abs(difference.mean) < margin:
        return "undecided"
    return "leans for" if difference.mean < 0 else "leans against"
