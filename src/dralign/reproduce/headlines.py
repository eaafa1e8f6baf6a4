"""What the page says first: ten claims, and four sentences that follow from their levels."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dralign.reproduce.entry import paper
from dralign.reproduce.verdicts import Judged, Part, Verdict

# The first words of a sentence by the levels of its claims; all other levels are of the last one.
SENTENCES: Final[Mapping[str, tuple[Verdict, ...]]] = {
    "What holds": ("borne out",),
    "What does not": ("contradicted", "contradicts itself"),
    "What only leans one way": ("leans for", "leans against"),
}
UNSAID: Final = "What can't be said"


@dataclass(frozen=True)
class Headline:
    """One claim of the top of the page.

    Attributes:
        words: what is claimed.
        paper: the paper's number.
        ours: our figure with its interval, or why there is none.
        n: the seeds it rests on.
        level: in the reading that counts.
        hangs_on: the readings, of those with trials, that have another level.
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
    levels = {
        one.reading: result.verdict
        for one in others
        if (result := _part(one, entry["part"])) and result.verdict != "not run"
    }
    hangs_on = _hangs_on(part.verdict, levels)
    return Headline(entry["words"], entry["paper"], part.ours, part.n, part.verdict, hangs_on)


def _hangs_on(level: Verdict, levels: Mapping[str, Verdict]) -> str:
    """Which of the other readings that there are trials for have another level."""
    other = [f"{reading}: {found}" for reading, found in levels.items() if found != level]
    if other:
        return f"{len(other)} of {len(levels)} other readings; {'; '.join(other)}"
    return f"none of {len(levels)} other readings" if levels else "–"


def _part(judged: Judged, label: str) -> Part | None:
    """The part of that label."""
    return next((part for part in judged.parts if part.label == label), None)


def sentences(shown: Sequence[Headline]) -> list[str]:
    """What holds, what does not, what only leans, and what can't be said, in a sentence each."""
    said = {level for levels in SENTENCES.values() for level in levels}
    return [
        *(
            _sentence(start, [one for one in shown if one.level in levels])
            for start, levels in SENTENCES.items()
        ),
        _sentence(UNSAID, [one for one in shown if one.level not in said]),
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
