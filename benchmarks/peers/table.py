"""docs/peers.md below its mark, and its figures: from run.py's lines and our studies' records.

    python benchmarks/peers/table.py --write docs/peers.md

README.md has the rules, which were written before the runs were looked at.
"""

import argparse
import gzip
import json
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.stats import ttest_rel

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "experiments"))

from keep import records_of

from dralign.analysis import Interval, front, holm
from dralign.analysis.courses import Course
from dralign.metrics import gap_measure
from dralign.reproduce.fronts import by_seed, matched_ratio
from dralign.reproduce.levels import finding
from dralign.training import Selection

ROOT = Path(__file__).resolve().parents[2]
DATA = {"adult": "Adult", "compas": "COMPAS", "credit": "Credit"}
MARK = "<!-- below: python benchmarks/peers/table.py --write docs/peers.md -->"
LEVELS = (0.10, 0.05, 0.03)
GAPS = {"base_rate": "base-rate", "all_cutoffs": "all-cut-offs", "soft": "soft", "hard": "hard"}
MAIN = (("average_precision", "base_rate"), ("accuracy", "hard"))
FURTHER = (
    ("average_precision", "all_cutoffs"),
    ("average_precision", "soft"),
    ("accuracy", "base_rate"),
)
SHORT = {"average_precision": "AP", "accuracy": "accuracy"}
STUDIES = ("settle", "ranking", "peers", "peers_wide")
SEEDS, ENOUGH = 10, 8
REFERENCE = "`gap` (FairReg)"
ALIGNED, RIVAL = "`dralign`, every 8th", "`mixup`"  # the paper: 41.6 % below it on Adult
NEED_GROUP = {"`thresholds`"}
OURS = (
    "`erm`", REFERENCE, "`gap` at all cut-offs", ALIGNED, "`dralign`, every step",
    "`placebo`, every 8th", "`plugin`", RIVAL, "`adversarial`", "`oversample`",
    "`decorrelation`", "`thresholds`",
)  # fmt: skip
NOT_DRAWN = "ExponentiatedGradient"  # few levels of scores, far to the left
RULE = Selection()


@dataclass
class Method:
    """What is known of a method on a dataset.

    Attributes:
        needs_group: whether it asks for the group of whom it decides about.
        points: validation AP and the test figures, by seed and setting.
        seconds: of processor, of each fit.
        failed: why a seed has no points, by seed.
    """

    needs_group: bool = False
    points: dict = field(default_factory=lambda: defaultdict(dict))
    seconds: list = field(default_factory=list)
    failed: dict = field(default_factory=dict)

    def course(self, gap):
        """Its points as fronts are compared by them."""
        validation, test = defaultdict(dict), defaultdict(dict)
        for seed, settings in self.points.items():
            for setting, (ap, figures) in settings.items():
                validation[setting][seed] = ap
                test[setting][seed] = figures["average_precision"], figures[gap]
        return Course(validation, test)

    def best(self, figure, gap, level):
        """The most of a figure at a gap of at most so much, by seed; only seeds that reach it."""
        values = {
            seed: best_at([figures for _, figures in settings.values()], figure, gap, level)
            for seed, settings in self.points.items()
        }
        return {seed: value for seed, value in values.items() if not np.isnan(value)}


def peers_of(data):
    """The methods of other packages, by name."""
    found = defaultdict(Method)
    path = ROOT / f"results/points/peers_{data}.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in map(json.loads, file):
            method, seed = found[line["peer"]], line["seed"]
            method.needs_group = line["group"]
            errors = [point["error"] for point in line["points"] if "error" in point]
            if errors:
                method.failed[seed] = errors[0]
                continue
            for point in line["points"]:
                figures = {name: point["test"][key(name)] for name in (*SHORT, *GAPS)}
                ap = point["validation"]["average_precision"]
                method.points[seed][json.dumps(point["setting"])] = ap, figures
                method.seconds.append(point["seconds"])
    return found


def key(name):
    """The name of a figure in records."""
    return f"{name}_demographic_parity" if name in GAPS else name


def ours_of(data):
    """Our own methods at the published learning rate, by name."""
    found = defaultdict(Method)
    for study in STUDIES:
        path = ROOT / f"results/{study}_{data}.jsonl.gz"
        for record in records_of(path) if path.exists() else ():
            spec = record.spec
            if spec.learning_rate != 0.001 or spec.seed not in range(40, 40 + SEEDS):
                continue
            method = found[name_of(spec)]
            method.needs_group = name_of(spec) in NEED_GROUP
            if record.status != "done":
                method.failed[spec.seed] = record.error
                continue
            chosen = RULE.choose(record.history, spec.gap)
            gaps = {one: abs(gap_measure(one).of(chosen.test, spec.gap)) for one in GAPS}
            figures = {name: chosen.test[name] for name in SHORT} | gaps
            ap = chosen.validation["average_precision"]
            method.points[spec.seed][f"{spec.fairness_weight:g}"] = ap, figures
            method.seconds.append(sum(epoch.seconds for epoch in record.history))
    return {name: found[name] for name in OURS}


