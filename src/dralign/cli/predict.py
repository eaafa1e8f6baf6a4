"""``dralign predict``: scores for the rows of a table, from a saved network."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from dralign.cli import options
from dralign.cli.console import say
from dralign.cli.lines import print_json
from dralign.cli.work import NOTHING, working
from dralign.errors import OptionError
from dralign.files import check_output, write_atomically
from dralign.forms import csv_text


@working("dralign.artifact", interrupted=NOTHING)
def predict(
    artifact: Annotated[Path, typer.Argument(help="A folder that dralign train wrote.")],
    table: Annotated[
        Path,
        typer.Argument(help="CSV or Parquet with the columns of training, or with image files."),
    ],
    *,
    images: options.ImageFolder = None,
    out: Annotated[Path | None, typer.Option(help="CSV to write; stdout if not given.")] = None,
    json: options.Json = False,
) -> None:
    """Score a table with a saved network; sensitive columns and label are not needed.

    For a network of images the table names files, in a column `file` (or `image`, `path`, ...) or
    else in its first one, relative to its own folder or to --images.

    The result has a row per row of the table, in its order: the probability of the positive label,
    and 1 where it is at least 0.5. With more than two classes it is the probability of each, and
    the likeliest. A network of the method thresholds decides by a threshold of each row's group,
    and needs the sensitive columns.

    Example: `dralign predict net people.csv --out scores.csv`
    """
    from dralign.artifact import load_artifact, score_table
    from dralign.data import ImageEncoder, read_table

    if out is not None:
        check_output(out, inputs=(artifact, table), endings=(".csv",))
    network = load_artifact(artifact)
    of_images = isinstance(network.encoder, ImageEncoder)
    rows = read_table(table, of_images=of_images)
    if images is not None and not of_images:
        raise OptionError("--images: this network takes the columns of a table, not images")
    scores = score_table(network, rows, folder=images or table.parent)
    if json:
        print_json(scores.to_dict(orient="list"))
        return
    if "prediction" in scores:
        scores["prediction"] = scores["prediction"].map(csv_text)
    if out is None:
        scores.to_csv(sys.stdout, index=False)
    else:
        write_atomically(out, lambda file: scores.to_csv(file, index=False))
        say(f"written: {out}, {len(scores)} rows")
