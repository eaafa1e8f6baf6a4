"""Plans: a TOML file that describes the trials of a study as grids (docs/studies.md)."""

import itertools
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from dralign.data import DataSource
from dralign.data.source import BUILT_IN
from dralign.errors import DralignError, OptionError, StudyError, unknown
from dralign.methods import method_names, method_settings, method_type, method_types, used_options
from dralign.settings import Setting, resolved
from dralign.study.spec import COMMON, TrialSpec

DEFAULT_SEEDS: Final = 3
Settings = dict[str, Any]

_DATA: Final = tuple(
    entry.name for entry in fields(DataSource) if entry.name not in {"name", "data_home"}
)
_TOP: Final = ("name", "assumed", "defaults", "trials")

_TYPES: Final[dict[str, object]] = {
    **get_type_hints(DataSource),
    "dataset": str,
    "method": str,
    "sensitive": str | tuple[str, ...],
    "alignment_share": float,
}


@dataclass(frozen=True)
class Plan:
    """The trials of a study.

    Attributes:
        name: of the study.
        trials: different ones; all settings with the first seed come first, then the next seed.
        assumed: one text for each value that the source of the plan does not state.
    """

    name: str
    trials: tuple[TrialSpec, ...]
    assumed: tuple[str, ...] = ()


def load_plan(path: Path | str, *, data_home: str = "") -> Plan:
    """The plan in a TOML file.

    Args:
        path: the file; datasets that are files or folders lie relative to it.
        data_home: the folder of the datasets that are not built in.

    Raises:
        StudyError: if the file can't be read or is not TOML.
        OptionError: if a key is unknown, a table is missing or a value is impossible.
    """
    file = Path(path)
    try:
        form = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise StudyError(f"{file}: the plan can't be read: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StudyError(f"{file}: not a TOML file: {error}") from error
    try:
        return _plan(form, file, data_home)
    except DralignError as error:
        raise OptionError(f"{file}: {error}") from error


def _plan(form: Mapping[str, Any], file: Path, data_home: str) -> Plan:
    """The plan of a parsed file.

    Raises:
        OptionError: if something in it can't be used.
    """
    _only_known(form, _TOP)
    tables = form.get("trials")
    if not isinstance(tables, list) or not tables or not all(isinstance(t, dict) for t in tables):
        raise OptionError("no trials; expected one or more [[trials]] tables")
    assumed = form.get("assumed", [])
    if not isinstance(assumed, list) or not all(isinstance(text, str) for text in assumed):
        raise OptionError("assumed: expected a list of texts")
    name = form.get("name", file.stem)
    if not isinstance(name, str) or not name:
        raise OptionError(f"name: expected a text, got {name!r}")
    defaults = _checked("defaults", form.get("defaults", {}))
    specs = [
        spec
        for place, table in enumerate(tables, start=1)
        for spec in _named(f"trials {place}", table, defaults, file.parent, data_home)
    ]
    # An interrupted study then has some seeds of every setting, not every seed of some.
    specs.sort(key=lambda spec: spec.seed)
    return Plan(name, tuple(dict.fromkeys(specs)), tuple(assumed))


def _named(
    where: str, table: Settings, defaults: Settings, folder: Path, data_home: str
) -> list[TrialSpec]:
    """The trials of one table; errors name it.

    Raises:
        OptionError: if something in it can't be used.
    """
    own = _checked(where, table)
    either = {"alignment_weight", "alignment_share"}
    if either <= set(own):
        raise OptionError(f"{where}: alignment_weight or alignment_share, not both")
    inherited = {
        key: value for key, value in defaults.items() if key not in either or not either & set(own)
    }
    grid = {**inherited, **own}
    if lacking := [key for key in ("dataset", "method") if key not in grid]:
        raise OptionError(f"{where}: the key {lacking[0]!r} is missing")
    try:
        return list(_expand(grid, folder, data_home))
    except DralignError as error:
        raise OptionError(f"{where}: {error}") from error


def _checked(where: str, table: object) -> Settings:
    """The table with every value as a list of the values to be crossed.

    Raises:
        OptionError: if a key is unknown or a value is of another type than the key takes.
    """
    if not isinstance(table, dict):
        raise OptionError(f"{where}: expected a table, got {table!r}")
    try:
        _only_known(table, keys())
        return {key: _values(key, value) for key, value in table.items()}
    except OptionError as error:
        raise OptionError(f"{where}: {error}") from error


def _only_known(table: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    """Checks that there are no other keys.

    Raises:
        OptionError: if there is one; it names the nearest key.
    """
    for key in table:
        if key not in keys:
            near = get_close_matches(key, keys, n=1)
            hint = f"unknown key {key!r}; did you mean {near[0]!r}?" if near else ""
            raise OptionError(hint or unknown("key", key, keys))


def _values(key: str, value: object) -> list[Any]:
    """The values of a key that are to be crossed.

    Raises:
        OptionError: if there is none, or one is of another type than the key takes.
    """
    if key == "seeds":
        return _seeds(value)
    values = value if isinstance(value, list) else [value]
    if not values:
        raise OptionError(f"{key}: expected at least one value, got an empty list")
    declared = _settings().get(key)
    for entry in values:
        if declared is not None:
            declared.checked(entry)
        elif not _fits(entry, _TYPES[key]):
            raise OptionError(f"{key}: can't be {entry!r}")
    return values


def keys() -> tuple[str, ...]:
    """The keys of a table of trials."""
    known = [name for name in _settings() if name != "seed"]
    return ("dataset", *_DATA, "method", *known, "alignment_share", "seeds")


def _settings() -> dict[str, Setting]:
    """Every setting of a trial by name."""
    return {**{setting.name: setting for setting in COMMON}, **method_settings()}


def _seeds(value: object) -> list[int]:
    """A count as 0, 1, ..., or the seeds of a list.

    Raises:
        OptionError: if it is neither.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return list(range(value))
    if isinstance(value, list) and value and all(_fits(seed, int) for seed in value):
        return value
    raise OptionError(f"seeds: expected a count from 1 up or a list of seeds, got {value!r}")


def _fits(value: object, kind: object) -> bool:
    """Whether a value from TOML is of the annotated type; which texts are known is seen later."""
    if get_origin(kind) in {Union, UnionType}:
        return any(_fits(value, member) for member in get_args(kind))
    if get_origin(kind) is tuple:
        return isinstance(value, list) and all(isinstance(entry, str) for entry in value)
    if get_origin(kind) is Literal:
        return isinstance(value, str)
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    if kind is float:
        return isinstance(value, (int, float))
    return isinstance(kind, type) and isinstance(value, kind)


def _expand(grid: Settings, folder: Path, data_home: str) -> Iterator[TrialSpec]:
    """The trials of a grid; those that differ only in what a method does not use are equal."""
    seeds = grid.get("seeds", range(DEFAULT_SEEDS))
    keys = [key for key in grid if key not in {"seeds", "method"}]
    for values in itertools.product(*(grid[key] for key in keys)):
        settings = dict(zip(keys, values, strict=True))
        data = _data(settings, folder, data_home)
        for method in _methods(grid["method"], settings):
            trial = _trial_settings(method, settings)
            for seed in seeds:
                yield TrialSpec(data=data, seed=seed, **trial)


def _methods(names: list[str], settings: Settings) -> list[str]:
    """The methods by name, ``all`` standing for those that support the gap.

    Raises:
        OptionError: if one is unknown.
    """
    gap = settings.get("gap", "demographic_parity")
    found: list[str] = []
    for name in names:
        if name == "all":
            found += [kind.name for kind in method_types() if gap in kind.supported_gaps()]
        elif name in method_names():
            found.append(name)
        else:
            raise OptionError(unknown("method", name, ("all", *method_names())))
    return found


def _data(settings: Settings, folder: Path, data_home: str) -> DataSource:
    """The data that the settings describe.

    Raises:
        OptionError: if it is neither a dataset nor a file with a known ending, nor a folder.
    """
    name = settings["dataset"]
    described = {key: settings[key] for key in _DATA if key in settings}
    if name not in BUILT_IN:
        if not Path(name).suffix and not (folder / name).is_dir():
            known = ", ".join(BUILT_IN)
            raise OptionError(
                f"unknown dataset {name!r}; known: {known}, or the path of a CSV or Parquet file "
                "or of a folder of images"
            )
        name = str((folder / name).absolute())
    for key in ("labels", "partition"):
        # A partition that is not there may lie beside the official one, where it is looked for.
        if described.get(key) and (key == "labels" or (folder / described[key]).is_file()):
            described[key] = str((folder / described[key]).absolute())
    return DataSource(name, data_home=data_home, **described)


def _trial_settings(method: str, settings: Settings) -> Settings:
    """What the method uses of the settings, with its weights, as ``TrialSpec`` takes them.

    A setting that only some methods use is left out for the others.

    Raises:
        OptionError: if a gap bound is to find the weights and a share is given as well.
    """
    kind = method_type(method)
    common = {s.name: settings[s.name] for s in COMMON if s.name in settings}
    if not kind.scaled:
        common.pop("gap_bound", None)
    own = used_options(kind, settings)
    if "alignment_share" in settings and "alignment_weight" in kind.setting_names:
        if "gap_bound" in common:
            raise OptionError("alignment_share: gap_bound finds the weights; give one or the other")
        weight = resolved([s for s in kind.settings if s.name == "fairness_weight"], own)
        own["alignment_weight"] = settings["alignment_share"] * weight["fairness_weight"]
    return {**common, **own, "method": method}
