"""``dralign train``: one run, saved as an artifact."""

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from dralign.artifact import Artifact, save_artifact
from dralign.cli import options
from dralign.cli.console import print_json, say
from dralign.errors import OptionError
from dralign.methods import METHOD_NAMES, default_weights
from dralign.study import TrialSpec, environment
from dralign.study.trial import train_trial
from dralign.training import EpochRecord


def train(
    data: options.Data,
    *,
    out: Annotated[Path, typer.Option(help="Folder to save the network in.")],
    method: Annotated[str, typer.Option(help=f"One of {', '.join(METHOD_NAMES)}.")] = "dralign",
    gap: options.Gap = "demographic_parity",
    fairness_weight: Annotated[
        float | None, typer.Option(help="lambda, where the method has one; 0.2 if not given.")
    ] = None,
    alignment_weight: Annotated[
        float | None, typer.Option(help="beta, of dralign; a tenth of lambda if not given.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the split, the weights and the batches.")] = 0,
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
    """Train one network and save it with its preprocessing and a model card.

    Example: `dralign train people.csv --label income --positive ">50K" --sensitive sex --out net`
    """
    rule = options.selection(select, warmup, bound)
    if method == "thresholds":
        raise OptionError(
            "method 'thresholds' decides by the group of each row, which a saved network does not "
            "take; compare it with dralign compare"
        )
    lam, beta = default_weights(method, fairness_weight, alignment_weight)
    source = options.data_source(
        data,
        preparation=preparation,
        sensitive=sensitive,
        include_sensitive=include_sensitive,
        label=label,
        positive=positive,
        data_home=data_home,
    )
    spec = TrialSpec(
        data=source,
        method=method,
        gap=gap,
        fairness_weight=lam,
        alignment_weight=beta,
        granularity=cast("Any", granularity),
        layers=cast("Any", options.layer_choice(layers)),
        loss=cast("Any", loss),
        hidden=hidden,
        depth=depth,
        epochs=epochs,
        iterations=iterations,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
    )
    dataset, architecture, result = train_trial(spec, on_epoch=lambda record: _show(record, gap))
    chosen = result.restore(rule, gap)
    trained = {
        "trial": spec.to_dict(),
        "selection": str(rule),
        "epoch": chosen.epoch,
        "validation": chosen.validation,
        "test": chosen.test,
        "similarity": chosen.similarity,
        "environment": dict(environment()),
    }
    artifact = Artifact(
        model=result.model,
        architecture=architecture,
        encoder=dataset.encoder,
        label=dataset.label,
        positive=dataset.positive,
        sensitive=dataset.sensitive,
        group_names=dataset.group_names,
        training=trained,
        class_names=dataset.class_names,
    )
    folder = save_artifact(artifact, out)
    if json:
        print_json({**trained, "artifact": str(folder)})
    else:
        say(f"chosen: epoch {chosen.epoch} ({rule})")
        _show(chosen, gap, split="test")
        say(f"written: {folder}")


def _show(record: EpochRecord, gap: str, *, split: str = "validation") -> None:
    """One line about an epoch."""
    figures = getattr(record, split)
    say(
        f"epoch {record.epoch}: loss {record.loss:.4f}, {split} AP "
        f"{figures['average_precision']:.3f}, soft gap {figures[f'soft_{gap}']:.3f}, hard gap "
        f"{figures[f'hard_{gap}']:.3f}, similarity {record.similarity_total('unit'):.3f}"
    )
