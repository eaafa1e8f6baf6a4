"""Does alignment help? The figures of docs/does-alignment-help.md, from its finished trials.

    python experiments/settle.py studies/settle_adult studies/settle_compas studies/settle_credit

prints the part of the page below "What came out" and draws docs/images/does-alignment-help.png. The
rule is on that page; it was written before the trials were looked at.
"""

import argparse
import math
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from keep import records_of

from dralign.analysis import Interval, hypervolume
from dralign.metrics import gap_measure
from dralign.metrics.recalibrated import recalibrated_gap
from dralign.reproduce.fronts import matched_ratio
from dralign.reproduce.levels import finding
from dralign.training import PUBLISHED_RULE, Selection

LAST = Selection("last", 0)
RULES = {
    "last epoch": LAST,
    "smallest soft gap (published)": PUBLISHED_RULE,
    "smallest base-rate gap": Selection(),
    "highest AP": Selection("highest_ap"),
}
MEASURES = ("all_cutoffs", "base_rate", "recalibrated", "soft", "hard")
ARMS = ("gap", "dralign, every step", "dralign, every 8th", "placebo, every 8th")
SECONDARY = (
    "Secondary, each at its better learning rate (last epoch), then at the published one. ▼ the "
    "whole interval is below 1, ▲ above it, ≈ within 5 % of it:"
)
FIGURE = Path("docs/images/does-alignment-help.png")


def arm(spec):
    """Which of the compared methods a trial is of."""
    if spec.method not in {"dralign", "placebo"}:
        return spec.method
    return f"{spec.method}, {'every step' if spec.alignment_every == 1 else 'every 8th'}"


class Study:
    """The finished trials of a study or of its copy, by arm, learning rate and seed."""

    def __init__(self, path):
        records = [record for record in records_of(path) if record.status == "done"]
        self.data = records[0].spec.data.name
        self.trials = defaultdict(lambda: defaultdict(list))
        for record in records:
            key = arm(record.spec), record.spec.learning_rate
            self.trials[key][record.spec.seed].append(record)
        self.rates = sorted({rate for _, rate in self.trials}, reverse=True)
        weights = {
            len(trials)
            for key, seeds in self.trials.items()
            for trials in seeds.values()
            if key[0] != "erm"
        }
        self.n_weights = max(weights, default=0)

    def points(self, key, rule, measure, split="test"):
        """(average precision, gap) of every weight, by seed; seeds that lack a weight are out."""
        found = {}
        for seed, trials in self.trials[key].items():
            if len(trials) == self.n_weights:
                ordered = sorted(trials, key=lambda trial: trial.spec.fairness_weight)
                found[seed] = [point(trial, rule, measure, split) for trial in ordered]
        return found

    def better_rate(self, name):
        """The learning rate with the larger mean hypervolume on validation rows, last epoch."""
        plain = [
            point(trial, LAST, "all_cutoffs", "validation")
            for rate in self.rates
            for trials in self.trials["erm", rate].values()
            for trial in trials
        ]
        reference = (min(ap for ap, _ in plain) - 0.1, float(np.mean([gap for _, gap in plain])))
        volumes = {
            rate: np.mean(
                [
                    hypervolume(points, reference)
                    for points in self.points(
                        (name, rate), LAST, "all_cutoffs", "validation"
                    ).values()
                ]
            )
            for rate in self.rates
        }
        return max(volumes, key=lambda rate: volumes[rate])

    def ratio(self, first, second, rule, measure):
        """The finding of the ratio of gaps at matched average precision."""
        ours, theirs = (self.points(key, rule, measure) for key in (first, second))
        return finding(
            matched_ratio(ours[s], theirs[s]) for s in sorted(ours.keys() & theirs.keys())
        )


def point(trial, rule, measure, split):
    """Average precision and absolute gap of a trial at the epoch that the rule picks."""
    epoch = rule.choose(trial.history, trial.spec.gap)
    figures = getattr(epoch, split)
    if measure == "recalibrated":
        return figures["average_precision"], recalibrated(epoch)
    return figures["average_precision"], abs(gap_measure(measure).of(figures, trial.spec.gap))


def recalibrated(epoch):
    """The soft DP gap after Platt scaling on validation rows; NaN where no quantiles were kept."""
    if not all(cells.quantiles for cells in epoch.cells.values()):
        return math.nan
    return recalibrated_gap(epoch.cells["validation"], epoch.cells["test"], "demographic_parity")


