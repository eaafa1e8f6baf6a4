"""The quoted claims (``paper/claims.toml``), each decided from the results in its readings.

- A claim on gaps is judged by soft gaps at the epoch of the published rule, then by hard gaps, then
  by soft gaps at the epoch of the highest validation AP: what depends on these is seen at once.
- A claim on similarities is judged in the exact form, which is this project's definition, and in
  the form that comes nearest to Table 1's last row.
- A claim on CelebA is judged on all of it, or on a sample, which the reading then says.
- A claim on the parity score is judged by Eq. 5, by the sum of |c_0 - c_1| of Sec. 3.1, and in the
  reading that comes nearest to Table 1's first row.

The first reading is the verdict that counts; a reading that changes nothing is left out.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from dralign.reproduce.celeba import faces
from dralign.reproduce.claims_celeba import CELEBA_CHECKS
from dralign.reproduce.claims_rationale import PARITY_CHECKS, SIMILARITY_CHECKS
from dralign.reproduce.claims_tradeoff import CHECKS
from dralign.reproduce.entry import Reproduction, paper
from dralign.reproduce.results import Results
from dralign.reproduce.table1 import best_parity_reading, best_similarity_form
from dralign.reproduce.verdicts import Finding, Outcome
from dralign.training import Selection

HIGHEST_AP: Final = Selection("highest_ap", measure="soft")


def claims(results: Results) -> Reproduction:
    """Every quoted claim with its verdicts and evidence."""
    return Reproduction(
        ("section", "claim", "reading", "verdict", "evidence"),
        tuple(
            (f.section, f.statement, f.reading, f.verdict, f.evidence) for f in findings(results)
        ),
        __doc__.split("\n\n", 1)[1].strip() if __doc__ else "",
    )


def findings(results: Results, entry: str | None = None) -> list[Finding]:
    """What became of the claims of an entry, or of all; the readings of a claim stand together."""
    return [
        Finding(claim["section"], claim["quote"], reading, *outcome)
        for claim in paper("claims")["claims"]
        if entry in {None, claim["entry"]}
        for reading, outcome in _decided(claim["check"], results)
    ]


def _decided(check: str, results: Results) -> list[tuple[str, Outcome]]:
    """The outcomes of a check by reading, without those equal to the one that counts."""
    sample = ""
    if check in CELEBA_CHECKS:
        found = faces(results, *CELEBA_CHECKS[check][0])
        if not found.results.records:
            return [("", ("needs CelebA", ""))]
        sample = "on the sample" if found.sample else ""
    first, *others = _readings(check, results)
    kept = [(reading, outcome) for reading, outcome in others if outcome != first[1]]
    if not kept:
        return [(sample, first[1])]
    prefix = f"{sample}, " if sample else ""
    return [(prefix + reading, outcome) for reading, outcome in (first, *kept)]


def _readings(check: str, results: Results) -> Iterator[tuple[str, Outcome]]:
    """The outcome of a check in each reading of it."""
    if check in {*CHECKS, *CELEBA_CHECKS}:
        decide = CHECKS.get(check) or _on_faces(check)
        yield "soft", decide(results)
        yield "hard", decide(replace(results, measure="hard"))
        yield "soft, epoch of highest AP", decide(replace(results, selection=HIGHEST_AP))
    elif check in SIMILARITY_CHECKS:
        forms = dict.fromkeys(("unit, exact", best_similarity_form(results)))
        for form in forms:
            yield form, SIMILARITY_CHECKS[check](results, form)
    else:
        names = ("parameter, mean, squared", "parameter, mean, absolute")
        for name in dict.fromkeys((*names, best_parity_reading(results))):
            yield name, PARITY_CHECKS[check](results, name)


def _on_faces(check: str) -> Callable[[Results], Outcome]:
    """A check of CelebA as a check of all results."""
    plans, decide = CELEBA_CHECKS[check]
    return lambda results: decide(faces(results, *plans))
