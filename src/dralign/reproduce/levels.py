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
    "borne out", "leans for", "undecided", "leans against", "contradicted", "too few seeds"
]
FEWEST_SEEDS: Final = 5
MARGIN: Final = 0.05  # of equivalence, as a part of the figure that is compared with


@dataclass(frozen=True)
class Finding:
    """What the trials say about a statement "the first has less of it".

    Attributes:
        ratio: the geometric mean over seeds of the first figure over the second.
        low: the lower end of its 95 % interval, by Student's t on the logarithms; NaN for one seed.
        high: the upper end.
        n: the seeds it rests on.
        level: how strongly they speak for the statement.
        equivalent: whether the whole interval lies within the margin of no difference.
    """

    ratio: float
    low: float
    high: float
    n: int
    level: Level
    equivalent: bool

    def __str__(self) -> str:
        if not self.n:
            return "no seeds"
        if self.n == 1:
            return f"{self.ratio:.2f} (n=1): {self.level}"
        words = ", no difference that matters" if self.equivalent else ""
        return (
            f"{self.ratio:.2f} ({self.low:.2f} to {self.high:.2f}, n={self.n}): {self.level}{words}"
        )


def finding(ratios: Iterable[float], *, margin: float = MARGIN) -> Finding:
    """The finding of one ratio a seed, first over second, each above 0; NaN ones are left out.

    Borne out: the whole interval is below 1. Contradicted: above it. Between them it leans for, or
    against, where the mean is off 1 by the margin or more, and else is undecided.
    """
    logs = Interval.of(math.log(ratio) for ratio in ratios if ratio > 0)
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
