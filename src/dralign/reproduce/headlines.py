"""What the page says first: ten claims, and three sentences that follow from their levels."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from dralign.reproduce.entry import paper
from dralign.reproduce.verdicts import Judged, Part, Verdict

FOR: Final = ("borne out", "leans for")
AGAINST: Final = ("contradicted", "leans against", "contradicts itself")


@dataclass(frozen=True)
class Headline:
    """One claim of the top of the page.

    Attributes:
        words: what is claimed.
        paper: the paper's number.
        ours: our figure with its interval, or why there is none.
        n: the seeds it rests on.
        level: in the reading that counts.
        hangs_on: the readings that have another level.
    """

    words: str
    paper: str
    ours: str
    n: int
    level: Verdict
    hangs_on: str


def headlines(judged: Iterable[Judged]) -> list[Headline]:
    """The headline claims, from all readings of all claims."""
    readings: dict[str, list[Judged]] = {}
    for one in judged:
        readings.setdefault(one.check, []).append(one)
    return [_headline(entry, readings[entry["check"]]) for entry in paper("claims")["headlines"]]


def _headline(entry: dict[str, str], readings: Sequence[Judged]) -> Headline:
    """One of them; where the check was not run the only part it has stands for all."""
    first, *others = readings
    part = _part(first, entry["part"]) or first.parts[-1]
    other = [
        f"{one.reading}: {result.verdict}"
        for one in others
        if (result := _part(one, entry["part"])) and result.verdict != part.verdict
    ]
    if other:
        hangs_on = f"{len(other)} of {len(others)} other readings; {'; '.join(other)}"
    else:
        hangs_on = f"none of {len(others)} other readings" if others else "–"
    return Headline(entry["words"], entry["paper"], part.ours, part.n, part.verdict, hangs_on)


def _part(judged: Judged, label: str) -> Part | None:
    """The part of that label."""
    return next((part for part in judged.parts if part.label == label), None)


def sentences(shown: Sequence[Headline]) -> list[str]:
    """What holds, what does not, and what can't be said yet, in a sentence each."""
    undecided = [one for one in shown if one.level not in (*FOR, *AGAINST)]
    return [
        _sentence("What holds", [one for one in shown if one.level in FOR]),
        _sentence("What does not", [one for one in shown if one.level in AGAINST]),
        _sentence("What can't be said yet", undecided),
    ]


def _sentence(start: str, several: Sequence[Headline]) -> str:
    """The claims with their levels; those that hang on the reading say so."""
    if not several:
        return f"**{start}:** none of the ten headline claims."
    said = (
        f"{one.words} ({one.level}{', not in every reading' if ':' in one.hangs_on else ''})"
        for one in several
    )
    return f"**{start}:** {'; '.join(said)}."
