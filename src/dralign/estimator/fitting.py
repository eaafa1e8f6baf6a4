"""What ``fit`` and ``frontier`` share: what is made ready before training and kept after it."""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import check_consistent_length, check_random_state
from torch import nn

from dralign.data import Dataset
from dralign.errors import DralignWarning
from dralign.estimator.inputs import (
    class_codes,
    coded_groups,
    column_names,
    label_weights,
    row_weights,
    training_data,
)
from dralign.estimator.network import check_network, initial_network, inputs_of, probabilities
from dralign.estimator.parameters import (
    check_class_weight,
    check_numbers,
    chosen_method,
    chosen_selection,
    without_groups,
)
from dralign.estimator.table import feature_table
from dralign.methods import Method
from dralign.metrics.arrays import THRESHOLD
from dralign.metrics.decisions import BASE_RATE, base_rate_threshold, check_threshold
from dralign.training import EpochRecord, History, Selection, cautions
from dralign.training.evaluation import score_splits

if TYPE_CHECKING:
    from dralign.estimator.classifier import DRAlignClassifier

# Whether this thread fits inside of what takes the groups itself, so that none is as it should be.
MITIGATED_OUTSIDE: ContextVar[bool] = ContextVar("MITIGATED_OUTSIDE", default=False)
_UNGROUPED_FIGURES = ("average_precision", "accuracy", "balanced_accuracy")


@contextmanager
def as_before_if_it_fails(estimator: object) -> Iterator[None]:
    """A fit that fails or is interrupted leaves the estimator as it was before, fitted or not.

    What it learns comes in several steps; the columns of one fit beside the network of another
    would predict without a word.
    """
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


@dataclass(frozen=True)
class Prepared:
    """What a network is trained with.

    Attributes:
        data: the rows to train on and those kept back; there are no test rows.
        method: of the classifier's own weight.
        selection: the rule that chooses the epoch.
        seed: of everything that is drawn.
    """

    data: Dataset
    method: Method
    selection: Selection
    seed: int


@dataclass(frozen=True)
class Outcome:
    """A trained network.

    Attributes:
        model: with the weights of the chosen epoch.
        method: it was trained by.
        rule: by which the epoch was chosen.
        history: the records of all epochs.
        chosen: that of the epoch.
        bound_met: whether it keeps the gap bound; None without one.
    """

    model: nn.Module
    method: Method
    rule: Selection
    history: History
    chosen: EpochRecord
    bound_met: bool | None = None


def prepare(
    classifier: "DRAlignClassifier",
    X: object,  # noqa: N803
    y: object,
    sample_weight: object,
    sensitive_features: object,
) -> Prepared:
    """The rows to train on, and how; what they teach of columns, labels and groups is kept.

    Arguments and errors as ``DRAlignClassifier.fit``. Warnings are told of the line that called
    the function that calls this one.
    """
    parameters = classifier.get_params(deep=False)
    check_numbers(parameters)
    chosen_method(parameters)  # complains about parameters before it looks at the data
    selection = chosen_selection(parameters)
    table = feature_table(classifier, X, reset=True)
    classifier.label_name_ = column_names(y, "y")[0]
    classifier.sensitive_names_ = column_names(sensitive_features, "sensitive_features")
    check_consistent_length(table, y)
    kept, weight = row_weights(sample_weight, n_given := len(table))
    table = table.iloc[kept]
    classifier.classes_, labels = class_codes(y, kept)
    check_threshold(classifier.threshold, n_classes=len(classifier.classes_))
    method = chosen_method(parameters, len(classifier.classes_))
    groups = None
    if sensitive_features is not None:
        groups = coded_groups(sensitive_features, n_given, kept)
    else:
        if not MITIGATED_OUTSIDE.get():
            warnings.warn(
                "no sensitive_features: the task loss alone is trained, nothing is mitigated",
                DralignWarning,
                stacklevel=3,
            )
        method, selection = without_groups(parameters, len(classifier.classes_))
    check_class_weight(parameters, method)
    classifier.mitigated_ = method.needs_groups
    classifier.group_names_ = () if groups is None else groups.names
    seed = int(check_random_state(classifier.random_state).randint(np.iinfo(np.int32).max))
    data, classifier.encoder_ = training_data(
        table,
        labels,
        groups,
        classes=classifier.classes_,
        fraction=classifier.validation_fraction,
        seed=seed,
        leave_out=hasattr(X, "columns"),
        weight=weight,
        label_weight=label_weights(classifier.class_weight, classifier.classes_, labels, weight),
    )
    return Prepared(data, method, selection, seed)


