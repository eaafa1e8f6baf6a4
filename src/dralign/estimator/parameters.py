"""From the classifier's parameters to a method, a rule and settings; each is checked here."""

import operator
from collections.abc import Mapping
from typing import Any, Final

from dralign.errors import OptionError
from dralign.methods import PLAIN, Method, build_method, method_settings
from dralign.methods.shared import GAP, LOSS
from dralign.metrics.decisions import check_bounded, check_threshold
from dralign.models import NETWORK
from dralign.rationale.losses import RowLoss, row_loss
from dralign.settings import Setting, resolved
from dralign.training import Rule, Selection, TrainingSettings
from dralign.training.settings import BOUND_MEASURE, GAP_BOUND, TRAINING

_OWN: Final = (
    Setting("warmup", "Epochs at the start that are not chosen.", "count", default=1, least=0),
    Setting("bound", "Largest gap of highest_ap_under_bound.", "number", optional=True),
    Setting("validation_fraction", "Share of rows kept back.", "number", default=0.2),
)
# Settings of a trial that the classifier has too; of the network it has the perceptron's.
SHARED: Final = tuple(
    setting
    for setting in (GAP, GAP_BOUND, LOSS, *NETWORK, *TRAINING)
    if setting.name not in {"network", "classifier_width"}
)


def check_numbers(parameters: Mapping[str, Any]) -> None:
    """Checks every parameter that is a setting.

    Raises:
        OptionError: if one is not of its kind or not in range.
    """
    resolved((*SHARED, *_OWN), parameters)
    check_threshold(parameters["threshold"])
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
    method = build_method(
        parameters["method"],
        gap=parameters["gap"],
        loss=parameters["loss"],
        n_classes=n_classes,
        gap_bound=parameters["gap_bound"],
        **{name: parameters[name] for name in method_settings() if name in parameters},
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
        OptionError: if it is unknown, or has no bound and needs one, or a bound says nothing of
            decisions at the threshold.
    """
    rule = Selection.of(
        parameters["select"],
        parameters["warmup"],
        parameters["bound"],
        measure=parameters["measure"],
        gap_bound=parameters["gap_bound"],
    )
    if rule.bound is not None or parameters["gap_bound"] is not None:
        check_bounded(rule.measure, parameters["threshold"])
    return rule


def without_groups(parameters: Mapping[str, Any], n_classes: int) -> tuple[Method, Selection]:
    """The task loss alone, and a rule that needs no gap: the last epoch or the highest AP."""
    rule: Rule = "last" if parameters["select"] == "last" else "highest_ap"
    method = build_method(
        PLAIN, gap=parameters["gap"], loss=parameters["loss"], n_classes=n_classes
    )
    return method, Selection(rule, operator.index(parameters["warmup"]))


def check_class_weight(parameters: Mapping[str, Any], method: Method) -> None:
    """Checks that weights of classes would change something.

    Raises:
        OptionError: if every batch holds as many rows of each label, whose weights count among
            themselves.
    """
    if parameters["class_weight"] is not None and method.balance == "cell":
        raise OptionError(
            f"class_weight: batches of {method.name!r} for {method.gap.name} hold as many rows of "
            "every label, so that it would change nothing; leave it out"
        )


def own_loss(parameters: Mapping[str, Any]) -> RowLoss:
    """The loss of each row.

    Raises:
        OptionError: if it can't be called.
    """
    return row_loss(parameters["row_loss"], "row_loss")


def training_settings(
    parameters: Mapping[str, Any], seed: int, *, gap_bound: float | None
) -> TrainingSettings:
    """The settings of the training loop."""
    own = resolved(TRAINING, parameters)
    measure = None if gap_bound is None else parameters["measure"]
    return TrainingSettings(
        **own, seed=seed, gap_bound=gap_bound, bound_measure=measure or BOUND_MEASURE.default
    )
