"""``dralign audit``: what a trained network does to each group, as a page or as JSON."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import numpy as np
import torch
import typer
from rich.status import Status
from torch import Tensor, nn

from dralign import auditing
from dralign.artifact import Artifact, load_artifact
from dralign.auditing.assessment import LEAST
from dralign.cli import options
from dralign.cli.console import errors, say
from dralign.cli.lines import print_json
from dralign.cli.work import NOTHING, working
from dralign.data import DataSource, ImageEncoder, ImagePaths, Images, read_table
from dralign.data.columns import require_columns
from dralign.data.frame import binary_label, class_label, table_groups
from dralign.errors import ArtifactError, DataError, ModelError, OptionError
from dralign.files import check_output, open_regular
from dralign.groups import GroupCodes
from dralign.methods.dralign import LAYERS
from dralign.models import as_type_of

if TYPE_CHECKING:
    import pandas as pd

# Every split and every removal is a run of a network of images; these take minutes, not hours.
IMAGE_ROWS, IMAGE_SAMPLE = 500, 20


@dataclass(frozen=True)
class _Case:
    """What is audited: a network, its rows, and how they are called."""

    model: nn.Module
    x: Tensor | ImagePaths
    label: Tensor
    groups: GroupCodes
    title: str

    @property
    def of_images(self) -> bool:
        """Whether the inputs are images, which are read as they are asked for."""
        return isinstance(self.x, Images | ImagePaths)


@working(interrupted=NOTHING)
def audit(
    places: Annotated[
        list[str],
        typer.Argument(
            metavar="[ARTIFACT] TABLE",
            help="A folder that dralign train wrote (not with --model), and a CSV or Parquet file "
            "or the built-in dataset of the training, whose test rows are taken.",
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
    json: options.Json = False,
) -> None:
    """Assess a trained network: gaps, rationales against chance, and which units matter to whom.

    Label and sensitive columns default to those of the artifact. With --model the inputs are the
    columns of numbers of the table in their order, without the label, and without the sensitive
    columns unless --include-sensitive is given. For a network of images the table names files, as
    for `dralign predict`.

    Example: `dralign audit net people.csv --out audit.html`
    """
    _check_numbers(
        splits=splits, bootstrap=bootstrap, top=top, seed=seed, min_group_size=min_group_size
    )
    if out is not None:
        inputs = [Path(place) for place in (*places, weights, images) if place]
        check_output(out, inputs=inputs, endings=(".html", ".htm"))
    columns = {"label": label, "positive": positive, "sensitive": tuple(sensitive or ())}
    if model is None:
        if include_sensitive:
            raise OptionError("--include-sensitive: only with --model; an artifact has its inputs")
        home = {"data_home": str(data_home or ""), "partition": str(partition or "")}
        case = _from_artifact(places, weights, columns, home, images)
    else:
        case = _from_factory(places, model, weights, columns, include_sensitive)
    if case.of_images and sample is None:
        sample = IMAGE_SAMPLE
    case = _drawn(case, rows, seed)
    with _status(quiet=json) as show:
        found = auditing.audit(
            case.model,
            cast("Tensor", case.x),
            label=case.label,
            group=case.groups.codes,
            group_names=case.groups.names,
            layers=cast("Any", LAYERS.parsed(layers)),
            n_splits=splits,
            n_bootstrap=bootstrap,
            sample=sample,
            top=top,
            min_group_size=min_group_size,
            seed=seed,
            progress=show,
        )
    if json:
        print_json(found.to_dict())
    else:
        typer.echo(str(found))
    if out is not None:
        say(f"written: {found.to_html(out, title=case.title)}")


def _check_numbers(**given: int) -> None:
    """Checks numbers before any work, by the names of their options.

    Raises:
        OptionError: if one is out of range.
    """
    for name, value in given.items():
        least = LEAST.get(name, LEAST.get(f"n_{name}", 0))
        if value < least:
            option = name.replace("_", "-")
            raise OptionError(f"--{option}: expected at least {least}, got {value}")


def _drawn(case: _Case, rows: int | None, seed: int) -> _Case:
    """The case with its inputs in memory: of all rows, or of some drawn at random.

    Raises:
        OptionError: if less than one row is asked for.
    """
    if rows is not None and rows < 1:
        raise OptionError(f"--rows: expected at least 1, got {rows}")
    most = rows or (IMAGE_ROWS if case.of_images else len(case.x))
    if most >= len(case.x):
        chosen = torch.arange(len(case.x))
    else:
        drawn = np.random.default_rng(seed).choice(len(case.x), most, replace=False)
        chosen = torch.from_numpy(np.sort(drawn))
        say(f"audited: {most:,} of {len(case.x):,} rows, drawn at random; --rows takes more")
    groups = case.groups._replace(codes=case.groups.codes[chosen])
    return replace(case, x=case.x[chosen], label=case.label[chosen], groups=groups)


@contextmanager
def _status(*, quiet: bool) -> Iterator[Any]:
    """A line on the terminal that tells the stage."""
    if quiet or not errors.is_terminal:
        yield None
        return
    with Status("audit", console=errors) as status:
        yield lambda stage, part: status.update(f"{stage}: {100 * part:.0f} %")


def _from_artifact(
    places: list[str],
    weights: Path | None,
    columns: dict[str, Any],
    home: dict[str, str],
    images: Path | None,
) -> _Case:
    """A network of ours on a table, or on the test rows of its own built-in dataset.

    Raises:
        OptionError: if the arguments are not a folder and a table, or the network takes no images
            and their folder is given.
    """
    if weights is not None:
        raise OptionError("--weights: only with --model; an artifact has its own")
    if len(places) != 2:
        raise OptionError(
            f"expected ARTIFACT TABLE (or --model and TABLE), got {len(places)} names"
        )
    folder, table = places
    artifact = load_artifact(folder)
    title = f"Audit of {Path(folder).name} on {Path(table).name}"
    of_images = isinstance(artifact.encoder, ImageEncoder)
    if images is not None and not of_images:
        raise OptionError("--images: this network takes the columns of a table, not images")
    if not Path(table).suffix and not Path(table).exists():
        return _built_in(artifact, table, columns, home, title)
    frame = read_table(table, of_images=of_images)
    target = columns["label"] or artifact.label
    chosen = columns["sensitive"] or artifact.sensitive
    require_columns(frame, [target, *chosen], where=table)
    positive = columns["positive"] or (artifact.positive if target == artifact.label else "")
    if artifact.class_names and target == artifact.label:
        y = class_label(frame[target], artifact.class_names)
    else:
        y, _ = binary_label(frame[target], positive)
    return _Case(
        artifact.model,
        _inputs(artifact, frame, images or Path(table).parent),
        torch.from_numpy(y.astype(np.int64)),
        table_groups(frame, chosen),
        title,
    )


def _inputs(artifact: Artifact, frame: "pd.DataFrame", folder: Path) -> Tensor | ImagePaths:
    """What the network is given for the rows of a table; paths of images count from ``folder``."""
    encoder = artifact.encoder
    if isinstance(encoder, ImageEncoder):
        return encoder.listed(frame, folder)
    x = _numbers(frame, [])[0] if encoder is None else encoder.transform(frame)
    return torch.as_tensor(x, dtype=torch.float32)


def _built_in(
    artifact: Artifact, name: str, columns: dict[str, Any], home: dict[str, str], title: str
) -> _Case:
    """The test rows of the built-in dataset that the network was trained on.

    Raises:
        OptionError: if it was trained on other data, or they would be encoded differently.
    """
    if columns["label"] or columns["positive"]:
        raise OptionError(f"{name}: the label is given; --label is for your own files")
    trial: Any = artifact.training.get("trial", {})
    known = trial.get("data", {}) if isinstance(trial, dict) else {}
    given: Any = {key: value for key, value in home.items() if value}
    source = DataSource(name, **given)
    if isinstance(known, dict) and known.get("name") == name:
        source = replace(DataSource.from_dict(known), **given)
    if columns["sensitive"]:
        source = replace(source, sensitive=columns["sensitive"])
    seed = trial.get("seed", 0) if isinstance(trial, dict) else 0
    dataset = source.load(seed if isinstance(seed, int) else 0)
    ours, theirs = artifact.encoder, dataset.encoder
    if ours is None or theirs is None or ours.to_dict() != theirs.to_dict():
        raise OptionError(
            f"{name}: the network was trained on other inputs than these options give; write the "
            "table to a file and name its columns"
        )
    groups = GroupCodes(dataset.test.group, dataset.group_names)
    return _Case(artifact.model, dataset.test.x, dataset.test.y, groups, title)


def _from_factory(
    places: list[str],
    factory: str,
    weights: Path | None,
    columns: dict[str, Any],
    include_sensitive: bool,
) -> _Case:
    """A network of the user's on the columns of numbers of a table.

    Raises:
        OptionError: if there is more than a table, or no weights, label or sensitive column.
    """
    if len(places) != 1:
        raise OptionError(f"--model: expected one TABLE, got {len(places)} names")
    if weights is None:
        raise OptionError("--model: which weights? give a safetensors file with --weights")
    table, target, chosen = places[0], columns["label"], columns["sensitive"]
    if not target or not chosen:
        raise OptionError(f"{table}: which columns? give them with --label and --sensitive")
    frame = read_table(table)
    require_columns(frame, [target, *chosen], where=table)
    label = _label(frame[target], columns["positive"])
    x, names = _numbers(frame, [target, *(() if include_sensitive else chosen)])
    network = _load_weights(_make(factory), weights)
    say(f"inputs: {len(names)} columns of numbers ({', '.join(names)})")
    title = f"Audit of {factory} on {Path(table).name}"
    return _Case(network, torch.from_numpy(x), label, table_groups(frame, chosen), title)


def _make(factory: str) -> nn.Module:
    """The network that ``module:factory`` makes.

    Raises:
        ModelError: if there is no such module or function, it fails, or makes something else.
    """
    module_name, colon, name = factory.partition(":")
    if not (module_name and colon and name):
        raise ModelError(f"--model {factory!r}: expected module:factory")
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        network = getattr(importlib.import_module(module_name), name)()
    except Exception as error:  # it is the user's code: anything can happen
        reason = " ".join(str(error).split())
        raise ModelError(f"--model {factory!r}: {type(error).__name__}: {reason}") from error
    finally:
        sys.path.remove(here)
    if not isinstance(network, nn.Module):
        raise ModelError(
            f"--model {factory!r}: expected a torch.nn.Module, got {type(network).__name__}"
        )
    return network


def _load_weights(network: nn.Module, path: Path) -> nn.Module:
    """The network with the weights of a safetensors file.

    Raises:
        ArtifactError: if the file can't be read or its weights do not fit.
        ModelError: if they are numbers of another kind, or not finite.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        with open_regular(path) as file:
            state = load(file.read())
    except OSError as error:
        raise ArtifactError(f"{path}: {error.strerror or error}") from error
    except (SafetensorError, KeyError, ValueError) as error:  # KeyError: no type of torch
        raise ArtifactError(f"{path}: truncated or not a safetensors file ({error})") from error
    own = network.state_dict()
    fitting = {name for name, x in state.items() if name in own and x.shape == own[name].shape}
    state |= {name: as_type_of(own[name], state[name], f"{path}: {name!r}") for name in fitting}
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise ArtifactError(f"{path}: does not fit the network ({reason[:300]})") from error
    return network


