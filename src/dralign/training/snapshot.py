"""A run between two steps as a file holds it: all of it is checked before any of it is used."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
import torch

from dralign.errors import ArtifactError
from dralign.forms import Form
from dralign.methods.state import (
    State,
    Stateful,
    check_optimiser_state,
    only,
    optimiser_state,
    set_optimiser_state,
    under,
)
from dralign.metrics import evaluate
from dralign.models import misfit
from dralign.step import random_state
from dralign.training.bound import LARGEST
from dralign.training.evaluation import GRANULARITIES
from dralign.training.history import EpochRecord, History
from dralign.training.run import Run, weights

_RANDOM: Final = ("cpu", "cuda")  # in the order of ``random_state``
_SINGLE: Final = ("noise", "loss")
_REFUSALS: Final = (KeyError, IndexError, TypeError, ValueError, RuntimeError, OverflowError)


@dataclass(frozen=True)
class Snapshot:
    """All that the rest of a run depends on, as tensors and what JSON can hold.

    Attributes:
        tensors: weights, the optimiser's and the step's state, generators, the sum of the losses;
            by name, on the CPU, sharing no memory among each other.
        draws: the state of the sampler's generator.
        scaler: the state of the scale of float16 losses; empty in other precisions.
        multiplier: lambda under a gap bound; None without one.
        history: the records of finished epochs.
        kept: the epochs whose weights are kept.
        step_of_epoch: how many steps of the running epoch are done.
        skipped: the groups or cells that were absent from their batches.
        seconds: the time they took.
        scheduled: how many steps the schedule of the learning rate has taken.
        course: the checksum of what it made of it.
        stopped: whether the run was told to stop after the last epoch.
    """

    tensors: State
    draws: Mapping[str, Any]
    scaler: Mapping[str, Any]
    multiplier: float | None
    history: History
    kept: tuple[int, ...]
    step_of_epoch: int
    skipped: int
    seconds: float
    scheduled: int
    course: str
    stopped: bool

    @classmethod
    def of(cls, run: Run) -> "Snapshot":
        """The snapshot of a run.

        Raises:
            OptionError: if its optimiser keeps what a file can't hold.
        """
        run.updates.check_saveable()
        tensors = under("model", weights(run.model))
        tensors |= under("optimiser", optimiser_state(run.updates.optimiser))
        tensors |= under("step", _state_of(run))
        tensors |= under("random", _random(run))
        tensors |= {"noise": run.noise.get_state(), "loss": run.loss}
        for epoch, state in run.kept.items():
            tensors |= under(f"kept/{epoch}", state)
        return cls(
            tensors={name: x.detach().cpu().contiguous() for name, x in tensors.items()},
            draws=dict(run.draws.bit_generator.state),
            scaler=run.updates.scaler.state_dict(),
            multiplier=None if run.ascent is None else run.ascent.multiplier,
            history=tuple(run.history),
            kept=tuple(run.kept),
            step_of_epoch=run.step_of_epoch,
            skipped=run.skipped,
            seconds=run.seconds,
            scheduled=run.updates.scheduled,
            course=run.updates.course,
            stopped=run.stopped,
        )

    def rest(self) -> dict[str, Any]:
        """Everything but the tensors; undefined figures of the records are NaN."""
        form = {name: value for name, value in vars(self).items() if name != "tensors"}
        history = [record.to_dict() for record in self.history]
        return {**form, "history": history, "kept": list(self.kept)}

    @classmethod
    def checked(cls, tensors: State, rest: Form, run: Run) -> "Snapshot":
        """What a file holds, if ``run``, begun in the same way, can go on from it.

        The run is left as it is.

        Raises:
            ArtifactError: if an entry is missing, of another kind, or can't be.
        """
        history = tuple(
            _record(entry, epoch, rest) for epoch, entry in enumerate(rest.entries("history"))
        )
        step_of_epoch = rest.integer("step_of_epoch", 0, run.settings.iterations - 1)
        steps = len(history) * run.settings.iterations + step_of_epoch
        result = cls(
            tensors=tensors,
            draws=rest.form("draws").content,
            scaler=rest.form("scaler").content,
            multiplier=_multiplier(rest, run),
            history=history,
            kept=_kept(rest, len(history)),
            step_of_epoch=step_of_epoch,
            skipped=rest.integer("skipped"),
            seconds=rest.amount("seconds"),
            scheduled=rest.integer("scheduled", 0, 0 if run.updates.scheduler is None else steps),
            course=rest.text("course"),
            stopped=rest.flag("stopped"),
        )
        _check_draws(result.draws, run)
        _check_scaler(rest.form("scaler"), run)
        _check_tensors(result, run)
        return result

    @property
    def epochs(self) -> int:
        """How many epochs are finished."""
        return len(self.history)

    def restore(self, run: Run) -> None:
        """Brings a run that was begun in the same way to where the snapshot was taken.

        Its schedule has caught up already.
        """
        tensors = self.tensors
        run.model.load_state_dict(only("model", tensors))
        set_optimiser_state(run.updates.optimiser, only("optimiser", tensors))
        if isinstance(run.step, Stateful):
            run.step.load_state_dict(only("step", tensors))
        random = only("random", tensors)
        torch.set_rng_state(random["cpu"])
        if "cuda" in random:
            torch.cuda.set_rng_state(random["cuda"], next(run.model.parameters()).device)
        run.noise.set_state(tensors["noise"])
        run.loss.copy_(tensors["loss"])
        run.draws.bit_generator.state = self.draws
        if run.updates.scaler.is_enabled():
            run.updates.scaler.load_state_dict(dict(self.scaler))
        if run.ascent is not None and self.multiplier is not None:
            run.ascent.multiplier = self.multiplier
        run.history = list(self.history)
        # Their file may be removed while they are still in use.
        run.kept = {
            epoch: {name: x.clone() for name, x in only(f"kept/{epoch}", tensors).items()}
            for epoch in self.kept
        }
        run.step_of_epoch, run.skipped, run.seconds = self.step_of_epoch, self.skipped, self.seconds
        run.stopped = self.stopped


def _state_of(run: Run) -> State:
    """What the step keeps between batches."""
    return run.step.state_dict() if isinstance(run.step, Stateful) else {}


def _random(run: Run) -> State:
    """The states of the generators that the network draws from."""
    return dict(zip(_RANDOM, random_state(run.model), strict=False))


def _record(entry: object, epoch: int, rest: Form) -> EpochRecord:
    """The record of an epoch of this trainer.

    Raises:
        ArtifactError: if it is not one, or of another epoch.
    """
    where = f"{rest.where}, epoch {epoch}"
    record = EpochRecord.from_dict(entry, where, error=ArtifactError)
    if record.epoch != epoch or not math.isfinite(record.loss):
        raise ArtifactError(f"{where}: another epoch's number, or a loss that is not finite")
    for figures in (record.validation, record.test):
        if not any(names <= figures.keys() for names in _names()):
            raise ArtifactError(f"{where}: figures are missing")
    if record.similarity and record.similarity.keys() != {*GRANULARITIES}:
        raise ArtifactError(f"{where}: expected similarities per {' and '.join(GRANULARITIES)}")
    return record


@cache
def _names() -> tuple[frozenset[str], ...]:
    """The figures that every record has, of two classes and of more."""
    group = np.array([0, 1, 0])
    two = evaluate([0, 1, 1], [0.5, 0.5, 0.5], group, n_groups=2)
    three = evaluate([0, 1, 2], np.eye(3), group, n_groups=2)
    return frozenset(two), frozenset(three)


def _multiplier(rest: Form, run: Run) -> float | None:
    """Lambda under a gap bound.

    Raises:
        ArtifactError: if there is one and should not be, or the other way round.
    """
    if run.ascent is None:
        if rest.content.get("multiplier") is not None:
            raise rest.error(f"{rest.where}: 'multiplier' is for a gap bound")
        return None
    value = rest.number("multiplier")
    if not 0 <= value <= LARGEST:
        raise rest.error(f"{rest.where}: 'multiplier' must be from 0 to {LARGEST:g}")
    return value


def _kept(rest: Form, n_epochs: int) -> tuple[int, ...]:
    """The epochs whose weights are kept.

    Raises:
        ArtifactError: if these are not different finished epochs.
    """
    entries = rest.entries("kept")
    whole = all(isinstance(entry, int) and not isinstance(entry, bool) for entry in entries)
    if not whole or len({*entries}) < len(entries) or not {*entries} <= {*range(n_epochs)}:
        raise rest.error(f"{rest.where}: 'kept' must be finished epochs")
    return tuple(entries)


def _check_draws(draws: Mapping[str, Any], run: Run) -> None:
    """Tries the state of the sampler's generator on another one.

    Raises:
        ArtifactError: if it is not one.
    """
    trial = type(run.draws.bit_generator)()
    try:
        trial.state = draws
        same = trial.state == draws
    except _REFUSALS as error:
        raise ArtifactError(f"'draws' is not the state of a generator ({error})") from error
    if not same:
        raise ArtifactError("'draws' is not the state of a generator")


def _check_scaler(form: Form, run: Run) -> None:
    """Checks the scale of float16 losses.

    Raises:
        ArtifactError: if it can't be that of this run.
    """
    own = run.updates.scaler.state_dict()
    if set(form.content) != set(own):
        raise form.error(f"{form.where}: not of this precision")
    if not own:
        return
    for name in ("growth_factor", "backoff_factor", "growth_interval"):
        if form.number(name) != own[name]:
            raise form.error(f"{form.where}: {name!r} must be {own[name]:g}")
    form.integer("_growth_tracker", 0, own["growth_interval"])
    form.amount("scale")


def _check_tensors(result: Snapshot, run: Run) -> None:
    """Checks names, shapes and types of all tensors, and tries those of generators and step.

    Raises:
        ArtifactError: if they are not those of this run.
    """
    tensors, own = result.tensors, weights(run.model)
    wanted = {
        "model": own,
        "random": _random(run),
        **{f"kept/{epoch}": own for epoch in result.kept},
    }
    parts = {name: only(name, tensors) for name in (*wanted, "optimiser", "step")}
    single: State = {name: tensors[name] for name in _SINGLE if name in tensors}
    if sum(map(len, parts.values())) + len(single) != len(tensors):
        raise ArtifactError("it holds tensors that this run has not")
    wanted[""], parts[""] = {"noise": run.noise.get_state(), "loss": run.loss.cpu()}, single
    for name, expected in wanted.items():
        if reason := misfit(parts[name], expected):
            raise ArtifactError(f"{name or 'run'}: {reason}")
    try:
        check_optimiser_state(run.updates.optimiser, parts["optimiser"])
        for name, state in {"noise": tensors["noise"], **parts["random"]}.items():
            device = next(run.model.parameters()).device if name == "cuda" else "cpu"
            torch.Generator(device).set_state(state)
        _try_step(run, parts["step"])
    except _REFUSALS as error:
        reason = " ".join(str(error).split())[:200]
        raise ArtifactError(f"its state does not fit: {reason}") from error


def _try_step(run: Run, state: State) -> None:
    """Tries the state of a step on it, and puts back what it had.

    Raises:
        ValueError: if the step has no state, or tensors of another shape or type.
    """
    step = run.step
    if not isinstance(step, Stateful):
        if state:
            raise ValueError("a step that keeps no state")
        return
    own = {name: x.clone() for name, x in step.state_dict().items()}
    if reason := misfit({name: state[name] for name in own}, own):
        raise ValueError(reason)
    try:
        step.load_state_dict(state)
    finally:
        step.load_state_dict(own)
