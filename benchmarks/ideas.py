"""Cheaper forms of the alignment term that the package does not offer: is one of them good enough?

Each idea is a method of its own here, trained as any other. Records go to a file, a line for each
run, as they come; runs that are there are not made again. docs/speed.md tells what came out.

    OMP_NUM_THREADS=1 python benchmarks/ideas.py ideas.jsonl --seeds 5 --jobs 2
    python benchmarks/ideas.py --cost
    python benchmarks/ideas.py --compiled
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count, product
from pathlib import Path

import numpy as np
import torch
from joblib import Parallel, delayed
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from dralign.alignment.cotangents import similarity_and_cotangents
from dralign.data import DataSource
from dralign.gaps import resolve_gap
from dralign.methods import Method, Step, StepResult, build_method
from dralign.methods.dralign import DRAlign
from dralign.methods.gap import GapRegularisation
from dralign.models import mlp
from dralign.networks import probability
from dralign.rationale import per_sample_loss, select_layers
from dralign.step import WHOLE, Batch, Block, Passes
from dralign.training import PUBLISHED_RULE, TrainingSettings, seeded, spawn_seeds, train

GAP = resolve_gap("demographic_parity")
WEIGHTS = (0.2, 0.4)
EPOCHS = 10
PRODUCT = "matrix product, 1000 x 200 x 200"
TRIED = ("held for 4", "held for 8")  # the others are no cheaper


class PartOfBatch(DRAlign):
    """The term from half of each group's rows; the others count in task loss and gap as ever."""

    def begin(self, model: nn.Module, *, n_groups: int, generator: torch.Generator) -> Step:
        inner = super().begin(model, n_groups=n_groups, generator=generator)
        return lambda batch, multiplier=1.0, passes=WHOLE: inner(halved(batch), multiplier, passes)


def halved(batch: Batch) -> Batch:
    """Rows of a block lie in random order; the second half is of no group that is compared."""
    blocks: list[Block] = []
    for block in batch.blocks:
        middle = (block.start + block.stop) // 2
        blocks += [replace(block, stop=middle), replace(block, start=middle, group=None)]
    return replace(batch, blocks=tuple(blocks))


@dataclass(frozen=True)
class Held(DRAlign):
    """Between the steps with the term, its last gradient is used again, with beta and not k beta.

    Written for what it does to the result, not for its cost: a plain step gives what is subtracted.
    """

    def begin(self, model: nn.Module, *, n_groups: int, generator: torch.Generator) -> Step:
        every = replace(self, alignment_every=1)
        aligned = DRAlign.begin(every, model, n_groups=n_groups, generator=generator)
        plain = GapRegularisation(self.gap, self.fairness_weight).begin(
            model, n_groups=n_groups, generator=generator
        )
        parameters = list(model.parameters())
        held: list[Tensor] = []
        steps = count()

        def step(batch: Batch, multiplier: float = 1.0, passes: Passes = WHOLE) -> StepResult:
            if next(steps) % self.alignment_every == 0:
                aligned(batch, multiplier, passes)
                whole = [gradient(p) for p in parameters]
                model.zero_grad()
                result = plain(batch, multiplier, passes)
                held[:] = [w - gradient(p) for w, p in zip(whole, parameters, strict=True)]
            else:
                result = plain(batch, multiplier, passes)
            for parameter, extra in zip(parameters, held, strict=True):
                parameter.grad = gradient(parameter) + extra
            return result

        return step