def report(study):
    """The tables of one data set, as Markdown."""
    best = {name: study.better_rate(name) for name in ARMS}
    n = len(study.points(("gap", study.rates[0]), LAST, "soft"))
    lines = [
        f"### {study.data}, {n} seeds",
        "",
        "Better learning rate on validation rows: "
        + "; ".join(f"{name} {rate:g}" for name, rate in best.items())
        + ".",
        "",
        "| what | against | figure | ratio of gaps at matched AP (95 % interval): level |",
        "| --- | --- | --- | --- |",
    ]
    pairs = [(name, other) for name in ARMS[1:3] for other in ("gap", ARMS[3])]
    for name, other in (*pairs, (ARMS[3], "gap")):
        found = study.ratio((name, best[name]), (other, best[other]), LAST, "all_cutoffs")
        lines.append(f"| {name} | {other} | **all-cut-offs, last epoch (primary)** | {found} |")
    lines += ["", SECONDARY, ""]
    lines += ["| what | against | epoch | learning rate | " + " | ".join(MEASURES) + " |"]
    lines += ["| --- | --- | --- | --- |" + " --- |" * len(MEASURES)]
    for name, other in (*pairs, (ARMS[3], "gap")):
        for words, rule, at in (
            ("last epoch", LAST, best),
            *((words, rule, dict.fromkeys(ARMS, study.rates[0])) for words, rule in RULES.items()),
        ):
            cells = [
                study.ratio((name, at[name]), (other, at[other]), rule, measure)
                for measure in MEASURES
            ]
            rate = "better" if at is best else f"{study.rates[0]:g}"
            lines.append(
                f"| {name} | {other} | {words} | {rate} | " + " | ".join(map(short, cells)) + " |"
            )
    lines += ["", *levels_of_scores(study)]
    return lines


def short(found):
    """A finding in a narrow cell."""
    if not found.n:
        return "–"
    sign = {"borne out": " ▼", "contradicted": " ▲"}.get(found.level, "")
    width = f" ({found.low:.2f} to {found.high:.2f})" if found.n > 1 else ""
    return f"{found.ratio:.2f}{width}{sign}{' ≈' if found.equivalent else ''}"


def levels_of_scores(study):
    """Mean score and gaps of every arm at one weight in the middle, the pilot's table."""
    lines = ["Means over seeds at the published rate and rule:", ""]
    head = (
        "method",
        "λ",
        "AP",
        "soft",
        "hard",
        "mean score",
        "recalibrated",
        "base rate",
        "all cut-offs",
    )
    lines += ["| " + " | ".join(head) + " |", "| --- |" + " --- |" * (len(head) - 1)]
    for name in ("erm", *ARMS):
        trials = study.trials[name, study.rates[0]]
        for weight in sorted(
            {t.spec.fairness_weight for of_seed in trials.values() for t in of_seed}
        ):
            same = [
                t
                for of_seed in trials.values()
                for t in of_seed
                if t.spec.fairness_weight == weight
            ]
            epochs = [PUBLISHED_RULE.choose(t.history, t.spec.gap) for t in same]
            figures = [
                [e.test["average_precision"] for e in epochs],
                *(
                    [gap_measure(m).of(e.test, same[0].spec.gap) for e in epochs]
                    for m in ("soft", "hard")
                ),
                [e.test["mean_probability"] for e in epochs],
                [recalibrated(e) for e in epochs],
                *(
                    [gap_measure(m).of(e.test, same[0].spec.gap) for e in epochs]
                    for m in ("base_rate", "all_cutoffs")
                ),
            ]
            cells = [interval(values) for values in figures]
            lines.append(f"| {name} | {weight:g} | " + " | ".join(cells) + " |")
    return lines


def interval(values):
    """Mean and half width of the 95 % interval."""
    found = Interval.of(values)
    return f"{found.mean:.3f} ± {found.half_width:.3f}" if found.n > 1 else f"{found.mean:.3f}"


def draw(studies):
    """Mean fronts at the last epoch: soft gap, and all-cut-offs gap, a row for each data set."""
    from matplotlib.figure import Figure

    from dralign.report.labels import method_style

    measures = ("soft", "all_cutoffs")
    figure = Figure(figsize=(10, 3.9 * len(studies)), dpi=150, layout="constrained")
    axes = figure.subplots(len(studies), len(measures), squeeze=False)
    for row, study in zip(axes, studies, strict=True):
        for ax, measure in zip(row, measures, strict=True):
            for name in ARMS:
                for rate, line in zip(study.rates, ("-", ":"), strict=False):
                    by_seed = list(study.points((name, rate), LAST, measure).values())
                    if not by_seed:
                        continue
                    mean = np.array(by_seed).mean(0)
                    style = method_style(name.split(",")[0])
                    marker = "x" if "every step" in name else style.marker
                    ax.plot(
                        *mean.T,
                        line,
                        color=style.colour,
                        marker=marker,
                        markersize=5,
                        label=f"{name}, rate {rate:g}",
                    )
            ax.set_title(
                f"{study.data}: {gap_measure(measure).words}, last epoch", loc="left", fontsize=10
            )
            ax.set_xlabel("average precision (test)")
            ax.grid(color="#e5e7eb")
        row[-1].legend(fontsize=7, frameon=False)
    FIGURE.parent.mkdir(exist_ok=True)
    figure.savefig(FIGURE, facecolor="white")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("studies", nargs="+", type=Path)
    studies = [Study(path) for path in parser.parse_args().studies]
    for study in studies:
        print("\n".join(report(study)))
        print()
    draw(studies)


if __name__ == "__main__":
    sys.exit(main())
