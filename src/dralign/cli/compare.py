"""``dralign compare``: methods x weights x seeds on one dataset, ending in a report."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import typer

from dralign.analysis import Row, summarise
from dralign.cli import options
from dralign.cli.again import training_command
from dralign.cli.console import print_table, say, tell_outcome
from dralign.cli.lines import print_json
from dralign.cli.overview import group_line, shown_overview
from dralign.cli.progress import run_trials
from dralign.cli.stdin import table_path
from dralign.cli.trials import TrialOptions, with_trial_options
from dralign.cli.work import KEPT, working
from dralign.data.raw import parsed_once
from dralign.data.source import Overview
from dralign.report import caution_lines, result_table, write_study
from dralign.report.labels import panels
from dralign.report.verdict import groups_of, row_name, smallest_gap, verdicts
from dralign.study import Ledger, TrialRecord, TrialSpec, compared_trials
from dralign.study.compared import METHODS, SEEDS, WEIGHTS
from dralign.study.overview import keep_overview
from dralign.study.trial import check_trials

_USUAL: Final = ",".join(map(str, WEIGHTS))


@working(interrupted=KEPT, called={"fairness_weight": "weights"})
@with_trial_options
def compare(
    context: typer.Context,
    data: options.Data,
    *,
    methods: Annotated[
        str, typer.Option(help="Names with commas, or all that support the gap.")
    ] = ",".join(METHODS),
    weights: Annotated[
        str | None, typer.Option(help=f"Fairness weights, with commas; {_USUAL} if not given.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Seeds 0, 1, ... for every setting.")] = SEEDS,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the study; studies/NAME-GAP if not given.")
    ] = None,
    jobs: options.Jobs = None,
    trial_timeout: options.TrialTimeout = None,
    trial: TrialOptions,
    json: options.Json = False,
) -> None:
    """Compare methods on one dataset: table, trade-off figure and HTML report.

    Every finished trial is kept; the same command continues where an interrupted one stopped.

    Example: `dralign compare adult --weights 0.2,0.4 --seeds 3`, or, on a file of your own,
    `dralign compare people.csv --label income --positive ">50K" --sensitive sex`.
    """
    data = table_path(data)
    source, rule = trial.source(data), trial.selection()
    folder = options.study_folder(out, Path("studies") / f"{Path(data).stem}-{trial.gap}")
    given = None if weights is None else options.numbers("weights", weights)
    with parsed_once() as forget:
        specs = compared_trials(
            source, methods.split(","), weights=given, seeds=seeds, settings=trial.given
        )
        check_trials(specs)
        with Ledger(folder / "study.sqlite") as ledger:
            overview = shown_overview(source)
            keep_overview(folder, overview)
            forget()
            records = run_trials(specs, ledger, rule=rule, jobs=jobs, trial_timeout=trial_timeout)
    failed = tell_outcome(records)
    rows = summarise(records, selection=rule)
    formats = ("md", "png", "html")
    written = write_study(
        folder, records, selection=rule, formats=formats, rows=rows, overview=overview
    )
    files = {name: str(path) for name, path in written.items()}
    if json:
        told = {"rows": [_row(row) for row in rows], "failed": len(failed), "files": files}
        told |= {"verdicts": verdicts(panels(rows)), "cautions": caution_lines(rows)}
        best = [_as_form(one) for one in _best(rows, records, overview, context.obj)]
        print_json({**told, "best": best, "overview": overview._asdict()})
    else:
        print_table(result_table(rows))
        for line in (*verdicts(panels(rows)), *caution_lines(rows)):
            say(line)
        for one in _best(rows, records, overview, context.obj):
            _tell(one)
        for path in files.values():
            say(f"written: {path}")
    if failed:
        raise typer.Exit(1)


class _Best(NamedTuple):
    """The setting of a verdict.

    Attributes:
        name: in a few words.
        spec: the setting, under its first seed.
        groups: of the test rows, with sizes and rates.
        command: that trains it; empty if there is none.
    """

    name: str
    spec: TrialSpec
    groups: list[dict[str, Any]]
    command: str


def _best(
    rows: list[Row], records: list[TrialRecord], overview: Overview, typed: list[str]
) -> list[_Best]:
    """The setting of each verdict."""
    return [
        _Best(
            row_name(row, panel),
            row.spec,
            groups_of(row, records, overview.groups),
            training_command(typed, row.spec),
        )
        for panel in panels(rows)
        if (row := smallest_gap(panel)) is not None
    ]


def _tell(best: _Best) -> None:
    """Says which groups fare how under it, and how to train it."""
    if best.groups:
        say(f"{best.name}, seed {best.spec.seed}:")
    for group in best.groups:
        say(f"  {group_line(group)}")
    if best.command:
        say(f"to train and keep it: {best.command}")


def _as_form(best: _Best) -> dict[str, Any]:
    """It as it stands in the JSON output."""
    return {**best._asdict(), "spec": best.spec.to_dict()}


def _row(row: Row) -> dict[str, Any]:
    """A row as it stands in the JSON output."""
    return {
        "trial": {**row.spec.to_dict(), "seed": None},
        "seeds": row.seeds,
        "selection": str(row.selection),
        "non_dominated": row.non_dominated,
        **{name: asdict(getattr(row, name)) for name in ("similarity", "seconds")},
        "measure": row.measure,
        "figures": {name: asdict(interval) for name, interval in row.figures.items()},
        "bound_met": row.bound_met,
        "found_weight": asdict(row.found_weight) if row.found_weight.n else None,
    }