def gradient(parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.clone()


@dataclass(frozen=True)
class FiniteDifference(DRAlign):
    """The Hessian products by a difference of two gradients, with the gates of ReLU held.

    Of perceptrons only: the second pass repeats which units were on in the first.
    """

    radius: float = 1e-2  # of the weights' length

    def begin(self, model: nn.Module, *, n_groups: int, generator: torch.Generator) -> Step:
        plain = GapRegularisation(self.gap, self.fairness_weight).begin(
            model, n_groups=n_groups, generator=generator
        )
        linear = [m for m in model.modules() if isinstance(m, nn.Linear)]
        weights = [m.weight for m in linear]
        steps = count()

        def step(batch: Batch, multiplier: float = 1.0, passes: Passes = WHOLE) -> StepResult:
            if next(steps) % self.alignment_every:
                return plain(batch, multiplier, passes)
            self._step(model, linear, weights, batch, n_groups)
            return StepResult(torch.zeros(()))

        return step

    def _step(
        self,
        model: nn.Module,
        linear: list[nn.Linear],
        weights: list[nn.Parameter],
        batch: Batch,
        n_groups: int,
    ) -> None:
        parameters = list(model.parameters())
        beta = self.alignment_weight * self.alignment_every
        outputs, gates = zip(*(forward(linear, batch.x[b.rows]) for b in batch.blocks), strict=True)
        losses = [
            per_sample_loss(output, batch.y[b.rows]).mean()
            for output, b in zip(outputs, batch.blocks, strict=True)
        ]
        first = [torch.autograd.grad(loss, parameters, retain_graph=True) for loss in losses]
        gap = self.gap(probability(torch.cat(outputs)), batch.group, batch.y, n_groups)
        total = torch.autograd.grad(self.fairness_weight * gap, parameters)
        place = {id(p): i for i, p in enumerate(parameters)}
        new = [t + sum(g) / len(first) for t, *g in zip(total, *first, strict=True)]
        shift: list[list[Tensor]] = [[] for _ in first]
        for layer, weight in zip(select_layers(model), weights, strict=True):
            at = place[id(weight)]
            _, cotangents, direct = similarity_and_cotangents(
                layer, weight.detach(), [g[at] for g in first], self.granularity
            )
            new[at] = new[at] - beta * direct
            for moved, u in zip(shift, cotangents, strict=True):
                moved.append(u)
        length = torch.cat([w.detach().flatten() for w in weights]).norm()
        for group, (moved, block) in enumerate(zip(shift, batch.blocks, strict=True)):
            size = torch.cat([u.flatten() for u in moved]).norm()
            e = self.radius * length / size
            kept = [w.detach().clone() for w in weights]
            with torch.no_grad():
                for weight, u in zip(weights, moved, strict=True):
                    weight.add_(u, alpha=float(e))
            output, _ = forward(linear, batch.x[block.rows], gates[group])
            loss = per_sample_loss(output, batch.y[block.rows]).mean()
            second = torch.autograd.grad(loss, parameters)
            with torch.no_grad():
                for weight, old in zip(weights, kept, strict=True):
                    weight.copy_(old)
            for at, (b, a) in enumerate(zip(second, first[group], strict=True)):
                new[at] = new[at] - beta * (b - a) / e
        for parameter, value in zip(parameters, new, strict=True):
            parameter.grad = value


def forward(
    linear: list[nn.Linear], x: Tensor, gates: list[Tensor] | None = None
) -> tuple[Tensor, list[Tensor]]:
    used = []
    for place, layer in enumerate(linear[:-1]):
        x = layer(x)
        gate = x.detach() > 0 if gates is None else gates[place]
        x = x * gate
        used.append(gate)
    return F.linear(x, linear[-1].weight, linear[-1].bias), used


def ideas(lam: float) -> dict[str, Method]:
    weights = (GAP, lam, lam / 10)
    return {
        "exact": DRAlign(*weights),
        "every 4th": DRAlign(*weights, alignment_every=4),
        "held for 4": Held(*weights, alignment_every=4),
        "held for 8": Held(*weights, alignment_every=8),
        "half of the rows": PartOfBatch(*weights),
        "half of the rows, every 4th": PartOfBatch(*weights, alignment_every=4),
        "finite difference": FiniteDifference(*weights),
        "finite difference, every 4th": FiniteDifference(*weights, alignment_every=4),
    }


def run(name: str, lam: float, seed: int) -> dict[str, object]:
    torch.set_num_threads(1)
    data = DataSource("adult", preparation="paper").load(seed)
    with seeded(spawn_seeds(seed).initialisation):
        model = mlp(data.n_inputs)
    result = train(model, data, ideas(lam)[name], TrainingSettings(epochs=EPOCHS, seed=seed))
    record = PUBLISHED_RULE.choose(result.history, GAP.name)
    return {
        "idea": name,
        "lambda": lam,
        "seed": seed,
        "ap": record.test["average_precision"],
        "soft": record.test[f"soft_{GAP.name}"],
        "hard": record.test[f"hard_{GAP.name}"],
        "similarity": record.similarity_total("unit"),
    }


def quality(path: Path, seeds: int, jobs: int) -> None:
    """Runs what is missing in the file, and shows the means of all."""
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    there = {(line["idea"], line["lambda"], line["seed"]) for line in lines}
    wanted = list(product(TRIED, WEIGHTS, range(seeds)))
    missing = sorted((key for key in wanted if key not in there), key=lambda key: key[2])
    with path.open("a") as file:
        for record in Parallel(jobs, return_as="generator_unordered")(
            delayed(run)(*key) for key in missing
        ):
            lines.append(record)
            print(json.dumps(record), file=file, flush=True)
    for name, lam in product(TRIED, WEIGHTS):
        rows = [line for line in lines if (line["idea"], line["lambda"]) == (name, lam)]
        means = [
            np.mean([row[key] for row in rows]) for key in ("ap", "soft", "hard", "similarity")
        ]
        print(f"{name:30s} lambda {lam:g} n {len(rows)}", *(f"{value:.3f}" for value in means))


def cost(repeats: int = 30) -> None:
    """Time and FLOPs of 8 steps against as many of gap regularisation; share of the matmul rate."""
    torch.set_num_threads(1)
    rng = torch.Generator().manual_seed(0)
    x = torch.rand(1000, 120, generator=rng)
    blocks = (Block(0, 500, 0), Block(500, 1000, 1))
    batch = Batch(x, (x[:, 0] > 0.7).long(), torch.arange(1000) // 500, blocks)
    methods: dict[str, Method] = {
        "oversample": build_method("oversample"),
        "gap": build_method("gap", fairness_weight=0.2),
        "mixup": build_method("mixup", fairness_weight=0.2),
        **ideas(0.2),
    }
    methods = {name: m for name, m in methods.items() if not isinstance(m, Held)}
    begun, flops = {}, {}
    for name, method in methods.items():
        model = mlp(120)
        step = method.begin(model, n_groups=2, generator=torch.Generator())
        with FlopCounterMode(display=False) as counter:
            for _ in range(8):
                step(batch)
        begun[name], flops[name] = step, counter.get_total_flops()
    seconds: dict[str, list[float]] = {name: [] for name in (PRODUCT, *methods)}
    left, right = torch.rand(1000, 200), torch.rand(200, 200)
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(8):
            torch.mm(left, right)
        seconds[PRODUCT].append(time.perf_counter() - start)
        for name, step in begun.items():
            start = time.perf_counter()
            for _ in range(8):
                step(batch)
            seconds[name].append(time.perf_counter() - start)
    rate = 8 * 2 * 1000 * 200 * 200 / statistics.median(seconds[PRODUCT])
    print(f"{PRODUCT}: {rate / 1e9:.0f} GFLOP/s, median of {repeats}")
    for name in methods:
        median = statistics.median(seconds[name])
        print(
            f"{name:30s} FLOPs {flops[name] / flops['gap']:.2f}"
            f" time {median / statistics.median(seconds['gap']):.2f}"
            f" share of the rate {flops[name] / median / rate:.0%}"
        )


def compiled(repeats: int = 40) -> None:
    """The exact step as one function that torch.compile turns into code, against the engine."""
    torch.set_num_threads(1)
    model = mlp(120)
    names, first = list(dict(model.named_parameters())), dict(model.named_parameters())
    values = {name: p.detach().clone() for name, p in first.items()}

    def network(p: dict[str, Tensor], x: Tensor) -> Tensor:
        *hidden, last = zip(names[::2], names[1::2], strict=True)
        for weight, bias in hidden:
            x = torch.relu(F.linear(x, p[weight], p[bias]))
        return F.linear(x, p[last[0]], p[last[1]])[:, 0]

    def loss(p: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(network(p, x), y)

    def total(p: dict[str, Tensor], *rows: Tensor) -> Tensor:
        x0, y0, x1, y1 = rows
        g0, g1 = torch.func.grad(loss)(p, x0, y0), torch.func.grad(loss)(p, x1, y1)
        similarity = torch.zeros(())
        for name in names[::2]:
            c0, c1 = (((g[name] * p[name]) ** 2).sum(1) for g in (g0, g1))
            similarity = similarity + (c0 @ c1) / (c0.norm() * c1.norm())
        apart = torch.sigmoid(network(p, x0)).mean() - torch.sigmoid(network(p, x1)).mean()
        task = (loss(p, x0, y0) + loss(p, x1, y1)) / 2
        return task + 0.2 * apart.abs() - 0.02 * similarity

    x = torch.rand(1000, 120)
    y = (x[:, 0] > 0.7).float()
    rows = x[:500], y[:500], x[500:], y[500:]
    blocks = (Block(0, 500, 0), Block(500, 1000, 1))
    batch = Batch(x, y.long(), torch.arange(1000) // 500, blocks)
    start = time.perf_counter()
    function = torch.compile(torch.func.grad(total))
    function(values, *rows)
    print(f"torch.compile: {time.perf_counter() - start:.0f} s until the first step is done")
    gap = build_method("gap", fairness_weight=0.2)
    steps: dict[str, Callable[[], object]] = {"compiled": lambda: function(values, *rows)}
    for name, method in (("gap", gap), ("exact", ideas(0.2)["exact"])):
        begun = method.begin(mlp(120), n_groups=2, generator=torch.Generator())
        steps[name] = lambda begun=begun: begun(batch)
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            start = time.process_time()
            step()
            seconds[name].append(time.process_time() - start)
    for name, taken in seconds.items():
        ratio = statistics.median(taken) / statistics.median(seconds["gap"])
        print(f"{name:30s} processor time {ratio:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", nargs="?", type=Path, help="of the records")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--cost", action="store_true", help="show what a step costs instead")
    parser.add_argument("--compiled", action="store_true", help="try torch.compile instead")
    options = parser.parse_args()
    if options.compiled:
        compiled()
    elif options.cost or options.path is None:
        cost()
    else:
        quality(options.path, options.seeds, options.jobs)
