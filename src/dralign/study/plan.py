"""Plans: a TOML file that describes the trials of a study as grids (docs/studies.md)."""

import itertools
import math
import re
import tomllib
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, Final, Literal, Union, cast, get_args, get_origin, get_type_hints

from dralign.data import DataSource, dataset_names
from dralign.errors import DralignError, OptionError, StudyError, quoted, unknown
from dralign.files import is_file, is_folder, read_whole
from dralign.forms import shown
from dralign.methods import method_names, method_settings, method_type, method_types, used_options
from dralign.settings import Setting, resolved
from dralign.study.spec import COMMON, TrialSpec, check_taken
from dralign.table_options import BY_NAME as TABLE

DEFAULT_SEEDS: Final = 3
MOST_TRIALS: Final = 10_000  # unless more are asked for
MOST_BYTES: Final = 2**20
Settings = dict[str, Any]

# A key of very many parts, on which Python's reader of TOML spends hours; no key of ours has two.
_MANY_PARTS: Final = re.compile(r"""(?:\.[ \t]*[\w"'-][^.,=\[\]{}\n]*){50}""")
_MOST_SHOWN: Final = 300  # characters of what is wrong

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
        text: of the file as it was parsed; what lies there may be another by now.
    """

    name: str
    trials: tuple[TrialSpec, ...]
    assumed: tuple[str, ...] = ()
    text: str = field(default="", repr=False)


def load_plan(path: Path | str, *, data_home: str = "", max_trials: int | None = None) -> Plan:
    """The plan in a TOML file.

    Args:
        path: the file; datasets that are files or folders lie relative to it.
        data_home: the folder of the datasets that are not built in.
        max_trials: how many trials it may ask for, which is found out before any is made; None for
            10,000.

    Raises:
        StudyError: if the file can't be read or is not TOML.
        OptionError: if a key is unknown, a table is missing, a value is impossible, or it asks for
            too many trials.
    """
    file = Path(path)
    text = _text(file)
    form = _parsed(text, file)
    try:
        plan = _plan(form, file, data_home, MOST_TRIALS if max_trials is None else max_trials)
    except DralignError as error:
        told = str(error)
        told = told if len(told) <= _MOST_SHOWN else f"{told[:_MOST_SHOWN]} ..."
        raise OptionError(f"{file}: {shown(told)}") from error
    return replace(plan, text=text)


def _text(file: Path) -> str:
    """The text of a file.

    Raises:
        StudyError: if it can't be read or is not UTF-8.
    """
    try:
        return read_whole(file, at_most=MOST_BYTES, what="plan").decode()
    except OSError as error:
        raise StudyError(f"{file}: the plan can't be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise StudyError(f"{file}: not a TOML file: {error}") from error
    except ValueError as error:  # of another kind, or too large; it names the file
        raise StudyError(str(error)) from error


def _parsed(text: str, file: Path) -> dict[str, Any]:
    """What a TOML file says; errors name it.

    Raises:
        StudyError: if it is not TOML.
    """
    if _MANY_PARTS.search(text):
        raise StudyError(f"{file}: not a plan: a key has more than 50 parts")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise StudyError(f"{file}: not a plan: tables or lists are nested too deeply") from error
    except ValueError as error:  # of TOML, or a number of too many digits
        raise StudyError(f"{file}: not a TOML file: {shown(str(error))}") from error


def _plan(form: Mapping[str, Any], file: Path, data_home: str, max_trials: int) -> Plan:
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
    # It names the folder of the study, which should not be put just anywhere.
    if not isinstance(name, str) or name in {"", ".."} or name != shown(Path(name).name):
        raise OptionError(f"name: expected a text that can name a folder, got {quoted(name)}")
    defaults = _checked("defaults", form.get("defaults", {}))
    grids = {
        f"trials {index}": _grid(f"trials {index}", table, defaults)
        for index, table in enumerate(tables, start=1)
    }
    if (asked := sum(map(_count, grids.values()))) > max_trials:
        raise OptionError(
            f"asks for {asked:,} trials, more than {max_trials:,}; shorten its lists, or allow so "
            f"many with --max-trials {asked}"
        )
    specs = [
        spec
        for (where, grid), own in zip(grids.items(), tables, strict=True)
        for spec in _named(where, grid, own.keys(), file.parent, data_home)
    ]
    # An interrupted study then has some seeds of every setting, not every seed of some.
    specs.sort(key=lambda spec: spec.seed)
    return Plan(name, tuple(dict.fromkeys(specs)), tuple(assumed))


def _grid(where: str, table: Settings, defaults: Settings) -> Settings:
    """The lists of a table and of the defaults that it does not override; errors name it.

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
    return {"seeds": range(DEFAULT_SEEDS), **grid}


def _count(grid: Settings) -> int:
    """How many trials a grid asks for, before those that come out equal are one."""
    methods = sum(len(method_names()) if name == "all" else 1 for name in grid["method"])
    return methods * math.prod(len(values) for key, values in grid.items() if key != "method")