def untrained(classifier: "DRAlignClassifier", prepared: Prepared) -> tuple[nn.Module, Dataset]:
    """The network before its first step, and the rows with inputs in the type of its weights.

    The classifier keeps its architecture.

    Raises:
        OptionError: if ``module`` makes none, or the device is not there.
        ModelError: if it does not fit the inputs, or its weights are in half precision.
    """
    data = prepared.data
    architecture: dict[str, Any] = {
        "name": "mlp",
        "n_inputs": data.n_inputs,
        "hidden": int(classifier.hidden),
        "depth": int(classifier.depth),
    }
    if data.n_classes > 2:
        architecture["n_outputs"] = data.n_classes
    own = classifier.module
    model = initial_network(own, architecture, seed=prepared.seed, device=classifier.device)
    train, validation, test = (
        replace(rows, x=inputs_of(model, rows.x))
        for rows in (data.train, data.validation, data.test)
    )
    data = replace(data, train=train, validation=validation, test=test)
    check_network(model, data.train.x[:2], data.n_classes)
    classifier.architecture_ = architecture if own is None else None
    return model, data


def keep(classifier: "DRAlignClassifier", data: Dataset, outcome: Outcome) -> None:
    """Makes a classifier, whose rows were prepared, one that predicts with a trained network."""
    chosen, gap = outcome.chosen, outcome.method.gap.name
    classifier.module_ = outcome.model.eval()
    classifier.chosen_epoch_ = chosen.epoch
    classifier.bound_met_ = outcome.bound_met
    fixed = getattr(outcome.method, "fairness_weight", 0.0)
    classifier.fairness_weight_ = fixed if chosen.found_weight is None else chosen.found_weight
    classifier.threshold_ = _threshold(classifier, data)
    how: Any = {
        "names": data.group_names,
        "split": "validation",
        "rows": "rows kept back",
        "decisions": [str(label) for label in classifier.classes_],
    }
    told = cautions(outcome.history, outcome.rule, gap, **how)
    if classifier.threshold_ != THRESHOLD and data.group_names:  # the records decide at 0.5
        limit = classifier.threshold_
        kept, _ = score_splits(outcome.model, data, outcome.method, threshold=limit)
        cells = {} if kept.cells is None else {"validation": kept.cells}
        at = (replace(chosen, validation=kept.figures, cells=cells),)
        told = [one for one in told if one.kind in {"epoch", "undefined"}]
        told += cautions(at, Selection("last", 0), gap, **how)
    # All of them are about figures that compare groups.
    classifier.notes_ = tuple(one.text for one in told) if data.group_names else ()
    classifier.history_ = tuple(_known(one, data.group_names) for one in outcome.history)
    classifier.selection_ = outcome.rule.told(outcome.history, gap)
    classifier.front_weights_ = None


def not_kept(tried: str, measure: str, bound: float) -> str:
    """How a bound that nothing keeps is told: of what was tried, in which measure."""
    return f"no {tried} keeps the {measure} at {bound:g} on the rows kept back"


def gap_text(gap: float) -> str:
    """A gap in words."""
    return "an undefined one" if math.isnan(gap) else f"{gap:.3f}"


def _threshold(classifier: "DRAlignClassifier", data: Dataset) -> float:
    """The probability from which on the positive one of two labels is predicted."""
    if classifier.threshold != BASE_RATE:
        return float(classifier.threshold)
    rows = data.validation
    prob = probabilities(classifier.module_, rows.x, own=classifier.module is None)
    return base_rate_threshold(rows.y.numpy(), prob, sample_weight=rows.weights)


def _known(record: EpochRecord, group_names: tuple[str, ...]) -> EpochRecord:
    """The record without figures of test rows, and of groups where there are none."""
    if group_names:
        return replace(record, test={}, cells={})
    known = {name: record.validation[name] for name in _UNGROUPED_FIGURES}
    return replace(record, validation=known, test={}, cells={})
