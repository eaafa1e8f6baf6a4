"""Options that several commands share, each described once."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Final, cast, get_args

import typer

from dralign.data import DataSource
from dralign.errors import OptionError
from dralign.methods import method_settings, users_of
from dralign.settings import Kind, Panel, Setting
from dralign.study.spec import COMMON
from dralign.training import Selection

# The headings of --help, by the panel of a setting.
PANELS: Final = {name: name.capitalize() for name in get_args(Panel)}
_TYPES: Final[dict[Kind, type]] = {"number": float, "count": int, "flag": bool}
# Given in other ways: several at once, or by the commands that take one of them.
_NOT_SHARED: Final = ("fairness_weight", "seed", "readings")

Data = Annotated[
    str,
    typer.Argument(
        help="adult, german, compas, celeba, or your own CSV or Parquet file or folder of images."
    ),
]
Preparation = Annotated[
    str | None,
    typer.Option(
        help="paper (as published) or standard; only of the built-in datasets.",
        rich_help_panel=PANELS["data"],
    ),
]
Sensitive = Annotated[
    list[str] | None,
    typer.Option(
        help="Column that makes the groups; repeat it to cross several.",
        rich_help_panel=PANELS["data"],
    ),
]
IncludeSensitive = Annotated[
    bool,
    typer.Option(
        "--include-sensitive",
        help="Keep the sensitive columns among the inputs.",
        rich_help_panel=PANELS["data"],
    ),
]
Label = Annotated[
    str | None,
    typer.Option(
        help="The column to predict, in a file of your own; the attribute, of celeba.",
        rich_help_panel=PANELS["data"],
    ),
]
Positive = Annotated[
    str | None,
    typer.Option(
        help="The label value that counts as positive; without it, three and more are classes.",
        rich_help_panel=PANELS["data"],
    ),
]
DataHome = Annotated[
    Path | None,
    typer.Option(
        envvar="DRALIGN_DATA",
        help="Folder of the datasets that are not built in.",
        rich_help_panel=PANELS["data"],
    ),
]
Labels = Annotated[
    Path | None,
    typer.Option(
        help="The table that tells what is on the images of a folder of your own.",
        rich_help_panel=PANELS["images"],
    ),
]
ImageSize = Annotated[
    int,
    typer.Option(
        help="Height and width that images are brought to, in pixels; 0 for 256.",
        rich_help_panel=PANELS["images"],
    ),
]
Partition = Annotated[
    Path | None,
    typer.Option(
        help="The file that puts the images of celeba into parts; else the official one.",
        rich_help_panel=PANELS["images"],
    ),
]
ImageFolder = Annotated[
    Path | None,
    typer.Option(
        "--images", help="Folder that a table of images counts its paths from; else the table's."
    ),
]
Select = Annotated[
    str | None,
    typer.Option(
        help="smallest_gap, highest_ap, last or highest_ap_under_bound (validation); the first if "
        "not given, or the last with --gap-bound.",
        rich_help_panel=PANELS["training"],
    ),
]
Warmup = Annotated[
    int,
    typer.Option(
        help="Epochs at the start that are never selected.", rich_help_panel=PANELS["training"]
    ),
]
Bound = Annotated[
    float | None,
    typer.Option(
        help="Largest soft validation gap, for highest_ap_under_bound.",
        rich_help_panel=PANELS["training"],
    ),
]
Jobs = Annotated[int | None, typer.Option(help="Processes; all CPUs if not given.")]
TrialTimeout = Annotated[
    float | None,
    typer.Option(help="Seconds after which a trial is ended and recorded as failed; else none."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]


def study_folder(out: Path | None, default: Path) -> Path:
    """The folder of a study that is to be run.

    Raises:
        OptionError: if what is given is the name of a ledger.
    """
    if out is not None and out.suffix == ".sqlite":
        raise OptionError(f"--out: expected the folder of a study, got the name of a ledger, {out}")
    return out or default


def data_source(
    data: str,
    *,
    preparation: str | None,
    sensitive: list[str] | None,
    include_sensitive: bool,
    label: str | None,
    positive: str | None,
    data_home: Path | None,
    labels: Path | None = None,
    image_size: int = 0,
    partition: Path | None = None,
) -> DataSource:
    """The data that the options describe."""
    return DataSource(
        name=data,
        preparation=preparation or "",
        sensitive=tuple(sensitive or ()),
        include_sensitive=include_sensitive,
        label=label or "",
        positive=positive or "",
        data_home=str(data_home) if data_home else "",
        labels=str(labels) if labels else "",
        image_size=image_size,
        partition=str(partition) if partition else "",
    )


def selection(
    rule: str | None, warmup: int, bound: float | None, gap_bound: float | None = None
) -> Selection:
    """The selection rule that the options describe."""
    return Selection.of(cast("Any", rule), warmup, bound, gap_bound=gap_bound)


def numbers(name: str, text: str) -> list[float]:
    """Numbers separated by commas.

    Raises:
        OptionError: if one is not a number.
    """
    try:
        return [float(entry) for entry in text.split(",")]
    except ValueError:
        raise OptionError(f"--{name}: expected numbers with commas, got {text!r}") from None


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """The options that describe data, with their defaults."""

    preparation: Preparation = None
    sensitive: Sensitive = None
    include_sensitive: IncludeSensitive = False
    label: Label = None
    positive: Positive = None
    data_home: DataHome = None
    labels: Labels = None
    image_size: ImageSize = 0
    partition: Partition = None


@dataclass(frozen=True, kw_only=True)
class RuleOptions:
    """The options that describe how an epoch is selected, with their defaults."""

    select: Select = None
    warmup: Warmup = 1
    bound: Bound = None


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
        return data_source(data, **vars(self.data))

    def selection(self) -> Selection:
        """The selection rule that the options describe."""
        return selection(self.rule.select, self.rule.warmup, self.rule.bound, self.gap_bound)

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
        trial = TrialOptions(
            DataOptions(**{entry.name: given.pop(entry.name) for entry in fields(DataOptions)}),
            RuleOptions(**{entry.name: given.pop(entry.name) for entry in fields(RuleOptions)}),
            {
                name: shared_settings()[name].parsed(str(text))
                for name, text in texts.items()
                if text is not None
            },
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
