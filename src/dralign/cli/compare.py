"""``dralign compare``: methods x weights x seeds on one dataset, ending in a report."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from dralign.analysis import Row, summarise
from dralign.cli import options
from dralign.cli.best import BEST, Best, best_settings, check_save, keep_best, tell_best
from dralign.cli.console import print_table, say, tell_outcome
from dralign.cli.lines import complain, print_json
from dralign.cli.overview import shown_overview
from dralign.cli.progress import run_trials
from dralign.cli.stdin import table_path
from dralign.cli.trials import TrialOptions, with_trial_options
from dralign.cli.work import KEPT, working
from dralign.data.raw import parsed_once
from dralign.report import caution_lines, result_table, write_study
from dralign.report.labels import panels
from dralign.report.verdict import verdicts
from dralign.study import Ledger, compared_trials, ledger_path, only_writer
from dralign.study.compared import METHODS, SEEDS, WEIGHTS
from dralign.study.overview import keep_overview, overviews_of
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
    save: Annotated[
        str | None,
        typer.Option(
            help="best: train the setting that the verdict names once more, and keep its network "
            "in the folder best of the study."
        ),
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
        check_save(save, {spec.method for spec in specs}, folder)
        with Ledger(ledger_path(folder)) as ledger, only_writer(ledger):
            overview = shown_overview(source)
            keep_overview(folder, source, overview)
            forget()
            records = run_trials(specs, ledger, rule=rule, jobs=jobs, trial_timeout=trial_timeout)
            _tell_others(folder, len(ledger.done_hashes() - {record.hash for record in records}))
    failed = tell_outcome(records)
    rows = summarise(records, selection=rule)
    formats, known = ("md", "png", "html"), overviews_of(source, overview)
    files = write_study(
        folder, records, selection=rule, formats=formats, rows=rows, overviews=known
    )
    best = best_settings(rows, records, known, context.obj, rule)
    if not json:
        _tell(rows, best)
    if save is not None and best:
        files[BEST] = keep_best(best[0], source, folder, overview, rule)
    if json:
        told = {"rows": [_row(row) for row in rows], "failed": len(failed)}
        told |= {"verdicts": verdicts(panels(rows)), "cautions": caution_lines(rows)}
        told |= {"best": [one.to_dict() for one in best], "overview": overview._asdict()}
        print_json({**told, "files": {name: str(path) for name, path in files.items()}})
    else:
        for name, path in files.items():
            say(f"written: {path}{best[0].kept if name == BEST else ''}")
    if without := save is not None and not best:
        complain("--save: nothing is kept, as no verdict names a setting")
    if failed or without:
        raise typer.Exit(1)


def _tell(rows: list[Row], best: list[Best]) -> None:
    """Prints the table, the verdict, what is to be known, and who fares how at the best setting."""
    print_table(result_table(rows))
    for line in (*verdicts(panels(rows)), *caution_lines(rows)):
        say(line)
    for one in best:
        tell_best(one)


def _tell_others(folder: Path, others: int) -> None:
    """Says that what an earlier command wrote about other trials gives way."""
    if others:
        say(
            f"{folder}: has {others} other trials, which are kept, and not on the page that is "
            f"written now: `dralign report {folder}` is about all"
        )


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
