"""What moves the front of FairReg? Candidates screened on validation rows, then fresh seeds.

    python experiments/stronger.py screen stronger.jsonl              # Adult, seeds 30 to 34
    python experiments/stronger.py final stronger.jsonl --way average --way slow --data compas

Each way trains the perceptron of our studies under the gap at five weights. Against ``plain`` (the
soft gap, Adam at 0.001, ten epochs of 100 steps):

- ``ranks``: the gap at all cut-offs in place of the soft one.
- ``decay-0.1``, ``decay-1``: decoupled weight decay (AdamW).
- ``slow``: a quarter of the learning rate.
- ``average``: figures, and the network, of the moving average of the weights, .99 a step.
- ``early``: three epochs, looked at every 25 steps: stopped early by the base-rate gap.
- ``moments``: groups are to agree in the mean of the squared probability as well.
- ``distilled``: three networks from other seeds; a fourth learns their mean probability.
- ``together``: ``average``, ``slow`` and ``decay-0.1`` in one, with the gap at all cut-offs.
- ``together-aligned``, ``together-late``, ``together-placebo``: DRAlign every eighth step on top of
  it, the same from the second epoch on (a warm-up of beta), and the control that aligns random
  halves.
- ``plain-aligned``, ``plain-placebo``: the same on top of ``plain``.

Written before any run was looked at:

- Screening knows no test rows: half of the validation rows (drawn by the seed) choose the epoch,
  the other half give the figures. The point of a weight is the epoch of the smallest base-rate
  gap, the first left out (of ``early`` the first four looks).
- Figure: for each seed the ratio of the mean base-rate gaps of the two fronts over the range of
  average precision that both reach, over ``plain``; level and margin (5 %) as in
  docs/does-alignment-help.md. Beside it the all-cut-offs gap, and the time.
- To the test rows of seeds 40 to 49 of all three datasets go the ways with the smallest ratios, at
  most three, and only such as are at least "leans for" in the screening; if one of them aligns, its
  placebo goes too and is counted besides.
"""

import argparse
import copy
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from one_training import courses, figures, record, table

from dralign import models
from dralign.data import DataSource, Split
from dralign.gaps import Gap, GapType, resolve_gap
from dralign.methods import build_method
from dralign.networks import probability
from dralign.step import Batch, Passes, Sampler
from dralign.training import Selection
from dralign.training.evaluation import predict_probability, score_splits
from dralign.training.seeding import seeded, spawn_seeds

SOFT = (0.1, 0.2, 0.3, 0.4, 0.5)
RANKS = (0.1, 0.2, 0.4, 0.8, 1.6)
SEEDS = {"screen": range(30, 35), "final": range(40, 50)}
ALIGN_EVERY, WARM_UP = 8, 100
TEACHERS = 3


@dataclass(frozen=True)
class Way:
    """How a network is trained at a weight."""

    gap: str = "demographic_parity"
    weights: tuple[float, ...] = SOFT
    method: str = "gap"
    rate: float = 0.001
    decay: float = 0.0
    average: float = 0.0
    epochs: int = 10
    steps: int = 100
    warmup: int = 1
    align_from: int = 0


TOGETHER = Way("all_cutoffs_demographic_parity", RANKS, rate=0.00025, decay=0.1, average=0.99)
PLAIN, DISTILLED = "plain", "distilled"
WAYS = {
    PLAIN: Way(),
    "ranks": Way("all_cutoffs_demographic_parity", RANKS),
    "decay-0.1": Way(decay=0.1),
    "decay-1": Way(decay=1.0),
    "slow": Way(rate=0.00025),
    "average": Way(average=0.99),
    "early": Way(epochs=12, steps=25, warmup=4),
    "moments": Way("moments", (0.15, 0.3, 0.45, 0.6, 0.75)),
    DISTILLED: Way(),
    "together": TOGETHER,
    "together-aligned": replace(TOGETHER, method="dralign"),
    "together-late": replace(TOGETHER, method="dralign", align_from=WARM_UP),
    "together-placebo": replace(TOGETHER, method="placebo"),
    "plain-aligned": Way(method="dralign"),
    "plain-placebo": Way(method="placebo"),
}
MOMENTS = GapType(
    "moments",
    "means and mean squares",
    scores=lambda f, _group: torch.stack([f, f * f]),
    figures_of="demographic_parity",
)


class Late:
    """Every eighth step, from a step on."""

    def __init__(self, first):
        self.first = first

    def weight(self, step):
        return float(ALIGN_EVERY) if step >= self.first and step % ALIGN_EVERY == 0 else 0.0


