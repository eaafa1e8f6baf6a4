"""Verdicts on the paper's statements, by rules that are written down here and nowhere set by hand.

- ``reproduced``: the statement holds for our means, and the 95 % interval over seeds bears it out.
- ``direction only``: our means point the stated way, but the interval includes no difference, or
  the size the paper states is missed.
- ``not reproduced``: our means do not point the stated way.
- ``not run``: trials that it needs are missing, or no seeds can be compared at equal precision.
- ``needs CelebA``: it is about faces, and there are no trials on them.

Each function below applies them to one kind of statement. Differences are taken seed by seed, so
their interval is that of the paired t-test: it leaves out 0 where p < .05. A statement of several
parts has the verdict of its weakest part (a part that fails refutes it, even if one is missing);
one that says "generally" is judged by the mean over its parts (``pooled``).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal, get_args

from dralign.reproduce.results import Values, interval_text, mean, paired
from dralign.study import Interval

Verdict = Literal["reproduced", "direction only", "not reproduced", "not run", "needs CelebA"]
Outcome = tuple[Verdict, str]  # with its evidence

VERDICTS: Final[tuple[Verdict, ...]] = get_args(Verdict)
_FROM_BEST: Final = ("reproduced", "direction only", "not run", "not reproduced")


@dataclass(frozen=True)
class Finding:
    """A statement of the paper and what became of it here, in one reading of it.

    Attributes:
        section: where the paper says it.
        statement: in the paper's words.
        reading: in which reading it was judged, for example ``"hard"``; empty if there is one only.
        verdict: by the rules of this module.
        evidence: the numbers it rests on.
    """

    section: str
    statement: str
    reading: str
    verdict: Verdict
    evidence: str


def lower(first: Values, second: Values) -> Outcome:
    """Whether ``first`` is lower than ``second``, over the seeds that both have."""
    difference = paired(first, second)
    if not difference.n:
        return "not run", "no seed has both"
    text = f"difference {_short(difference)}"
    if not difference.mean < 0:
        return "not reproduced", text
    borne_out = difference.mean + difference.half_width < 0  # false where the width is NaN
    return ("reproduced" if borne_out else "direction only"), text


def reaches(values: Values, top: float, *, digits: int = 1) -> Outcome:
    """Whether our mean is the top that can be reached, to the digits printed.

    ``direction only`` if it is not but the interval includes the top.
    """
    found = Interval.of(values.values())
    if not found.n:
        return "not run", "no trial"
    text = f"{interval_text(found)} of {top:g}"
    if found.mean >= top - 0.5 * 10**-digits:
        return "reproduced", text
    return ("direction only" if found.mean + found.half_width >= top else "not reproduced"), text


def stays_below(values: Values, top: float, printed: float | None = None) -> Outcome:
    """Whether a figure stays below the top, as far as the paper prints.

    ``reproduced`` if the interval lies below the top and includes what is printed (if anything is);
    ``direction only`` if only the mean is below it, and nearer to what is printed than to the top.
    """
    found = Interval.of(values.values())
    if not found.n:
        return "not run", "no trial"
    text = interval_text(found) + ("" if printed is None else f", printed {printed:g}")
    if found.mean >= (top if printed is None else (top + printed) / 2):
        return "not reproduced", text
    below = found.mean + found.half_width < top
    covers = printed is None or abs(found.mean - printed) <= found.half_width
    return ("reproduced" if below and covers else "direction only"), text


def steady(series: Sequence[Values], *, falls: bool) -> Outcome:
    """Whether a figure rises (or falls) along a series, or stays where it can't go further.

    ``reproduced`` if no step of its means goes the other way and the difference from end to end is
    borne out; ``direction only`` if the means go that way from end to end.
    """
    means = [mean(values) for values in series]
    if any(map(math.isnan, means)):
        return "not run", "some weights have no trial"
    signed = [-value for value in means] if falls else means
    text = "means " + ", ".join(f"{value:.3g}" for value in means)
    text += f"; from end to end {_short(paired(series[-1], series[0]))}"
    low, high = (series[-1], series[0]) if falls else (series[0], series[-1])
    whole, _ = lower(low, high)
    if whole == "reproduced" and any(a > b for a, b in pairwise(signed)):
        return "direction only", text
    return whole, text


def pooled(parts: Iterable[Values]) -> Values:
    """The mean over several figures for each seed that has all of them."""
    figures = list(parts)
    shared = set.intersection(*({*values} for values in figures)) if figures else set()
    return {seed: sum(values[seed] for values in figures) / len(figures) for seed in sorted(shared)}


def minus(values: Values) -> Values:
    """The figure with the other sign, for what is better where it is higher."""
    return {seed: -value for seed, value in values.items()}


def apart(first: Values, second: Values) -> Values:
    """The absolute difference of the seeds that both have."""
    return {s: abs(first[s] - second[s]) for s in sorted(first.keys() & second.keys())}


def _short(interval: Interval) -> str:
    """A difference of any size in a few digits."""
    width = "" if math.isnan(interval.half_width) else f" ± {interval.half_width:.2g}"
    return f"{interval.mean:+.3g}{width} (n={interval.n})"


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict on a statement of several parts: that of its weakest part."""
    return max(verdicts, key=_FROM_BEST.index)


def together(parts: Sequence[tuple[str, Outcome]]) -> Outcome:
    """The verdict on named parts, with the evidence of each."""
    text = "; ".join(f"{name}: {evidence} ({verdict})" for name, (verdict, evidence) in parts)
    return worst(verdict for _, (verdict, _) in parts), text
