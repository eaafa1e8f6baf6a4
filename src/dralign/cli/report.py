"""``dralign report``: everything that can be written about a study, at any time."""

from pathlib import Path
from typing import Annotated

import typer

from dralign.cli import options
from dralign.cli.console import print_table, say, tell_failures
from dralign.cli.lines import print_json
from dralign.cli.work import working


@working("dralign.report", "dralign.study.overview", interrupted="interrupted")
def report(
    study: Annotated[Path, typer.Argument(help="The folder of a study, or its ledger.")],
    *,
    out: Annotated[Path | None, typer.Option(help="Folder of the files; else the study's.")] = None,
    select: options.Select = None,
    warmup: options.Warmup = 1,
    bound: options.Bound = None,
    baseline: Annotated[
        str | None,
        typer.Option(help="Method, or METHOD/GAP, to compare with; gap or erm if not given."),
    ] = None,
    measure: options.Measure = None,
    formats: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="Some of html,png,svg,md,tex,csv,json, with commas; all if not given.",
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Write the page, figures, tables and statistics of a study.

    The study is only read: it may be running, unfinished, or hold failed trials.

    Example: `dralign report studies/adult --out report --select highest_ap`.
    """
    from dralign.analysis import summarise
    from dralign.report import result_table, write_study
    from dralign.report.labels import panels
    from dralign.report.outputs import FILES
    from dralign.study import Ledger, ledger_path
    from dralign.study.overview import kept_overviews

    path = study if study.is_file() else ledger_path(study)
    with Ledger(path, create=False) as ledger:
        records = ledger.records()
    rule = options.selection_of(records, select, warmup, bound, measure)
    rows = summarise(records, selection=rule)
    files = write_study(
        out or path.parent,
        records,
        selection=rule,
        formats=tuple(FILES) if formats is None else formats.split(","),
        baseline=baseline,
        rows=rows,
        overviews=kept_overviews(path.parent),
    )
    failed = [record for record in records if record.status == "failed"]
    if json:
        print_json(
            {
                "done": len(records) - len(failed),
                "failed": len(failed),
                "selection": str(rule),
                "files": {name: str(file) for name, file in files.items()},
            }
        )
        return
    for panel in panels(rows):
        print_table(result_table(panel.rows))
    say(f"{len(records) - len(failed)} trials done, {len(failed)} failed")
    tell_failures(records)
    for file in files.values():
        say(f"written: {file}")
