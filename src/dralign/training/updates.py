"""From gradients to new weights: the optimiser, the schedule of its rate, and clipping."""

import hashlib
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from dralign.errors import OptionError, quoted
from dralign.training.settings import TRAINING, TrainingSettings
from dralign.turns import warnings_kept

OptimiserFactory = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
SchedulerFactory = Callable[[torch.optim.Optimizer], LRScheduler]
_OF_ADAM: Final = ("learning_rate", "weight_decay")  # settings that an own optimiser has itself
_SCHEDULED: Final = ("betas", "lr", "momentum")  # what schedules of torch change
_ADDRESS: Final = re.compile(r" at 0x[0-9A-Fa-f]+")


@dataclass
class Updates:
    """What makes new weights of gradients, and how far its schedule has come.

    The schedule goes on after every step that the optimiser took, so that its lengths count steps.
    It depends on their number alone: that is saved of it, and a checksum of its course.

    Attributes:
        optimiser: of the network.
        scheduler: of its learning rate; None leaves that as it is.
        scaler: of float16 losses; it passes everything through in other precisions.
        clip_norm: the largest norm of all gradients together; None for any.
        scheduled: how many steps the schedule has taken.
        course: a checksum of what it made of the learning rate (and momentum) at each of them.
    """

    optimiser: torch.optim.Optimizer
    scheduler: LRScheduler | None
    scaler: torch.amp.GradScaler
    clip_norm: float | None
    scheduled: int = 0
    course: str = ""

    def __post_init__(self) -> None:
        """Keeps what the optimiser was told, by which a change of it is noticed."""
        self._begun = _options(self.optimiser)

    @classmethod
    def of(
        cls,
        model: nn.Module,
        settings: TrainingSettings,
        optimiser: OptimiserFactory | None = None,
        scheduler: SchedulerFactory | None = None,
    ) -> "Updates":
        """Those of a run before its first step.

        Args:
            model: the network.
            settings: of the run.
            optimiser: makes the optimiser of the network's parameters; None for Adam, with weight
                decay AdamW.
            scheduler: makes the schedule of the optimiser; None for none.

        Raises:
            OptionError: if what they make can't be used here, or a setting of Adam is given beside
                an optimiser.
        """
        own = _adam(model, settings) if optimiser is None else _own(model, settings, optimiser)
        device = next(model.parameters()).device
        return cls(
            own,
            None if scheduler is None else _schedule(own, scheduler),
            # Without float16 it passes everything through as it is.
            torch.amp.GradScaler(device.type, enabled=settings.precision == "float16"),
            settings.clip_norm,
        )

    @property
    def rate(self) -> float:
        """The learning rate as it is now."""
        return float(self.optimiser.param_groups[0].get("lr", 0.0))

    def scale(self, device: torch.device) -> float:
        """How many times larger than they are the gradients of the next step are to be."""
        if not self.scaler.is_enabled():
            return 1.0  # asking for it would wait for the device
        return float(self.scaler.scale(torch.ones((), device=device)))

    def step(self, model: nn.Module, scale: float) -> None:
        """New weights from the gradients, which are ``scale`` times too large."""
        if self.clip_norm is not None:
            self.scaler.unscale_(self.optimiser)
            nn.utils.clip_grad_norm_(model.parameters(), self.clip_norm)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        # The scale comes down where gradients overflowed, and no step was taken.
        taken = not self.scaler.is_enabled() or self.scaler.get_scale() >= scale
        if self.scheduler is not None and taken:
            self._follow(self.scheduler)

    def catch_up(self, steps: int) -> None:
        """Takes the schedule, fresh from its beginning, to where it was after so many steps."""
        with warnings_kept():
            # The steps of the optimiser were taken in another process.
            warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
            for _ in range(steps if self.scheduler is not None else 0):
                assert self.scheduler is not None
                self._follow(self.scheduler)

    def _follow(self, scheduler: LRScheduler) -> None:
        """Lets the schedule go on by one step."""
        scheduler.step()
        self.scheduled += 1
        now = [one[k] for one in self.optimiser.param_groups for k in _SCHEDULED if k in one]
        # A rate may be a tensor, whose text has few digits.
        exact = [x.tolist() if isinstance(x, torch.Tensor) else x for x in now]
        self.course = hashlib.sha256(f"{self.course}{exact}".encode()).hexdigest()

    def identity(self) -> dict[str, str]:
        """What tells them from others, before the first step: text by name."""
        schedule = {} if self.scheduler is None else self.scheduler.state_dict()
        return {
            "optimiser": type(self.optimiser).__name__,
            "options of the optimiser": "; ".join(map(written, _options(self.optimiser))),
            "scheduler": "none" if self.scheduler is None else type(self.scheduler).__name__,
            **{f"{key} of the scheduler": steady(value) for key, value in schedule.items()},
        }

    def check_saveable(self) -> None:
        """Checks that a checkpoint can hold the optimiser: state in tensors, options that stay.

        Raises:
            OptionError: if not.
        """
        name = type(self.optimiser).__name__
        for state in self.optimiser.state.values():
            if other := [key for key, x in state.items() if not isinstance(x, torch.Tensor)]:
                raise OptionError(
                    f"checkpoints: {name} keeps {other[0]!r}, which is no tensor and can't be "
                    "saved; choose another optimiser, or train without checkpoints"
                )
        changing = _SCHEDULED if self.scheduler is not None else ()
        for begun, now in zip(self._begun, _options(self.optimiser), strict=True):
            if other := [k for k in now if k not in changing and now[k] != begun.get(k)]:
                raise OptionError(
                    f"checkpoints: {other[0]!r} of {name} changed while training, which can't be "
                    "saved; choose another optimiser, or train without checkpoints"
                )


