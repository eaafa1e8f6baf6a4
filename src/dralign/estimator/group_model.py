"""The classifier that guesses the groups, where the user gives none: made of that of the labels."""

from typing import Any, Final

from sklearn.base import clone, is_classifier

from dralign.errors import OptionError

# What scikit-learn, XGBoost, LightGBM and CatBoost know of the labels; None turns each off.
ABOUT_LABELS: Final = frozenset(
    {
        "auto_class_weights",
        "class_prior",
        "class_weight",
        "class_weights",
        "is_unbalance",
        "monotone_constraints",
        "monotonic_cst",
        "priors",
        "scale_pos_weight",
    }
)


def group_model_of(estimator: Any) -> Any:  # noqa: ANN401 - whatever has the methods
    """An unfitted clone without the settings that are about labels, also in its parts.

    Class weights would make the probabilities of the groups wrong, and there may be no such labels.

    Args:
        estimator: the classifier of the labels.

    Raises:
        OptionError: if it, or a classifier in it, can't be fitted anew (``FrozenEstimator``).
    """
    parts = (estimator, *estimator.get_params().values())
    for part in parts:
        if _is_estimator(part) and is_classifier(part) and clone(part) is part:
            raise OptionError(
                f"group_estimator: expected a classifier of the groups, as {type(part).__name__} "
                "can't be fitted to them; give one, such as LogisticRegression()"
            )
    own = clone(estimator)
    params = own.get_params()
    about = [name for name in params if name.rpartition("__")[2] in ABOUT_LABELS]
    return own.set_params(**{name: None for name in about if params[name] is not None})


def _is_estimator(part: object) -> bool:
    """Whether it is one, and not a class of them."""
    return hasattr(part, "fit") and not isinstance(part, type)
