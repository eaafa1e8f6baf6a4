"""The trials of a comparison: methods x fairness weights x seeds on one dataset."""

from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, Final

from dralign.data import DataSource
from dralign.errors import OptionError, quoted
from dralign.gaps import resolve_gap
from dralign.methods import (
    method_settings,
    method_type,
    method_types,
    used_options,
)
from dralign.methods.shared import GAP
from dralign.settings import Setting
from dralign.study.spec import COMMON, TrialSpec, check_taken
from dralign.training.settings import BOUND_MEASURE

# What is compared where nothing else is asked for.
METHODS: Final = ("erm", "oversample", "gap", "dralign")
WEIGHTS: Final = (0.2, 0.4)
SEEDS: Final = 3
ALL: Final = "all"  # in the place of names: every method that supports the gap
# Given in other ways: several at once, or by the doors that take one of them.
_NOT_SHARED: Final = ("fairness_weight", "seed", "readings", "bound_measure")


def shared_settings() -> dict[str, Setting]:
    """The settings that every door takes that compares or trains, by name."""
    every = {**{setting.name: setting for setting in COMMON}, **method_settings()}
    return {name: setting for name, setting in every.items() if name not in _NOT_SHARED}


def bounded_by(settings: Mapping[str, Any], measure: str | None) -> dict[str, Any]:
    """The settings; a gap bound among them is meant in the measure that judges, if one is given."""
    if measure is None or settings.get("gap_bound") is None:
        return dict(settings)
    return {**settings, BOUND_MEASURE.name: BOUND_MEASURE.checked(measure)}


def compared_trials(
    source: DataSource,
    methods: Iterable[str] | str = METHODS,
    *,
    weights: Sequence[float] | float | None = None,
    seeds: int = SEEDS,
    settings: Mapping[str, Any] | None = None,
) -> list[TrialSpec]:
    """One trial for each setting of each method and each seed.

    Args:
        source: the data.
        methods: their names; ``"all"`` for those that support the gap.
        weights: fairness weights, or one, for methods that have one; None for ``WEIGHTS``. Under
            a gap bound they are found.
        seeds: 0, 1, ..., as many for each setting.
        settings: others, by name; a method that does not use one goes without it, but one of them
            has to.

    Returns:
        The trials, those of one setting beside one another.

    Raises:
        OptionError: if a name is not known, a setting can't be or is used by none of the methods,
            there is no seed, or weights are given beside a gap bound.
        DataError: if the data are read, to know the methods, and can't be.
    """
    settings = settings or {}
    _require("seeds", seeds, Integral, "how many (0, 1, ... are used)")
    if seeds < 1:
        raise OptionError(f"seeds: expected at least 1, got {seeds}")
    _require("weights", weights, (Iterable, Real, type(None)), "one number or several", but=str)
    _require("methods", methods, Iterable, "names")
    several: Any = (weights,) if isinstance(weights, Real) else weights
    several = None if several is None else tuple(several)  # each method goes through them
    if weights is not None and settings.get("gap_bound") is not None:
        raise OptionError(
            "weights and gap_bound: the bound finds the weight; give one or the other"
        )
    names = (methods,) if isinstance(methods, str) else tuple(methods)
    for what, given in {"methods": names, "weights": several}.items():
        if given == ():
            raise OptionError(f"{what}: expected at least one, got none")
    if names == (ALL,):
        gap = settings.get(GAP.name, GAP.default)
        names = tuple(methods_for(gap, n_classes=source.load(0).n_classes))
    specs = [
        TrialSpec(source, **setting, seed=seed)
        for name in names
        for setting in _settings(name, WEIGHTS if several is None else several, settings)
        for seed in range(seeds)
    ]
    check_taken({key: (value,) for key, value in settings.items()}, specs)
    if several is not None and not any(spec.uses("fairness_weight") for spec in specs):
        raise OptionError(f"weights: not used by the methods given ({', '.join(names)})")
    return specs


def methods_for(gap: str, *, n_classes: int = 2) -> list[str]:
    """The names of the methods that support a gap, of a label of so many classes."""
    known = resolve_gap(gap, n_classes=n_classes).name
    return [kind.name for kind in method_types() if known in kind.supported_gaps(n_classes)]


def _require(
    name: str, value: object, kind: type | tuple[type, ...], wanted: str, *, but: type = bool
) -> None:
    """Checks the type of an argument, which is one of a kind, but not of another.

    Raises:
        OptionError: if it is not.
    """
    if isinstance(value, but) or not isinstance(value, kind):
        raise OptionError(f"{name}: expected {wanted}, got {quoted(value)}")


def _settings(
    name: str, weights: Sequence[float], settings: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The settings of a method: one, or one per fairness weight; none that it does not use."""
    kind = method_type(name)
    common = {setting.name for setting in COMMON}
    shared = {key: value for key, value in settings.items() if key in common}
    others = {key: value for key, value in settings.items() if key not in common}
    own = {"method": name, **shared, **used_options(kind, others)}
    if not kind.scaled:
        own = {k: v for k, v in own.items() if k not in {"gap_bound", "bound_measure"}}
    if "fairness_weight" not in kind.setting_names or settings.get("gap_bound") is not None:
        return [own]
    return [{**own, "fairness_weight": weight} for weight in weights]
