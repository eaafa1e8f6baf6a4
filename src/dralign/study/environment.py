"""What a trial was run with: versions and machine, written beside every result."""

import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch


def environment() -> Mapping[str, str]:
    """Versions, platform and number of threads of this process; no host or user name."""
    return MappingProxyType({**_fixed(), "threads": str(torch.get_num_threads())})


@cache
def _fixed() -> Mapping[str, str]:
    """What does not change while the process lives."""
    return MappingProxyType(
        {
            "dralign": version("dralign"),
            **_revision(Path(__file__).parents[3] / ".git"),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "platform": f"{platform.system()} {platform.machine()}",
            # The instruction set decides the order of sums, and with it the last digits.
            "cpu": torch.backends.cpu.get_cpu_capability(),
        }
    )


def _revision(git: Path) -> dict[str, str]:
    """The commit that is checked out, if the package runs from a checkout; read without git.

    Args:
        git: ``.git``, which is a folder, or in a work tree of its own a file that names one.
    """
    try:
        folder, shared = _folders(git)
        head = (folder / "HEAD").read_text(encoding="ascii").strip()
        if not head.startswith("ref: "):
            return {"revision": head[:12]}
        branch = head.removeprefix("ref: ")
        if (shared / branch).is_file():
            return {"revision": (shared / branch).read_text(encoding="ascii").strip()[:12]}
        packed = (shared / "packed-refs").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    result = [line[:12] for line in packed if line.endswith(f" {branch}")]
    return {"revision": result[0]} if result else {}


def _folders(git: Path) -> tuple[Path, Path]:
    """Where the head is, and where the branches are, which several work trees share."""
    if git.is_file():
        git = git.parent / git.read_text(encoding="utf-8").removeprefix("gitdir: ").strip()
    shared = git / "commondir"
    if shared.is_file():
        return git, git / shared.read_text(encoding="utf-8").strip()
    return git, git
