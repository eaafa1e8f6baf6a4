"""``dralign train``: one run, saved as an artifact."""

import hashlib
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from torch import nn

from dralign.alignment import rank
from dralign.artifact import Artifact, check_target, save_or_rescue
from dralign.cli import options
from dralign.cli.console import say
from dralign.cli.lines import complain, print_json
from dralign.cli.trials import TrialOptions, with_trial_options
from dralign.cli.work import working
from dralign.data import Dataset
from dralign.errors import DralignError, DralignWarning, ModelError
from dralign.methods import method_names
from dralign.metrics import all_measures
from dralign.metrics.decisions import decisions, same_decision
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


def _left(given: Mapping[str, Any]) -> str:
    """What an interrupted training leaves."""
    folder: Path | None = given["checkpoints"]
    if folder is not None and folder.is_dir() and any(folder.iterdir()):
        return f"interrupted; the same command continues from {folder}"
    return "interrupted; no network was written"


@working(interrupted=_left)
@with_trial_options
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
    trial: TrialOptions,
    json: options.Json = False,
) -> None:
    """Train one network and save it with its preprocessing and a model card.

    Example: `dralign train people.csv --label income --positive ">50K" --sensitive sex --out net`,
    or, of images, `dralign train faces/ --labels faces.csv --label smiling --sensitive gender
    --image-size 64 --out net`.
    """
    read = (
        place
        for place in (data, trial.data.labels, trial.data.partition, pretrained)
        if _there(place)
    )
    check_target(out, apart=[Path(place) for place in (*read, checkpoints, tensorboard) if place])
    rule, gap = trial.selection(), trial.gap
    spec = TrialSpec(
        trial.source(data), method, fairness_weight=fairness_weight, seed=seed, **trial.given
    )
    place, begun = find_device(device), _begun_with(pretrained)
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
        fingerprint = _fingerprint(spec) if first else ""
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
    thresholds, notes = _decided(result.model, dataset, spec)
    bound = trial.gap_bound
    trained = {
        "trial": spec.to_dict(),
        "fingerprint": fingerprint,
        "selection": str(rule),
        "epoch": chosen.epoch,
        "found_weight": chosen.found_weight,
        "bound_met": None if bound is None else chosen.keeps(bound, gap, spec.bound_measure),
        "validation": chosen.validation,
        "test": chosen.test,
        "similarity": chosen.similarity,
        "notes": notes,
        "environment": dict(environment()),
        **begun,
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
        thresholds=thresholds,
    )
    folder = save_or_rescue(artifact, out)
    for note in notes:
        warnings.warn(note, DralignWarning, stacklevel=1)
    if json:
        print_json({**trained, "artifact": str(folder)})
    else:
        say(f"chosen: epoch {chosen.epoch} ({rule})")
        _show(chosen, gap, split="test")
        if bound is not None:
            met = "met" if trained["bound_met"] else "NOT met"
            say(f"gap bound {bound:g} on the validation rows: {met}, λ {chosen.found_weight:.3f}")
        say(f"written: {folder}")


def _there(place: str | Path | None) -> bool:
    """Whether a name is that of a file or folder; that of a built-in dataset mostly is not."""
    try:
        return bool(place) and Path(str(place)).exists()
    except OSError:  # too long for the system
        return False


def _fingerprint(spec: TrialSpec) -> str:
    """The fingerprint of the data, before they are read; empty where they can't be."""
    try:
        return spec.data.fingerprint()
    except DralignError:  # reading them will say why
        return ""


def _begun_with(pretrained: Path | None) -> dict[str, Any]:
    """What the record says of the weights that training begins with."""
    if pretrained is None:
        return {}
    try:
        with pretrained.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{pretrained}: {error.strerror or error}") from error
    return {"pretrained": {"file": pretrained.name, "sha256": content}}


def _decided(
    model: nn.Module, dataset: Dataset, spec: TrialSpec
) -> tuple[tuple[float, ...], list[str]]:
    """The thresholds, if the method sets any, and what must be said of the test rows' decisions."""
    prob = predict_probability(model, dataset.validation.x)
    thresholds = group_thresholds(prob, dataset, spec.build_method(dataset.n_classes)) or ()
    test = predict_probability(model, dataset.test.x)
    decided = decisions(test, group=dataset.test.group, thresholds=thresholds)
    note = same_decision(decided, "test rows", names=dataset.class_names)
    return thresholds, [note] if note else []


def _observer(gap: str, tensorboard: Path | None) -> Callable[[EpochRecord], None]:
    """What is done with every epoch's record as it is made."""
    log = None if tensorboard is None else tensorboard_log(tensorboard)

    def observe(record: EpochRecord) -> None:
        nonlocal log
        with suppress(OSError):  # where nothing can be shown, the run still goes on
            _show(record, gap)
        if log is None:
            return
        try:
            log(record)
        except OSError as error:
            log = None
            warnings.warn(
                f"{tensorboard}: the log ends here: {error.strerror or error}",
                DralignWarning,
                stacklevel=2,
            )

    return observe


def _show(record: EpochRecord, gap: str, *, split: str = "validation") -> None:
    """One line about an epoch."""
    figures = getattr(record, split)
    shown = ", ".join(
        f"{measure.words} {measure.of(figures, gap):.3f}"
        for measure in all_measures()
        if measure.column
    )
    say(
        f"epoch {record.epoch}: loss {record.loss:.4f}, {split}: {shown}, similarity "
        f"{record.similarity_total('unit'):.3f}"
    )
