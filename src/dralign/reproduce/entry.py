"""One table, figure or experiment of the paper beside ours."""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from dralign.reproduce.results import Results


@dataclass(frozen=True)
class Reproduction:
    """What an entry shows.

    Attributes:
        header: column names.
        lines: rows of text; the paper's value stands beside ours.
        note: how to read it: what is assumed, which form of a gap, what the paper leaves open.
    """

    header: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Entry:
    """A table, figure or experiment that can be reproduced.

    Attributes:
        name: as on the command line.
        title: what it shows.
        plans: the names of the plans whose trials it needs; of CelebA both those on all of it and
            those on a sample.
        make: makes it from the results there are.
        draw: draws its figure; None for a table.
    """

    name: str
    title: str
    plans: tuple[str, ...]
    make: Callable[[Results], Reproduction]
    draw: Callable[[Results, Path], Path] | None = None

    @property
    def needs_images(self) -> bool:
        """Whether it is about CelebA alone."""
        return all(name.startswith("celeba") for name in self.plans)


@cache
def paper(name: str) -> Mapping[str, Any]:
    """A file of what the paper prints: ``"tables"`` or ``"claims"``."""
    text = (files("dralign.reproduce") / "paper" / f"{name}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def printed(name: str) -> Mapping[str, Any]:
    """The paper's values of a table."""
    values: Mapping[str, Any] = paper("tables")[name]
    return values


def markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows
    )
