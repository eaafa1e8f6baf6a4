"""A run: what it works with, how far it has come, and what tells it from others."""

import hashlib
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from dralign.data import Dataset, Images
from dralign.methods import Method, Step
from dralign.methods.state import State
from dralign.rationale import per_sample_loss
from dralign.rationale.losses import OwnLoss, RowLoss
from dralign.step import n_processes
from dralign.training.batches import Source
from dralign.training.bound import DualAscent
from dralign.training.history import EpochRecord
from dralign.training.selection import Selection
from dralign.training.settings import TrainingSettings
from dralign.training.updates import Updates, steady, written

if TYPE_CHECKING:
    from hashlib import _Hash as Hash

Keep = Selection | Literal["all", "none"]
_NOT_IDENTITY = ("epochs", "patience")  # a run may go on for longer than was planned
SHOWN = 16  # digits of a checksum that are kept


@dataclass
class Run:
    """What a run works with, and how far it has come.

    Attributes:
        model: the network.
        settings: how long and how fast it is trained.
        source: of the batches.
        draws: what a sampler of them draws from.
        noise: what the method draws from.
        step: of the method.
        updates: the optimiser of the network, and what goes with it.
        ascent: finds lambda under a gap bound; None without one.
        identity: what tells the run from others; empty where that is never asked.
        history: the records of finished epochs.
        kept: the weights after those epochs whose weights are kept.
        step_of_epoch: how many steps of the running epoch are done.
        loss: the sum of their losses.
        row_loss: what the task loss is made of, row by row.
        skipped: the groups or cells that were absent from their batches.
        seconds: the time they took.
        stopped: whether it was told to stop after the last epoch.
    """

    model: nn.Module
    settings: TrainingSettings
    source: Source
    draws: np.random.Generator
    noise: torch.Generator
    step: Step
    updates: Updates
    ascent: DualAscent | None
    loss: Tensor
    row_loss: RowLoss = per_sample_loss
    identity: dict[str, str] = field(default_factory=dict)
    history: list[EpochRecord] = field(default_factory=list)
    kept: dict[int, State] = field(default_factory=dict)
    step_of_epoch: int = 0
    skipped: int = 0
    seconds: float = 0.0
    stopped: bool = False

    @property
    def steps(self) -> int:
        """How many steps are done in all."""
        return len(self.history) * self.settings.iterations + self.step_of_epoch

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
        self.step_of_epoch, self.skipped, self.seconds = 0, 0, 0.0


def weights(model: nn.Module) -> State:
    """A copy of the weights and buffers, on the CPU."""
    return {name: x.detach().cpu().clone() for name, x in model.state_dict().items()}


def identity(
    model: nn.Module,
    dataset: Dataset,
    method: Method,
    settings: TrainingSettings,
    keep: Keep,
    loss: RowLoss = per_sample_loss,
) -> dict[str, str]:
    """What tells a run from others, as far as its result depends on it: text by name.

    The network is still as it was before the first step. All rows are read once: the content of
    their inputs counts too.
    """
    initial, rows = hashlib.sha256(), hashlib.sha256()
    for name, x in model.state_dict().items():
        add_content(initial, name, x)
    for split in (dataset.train, dataset.validation, dataset.test):
        for name in ("x", "y", "group", "weight"):
            if getattr(split, name) is not None:
                add_content(rows, name, getattr(split, name))
    return {
        **{k: str(v) for k, v in asdict(settings).items() if k not in _NOT_IDENTITY},
        "method": str(method),
        "keep": str(keep),
        "loss": function_name(loss.loss) if isinstance(loss, OwnLoss) else "cross-entropy",
        "initial weights": initial.hexdigest()[:SHOWN],
        "network": f"{type(model).__name__} {_checksum(steady(model))}",
        "data": f"{len(dataset.train)} training rows {rows.hexdigest()[:SHOWN]}",
        "processes": str(n_processes()),
        "device": next(model.parameters()).device.type,
    }


def _checksum(text: str) -> str:
    """The checksum of a text."""
    return hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()[:SHOWN]


def function_name(function: Any) -> str:  # noqa: ANN401 - whatever can be called
    """A function, or an object that can be called, by name and the plain values it was given."""
    values: dict[str, Any] = {}
    while isinstance(function, partial):
        values = function.keywords | values
        function = function.func
    if not isinstance(function, type):  # what a class holds was given to nobody
        values = getattr(function, "__dict__", {}) | values
    name = getattr(function, "__qualname__", type(function).__name__)
    plain = {k: v for k, v in values.items() if isinstance(v, int | float | str)}
    return f"{name}({written(plain)})"


def add_content(found: "Hash", name: str, x: Tensor | Images) -> None:
    """Takes a tensor or images into a checksum: name, shape, type and content."""
    found.update(f"{name} {tuple(x.shape)};".encode())
    if isinstance(x, Images):
        x.add_to(found)
        return
    found.update(f"{x.dtype};".encode())
    found.update(x.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
