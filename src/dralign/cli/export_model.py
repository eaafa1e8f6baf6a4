"""``dralign export-model``: a saved network as a file for other programs."""

from pathlib import Path
from typing import Annotated

import typer

from dralign.cli import options
from dralign.cli.console import say
from dralign.cli.lines import print_json
from dralign.cli.work import NOTHING, working


@working("dralign.integrations.export", interrupted=NOTHING)
def export_model(
    artifact: Annotated[Path, typer.Argument(help="A folder that dralign train wrote.")],
    *,
    out: Annotated[
        Path,
        typer.Option(
            help="The file to write: .onnx (needs onnx and onnxscript), or .pt2 of torch.export. "
            "Beside it a .json says what goes in."
        ),
    ],
    json: options.Json = False,
) -> None:
    """Write a saved network with its encoding as one graph, for programs without dralign.

    The graph takes columns of numbers as they are and columns of categories as codes, and gives
    probabilities; scaling and one-hot inputs are in it. The JSON beside it lists columns and
    categories, the threshold, and what is not in the graph.

    Example: `dralign export-model net --out net.onnx`
    """
    from dralign.artifact import load_artifact
    from dralign.integrations.export import description_path, export_model

    path = export_model(load_artifact(artifact), out)
    written = {"model": str(path), "description": str(description_path(path))}
    if json:
        print_json(written)
    else:
        say(f"written: {', '.join(written.values())}")
