"""``dralign reproduce``: tables, figures and claims of the paper beside ours."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from dralign.cli import options
from dralign.cli.console import say
from dralign.cli.lines import print_json
from dralign.cli.progress import run_trials
from dralign.cli.work import KEPT, working
from dralign.data import catalogue
from dralign.errors import OptionError, unknown
from dralign.files import check_output, write_atomically
from dralign.reproduce import (
    ENTRIES,
    PLANS,
    Entry,
    Results,
    document,
    findings,
    plan,
    reduced,
    section,
    suited,
)
from dralign.study import Ledger, TrialSpec, ledger_path
from dralign.training import PUBLISHED_RULE

EVERYTHING = ("list", "all")


@working(interrupted=KEPT)
def reproduce(
    what: Annotated[str, typer.Argument(help="list, all, or a name that list shows.")],
    *,
    study: Annotated[
        Path, typer.Option(help="Folder or ledger of the study that holds the trials.")
    ] = Path("studies/reproduction"),
    run: Annotated[bool, typer.Option(help="Run the trials that are missing.")] = True,
    quick: Annotated[
        bool, typer.Option("--quick", help="Few, short trials in a study of their own.")
    ] = False,
    seeds: Annotated[int | None, typer.Option(help="Only the first seeds of the plans.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the figures; else the study's, unless a page is written."),
    ] = None,
    write: Annotated[
        Path | None, typer.Option(help="Write the page of everything to this file.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(help="Processes; all CPUs if not given.")] = None,
    data_home: options.DataHome = None,
    json: options.Json = False,
) -> None:
    """Run the trials behind a table, figure or claim of the paper, and show it beside ours.

    Finished trials are kept; the same command continues. The full grid takes hours, and days of a
    GPU on CelebA; where the folder has a part of its images, plans for a sample take their place.

    Example: `dralign reproduce table1 --seeds 3`, or `dralign reproduce all --quick`.
    """
    if what == "list":
        _list(json=json)
        return
    _check_page(write, study)
    chosen = list(ENTRIES.values()) if what == "all" else [_entry(what)]
    path = ledger_path(study)
    path = path.parent / "quick" / path.name if quick else path
    specs = _specs(chosen, quick, seeds, data_home)
    with Ledger(path, create=run) as ledger:
        if run:
            home = str(data_home) if data_home else ""
            there = suited(_there(specs, chosen), data_home=home, quick=quick)
            run_trials(there, ledger, rule=PUBLISHED_RULE, jobs=jobs)
        results = Results.of(ledger.records(), specs)
    figures = {}
    for entry in chosen:
        # The page has no figures, and a study that is only read should stay as it is.
        if entry.draw is not None and (write is None or out is not None):
            figures[entry.name] = entry.draw(results, (out or path.parent) / f"{entry.name}.png")
    if write is not None:
        text = document(results, study=study.as_posix())
        write_atomically(write, lambda file: file.write_text(text, encoding="utf-8"))
        say(f"written: {write}")
    if json:
        made = {entry.name: _result(entry, results) for entry in chosen}
        print_json({"entries": made, "figures": {k: str(v) for k, v in figures.items()}})
        return
    if write is None:
        for entry in chosen:
            typer.echo(section(entry, results))
    for path in figures.values():
        say(f"written: {path}")


def _check_page(write: Path | None, study: Path) -> None:
    """Finds out, before the trials are run, whether the page can be written."""
    if write is not None:
        check_output(write, option="--write", inputs=[ledger_path(study)], endings=(".md",))


def _entry(name: str) -> Entry:
    """The entry of that name.

    Raises:
        OptionError: if there is none.
    """
    if name not in ENTRIES:
        raise OptionError(unknown("table, figure or claim", name, (*EVERYTHING, *ENTRIES)))
    return ENTRIES[name]


def _specs(
    chosen: list[Entry], quick: bool, seeds: int | None, data_home: Path | None
) -> list[TrialSpec]:
    """The trials that the entries need.

    Raises:
        OptionError: if the number of seeds is not positive.
    """
    needed = [name for name in PLANS if any(name in entry.plans for entry in chosen)]
    home = str(data_home) if data_home else ""
    specs = [spec for name in needed for spec in plan(name, data_home=home).trials]
    if quick:
        specs = reduced(specs)
    if seeds is not None:
        if seeds < 1:
            raise OptionError(f"--seeds: expected at least 1, got {seeds}")
        specs = [spec for spec in specs if spec.seed < seeds]
    return sorted(specs, key=lambda spec: (spec.data.name == "celeba", spec.seed))


def _there(specs: list[TrialSpec], chosen: list[Entry]) -> list[TrialSpec]:
    """The trials whose data are there; those of one entry alone must be, but for CelebA."""
    missing = {
        name
        for name, home in {(spec.data.name, spec.data.data_home) for spec in specs}
        if (len(chosen) > 1 or name == "celeba") and catalogue.entry(name).place(home) == "missing"
    }
    for name in sorted(missing):
        say(f"{name} is not there (dralign data fetch {name}); its trials are left out")
    return [spec for spec in specs if spec.data.name not in missing]


def _result(entry: Entry, results: Results) -> dict[str, Any]:
    """An entry for other programs."""
    decided = findings(results, None if entry.name == "claims" else entry.name)
    return {**asdict(entry.make(results)), "claims": [asdict(finding) for finding in decided]}


def _list(*, json: bool) -> None:
    """What can be reproduced."""
    if json:
        shown = {e.name: {"title": e.title, "plans": e.plans} for e in ENTRIES.values()}
        print_json(shown)
        return
    for entry in ENTRIES.values():
        needs = "needs CelebA or a part of it; " if entry.needs_images else ""
        typer.echo(f"{entry.name:8s} {entry.title} ({needs}plans: {', '.join(entry.plans)})")
