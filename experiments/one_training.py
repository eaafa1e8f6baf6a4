"""One training, the whole front: what does it cost to get ten weights for the price of three?

    python experiments/one_training.py screen one_training.jsonl    # seeds 30 to 34, validation
    python experiments/one_training.py final one_training.jsonl --way fork-2-slow
    python experiments/one_training.py final compas.jsonl --way fork-2-slow --data compas

Ten weights of FairReg, on Adult unless told otherwise. Apart: ten runs of ten epochs. Against them,
each with about three tenths of the steps:

- ``path-...``: ten epochs at the first weight, and from its last network on two (or three) at
  each next one, with a fresh Adam, upwards or downwards.
- ``fork-...``: some epochs at weight 0; from the one of the highest validation AP every other
  weight begins, for two (or three) epochs.
- ``conditioned``: one network that takes lambda as an input, drawn anew in every step, 28 epochs.
- ``short-3``: the control; ten runs as apart, of three epochs.

Written before any run was looked at; the ways below the paths after those had been screened and
found worse (the network overfits from epoch 3 or so on, and a path goes on from there):

- A point is the epoch of the smallest base-rate gap on validation rows among the epochs of its
  weight (of a run from the beginning the first is left out).
- Figure: for each seed the ratio of the mean base-rate gaps of the two fronts over the range of
  average precision that both reach, over apart; level and margin (5 %) as in
  docs/does-alignment-help.md. Beside it the all-cut-offs gap, and the time.
- The way is the one with the smallest ratio on VALIDATION rows of seeds 30 to 34 among those that
  take at most a third of the time; it and the control go to the test rows of seeds 40 to 49. "No
  worse" takes an interval that lies below 1.05.

COMPAS and Credit came later, by the same rule and with nothing to choose: the way that Adult chose
and the control, at the ten weights of the command, on the test rows of seeds 40 to 49.
"""

import argparse
import gzip
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from dralign import models
from dralign.data import DataSource
from dralign.methods import build_method
from dralign.metrics import gap_measure
from dralign.reproduce.fronts import matched_ratio
from dralign.reproduce.levels import finding
from dralign.step import Batch, Passes, Sampler
from dralign.training import EpochRecord, Selection, TrainingSettings, train
from dralign.training.evaluation import score_splits
from dralign.training.seeding import seeded, spawn_seeds

WEIGHTS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5)
APART, SHORT = "apart", "short-3"
PATHS = {  # direction, epochs at each further weight, learning rate there
    "path-up-2": (1, 2, 0.001),
    "path-up-2-slow": (1, 2, 0.00025),
    "path-up-3-slow": (1, 3, 0.00025),
    "path-down-2-slow": (-1, 2, 0.00025),
}
FORKS = {  # epochs at weight 0, epochs at each other weight, learning rate there
    "fork-2": (10, 2, 0.001),
    "fork-2-slow": (10, 2, 0.00025),
    "fork-3": (5, 3, 0.001),
}
CONDITIONED, EPOCHS_CONDITIONED = "conditioned", 28
WAYS = (*PATHS, *FORKS, CONDITIONED, SHORT)
SEEDS = {"screen": range(30, 35), "final": range(40, 50)}
GAP, MEASURES = "demographic_parity", ("base_rate", "all_cutoffs")
DATA = {name: DataSource(name=name, preparation="paper") for name in ("adult", "compas", "german")}


def course(source, seed, way):
    """The points of all weights, on validation and test rows, and the seconds."""
    dataset, begin = source.load(seed), time.process_time()
    if way in PATHS:
        chosen = path(dataset, seed, *PATHS[way])
    elif way in FORKS:
        chosen = fork(dataset, seed, *FORKS[way])
    elif way == CONDITIONED:
        chosen = conditioned(dataset, seed)
    else:
        epochs = 10 if way == APART else 3
        chosen = [run(network(dataset, seed), dataset, seed, w, epochs)[0] for w in WEIGHTS]
    points = [
        {split: figures(getattr(record, split)) for split in ("validation", "test")}
        for record in chosen
    ]
    return {"points": points, "seconds": time.process_time() - begin}


def path(dataset, seed, direction, more, rate):
    """From each last network to the next weight."""
    model, chosen = network(dataset, seed), []
    for weight in WEIGHTS[::direction]:
        further = {"epochs": more, "rate": rate, "warmup": 0} if chosen else {"epochs": 10}
        chosen.append(run(model, dataset, seed, weight, **further)[0])
    return chosen


def fork(dataset, seed, first, more, rate):
    """From the network of the highest validation AP to every weight."""
    model = network(dataset, seed)
    chosen, base = run(model, dataset, seed, WEIGHTS[0], first, keep=Selection("highest_ap"))
    records = [chosen]
    for weight in WEIGHTS[1:]:
        model.load_state_dict(base)
        records.append(run(model, dataset, seed, weight, more, rate=rate, warmup=0)[0])
    return records


def run(model, dataset, seed, weight, epochs, *, rate=0.001, warmup=1, keep="none"):
    """The chosen record of a training, and the state that is asked for."""
    method = build_method("gap", fairness_weight=weight)
    settings = TrainingSettings(epochs=epochs, learning_rate=rate, seed=seed)
    done = train(model, dataset, method, settings, keep=keep)
    state = None if keep == "none" else done.states[keep.choose(done.history, GAP).epoch]
    return Selection(warmup=warmup).choose(done.history, GAP), state


