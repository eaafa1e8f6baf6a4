"""The whole trade-off of a classifier, trained at once: a network for each fairness weight."""

import warnings
from collections.abc import Mapping, Sequence
from copy import copy, deepcopy
from typing import TYPE_CHECKING, Any

from torch import nn

from dralign.data import Dataset
from dralign.errors import DralignWarning, OptionError
from dralign.estimator.fitting import Outcome, Prepared, gap_text, keep, not_kept, untrained
from dralign.estimator.parameters import (
    check_numbers,
    chosen_method,
    own_loss,
    training_settings,
)
from dralign.forms import shown
from dralign.methods import Method
from dralign.metrics import gap_measure, gap_measure_names
from dralign.metrics.decisions import check_bounded
from dralign.metrics.resampling import Interval
from dralign.study.front import point_intervals
from dralign.training import FrontPoint, Selection, train_front
from dralign.training.front import check_front, chosen_index
from dralign.training.history import Scores

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from dralign.estimator.classifier import DRAlignClassifier


class Frontier:
    """The points of a front, which ``DRAlignClassifier.frontier`` trains.

    All figures are of the rows kept back, by which epochs were chosen and points are: judge the
    network that is selected by rows that it did not see. Intervals are 95 % ones of the same
    network on other rows (200 draws within each group), of one split and one seed.

    Attributes:
        points_: a row for each weight, from the smallest on: ``weight``; ``epoch``, the chosen one
            of those at this weight; ``seconds`` of its training steps; ``average_precision`` and
            ``accuracy``; and the gap in every measure of ``dralign.metrics.gap_measure_names()``,
            by the name of the measure. ``_low`` and ``_high`` are the ends of the intervals of
            average precision, and of the gap in the measure by which epochs were chosen.
        estimators_: the fitted classifier of each row; its ``fairness_weight`` is the weight.
    """

    points_: "pd.DataFrame"
    estimators_: "tuple[DRAlignClassifier, ...]"

    def __init__(
        self,
        estimators: "Sequence[DRAlignClassifier]",
        intervals: Sequence[Mapping[str, Interval]],
        rule: Selection,
    ) -> None:
        """Tells the points of classifiers that are fitted.

        Args:
            estimators: from the smallest weight on.
            intervals: of average precision and of the gap in the rule's measure, by measure.
            rule: by which epochs were chosen.
        """
        import pandas as pd

        self.estimators_ = tuple(estimators)
        self._intervals, self._rule = tuple(intervals), rule
        self.points_ = pd.DataFrame(
            [_row(*pair) for pair in zip(self.estimators_, self._intervals, strict=True)]
        )

    def __repr__(self) -> str:
        weights = ", ".join(f"{one.fairness_weight_:g}" for one in self.estimators_)
        return f"Frontier(method={self.estimators_[0].method!r}, weights=[{weights}])"

    def select(
        self, max_gap: float | None = None, *, measure: str | None = None
    ) -> "DRAlignClassifier":
        """A fitted classifier: the point of the highest AP whose gap is at most ``max_gap``.

        Where no point keeps it, the one of the smallest gap, with a warning; ``bound_met_`` tells
        too. Without a largest gap, the point of the smallest gap among those that lose at most .005
        of average precision against the smallest weight. As ``dralign.training.choose_point``.

        Args:
            max_gap: the largest gap on the rows kept back, from 0 up; None for none.
            measure: in which the gap is meant, a name of ``dralign.metrics.gap_measure_names()``;
                None takes the one by which epochs were chosen.

        Raises:
            OptionError: if the largest gap is negative or not a number, the measure is unknown, or
                it is of the hard gap, which is judged at 0.5, and the threshold another.
        """
        measure = measure or self._rule.measure
        chosen = copy(self.estimators_[self._chosen(max_gap, measure)])
        if max_gap is not None:
            kind = gap_measure(measure)
            gap = kind.of(_figures(chosen), chosen.gap)
            chosen.bound_met_ = bool(gap <= max_gap)
            if not chosen.bound_met_:
                warnings.warn(
                    f"{not_kept('weight', kind.words, max_gap)}; λ {chosen.fairness_weight_:g} "
                    f"comes nearest, with {gap_text(gap)} (larger weights may keep it)",
                    DralignWarning,
                    stacklevel=2,
                )
        for line in chosen.notes_:
            warnings.warn(line, DralignWarning, stacklevel=2)
        return chosen

    def plot(self, max_gap: float | None = None) -> "Figure":
        """Average precision against the gap, with intervals; what ``select`` would take is ringed.

        Args:
            max_gap: as ``select`` takes it; in the measure by which epochs were chosen.

        Raises:
            OptionError: as ``select`` does.
        """
        from dralign.report.front import ShownFront, front_drawing

        first = self.estimators_[0]
        groups = " & ".join(first.sensitive_names_)
        drawn = ShownFront(
            title=shown(f"label: {first.label_name_}, groups: {groups}"),
            method=first.method,
            gap=first.gap,
            measure=self._rule.measure,
            rows="rows kept back",
            weights=tuple(one.fairness_weight_ for one in self.estimators_),
            figures=tuple(map(_figures, self.estimators_)),
            intervals=self._intervals,
        )
        return front_drawing(drawn, self._chosen(max_gap, self._rule.measure))

    def _chosen(self, max_gap: float | None, measure: str) -> int:
        """The number of the point that is recommended."""
        if max_gap is not None:
            check_bounded(measure, self.estimators_[0].threshold)
        figures = [_figures(one) for one in self.estimators_]
        return chosen_index(figures, self.estimators_[0].gap, max_gap=max_gap, measure=measure)


