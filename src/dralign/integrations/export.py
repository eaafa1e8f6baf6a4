"""A saved network as a file for other programs: ONNX, or a program of ``torch.export``."""

import copy
import warnings
from collections.abc import Iterable, Mapping, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from dralign.artifact import Artifact
from dralign.data import ImageEncoder, TableEncoder
from dralign.data.columns import UNSEEN
from dralign.data.encoding import CategoricalColumn, NumericColumn
from dralign.errors import OptionError
from dralign.files import check_output, write_atomically
from dralign.forms import to_json
from dralign.groups import MISSING
from dralign.networks import probability
from dralign.tiers import require
from dralign.turns import warnings_kept

__all__ = ["ENDINGS", "check_exportable", "description_path", "export_model"]

ENDINGS: Final = (".onnx", ".pt2")
FORMAT: Final = "dralign exported network"
VERSION: Final = 1
OUTPUT: Final = "probability"
_ROWS: Final = 3  # of the example that a network is traced with; any number can follow


def export_model(artifact: Artifact, path: str | Path) -> Path:
    """Writes the network with its encoding as one graph, and beside it what a caller must know.

    The graph takes the columns of numbers as they are (NaN where missing) and those of categories
    as codes; it returns probabilities. The description, JSON in a file of the same name with
    ``.json`` added, lists columns and categories, the threshold, and what is not in the graph.

    Args:
        artifact: as ``load_artifact`` gives it.
        path: ends in ``.onnx`` or ``.pt2``.

    Returns:
        The path.

    Raises:
        OptionError: if the path ends otherwise, or scores depend on the group, or rows are images.
        MissingPackageError: if ONNX is asked for and its packages are not there.
        OutputError: if a file can't be written.
    """
    path = Path(path)
    check_exportable(artifact, path)
    scorer = scorer_of(artifact)
    program = _program(scorer)
    write_atomically(path, lambda file: _save(program, scorer, file))
    text = to_json(description(artifact, scorer), indent=1)
    write_atomically(description_path(path), lambda file: file.write_text(text, encoding="utf-8"))
    return path


def check_exportable(artifact: Artifact, path: str | Path) -> None:
    """Finds out, before the work, whether the network can be written so.

    Raises:
        OptionError: as ``export_model``, like the next two.
        MissingPackageError: if packages are missing.
        OutputError: if a file can't be written.
    """
    path = Path(path)
    check_output(path, endings=ENDINGS)
    check_output(description_path(path))
    if path.suffix.lower() == ENDINGS[0]:
        require("export to ONNX", "onnx", "onnxscript", extra="onnx")
    if artifact.shifts:
        raise OptionError(
            "the scores of this network are shifted by the group of each row, which no graph does; "
            "export the network it was made from, or adjust it without --use-group"
        )
    if isinstance(artifact.encoder, ImageEncoder):
        raise OptionError(
            "this network takes images; export load_artifact(...).model by torch.export itself"
        )


def description_path(path: str | Path) -> Path:
    """Where the description of an exported network lies."""
    return Path(f"{path}.json")