def network(dataset, seed, more=0):
    """The network before its first step."""
    with seeded(spawn_seeds(seed).initialisation):
        return models.build({"name": "mlp", "n_inputs": dataset.n_inputs + more})


class Conditioned(nn.Module):
    """A network with one input more, the weight."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.weight = inner, 0.0

    def forward(self, x):
        centred = (self.weight - np.mean(WEIGHTS)) / np.std(WEIGHTS)
        return self.inner(torch.cat([x, x.new_full((len(x), 1), centred)], 1))


def conditioned(dataset, seed):
    """One network for all weights."""
    settings, seeds = TrainingSettings(epochs=EPOCHS_CONDITIONED, seed=seed), spawn_seeds(seed)
    model = Conditioned(network(dataset, seed, more=1))
    methods = [build_method("gap", fairness_weight=w) for w in WEIGHTS]
    noise = torch.Generator().manual_seed(seeds.noise)
    steps = [m.begin(model, n_groups=dataset.n_groups, generator=noise) for m in methods]
    sampler = Sampler(
        dataset.train.y,
        dataset.train.group,
        balance=methods[0].balance,
        rows_per_block=500,
        n_blocks=2,
        n_groups=2,
        generator=np.random.default_rng(seeds.sampling),
    )
    draws = np.random.default_rng(seed)
    optimiser = torch.optim.Adam(model.parameters(), lr=settings.learning_rate, fused=True)
    histories = [[] for _ in WEIGHTS]
    for epoch in range(settings.epochs):
        model.train()
        for _ in range(settings.iterations):
            index = draws.integers(len(WEIGHTS))
            model.weight = WEIGHTS[index]
            batch = Batch(*dataset.train.at(sampler.draw()), sampler.blocks)
            optimiser.zero_grad()
            steps[index](batch, 1.0, Passes(None, None, 1.0))
            optimiser.step()
        for history, method, weight in zip(histories, methods, WEIGHTS, strict=True):
            model.weight = weight
            validation, test = score_splits(model, dataset, method)
            history.append(record(epoch, validation.figures, test.figures))
    return [Selection().choose(tuple(h), GAP) for h in histories]


def record(epoch, validation, test):
    """A record with figures alone."""
    return EpochRecord(
        epoch, 0.0, validation=validation, test=test, similarity={}, seconds=0.0,
        evaluation_seconds=0.0, skipped=0, found_weight=None, cells={},
    )  # fmt: skip


def figures(of):
    """Average precision and gaps."""
    gaps = {name: abs(gap_measure(name).of(of, GAP)) for name in MEASURES}
    return {"average_precision": of["average_precision"], **gaps}


def ratio(one, other, split, measure):
    """The ratio of two courses' gaps at matched average precision."""
    fronts = [
        [(p[split]["average_precision"], p[split][measure]) for p in side["points"]]
        for side in (one, other)
    ]
    return matched_ratio(*fronts)


def courses(path, data, seeds):
    """The courses of a log, or of its copy in `results/points`, by way and seed."""
    if not path.exists():
        return {}
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as file:
        return {
            (entry["way"], entry["seed"]): entry
            for entry in map(json.loads, file)
            if entry.get("data", "adult") == data and entry["seed"] in seeds
        }


def table(known, names, base, split, title):
    """Lines of a table: ratios to the base at matched average precision, seed by seed.

    Args:
        known: courses by way and seed.
        names: the ways that are shown.
        base: the way that they are compared with.
        split: whose figures.
        title: of the column of times.
    """
    lines = [f"| way | {' | '.join(MEASURES)} | {title} |", "|" + " --- |" * (len(MEASURES) + 2)]
    seeds = sorted(seed for way, seed in known if way == base)
    for name in names:
        pairs = [(known[name, seed], known[base, seed]) for seed in seeds]
        found = [finding(ratio(*pair, split, measure) for pair in pairs) for measure in MEASURES]
        cost = np.median([one["seconds"] / other["seconds"] for one, other in pairs])
        lines.append(f"| {name} | {' | '.join(map(str, found))} | {cost:.2f} |")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("stage", choices=SEEDS)
    parser.add_argument("log", type=Path, help="JSON lines; what is there is not run again")
    parser.add_argument("--way", choices=WAYS)
    parser.add_argument("--data", choices=DATA, default="adult")
    given = parser.parse_args()
    names = [APART, *(dict.fromkeys((given.way, SHORT)) if given.way else WAYS)]
    known = courses(given.log, given.data, SEEDS[given.stage])
    for seed in SEEDS[given.stage]:
        for name in names:
            if (name, seed) not in known:
                done = course(DATA[given.data], seed, name)
                known[name, seed] = {"data": given.data, "way": name, "seed": seed, **done}
                with given.log.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(known[name, seed]) + "\n")
    split = "validation" if given.stage == "screen" else "test"
    print(*table(known, names[1:], APART, split, "time to ten runs"), sep="\n")


if __name__ == "__main__":
    main()
