"""How often to align: every schedule of a ledger against gap regularisation and the exact term.

    dralign sweep experiments/speed_screen.toml --out screen
    python benchmarks/schedules.py screen

The ledgers behind docs/speed.md were written before records had every measure; version control has
them (results/speed_*.sqlite, until November 2026).

Soft gaps on test rows at the epoch with the smallest soft validation gap. At matched average
precision each seed's own front is read on straight lines, and seeds whose fronts do not reach the
level are left out. The lowest average precision of a single run shows what broke.
"""

import argparse
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

from dralign.analysis.contrast import Contrast, contrast_of
from dralign.analysis.fronts import Point, front, gap_at, hypervolume
from dralign.study import Ledger, TrialRecord, TrialSpec, ledger_path
from dralign.training import PUBLISHED_RULE

RULE = PUBLISHED_RULE
Key = tuple[str, int]  # granularity and how often; ("", 0) for gap regularisation
Points = dict[int, dict[float, Point]]  # by seed and weight


def key_of(spec: TrialSpec) -> Key:
    return ("", 0) if spec.method == "gap" else (spec.granularity, spec.alignment_every)


def name_of(key: Key) -> str:
    granularity, every = key
    if not every:
        return "gap"
    return f"{granularity}, " + ("every step" if every == 1 else f"every {every}")


def show(title: str, records: list[TrialRecord]) -> None:
    points: dict[Key, Points] = defaultdict(lambda: defaultdict(dict))
    similarity: dict[Key, list[float]] = defaultdict(list)
    for record in records:
        spec, key = record.spec, key_of(record.spec)
        chosen = RULE.choose(record.history, spec.gap)
        figures = chosen.test
        points[key][spec.seed][spec.fairness_weight] = (
            figures["average_precision"],
            abs(figures[f"soft_{spec.gap}"]),
        )
        similarity[key].append(chosen.similarity_total("unit"))
    # What a sweep that is under way (or a larger plan) has in part only is left out.
    most = max(map(len, points.values()))
    points = {key: seeds for key, seeds in points.items() if 2 * len(seeds) > most}
    counts = [Counter(w for at in seeds.values() for w in at) for seeds in points.values()]
    weights = sorted(
        w for w in counts[0] if all(2 * found[w] > found.most_common(1)[0][1] for found in counts)
    )
    whole = set.intersection(
        *({s for s, at in seeds.items() if at.keys() >= set(weights)} for seeds in points.values())
    )
    if not whole or not weights:
        print(f"\n{title}: no seed with every schedule yet")
        return
    for seeds in points.values():
        for s, at in seeds.items():
            seeds[s] = {w: at[w] for w in weights if w in at}
    print(f"\n{title}, n = {len(whole)} seeds\n")
    header = ["schedule", *(f"lambda {w:g}: AP / gap" for w in weights)]
    header += ["lowest AP", "similarity", "hypervolume", "- gap", "- exact"]
    print("| " + " | ".join(header) + " |\n" + "| --- " * len(header) + "|")
    worst = max(gap for seeds in points.values() for s in whole for _, gap in seeds[s].values())
    floor = min(ap for seeds in points.values() for s in whole for ap, _ in seeds[s].values())
    areas = {
        key: {s: hypervolume(seeds[s].values(), (floor, worst)) for s in whole}
        for key, seeds in points.items()
    }
    for key in sorted(points):
        means = [
            tuple(statistics.fmean(points[key][s][w][i] for s in whole) for i in (0, 1))
            for w in weights
        ]
        cells = [name_of(key), *(f"{ap:.3f} / {gap:.3f}" for ap, gap in means)]
        cells += [f"{min(points[key][s][w][0] for s in whole for w in weights):.3f}"]
        cells += [f"{statistics.fmean(similarity[key]):.2f}"]
        cells += [f"{statistics.fmean(areas[key].values()):.3f}"]
        for base in (("", 0), ("unit", 1)):
            cells.append("" if key == base or base not in areas else said(areas[key], areas[base]))
        print("| " + " | ".join(cells) + " |")
    if len(weights) > 2:  # else there is hardly a front
        matched(points, whole)


def said(ours: Mapping[int, float], theirs: Mapping[int, float]) -> str:
    """A difference of hypervolumes with its paired p."""
    one = compared("hypervolume", math.nan, ours, theirs)
    return f"{one.difference.mean:+.3f} (p {one.p.paired_t:.2g})"


def compared(
    figure: str, level: float, ours: Mapping[int, float], theirs: Mapping[int, float]
) -> Contrast:
    at = "front" if figure == "hypervolume" else "average_precision"
    return contrast_of(figure, at, level, ours, theirs, len(ours))  # type: ignore[arg-type]


def matched(points: Mapping[Key, Points], whole: set[int]) -> None:
    """The gap at matched average precision, relative to gap regularisation."""
    fronts = {
        key: {s: front(seeds[s].values()) for s in sorted(whole)} for key, seeds in points.items()
    }
    reached = [found[-1][0] for found in fronts["", 0].values()]
    lowest = [found[0][0] for found in fronts["", 0].values()]
    if not reached:
        return
    low, high = statistics.fmean(lowest), statistics.fmean(reached)
    levels = [round(low + share * (high - low), 3) for share in (0.25, 0.5, 0.75)]
    print("\n| gap to that of `gap` | " + " | ".join(f"at AP {x:g}" for x in levels) + " |")
    print("| --- " * (len(levels) + 1) + "|")
    for key in sorted(fronts):
        if not key[1]:
            continue
        cells = []
        for level in levels:
            ours, theirs = (
                {s: gap_at(found, level) for s, found in fronts[side].items()}
                for side in (key, ("", 0))
            )
            one = compared("gap", level, ours, theirs)
            cells.append(
                f"{one.ratio.value - 1:+.0%} ({one.ratio.low - 1:+.0%} to "
                f"{one.ratio.high - 1:+.0%}; p {one.p.paired_t:.2g}; n {one.difference.n})"
                if one.difference.n > 1
                else "–"
            )
        print(f"| {name_of(key)} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path, nargs="+", help="ledgers, or their folders")
    records = []
    for study in parser.parse_args().study:
        with Ledger(ledger_path(study), create=False) as ledger:
            records += ledger.records(status="done")
    problems: dict[tuple[str, str], list[TrialRecord]] = defaultdict(list)
    for record in records:
        problems[record.spec.data.name, record.spec.gap].append(record)
    for (data, gap), own in problems.items():
        show(f"{data}, {gap}", own)