def name_of(spec):
    """How the page calls the method of a trial."""
    name = REFERENCE if spec.method == "gap" else f"`{spec.method}`"
    if spec.uses("alignment_every"):
        name += ", every step" if spec.alignment_every == 1 else ", every 8th"
    if spec.gap != "demographic_parity":
        name = "`gap` at all cut-offs"
    return name


def best_at(points, figure, gap, level):
    """The most of a figure at a gap of at most so much, on the front; NaN where it has none."""
    edge = front((point[figure], point[gap]) for point in points)
    if not edge or edge[0][1] > level:
        return np.nan
    if edge[-1][1] <= level:
        return edge[-1][0]
    values, gaps = zip(*edge, strict=True)
    return float(np.interp(level, gaps, values))


def cell(values):
    """Mean and half-width of the 95 % interval over seeds."""
    known = Interval.of(values)
    if not known.n:
        return "–"
    text = f"{known.mean:.3f}".lstrip("0")
    if known.n > 1:
        text += f" ± {known.half_width:.3f}".replace("0.", ".")
    return text if known.n == SEEDS else f"{text} (n {known.n})"


def against(method, reference, gap):
    """The ratio of gaps at matched average precision to the reference, as a cell."""
    pairs = by_seed(method.course(gap), reference.course(gap))
    result = finding(matched_ratio(*both) for both in pairs.values())
    if result.n < 2:
        return "–"
    sign = {"borne out": " ▼", "contradicted": " ▲"}.get(result.level, "")
    few = "" if result.n == SEEDS else f" n {result.n}"
    return f"{result.ratio:.2f} ({result.low:.2f} to {result.high:.2f}){sign}{few}"


def lines_of(head, rows):
    """A table as Markdown."""
    yield "| " + " | ".join(head) + " |"
    yield "|" + " --- |" * len(head)
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def heads(pairs):
    """The heads of the columns of best figures."""
    return [f"{SHORT[f]} at {GAPS[gap]} gap {level:g}" for f, gap in pairs for level in LEVELS]


def bests(method, pairs):
    """The cells of best figures."""
    return [
        cell(method.best(figure, gap, level).values()) for figure, gap in pairs for level in LEVELS
    ]


def section(name, methods):
    """The tables of a dataset."""
    reference = methods[REFERENCE]
    yield from ("", f"## {name}", "", f"![Fronts on {name}](images/peers-{name.lower()}.png)", "")
    head = ["method", "group needed", *heads(MAIN)]
    head += ["base-rate gap / `gap`'s at matched AP", "all-cut-offs gap / `gap`'s", "s a fit"]
    rows = []
    for what, method in methods.items():
        ratios = [
            "1" if method is reference else against(method, reference, gap)
            for gap in ("base_rate", "all_cutoffs")
        ]
        needs = "yes" if method.needs_group else "no"
        seconds = f"{np.median(method.seconds):.1f}" if method.seconds else "–"
        rows.append([what, needs, *bests(method, MAIN), *ratios, seconds])
    yield from lines_of(head, rows)
    ours, rival = methods[ALIGNED], methods[RIVAL]
    ratios = ", ".join(f"{GAPS[gap]} {against(ours, rival, gap)}" for gap in ("base_rate", "soft"))
    yield from ("", f"{ALIGNED}, to {RIVAL} at matched AP: {ratios}.")
    for what, method in methods.items():
        if method.failed:
            why = min(method.failed.values(), key=len)
            yield from ("", f"{what} failed on {len(method.failed)} of {SEEDS} seeds: `{why}`.")
    yield from ("", f"<details><summary>{name} in other measures</summary>", "")
    rows = [[what, *bests(method, FURTHER)] for what, method in methods.items()]
    yield from lines_of(["method", *heads(FURTHER)], rows)
    yield from ("", "</details>")


