"""A run between two steps: all that the rest of it depends on, as tensors and JSON."""

import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from dralign.alignment import n_processes, random_state
from dralign.data import Dataset
from dralign.methods import Method, Step
from dralign.methods.state import (
    State,
    Stateful,
    only,
    optimiser_state,
    set_optimiser_state,
    under,
)
from dralign.sampling import Sampler
from dralign.training.bound import DualAscent
from dralign.training.history import EpochRecord
from dralign.training.selection import Selection
from dralign.training.settings import TrainingSettings

Keep = Selection | Literal["all", "none"]
_NOT_IDENTITY = ("epochs", "patience")  # a run may go on for longer than was planned
_RANDOM = ("cpu", "cuda")  # in the order of ``random_state``


@dataclass
class Run:
    """What a run works with, and how far it has come.

    Attributes:
        model: the network.
        settings: how long and how fast it is trained.
        sampler: of the batches.
        draws: what the sampler draws from.
        noise: what the method draws from.
        step: of the method.
        optimiser: of the network.
        scaler: of float16 losses; it passes everything through in other precisions.
        ascent: finds lambda under a gap bound; None without one.
        identity: what tells the run from others; empty where that is never asked.
        history: the records of finished epochs.
        kept: the weights after those epochs whose weights are kept.
        place: how many steps of the running epoch are done.
        loss: the sum of their losses.
        skipped: the groups or cells that were absent from their batches.
        seconds: the time they took.
    """

    model: nn.Module
    settings: TrainingSettings
    sampler: Sampler
    draws: np.random.Generator
    noise: torch.Generator
    step: Step
    optimiser: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    ascent: DualAscent | None
    loss: Tensor
    identity: dict[str, str] = field(default_factory=dict)
    history: list[EpochRecord] = field(default_factory=list)
    kept: dict[int, State] = field(default_factory=dict)
    place: int = 0
    skipped: int = 0
    seconds: float = 0.0

    @property
    def steps(self) -> int:
        """How many steps are done in all."""
        return len(self.history) * self.settings.iterations + self.place

    def close_epoch(self, record: EpochRecord, keep: Keep, gap: str) -> None:
        """Adds a record, keeps the weights as they are if they are asked for, and counts anew.

        With a selection they take the place of the weights kept so far, if this epoch is the one
        that it picks. An epoch that is passed over now is never picked later.
        """
        self.history.append(record)
        if isinstance(keep, Selection) and keep.choose(tuple(self.history), gap) is record:
            self.kept = {record.epoch: weights(self.model)}
        elif keep == "all":
            self.kept[record.epoch] = weights(self.model)
        self.loss = torch.zeros_like(self.loss)
        self.place, self.skipped, self.seconds = 0, 0, 0.0

    def state(self) -> tuple[State, dict[str, Any]]:
        """Tensors on the CPU that share no memory among each other, and what JSON can hold."""
        tensors = under("model", weights(self.model))
        tensors |= under("optimiser", optimiser_state(self.optimiser))
        if isinstance(self.step, Stateful):
            tensors |= under("step", self.step.state_dict())
        tensors |= under("random", dict(zip(_RANDOM, random_state(self.model), strict=False)))
        tensors |= {"noise": self.noise.get_state(), "loss": self.loss}
        for epoch, state in self.kept.items():
            tensors |= under(f"kept/{epoch}", state)
        tensors = {name: x.detach().cpu().contiguous() for name, x in tensors.items()}
        rest = {
            "draws": self.draws.bit_generator.state,
            "scaler": self.scaler.state_dict(),
            "multiplier": None if self.ascent is None else self.ascent.multiplier,
            "history": [record.to_dict() for record in self.history],
            "kept": list(self.kept),
            "place": self.place,
            "skipped": self.skipped,
            "seconds": self.seconds,
        }
        return tensors, rest

    def go_on_from(self, tensors: State, rest: Mapping[str, Any]) -> None:
        """Brings a run that was begun in the same way to where ``state`` was taken."""
        self.model.load_state_dict(only("model", tensors))
        set_optimiser_state(self.optimiser, only("optimiser", tensors))
        if isinstance(self.step, Stateful):
            self.step.load_state_dict(only("step", tensors))
        random = only("random", tensors)
        torch.set_rng_state(random["cpu"])
        if "cuda" in random:
            torch.cuda.set_rng_state(random["cuda"], next(self.model.parameters()).device)
        self.noise.set_state(tensors["noise"])
        self.loss.copy_(tensors["loss"])
        self.draws.bit_generator.state = rest["draws"]
        if self.scaler.is_enabled():
            self.scaler.load_state_dict(rest["scaler"])
        if self.ascent is not None:
            self.ascent.multiplier = rest["multiplier"]
        self.history = [EpochRecord.from_dict(record) for record in rest["history"]]
        # Their file may be removed while they are still in use.
        self.kept = {
            epoch: {name: x.clone() for name, x in only(f"kept/{epoch}", tensors).items()}
            for epoch in rest["kept"]
        }
        self.place, self.skipped = rest["place"], rest["skipped"]
        self.seconds = rest["seconds"]


def weights(model: nn.Module) -> State:
    """A copy of the weights and buffers, on the CPU."""
    return {name: x.detach().cpu().clone() for name, x in model.state_dict().items()}


def identity(
    model: nn.Module, dataset: Dataset, method: Method, settings: TrainingSettings, keep: Keep
) -> dict[str, str]:
    """What tells a run from others, as far as its result depends on it: text by name.

    The network is still as it was before the first step.
    """
    initial = rows = 0
    for name, x in model.state_dict().items():
        initial = zlib.crc32(f"{name} {tuple(x.shape)} {x.dtype}".encode(), initial)
        content = x.detach().cpu().reshape(-1).view(torch.uint8)
        initial = zlib.crc32(content.numpy(), initial)
    for split in (dataset.train, dataset.validation, dataset.test):
        rows = zlib.crc32(str(tuple(split.x.shape)).encode(), rows)
        rows = zlib.crc32(split.y.numpy().tobytes() + split.group.numpy().tobytes(), rows)
    return {
        **{k: str(v) for k, v in asdict(settings).items() if k not in _NOT_IDENTITY},
        "method": str(method),
        "keep": str(keep),
        "initial weights": f"{initial:08x}",
        "data": f"{len(dataset.train)} training rows {rows:08x}",
        "processes": str(n_processes()),
        "device": next(model.parameters()).device.type,
    }
