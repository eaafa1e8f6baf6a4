"""Which method is the default? Applies the rule of docs/methods.md to its finished trials.

python experiments/default.py results/default_*.jsonl.gz
    python experiments/default.py results/default_*adult.jsonl.gz results/settle_adult.jsonl.gz

The second takes the seeds of two studies together, trials of the same settings alone.
"""

import argparse
import math
from collections import defaultdict
from pathlib import Path

import numpy as np
from keep import records_of
from settle import short

from dralign.metrics import gap_measure
from dralign.reproduce.fronts import matched_ratio
from dralign.reproduce.levels import MARGIN, finding
from dralign.training import Selection

SOFT, RANKS = "demographic_parity", "all_cutoffs_demographic_parity"
PLAINEST = ("gap", SOFT)
CANDIDATES = (PLAINEST, ("gap", RANKS), ("dralign", SOFT), ("dralign", RANKS))
CONTROLS = {("dralign", RANKS): ("placebo", RANKS), ("dralign", SOFT): ("placebo", SOFT)}
RULE = Selection()
RATE = 0.001
MEASURES = ("base_rate", "all_cutoffs", "soft", "hard")


def is_of_rule(spec):
    """Whether a trial has the learning rate and the schedule of the candidates."""
    every_step = spec.uses("alignment_every") and spec.alignment_every == 1
    return spec.learning_rate == RATE and not every_step


def fronts(records, measure):
    """(average precision, gap) of every weight, by candidate and seed."""
    found = defaultdict(lambda: defaultdict(list))
    for record in records:
        test = RULE.choose(record.history, record.spec.gap).test
        gap = gap_measure(measure).of(test, record.spec.gap)
        key = record.spec.method, record.spec.gap
        found[key][record.spec.seed].append((test["average_precision"], abs(gap)))
    return found


def ratios(records, key, other, measure):
    """The finding of one candidate over another."""
    found = fronts(records, measure)
    seeds = sorted(found[key].keys() & found[other].keys())
    return finding(matched_ratio(found[key][seed], found[other][seed]) for seed in seeds)


def seconds(records, key):
    """The median time of the training steps of an epoch."""
    times = [
        epoch.seconds
        for record in records
        if (record.spec.method, record.spec.gap) == key
        for epoch in record.history
    ]
    return float(np.median(times)) if times else math.nan


def decide(studies):
    """The default by the rule, from ``ratio``, ``level`` and ``cost`` of each candidate."""
    allowed = {PLAINEST: (1.0, 1.0)}
    for key in CANDIDATES[1:]:
        found = [ratios(records, key, PLAINEST, "base_rate") for records in studies]
        levels = {one.level for one in found}
        known = [one.ratio for one in found if one.level != "too few seeds"]
        if "borne out" in levels and not levels & {"contradicted", "leans against"}:
            mean = math.exp(np.mean(np.log(known)))
            cost = [seconds(records, key) / seconds(records, PLAINEST) for records in studies]
            allowed[key] = mean, float(np.mean(cost))
    if len(allowed) > 1:
        del allowed[PLAINEST]
    least = min(mean for mean, _ in allowed.values())
    near = {key: cost for key, (mean, cost) in allowed.items() if mean <= least * (1 + MARGIN)}
    return min(near, key=near.get)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "studies", nargs="+", type=Path, help="what is of one dataset is put together"
    )
    by_data = defaultdict(list)
    for path in parser.parse_args().studies:
        for record in records_of(path):
            if record.status == "done" and is_of_rule(record.spec):
                by_data[record.spec.data.name].append(record)
    studies = [*by_data.values()]
    print(f"| data | candidate / gap | {' | '.join(MEASURES)} | level, base rate | cost |")
    print("| --- | --- |" + " --- |" * (len(MEASURES) + 2))
    for records in studies:
        for key in (*CANDIDATES[1:], *CONTROLS.values()):
            found = [ratios(records, key, PLAINEST, measure) for measure in MEASURES]
            cost = seconds(records, key) / seconds(records, PLAINEST)
            cells = (records[0].spec.data.name, " on ".join(key), *map(short, found))
            level = f"{found[0].level}, n = {found[0].n}"
            print(f"| {' | '.join(cells)} | {level} | {cost:.2f} |")
    print("\nalignment over its placebo:")
    for records in studies:
        for key, control in CONTROLS.items():
            for measure in MEASURES:
                found = ratios(records, key, control, measure)
                print(records[0].spec.data.name, " on ".join(key), measure, found)
    print("\ndefault by the rule:", " on ".join(decide(studies)))


if __name__ == "__main__":
    main()
