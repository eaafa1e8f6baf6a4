"""The options of every command that runs trials, made of the settings that trials declare."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Final, cast

import typer

from dralign.cli.options import PANELS, DataOptions, RuleOptions, selection
from dralign.data import DataSource
from dralign.methods import method_settings, users_of
from dralign.settings import Kind, Setting
from dralign.study.spec import COMMON
from dralign.training import Selection
from dralign.training.settings import BOUND_MEASURE

_TYPES: Final[dict[Kind, type]] = {"number": float, "count": int, "flag": bool}
# Given in other ways: several at once, or by the commands that take one of them.
_NOT_SHARED: Final = ("fairness_weight", "seed", "readings", "bound_measure")


@dataclass(frozen=True)
class TrialOptions:
    """What was given of the options that describe trials, of every command that runs some.

    Attributes:
        data: those of the data.
        rule: those of the selection.
        given: settings of ``TrialSpec`` by name; what was not given is not there.
    """

    data: DataOptions
    rule: RuleOptions
    given: Mapping[str, Any]

    @property
    def gap(self) -> str:
        """The name of the gap."""
        return str(self.given.get("gap", shared_settings()["gap"].default))

    @property
    def gap_bound(self) -> float | None:
        """The gap bound, if there is one."""
        return self.given.get("gap_bound")

    def source(self, data: str) -> DataSource:
        """The data that the options describe."""
        given: dict[str, Any] = {
            name: str(value) if isinstance(value, Path) else value
            for name, value in vars(self.data).items()
            if value is not None
        }
        return DataSource(data, **given)

    def selection(self) -> Selection:
        """The selection rule that the options describe."""
        rule = self.rule
        return selection(rule.select, rule.warmup, rule.bound, rule.measure, self.gap_bound)

    def common(self) -> dict[str, Any]:
        """The settings that every method takes."""
        names = {setting.name for setting in COMMON}
        return {name: value for name, value in self.given.items() if name in names}

    def of_methods(self) -> dict[str, Any]:
        """The settings that only some methods take."""
        return {name: self.given[name] for name in self.given.keys() - self.common().keys()}


def shared_settings() -> dict[str, Setting]:
    """The settings that become options of every command that runs trials, by name."""
    every = {**{setting.name: setting for setting in COMMON}, **method_settings()}
    return {name: setting for name, setting in every.items() if name not in _NOT_SHARED}


def with_trial_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options of trials in the place of its parameter ``trial``."""
    described = [
        inspect.Parameter(
            entry.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=entry.default,
            annotation=entry.type,
        )
        for kind in (DataOptions, RuleOptions)
        for entry in fields(kind)
    ]
    declared = {name: _parameter(setting) for name, setting in shared_settings().items()}

    @wraps(command)
    def run(*args: object, **given: Any) -> None:  # noqa: ANN401 - whatever the options hold
        texts = {name: given.pop(name) for name in declared}
        rule = RuleOptions(**{entry.name: given.pop(entry.name) for entry in fields(RuleOptions)})
        settings = {
            name: shared_settings()[name].parsed(str(text))
            for name, text in texts.items()
            if text is not None
        }
        if rule.measure is not None and "gap_bound" in settings:
            settings[BOUND_MEASURE.name] = BOUND_MEASURE.checked(rule.measure)
        trial = TrialOptions(
            DataOptions(**{entry.name: given.pop(entry.name) for entry in fields(DataOptions)}),
            rule,
            settings,
        )
        command(*args, **given, trial=trial)

    signature = inspect.signature(command)
    own = list(signature.parameters.values())
    index = [entry.name for entry in own].index("trial")
    own[index : index + 1] = [*declared.values(), *described]
    cast("Any", run).__signature__ = signature.replace(parameters=own)  # typer reads this
    return run


def _parameter(setting: Setting) -> inspect.Parameter:
    """The option of a setting; not given it is None, and the setting takes its default."""
    users = users_of(setting.name)
    notes = [f"Of {', '.join(users)}."] if users else []
    if not callable(setting.default) and setting.default is not None:
        notes.append(f"[default: {setting.default}]")
    if setting.known and not all(choice in setting.help for choice in setting.known):
        notes.insert(0, f"One of {', '.join(setting.known)}.")
    option = typer.Option(
        help=" ".join((setting.help, *notes)), rich_help_panel=PANELS[setting.panel]
    )
    kind: Any = _TYPES.get(setting.kind, str)
    return inspect.Parameter(
        setting.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, option],
    )
