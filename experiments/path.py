"""One training, the whole front: does following lambda from network to network lose anything?

    python experiments/path.py screen path_screen.jsonl    # seeds 30 to 34, validation rows
    python experiments/path.py final path_final.jsonl --schedule up-2-slow

Ten weights of FairReg on Adult. Apart: ten runs of ten epochs. As a path: ten epochs at the first
weight, and from its last network on two (or three) at each next one, with a fresh Adam: 28 epochs
in the place of 100 (or 37). Written before any run was looked at:

- A point is the epoch of the smallest base-rate gap on validation rows among the epochs of its
  weight (apart: the first is left out).
- Figure: for each seed the ratio of the mean base-rate gaps of the two fronts over the range of
  average precision that both reach, path over apart; level and margin (5 %) as in
  docs/does-alignment-help.md. Beside it the all-cut-offs gap, and the time.
- The schedule is the one with the smallest ratio on VALIDATION rows of seeds 30 to 34; it alone
  goes to the test rows of seeds 40 to 49. "No worse" takes an interval that lies below 1.05.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

from dralign import models
from dralign.data import DataSource
from dralign.metrics import gap_measure
from dralign.reproduce.fronts import matched_ratio
from dralign.reproduce.levels import finding
from dralign.study import TrialSpec
from dralign.training import Selection, train
from dralign.training.seeding import seeded, spawn_seeds

WEIGHTS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5)
APART = "apart"
SCHEDULES = {  # direction, epochs at each further weight, learning rate there
    "up-2": (1, 2, 0.001),
    "up-2-slow": (1, 2, 0.00025),
    "up-3-slow": (1, 3, 0.00025),
    "down-2-slow": (-1, 2, 0.00025),
}
SEEDS = {"screen": range(30, 35), "final": range(40, 50)}
MEASURES = ("base_rate", "all_cutoffs")
DATA = DataSource(name="adult", preparation="paper")


def course(seed, schedule):
    """The points of all weights, on validation and test rows, and the seconds."""
    dataset = DATA.load(seed)
    points, begin, model = [], time.process_time(), None
    direction, more, rate = SCHEDULES.get(schedule, (1, 10, 0.001))
    for weight in WEIGHTS[::direction]:
        first = model is None or schedule == APART
        spec = TrialSpec(
            DATA,
            "gap",
            fairness_weight=weight,
            seed=seed,
            epochs=10 if first else more,
            learning_rate=0.001 if first else rate,
        )
        if first:
            with seeded(spawn_seeds(seed).initialisation):
                model = models.build({"name": "mlp", "n_inputs": dataset.n_inputs})
        run = train(model, dataset, spec.build_method(), spec.training_settings(), keep="none")
        rule = Selection(warmup=1 if first else 0)
        epoch = rule.choose(run.history, spec.gap)
        points.append(
            {split: figures(getattr(epoch, split), spec.gap) for split in ("validation", "test")}
        )
    return {"points": points, "seconds": time.process_time() - begin}


def figures(record, gap):
    """Average precision and gaps."""
    gaps = {name: abs(gap_measure(name).of(record, gap)) for name in MEASURES}
    return {"average_precision": record["average_precision"], **gaps}


def ratio(one, other, split, measure):
    """The ratio of two courses' gaps at matched average precision."""
    fronts = [
        [(p[split]["average_precision"], p[split][measure]) for p in side["points"]]
        for side in (one, other)
    ]
    return matched_ratio(*fronts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("stage", choices=SEEDS)
    parser.add_argument("log", type=Path, help="JSON lines; what is there is not run again")
    parser.add_argument("--schedule", choices=SCHEDULES)
    given = parser.parse_args()
    names = [APART, *([given.schedule] if given.schedule else SCHEDULES)]
    known = {}
    if given.log.exists():
        for line in given.log.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            known[entry["schedule"], entry["seed"]] = entry
    for seed in SEEDS[given.stage]:
        for name in names:
            if (name, seed) not in known:
                known[name, seed] = {"schedule": name, "seed": seed, **course(seed, name)}
                with given.log.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(known[name, seed]) + "\n")
    split = "validation" if given.stage == "screen" else "test"
    print(f"| schedule | {' | '.join(MEASURES)} | time to ten runs |")
    print("| --- |" + " --- |" * (len(MEASURES) + 1))
    for name in names[1:]:
        pairs = [(known[name, seed], known[APART, seed]) for seed in SEEDS[given.stage]]
        found = [finding(ratio(*pair, split, measure) for pair in pairs) for measure in MEASURES]
        cost = np.median([one["seconds"] / other["seconds"] for one, other in pairs])
        print(f"| {name} | {' | '.join(map(str, found))} | {cost:.2f} |")


if __name__ == "__main__":
    main()
