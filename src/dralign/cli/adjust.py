"""``dralign adjust``: a saved network whose scores are shifted against a gap, saved as another."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dralign.cli import options
from dralign.cli.console import say
from dralign.cli.lines import print_json, warn_once
from dralign.cli.stdin import table_path
from dralign.cli.work import NOTHING, working

if TYPE_CHECKING:
    from dralign.study.adjusting import AdjustedNetwork, Wanted


@working("dralign.study.adjusting", "dralign.cli.overview", interrupted=NOTHING)
@options.with_table_options(*options.READING)
def adjust(
    artifact: Annotated[Path, typer.Argument(help="A folder that dralign train wrote.")],
    table: Annotated[
        str,
        typer.Argument(
            help="CSV or Parquet with the columns of training, the label and the sensitive "
            "columns; or the built-in dataset of the training."
        ),
    ],
    *,
    out: Annotated[Path, typer.Option(help="Folder of the adjusted network.")],
    max_gap: Annotated[
        float | None,
        typer.Option(help="Largest gap on the validation rows; the smallest weight is taken."),
    ] = None,
    weight: Annotated[
        float | None, typer.Option(help="The weight c itself, in place of a largest gap.")
    ] = None,
    gap: Annotated[
        str,
        typer.Option(help="demographic_parity, equalized_odds or equal_opportunity."),
    ] = "demographic_parity",
    measure: options.Measure = None,
    use_group: Annotated[
        bool,
        typer.Option(
            "--use-group",
            help="Shift by the group of each row; prediction then needs the sensitive columns.",
        ),
    ] = False,
    sensitive: options.Sensitive = None,
    threshold: Annotated[
        str | None,
        typer.Option(
            help="From which probability on a decision is positive, or base-rate; the network's "
            "own if not given."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the split of another table.")] = 0,
    how: dict[str, Any],
    json: options.Json = False,
) -> None:
    """Shift the scores of a saved network against a gap, without training it again.

    A linear model guesses the groups from the inputs; the score of a row is lowered or raised by as
    much as its inputs tell of a group. Prediction needs no group, unless --use-group is given. The
    card says what was done, and `dralign predict` and `dralign audit` take the new network as any.

    Example: `dralign adjust net people.csv --max-gap 0.05 --out adjusted`
    """
    from dralign.artifact import check_target, load_artifact, save_or_rescue
    from dralign.metrics.measures import DEFAULT
    from dralign.study.adjusting import Wanted, adjust_network, adjusting_rows

    wanted = Wanted(max_gap, weight, gap, measure or DEFAULT, use_group, _number(threshold))
    check_target(out, apart=[path for path in (artifact, Path(table)) if path.exists()])
    network = load_artifact(artifact)
    rows, note = adjusting_rows(
        network, table_path(table), sensitive=sensitive or (), seed=seed, **how
    )
    result = adjust_network(network, rows, wanted, note=note)
    folder = save_or_rescue(result.artifact, out)
    for note in result.artifact.training["notes"]:
        warn_once(note)
    if json:
        adjusted = {k: v for k, v in result.artifact.training["adjusted"].items() if k != "front"}
        figures: dict[str, Any] = {"before": dict(result.before), "after": dict(result.after)}
        figures["intervals"] = {name: dict(ends) for name, ends in result.intervals.items()}
        print_json({**adjusted, **figures, "front": result.front.rows(), "artifact": str(folder)})
        return
    _show(result, wanted)
    say(f"written: {folder}")


def _show(result: "AdjustedNetwork", wanted: "Wanted") -> None:
    """What became of the figures."""
    from dralign.cli.overview import group_line
    from dralign.metrics import all_measures, gap_measure, measure

    say(f"rows: {result.note}")
    weight, asked = result.chosen.weight, wanted.weight
    less = asked is not None and weight < asked
    more = f", that of equal expected rates, in the place of {asked:g}" if less else ""
    say(f"weight: {weight:.4g}{more}")
    if wanted.max_gap is not None:
        reached = result.chosen.gap(wanted.measure, wanted.gap)
        met = "met" if result.met else "NOT met; this is the smallest there is"
        say(f"{gap_measure(wanted.measure).words} on the validation rows: {reached:.3f}, {met}")
    for name, figures in (("before", result.before), ("after", result.after)):
        text = ", ".join(
            f"{known.words} {known.of(figures, wanted.gap):.3f}"
            for known in all_measures()
            if known.column
        )
        say(f"test rows, {name}: {text}, accuracy {figures['accuracy']:.3f}")
    for name, intervals in result.intervals.items():
        ends = (f"{measure(k).words} {a:.3f} to {b:.3f}" for k, (a, b) in intervals.items())
        say(f"95 % intervals over test rows drawn anew, {name}: {', '.join(ends)}")
    for group in result.artifact.training["groups"]:
        say(group_line(group))


def _number(text: str | None) -> float | str | None:
    """The number that the option stands for, or the text, which is checked later."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return text
