"""The options of every command that runs trials, made of the settings that trials declare."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from dralign.cli.options import (
    DataOptions,
    RuleOptions,
    in_place_of,
    parameter,
    parsed,
    selection,
)
from dralign.data import DataSource
from dralign.methods import users_of
from dralign.study.compared import bounded_by, shared_settings
from dralign.study.spec import COMMON
from dralign.table_options import BY_NAME as TABLE
from dralign.training import Selection


@dataclass(frozen=True)
class TrialOptions:
    """What was given of the options that describe trials, of every command that runs some.

    Attributes:
        data: those of the data.
        table: those of a table of one's own; what was not given is not there.
        rule: those of the selection.
        given: settings of ``TrialSpec`` by name; what was not given is not there.
    """

    data: DataOptions
    table: Mapping[str, Any]
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
        return DataSource(data, **given, **self.table)

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
    declared = [
        parameter(setting, *([f"Of {', '.join(users)}."] if (users := users_of(name)) else []))
        for name, setting in shared_settings().items()
    ]
    tables = [parameter(setting) for setting in TABLE.values()]
    return in_place_of("trial", [*declared, *described, *tables], _options)(command)


def _options(given: Mapping[str, Any]) -> TrialOptions:
    """What the values of all these options describe."""
    data = DataOptions(**{entry.name: given[entry.name] for entry in fields(DataOptions)})
    rule = RuleOptions(**{entry.name: given[entry.name] for entry in fields(RuleOptions)})
    settings = bounded_by(parsed(shared_settings(), given), rule.measure)
    return TrialOptions(data, parsed(TABLE, given), rule, settings)
