"""The page of all tables, figures and claims, written from the records alone."""

from collections import Counter
from collections.abc import Iterable, Mapping

from dralign.reproduce.catalogue import ENTRIES, PLANS, plan
from dralign.reproduce.entry import Entry, Reproduction, markdown
from dralign.reproduce.results import Results

HEAD = """# Reproduction of the paper

Written by `dralign reproduce all --study {study} --write docs/reproduction.md`; nothing in it is
edited by hand. Numbers are means over seeds with 95 % t-intervals, on the test rows, at the epoch
that the rule "{rule}" chooses by validation figures, which is the published one. Gaps are absolute
for each seed before they are averaged; soft gaps compare probabilities, hard gaps decisions at 0.5.
The paper's numbers are transcribed from its text; nothing is read off a figure.

Verdicts follow rules (`dralign.reproduce.verdicts`): **reproduced**, the statement holds for our
means and the 95 % interval bears it out; **direction only**, our means point the stated way but the
interval includes no difference, or the stated size is missed; **not reproduced**, our means do not
point that way; **not run**, trials are missing; **needs images**, it is about CelebA. A statement
of several parts has the verdict of its weakest part. With few seeds intervals are wide (factor 12.7
with two, 4.3 with three), so "direction only" is often all that can be said.
"""


def document(results: Results, *, study: str) -> str:
    """The page as Markdown; the same records give the same text."""
    made = {name: entry.make(results) for name, entry in ENTRIES.items()}
    return "\n".join(
        [
            HEAD.format(study=study, rule=results.selection),
            "## What was run\n",
            _coverage(results),
            "\n## Verdicts\n",
            _verdicts(made),
            *(section(ENTRIES[name], one) for name, one in made.items()),
        ]
    )


def section(entry: Entry, made: Reproduction) -> str:
    """One entry as Markdown."""
    parts = [f"\n## {entry.name}: {entry.title}\n", markdown(made.header, made.lines)]
    if made.findings and entry.name != "claims":
        lines = [(one.statement, one.verdict, one.evidence) for one in made.findings]
        parts += ["", markdown(("statement", "verdict", "evidence"), lines)]
    if made.note:
        parts += ["", made.note]
    return "\n".join(parts)


def _coverage(results: Results) -> str:
    """How many trials of each plan are done, and what the plans assume."""
    done = Counter(record.spec for record in results.records)
    lines, assumed = [], []
    for name in PLANS:
        described = plan(name)
        trials = [spec.portable() for spec in described.trials]
        have = [spec for spec in trials if spec in done]
        seeds = sorted({spec.seed for spec in have})
        text = f"{seeds[0]} to {seeds[-1]}" if seeds else "–"
        lines.append((name, f"{len(have)} of {len(trials)}", text))
        assumed += [f"- {name}: {text}" for text in described.assumed]
    table = markdown(("plan", "trials done", "seeds"), lines)
    return "\n".join([table, "\nAssumed, because the paper does not state it:\n", *assumed])


def _verdicts(made: Mapping[str, Reproduction]) -> str:
    """How many statements have which verdict, and the list of them by entry."""
    lines = [
        (name, finding.verdict, finding.statement)
        for name, one in made.items()
        for finding in one.findings
    ]
    counted = Counter(str(verdict) for _, verdict, _ in lines)
    return "\n".join([_listed(counted), "", markdown(("entry", "verdict", "statement"), lines)])


def _listed(counted: Mapping[str, int]) -> str:
    names: Iterable[str] = (
        "reproduced",
        "direction only",
        "not reproduced",
        "not run",
        "needs images",
    )
    return ", ".join(f"{counted.get(name, 0)} {name}" for name in names) + "."
