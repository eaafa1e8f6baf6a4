"""``dralign train``: one run, saved as an artifact."""

import hashlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from dralign.alignment import rank
from dralign.artifact import Artifact, save_artifact
from dralign.cli import options
from dralign.cli.console import complain, print_json, say
from dralign.methods import method_names
from dralign.study import TrialSpec, environment
from dralign.study.trial import train_trial
from dralign.training import (
    Checkpoints,
    EpochRecord,
    find_device,
    group_thresholds,
    joined,
    launch,
    launched,
    predict_probability,
    tensorboard_log,
)


@options.with_trial_options
def train(
    context: typer.Context,
    data: options.Data,
    *,
    out: Annotated[Path, typer.Option(help="Folder to save the network in.")],
    method: Annotated[str, typer.Option(help=f"One of {', '.join(method_names())}.")] = "dralign",
    fairness_weight: Annotated[
        float | None, typer.Option(help="lambda, where the method has one; 0.2 if not given.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the split, the weights and the batches.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:1.")] = "cpu",
    nproc: Annotated[
        int, typer.Option(help="Processes on this machine that share every batch; a GPU for each.")
    ] = 1,
    checkpoints: Annotated[
        Path | None,
        typer.Option(help="Folder to save the run in as it goes; it continues from there."),
    ] = None,
    tensorboard: Annotated[
        Path | None, typer.Option(help="Folder of a TensorBoard log, with every epoch's figures.")
    ] = None,
    pretrained: Annotated[
        Path | None,
        typer.Option(help="File of weights (safetensors or torch) that the network begins with."),
    ] = None,
    trial: options.TrialOptions,
    json: options.Json = False,
) -> None:
    """Train one network and save it with its preprocessing and a model card.

    Example: `dralign train people.csv --label income --positive ">50K" --sensitive sex --out net`,
    or, of images, `dralign train faces/ --labels faces.csv --label smiling --sensitive gender
    --image-size 64 --out net`.
    """
    rule, gap = trial.selection(), trial.gap
    spec = TrialSpec(
        trial.source(data), method, fairness_weight=fairness_weight, seed=seed, **trial.given
    )
    place = find_device(device)
    if nproc != 1 and not launched():
        code, line = launch(context.obj, nproc)
        if code:
            complain(line)
            raise typer.Exit(code)
        return
    with joined(place) as place:
        first = rank() == 0
        if not first:
            warnings.simplefilter("ignore")  # the first process gives them
        dataset, architecture, result = train_trial(
            spec,
            on_epoch=_observer(gap, tensorboard) if first else None,
            device=place,
            keep=rule,
            checkpoints=None if checkpoints is None else Checkpoints(checkpoints),
            pretrained=pretrained,
        )
    if not first:
        return
    result.model.cpu()
    chosen = result.restore(rule, gap)
    bound = trial.gap_bound
    trained = {
        "trial": spec.to_dict(),
        "selection": str(rule),
        "epoch": chosen.epoch,
        "found_weight": chosen.found_weight,
        "bound_met": None if bound is None else chosen.keeps(bound, gap),
        "validation": chosen.validation,
        "test": chosen.test,
        "similarity": chosen.similarity,
        "environment": dict(environment()),
    }
    if pretrained is not None:
        content = hashlib.sha256(pretrained.read_bytes()).hexdigest()
        trained["pretrained"] = {"file": pretrained.name, "sha256": content}
    prob = predict_probability(result.model, dataset.validation.x)
    thresholds = group_thresholds(prob, dataset, spec.build_method(dataset.n_classes))
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
        thresholds=thresholds or (),
    )
    folder = save_artifact(artifact, out)
    if json:
        print_json({**trained, "artifact": str(folder)})
    else:
        say(f"chosen: epoch {chosen.epoch} ({rule})")
        _show(chosen, gap, split="test")
        if bound is not None:
            met = "met" if trained["bound_met"] else "NOT met"
            say(f"gap bound {bound:g} on the validation rows: {met}, λ {chosen.found_weight:.3f}")
        say(f"written: {folder}")


def _observer(gap: str, tensorboard: Path | None) -> Callable[[EpochRecord], None]:
    """What is done with every epoch's record as it is made."""
    log = None if tensorboard is None else tensorboard_log(tensorboard)

    def observe(record: EpochRecord) -> None:
        _show(record, gap)
        if log is not None:
            log(record)

    return observe


def _show(record: EpochRecord, gap: str, *, split: str = "validation") -> None:
    """One line about an epoch."""
    figures = getattr(record, split)
    say(
        f"epoch {record.epoch}: loss {record.loss:.4f}, {split} AP "
        f"{figures['average_precision']:.3f}, soft gap {figures[f'soft_{gap}']:.3f}, hard gap "
        f"{figures[f'hard_{gap}']:.3f}, similarity {record.similarity_total('unit'):.3f}"
    )