def _named(
    where: str, grid: Settings, own: Container[str], folder: Path, data_home: str
) -> list[TrialSpec]:
    """The trials of one grid; errors name its table.

    Raises:
        OptionError: if something in it can't be used, or no method of the table uses a key that is
            the table's own; what is inherited may be for other tables.
    """
    try:
        specs = list(_expand(grid, folder, data_home))
        of_trials = {s.name for s in COMMON} | set(method_settings())
        check_taken({k: v for k, v in grid.items() if k in own and k in of_trials}, specs)
        if "alignment_share" in own and not any(spec.uses("alignment_weight") for spec in specs):
            raise OptionError("alignment_share: no method of the table uses it")
        return specs
    except DralignError as error:
        raise OptionError(f"{where}: {error}") from error


def _checked(where: str, table: object) -> Settings:
    """The table with every value as a list of the values to be crossed.

    Raises:
        OptionError: if a key is unknown or a value is of another type than the key takes.
    """
    if not isinstance(table, dict):
        raise OptionError(f"{where}: expected a table, got {quoted(table)}")
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
            hint = f"unknown key {quoted(key)}; did you mean {near[0]!r}?" if near else ""
            raise OptionError(hint or unknown("key", key, keys))


def _values(key: str, value: object) -> Sequence[Any]:
    """The values of a key that are to be crossed.

    Raises:
        OptionError: if there is none, or one is of another type than the key takes.
    """
    if key == "seeds":
        return _seeds(value)
    declared = _settings().get(key)
    of_texts = declared is not None and declared.kind == "texts"
    one = not isinstance(value, list) or (of_texts and all(isinstance(v, str) for v in value))
    values: list[Any] = [value] if one else cast("list[Any]", value)
    if not values:
        raise OptionError(f"{key}: expected at least one value, got an empty list")
    for entry in values:
        if declared is not None:
            declared.checked(entry)
        elif not _fits(entry, _TYPES[key]):
            raise OptionError(f"{key}: can't be {quoted(entry)}")
    return values


def keys() -> tuple[str, ...]:
    """The keys of a table of trials."""
    known = [name for name in _settings() if name != "seed" and name not in _DATA]
    return ("dataset", *_DATA, "method", *known, "alignment_share", "seeds")


def _settings() -> dict[str, Setting]:
    """Every setting of a trial or of a table by name."""
    return {**{setting.name: setting for setting in COMMON}, **method_settings(), **TABLE}


def _seeds(value: object) -> Sequence[int]:
    """A count as 0, 1, ..., or the seeds of a list.

    Raises:
        OptionError: if it is neither.
    """
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**63:
        return range(value)
    if isinstance(value, list) and value and all(_fits(seed, int) for seed in value):
        return value
    raise OptionError(f"seeds: expected a count from 1 up or a list of seeds, got {quoted(value)}")


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
    keys = [key for key in grid if key not in {"seeds", "method"}]
    for values in itertools.product(*(grid[key] for key in keys)):
        settings = dict(zip(keys, values, strict=True))
        data = _data(settings, folder, data_home)
        for method in _methods(grid["method"], settings):
            trial = _trial_settings(method, settings)
            for seed in grid["seeds"]:
                yield TrialSpec(data=data, seed=seed, **trial)


def _methods(names: list[str], settings: Settings) -> list[str]:
    """The methods by name, ``all`` standing for those that support the gap.

    Raises:
        OptionError: if one is unknown.
    """
    gap = settings.get("gap", "demographic_parity")
    result: list[str] = []
    for name in names:
        if name == "all":
            result += [kind.name for kind in method_types() if gap in kind.supported_gaps()]
        elif name in method_names():
            result.append(name)
        else:
            raise OptionError(unknown("method", name, ("all", *method_names())))
    return result


def _data(settings: Settings, folder: Path, data_home: str) -> DataSource:
    """The data that the settings describe.

    Raises:
        OptionError: if it is neither a dataset nor a file with a known ending, nor a folder.
    """
    name = settings["dataset"]
    described = {key: settings[key] for key in _DATA if key in settings}
    if name not in dataset_names():
        if not Path(name).suffix and not is_folder(folder / name):
            known = ", ".join(dataset_names())
            raise OptionError(
                f"unknown dataset {quoted(name)}; known: {known}, or the path of a CSV or Parquet "
                "file or of a folder of images"
            )
        name = str((folder / name).absolute())
    for key in ("labels", "partition", "test"):
        # A partition that is not there may lie beside the official one, where it is looked for.
        if described.get(key) and (key != "partition" or is_file(folder / described[key])):
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
        common = {k: v for k, v in common.items() if k not in {"gap_bound", "bound_measure"}}
    own = used_options(kind, settings)
    if "alignment_share" in settings and "alignment_weight" in kind.setting_names:
        if "gap_bound" in common:
            raise OptionError("alignment_share: gap_bound finds the weights; give one or the other")
        weight = resolved([s for s in kind.settings if s.name == "fairness_weight"], own)
        own["alignment_weight"] = settings["alignment_share"] * weight["fairness_weight"]
    return {**common, **own, "method": method}
