"""``dralign export``: the records of a study as a flat table in a file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from dralign.cli import options
from dralign.cli.console import say
from dralign.cli.lines import print_json
from dralign.cli.work import NOTHING, working
from dralign.errors import OptionError
from dralign.files import write_atomically

if TYPE_CHECKING:
    from dralign.analysis.export import Per


@working("dralign.analysis", interrupted=NOTHING)
def export(
    study: Annotated[Path, typer.Argument(help="The folder of a study, or its ledger.")],
    *,
    out: Annotated[Path, typer.Option(help="The file to write: .parquet or .csv.")],
    per: Annotated[
        str, typer.Option(help="A row for each epoch, or for each trial at its selected epoch.")
    ] = "epoch",
    select: options.Select = None,
    warmup: options.Warmup = 1,
    bound: options.Bound = None,
    measure: options.Measure = None,
    json: options.Json = False,
) -> None:
    """Write the records of a study to a Parquet or CSV file, also while it is running.

    Example: `dralign export studies/adult --out adult.parquet --per trial`.
    """
    from dralign.analysis import record_table
    from dralign.analysis.export import as_csv
    from dralign.study import Ledger, ledger_path

    if out.suffix not in {".parquet", ".csv"}:
        raise OptionError(f"--out: expected a .parquet or .csv file, got {str(out)!r}")
    with Ledger(ledger_path(study), create=False) as ledger:
        records = ledger.records()
    rule = options.selection_of(records, select, warmup, bound, measure)
    table = record_table(records, per=cast("Per", per), selection=rule)
    write = table.to_parquet if out.suffix == ".parquet" else as_csv(table).to_csv
    write_atomically(out, lambda file: write(file, index=False))
    if json:
        print_json({"trials": len(records), "rows": len(table), "file": str(out)})
    else:
        say(f"written: {out} ({len(table)} rows, {len(records)} trials)")
