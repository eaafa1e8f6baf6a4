"""The table and the figure of docs/peers.md, from the lines of run.py and records of our studies.

python benchmarks/peers/table.py adult results/peers_adult.jsonl.gz \
        results/settle_adult.jsonl.gz results/ranking_adult.jsonl.gz --figure peers.png
"""

import argparse
import gzip
import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "experiments"))

from keep import records_of

from dralign.analysis import Interval, front
from dralign.metrics import gap_measure
from dralign.reproduce.fronts import matched_ratio
from dralign.reproduce.levels import finding
from dralign.training import Selection

LEVELS = (0.10, 0.05, 0.03)
RULE = Selection()
FIGURES = ("average_precision", "accuracy", "base_rate", "all_cutoffs", "soft", "hard")
OURS = {"gap": "`gap` (FairReg)", "dralign": "`dralign`"}
REFERENCE = "`gap` (FairReg)"


def peers(path):
    """name: seed: points, and whether the group is needed, seconds of a fit."""
    opened = gzip.open if path.name.endswith(".gz") else open
    found, needs, seconds = defaultdict(dict), {}, defaultdict(list)
    with opened(path, "rt", encoding="utf-8") as file:
        for entry in map(json.loads, file):
            points = [point for point in entry["points"] if "test" in point]
            if len(points) == len(entry["points"]):
                found[entry["peer"]][entry["seed"]] = [
                    {name: point["test"][key(name)] for name in FIGURES} for point in points
                ]
                seconds[entry["peer"]] += [point["seconds"] for point in points]
            needs[entry["peer"]] = entry["group"]
    return found, needs, seconds


def key(name):
    """The name of a figure in records."""
    gaps = FIGURES[2:]
    return f"{name}_demographic_parity" if name in gaps else name


def ours(paths):
    """The same of our own methods, at the published learning rate."""
    found, seconds = defaultdict(lambda: defaultdict(list)), defaultdict(list)
    for record in (one for path in paths for one in records_of(path) if one.status == "done"):
        spec = record.spec
        if spec.learning_rate != 0.001:
            continue
        name = OURS.get(spec.method, f"`{spec.method}`")
        if spec.uses("alignment_every"):
            name += ", every step" if spec.alignment_every == 1 else ", every 8th"
        if spec.gap != "demographic_parity":
            name += " at all cut-offs"
        test = RULE.choose(record.history, spec.gap).test
        gaps = {one: abs(gap_measure(one).of(test, spec.gap)) for one in FIGURES[2:]}
        point = {
            "average_precision": test["average_precision"],
            "accuracy": test["accuracy"],
            **gaps,
        }
        found[name][spec.seed].append((spec.fairness_weight, point))
        seconds[name].append(sum(epoch.seconds for epoch in record.history))
    ordered = {
        name: {
            seed: [point for _, point in sorted(points, key=lambda one: one[0])]
            for seed, points in seeds.items()
        }
        for name, seeds in found.items()
    }
    return ordered, seconds


def best_at(points, figure, gap, level):
    """The most of a figure at a gap of at most so much, on the front; NaN where it has none."""
    edge = front((point[figure], point[gap]) for point in points)
    if not edge or edge[0][1] > level:
        return np.nan
    if edge[-1][1] <= level:
        return edge[-1][0]
    values, gaps = zip(*edge, strict=True)
    return float(np.interp(level, gaps, values))


def cell(values, n_all):
    """Mean and half-width of the 95 % interval over seeds."""
    known = Interval.of(value for value in values if not np.isnan(value))
    if not known.n:
        return "–"
    text = f"{known.mean:.3f}" + (f" ± {known.half_width:.3f}" if known.n > 1 else "")
    return text if known.n == n_all else f"{text} (n {known.n})"


def table(found, needs, seconds):
    """The lines of the table."""
    head = ["method", "group at prediction"]
    head += [f"AP at base-rate gap {level:g}" for level in LEVELS]
    head += [f"accuracy at hard gap {level:g}" for level in LEVELS]
    head += ["base-rate gap / `gap`'s, matched AP", "all-cut-offs", "s a fit"]
    yield "| " + " | ".join(head) + " |"
    yield "|" + " --- |" * len(head)
    for name, seeds in found.items():
        n = len(seeds)
        own = [name, "yes" if needs.get(name) else "no"]
        for figure, gap in (("average_precision", "base_rate"), ("accuracy", "hard")):
            own += [
                cell([best_at(points, figure, gap, level) for points in seeds.values()], n)
                for level in LEVELS
            ]
        for gap in ("base_rate", "all_cutoffs"):
            reference = found[REFERENCE]
            pairs = sorted(seeds.keys() & reference.keys())
            ratios = [
                matched_ratio(
                    *(
                        [(p["average_precision"], p[gap]) for p in side[seed]]
                        for side in (seeds, reference)
                    )
                )
                for seed in pairs
            ]
            result = finding(ratios)
            few = name == REFERENCE or result.n < 2
            own.append(
                "–" if few else f"{result.ratio:.2f} ({result.low:.2f} to {result.high:.2f})"
            )
        own.append(f"{np.median(seconds[name]):.1f}")
        yield "| " + " | ".join(own) + " |"


def draw(found, needs, path, title):
    """Mean average precision and base-rate gap at each setting."""
    from matplotlib.figure import Figure

    from dralign.report.look import METHODS

    figure = Figure(figsize=(8.5, 5.5), dpi=160, layout="constrained")
    ax = figure.subplots()
    for index, (name, seeds) in enumerate(found.items()):
        points = np.array(
            [
                [(p["average_precision"], p["base_rate"]) for p in points]
                for points in seeds.values()
            ]
        ).mean(0)
        ax.plot(
            points[:, 0], points[:, 1], "o-" if not needs.get(name) else "s:", ms=3.5, lw=1.2,
            color=METHODS[index % len(METHODS)], label=name.replace("`", ""),
            alpha=1 if index < len(METHODS) else 0.55,
        )  # fmt: skip
    ax.set_xlabel("average precision (test)")
    ax.set_ylabel("base-rate gap (test)")
    ax.set_title(title, loc="left", fontsize=10)
    ax.grid(alpha=0.3)
    ax.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data")
    parser.add_argument("peers", type=Path)
    parser.add_argument("studies", type=Path, nargs="+")
    parser.add_argument("--figure", type=Path)
    given = parser.parse_args()
    theirs, needs, seconds = peers(given.peers)
    own, own_seconds = ours(given.studies)
    needs |= {"`thresholds`": True}
    found, seconds = {**own, **theirs}, {**own_seconds, **seconds}
    print("\n".join(table(found, needs, seconds)))
    if given.figure:
        draw(
            found,
            needs,
            given.figure,
            f"{given.data}: mean over ten seeds; dotted: needs the group",
        )


if __name__ == "__main__":
    main()
