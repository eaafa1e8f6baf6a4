"""``dralign data``: which datasets there are, getting those not in the package, checking them."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from dralign.cli import options
from dralign.cli.console import say
from dralign.cli.lines import print_json
from dralign.cli.stdin import table_path
from dralign.cli.work import working
from dralign.errors import DataError

if TYPE_CHECKING:
    from dralign.data import Inspection
    from dralign.data.catalogue import Entry

NARROW: Final = 80  # columns, where no terminal tells its width
WORKING = working("dralign.data", interrupted="interrupted")

data = typer.Typer(
    add_completion=False,
    rich_markup_mode="markdown",
    no_args_is_help=True,
    help="Data: inspect a table, list datasets, get those not in the package, check files.",
)
Name = Annotated[str, typer.Argument(help="As dralign data list shows it.")]


@data.command("list")
@WORKING
def list_datasets(*, data_home: options.DataHome = None, json: options.Json = False) -> None:
    """List the datasets known by name: rows, where they lie, licence and source.

    Example: `dralign data list --data-home ~/datasets`
    """
    from dralign.data import catalogue

    rows = [_row(one, location=one.location(data_home)) for one in catalogue.ENTRIES]
    if json:
        print_json(rows)
        return
    width = _width(rows)
    for row in rows:
        count = "" if row["rows"] is None else f"{row['rows']:,} rows"
        typer.echo(f"{row['name']:{width}} {count:>14}  {row['location']}")
        typer.echo(f"{'':{width}} {row['source']}; licence: {row['licence']}")


@data.command()
@WORKING
def fetch(name: Name, *, data_home: options.DataHome = None, json: options.Json = False) -> None:
    """Download a dataset that is not in the package, and check it.

    It goes into the folder --data-home (or DRALIGN_DATA), or into the user's cache.

    Example: `dralign data fetch compas`
    """
    from dralign.data import catalogue
    from dralign.data.local import download

    chosen = catalogue.entry(name)
    folder = chosen.location(data_home)
    if chosen.by_hand and folder == "missing":
        raise DataError(f"{name}: {chosen.by_hand.reason}; see {chosen.by_hand.homepage}")
    if chosen.published is not None:
        folder = str(download(chosen.published, data_home))
    if json:
        print_json(_row(chosen, location=folder))
    elif folder == "built in":
        say(f"{name} is built in, there is nothing to fetch")
    else:
        say(f"{folder}: {name} ({chosen.source}; licence: {chosen.licence})")


@data.command()
@WORKING
def verify(
    name: Annotated[
        str | None, typer.Argument(help="One dataset; all that are there if not given.")
    ] = None,
    *,
    data_home: options.DataHome = None,
    json: options.Json = False,
) -> None:
    """Check the files of the datasets against their published checksums; exit code 1 if wrong.

    Example: `dralign data verify compas --data-home ~/datasets`
    """
    from dralign.data import catalogue

    chosen = (
        [catalogue.entry(name)]
        if name
        else [e for e in catalogue.ENTRIES if e.location(data_home) != "missing"]
    )
    rows = [
        _row(one, location=one.location(data_home), **_checked(one, data_home)) for one in chosen
    ]
    if json:
        print_json(rows)
    else:
        width = _width(rows)
        for row in rows:
            said = row["wrong"] or f"{row['found']}, {row['location']}"
            typer.echo(f"{row['name']:{width}} {said}")
    if any(row["wrong"] for row in rows):
        raise typer.Exit(1)


@data.command()
@WORKING
@options.with_table_options()
def inspect(
    table: options.Data,
    *,
    label: options.Label = None,
    positive: options.Positive = None,
    sensitive: options.Sensitive = None,
    include_sensitive: options.IncludeSensitive = False,
    how: dict[str, Any],
    seed: Annotated[int, typer.Option(help="Of the split.")] = 0,
    data_home: options.DataHome = None,
    json: options.Json = False,
) -> None:
    """Show what a table holds and what is doubtful about it; nothing is trained or written.

    Columns and how each is taken, missing values, groups with base rates, the split; columns that
    give the label or the group away, numbers that look like codes, tiny groups. Without --label and
    --sensitive it tells of the columns alone.

    Example: `dralign data inspect people.csv --label loan --positive granted --sensitive region`
    """
    from dralign.data import DataSource, dataset_names

    source = DataSource(
        table_path(table),
        sensitive=tuple(sensitive or ()),
        include_sensitive=include_sensitive,
        label=label or "",
        positive=positive or "",
        data_home=str(data_home or ""),
        **how,
    )
    if source.name in dataset_names():
        overview = source.overview(seed)
        lines, form = [*overview.lines], overview._asdict()
    else:
        result = source.inspect(seed)
        if not json:
            _print_columns(result)
        lines, form = [*result.lines()], {"lines": result.lines(), **result.to_dict()}
        lines += [f"can't be used: {line}" for line in result.obstacles]
        lines += [f"look at: {line}" for line in result.findings]
    if json:
        print_json(form)
    else:
        typer.echo("\n".join(lines))


def _print_columns(result: "Inspection") -> None:
    """Prints a table of the columns that fits a narrow terminal."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    shown = Table(box=box.SIMPLE_HEAD, header_style="bold", padding=(0, 1))
    shown.add_column("column", overflow="ellipsis", no_wrap=True, max_width=30)
    shown.add_column("taken as", no_wrap=True)
    for name in ("values", "missing"):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("note", overflow="ellipsis", no_wrap=True)
    for column in result.columns:
        missing = f"{column.missing:,}" if column.missing else ""
        name = column.name if column.name.isprintable() else repr(column.name)
        cells = (name, column.role, f"{column.values:,}", missing, column.note)
        shown.add_row(*map(escape, cells))
    Console(highlight=False, width=None if sys.stdout.isatty() else NARROW).print(shown)


def _checked(one: "Entry", data_home: Path | None) -> dict[str, str]:
    """What was found, and what is wrong; one of them is empty."""
    try:
        return {"found": one.verify(data_home), "wrong": ""}
    except DataError as error:
        return {"found": "", "wrong": str(error)}


def _width(rows: Sequence[Mapping[str, Any]]) -> int:
    """That of the column of names, at least 8."""
    return max([8, *(len(row["name"]) for row in rows)])


def _row(one: "Entry", **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """A dataset as it stands in the JSON output."""
    shown = asdict(one)
    return {key: shown[key] for key in ("name", "rows", "licence", "source")} | more
