"""The page of all tables, figures and claims, written from the records alone."""

from collections import Counter
from collections.abc import Iterable, Mapping

from dralign.reproduce.catalogue import ENTRIES
from dralign.reproduce.claims import findings
from dralign.reproduce.entry import Entry, markdown
from dralign.reproduce.planned import PLANS, plan
from dralign.reproduce.results import Results
from dralign.reproduce.verdicts import VERDICTS, Finding

HEAD = """# Reproduction of the paper

Written by `dralign reproduce all --no-run --study {study} --write docs/reproduction.md`; nothing in
it is edited by hand. Numbers are means over seeds with 95 % t-intervals, on the test rows, at the
epoch that validation figures choose by the published rule ({rule}).
Gaps are absolute for each seed before they are averaged; soft gaps compare probabilities, hard gaps
decisions at 0.5. The paper's numbers are transcribed from its text; nothing is read off a figure.

Verdicts follow rules (`dralign.reproduce.verdicts`): **reproduced**, the statement holds for our
means and the 95 % interval bears it out; **direction only**, our means point the stated way but the
interval includes no difference, or the stated size is missed; **not reproduced**, our means do not
point that way; **not run**, trials are missing or no seeds reach an equal precision; **needs
CelebA**, it is about faces, and there are no trials on them. A statement of several parts has the
verdict of its weakest part; one that says "generally" is judged by the mean over its parts. With
few seeds intervals are wide (factor 12.7 with two, 4.3 with three), so "direction only" is often
all that can be said.

Many claims leave something open, and are judged in several readings: soft or hard gaps, the
published choice of the epoch or the one of highest validation AP, similarity without or with the
clamp of the published code's framework, and which parity score is meant. The first reading named is
the one that counts; the others say what a verdict hangs on.
"""


def document(results: Results, *, study: str) -> str:
    """The page as Markdown; the same records give the same text."""
    entries = [entry for entry in ENTRIES.values() if entry.name != "claims"]
    decided = {entry.name: findings(results, entry.name) for entry in entries}
    return "\n".join(
        [
            HEAD.format(study=study, rule=results.selection),
            "## What was run\n",
            _coverage(results),
            _provenance(results),
            "\n## Claims\n",
            _overview(decided),
            *(section(entry, results, decided[entry.name]) for entry in entries),
            "",
        ]
    )


def section(entry: Entry, results: Results, decided: Iterable[Finding] | None = None) -> str:
    """One entry as Markdown: the table, what it decides, and how to read it.

    Args:
        entry: what is shown.
        results: our side.
        decided: its claims, if they are there already; None decides them now.
    """
    made = entry.make(results)
    parts = [f"\n## {entry.name}: {entry.title}\n", markdown(made.header, made.lines)]
    if decided is None:
        decided = findings(results, entry.name)
    if lines := [(f"{f.statement}", f.reading, f.verdict, f.evidence) for f in decided]:
        parts += ["", markdown(("claim", "reading", "verdict", "evidence"), lines)]
    if made.note:
        parts += ["", made.note]
    return "\n".join(parts)


def _coverage(results: Results) -> str:
    """How many trials of each plan are done, and what the plans assume."""
    done = {record.spec.but(readings=False) for record in results.records}
    lines, assumed = [], []
    for name in PLANS:
        described = plan(name)
        trials = [spec.portable().but(readings=False) for spec in described.trials]
        have = [spec for spec in trials if spec in done]
        seeds = sorted({spec.seed for spec in have})
        text = f"{seeds[0]} to {seeds[-1]}" if seeds else "–"
        lines.append((name, f"{len(have)} of {len(trials)}", text))
        assumed += [f"- {name}: {text}" for text in described.assumed]
    table = markdown(("plan", "trials done", "seeds"), lines)
    return "\n".join([table, "\nAssumed, because the paper does not state it:\n", *assumed])


def _provenance(results: Results) -> str:
    """What the trials were run with, by key; several values where they differ."""
    found: dict[str, set[str]] = {}
    for record in results.records:
        for key, value in record.environment.items():
            found.setdefault(key, set()).add(value)
    text = "; ".join(f"{key} {', '.join(sorted(found[key]))}" for key in sorted(found))
    return f"\nRun with: {text or 'nothing yet'}."


def _overview(decided: Mapping[str, Iterable[Finding]]) -> str:
    """How many claims have which verdict, and all of them with their readings, by entry."""
    claims: dict[tuple[str, str], list[Finding]] = {}
    for entry, found in decided.items():
        for finding in found:
            claims.setdefault((entry, finding.statement), []).append(finding)
    counted = Counter(readings[0].verdict for readings in claims.values())
    lines = [
        (
            readings[0].section,
            entry,
            quote,
            readings[0].verdict,
            "; ".join(map(_other, readings[1:])),
        )
        for (entry, quote), readings in claims.items()
    ]
    open_ones = [readings for readings in claims.values() if len({f.verdict for f in readings}) > 1]
    several = [readings for readings in claims.values() if len(readings) > 1]
    return "\n".join(
        [
            ", ".join(f"{counted[verdict]} {verdict}" for verdict in VERDICTS) + ". Of "
            f"{len(several)} claims with several readings, {len(open_ones)} have another verdict "
            "in another reading.\n",
            markdown(("section", "entry", "claim", "verdict", "in other readings"), lines),
        ]
    )


def _other(finding: Finding) -> str:
    """A further reading in a few words."""
    return f"{finding.reading}: {finding.verdict}"
