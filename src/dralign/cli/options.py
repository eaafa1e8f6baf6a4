"""Options that several commands share, each described once."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, cast, get_args

import typer

from dralign.errors import OptionError
from dralign.settings import Kind, Panel, Setting
from dralign.table_options import BY_NAME as TABLE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dralign.study import TrialRecord
    from dralign.training import Selection

# The headings of --help, by the panel of a setting.
PANELS: Final = {name: name.capitalize() for name in get_args(Panel)}

_TYPES: Final[dict[Kind, Any]] = {
    "number": float,
    "count": int,
    "flag": bool,
    "texts": list[str],
}
# Those that say how a file is read.
READING: Final = ("sep", "decimal", "encoding", "na")

Data = Annotated[
    str,
    typer.Argument(
        help="adult, german, compas, baf, acs_income (see dralign data list), celeba, or a CSV or "
        "Parquet file or folder of images of your own."
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
        help="Folder of the datasets that are not built in; of the ACS also its file.",
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
        help="Largest validation gap, for highest_ap_under_bound.",
        rich_help_panel=PANELS["training"],
    ),
]
Measure = Annotated[
    str | None,
    typer.Option(
        help="Measure of the gap that chooses epochs, keeps bounds and judges: base_rate (if not "
        "given), all_cutoffs, largest_cutoff, soft or hard.",
        rich_help_panel=PANELS["training"],
    ),
]
Jobs = Annotated[int | None, typer.Option(help="Processes; all CPUs if not given.")]
TrialTimeout = Annotated[
    float | None,
    typer.Option(help="Seconds after which a trial is ended and recorded as failed; else none."),
]
Threshold = Annotated[
    str,
    typer.Option(
        help="Probability from which on the decision is positive: a number, or base-rate, "
        "which selects as many validation rows as are positive."
    ),
]
ForgetRows = Annotated[
    bool,
    typer.Option(
        "--forget-rows",
        help="Keep no hashes of the rows with the network; an audit then can't tell whether it "
        "was trained on rows of another file.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]


def parameter(setting: Setting, *notes: str) -> inspect.Parameter:
    """The option of a setting; not given it is None, and the setting takes its default."""
    notes = tuple(notes)
    if not callable(setting.default) and setting.default not in (None, "", (), False):
        notes = (*notes, f"[default: {setting.default}]")
    choices = [choice for choice in setting.known if choice]
    if not all(choice in setting.help for choice in choices):
        notes = (f"One of {', '.join(choices)}.", *notes)
    if setting.kind == "texts":
        notes = (*notes, "Can be repeated.")
    flag = [f"--{setting.name.replace('_', '-')}"] if setting.kind == "flag" else []
    option = typer.Option(
        *flag, help=" ".join((setting.help, *notes)), rich_help_panel=PANELS[setting.panel]
    )
    kind: Any = _TYPES.get(setting.kind, str)
    return inspect.Parameter(
        setting.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, option],
    )


def parsed(settings: Mapping[str, Setting], given: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the settings that were given, by name."""
    return {
        name: setting.parsed(given[name] if setting.kind == "texts" else str(given[name]))
        for name, setting in settings.items()
        if given.get(name) is not None
    }


def in_place_of(
    name: str, added: Sequence[inspect.Parameter], make: Callable[[dict[str, Any]], object]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command options in the place of one of its parameters.

    Args:
        name: of the parameter.
        added: the options.
        make: makes the parameter's value of their values.
    """

    def declared(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(*args: object, **given: object) -> None:
            taken = {entry.name: given.pop(entry.name) for entry in added}
            command(*args, **given, **{name: make(taken)})

        signature = inspect.signature(command)
        own = list(signature.parameters.values())
        index = [entry.name for entry in own].index(name)
        own[index : index + 1] = added
        cast("Any", run).__signature__ = signature.replace(parameters=own)  # typer reads this
        return run

    return declared


def with_table_options(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command options of a table in the place of its parameter ``how``.

    Args:
        *names: which; all if none is named. The parameter becomes a mapping of those given.
    """
    settings = {name: TABLE[name] for name in names or TABLE}
    added = [parameter(setting) for setting in settings.values()]
    return in_place_of("how", added, lambda given: parsed(settings, given))


def study_folder(out: Path | None, default: Path) -> Path:
    """The folder of a study that is to be run.

    Raises:
        OptionError: if what is given is the name of a ledger.
    """
    if out is not None and out.suffix == ".sqlite":
        raise OptionError(f"--out: expected the folder of a study, got the name of a ledger, {out}")
    return out or default


def selection(
    rule: str | None,
    warmup: int,
    bound: float | None,
    measure: str | None,
    gap_bound: float | None = None,
) -> "Selection":
    """The selection rule that the options describe."""
    from dralign.training import Selection

    return Selection.of(cast("Any", rule), warmup, bound, measure=measure, gap_bound=gap_bound)


def selection_of(
    records: "Iterable[TrialRecord]",
    rule: str | None,
    warmup: int,
    bound: float | None,
    measure: str | None,
) -> "Selection":
    """The selection of a study; without a word that of its gap bound, where all have the same."""
    bounds = {
        (record.spec.gap_bound, record.spec.bound_measure)
        for record in records
        if record.spec.uses("fairness_weight")
    }
    gap_bound, own = bounds.pop() if len(bounds) == 1 else (None, None)
    return selection(rule, warmup, bound, measure or own, gap_bound)


def threshold(text: str) -> float | str:
    """The number that the option stands for, or the text, which is checked later."""
    try:
        return float(text)
    except ValueError:
        return text


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
    measure: Measure = None
