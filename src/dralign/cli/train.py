"""``dralign train``: one run, saved as an artifact."""

import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from dralign.artifact import check_target
from dralign.cli import options
from dralign.cli.console import say
from dralign.cli.lines import complain, print_json
from dralign.cli.overview import group_line, keep_network, shown_overview
from dralign.cli.stdin import STDIN, table_path
from dralign.cli.trials import TrialOptions, with_trial_options
from dralign.cli.work import Interrupted, working
from dralign.data import Dataset
from dralign.data.raw import parsed_once
from dralign.data.source import Overview
from dralign.errors import DralignWarning, OptionError
from dralign.methods import method_names
from dralign.metrics import all_measures
from dralign.metrics.arrays import THRESHOLD
from dralign.study import TrainedNetwork, TrialSpec, train_network
from dralign.study.trial import check_trial
from dralign.training import (
    EpochRecord,
    find_device,
    is_first,
    launch,
    launched,
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
    threshold: options.Threshold = "0.5",
    forget_rows: options.ForgetRows = False,
    trial: TrialOptions,
    json: options.Json = False,
) -> None:
    """Train one network and save it with its preprocessing and a model card.

    Example: `dralign train people.csv --label income --positive ">50K" --sensitive sex --out net`,
    or, of images, `dralign train faces/ --labels faces.csv --label smiling --sensitive gender
    --image-size 64 --out net`.
    """
    given = (data, trial.table.get("test"), trial.data.labels, trial.data.partition, pretrained)
    read = (name for name in given if _there(name))
    check_target(out, apart=[Path(name) for name in (*read, checkpoints, tensorboard) if name])
    rule, gap = trial.selection(), trial.gap
    data = _table(data, nproc)
    spec = TrialSpec(
        trial.source(data), method, fairness_weight=fairness_weight, seed=seed, **trial.given
    )
    index = find_device(device)
    if _done_by_others(context, nproc):
        return
    first = is_first()
    if not first:
        warnings.simplefilter("ignore")  # the first process gives them
    overview: list[Overview] = []
    with parsed_once() as forget:
        trained = train_network(
            spec,
            rule=rule,
            threshold=options.threshold(threshold),
            device=index,
            on_epoch=_observer(gap, tensorboard) if first else None,
            checkpoints=checkpoints,
            pretrained=pretrained,
            on_data=_opening(spec, overview, forget),
            remember_rows=not forget_rows,
        )
    if trained is not None:
        _keep(trained, overview[0], out, spec=spec, json=json)


def _keep(
    trained: TrainedNetwork,
    overview: Overview,
    out: Path,
    *,
    spec: TrialSpec,
    json: bool,
) -> None:
    """Saves the network and tells what became of it.

    Raises:
        Interrupted: if it is interrupted after the network was saved.
    """
    folder = keep_network(trained, overview, out)
    try:
        if json:
            training = trained.artifact.training
            printed = {key: value for key, value in training.items() if key != "rows"}
            print_json({**printed, "overview": overview._asdict(), "artifact": str(folder)})
        else:
            _show_chosen(trained, spec)
            say(f"written: {folder}")
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; the network is written: {folder}") from None


def _done_by_others(context: typer.Context, nproc: int) -> bool:
    """Whether several processes are asked for, which have then done it all."""
    if nproc == 1 or launched():
        return False
    code, line = launch(context.obj, nproc)
    if code:
        complain(line)
        raise typer.Exit(code)
    return True


def _table(data: str, nproc: int) -> str:
    """The name of the data, which may be on standard input.

    Raises:
        OptionError: if several processes are to read that.
    """
    if data == STDIN and nproc != 1:
        raise OptionError("--nproc: each process reads the table; write it to a file first")
    return table_path(data)


def _opening(
    spec: TrialSpec, told: list[Overview], forget: Callable[[], None]
) -> Callable[[Dataset], None]:
    """What is done once the data are there: they are checked, and summed up into the list."""

    def begin(dataset: Dataset) -> None:
        if not launched():  # else every process finds out by itself
            check_trial(spec, dataset)
        told.append(shown_overview(spec.data, spec.seed, dataset=dataset))
        forget()

    return begin


def _there(name: str | Path | None) -> bool:
    """Whether a name is that of a file or folder; that of a built-in dataset mostly is not."""
    try:
        return bool(name) and Path(str(name)).exists()
    except OSError:  # too long for the system
        return False


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


def _show_chosen(trained: TrainedNetwork, spec: TrialSpec) -> None:
    """What became of the training."""
    chosen, bound = trained.chosen, spec.gap_bound
    say(f"chosen: epoch {chosen.epoch} ({trained.artifact.training['selection']})")
    _show(replace(chosen, test=trained.artifact.training["test"]), spec.gap, split="test")
    if trained.artifact.threshold != THRESHOLD:
        say(f"decisions: positive from a probability of {trained.artifact.threshold:.4f} on")
    for group in trained.artifact.training["groups"]:
        say(group_line(group))
    if bound is not None:
        met = "met" if chosen.keeps(bound, spec.gap, spec.bound_measure) else "NOT met"
        say(f"gap bound {bound:g} on the validation rows: {met}, λ {chosen.found_weight:.3f}")


def _show(record: EpochRecord, gap: str, *, split: str = "validation") -> None:
    """One line about an epoch."""
    figures = getattr(record, split)
    text = ", ".join(
        f"{measure.words} {measure.of(figures, gap):.3f}"
        for measure in all_measures()
        if measure.column
    )
    say(
        f"epoch {record.epoch}: objective {record.loss:.4f}, {split}: {text}, similarity "
        f"{record.similarity_total('unit'):.3f}"
    )
