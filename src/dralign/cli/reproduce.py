"""``dralign reproduce``: tables, figures and claims of the paper beside ours."""

from collections.abc import Sequence
from dataclasses import asdict
from os.path import relpath
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dralign.cli import options
from dralign.cli.console import say
from dralign.cli.lines import print_json
from dralign.cli.work import KEPT, working
from dralign.errors import OptionError, unknown
from dralign.files import check_output, write_atomically

if TYPE_CHECKING:
    from dralign.reproduce import Entry, Results
    from dralign.study import TrialSpec

EVERYTHING = ("list", "all")


@working("dralign.reproduce", "dralign.cli.progress", interrupted=KEPT)
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
        typer.Option(help="Folder of the figures; else the study's, and no figures on a page."),
    ] = None,
    write: Annotated[
        Path | None, typer.Option(help="Write the page of everything to this file.")
    ] = None,
    jobs: options.Jobs = None,
    data_home: options.DataHome = None,
    json: options.Json = False,
) -> None:
    """Run the trials behind a table, figure or claim of the paper, and show it beside ours.

    Finished trials are kept; the same command continues. The full grid takes hours, and days of a
    GPU on CelebA; where the folder has a part of its images, plans for a sample take their place.

    Example: `dralign reproduce table1 --seeds 3`, or `dralign reproduce all --quick`.
    """
    from dralign.cli.progress import run_trials
    from dralign.reproduce import Results, begun, needed, suited
    from dralign.study import Ledger, ledger_path
    from dralign.training import PUBLISHED_RULE

    if what == "list":
        _list(json=json)
        return
    path = ledger_path(study)
    if write is not None:
        check_output(write, option="--write", inputs=[path], endings=(".md",))
    chosen = _entries(what)
    path = path.parent / "quick" / path.name if quick else path
    home = str(data_home) if data_home else ""
    plans = {name for entry in chosen for name in entry.plans}
    specs = needed(plans, quick=quick, seeds=seeds, data_home=home)
    note = _note() if quick else ""
    with Ledger(path, create=run) as ledger:
        if run:
            there = suited(_there(specs, chosen), data_home=home, quick=quick)
            run_trials(there, ledger, rule=PUBLISHED_RULE, jobs=jobs)
        results = Results.of(ledger.records(), specs)
    # A study that is only read for a page should stay as it is.
    drawn = chosen if write is None or out is not None else []
    folder = out or path.parent
    figures = {
        entry.name: entry.draw(results, folder / f"{entry.name}.png")
        for entry in drawn
        if entry.draw is not None and begun(entry.plans, results)
    }
    if write is not None:
        _write_page(write, results, study, figures, note)
    if json:
        print_json(_told(chosen, results, figures, note))
        return
    if write is None:
        _show(chosen, results, note)
    for figure in figures.values():
        say(f"written: {figure}")


def _note() -> str:
    """What is said of the quick form, on the terminal too."""
    from dralign.reproduce import QUICK

    say(QUICK)
    return QUICK


def _entries(what: str) -> list["Entry"]:
    """The entry of that name, or all.

    Raises:
        OptionError: if there is none.
    """
    from dralign.reproduce import ENTRIES

    if what == "all":
        return list(ENTRIES.values())
    if what not in ENTRIES:
        raise OptionError(unknown("table, figure or claim", what, (*EVERYTHING, *ENTRIES)))
    return [ENTRIES[what]]


def _there(specs: Sequence["TrialSpec"], chosen: Sequence["Entry"]) -> list["TrialSpec"]:
    """The trials whose data are there; those of one entry alone must be, but for CelebA."""
    from dralign.reproduce import absent

    missing = {name for name in absent(specs) if len(chosen) > 1 or name == "celeba"}
    for name in sorted(missing):
        say(f"{name} is not there (dralign data fetch {name}); its trials are left out")
    return [spec for spec in specs if spec.data.name not in missing]


def _write_page(
    path: Path, results: "Results", study: Path, figures: dict[str, Path], note: str
) -> None:
    """Writes the page of everything, which shows the figures that were drawn."""
    from dralign.reproduce import document

    seen = {name: Path(relpath(drawn, path.parent)).as_posix() for name, drawn in figures.items()}
    text = document(results, study=study.as_posix(), figures=seen, note=note)
    write_atomically(path, lambda file: file.write_text(text, encoding="utf-8"))
    say(f"written: {path}")


def _show(chosen: Sequence["Entry"], results: "Results", note: str) -> None:
    """Prints the entries, and before them what is to be known first."""
    from dralign.reproduce import section

    if note:
        typer.echo(f"**{note}**")
    for entry in chosen:
        typer.echo(section(entry, results))


def _told(
    chosen: Sequence["Entry"], results: "Results", figures: dict[str, Path], note: str
) -> dict[str, Any]:
    """The entries for other programs, where their figures are, and what is to be known first."""
    return {
        "entries": {entry.name: _result(entry, results) for entry in chosen},
        "figures": {name: str(path) for name, path in figures.items()},
        "note": note,
    }


def _result(entry: "Entry", results: "Results") -> dict[str, Any]:
    """An entry for other programs."""
    from dralign.reproduce import findings

    decided = findings(results, None if entry.name == "claims" else entry.name)
    claims = [{**asdict(judged), "verdict": judged.verdict} for judged in decided]
    return {**asdict(entry.make(results)), "claims": claims}


def _list(*, json: bool) -> None:
    """Prints what can be reproduced."""
    from dralign.reproduce import ENTRIES

    if json:
        shown = {e.name: {"title": e.title, "plans": e.plans} for e in ENTRIES.values()}
        print_json(shown)
        return
    for entry in ENTRIES.values():
        needs = "needs CelebA or a part of it; " if entry.needs_images else ""
        typer.echo(f"{entry.name:8s} {entry.title} ({needs}plans: {', '.join(entry.plans)})")