def _adam(model: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    """Adam; with weight decay AdamW."""
    rate, decay = settings.learning_rate, settings.weight_decay
    if decay:
        return torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=decay, fused=True)
    return torch.optim.Adam(model.parameters(), lr=rate, fused=True)


def _own(
    model: nn.Module, settings: TrainingSettings, make: OptimiserFactory
) -> torch.optim.Optimizer:
    """The optimiser of the caller.

    Raises:
        OptionError: if it is none, needs a closure, or a setting of Adam is given too.
    """
    defaults = {setting.name: setting.default for setting in TRAINING}
    for name in _OF_ADAM:
        if (given := getattr(settings, name)) != defaults[name]:
            raise OptionError(
                f"{name}: {given:g} is of Adam, and an optimiser of your own is given; give it to "
                "that one"
            )
    if not callable(make):
        raise OptionError(
            "optimiser: expected a function from parameters to an optimiser of torch, got "
            f"{quoted(make)}"
        )
    result: Any = make(model.parameters())
    if not isinstance(result, torch.optim.Optimizer) or isinstance(result, torch.optim.LBFGS):
        raise OptionError(
            "optimiser: expected a function from parameters to an optimiser of torch that steps "
            f"without a closure, got one that returns {type(result).__name__}"
        )
    return result


def _schedule(optimiser: torch.optim.Optimizer, make: SchedulerFactory) -> LRScheduler:
    """The schedule of the caller.

    Raises:
        OptionError: if it is none, or waits for a figure.
    """
    if not callable(make):
        raise OptionError(
            "scheduler: expected a function from the optimiser to a schedule of torch, got "
            f"{quoted(make)}"
        )
    result: Any = make(optimiser)
    if not isinstance(result, LRScheduler) or isinstance(result, ReduceLROnPlateau):
        raise OptionError(
            "scheduler: expected a function from the optimiser to a schedule of torch that depends "
            f"on the number of steps alone, got one that returns {type(result).__name__}"
        )
    return result


def _options(optimiser: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """What an optimiser was told of each group of parameters."""
    return [
        {key: value for key, value in group.items() if key != "params"}
        for group in optimiser.param_groups
    ]


def steady(value: object) -> str:
    """A value as one line, the same in every process: no addresses, no order that says nothing."""
    if isinstance(value, Mapping):
        entries = sorted(f"{steady(key)}: {steady(entry)}" for key, entry in value.items())
        return f"{{{', '.join(entries)}}}"
    if isinstance(value, set | frozenset):
        return f"{{{', '.join(sorted(map(steady, value)))}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(steady, value))}]"
    return " ".join(_ADDRESS.sub("", repr(value)).split())


def written(options: dict[str, Any]) -> str:
    """The options that are set, in a line."""
    return ", ".join(f"{k}={v}" for k, v in options.items() if v is not None and v is not False)