def leaders(methods, figure, gap, level, *, needs_group):
    """Who has the most, and who is not told apart from it, as words."""
    values = {
        name: method.best(figure, gap, level)
        for name, method in methods.items()
        if method.needs_group == needs_group
    }
    values = {name: seeds for name, seeds in values.items() if len(seeds) >= ENOUGH}
    if not values:
        return "none reaches it"
    first = max(values, key=lambda name: np.mean([*values[name].values()]))
    others = [name for name in values if name != first]
    tests = holm([paired(values[first], values[name]) for name in others])
    level_with = [name for name, p in zip(others, tests, strict=True) if not p < 0.05]
    words = f"**{first}** {np.mean([*values[first].values()]):.3f}".replace("0.", ".")
    return words + (f"; not told apart: {', '.join(level_with)}" if level_with else "")


def paired(one, other):
    """The p-value of Student's paired t-test over the seeds of both."""
    seeds = sorted(one.keys() & other.keys())
    return float(ttest_rel([one[s] for s in seeds], [other[s] for s in seeds]).pvalue)


def who_leads(found):
    """The table of leaders over all datasets."""
    yield from ("", "## Who leads", "")
    rows = []
    for needs_group in (False, True):
        for figure, gap in (*MAIN, FURTHER[0]):
            for level in LEVELS:
                what = [f"{SHORT[figure]} at {GAPS[gap]} gap {level:g}"]
                what.append("yes" if needs_group else "no")
                what += [
                    leaders(methods, figure, gap, level, needs_group=needs_group)
                    for methods in found.values()
                ]
                rows.append(what)
    yield from lines_of(["most", "group needed", *(DATA[data] for data in found)], rows)


def settings(found):
    """Every setting that was tried."""
    yield from ("", "## Settings", "")
    yield from ("<details><summary>All settings, by method and dataset</summary>", "")
    names = dict.fromkeys(name for methods in found.values() for name in methods)
    rows = []
    for name in names:
        cells = []
        for methods in found.values():
            points = methods[name].points if name in methods else {}
            tried = sorted({one for seeds in points.values() for one in seeds}, key=strength)
            texts = [
                ", ".join(map(str, json.loads(t).values())) if t[0] == "{" else t for t in tried
            ]
            cells.append("; ".join(filter(None, texts)) or "–")
        rows.append([name, *cells])
    yield from lines_of(["method", *(DATA[data] for data in found)], rows)
    yield from ("", "</details>")


def strength(setting):
    """The weight or bound of a setting; 0 where it has none."""
    return next(iter(json.loads(setting).values()), 0) if setting[0] == "{" else float(setting)


def draw(name, methods, path):
    """Mean average precision and base-rate gap at each setting, a panel for each kind of method."""
    from matplotlib.figure import Figure

    from dralign.report.look import BLACK, METHODS

    ours = [one for one in methods if one.startswith("`") and not methods[one].needs_group]
    theirs = [
        one for one, method in methods.items()
        if not (one.startswith("`") or method.needs_group or NOT_DRAWN in one)
    ]  # fmt: skip
    figure = Figure(figsize=(11, 4.8), dpi=150, layout="constrained")
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    colours = [colour for colour in METHODS if colour != BLACK]
    for ax, shown, title in zip(panels, (ours, theirs), ("ours", "other packages"), strict=True):
        for index, one in enumerate([REFERENCE, *(n for n in shown if n != REFERENCE)]):
            course = methods[one].course("base_rate").test
            if not course:
                continue
            ordered = sorted(course, key=strength)
            points = np.array([np.mean([*course[at].values()], axis=0) for at in ordered])
            color = colours[(index - 1) % len(colours)] if index else "black"
            ax.plot(
                points[:, 0], points[:, 1], "os^Dv"[index % 5], ms=3.5, lw=1.2 if index else 2,
                ls="--" if index > len(colours) else "-", color=color, label=one.replace("`", ""),
            )  # fmt: skip
        ax.set_title(f"{name}: {title}, group not needed", loc="left", fontsize=10)
        ax.set_xlabel("average precision (test, mean over seeds)")
        ax.grid(alpha=0.3)
        ax.legend(fontsize=7, frameon=False)
    panels[0].set_ylabel("base-rate gap (test)")
    figure.savefig(path)


def tables(found):
    """The page below its mark."""
    lines = [*who_leads(found)]
    for data, methods in found.items():
        lines += section(DATA[data], methods)
    return "\n".join([*lines, *settings(found)]) + "\n"


def all_methods():
    """What is known of every method, by dataset."""
    return {data: {**ours_of(data), **peers_of(data)} for data in DATA}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", type=Path, required=True)
    page = parser.parse_args().write
    found = all_methods()
    for data, methods in found.items():
        draw(DATA[data], methods, page.parent / f"images/peers-{data}.png")
    above = page.read_text(encoding="utf-8").partition(MARK)[0]
    page.write_text(above + MARK + "\n" + tables(found), encoding="utf-8")


if __name__ == "__main__":
    main()
