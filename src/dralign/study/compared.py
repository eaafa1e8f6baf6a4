"""The trials of a comparison: methods x fairness weights x seeds on one dataset."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dralign.data import DataSource
from dralign.errors import OptionError
from dralign.gaps import resolve_gap
from dralign.methods import method_type, method_types, used_options
from dralign.study.spec import COMMON, TrialSpec


def compared_trials(
    source: DataSource,
    methods: Iterable[str],
    *,
    weights: Sequence[float] = (),
    seeds: int = 3,
    settings: Mapping[str, Any] | None = None,
) -> list[TrialSpec]:
    """One trial for each setting of each method and each seed.

    Args:
        source: the data.
        methods: their names.
        weights: fairness weights, for methods that have one; under a gap bound they are found.
        seeds: 0, 1, ..., as many for each setting.
        settings: others, by name; a method that does not use one goes without it.

    Returns:
        The trials, those of one setting beside one another.

    Raises:
        OptionError: if a name is not known, a setting can't be, or there is no seed.
    """
    if seeds < 1:
        raise OptionError(f"seeds: expected at least 1, got {seeds}")
    return [
        TrialSpec(source, **setting, seed=seed)
        for name in methods
        for setting in _settings(name, weights, settings or {})
        for seed in range(seeds)
    ]


def methods_for(gap: str, *, n_classes: int = 2) -> list[str]:
    """The names of the methods that support a gap, of a label of so many classes."""
    known = resolve_gap(gap, n_classes=n_classes).name
    return [kind.name for kind in method_types() if known in kind.supported_gaps(n_classes)]


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
