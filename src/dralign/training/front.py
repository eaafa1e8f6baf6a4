"""A whole front for the price of three runs: every weight begins from one early network.

Going on from weight to weight was tried first and loses a third of the front and more: the network
overfits from its third epoch or so on, and each next one inherits that. So all weights begin from
the network of the highest validation AP at the smallest weight (experiments/one_training.py).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from numbers import Real
from typing import Final

from torch import nn

from dralign.data import Dataset
from dralign.errors import OptionError, quoted
from dralign.methods import Adjusting, Method, method_type
from dralign.methods.shared import FAIRNESS_WEIGHT
from dralign.methods.state import State
from dralign.metrics import gap_measure
from dralign.metrics.measures import AP_LOSS, DEFAULT
from dralign.rationale.layers import original
from dralign.rationale.losses import RowLoss
from dralign.training.history import EpochRecord, History, Scores
from dralign.training.loop import train
from dralign.training.run import weights as weights_of
from dralign.training.selection import Selection
from dralign.training.settings import TrainingSettings

WEIGHTS: Final = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5)
# What a further weight takes of the epochs of the first, and of its learning rate.
FURTHER_EPOCHS: Final = 0.2
FURTHER_RATE: Final = 0.25


@dataclass(frozen=True)
class FrontPoint:
    """The network of one weight.

    Attributes:
        weight: lambda.
        history: the records of the epochs at this weight.
        record: that of the chosen one.
        rule: by which it was chosen.
        state: the network's weights after it, on the CPU.
    """

    weight: float
    history: History
    record: EpochRecord
    rule: Selection
    state: State = field(repr=False)


def train_front(
    model: nn.Module,
    dataset: Dataset,
    method_of: Callable[[float], Method],
    settings: TrainingSettings,
    *,
    weights: Sequence[float] = WEIGHTS,
    rule: Selection | None = None,
    on_epoch: Callable[[float, EpochRecord], None] | None = None,
    loss: RowLoss | None = None,
) -> tuple[FrontPoint, ...]:
    """Trains a network at the smallest weight, and from its best epoch on at each larger one.

    The smallest weight takes all epochs of the settings. Each further one begins with the network
    of the highest validation AP among them, and takes a fifth of the epochs at a quarter of the
    learning rate, with a fresh Adam: ten weights take 2.8 times the steps of one.

    Args:
        model: the network, trained in place; it ends as the largest weight left it.
        dataset: the rows to train on, to select by and to report on.
        method_of: the way to train at a weight.
        settings: how long and how fast at the first weight.
        weights: lambda, different and not negative, in any order.
        rule: how the epoch of each weight is chosen; None for ``Selection()``. Its warm-up is that
            of the first weight alone.
        on_epoch: called with the weight and each record as it is made.
        loss: as ``train`` takes it.

    Returns:
        A point for each weight, from the smallest on.

    Raises:
        OptionError: if there are no weights, two are equal or one is negative, or the settings have
            a gap bound.
        DralignError: as ``train`` does.
    """
    ordered = checked_weights(weights)
    check_unbound(settings)
    further = replace(
        settings,
        epochs=max(round(FURTHER_EPOCHS * settings.epochs), 1),
        learning_rate=FURTHER_RATE * settings.learning_rate,
    )
    own_rule = rule or Selection()
    model = original(model)
    beginning = _Beginning(model)
    points: list[FrontPoint] = []
    for weight in ordered:
        if points:
            model.load_state_dict(beginning.state)
            own_rule = replace(own_rule, warmup=0)
        tell = None if on_epoch is None else partial(on_epoch, weight)
        run = train(
            model,
            dataset,
            method_of(weight),
            further if points else settings,
            on_epoch=tell if points else partial(beginning.see, tell),
            keep=own_rule,
            loss=loss,
        )
        record = own_rule.choose(run.history, method_of(weight).gap.name)
        state = run.states[record.epoch]
        assert state is not None  # it was the one to keep
        points.append(FrontPoint(weight, run.history, record, own_rule, state))
    return tuple(points)


class _Beginning:
    """The weights of the epoch of the highest validation AP so far, told of every epoch."""

    def __init__(self, model: nn.Module) -> None:
        self.state: State = {}
        self._model = model
        self._history: list[EpochRecord] = []

    def see(self, tell: Callable[[EpochRecord], None] | None, record: EpochRecord) -> None:
        """Keeps the weights if this is that epoch so far, and passes the record on."""
        self._history.append(record)
        if Selection("highest_ap").choose(tuple(self._history), "") is record:
            self.state = weights_of(self._model)
        if tell is not None:
            tell(record)


def choose_point(
    points: Sequence[FrontPoint], gap: str, *, max_gap: float | None = None, measure: str = DEFAULT
) -> FrontPoint:
    """The operating point that is recommended; validation figures alone decide.

    With a largest gap: the highest average precision among the points that keep it; if none does,
    the smallest gap. Without: the smallest gap among the points whose average precision lies within
    ``AP_LOSS`` of that of the smallest weight.

    Args:
        points: of ``train_front``.
        gap: the gap they were trained for.
        max_gap: the largest gap; None for none.
        measure: in which gaps are measured.

    Raises:
        OptionError: if the largest gap is negative or not a number, or the records do not have the
            measure.
    """
    figures = [point.record.validation for point in points]
    return points[chosen_index(figures, gap, max_gap=max_gap, measure=measure)]


def chosen_index(
    figures: Sequence[Scores], gap: str, *, max_gap: float | None = None, measure: str = DEFAULT
) -> int:
    """The number of the point that ``choose_point`` recommends.

    Args:
        figures: the validation figures of each point, from the smallest weight on.
        gap: as ``choose_point`` takes it, like the next.
        max_gap: the largest gap.
        measure: in which gaps are measured.

    Raises:
        OptionError: as ``choose_point`` does.
    """
    check_max_gap(max_gap)
    key = gap_measure(measure).key(gap)
    if any(key not in one for one in figures):
        raise OptionError(f"measure: the records have no figure {key!r}")
    precisions = [one["average_precision"] for one in figures]
    gaps = [one[key] for one in figures]
    defined = [index for index, value in enumerate(gaps) if not math.isnan(value)]
    if not defined:
        return 0
    if max_gap is not None:
        kept = [index for index in defined if gaps[index] <= max_gap]
        if kept:
            return max(kept, key=precisions.__getitem__)
        return min(defined, key=gaps.__getitem__)
    least = precisions[0] - AP_LOSS
    near = [index for index in defined if precisions[index] >= least]
    return min(near or defined, key=gaps.__getitem__)


def check_front(
    name: str, method: Method, settings: TrainingSettings, weights: Sequence[float]
) -> None:
    """Finds out, without data, what makes no front.

    Args:
        name: of the method.
        method: as it is built.
        settings: how it is to be trained.
        weights: lambda.

    Raises:
        OptionError: if the method has no fairness weight or its front needs no training, there is a
            gap bound, or the weights are none, not different or negative.
    """
    if FAIRNESS_WEIGHT.name not in method_type(name).setting_names:
        raise OptionError(f"method: {name} has no fairness weight, so it has no front")
    if isinstance(method, Adjusting):
        raise OptionError(
            f"method: {name} has its whole front from one network; train it, then adjust it "
            "(dralign adjust; for scikit-learn PluginClassifier)"
        )
    checked_weights(weights)
    check_unbound(settings)


def check_unbound(settings: TrainingSettings) -> None:
    """Checks that the settings leave the weight open.

    Raises:
        OptionError: if they have a gap bound.
    """
    if settings.gap_bound is not None:
        raise OptionError(
            "gap_bound: finds one weight, and a front has many; give a largest gap instead"
        )


def check_max_gap(max_gap: object) -> None:
    """Checks the largest gap of an operating point; None for none.

    Raises:
        OptionError: if it is negative or not a number.
    """
    if max_gap is None:
        return
    value = float(max_gap) if isinstance(max_gap, Real) else math.nan
    if not value >= 0:
        raise OptionError(f"max_gap: expected a number from 0 up, got {quoted(max_gap)}")


def checked_weights(weights: Sequence[float]) -> tuple[float, ...]:
    """The weights from the smallest on.

    Raises:
        OptionError: if there are none, two are equal, or one is negative or not a number.
    """
    try:
        ordered = tuple(sorted(float(weight) for weight in weights))
    except (TypeError, ValueError):  # no numbers, or no several ones
        ordered = ()
    in_range = all(0 <= weight < math.inf for weight in ordered)  # NaN has no order
    if not ordered or len(set(ordered)) < len(ordered) or not in_range:
        raise OptionError(f"weights: expected different numbers from 0 up, got {quoted(weights)}")
    return ordered
