"""DRAlign: gap regularisation plus gradient-guided parity alignment (Eq. 9; Algorithms 1, 2)."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Final, get_args

import torch
from torch import nn

from dralign.alignment import RationaleAlignment, backward_in_blocks
from dralign.errors import OptionError
from dralign.gaps import Gap
from dralign.methods.base import Step, StepResult, absent_cells, balance_for
from dralign.methods.gap import GapRegularisation
from dralign.methods.mixup import GAPS, FairMixup, PathPenalty, Paths
from dralign.methods.registry import MethodType
from dralign.methods.schedule import Every, Schedule, schedule_of, written_schedule
from dralign.methods.shared import AGGREGATE, FAIRNESS_WEIGHT, LARGEST_WEIGHT, MIXUP_LAYER
from dralign.methods.state import State
from dralign.rationale import Granularity, LayerChoice
from dralign.settings import Setting
from dralign.step import WHOLE, Balance, Batch, LossConvention, Passes, backward_in_parts

EVERY_STEP: Final = Every(1)
BETA_SHARE: Final = 0.1  # beta = lambda / 10, the paper's choice on Adult (A.1)


@dataclass(frozen=True)
class DRAlign:
    """Minimises L_cls + lambda * gap - beta * similarity of the groups' rationales.

    With ``alignment_weight`` 0 it is gap regularisation, step for step.

    Attributes:
        gap: the gap to be made small; it also says which groups are aligned with which.
        fairness_weight: lambda, 0 or more.
        alignment_weight: beta, 0 or more; lambda / 10 in the paper's Adult runs (A.1).
        granularity: whether a rationale has an entry per unit or per weight.
        layers: ``"all"``, the last k (Eq. 10), or names.
        loss: the loss convention.
        penalty: Fair Mixup's penalty in the place of the gap (A.8); None stands for the gap itself.
        schedule: in which steps the alignment term enters, and with how many times its weight; the
            steps between cost what a step of gap regularisation costs.
    """

    name: ClassVar[str] = "dralign"
    needs_groups: ClassVar[bool] = True
    post_process: ClassVar[None] = None
    gap: Gap
    fairness_weight: float
    alignment_weight: float
    granularity: Granularity = "unit"
    layers: LayerChoice = "all"
    loss: LossConvention = "batch_mean"
    penalty: PathPenalty | None = None
    schedule: Schedule = EVERY_STEP

    @property
    def takes_weights(self) -> bool:
        """Whether the gap does; paths between pairs of rows have no weights (``mixup``)."""
        return self.penalty is None and self.gap.kind.takes_weights

    @property
    def balance(self) -> Balance:
        """By group, or by cell if the gap conditions on the label."""
        return balance_for(self.gap)

    def begin(self, model: nn.Module, *, n_groups: int, generator: torch.Generator) -> Step:
        """The step function of one run of ``model``."""
        unaligned = self.unaligned().begin(model, n_groups=n_groups, generator=generator)
        if not self.alignment_weight:
            return unaligned
        return AlignedStep(self, model, unaligned, n_groups=n_groups, generator=generator)

    def unaligned(self) -> GapRegularisation | FairMixup:
        """The method that is left without the alignment term."""
        if self.penalty is None:
            return GapRegularisation(self.gap, self.fairness_weight, self.loss)
        return FairMixup(self.penalty, self.fairness_weight, self.loss)


class AlignedStep:
    """The step of one run: the alignment term on every k-th, the method without it in between.

    Attributes:
        taken: how many steps were taken so far.
    """

    def __init__(
        self,
        method: DRAlign,
        model: nn.Module,
        unaligned: Step,
        *,
        n_groups: int,
        generator: torch.Generator,
    ) -> None:
        """Finds the layers to align."""
        self.taken = 0
        self._method, self._model, self._unaligned = method, model, unaligned
        self._n_groups, self._generator = n_groups, generator
        self._alignment = RationaleAlignment(
            model, layers=method.layers, granularity=method.granularity
        )
        if method.penalty is not None:
            method.penalty.check(model)

    def __call__(self, batch: Batch, multiplier: float = 1.0, passes: Passes = WHOLE) -> StepResult:
        """Adds the gradients of Eq. 9 to ``.grad``."""
        times = self._method.schedule.weight(self.taken)
        self.taken += 1
        if not times * multiplier * self._method.alignment_weight:
            return self._unaligned(batch, multiplier, passes)
        return self._aligned(batch, multiplier, times, passes)

    def _aligned(self, batch: Batch, multiplier: float, times: float, passes: Passes) -> StepResult:
        """A step with the alignment term, ``times`` its weight."""
        method, n_groups = self._method, self._n_groups
        lam, beta = multiplier * method.fairness_weight, multiplier * method.alignment_weight
        loss = backward_in_blocks(
            self._model,
            batch,
            alignment=self._alignment,
            alignment_weight=beta * times,
            gap=method.gap,
            fairness_weight=lam if method.penalty is None else 0.0,
            n_groups=n_groups,
            loss=method.loss,
            passes=passes,
        )
        if method.penalty is None or not lam:
            return StepResult(loss, absent_cells(batch, method.gap, n_groups))
        paths = Paths(
            method.penalty, self._model, batch, n_groups=n_groups, generator=self._generator
        )
        added = backward_in_parts(
            self._model, batch, passes, loss=None, regulariser=paths, weight=lam
        )
        return StepResult(loss + added, paths.skipped)

    def state_dict(self) -> State:
        """How many steps were taken."""
        return {"taken": torch.tensor(self.taken)}

    def load_state_dict(self, state: State) -> None:
        """Goes on from what ``state_dict`` gave.

        Raises:
            ValueError: if it is no count of steps.
        """
        if (taken := int(state["taken"])) < 0:
            raise ValueError(f"taken: {taken} steps")
        self.taken = taken


ALIGNMENT_WEIGHT: Final = Setting(
    "alignment_weight",
    "beta, the weight of the alignment term; a tenth of the fairness weight if not given.",
    "number",
    default=lambda settings: BETA_SHARE * settings["fairness_weight"],
    off=0.0,
    least=0.0,
    most=LARGEST_WEIGHT,
    sign="β",
)
GRANULARITY: Final = Setting(
    "granularity",
    "Rationale entries that are aligned: one per unit, or per parameter.",
    "choice",
    default="unit",
    off="unit",
    choices=get_args(Granularity),
)
LAYERS: Final = Setting(
    "layers",
    "Layers to align: all, the last k (a count), or names with commas.",
    "layers",
    default="all",
    off="all",
)
ALIGNMENT_EVERY: Final = Setting(
    "alignment_every",
    "Align on every k-th step, k times as strongly; 8 if not given, the paper has 1.",
    "own",
    default=8,
    off=1,
    read=written_schedule,
)
PENALTY: Final = Setting(
    "penalty",
    "What lambda weighs: gap, or mixup (Fair Mixup's penalty).",
    "choice",
    default="gap",
    off="gap",
    choices=("gap", "mixup"),
)


def build(
    kind: type[DRAlign], gap: Gap, loss: LossConvention, settings: Mapping[str, Any]
) -> DRAlign:
    """The method, or one of its kind, with its settings.

    Raises:
        OptionError: if Fair Mixup's penalty can't stand for the gap.
    """
    mixed = settings["penalty"] == "mixup"
    if mixed and gap.name not in GAPS:
        raise OptionError(
            f"gap: the method '{kind.name} with the mixup penalty' supports {', '.join(GAPS)}, "
            f"got {gap.name!r}"
        )
    return kind(
        gap,
        settings["fairness_weight"],
        settings["alignment_weight"],
        settings["granularity"],
        settings["layers"],
        loss,
        PathPenalty(gap, settings["mixup_layer"]) if mixed else None,
        schedule_of(settings["alignment_every"]),
    )


def alignment_note(settings: Mapping[str, Any]) -> str:
    """What was aligned, and how often, for a sentence that begins with a name."""
    every = settings["alignment_every"]
    how = f"once in {every} steps, with {every} β" if isinstance(every, int) else f"by {every}"
    how = "at every step" if every == 1 else how
    return f"aligned rationales per {settings['granularity']}, {how}"


DRALIGN: Final = MethodType(
    "dralign",
    "gap regularisation plus β times the alignment of the groups' rationales (Eq. 9)",
    partial(build, DRAlign),
    settings=(
        FAIRNESS_WEIGHT,
        ALIGNMENT_WEIGHT,
        GRANULARITY,
        LAYERS,
        ALIGNMENT_EVERY,
        AGGREGATE,
        PENALTY,
        MIXUP_LAYER,
    ),
    scaled=((FAIRNESS_WEIGHT.name, 1.0), (ALIGNMENT_WEIGHT.name, BETA_SHARE)),
    note=lambda settings: f"dralign {alignment_note(settings)}.",
)
