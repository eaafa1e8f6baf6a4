"""The training loop: epochs of n iterations, every epoch evaluated and kept."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from dralign import models
from dralign.data import Dataset
from dralign.errors import ModelError, OptionError
from dralign.methods import Adjusting, Adjustment, Method
from dralign.methods.state import State
from dralign.metrics import Cells
from dralign.rationale import Layer, per_sample_loss, select_layers
from dralign.rationale.layers import original
from dralign.rationale.losses import OwnLoss, RowLoss, row_loss
from dralign.rationale.usage import notice_probabilities
from dralign.step import Passes, Sampler, rank
from dralign.training.batches import Drawn, Given, Rows, Source, check_given
from dralign.training.bound import MEASUREMENTS, DualAscent
from dralign.training.checkpoints import Checkpoints
from dralign.training.checks import check_groups, check_weights
from dralign.training.distributed import average_buffers, from_first, share_weights
from dralign.training.evaluation import judged, rationale_similarity, score_splits
from dralign.training.history import EpochRecord, History
from dralign.training.run import Keep, Run, identity
from dralign.training.seeding import seeded, spawn_seeds
from dralign.training.selection import Selection
from dralign.training.settings import TrainingSettings
from dralign.training.updates import OptimiserFactory, SchedulerFactory, Updates

DEFAULT_BATCH = 500


@dataclass(frozen=True)
class Training:
    """A finished run.

    Attributes:
        model: the network, with the weights of the last epoch.
        history: one record per epoch.
        states: the weights after each epoch; None where they were not kept.
        adjust: what makes the network that is judged of ``model``; None if it is that itself.
    """

    model: nn.Module
    history: History
    states: tuple[State | None, ...] = field(repr=False)
    adjust: Adjustment | None = field(default=None, repr=False)

    def restore(self, selection: Selection, gap: str) -> EpochRecord:
        """Loads the weights of the epoch that ``selection`` picks into ``model``.

        Raises:
            OptionError: if they were not kept.
        """
        record = selection.choose(self.history, gap)
        state = self.states[record.epoch]
        if state is None:
            raise OptionError(
                f"selection: {selection} picks epoch {record.epoch}, whose weights were not kept; "
                "give the same selection as keep when training, or keep all"
            )
        self.model.load_state_dict(state)
        return record

    def judged(self, dataset: Dataset) -> nn.Module:
        """The network of the figures: ``model``, or what an adjusting method makes of it."""
        return judged(self.model, dataset, self.adjust)


def train(
    model: nn.Module,
    dataset: Dataset,
    method: Method,
    settings: TrainingSettings,
    *,
    on_epoch: Callable[[EpochRecord], bool | None] | None = None,
    keep: Keep = "all",
    checkpoints: Checkpoints | None = None,
    optimiser: OptimiserFactory | None = None,
    scheduler: SchedulerFactory | None = None,
    batches: Iterable[Rows] | None = None,
    loss: RowLoss | None = None,
) -> Training:
    """Trains ``model`` in place with ``method`` and records every epoch.

    The same model, dataset and settings give the same weights on the CPU with one thread.

    Where torch.distributed is initialised, all processes must call this with the same arguments:
    they take the steps of one together, each with its part of every batch. The first evaluates.

    Args:
        model: the network; it returns logits. Of a compiled one the original is trained, which has
            the same weights.
        dataset: the rows to train on, to select by and to report on.
        method: the way to train.
        settings: how long and how fast.
        on_epoch: called with each record as it is made; training ends there if it returns True (of
            several processes, in the first).
        keep: the epochs whose weights are kept for ``Training.restore``: ``"all"``, ``"none"``, or
            the one that a selection picks.
        checkpoints: where the run is saved as it goes. It goes on from the newest checkpoint that
            is there, to the same end as without a stop; a finished run returns at once.
        optimiser: makes the optimiser of the network's parameters; None for Adam as the settings
            have it.
        scheduler: makes a schedule of torch for the optimiser, whose lengths count steps, not
            epochs; None leaves the learning rate as it is.
        batches: inputs, labels and group codes of training rows, such as a DataLoader gives, used
            as they come in place of draws from ``dataset.train``, which may then be empty. It is
            gone through again and again; ``set_epoch``, where it has that, is told the number of
            the pass. Groups (or cells) absent from a batch are left out of its step, and counted as
            ``skipped``. It goes without checkpoints.
        loss: from the network's outputs, (n, 1) or (n, C), and (n,) int64 labels to a value per row
            (n,), in the place of cross-entropy; what is aligned are then rationales of that loss.
            Figures are those of classification all the same: outputs are logits.

    Raises:
        DataError: if the batches run out, or are none.
        GroupError: if training rows of a group (or of a cell, where the gap needs it) are missing,
            or there are no groups and the method needs some.
        ModelError: if the loss or a weight stops being finite, or the model has no layer with a
            rationale.
        OptionError: if the checkpoints are of another run, or another run is using them, or rows
            are weighted and the method can't train on such, or the optimiser, the schedule, the
            batches or the loss can't be used.
        OutputError: if a checkpoint can't be written.
    """
    check_groups(dataset, method, streamed=batches is not None)
    check_weights(dataset, method)
    if batches is not None:
        check_given(dataset, method, settings, checkpoints)
    model, own_loss = original(model), row_loss(loss)
    seeds = spawn_seeds(settings.seed)
    layers = select_layers(model)
    adjust = method.adjustment(dataset) if isinstance(method, Adjusting) else None
    held = nullcontext() if checkpoints is None else checkpoints.held()
    device = next(model.parameters()).device
    rows = dataset.train if batches is None else dataset.validation
    some = rows.at(torch.arange(min(2, len(rows))))[0]
    notice_probabilities(model, some.to(device), layers, stacklevel=2)
    share_weights(model)
    # Each process has its own dropout masks; what a method draws from is the same in all.
    with held, seeded(seeds.noise + rank()):
        updates = Updates.of(model, settings, optimiser, scheduler)
        run = _begin(model, dataset, method, settings, updates=updates, batches=batches)
        run.row_loss = own_loss
        if checkpoints is not None:
            run.identity = identity(model, dataset, method, settings, keep, own_loss)
            run.identity |= updates.identity()
            checkpoints.resume(run)
        if (len(run.history), run.step_of_epoch) > (settings.epochs, 0):
            raise OptionError(
                f"epochs: {settings.epochs} asked for, and the checkpoints are beyond; choose "
                "another folder"
            )
        # An epoch that was begun is finished, also if it is not asked for any more.
        while run.step_of_epoch or not _finished(run, keep, method.gap.name):
            _epoch(run, method, checkpoints)
            record = _record(run, dataset, method, layers, adjust)
            run.close_epoch(record, keep, method.gap.name)
            run.stopped = _stopping(None if on_epoch is None else on_epoch(record))
            if checkpoints is not None:
                checkpoints.save(run)
    history = tuple(run.history)
    states = tuple(run.kept.get(record.epoch) for record in history)
    return Training(model, history, states, adjust)


def _sampler(
    dataset: Dataset, method: Method, settings: TrainingSettings, generator: np.random.Generator
) -> Sampler:
    """The sampler of one run."""
    default = dict(dataset.batch_sizes).get(method.gap.judged_by, DEFAULT_BATCH)
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


def _begin(
    model: nn.Module,
    dataset: Dataset,
    method: Method,
    settings: TrainingSettings,
    *,
    updates: Updates | None = None,
    batches: Iterable[Rows] | None = None,
) -> Run:
    """A run before its first step; all of its randomness comes from the seed of the settings."""
    seeds = spawn_seeds(settings.seed)
    draws = np.random.default_rng(seeds.sampling)
    noise = torch.Generator().manual_seed(seeds.noise)
    device = next(model.parameters()).device
    bound = settings.gap_bound
    source: Source
    if batches is None:
        source = Drawn(dataset, _sampler(dataset, method, settings, draws), device)
    else:
        source = Given(batches, dataset, method, device)
    return Run(
        model=model,
        settings=settings,
        source=source,
        draws=draws,
        noise=noise,
        step=method.begin(model, n_groups=dataset.n_groups, generator=noise),
        updates=updates or Updates.of(model, settings),
        ascent=None
        if bound is None
        else DualAscent(bound, measure=settings.bound_measure, dataset=dataset, gap=method.gap),
        loss=torch.zeros((), device=device),
    )


def _stopping(told: object) -> bool:
    """Whether a callback said True in the first process, in every process, also without one."""
    return bool(from_first(lambda: isinstance(told, bool | np.bool_) and bool(told)))


def _finished(run: Run, keep: Keep, gap: str) -> bool:
    """Whether no epoch is left, it was told to stop, or the chosen one is the same for too long."""
    if run.stopped:
        return True
    history, patience = tuple(run.history), run.settings.patience
    if not history or patience is None or len(history) >= run.settings.epochs:
        return len(history) >= run.settings.epochs
    rule = keep if isinstance(keep, Selection) else Selection()
    return history[-1].epoch - rule.choose(history, gap).epoch >= patience


def _epoch(run: Run, method: Method, checkpoints: Checkpoints | None) -> None:
    """The steps of an epoch that are still to be taken."""
    model, settings, ascent, updates = run.model, run.settings, run.ascent, run.updates
    device = next(model.parameters()).device
    model.train()
    half = None if settings.precision == "float32" else getattr(torch, settings.precision)
    interval = max(settings.iterations // MEASUREMENTS, 1)
    start = time.perf_counter()
    while run.step_of_epoch < settings.iterations:
        if ascent is not None and run.step_of_epoch % interval == 0:
            with _advice(run, method):
                ascent.multiplier = from_first(lambda: _observed(model, ascent))
        batch = run.source.next_batch()
        updates.optimiser.zero_grad()
        scale = updates.scale(device)
        passes = Passes(settings.micro_batch, half, scale, run.row_loss)
        result = run.step(batch, 1.0 if ascent is None else ascent.multiplier, passes)
        _require_used(run.row_loss, method)
        updates.step(model, scale)
        run.loss += result.loss
        run.skipped += result.skipped
        run.step_of_epoch += 1
        within = run.step_of_epoch < settings.iterations
        if within and checkpoints is not None and checkpoints.due(run.steps):
            run.seconds += time.perf_counter() - start
            checkpoints.save(run)
            start = time.perf_counter()
    average_buffers(model)
    with _advice(run, method):
        _require_finite(run)
    run.seconds += time.perf_counter() - start


def _require_used(loss: RowLoss, method: Method) -> None:
    """Checks that a step asked a loss of the caller's own for values.

    Raises:
        OptionError: if it did not.
    """
    if isinstance(loss, OwnLoss) and not loss.used:
        raise OptionError(
            f"loss: the method {method.name!r} has a loss of its own and does not use another; "
            "choose another method, or leave the loss out"
        )


def _require_finite(run: Run) -> None:
    """Checks what an epoch led to.

    Raises:
        ModelError: if its loss or a weight is not finite.
    """
    if not bool(torch.isfinite(run.loss)):
        raise ModelError("the loss is not finite")
    if name := models.not_finite(run.model.state_dict()):
        raise ModelError(f"the weights {name!r} are not finite")


@contextmanager
def _advice(run: Run, method: Method) -> Iterator[None]:
    """Adds to what is wrong with the network every setting that can be why.

    Raises:
        ModelError: with them.
    """
    try:
        yield
    except ModelError as error:
        tried = [f"smaller learning rate than {run.updates.rate:g}"]
        if run.ascent is not None:
            tried.append(f"larger gap bound than {run.settings.gap_bound:g}")
        else:
            tried.extend(
                f"smaller {name} weight than {weight:g}"
                for name in ("fairness", "alignment")
                if (weight := getattr(method, f"{name}_weight", 0))
            )
        if run.row_loss is not per_sample_loss:
            tried.append("loss that is finite, with its gradient, at any output")
        raise ModelError(
            f"{error} in epoch {len(run.history)}; try a {', or a '.join(tried)}"
        ) from error


def _observed(model: nn.Module, ascent: DualAscent) -> float:
    """Lambda after another measurement of the gap."""
    ascent.observe(model)
    return ascent.multiplier


def _record(
    run: Run,
    dataset: Dataset,
    method: Method,
    layers: tuple[Layer, ...],
    adjust: Adjustment | None,
) -> EpochRecord:
    """The record of the epoch whose steps are taken, with the figures of the first process."""
    start = time.perf_counter()
    with _advice(run, method):
        figures = from_first(lambda: _figures(run.model, dataset, method, layers, adjust))
    cells = {split: Cells.from_dict(kept) for split, kept in figures.pop("cells").items()}
    return EpochRecord(
        len(run.history),
        float(run.loss / run.settings.iterations),
        **figures,
        cells=cells,
        seconds=run.seconds,
        evaluation_seconds=time.perf_counter() - start,
        skipped=run.skipped,
        found_weight=None if run.ascent is None else run.ascent.multiplier,
    )


def _figures(
    model: nn.Module,
    dataset: Dataset,
    method: Method,
    layers: tuple[Layer, ...],
    adjust: Adjustment | None,
) -> dict[str, Any]:
    """The figures of an epoch's record, as JSON can hold them."""
    validation, test = score_splits(judged(model, dataset, adjust), dataset, method)
    similarity = rationale_similarity(
        model, dataset.validation, layers=layers, gap=method.gap, n_groups=dataset.n_groups
    )
    cells = {"validation": validation.cells, "test": test.cells}
    return {
        "validation": validation.figures,
        "test": test.figures,
        "similarity": similarity,
        "cells": {split: kept.to_dict() for split, kept in cells.items() if kept is not None},
    }
