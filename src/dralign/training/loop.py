"""The training loop: epochs of n iterations, every epoch evaluated and kept."""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from dralign.data import Dataset
from dralign.errors import ModelError, OptionError, UndefinedMetricWarning
from dralign.groups import require_groups
from dralign.methods import Method, Step
from dralign.rationale import select_layers
from dralign.sampling import Batch, Sampler
from dralign.training.bound import MEASUREMENTS, DualAscent
from dralign.training.evaluation import rationale_similarity, score_splits
from dralign.training.history import EpochRecord, History
from dralign.training.seeding import seeded, spawn_seeds
from dralign.training.selection import Selection

DEFAULT_BATCH = 500


@dataclass(frozen=True)
class TrainingSettings:
    """How long and how fast to train.

    Attributes:
        epochs: epochs, each ending in an evaluation.
        iterations: steps per epoch (100 in the published code).
        batch_size: rows per block of a batch (a group, or a cell for gaps that condition on the
            label); None takes the dataset's own, or 500. Uniform batches are as large in all.
        learning_rate: of Adam.
        seed: the integer that all randomness of the run comes from.
        gap_bound: the largest soft validation gap; lambda is then found while training (Eq. 24), as
            a multiple of the method's own weights. None leaves these as they are.
    """

    epochs: int = 10
    iterations: int = 100
    batch_size: int | None = None
    learning_rate: float = 1e-3
    seed: int = 0
    gap_bound: float | None = None

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            OptionError: if a count is below 1, or the learning rate or the bound is not a positive
                number.
        """
        for name in ("epochs", "iterations", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise OptionError(f"{name}: expected at least 1, got {value}")
        for name in ("learning_rate", "gap_bound"):
            number = getattr(self, name)
            if number is not None and not 0 < number < float("inf"):
                raise OptionError(f"{name}: expected a positive number, got {number}")


@dataclass(frozen=True)
class Training:
    """A finished run.

    Attributes:
        model: the network, with the weights of the last epoch.
        history: one record per epoch.
        states: the weights after each epoch, so that another selection costs no retraining.
    """

    model: nn.Module
    history: History
    states: tuple[dict[str, Tensor], ...] = field(repr=False)

    def restore(self, selection: Selection, gap: str) -> EpochRecord:
        """Loads the weights of the epoch that ``selection`` picks into ``model``."""
        record = selection.choose(self.history, gap)
        self.model.load_state_dict(self.states[record.epoch])
        return record


def train(
    model: nn.Module,
    dataset: Dataset,
    method: Method,
    settings: TrainingSettings,
    *,
    on_epoch: Callable[[EpochRecord], None] | None = None,
) -> Training:
    """Trains ``model`` in place with ``method`` and records every epoch.

    The same model, dataset and settings give the same weights on the CPU with one thread.

    Args:
        model: the network; it returns logits.
        dataset: the rows to train on, to select by and to report on.
        method: the way to train.
        settings: how long and how fast.
        on_epoch: called with each record as it is made.

    Raises:
        GroupError: if training rows of a group (or of a cell, where the gap needs it) are missing,
            or there are no groups and the method needs some.
        ModelError: if the loss stops being finite, or the model has no layer with a rationale.
    """
    check_groups(dataset, method)
    seeds = spawn_seeds(settings.seed)
    layers = select_layers(model)
    sampler = _sampler(dataset, method, settings, np.random.default_rng(seeds.sampling))
    optimiser = torch.optim.Adam(model.parameters(), lr=settings.learning_rate, fused=True)
    history: list[EpochRecord] = []
    states: list[dict[str, Tensor]] = []
    with seeded(seeds.noise):
        noise = torch.Generator().manual_seed(seeds.noise)
        step = method.begin(model, n_groups=dataset.n_groups, generator=noise)
        ascent = None
        if settings.gap_bound is not None:
            ascent = DualAscent(settings.gap_bound, dataset=dataset, gap=method.gap)
        for epoch in range(settings.epochs):
            start = time.perf_counter()
            loss, skipped = _epoch(
                model, dataset, sampler, step, optimiser, settings.iterations, ascent
            )
            if not torch.isfinite(loss):
                raise ModelError(
                    f"the loss is not finite in epoch {epoch}; try a smaller learning rate than "
                    f"{settings.learning_rate:g}"
                )
            trained = time.perf_counter()
            validation, test = score_splits(model, dataset, method)
            similarity = rationale_similarity(
                model,
                dataset.validation,
                layers=layers,
                gap=method.gap,
                n_groups=dataset.n_groups,
            )
            record = EpochRecord(
                epoch,
                float(loss),
                validation,
                test,
                similarity,
                seconds=trained - start,
                evaluation_seconds=time.perf_counter() - trained,
                skipped=skipped,
                found_weight=None if ascent is None else ascent.multiplier,
            )
            history.append(record)
            states.append(
                {name: x.detach().cpu().clone() for name, x in model.state_dict().items()}
            )
            if on_epoch is not None:
                on_epoch(record)
    return Training(model, tuple(history), tuple(states))


def check_groups(dataset: Dataset, method: Method) -> None:
    """Checks that every group (and cell, where the gap needs it) can be trained on.

    A group without rows of a label is an error only if the gap conditions on the label; else it
    gets a warning, because some figures will be undefined for it. Data without any groups will do
    for a method that needs none; all figures that compare groups are then undefined.

    Raises:
        GroupError: if training rows of a group or of a needed cell are missing.
    """
    if not dataset.group_names and not method.needs_groups:
        return
    label = dataset.train.y if method.gap.conditions_on_label else None
    require_groups(dataset.train.group, dataset.group_names, where="training", label=label)
    for where in ("training", "validation", "test"):
        split = dataset.train if where == "training" else getattr(dataset, where)
        for code, name in enumerate(dataset.group_names):
            labels = split.y[split.group == code]
            for value in range(dataset.n_classes):
                if not bool((labels == value).any()):
                    warnings.warn(
                        f"group {name!r} has no {where} rows with label {value}: "
                        "figures that condition on it are undefined",
                        UndefinedMetricWarning,
                        stacklevel=3,
                    )


def _sampler(
    dataset: Dataset, method: Method, settings: TrainingSettings, generator: np.random.Generator
) -> Sampler:
    """The sampler of one run."""
    default = dict(dataset.batch_sizes).get(method.gap.name, DEFAULT_BATCH)
    n_labels = int(dataset.train.y.max()) + 1
    return Sampler(
        dataset.train.y,
        dataset.train.group,
        balance=method.balance,
        rows_per_block=settings.batch_size or default,
        # Without groups a batch is as large as with two.
        n_blocks=(dataset.n_groups or 2) * (n_labels if method.gap.conditions_on_label else 1),
        n_groups=dataset.n_groups,
        generator=generator,
    )


def _epoch(
    model: nn.Module,
    dataset: Dataset,
    sampler: Sampler,
    step: Step,
    optimiser: torch.optim.Optimizer,
    iterations: int,
    ascent: DualAscent | None,
) -> tuple[Tensor, int]:
    """One epoch of steps; its mean loss and how many groups or cells were skipped."""
    device = next(model.parameters()).device
    rows = dataset.train
    model.train()
    total, skipped = torch.zeros((), device=device), 0
    interval = max(iterations // MEASUREMENTS, 1)
    for place in range(iterations):
        if ascent is not None and place % interval == 0:
            ascent.observe(model)
        x, y, group = rows.at(sampler.draw())
        batch = Batch(x.to(device), y.to(device), group.to(device), sampler.blocks)
        optimiser.zero_grad()
        result = step(batch, 1.0 if ascent is None else ascent.multiplier)
        optimiser.step()
        total += result.loss
        skipped += result.skipped
    return total / iterations, skipped
