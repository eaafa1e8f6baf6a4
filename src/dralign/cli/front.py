"""``dralign front``: the whole trade-off for the price of three runs, and a network of it."""

from pathlib import Path
from typing import Annotated, Any

import typer

from dralign.artifact import check_target, save_or_rescue
from dralign.cli import options
from dralign.cli.console import print_table, say
from dralign.cli.lines import print_json, warn_once
from dralign.cli.overview import group_line, shown_overview
from dralign.cli.stdin import table_path
from dralign.cli.trials import TrialOptions, with_trial_options
from dralign.cli.work import NOTHING, working
from dralign.data import Dataset
from dralign.data.raw import parsed_once
from dralign.errors import OptionError
from dralign.files import write_atomically
from dralign.metrics.decisions import check_bounded, check_threshold
from dralign.report.figures import write_figure
from dralign.report.front import front_figure, front_table, recommendation
from dralign.study import TrialSpec
from dralign.study.front import TrainedFront, check_trial_front, train_trial_front
from dralign.study.network import TrainedNetwork, check_network_threshold
from dralign.study.trial import check_trial
from dralign.training import EpochRecord, Selection, find_device
from dralign.training.front import WEIGHTS, check_max_gap


@working(interrupted=NOTHING)
@with_trial_options
def front(
    data: options.Data,
    *,
    method: Annotated[str, typer.Option(help="A method with a fairness weight.")] = "gap",
    weights: Annotated[str, typer.Option(help="Fairness weights, with commas.")] = ",".join(
        f"{weight:g}" for weight in WEIGHTS
    ),
    max_gap: Annotated[
        float | None,
        typer.Option(
            help="Largest gap on the validation rows; the network of the highest AP that keeps it "
            "is saved. Else that of the smallest gap at nearly the AP of the smallest weight."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of table, figure and network; fronts/NAME-GAP.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the split, the weights and the batches.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:1.")] = "cpu",
    threshold: options.Threshold = "0.5",
    forget_rows: options.ForgetRows = False,
    trial: TrialOptions,
    json: options.Json = False,
) -> None:
    """Train the whole trade-off at once, recommend a point of it, and save its network.

    Every weight begins from one early network, so that ten weights cost less than three runs.

    Example: `dralign front people.csv --label loan --positive granted --sensitive region
    --max-gap 0.05`.
    """
    data = table_path(data)
    ordered = options.numbers("weights", weights)
    spec = TrialSpec(trial.source(data), method, **trial.given, seed=seed)
    check_trial_front(spec, ordered)
    check_max_gap(max_gap)
    at = options.threshold(threshold)
    check_threshold(at)
    if max_gap is not None:
        check_bounded(trial.selection().measure, at)
    folder = out or Path("fronts") / f"{Path(data).stem}-{trial.gap}"
    if folder.exists() and not folder.is_dir():
        raise OptionError(f"--out: {folder} is a file; give the name of a folder")
    check_target(folder / "net", apart=[Path(data)] if Path(data).exists() else [])
    with parsed_once() as forget:
        trained = train_trial_front(
            spec,
            ordered,
            rule=trial.selection(),
            device=find_device(device),
            on_epoch=_observe,
            on_data=_opening(spec, trial.selection(), at, forget),
        )
    chosen = trained.choose(max_gap)
    network = trained.network(chosen, threshold=at, remember_rows=not forget_rows)
    files = _write(trained, chosen, network, folder)
    sentence = recommendation(trained, chosen, max_gap)
    for note in network.notes:
        warn_once(note)
    if json:
        print_json(_as_form(trained, chosen, sentence, files))
        return
    print_table(front_table(trained, chosen))
    say(sentence)
    for group in network.artifact.training["groups"]:
        say(f"  {group_line(group)}")
    for path in files.values():
        say(f"written: {path}")


def _opening(
    spec: TrialSpec,
    rule: Selection,
    threshold: float | str,
    forget: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    """What is done once the data are there."""

    def begin(dataset: Dataset) -> None:
        check_network_threshold(threshold, spec, rule, dataset.n_classes)
        check_trial(spec, dataset)
        shown_overview(spec.data, spec.seed, dataset=dataset)
        forget()

    return begin


def _observe(weight: float, record: EpochRecord) -> None:
    """One line about an epoch."""
    say(
        f"λ {weight:g}, epoch {record.epoch}: objective {record.loss:.4f}, validation AP "
        f"{record.validation['average_precision']:.3f}"
    )


def _write(
    trained: TrainedFront, chosen: int, network: TrainedNetwork, folder: Path
) -> dict[str, str]:
    """Writes the network, the table and the figure."""
    net = save_or_rescue(network.artifact, folder / "net")
    table = front_table(trained, chosen).to_markdown()
    written = {
        "net": net,
        "md": write_atomically(
            folder / "front.md", lambda file: file.write_text(table, encoding="utf-8")
        ),
        "png": write_figure(front_figure(trained, chosen), folder / "front.png"),
    }
    return {name: str(path) for name, path in written.items()}


def _as_form(
    trained: TrainedFront, chosen: int, sentence: str, files: dict[str, str]
) -> dict[str, Any]:
    """The front as it stands in the JSON output."""
    points = [
        {
            "weight": point.weight,
            "epoch": point.record.epoch,
            "validation": point.record.validation,
            "test": point.record.test,
            "intervals": {name: list(ends) for name, ends in intervals.items()},
        }
        for point, intervals in zip(trained.points, trained.intervals, strict=True)
    ]
    return {
        "trial": trained.spec.to_dict(),
        "selection": str(trained.rule),
        "points": points,
        "chosen": trained.points[chosen].weight,
        "recommendation": sentence,
        "files": files,
    }
