"""The quoted claims (``paper/claims.toml``), each decided from the results in its readings.

- A claim on gaps is judged by soft gaps at the epoch of the published rule. Beside it stand the
  other measures at that epoch, soft gaps at other epochs, and the form that the paper prints.
- A claim on similarities is judged in the exact form per unit, which is this project's definition;
  beside it stand the other forms.
- A claim on time has one reading.
- A claim on the parity score is judged by Eq. 5; beside it stands the sum of |c_0 - c_1| of
  Sec. 3.1. No reading is chosen by how well it fits what the paper prints.
- A claim on CelebA is judged on all of it. A sample of it is not comparable.

The first reading is the one that counts; a reading without a verdict of its own is left out.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from dralign.reproduce.celeba import faces
from dralign.reproduce.claims_celeba import CELEBA_CHECKS
from dralign.reproduce.claims_rationale import PARITY_CHECKS, SIMILARITY_CHECKS
from dralign.reproduce.claims_tradeoff import CHECKS
from dralign.reproduce.entry import Reproduction, paper
from dralign.reproduce.results import RECALIBRATED, Results
from dralign.reproduce.similarity import FORMS
from dralign.reproduce.verdicts import Judged, Outcome, Part
from dralign.training import PUBLISHED_RULE, Selection

HIGHEST_AP: Final = Selection("highest_ap", measure="soft")
PARITY_READINGS: Final = ("parameter, mean, squared", "parameter, mean, absolute")
PUBLISHED_READING: Final = "soft"
AS_PRINTED: Final = "per parameter, group sums"
# The claims that the plan of that form has trials for.
_PRINTED_CLAIMS: Final = {
    "best_at_equal_precision",
    "significant_at_every_weight",
    "more_precise_at_every_weight",
    "best_on_compas",
    "best_on_compas_at_a_tenth",
}
# What is other than soft gaps at the smallest soft validation gap of a whole run.
READINGS: Final[Mapping[str, Mapping[str, Any]]] = {
    PUBLISHED_READING: {},
    "hard": {"measure": "hard"},
    "base rate": {"measure": "base_rate"},
    "all cut-offs": {"measure": "all_cutoffs"},
    "recalibrated": {"measure": RECALIBRATED},
    "first 10 epochs": {"epochs": 10},
    "highest AP": {"selection": HIGHEST_AP},
    "last epoch": {"selection": Selection("last", measure="soft")},
    "smallest hard gap": {"selection": replace(PUBLISHED_RULE, measure="hard")},
    AS_PRINTED: {"as_printed": True},
}
# A.6 says that models are "chosen according to the performance on the validation dataset".
_FIRST: Final = {"wider_has_higher_precision": "highest AP"}
# What depends on no gap and on no choice of the epoch has one reading.
_ONE_READING: Final = {"mixup_takes_longer"}
_EMPTY: Final = {"not run", "not comparable"}


def claims(results: Results) -> Reproduction:
    """Every quoted claim with its verdicts and evidence."""
    return Reproduction(
        ("section", "claim", "reading", "verdict", "evidence"),
        tuple(
            (one.section, one.statement, one.reading, one.verdict, evidence(one.parts))
            for one in findings(results)
        ),
        __doc__.split("\n\n", 1)[1].strip() if __doc__ else "",
    )


def evidence(parts: Outcome) -> str:
    """Every part with its figure."""
    return "; ".join(map(str, parts))


def findings(results: Results, entry: str | None = None) -> list[Judged]:
    """What became of the claims of an entry, or of all; the readings of a claim stand together."""
    # Once for all claims: each works out its trials' epochs when it is first asked.
    by_reading = {name: replace(results, **given) for name, given in READINGS.items()}
    return [
        Judged(claim["section"], claim["quote"], claim["check"], reading, parts)
        for claim in paper("claims")["claims"]
        if entry in {None, claim["entry"]}
        for reading, parts in _decided(claim, by_reading)
    ]


def _decided(
    claim: Mapping[str, str], by_reading: Mapping[str, Results]
) -> list[tuple[str, Outcome]]:
    """The outcomes of a claim by reading, the one that counts first."""
    check, own = claim["check"], tuple[Part, ...]()
    if words := claim.get("contradiction"):
        own = (Part("the paper's own numbers", "contradicts itself", words),)
    if check in CELEBA_CHECKS:
        result = faces(by_reading[PUBLISHED_READING], *CELEBA_CHECKS[check][0])
        if not result.results.records:
            return [("", (*own, Part("", "not run", "no trials on CelebA")))]
        if result.sample:
            return [("", (*own, Part("", "not comparable", "a sample of CelebA")))]
    (name, counts), *others = _readings(check, by_reading)
    return [
        (name, (*own, *counts)),
        *((reading, parts) for reading, parts in others if _says(parts)),
    ]


def _says(parts: Outcome) -> bool:
    """Whether a reading says anything."""
    return any(part.verdict not in _EMPTY for part in parts)


def _readings(check: str, by_reading: Mapping[str, Results]) -> Iterator[tuple[str, Outcome]]:
    """The outcome of a check in each reading of it, the one that counts first."""
    if check in _ONE_READING:
        yield "", CHECKS[check](by_reading[PUBLISHED_READING])
    elif check in {*CHECKS, *CELEBA_CHECKS}:
        decide = CHECKS.get(check) or _on_faces(check)
        first = _FIRST.get(check, PUBLISHED_READING)
        for name in (first, *(name for name in READINGS if name != first)):
            if name != AS_PRINTED or check in _PRINTED_CLAIMS:
                yield name, decide(by_reading[name])
    elif check in SIMILARITY_CHECKS:
        for form in FORMS:
            yield form, SIMILARITY_CHECKS[check](by_reading[PUBLISHED_READING], form)
    else:
        for name in PARITY_READINGS:
            yield name, PARITY_CHECKS[check](by_reading[PUBLISHED_READING], name)


def _on_faces(check: str) -> Callable[[Results], Outcome]:
    """A check of CelebA as a check of all results."""
    plans, decide = CELEBA_CHECKS[check]
    return lambda results: decide(faces(results, *plans))
