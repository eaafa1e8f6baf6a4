"""From the classifier's parameters to a method, a rule and settings; each is checked here."""

import math
import numbers
import operator
from collections.abc import Mapping
from typing import Any

from dralign.errors import OptionError
from dralign.methods import (
    Method,
    bounded_weights,
    build_method,
    default_schedule,
    default_weights,
)
from dralign.training import Rule, Selection, TrainingSettings

_COUNTS = {
    "alignment_every": 1,
    "hidden": 1,
    "depth": 0,
    "epochs": 1,
    "iterations": 1,
    "batch_size": 1,
    "warmup": 0,
}
_NUMBERS = (
    "fairness_weight",
    "alignment_weight",
    "gap_bound",
    "learning_rate",
    "bound",
    "validation_fraction",
)
_MAY_BE_NONE = {
    "fairness_weight",
    "alignment_weight",
    "alignment_every",
    "gap_bound",
    "batch_size",
    "bound",
}


def check_numbers(parameters: Mapping[str, Any]) -> None:
    """Checks that counts are whole numbers in range, and other numbers finite.

    Raises:
        OptionError: if one is not.
    """
    for name in (*_COUNTS, *_NUMBERS):
        value = parameters[name]
        if value is None and name in _MAY_BE_NONE:
            continue
        if name in _NUMBERS:
            if not isinstance(value, numbers.Real) or not math.isfinite(value):
                raise OptionError(f"{name}: expected a finite number, got {value!r}")
        elif not _is_whole(value) or value < _COUNTS[name]:
            raise OptionError(
                f"{name}: expected a whole number from {_COUNTS[name]} up, got {value!r}"
            )
    if not 0 < parameters["validation_fraction"] < 1:
        raise OptionError(
            "validation_fraction: expected a number between 0 and 1, "
            f"got {parameters['validation_fraction']!r}"
        )


def chosen_method(parameters: Mapping[str, Any], n_classes: int = 2) -> Method:
    """The method, with default weights where none are given and the method uses them.

    Under a gap bound its lambda is 1, which training multiplies.

    Raises:
        OptionError: if a name is unknown, a weight is negative or not used, a weight and a gap
            bound are given, the method does not take as many classes, or it needs the groups to
            predict.
    """
    gap_bound = parameters["gap_bound"]
    lam, beta = default_weights(
        parameters["method"],
        parameters["fairness_weight"],
        parameters["alignment_weight"],
        gap_bound=gap_bound,
    )
    if gap_bound is not None:
        lam, beta = bounded_weights(parameters["method"], lam, beta)
    method = build_method(
        parameters["method"],
        gap=parameters["gap"],
        fairness_weight=lam,
        alignment_weight=beta,
        granularity=parameters["granularity"],
        layers=parameters["layers"],
        loss=parameters["loss"],
        aggregate=parameters["aggregate"],
        alignment_every=default_schedule(parameters["method"], parameters["alignment_every"]),
        penalty=parameters["penalty"],
        mixup_layer=parameters["mixup_layer"],
        n_classes=n_classes,
    )
    if method.post_process is not None:
        raise OptionError(
            f"method: {method.name!r} decides by the group of every row, which this classifier "
            "does not ask for when it predicts; choose another method"
        )
    return method


def chosen_selection(parameters: Mapping[str, Any]) -> Selection:
    """The rule that chooses the epoch.

    Raises:
        OptionError: if it is unknown, or has no bound and needs one.
    """
    return Selection.of(
        parameters["select"],
        parameters["warmup"],
        parameters["bound"],
        gap_bound=parameters["gap_bound"],
    )


def without_groups(parameters: Mapping[str, Any], n_classes: int) -> tuple[Method, Selection]:
    """The task loss alone, and a rule that needs no gap: the last epoch or the highest AP."""
    rule: Rule = "last" if parameters["select"] == "last" else "highest_ap"
    method = build_method(
        "erm", gap=parameters["gap"], loss=parameters["loss"], n_classes=n_classes
    )
    return method, Selection(rule, operator.index(parameters["warmup"]))


def training_settings(
    parameters: Mapping[str, Any], seed: int, *, gap_bound: float | None
) -> TrainingSettings:
    """The settings of the training loop."""
    batch_size = parameters["batch_size"]
    return TrainingSettings(
        epochs=operator.index(parameters["epochs"]),
        iterations=operator.index(parameters["iterations"]),
        batch_size=None if batch_size is None else operator.index(batch_size),
        learning_rate=float(parameters["learning_rate"]),
        seed=seed,
        gap_bound=gap_bound,
    )


def _is_whole(value: object) -> bool:
    """Whether the value is an integer of Python or numpy, and not a bool."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)