def course(dataset, seed, name):
    """The points of all weights on the test rows of the dataset, and the seconds."""
    begin, way = time.process_time(), WAYS[name]
    points = []
    for weight in way.weights:
        if name == DISTILLED:
            chosen = distilled(dataset, seed, way, weight)
        else:
            chosen = trained(dataset, seed, way, weight)[0]
        points.append({"test": figures(chosen.test)})
    return {"points": points, "seconds": time.process_time() - begin}


def distilled(dataset, seed, way, weight):
    """The chosen record of a network that learned the mean probability of others."""
    teachers = [
        trained(dataset, 1000 * (1 + part) + seed, way, weight)[1] for part in range(TEACHERS)
    ]
    target = torch.stack([predict_probability(t, dataset.train.x) for t in teachers]).mean(0)
    return trained(dataset, seed, way, weight, target)[0]


def method_of(way, weight):
    """The method at a weight; of one that aligns beta is a tenth."""
    name = way.gap if way.gap != MOMENTS.name else "demographic_parity"
    if way.method == "gap":
        method = build_method("gap", gap=name, fairness_weight=weight)
        gap = Gap(MOMENTS) if way.gap == MOMENTS.name else resolve_gap(name)
        return replace(method, gap=gap)
    method = build_method(
        way.method, gap=name, fairness_weight=weight, alignment_weight=weight / 10,
        alignment_every=ALIGN_EVERY,
    )  # fmt: skip
    return replace(method, schedule=Late(way.align_from)) if way.align_from else method


def trained(dataset, seed, way, weight, target=None):
    """The chosen record and the network; it learns the labels under the gap, or the target."""
    seeds, method = spawn_seeds(seed), method_of(way, weight)
    rule = Selection(warmup=way.warmup)
    with seeded(seeds.initialisation):
        model = models.build({"name": "mlp", "n_inputs": dataset.n_inputs})
    step = method.begin(
        model, n_groups=dataset.n_groups, generator=torch.Generator().manual_seed(seeds.noise)
    )
    sampler = Sampler(
        dataset.train.y,
        dataset.train.group,
        balance=method.balance,
        rows_per_block=dict(dataset.batch_sizes).get("demographic_parity", 500),
        n_blocks=dataset.n_groups,
        n_groups=dataset.n_groups,
        generator=np.random.default_rng(seeds.sampling),
    )
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=way.rate, weight_decay=way.decay, fused=True
    )
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(way.average)
    )
    history, best, kept = [], None, None
    for epoch in range(way.epochs):
        model.train()
        for _ in range(way.steps):
            rows = sampler.draw()
            x, y, group = dataset.train.at(rows)
            optimiser.zero_grad()
            if target is None:
                step(Batch(x, y, group, sampler.blocks), 1.0, Passes())
            else:
                torch.nn.functional.binary_cross_entropy(
                    probability(model(x)), target[rows]
                ).backward()
            optimiser.step()
            if way.average:
                average.update_parameters(model)
        current = average.module if way.average else model
        validation, test = score_splits(current, dataset, method)
        history.append(record(epoch, validation.figures, test.figures))
        best = rule.choose(tuple(history), "demographic_parity")
        if best is history[-1]:
            kept = copy.deepcopy(current)
    return best, kept


def loaded(name, seed, stage, home):
    """The dataset; in the screening halves of the validation rows stand for validation and test."""
    dataset = DataSource(name, preparation="paper", data_home=home).load(seed)
    if stage == "final":
        return dataset
    rows = dataset.validation
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(rows)))
    first, second = (Split(*rows.at(part)) for part in order.tensor_split(2))
    return replace(dataset, validation=first, test=second)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("stage", choices=SEEDS)
    parser.add_argument("log", type=Path, help="JSON lines; what is there is not run again")
    parser.add_argument("--data", default="adult", choices=("adult", "compas", "german"))
    parser.add_argument("--data-home", type=Path)
    parser.add_argument("--way", choices=WAYS, action="append")
    given = parser.parse_args()
    names = [name for name in WAYS if name == PLAIN or name in (given.way or WAYS)]
    known = courses(given.log, given.data, SEEDS[given.stage])
    for seed in SEEDS[given.stage]:
        for name in names:
            if (name, seed) in known:
                continue
            dataset = loaded(given.data, seed, given.stage, given.data_home)
            entry = {"data": given.data, "way": name, "seed": seed, **course(dataset, seed, name)}
            known[name, seed] = entry
            with given.log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
    print(*table(known, names[1:], PLAIN, "test", "time to plain"), sep="\n")


if __name__ == "__main__":
    main()
