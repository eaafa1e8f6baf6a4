"""What the level of the scores does to each measure: the table of docs/measures.md.

    cd results
    python ../experiments/measures_table.py settle_adult.jsonl.gz measures_table.jsonl.gz

Means over ten seeds at the published learning rate, at the epoch of the smallest soft gap on
validation rows (the published rule). Below it paired t-tests at equal weight, with Holm's
correction over all of them; ▼ and ▲ say on which side of the other method a figure lies at .05.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
from keep import records_of
from settle import recalibrated

from dralign.analysis import Interval, holm, p_values
from dralign.training import PUBLISHED_RULE

FIGURES = {
    "AP": lambda e: e.test["average_precision"],
    "soft": lambda e: abs(e.test["soft_demographic_parity"]),
    "hard": lambda e: abs(e.test["hard_demographic_parity"]),
    "mean score": lambda e: e.test["mean_probability"],
    "recalibrated": recalibrated,
    "base rate": lambda e: abs(e.test["base_rate_demographic_parity"]),
    "all cut-offs": lambda e: abs(e.test["all_cutoffs_demographic_parity"]),
}
HALVED = {"soft": 0.5, "hard": 0.0, "mean score": 0.5}  # what becomes of them; the others stay
PARAMETER = "per parameter, every 8th"
UNIT = "per unit, every 8th"
WEIGHTS = (0.2, 0.4)
PAIRS = [
    (f"{method}, {form}", other)
    for form in (PARAMETER, UNIT)
    for method, other in (("dralign", "gap"), ("dralign", f"placebo, {form}"), ("placebo", "gap"))
]


def arm(spec):
    """How the row of a trial is called."""
    if spec.method not in {"dralign", "placebo"}:
        return spec.method
    every = "every step" if spec.alignment_every == 1 else f"every {spec.alignment_every}th"
    return f"{spec.method}, per {spec.granularity}, {every}"


def figures_of(records):
    """The figures by arm and weight, name and seed."""
    found = defaultdict(lambda: defaultdict(dict))
    for record in records:
        spec = record.spec
        shown = spec.learning_rate == 0.001 and spec.fairness_weight in {0.0, *WEIGHTS}
        if record.status == "done" and shown:
            epoch = PUBLISHED_RULE.choose(record.history, spec.gap)
            for name, figure in FIGURES.items():
                found[arm(spec), spec.fairness_weight][name][spec.seed] = figure(epoch)
    return found


def means(found):
    """The table of means."""
    lines = [f"| method | λ | seeds | {' | '.join(FIGURES)} |", "| --- |" + " --- |" * 9]
    for (name, weight), figures in sorted(
        found.items(), key=lambda item: (order(item[0][0]), item[0])
    ):
        own = [Interval.of(figures[figure].values()) for figure in FIGURES]
        cells = [f"{one.mean:.3f} ± {one.half_width:.3f}" for one in own]
        lines.append(f"| {name} | {weight:g} | {own[0].n} | {' | '.join(cells)} |")
        if name == "erm":
            halved = [
                f"{one.mean * HALVED.get(figure, 1):.3f}"
                for figure, one in zip(FIGURES, own, strict=True)
            ]
            lines.append(
                f"| the same, its probabilities halved | | {own[0].n} | {' | '.join(halved)} |"
            )
    return lines


def order(name):
    """Plain methods first."""
    return ["erm", "gap", "dralign", "placebo"].index(name.split(",", maxsplit=1)[0])


def tests(found):
    """The paired tests at equal weight."""
    asked = [
        (first, second, weight, figure)
        for first, second in PAIRS
        for weight in WEIGHTS
        for figure in FIGURES
        if (first, weight) in found and (second, weight) in found
    ]
    values = [(found[a, w][f], found[b, w][f]) for a, b, w, f in asked]
    corrected = dict(zip(asked, holm([p_values(*pair).paired_t for pair in values]), strict=True))
    lines = [f"| method | against | λ | {' | '.join(FIGURES)} |", "| --- |" + " --- |" * 9]
    for first, second, weight in dict.fromkeys(key[:3] for key in asked):
        cells = []
        for figure in FIGURES:
            a, b = found[first, weight][figure], found[second, weight][figure]
            difference = np.mean([a[seed] - b[seed] for seed in sorted(a.keys() & b.keys())])
            p = corrected[first, second, weight, figure]
            mark = "" if p >= 0.05 else " ▼" if difference < 0 else " ▲"
            cells.append(f"{difference:+.3f} (p {p:.2g}){mark}")
        lines.append(f"| {first} | {second} | {weight:g} | {' | '.join(cells)} |")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("studies", type=Path, nargs="+")
    found = figures_of(
        record for study in parser.parse_args().studies for record in records_of(study)
    )
    print("\n".join([*means(found), "", *tests(found)]))


if __name__ == "__main__":
    main()
