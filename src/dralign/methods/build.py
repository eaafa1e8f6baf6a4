"""From a method's name and settings to the method; each setting is checked here."""

from collections.abc import Mapping
from typing import Any

from dralign.errors import OptionError, quoted, unknown
from dralign.gaps import resolve_gap
from dralign.methods.base import Method
from dralign.methods.registry import MethodType, method_settings, method_type, method_types
from dralign.methods.shared import GAP, LOSS
from dralign.settings import resolved
from dralign.step import LossConvention


def method_options(
    kind: MethodType, given: Mapping[str, Any], *, gap_bound: float | None = None
) -> dict[str, Any]:
    """All settings of a method: what is given, or else its defaults.

    Under a gap bound the weights that it finds are 0 here; ``build_method`` takes what lambda
    multiplies in their place.

    Args:
        kind: the method.
        given: values by name; None stands for the default. A setting of other methods may stand at
            the value of a trial that does not use it.
        gap_bound: whether lambda is to be found.

    Raises:
        OptionError: if a value can't be, the method does not use a setting that is given, or a
            weight is given beside a gap bound.
    """
    known = method_settings()
    for name, value in given.items():
        if name in kind.setting_names or value is None:
            continue
        if name not in known:
            raise OptionError(unknown("setting", name, known))
        if known[name].checked(value) != known[name].off:
            raise OptionError(
                f"{name}: the method {kind.name!r} does not use it, got {quoted(value)}"
            )
    result: dict[str, float] = {}
    if gap_bound is not None:
        if not kind.scaled:
            raise OptionError(
                f"gap_bound: the method {kind.name!r} has no weight to find; methods that have "
                f"one: {', '.join(other.name for other in method_types() if other.scaled)}"
            )
        result = dict.fromkeys(dict(kind.scaled), 0.0)
        for name in result:
            if given.get(name):
                raise OptionError(f"{name}: gap_bound finds the weights; give one or the other")
    return resolved(kind.settings, {**given, **result})


def used_options(kind: MethodType, given: Mapping[str, Any]) -> dict[str, Any]:
    """What a method uses of settings that were given for several methods."""
    own = {name: value for name, value in given.items() if name in kind.setting_names}
    whole = {setting.name: setting.default for setting in kind.settings} | own
    idle = {s.name for s in kind.settings if s.when is not None and not s.when(whole)}
    return {name: value for name, value in own.items() if name not in idle}


def build_method(
    name: str,
    *,
    gap: str = "demographic_parity",
    loss: LossConvention = "batch_mean",
    n_classes: int = 2,
    gap_bound: float | None = None,
    **settings: Any,  # noqa: ANN401 - what a method declares
) -> Method:
    """The method of the given name; what is not given takes the method's own default.

    Args:
        name: one of ``method_names()``.
        gap: the gap it is trained for, or judged by.
        loss: ``"batch_mean"`` as in the published code, or ``"group_sum"`` as in Algorithm 1.
        n_classes: the number of classes of the label.
        gap_bound: if training is to find lambda under a bound, the bound: the weights are then
            those that lambda multiplies, 1 and for beta a tenth.
        **settings: those of the method (docs/settings.md).

    Raises:
        OptionError: if a name is unknown, the method does not support the gap or the classes, or a
            setting can't be or is not used by the method.
    """
    kind = method_type(name)
    options = method_options(kind, settings, gap_bound=gap_bound)
    if gap_bound is not None:
        options |= dict(kind.scaled)
    LOSS.checked(loss)
    GAP.checked(gap)
    if gap not in kind.supported_gaps():
        raise OptionError(
            f"gap: the method {name!r} supports {', '.join(kind.supported_gaps())}, got {gap!r}"
        )
    if n_classes > 2 and kind.two_classes:
        raise OptionError(
            f"method: {name!r} needs two classes, the label has {n_classes}; choose another, or "
            "say which value is positive"
        )
    compared = resolve_gap(gap, aggregate=options.get("aggregate", "max"), n_classes=n_classes)
    return kind.build(compared, loss, options)
