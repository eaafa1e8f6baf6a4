"""``dralign compare``: methods x weights x seeds on one dataset, ending in a report."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from dralign.cli import options
from dralign.cli.console import print_json, print_table, say, warn_once
from dralign.cli.progress import run_trials
from dralign.errors import OptionError, unknown
from dralign.gaps import resolve_gap
from dralign.methods import METHOD_NAMES, WEIGHTED_METHODS, default_weights, supported_gaps
from dralign.report import result_table, write_study
from dralign.study import (
    Ledger,
    Row,
    TrialSpec,
    summarise,
)
from dralign.study.trial import check_trial


def compare(
    data: options.Data,
    *,
    methods: Annotated[
        str, typer.Option(help="Names with commas, or all that support the gap.")
    ] = "erm,oversample,gap,dralign",
    gap: options.Gap = "demographic_parity",
    weights: Annotated[str, typer.Option(help="Fairness weights, with commas.")] = "0.2,0.4",
    alignment_weight: Annotated[
        float | None, typer.Option(help="Of dralign; a tenth of the fairness weight if not given.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Seeds 0, 1, ... for every setting.")] = 3,
    out: Annotated[Path | None, typer.Option(help="Folder of the study.")] = None,
    jobs: Annotated[int | None, typer.Option(help="Processes; all CPUs if not given.")] = None,
    preparation: options.Preparation = None,
    sensitive: options.Sensitive = None,
    include_sensitive: options.IncludeSensitive = False,
    label: options.Label = None,
    positive: options.Positive = None,
    data_home: options.DataHome = None,
    granularity: options.Granularity = "unit",
    layers: options.Layers = "all",
    loss: options.Loss = "batch_mean",
    hidden: options.Hidden = 200,
    depth: options.Depth = 2,
    epochs: options.Epochs = 10,
    iterations: options.Iterations = 100,
    batch_size: options.BatchSize = None,
    learning_rate: options.LearningRate = 1e-3,
    select: options.Select = "smallest_gap",
    warmup: options.Warmup = 1,
    bound: options.Bound = None,
    json: options.Json = False,
) -> None:
    """Compare methods on one dataset: table, trade-off figure and HTML report.

    Every finished trial is kept; the same command continues where an interrupted one stopped.

    Example: `dralign compare adult --weights 0.2,0.4 --seeds 3`, or, on a file of your own,
    `dralign compare people.csv --label income --positive ">50K" --sensitive sex`.
    """
    source = options.data_source(
        data,
        preparation=preparation,
        sensitive=sensitive,
        include_sensitive=include_sensitive,
        label=label,
        positive=positive,
        data_home=data_home,
    )
    rule = options.selection(select, warmup, bound)
    if seeds < 1:
        raise OptionError(f"--seeds: expected at least 1, got {seeds}")
    shared = {
        "data": source,
        "gap": gap,
        "granularity": granularity,
        "layers": options.layer_choice(layers),
        "loss": loss,
        "hidden": hidden,
        "depth": depth,
        "epochs": epochs,
        "iterations": iterations,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
    }
    chosen_weights = options.numbers("weights", weights)
    dataset = source.load(0)
    specs = [
        TrialSpec(**cast("Any", {**shared, **setting, "seed": seed}))
        for setting in _settings(
            _chosen(methods, gap, dataset.n_classes), chosen_weights, alignment_weight
        )
        for seed in range(seeds)
    ]
    for spec in specs[::seeds]:  # what is wrong is said now, and not by every trial
        check_trial(spec, dataset)
    folder = out or Path("studies") / f"{Path(data).stem}-{gap}"
    with Ledger(folder / "study.sqlite") as ledger:
        records = run_trials(specs, ledger, rule=rule, jobs=jobs)
    failed = [record for record in records if record.status == "failed"]
    for message in dict.fromkeys(text for record in records for text in record.warnings):
        warn_once(message)
    for record in failed:
        say(f"failed: {record.spec.method}, seed {record.spec.seed}: {record.error}")
    rows = summarise(records, selection=rule)
    written = write_study(folder, records, selection=rule, formats=("md", "png", "html"))
    files = {name: str(path) for name, path in written.items()}
    if json:
        print_json({"rows": [_row(row) for row in rows], "failed": len(failed), "files": files})
    else:
        print_table(result_table(rows))
        for path in files.values():
            say(f"written: {path}")
    if failed:
        raise typer.Exit(1)


def _chosen(methods: str, gap: str, n_classes: int) -> list[str]:
    """The names of the methods; "all" means all that support the gap and the classes."""
    if methods != "all":
        return methods.split(",")
    known = resolve_gap(gap, n_classes=n_classes).name
    return [name for name in METHOD_NAMES if known in supported_gaps(name, n_classes)]


def _settings(
    methods: list[str], weights: list[float], alignment_weight: float | None
) -> list[dict[str, object]]:
    """The settings of each method: one, or one per fairness weight.

    Raises:
        OptionError: if a method is unknown.
    """
    settings: list[dict[str, object]] = []
    for name in methods:
        if name not in METHOD_NAMES:
            raise OptionError(unknown("method", name, METHOD_NAMES))
        beta = alignment_weight if name == "dralign" else None
        for weight in weights if name in WEIGHTED_METHODS else [0.0]:
            chosen = default_weights(name, weight, beta)
            keys = ("fairness_weight", "alignment_weight")
            settings.append({"method": name, **dict(zip(keys, chosen, strict=True))})
    return settings


def _row(row: Row) -> dict[str, Any]:
    """A row as it stands in the JSON output."""
    return {
        "trial": {**row.spec.to_dict(), "seed": None},
        "seeds": row.seeds,
        "selection": str(row.selection),
        "non_dominated": row.non_dominated,
        **{
            name: asdict(getattr(row, name))
            for name in ("average_precision", "soft_gap", "hard_gap", "similarity", "seconds")
        },
    }
