"""What is looked into: a network, or a fitted estimator that holds one."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor, nn

from dralign.errors import DataError, GroupError, ModelError
from dralign.groups import GroupCodes, encode_groups, named_codes


class Opened(NamedTuple):
    """A network with rows as it takes them.

    Attributes:
        model: the network.
        x: (n, ...) inputs.
        label: (n,) labels 0/1, or 0..C-1.
        positive: how label 1 is written, where that is known and there are two.
        inputs: the names of the inputs, where they are known.
        threshold: the probability from which on an estimator decides for label 1, if it says so.
    """

    model: nn.Module
    x: Any
    label: Any
    positive: str = "1"
    inputs: tuple[str, ...] = ()
    threshold: float | None = None


def opened(model: object, x: object, label: object) -> Opened:
    """The network of a fitted estimator, and rows as it takes them; a network stays as it is.

    An estimator in the style of scikit-learn holds its network as ``module_`` and its labels as
    ``classes_``, and may say as ``threshold_`` where it decides; if it has ``network_inputs``, that
    turns X into inputs. Of a search the best estimator is taken, and of a pipeline the last step,
    after the others transformed X.

    Args:
        model: a network, or a fitted estimator.
        x: (n, ...) inputs of the network, or X as the estimator takes it.
        label: (n,) codes, or y as the estimator takes it.

    Raises:
        ModelError: if there is no network to be found.
        DataError: if a label is not among those of the training.
    """
    if isinstance(model, nn.Module):
        return Opened(model, x, label)
    fitted: Any = getattr(model, "best_estimator_", model)
    if hasattr(fitted, "named_steps"):
        x = fitted[:-1].transform(x) if len(fitted) > 1 else x
        fitted = fitted[-1]
    network = getattr(fitted, "module_", None)
    if not isinstance(network, nn.Module):
        raise ModelError(
            "model: expected a torch network, or a fitted estimator that holds one as module_, got "
            f"{type(fitted).__name__}; audit_predictions takes labels and scores of any other model"
        )
    inputs = fitted.network_inputs(x) if hasattr(fitted, "network_inputs") else x
    classes = getattr(fitted, "classes_", None)
    if classes is None:
        return Opened(network, inputs, label)
    positive = str(classes[1]) if len(classes) == 2 else "1"
    threshold = getattr(fitted, "threshold_", None)
    names = tuple(getattr(getattr(fitted, "encoder_", None), "feature_names", ()))
    return Opened(network, inputs, _codes(label, classes), positive, names, threshold)


def given_groups(
    group: object, sensitive_features: object, names: Sequence[str] | None = None
) -> GroupCodes:
    """The groups, which are given as codes or as values.

    Args:
        group: codes, as ``named_codes`` takes them.
        sensitive_features: values of any type, as ``encode_groups`` takes them.
        names: of the codes.

    Raises:
        GroupTypeError: if ``group`` holds no codes.
        GroupError: if both are given, or none, or names beside values.
    """
    if (group is None) == (sensitive_features is None):
        raise GroupError("groups: give either group or sensitive_features")
    if group is not None:
        return named_codes(group, names)
    if names is not None:
        raise GroupError(
            "group_names: they name the codes of group; values of sensitive_features are their "
            "own names, leave group_names out"
        )
    return encode_groups(sensitive_features)


def _codes(label: object, classes: np.ndarray) -> np.ndarray:
    """(n,) the index of each label among the classes.

    Raises:
        DataError: if there is not one label a row, or one is not among the classes.
    """
    values = np.asarray(label.detach().cpu() if isinstance(label, Tensor) else label)
    if values.ndim != 1:
        raise DataError(f"label: expected one a row, got shape {values.shape}")
    order = {value: code for code, value in enumerate(np.asarray(classes).tolist())}
    result = [order.get(value, -1) for value in values.tolist()]
    if -1 in result:
        other = values.tolist()[result.index(-1)]
        raise DataError(
            f"label: {other!r} is not among those of the training: {', '.join(map(repr, order))}"
        )
    return np.array(result, dtype=np.int64)
