"""Verdicts on the paper's statements, by rules that are written down here and nowhere set by hand.

Rules of 2026-11-21, written before the trials of format 2 were looked at. A statement is taken
apart, and each part has a verdict of its own; no part speaks for the others. The five levels
(``dralign.reproduce.levels``) come from the 95 % interval over seeds, the same for and against:

- ``borne out``, ``contradicted``: the whole interval lies on the stated side, or on the other one.
- ``leans for``, ``leans against``: the interval includes no difference, the mean is off it by the
  margin or more.
- ``undecided``: the mean is within the margin of no difference.

Margins: 5 % of what is compared with (gaps, times, parity scores, printed sizes), .005 of average
precision, 5 % of the top of a similarity. And where no level can be had:

- ``too few seeds``: fewer than five that have all it takes.
- ``not comparable``: of a sample of images, of another experiment, or no weights that reach equal
  precision.
- ``not run``: trials that it needs are missing.
- ``contradicts itself``: the paper's own printed numbers are against the sentence.

Differences are taken seed by seed, so their interval is that of the paired t-test; ratios by their
logarithms, and so is how much less they say it is.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal, get_args

from dralign.analysis import Interval
from dralign.reproduce.levels import FEWEST_SEEDS, MARGIN, Finding, Level, level_of
from dralign.reproduce.results import Values, interval_text, paired

Verdict = Level | Literal["not run", "contradicts itself"]
VERDICTS: Final[tuple[Verdict, ...]] = (
    *get_args(Level),
    "not run",
    "contradicts itself",
)
AP_MARGIN: Final = 0.005


@dataclass(frozen=True)
class Part:
    """One part of a statement and what became of it.

    Attributes:
        label: which part; empty for the only one.
        verdict: by the rules of this module.
        ours: our figure with its interval, or why there is none.
        n: the seeds it rests on.
    """

    label: str
    verdict: Verdict
    ours: str = ""
    n: int = 0

    def __str__(self) -> str:
        evidence = f"{self.verdict} ({self.ours})" if self.ours else self.verdict
        return f"{self.label}: {evidence}" if self.label else evidence


Outcome = tuple[Part, ...]  # of a statement, never empty


@dataclass(frozen=True)
class Judged:
    """A statement of the paper and what became of it here, in one reading of it.

    Attributes:
        section: where the paper says it.
        statement: in the paper's words.
        check: the name of the check that takes it apart.
        reading: in which reading it was judged, for example ``"hard"``; empty if there is one only.
        parts: what became of each part.
    """

    section: str
    statement: str
    check: str
    reading: str
    parts: Outcome

    @property
    def verdict(self) -> str:
        """The verdict of the only part, or how many parts have which."""
        return counted(self.parts)


def counted(parts: Sequence[Part]) -> str:
    """The verdict of the only part, or of how many parts it is which, best first."""
    number = Counter(part.verdict for part in parts)
    if len(parts) == 1:
        return parts[0].verdict
    return ", ".join(f"{number[v]} {v}" for v in VERDICTS if number[v]) + f" (of {len(parts)})"


def less(label: str, first: Values, second: Values, *, margin: float = MARGIN) -> Part:
    """Whether ``first`` is lower than ``second``, both not negative, seed by seed.

    The difference is taken as a part of the mean of ``second``, so the margin is too.
    """
    shared = [
        seed
        for seed in sorted(first.keys() & second.keys())
        if not math.isnan(first[seed]) and not math.isnan(second[seed])
    ]
    if not shared:
        return Part(label, "not run", "no seed has both")
    scale = sum(abs(second[seed]) for seed in shared) / len(shared) or 1.0
    part = Interval.of((first[seed] - second[seed]) / scale for seed in shared)
    return Part(label, level_of(part, margin), _percent(part), part.n)


def more(label: str, first: Values, second: Values, *, margin: float = AP_MARGIN) -> Part:
    """Whether ``first`` is higher than ``second``, seed by seed; the margin is in their unit."""
    difference = paired(first, second)
    if not difference.n:
        return Part(label, "not run", "no seed has both")
    return Part(label, level_of(_negative(difference), margin), _signed(difference), difference.n)


def above(label: str, values: Values, bound: float, *, margin: float) -> Part:
    """Whether the mean of a figure is above a bound."""
    result = Interval.of(values.values())
    if not result.n:
        return Part(label, "not run", "no trial")
    off = Interval(bound - result.mean, result.half_width, result.n)
    text = f"{interval_text(result)} beside {bound:g}"
    return Part(label, level_of(off, margin), text, result.n)


def below(label: str, values: Values, bound: float, *, margin: float) -> Part:
    """Whether the mean of a figure is below a bound."""
    turned = above(label, {s: -v for s, v in values.items()}, -bound, margin=margin)
    text = f"{interval_text(Interval.of(values.values()))} beside {bound:g}"
    return Part(label, turned.verdict, text if values else turned.ours, turned.n)


def near(label: str, values: Values, printed: float, *, margin: float | None = None) -> Part:
    """Whether our figure is the printed one, to the margin (of None: 5 % of the printed one).

    Borne out: the whole interval lies within the margin of it. Contradicted: none of it does.
    Between them undecided where the interval includes all that is within the margin, else it leans
    to the side of its mean.
    """
    result = Interval.of(values.values())
    if not result.n:
        return Part(label, "not run", "no trial")
    reach = MARGIN * abs(printed) if margin is None else margin
    off, width = result.mean - printed, result.half_width
    level = _level_of_size((off - width, off, off + width), result.n, reach)
    return Part(label, level, f"{interval_text(result)}, printed {printed:g}", result.n)


def _level_of_size(off: tuple[float, float, float], n: int, reach: float) -> Level:
    """The level of "it is the printed number", by how far off it low end, mean and high end are."""
    low, mean, high = off
    if n < FEWEST_SEEDS:
        return "too few seeds"
    if -reach <= low and high <= reach:
        return "borne out"
    if high < -reach or low > reach:
        return "contradicted"
    if low <= -reach and reach <= high:
        return "undecided"
    return "leans for" if abs(mean) <= reach else "leans against"


def matched(label: str, finding: Finding) -> Part:
    """A finding on ratios at matched average precision; 0 and infinity are not comparable."""
    if not finding.n:
        return Part(label, "not comparable", "no seed whose fronts share an average precision")
    if finding.level == "not comparable":
        return Part(label, finding.level, finding.why, finding.n)
    text = f"ratio {finding.ratio:.2f}"
    if finding.n > 1:
        text += f" ({finding.low:.2f} to {finding.high:.2f})"
    return Part(label, finding.level, f"{text}, n={finding.n}", finding.n)


def less_by(label: str, finding: Finding, printed: float) -> Part:
    """Whether the first is less than the second by the printed share; as ``near``, 5 % of it."""
    as_ratio = matched(label, finding)
    if as_ratio.verdict == "not comparable":
        return as_ratio
    low, mean, high = 1 - finding.high, 1 - finding.ratio, 1 - finding.low
    off = low - printed, mean - printed, high - printed
    level = _level_of_size(off, finding.n, MARGIN * printed)
    text = f"{mean:.3f}" if finding.n == 1 else f"{mean:.3f} ({low:.3f} to {high:.3f})"
    return Part(label, level, f"{text}, n={finding.n}, printed {printed:g}", finding.n)


def rising(label: str, series: Sequence[Values], *, margin: float) -> list[Part]:
    """Whether a figure rises along a series: from end to end, and at each step."""
    return _course(label, series, lambda name, a, b: more(name, b, a, margin=margin))


def falling(label: str, series: Sequence[Values]) -> list[Part]:
    """Whether a figure that is not negative falls along a series: end to end, and at each step."""
    return _course(label, series, lambda name, a, b: less(name, b, a))


def _course(
    label: str, series: Sequence[Values], step: Callable[[str, Values, Values], Part]
) -> list[Part]:
    """The parts of "it goes one way"."""
    name = f"{label}, " if label else ""
    return [
        step(f"{name}from end to end", series[0], series[-1]),
        *(step(f"{name}step {i}", a, b) for i, (a, b) in enumerate(pairwise(series), 1)),
    ]


def pooled(parts: Iterable[Values]) -> Values:
    """The mean over several figures for each seed that has all of them."""
    figures = list(parts)
    shared = set.intersection(*({*values} for values in figures)) if figures else set()
    return {seed: sum(values[seed] for values in figures) / len(figures) for seed in sorted(shared)}


def apart(first: Values, second: Values) -> Values:
    """The absolute difference of the seeds that both have."""
    return {s: abs(first[s] - second[s]) for s in sorted(first.keys() & second.keys())}


def other_experiment(label: str, values: Values, printed: float) -> Part:
    """A printed size that another experiment has: shown, not judged."""
    text = f"ours {interval_text(Interval.of(values.values()))}, printed {printed:g}"
    return Part(label, "not comparable", f"{text}: another experiment", len(values))


def _negative(interval: Interval) -> Interval:
    """The interval of the figure with the other sign."""
    return Interval(-interval.mean, interval.half_width, interval.n)


def _signed(interval: Interval) -> str:
    """A difference of any size in a few digits."""
    if math.isnan(interval.half_width):
        return f"{interval.mean:+.3g}, n={interval.n}"
    low, high = interval.mean - interval.half_width, interval.mean + interval.half_width
    return f"{interval.mean:+.3g} ({low:+.2g} to {high:+.2g}), n={interval.n}"


def _percent(part: Interval) -> str:
    """A relative difference in per cent."""
    if math.isnan(part.half_width):
        return f"{part.mean:+.0%}, n={part.n}"
    low, high = part.mean - part.half_width, part.mean + part.half_width
    return f"{part.mean:+.0%} ({low:+.0%} to {high:+.0%}), n={part.n}"
