"""The commands by name: each is loaded when it is asked for, so that help and version are quick."""

from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from dralign.cli.work import imported

# The line of each in `dralign --help`, the first of its own help. A command is the function, or the
# group of functions, that has its name in the module of that name (with _ for -).
COMMANDS: Final = {
    "compare": "Compare methods on one dataset: table, trade-off figure and HTML report.",
    "front": "Train the whole trade-off at once, recommend a point of it, and save its network.",
    "sweep": "Run the trials of a plan on all CPUs or on a Dask cluster.",
    "report": "Write the page, figures, tables and statistics of a study.",
    "reproduce": "Run the trials behind a table, figure or claim of the paper, and show it beside "
    "ours.",
    "export": "Write the records of a study to a Parquet or CSV file, also while it is running.",
    "train": "Train one network and save it with its preprocessing and a model card.",
    "predict": "Score a table with a saved network; sensitive columns and label are not needed.",
    "export-model": "Write a saved network with its encoding as one graph, for programs without "
    "dralign.",
    "adjust": "Shift the scores of a saved network against a gap, without training it again.",
    "audit": "Assess a trained network: gaps, rationales against chance, and which units matter to "
    "whom.",
    "data": "Data: inspect a table, list datasets, get those not in the package, check files.",
}


class CommandLine(TyperGroup):
    """The group of all commands, which knows their names and lines before they are loaded."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - those of typer
        known = {name: TyperCommand(name, help=line) for name, line in COMMANDS.items()}
        super().__init__(**options | {"commands": known})

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 - as in typer
        """The name, the command that was asked for, now loaded, and what is left of ``args``."""
        name, known, rest = super().resolve_command(ctx, args)
        return name, known and loaded(str(name)), rest


def loaded(name: str) -> Any:  # noqa: ANN401 - a command or a group of them, as typer has it
    """The command of that name, or the group."""
    own = name.replace("-", "_")
    command = getattr(imported(f"dralign.cli.{own}"), own)
    if not isinstance(command, typer.Typer):
        app = typer.Typer(add_completion=False, rich_markup_mode="markdown")
        app.command()(command)
        command = app
    return typer.main.get_command(command)
