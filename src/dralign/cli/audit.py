"""``dralign audit``: what a trained network does to each group, as a page or as JSON."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.status import Status

from dralign.cli import options
from dralign.cli.console import errors, say
from dralign.cli.lines import print_json
from dralign.cli.stdin import table_path
from dralign.cli.work import NOTHING, working
from dralign.errors import OptionError
from dralign.files import check_output

if TYPE_CHECKING:
    from dralign.auditing import Audit, AuditCase, PredictionAudit
    from dralign.auditing.parts import AuditPart

_OF_NETWORKS: Final = (
    "model", "weights", "rows", "sample", "images", "partition", "layers", "all_rows",
    "parts", "include_sensitive", "weight",
)  # fmt: skip
BETWEEN_LINES: Final = 30.0  # seconds, where no terminal shows how far it is


@working("dralign.auditing", interrupted=NOTHING)
@options.with_table_options(*options.READING, "favourable", "weight")
def audit(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="[ARTIFACT] TABLE",
            help="A folder that dralign train wrote (not with --model or --score), and a CSV or "
            "Parquet file or the built-in dataset of the training, whose test rows are taken.",
        ),
    ],
    *,
    out: Annotated[Path | None, typer.Option(help="HTML page to write.")] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="module:factory of a network of your own; the module is imported, and its code "
            "run, from the current folder too."
        ),
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="safetensors file, with --model.")] = None,
    score: Annotated[
        str | None,
        typer.Option(
            help="Column of TABLE with the probabilities (or decisions) of any model, network or "
            "not: they alone are assessed."
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="With --score, the probability that is decided positive; 0.5 if not given."
        ),
    ] = None,
    sensitive: options.Sensitive = None,
    include_sensitive: options.IncludeSensitive = False,
    label: options.Label = None,
    positive: options.Positive = None,
    data_home: options.DataHome = None,
    images: options.ImageFolder = None,
    partition: options.Partition = None,
    layers: Annotated[
        str,
        typer.Option(help="Layers to look at: all, the last k (a count), or names with commas."),
    ] = "all",
    parts: Annotated[
        str,
        typer.Option(
            help="What to compute, with commas: outcomes, similarity, influence, independence, "
            "what_if; or all."
        ),
    ] = "all",
    splits: Annotated[int, typer.Option(help="Random splits for the noise floor.")] = 200,
    bootstrap: Annotated[int, typer.Option(help="Draws for the intervals.")] = 300,
    sample: Annotated[
        int | None,
        typer.Option(help="Weights a layer to ablate; all if that is quick, 20 of images."),
    ] = None,
    rows: Annotated[
        int | None,
        typer.Option(help="Rows to audit, drawn at random; all if not given, 500 of images."),
    ] = None,
    top: Annotated[int, typer.Option(help="Units and weights to list.")] = 10,
    min_group_size: Annotated[
        int,
        typer.Option(help="Rows a group must have; figures of smaller ones are withheld."),
    ] = 10,
    seed: Annotated[int, typer.Option(help="Of splits and draws.")] = 0,
    all_rows: Annotated[
        bool, typer.Option("--all-rows", help="Take the rows that it was trained on too.")
    ] = False,
    how: dict[str, Any],
    json: options.Json = False,
) -> None:
    """Assess a trained network: gaps, rationales against chance, and which units matter to whom.

    Label and sensitive columns default to those of the artifact. Of the table that the network was
    trained on the test rows are taken, and of another one the rows that it was not trained on.

    With --model the inputs are the columns of numbers of the table in their order, without the
    label, and without the sensitive columns unless --include-sensitive is given. For a network of
    images the table names files, as for `dralign predict`.

    With --score no network is needed: group figures, gaps and measures of a column of scores.

    Example: `dralign audit net people.csv --out audit.html`
    """
    from dralign.methods.dralign import LAYERS

    drawn = {"n_splits": splits, "n_bootstrap": bootstrap, "top": top, "seed": seed}
    _check_numbers(**drawn, min_group_size=min_group_size)
    asked = _asked(parts)
    _check_page(out, [*names, weights, images])
    columns: dict[str, Any] = {
        "label": label or "", "positive": positive or "", "sensitive": sensitive or ()
    }  # fmt: skip
    names = [*names[:-1], *map(table_path, names[-1:])]
    if score is not None or threshold is not None:
        given: dict[str, Any] = {"model": model, "weights": weights, "rows": rows, "sample": sample}
        given |= {"images": images, "partition": partition, "all_rows": all_rows or None}
        given |= {"layers": None if layers == "all" else layers}
        given |= {"parts": None if parts == "all" else parts}
        given |= {"include_sensitive": include_sensitive or None, "weight": how.pop("weight", None)}
        given |= {**columns, "n_bootstrap": bootstrap, "seed": seed, "reading": how}
        given |= {"min_group_size": min_group_size, "threshold": threshold}
        _of_scores(names, score, given, out, json=json)
        return
    if model is None:
        if include_sensitive:
            raise OptionError("--include-sensitive: only with --model; an artifact has its inputs")
        home = {"images": images, "data_home": data_home, "partition": partition}
        columns |= {name: value or "" for name, value in home.items()}
        case = _of_artifact(names, weights, {**columns, **how, "all_rows": all_rows})
    else:
        columns |= how
        case = _of_factory(names, model, weights, include_sensitive=include_sensitive, **columns)
    judged = _drawn(case, rows, seed)
    with _status(quiet=json) as show:
        result = judged.audit(
            layers=LAYERS.parsed(layers),
            parts=asked,
            sample=sample,
            min_group_size=min_group_size,
            progress=show,
            **drawn,
        )
    _show(result, out, case.title, json=json)


def _check_page(out: Path | None, read: Sequence[str | Path | None]) -> None:
    """Finds out before the work whether the page can be written, and is none of what is read."""
    if out is not None:
        inputs = [Path(name) for name in read if name]
        check_output(out, inputs=inputs, endings=(".html", ".htm"))


def _drawn(case: "AuditCase", rows: int | None, seed: int) -> "AuditCase":
    """The case with as many rows as are asked for, after what was taken is told."""
    if case.note:
        say(f"audited: {case.note}")
    judged = case.drawn(rows, seed=seed)
    if len(judged.x) < len(case.x):
        n = f"{len(judged.x):,} of {len(case.x):,}"
        say(f"audited: {n} rows, drawn at random; --rows takes more")
    return judged


def _of_scores(
    names: list[str], score: str | None, given: dict[str, Any], out: Path | None, *, json: bool
) -> None:
    """The audit of a column of scores, shown and written.

    Raises:
        OptionError: if there is more than a table, no column of scores, or an option of networks.
    """
    from dralign.auditing import audit_score_table

    if score is None:
        raise OptionError("--threshold: only with --score; a network decides as it was saved")
    for name in _OF_NETWORKS:
        if given.pop(name) is not None:
            option = name.replace("_", "-")
            raise OptionError(f"--{option}: of a network; --score takes a column of scores")
    if len(names) != 1:
        raise OptionError(f"--score: expected one TABLE, got {len(names)} names")
    favourable = given["reading"].pop("favourable", "")
    options = {name: value for name, value in given.items() if value is not None}
    result = audit_score_table(names[0], score=score, favourable=favourable, **options)
    _show(result, out, f"Audit of {score} in {Path(names[0]).name}", json=json)


def _show(result: "Audit | PredictionAudit", out: Path | None, title: str, *, json: bool) -> None:
    """Prints an audit, and writes its page where one is wanted."""
    if json:
        print_json(result.to_dict())
    else:
        typer.echo(str(result))
    if out is not None:
        say(f"written: {result.to_html(out, title=title)}")


def _check_numbers(**given: int) -> None:
    """Checks numbers before any work, by the names of their options.

    Raises:
        OptionError: if one is out of range.
    """
    from dralign.auditing.assessment import LEAST

    for name, value in given.items():
        if value < LEAST[name]:
            option = name.removeprefix("n_").replace("_", "-")
            raise OptionError(f"--{option}: expected at least {LEAST[name]}, got {value}")


def _asked(parts: str) -> "frozenset[AuditPart]":
    """The parts that an option names, with commas."""
    from dralign.auditing.parts import chosen_parts

    return chosen_parts(None if parts == "all" else [name.strip() for name in parts.split(",")])


@contextmanager
def _status(*, quiet: bool) -> Iterator[Any]:
    """A line on the terminal that tells the stage; where it is no terminal, one for each."""
    if quiet:
        yield None
        return
    if not errors.is_terminal:
        yield _Stages()
        return
    with Status("audit", console=errors) as status:
        yield lambda stage, part: status.update(f"{stage}: {100 * part:.0f} %")


class _Stages:
    """Says in a line when a stage begins, and every half minute how far it is."""

    def __init__(self) -> None:
        self.stage, self.said = "", 0.0

    def __call__(self, stage: str, part: float) -> None:
        """The stage that is under way, and the part of it that is done."""
        now = time.monotonic()
        if stage != self.stage:
            say(f"audit: {stage}")
        elif part < 1 and now - self.said >= BETWEEN_LINES:
            say(f"audit: {stage}, {100 * part:.0f} %")
        else:
            return
        self.stage, self.said = stage, now


def _of_artifact(names: list[str], weights: Path | None, columns: dict[str, Any]) -> "AuditCase":
    """A network of ours, and the rows that the second name stands for.

    Raises:
        OptionError: if the arguments are not a folder and a table.
    """
    from dralign.auditing import artifact_case

    if weights is not None:
        raise OptionError("--weights: only with --model; an artifact has its own")
    if len(names) != 2:
        raise OptionError(f"expected ARTIFACT TABLE (or --model and TABLE), got {len(names)} names")
    return artifact_case(*names, **columns)


def _of_factory(
    names: list[str],
    factory: str,
    weights: Path | None,
    **columns: Any,  # noqa: ANN401 - as ``network_case`` takes them
) -> "AuditCase":
    """A network of the user's, and the columns of numbers of a table.

    Raises:
        OptionError: if there is more than a table, or no weights.
    """
    from dralign.auditing import make_network, network_case, put_weights

    if len(names) != 1:
        raise OptionError(f"--model: expected one TABLE, got {len(names)} names")
    if weights is None:
        raise OptionError("--model: which weights? give a safetensors file with --weights")
    network = put_weights(make_network(factory), weights)
    case = network_case(network, names[0], name=factory, **columns)
    say(f"inputs: {len(case.columns)} columns of numbers ({', '.join(case.columns)})")
    return case
