"""Options that several commands share, each described once."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from dralign.data import DataSource
from dralign.errors import OptionError
from dralign.methods import default_schedule
from dralign.training import Selection

Data = Annotated[
    str,
    typer.Argument(
        help="adult, german, compas, celeba, or your own CSV or Parquet file or folder of images."
    ),
]
Preparation = Annotated[
    str | None,
    typer.Option(help="paper (as published) or standard; only of the built-in datasets."),
]
Sensitive = Annotated[
    list[str] | None,
    typer.Option(help="Column that makes the groups; repeat it to cross several."),
]
IncludeSensitive = Annotated[
    bool, typer.Option("--include-sensitive", help="Keep the sensitive columns among the inputs.")
]
Label = Annotated[
    str | None,
    typer.Option(help="The column to predict, in a file of your own; the attribute, of celeba."),
]
Positive = Annotated[
    str | None,
    typer.Option(
        help="The label value that counts as positive; without it, three and more are classes."
    ),
]
DataHome = Annotated[
    Path | None,
    typer.Option(envvar="DRALIGN_DATA", help="Folder of the datasets that are not built in."),
]
Labels = Annotated[
    Path | None,
    typer.Option(help="The table that tells what is on the images of a folder of your own."),
]
ImageSize = Annotated[
    int, typer.Option(help="Height and width that images are brought to, in pixels; 0 for 256.")
]
Partition = Annotated[
    Path | None,
    typer.Option(help="The file that puts the images of celeba into parts; else the official one."),
]
ImageFolder = Annotated[
    Path | None,
    typer.Option(
        "--images", help="Folder that a table of images counts its paths from; else the table's."
    ),
]
Gap = Annotated[
    str,
    typer.Option(
        help="demographic_parity, equalized_odds, equal_opportunity, predictive_parity or "
        "printed_predictive_parity; the first two also with more than two classes."
    ),
]
Granularity = Annotated[
    str, typer.Option(help="Rationale entries that dralign aligns: one per unit, or per parameter.")
]
Layers = Annotated[
    str, typer.Option(help="Layers to align: all, the last k (a count), or names with commas.")
]
AlignmentWeight = Annotated[
    float | None,
    typer.Option(help="beta, of dralign; a tenth of the fairness weight if not given."),
]
Aggregate = Annotated[
    str, typer.Option(help="Of more than two groups, train on the max or the mean over pairs.")
]
AlignmentEvery = Annotated[
    int | None,
    typer.Option(
        help="Align on every k-th step, k times as strongly; of dralign. 8 if not given, the "
        "paper has 1."
    ),
]
Loss = Annotated[
    str, typer.Option(help="batch_mean (as in the published code) or group_sum (Algorithm 1).")
]
GapBound = Annotated[
    float | None,
    typer.Option(
        help="Largest soft validation gap: lambda is found while training, and beta is a tenth."
    ),
]
Penalty = Annotated[
    str, typer.Option(help="What lambda weighs in dralign: gap, or mixup (Fair Mixup's penalty).")
]
MixupLayer = Annotated[
    str | None,
    typer.Option(help="The module whose output Fair Mixup mixes; the inputs if not given."),
]
NetworkName = Annotated[
    str,
    typer.Option("--network", help="mlp, alexnet or resnet18; auto: mlp of tables, else alexnet."),
]
ClassifierWidth = Annotated[
    int | None,
    typer.Option(help="Units in the hidden layers of alexnet's classifier; 4096 if not given."),
]
Hidden = Annotated[int, typer.Option(help="Units in each hidden layer of an mlp.")]
Depth = Annotated[int, typer.Option(help="Hidden layers of an mlp.")]
Epochs = Annotated[int, typer.Option(help="Epochs, each ending in an evaluation.")]
Iterations = Annotated[int, typer.Option(help="Steps per epoch.")]
BatchSize = Annotated[
    int | None, typer.Option(help="Rows per group (or cell) in a batch; else the dataset's own.")
]
LearningRate = Annotated[float, typer.Option(help="Of Adam.")]
MicroBatch = Annotated[
    int | None,
    typer.Option(help="Rows to forward at a time, where a batch does not fit in memory."),
]
Precision = Annotated[
    str, typer.Option(help="Of forward passes: float32, bfloat16 or float16 (autocast).")
]
Patience = Annotated[
    int | None,
    typer.Option(help="Stop once the chosen epoch has been the same for so many epochs."),
]
Select = Annotated[
    str | None,
    typer.Option(
        help="smallest_gap, highest_ap, last or highest_ap_under_bound (validation); the first if "
        "not given, or the last with --gap-bound."
    ),
]
Warmup = Annotated[int, typer.Option(help="Epochs at the start that are never selected.")]
Bound = Annotated[
    float | None, typer.Option(help="Largest soft validation gap, for highest_ap_under_bound.")
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


def layer_choice(text: str) -> str | int | tuple[str, ...]:
    """``all``, a count, or names."""
    if text.isdigit():
        return int(text)
    return text if text == "all" else tuple(text.split(","))


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
class TrialOptions:
    """The options that describe trials, of every command that runs some."""

    gap: Gap = "demographic_parity"
    gap_bound: GapBound = None
    alignment_weight: AlignmentWeight = None
    preparation: Preparation = None
    sensitive: Sensitive = None
    include_sensitive: IncludeSensitive = False
    label: Label = None
    positive: Positive = None
    data_home: DataHome = None
    labels: Labels = None
    image_size: ImageSize = 0
    partition: Partition = None
    granularity: Granularity = "unit"
    layers: Layers = "all"
    alignment_every: AlignmentEvery = None
    aggregate: Aggregate = "max"
    loss: Loss = "batch_mean"
    penalty: Penalty = "gap"
    mixup_layer: MixupLayer = None
    network: NetworkName = "auto"
    classifier_width: ClassifierWidth = None
    hidden: Hidden = 200
    depth: Depth = 2
    epochs: Epochs = 10
    iterations: Iterations = 100
    batch_size: BatchSize = None
    learning_rate: LearningRate = 1e-3
    micro_batch: MicroBatch = None
    precision: Precision = "float32"
    patience: Patience = None
    select: Select = None
    warmup: Warmup = 1
    bound: Bound = None

    def source(self, data: str) -> DataSource:
        """The data that the options describe."""
        return data_source(
            data,
            preparation=self.preparation,
            sensitive=self.sensitive,
            include_sensitive=self.include_sensitive,
            label=self.label,
            positive=self.positive,
            data_home=self.data_home,
            labels=self.labels,
            image_size=self.image_size,
            partition=self.partition,
        )

    def selection(self) -> Selection:
        """The selection rule that the options describe."""
        return selection(self.select, self.warmup, self.bound, self.gap_bound)

    def settings(self) -> dict[str, Any]:
        """The settings of ``TrialSpec`` that every method takes."""
        names = ("gap", "loss", "epochs", "iterations")
        network = ("network", "classifier_width", "hidden", "depth")
        more = ("batch_size", "learning_rate", "micro_batch", "precision", "patience")
        settings = {name: getattr(self, name) for name in (*names, *network, *more)}
        return {**settings, "layers": layer_choice(self.layers)}

    def alignment(self, method: str) -> dict[str, Any]:
        """The settings of ``TrialSpec`` that say what ``dralign`` aligns and how often."""
        every = default_schedule(method, self.alignment_every)
        return {"granularity": self.granularity, "alignment_every": every}


def with_trial_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options of ``TrialOptions`` in the place of its parameter ``trial``."""
    shared = [
        inspect.Parameter(
            entry.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=entry.default,
            annotation=entry.type,
        )
        for entry in fields(TrialOptions)
    ]

    @wraps(command)
    def run(*args: object, **given: object) -> None:
        trial = TrialOptions(**{entry.name: cast("Any", given.pop(entry.name)) for entry in shared})
        command(*args, **given, trial=trial)

    signature = inspect.signature(command)
    own = list(signature.parameters.values())
    place = [entry.name for entry in own].index("trial")
    own[place : place + 1] = shared
    cast("Any", run).__signature__ = signature.replace(parameters=own)  # typer reads this
    return run
