"""``dralign predict``: scores for the rows of a table, from a saved network."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from dralign.cli import options
from dralign.cli.console import say
from dralign.cli.lines import print_json
from dralign.cli.stdin import table_path
from dralign.cli.work import NOTHING, working
from dralign.errors import OptionError
from dralign.files import check_output, write_atomically
from dralign.forms import csv_text

if TYPE_CHECKING:
    import pandas as pd

_OWN: Final = frozenset({"probability", "decision", "prediction"})


@working("dralign.artifact", interrupted=NOTHING)
@options.with_table_options(*options.READING)
def predict(
    artifact: Annotated[Path, typer.Argument(help="A folder that dralign train wrote.")],
    table: Annotated[
        Path,
        typer.Argument(help="CSV or Parquet with the columns of training, or with image files."),
    ],
    *,
    images: options.ImageFolder = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(help="A column of the table to keep beside the scores. Can be repeated."),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="The probability from which on a decision is positive, 0 to 1; if not given, the "
            "one that was saved with the network."
        ),
    ] = None,
    how: dict[str, Any],
    out: Annotated[Path | None, typer.Option(help="CSV to write; stdout if not given.")] = None,
    json: options.Json = False,
) -> None:
    """Score a table with a saved network; sensitive columns and label are not needed.

    For a network of images the table names files, in a column `file` (or `image`, `path`, ...) or
    else in its first one, relative to its own folder or to --images.

    The result has a row per row of the table, in its order: the probability of the positive label,
    and 1 where it is at least the threshold. With more than two classes it is the probability of
    each, and the likeliest. A network of the method thresholds decides by a threshold of each
    row's group, and needs the sensitive columns.

    Example: `dralign predict net people.csv --keep id --out scores.csv`
    """
    import pandas as pd

    from dralign.artifact import load_artifact, score_table
    from dralign.data import ImageEncoder

    if out is not None:
        check_output(out, inputs=(artifact, table), endings=(".csv",))
    network = load_artifact(artifact)
    if threshold is not None:
        network = network.deciding_at(threshold)
    of_images = isinstance(network.encoder, ImageEncoder)
    table = Path(table_path(str(table)))
    rows = network.read(table, **how)
    names = _kept(rows, keep or (), table)
    reading = {name: how[name] for name in ("sep", "encoding") if name in how}
    kept = network.as_written(table, names, **reading)
    if images is not None and not of_images:
        raise OptionError("--images: this network takes the columns of a table, not images")
    scores = score_table(network, rows, folder=images or table.parent)
    if line := network.filled(rows):
        say(line)
    scores = pd.concat([kept, scores.reset_index(drop=True)], axis=1)
    if json:
        print_json(scores.astype(object).where(scores.notna(), None).to_dict(orient="list"))
        return
    if "prediction" in scores:
        scores["prediction"] = scores["prediction"].map(csv_text)
    if out is None:
        scores.to_csv(sys.stdout, index=False)
    else:
        write_atomically(out, lambda file: scores.to_csv(file, index=False))
        say(f"written: {out}, {len(scores)} rows")


def _kept(rows: "pd.DataFrame", names: Sequence[str], table: Path) -> list[str]:
    """The names of the columns to keep beside the scores.

    Raises:
        OptionError: if one has a name of the result's own.
    """
    from dralign.data.columns import require_columns

    require_columns(rows, names, where=str(table))
    for name in names:
        if name in _OWN or name.startswith("probability_"):
            raise OptionError(f"--keep: {name!r} is a column of the result; rename it in the table")
    return list(names)