def _label(values: "pd.Series[Any]", positive: str | None) -> Tensor:
    """Labels 0 and 1, or classes 0..C-1 where whole numbers are given and no positive value.

    Raises:
        DataError: if it is not clear what they are.
    """
    from pandas.api.types import is_integer_dtype

    if not positive and is_integer_dtype(values) and values.min() == 0 and values.max() > 1:
        return torch.from_numpy(values.to_numpy(dtype=np.int64, copy=True))
    y, _ = binary_label(values, positive or "")
    return torch.from_numpy(y.astype(np.int64))


def _numbers(frame: "pd.DataFrame", left_out: list[str]) -> tuple[np.ndarray, list[str]]:
    """(n, d) float32 values of the columns of numbers, and their names.

    Raises:
        DataError: if there is none, or a value is missing.
    """
    inputs = frame.drop(columns=left_out).select_dtypes(["number", "bool"])
    if not len(inputs.columns):
        raise DataError("the table has no column of numbers to give to the network")
    for name in inputs.columns:
        if inputs[name].isna().any():
            missing = int(inputs[name].isna().sum())
            raise DataError(f"column {name!r}: {missing} of {len(inputs)} values are missing")
    values = inputs.to_numpy(dtype=np.float32, copy=True)
    return values, list(map(str, inputs.columns))