class Scorer(nn.Module):
    """Rows of numbers to probabilities, as ``predict_probability`` computes them.

    Attributes:
        columns: of the input; empty where they have no names.
    """

    takes: tuple[str, ...] = ("inputs",)

    def __init__(self, network: nn.Module, columns: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self.columns = tuple(columns)

    def forward(self, inputs: Tensor) -> Tensor:
        """(n,) or (n, C) probabilities of (n, d) float32 inputs."""
        return probability(self.network(inputs))

    def example(self) -> dict[str, Tensor]:
        """Inputs of a few rows by name."""
        first = next(self.network.parameters())
        return {"inputs": torch.zeros(_ROWS, len(self.columns) or first.shape[1])}

    def inputs(self) -> list[dict[str, object]]:
        """What is to be given, JSON-ready."""
        return [{"name": "inputs", "dtype": "float32", "columns": list(self.columns)}]


class TableScorer(Scorer):
    """Columns of a table to probabilities: ``TableEncoder`` and the network as one graph.

    An input is a column of numbers, standardised, 0 where missing; whether it is missing; or
    whether the code of a column of categories is a certain one, that of a missing value among them.
    """

    mean: Tensor
    scale: Tensor
    flagged: Tensor
    code_column: Tensor
    code_value: Tensor
    order: Tensor

    def __init__(self, network: nn.Module, encoder: TableEncoder) -> None:
        super().__init__(network, encoder.feature_names)
        self.numeric = [c for c in encoder.columns if isinstance(c, NumericColumn)]
        self.categorical = [c for c in encoder.columns if isinstance(c, CategoricalColumn)]
        cells = [(i, code) for i, c in enumerate(self.categorical) for code in _codes(c)]
        buffers = {
            "mean": torch.tensor([c.mean for c in self.numeric], dtype=torch.float64),
            "scale": torch.tensor([c.scale for c in self.numeric], dtype=torch.float64),
            "flagged": _whole(i for i, c in enumerate(self.numeric) if c.flag_missing),
            "code_column": _whole(column for column, _ in cells),
            "code_value": _whole(code for _, code in cells),
            "order": self._order(encoder),
        }
        for name, values in buffers.items():
            self.register_buffer(name, values)

    def _order(self, encoder: TableEncoder) -> Tensor:
        """Where each input of the network stands among all scaled numbers, flags and codes."""
        first_flag = len(self.numeric)
        first_code = first_flag + sum(c.flag_missing for c in self.numeric)
        scaled, flags, codes = count(), count(first_flag), count(first_code)
        order = list[int]()
        for column in encoder.columns:
            if isinstance(column, CategoricalColumn):
                order += islice(codes, len(column.feature_names))
            else:
                order += [next(scaled), next(flags)] if column.flag_missing else [next(scaled)]
        return _whole(order)

    def of_columns(self, numbers: Tensor | None, codes: Tensor | None) -> Tensor:
        """Probabilities of (n, numbers) float64 and (n, categories) int64."""
        parts = []
        if numbers is not None:
            absent = torch.isnan(numbers)
            scaled = ((numbers - self.mean) / self.scale).to(torch.float32)
            parts.append(torch.where(absent, torch.zeros_like(scaled), scaled))
            if len(self.flagged):
                parts.append(absent.index_select(1, self.flagged).to(torch.float32))
        if codes is not None:
            parts.append(
                (codes.index_select(1, self.code_column) == self.code_value).to(torch.float32)
            )
        return super().forward(torch.cat(parts, dim=1).index_select(1, self.order))

    def example(self) -> dict[str, Tensor]:
        """Inputs of a few rows by name."""
        numbers = torch.zeros(_ROWS, len(self.numeric), dtype=torch.float64)
        codes = torch.zeros(_ROWS, len(self.categorical), dtype=torch.int64)
        each = {"numbers": numbers, "codes": codes}
        return {name: each[name] for name in self.takes}

    def inputs(self) -> list[dict[str, object]]:
        """What is to be given, JSON-ready."""
        categories = [{"name": c.name, "categories": list(c.categories)} for c in self.categorical]
        codes: dict[str, object] = {"name": "codes", "dtype": "int64", "columns": categories}
        codes |= {"missing": MISSING, "other": UNSEEN}
        numeric = [c.name for c in self.numeric]
        numbers: dict[str, object] = {"name": "numbers", "dtype": "float64", "columns": numeric}
        each = {"numbers": numbers, "codes": codes}
        return [each[name] for name in self.takes]


class MixedScorer(TableScorer):
    """Of a table of both kinds of columns."""

    takes = ("numbers", "codes")

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:  # type: ignore[override]
        """Probabilities of (n, numbers) float64 and (n, categories) int64."""
        return self.of_columns(numbers, codes)


class NumberScorer(TableScorer):
    """Of a table without categories."""

    takes = ("numbers",)

    def forward(self, numbers: Tensor) -> Tensor:
        """Probabilities of (n, numbers) float64."""
        return self.of_columns(numbers, None)


class CodeScorer(TableScorer):
    """Of a table without numbers."""

    takes = ("codes",)

    def forward(self, codes: Tensor) -> Tensor:
        """Probabilities of (n, categories) int64."""
        return self.of_columns(None, codes)


def scorer_of(artifact: Artifact) -> Scorer:
    """The network of an artifact, with as much of its encoding as a graph can do."""
    network = copy.deepcopy(artifact.model).cpu().eval().requires_grad_(False)
    encoder = artifact.encoder
    if not isinstance(encoder, TableEncoder):
        return Scorer(network, encoder.feature_names if encoder else ()).eval()
    numeric = any(isinstance(c, NumericColumn) for c in encoder.columns)
    categorical = any(isinstance(c, CategoricalColumn) for c in encoder.columns)
    kind = MixedScorer if numeric and categorical else NumberScorer if numeric else CodeScorer
    return kind(network, encoder).eval()


def description(artifact: Artifact, scorer: Scorer) -> dict[str, Any]:
    """What a caller must know, JSON-ready."""
    known = artifact.describe()
    about = ("label", "positive", "class_names", "threshold")
    by_group = ("sensitive", "group_names", "thresholds") if artifact.thresholds else ()
    return {
        "format": FORMAT,
        "version": VERSION,
        "inputs": scorer.inputs(),
        "output": OUTPUT,
        **{name: known[name] for name in (*about, *by_group)},
        "not_in_the_graph": _outside(artifact),
    }


def _outside(artifact: Artifact) -> Mapping[str, object]:
    """What a caller has to do before and after."""
    encoder = artifact.encoder
    if isinstance(encoder, TableEncoder):
        before: dict[str, object] = {"categories": "texts to codes", **encoder.rules.to_dict()}
    else:
        before = {"encoding": "none" if encoder is None else type(encoder).__name__}
    decision = "by the threshold of each row's group" if artifact.thresholds else "by the threshold"
    return {**before, "decision": "the likeliest class" if artifact.class_names else decision}


def _codes(column: CategoricalColumn) -> list[int]:
    """The code that each input of a column stands for."""
    codes = list(range(len(column.categories)))
    return [*codes, MISSING] if column.flag_missing else codes


def _whole(values: Iterable[int]) -> Tensor:
    """Whole numbers as a tensor, also where there are none."""
    return torch.tensor(list(values), dtype=torch.int64)


def _program(scorer: Scorer) -> torch.export.ExportedProgram:
    """The graph, for any number of rows."""
    rows = torch.export.Dim("rows")
    shapes = {name: {0: rows} for name in scorer.takes}
    with warnings_kept():
        warnings.simplefilter("ignore")  # of torch, about its own names
        return torch.export.export(scorer, (), scorer.example(), dynamic_shapes=shapes)


def _save(program: torch.export.ExportedProgram, scorer: Scorer, file: Path) -> None:
    """Writes the graph in the format of the file's name."""
    if file.suffix.lower() != ENDINGS[0]:
        torch.export.save(program, file)
        return
    with warnings_kept():
        warnings.simplefilter("ignore")
        onnx = torch.onnx.export(
            program,
            kwargs=scorer.example(),
            dynamo=True,
            output_names=[OUTPUT],
            verbose=False,
        )
    assert onnx is not None
    onnx.save(file)
