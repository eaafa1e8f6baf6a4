"""Options that several commands share, each described once."""

from pathlib import Path
from typing import Annotated

import typer

from dralign.data import DataSource
from dralign.errors import OptionError
from dralign.training import Selection

Data = Annotated[
    str, typer.Argument(help="adult, german, compas, or a CSV or Parquet file of your own.")
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
Label = Annotated[str | None, typer.Option(help="The column to predict, in a file of your own.")]
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
Gap = Annotated[
    str,
    typer.Option(
        help="demographic_parity, equalized_odds, equal_opportunity, predictive_parity or "
        "printed_predictive_parity; the first two also with more than two classes."
    ),
]
Granularity = Annotated[
    str, typer.Option(help="Rationale entries: one per unit, or one per parameter.")
]
Layers = Annotated[
    str, typer.Option(help="Layers to align: all, the last k (a count), or names with commas.")
]
Loss = Annotated[
    str, typer.Option(help="batch_mean (as in the published code) or group_sum (Algorithm 1).")
]
Hidden = Annotated[int, typer.Option(help="Units in each hidden layer.")]
Depth = Annotated[int, typer.Option(help="Hidden layers.")]
Epochs = Annotated[int, typer.Option(help="Epochs, each ending in an evaluation.")]
Iterations = Annotated[int, typer.Option(help="Steps per epoch.")]
BatchSize = Annotated[
    int | None, typer.Option(help="Rows per group (or cell) in a batch; else the dataset's own.")
]
LearningRate = Annotated[float, typer.Option(help="Of Adam.")]
Select = Annotated[
    str,
    typer.Option(help="smallest_gap, highest_ap, last or highest_ap_under_bound (validation)."),
]
Warmup = Annotated[int, typer.Option(help="Epochs at the start that are never selected.")]
Bound = Annotated[
    float | None, typer.Option(help="Largest soft validation gap, for highest_ap_under_bound.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]


def data_source(
    data: str,
    *,
    preparation: str | None,
    sensitive: list[str] | None,
    include_sensitive: bool,
    label: str | None,
    positive: str | None,
    data_home: Path | None,
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
    )


def selection(rule: str, warmup: int, bound: float | None) -> Selection:
    """The selection rule that the options describe."""
    return Selection(rule, warmup, bound)  # type: ignore[arg-type]  # checked by the class


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