def check_frontier(
    parameters: Mapping[str, Any], sensitive_features: object, weights: Sequence[float]
) -> None:
    """Finds out, before data are looked at, what makes no front of a classifier.

    Raises:
        OptionError: if there are no sensitive features, or a parameter or weight can't be.
    """
    if parameters["fairness_weight"] is not None:
        raise OptionError(
            "fairness_weight: a front has many; leave it None, and give weights to frontier"
        )
    if parameters["checkpoints"] is not None:
        raise OptionError("checkpoints: a front is not saved as it goes; leave them None")
    for name in ("optimiser", "scheduler"):
        if parameters[name] is not None:
            raise OptionError(
                f"{name}: a front has an Adam of its own for each weight; leave it out"
            )
    if sensitive_features is None:
        raise OptionError(
            "sensitive_features: a front trades precision for the gap of groups; say what makes "
            "the groups"
        )
    check_numbers(parameters)
    settings = training_settings(parameters, 0, gap_bound=parameters["gap_bound"])
    check_front(parameters["method"], chosen_method(parameters), settings, weights)


def train_frontier(
    prepared_classifier: "DRAlignClassifier", prepared: Prepared, weights: Sequence[float]
) -> Frontier:
    """Trains the front of a classifier whose rows are prepared.

    Args:
        prepared_classifier: has learned of columns, labels and groups, and has no network.
        prepared: the rows, and how to train on them.
        weights: lambda.

    Raises:
        DralignError: as ``train_front`` does, or if the network doesn't fit the inputs.
    """
    parameters = prepared_classifier.get_params(deep=False)
    model, data = untrained(prepared_classifier, prepared)

    def method_of(weight: float) -> Method:
        return chosen_method({**parameters, "fairness_weight": weight}, data.n_classes)

    settings = training_settings(parameters, prepared.seed, gap_bound=None)
    points = train_front(
        model,
        data,
        method_of,
        settings,
        weights=weights,
        rule=prepared.selection,
        loss=own_loss(parameters),
    )
    model.zero_grad()  # or every point would keep a copy of the last gradient
    rows, known = data.validation, {"n_groups": data.n_groups, "seed": prepared.seed}
    intervals = [
        point_intervals(model, point, rows, gap=prepared.method.gap.name, **known)
        for point in points
    ]
    estimators = [
        _fitted(prepared_classifier, data, point, method_of(point.weight), model)
        for point in points
    ]
    for one in estimators:
        one.front_weights_ = tuple(point.weight for point in points)
    return Frontier(estimators, intervals, prepared.selection)


def _fitted(
    prepared_classifier: "DRAlignClassifier",
    data: Dataset,
    point: FrontPoint,
    method: Method,
    model: nn.Module,
) -> "DRAlignClassifier":
    """The classifier of a point, with a network of its own."""
    fitted, network = copy(prepared_classifier), deepcopy(model)
    fitted.fairness_weight = point.weight
    network.load_state_dict(point.state)
    keep(fitted, data, Outcome(network, method, point.rule, point.history, point.record))
    return fitted


def _figures(fitted: "DRAlignClassifier") -> Scores:
    """The figures of the rows kept back, at the chosen epoch."""
    figures: Scores = fitted.history_[fitted.chosen_epoch_].validation
    return figures


def _row(fitted: "DRAlignClassifier", intervals: Mapping[str, Interval]) -> dict[str, float]:
    """A row of the table."""
    figures, row = _figures(fitted), {"weight": fitted.fairness_weight_}
    row |= {"epoch": fitted.chosen_epoch_, "seconds": sum(one.seconds for one in fitted.history_)}
    keys = {name: name for name in ("average_precision", "accuracy")}
    keys |= {name: gap_measure(name).key(fitted.gap) for name in gap_measure_names()}
    for name, key in keys.items():
        if key in figures:
            row[name] = figures[key]
        if name in intervals:
            row[f"{name}_low"], row[f"{name}_high"] = intervals[name]
    return row
