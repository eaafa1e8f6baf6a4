"""What is found out about data and method before the first step."""

import warnings

from dralign.data import Dataset
from dralign.errors import OptionError, UndefinedMetricWarning
from dralign.groups import require_groups
from dralign.methods import Method
from dralign.methods.base import takes_weights


def check_groups(dataset: Dataset, method: Method, *, streamed: bool = False) -> None:
    """Checks that every group (and cell, where the gap needs it) can be trained on.

    A group without rows of a label is an error only if the gap conditions on the label; else it
    gets a warning, because some figures will be undefined for it. Data without any groups will do
    for a method that needs none; all figures that compare groups are then undefined.

    Args:
        dataset: the rows.
        method: the way to train.
        streamed: whether training rows come from elsewhere, so that those here say nothing.

    Raises:
        GroupError: if training rows of a group or of a needed cell are missing.
    """
    if not dataset.group_names and not method.needs_groups:
        return
    label = dataset.train.y if method.gap.conditions_on_label else None
    splits = {"training": dataset.train, "validation": dataset.validation, "test": dataset.test}
    if streamed:
        del splits["training"]
    else:
        require_groups(dataset.train.group, dataset.group_names, where="training", label=label)
    names = dataset.class_names or range(dataset.n_classes)
    for code, name in enumerate(dataset.group_names):
        lacking = []
        for where, split in splits.items():
            labels = split.y[split.group == code]
            absent = [repr(n) for value, n in enumerate(names) if not bool((labels == value).any())]
            if absent and len(split):
                of_label = f" with label {' or '.join(absent)}" if len(labels) else ""
                lacking.append(f"no {where} rows{of_label}")
        if lacking:
            warnings.warn(
                f"group {name!r} has {', '.join(lacking)}: figures that condition on it are "
                "undefined",
                UndefinedMetricWarning,
                stacklevel=3,
            )


def check_weights(dataset: Dataset, method: Method) -> None:
    """Checks that the method can train on weighted rows, if they are.

    Raises:
        OptionError: if it can't.
    """
    if dataset.is_weighted and not takes_weights(method):
        raise OptionError(
            f"weights of rows: the method {method.name!r} can't train on weighted rows for "
            f"{method.gap.name}; choose another method, or leave the weights out"
        )
