"""The front of a method, trained at once: its points, and the network of one of them."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from dralign.data import Dataset, Split
from dralign.gaps import judged_by
from dralign.metrics import gap_measure, measure, scored
from dralign.metrics.measures import DEFAULT, Measure
from dralign.metrics.resampling import Interval, bootstrap_intervals
from dralign.metrics.scored_rows import Scored
from dralign.study.network import TrainedNetwork, described, fingerprint_before
from dralign.study.spec import TrialSpec
from dralign.study.trial import Architecture, begin_trial
from dralign.training import (
    EpochRecord,
    FrontPoint,
    Selection,
    predict_probability,
    train_front,
)
from dralign.training.front import check_front, chosen_index

DRAWS = 200


@dataclass(frozen=True)
class TrainedFront:
    """The networks of a front, from the smallest weight to the largest.

    Attributes:
        spec: the settings, those of the smallest weight.
        points: a network for each weight.
        rule: by which the epoch of each was chosen.
        intervals: for each point the 95 % interval of average precision and gap on the test rows,
            over rows drawn anew.
    """

    spec: TrialSpec
    points: tuple[FrontPoint, ...]
    rule: Selection
    intervals: tuple[dict[str, Interval], ...]
    _dataset: Dataset = field(repr=False)
    _architecture: Architecture = field(repr=False)
    _model: nn.Module = field(repr=False)
    _fingerprint: str = field(repr=False)

    def choose(self, max_gap: float | None = None) -> int:
        """The number of the point that is recommended, by validation figures alone.

        Arguments and rule as ``dralign.training.choose_point``.
        """
        figures = [point.record.validation for point in self.points]
        return chosen_index(figures, self.spec.gap, max_gap=max_gap, measure=self.rule.measure)

    def network(self, index: int, *, threshold: float | str, remember_rows: bool) -> TrainedNetwork:
        """The network of a point, to be saved; arguments as ``train_network``."""
        point = self.points[index]
        model = copy.deepcopy(self._model)  # one of its own: others of this front are in use
        model.load_state_dict(point.state)
        front: dict[str, Any] = {"weights": [one.weight for one in self.points]}
        return described(
            model.cpu(),
            self._dataset,
            self._architecture,
            spec=self.spec.at_weight(point.weight),
            rule=point.rule,
            history=point.history,
            chosen=point.record,
            threshold=threshold,
            fingerprint=self._fingerprint,
            remember_rows=remember_rows,
            begun={"front": front},
        )


def train_trial_front(
    spec: TrialSpec,
    weights: Sequence[float],
    *,
    rule: Selection | None = None,
    device: torch.device | str = "cpu",
    on_epoch: Callable[[float, EpochRecord], None] | None = None,
    on_data: Callable[[Dataset], None] | None = None,
) -> TrainedFront:
    """Trains a front as ``dralign.training.train_front`` does, with the settings of a trial.

    Args:
        spec: the settings; of a method with a fairness weight, which is replaced.
        weights: lambda, different and not negative.
        rule: how the epoch of each weight is chosen; None for ``Selection()``.
        device: to train on.
        on_epoch: called with the weight and each record as it is made.
        on_data: called with the data before anything is trained.

    Raises:
        OptionError: as ``check_trial_front`` does.
        DralignError: as ``train_front`` does, or if the data can't be read.
    """
    check_trial_front(spec, weights)
    rule = rule or Selection(measure=DEFAULT)
    fingerprint = fingerprint_before(spec)
    dataset, architecture, model = begin_trial(spec, device=device, on_data=on_data)
    points = train_front(
        model,
        dataset,
        lambda weight: spec.at_weight(weight).build_method(dataset.n_classes),
        spec.training_settings(),
        weights=weights,
        rule=rule,
        on_epoch=on_epoch,
    )
    intervals = tuple(
        point_intervals(
            model, point, dataset.test, n_groups=dataset.n_groups, gap=spec.gap, seed=spec.seed
        )
        for point in points
    )
    own = (dataset, architecture, model, fingerprint)
    return TrainedFront(spec.at_weight(points[0].weight), points, rule, intervals, *own)


def check_trial_front(spec: TrialSpec, weights: Sequence[float]) -> None:
    """Finds out, without data, what makes no front; as ``dralign.training.front.check_front``."""
    check_front(spec.method, spec.build_method(), spec.training_settings(), weights)


def point_intervals(
    model: nn.Module, point: FrontPoint, rows: Split, *, n_groups: int, gap: str, seed: int
) -> dict[str, Interval]:
    """The 95 % intervals of a point's average precision and gap, over rows drawn anew.

    Args:
        model: the network, which takes the weights of the point.
        point: of a front.
        rows: with labels and groups.
        n_groups: the number of groups.
        gap: the gap it was trained for; in the measure of the point's rule.
        seed: of the draws.
    """
    model.load_state_dict(point.state)
    known = scored(
        rows.y.numpy(),
        predict_probability(model, rows.x).numpy(),
        rows.group.numpy(),
        n_groups=n_groups,
        sample_weight=rows.weights,
    )
    measures = (measure("average_precision"), gap_measure(point.rule.measure))
    return row_intervals(known, measures, judged_by(gap), seed=seed)


def row_intervals(
    rows: Scored, measures: Sequence[Measure], gap: str, *, seed: int = 0
) -> dict[str, Interval]:
    """The 95 % interval of each measure by its name, over rows drawn anew.

    Args:
        rows: with labels, scores and groups.
        measures: of ``dralign.metrics.all_measures()``.
        gap: the gap of those that have a value for each.
        seed: of the draws.
    """
    wanted = [(one, gap) for one in measures]
    rng = np.random.default_rng(seed)
    intervals = bootstrap_intervals(rows, wanted, draws=DRAWS, rng=rng)
    return {one.name: ends for one, ends in zip(measures, intervals, strict=True)}
