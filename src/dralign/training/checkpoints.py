"""Checkpoints: a run in the middle, in one file; a run that was stopped goes on from the newest.

A file is in the safetensors format, with JSON in its header; nothing in it is ever unpickled. It is
written beside its place and renamed, so that under its name it is complete, and its name holds its
checksum, so that damage is noticed.
"""

import json
import os
import re
import shutil
import tempfile
import warnings
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dralign.alignment import add_up, n_processes, rank
from dralign.errors import ArtifactError, DralignWarning, OptionError
from dralign.methods.state import State
from dralign.training.run import Run

VERSION = 1
_NAME = re.compile(r"step-(?P<step>\d+)-process-(?P<rank>\d+)-(?:[0-9a-f]{8})\.safetensors")
_BLOCK = 2**20
_LAST = 2**62  # a step that no run reaches


@dataclass(frozen=True)
class Checkpoints:
    """Where and when a run is saved, so that it can go on from there.

    Each of several processes has files of its own, which need not be on the same disk.

    Attributes:
        folder: for the files of one run; made if it is not there.
        every: steps from one checkpoint to the next within an epoch; None for none there. There is
            always one at an epoch's end.
        last: how many checkpoints are kept.
    """

    folder: str | Path
    every: int | None = None
    last: int = 3

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            OptionError: if a number is below 1.
        """
        for name in ("every", "last"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise OptionError(f"checkpoints, {name}: expected at least 1, got {value}")

    def due(self, step: int) -> bool:
        """Whether a checkpoint is asked for after so many steps, within an epoch."""
        return self.every is not None and step % self.every == 0

    def save(self, run: Run) -> None:
        """Writes a checkpoint, and then removes those that are no longer needed.

        Raises:
            ArtifactError: if it can't be written.
        """
        from safetensors import SafetensorError

        folder, step = Path(self.folder), run.steps
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder, prefix=_scratch()) as scratch:
                new = Path(scratch) / "new"
                _write(new, run)
                place = folder / f"step-{step}-process-{rank()}-{_checksum(new)}.safetensors"
                new.replace(place)
            _sync(folder)
            # A later one is left from before the run went back to an earlier one.
            kept = sorted({at for at in self._found() if at <= step})[-self.last :]
            for at, paths in self._found().items():
                for path in paths:
                    if at not in kept or (at == step and path != place):
                        path.unlink()
        except (OSError, SafetensorError) as error:
            why = getattr(error, "strerror", None) or error
            raise ArtifactError(f"{folder}: the checkpoint can't be written ({why})") from error

    def resume(self, run: Run) -> None:
        """Brings ``run`` to its newest checkpoint that is whole, in every process; if there is one.

        A damaged one is passed over with a warning.

        Raises:
            OptionError: if the checkpoints are of another run, or of another version of dralign.
        """
        for left in Path(self.folder).glob(f"{_scratch()}*"):
            shutil.rmtree(left, ignore_errors=True)
        at, path = self._newest(_LAST)
        if path is not None:
            self._check(path, run.identity)
        # No process may be ahead of the others; all go round as often.
        while min(reached := _of_all(at, run.loss.device)) < max(reached):
            at, path = self._newest(min(reached))
        if path is None:
            return
        run.go_on_from(_tensors(path), _header(path))

    def _check(self, path: Path, identity: Mapping[str, str]) -> None:
        """Checks that a file is of the run that is to go on.

        Raises:
            OptionError: if it is not.
        """
        header = _header(path)
        if header["version"] != VERSION:
            raise OptionError(f"{path}: version {header['version']}; this dralign reads {VERSION}")
        there = header["identity"]
        for name, own in identity.items():
            if there.get(name) != own:
                raise OptionError(
                    f"checkpoints: {self.folder} holds those of another run ({name}: "
                    f"{there.get(name)} there, {own} here); choose another folder"
                )

    def _found(self) -> dict[int, list[Path]]:
        """The files of this process by step."""
        found: dict[int, list[Path]] = {}
        for path in sorted(Path(self.folder).glob("step-*")):
            if (named := _NAME.fullmatch(path.name)) and int(named["rank"]) == rank():
                found.setdefault(int(named["step"]), []).append(path)
        return found

    def _newest(self, limit: int) -> tuple[int, Path | None]:
        """The newest whole checkpoint up to a step; 0 and None if there is none."""
        for step, paths in sorted(self._found().items(), reverse=True):
            for path in paths if step <= limit else ():
                if path.name == f"step-{step}-process-{rank()}-{_checksum(path)}.safetensors":
                    return step, path
                warnings.warn(
                    f"{path}: damaged, and passed over; an earlier checkpoint is taken",
                    DralignWarning,
                    stacklevel=4,
                )
        return 0, None


def _write(path: Path, run: Run) -> None:
    """Writes the state of a run through to the disk."""
    from safetensors.torch import save_file

    tensors, rest = run.state()
    rest |= {"version": VERSION, "identity": run.identity}
    save_file(tensors, path, metadata={"dralign": json.dumps(rest)})
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _tensors(path: Path) -> State:
    """The tensors of a whole file."""
    from safetensors.torch import load_file

    tensors: State = load_file(path)
    return tensors


def _header(path: Path) -> dict[str, Any]:
    """What a whole file holds besides tensors."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        header: dict[str, Any] = json.loads(file.metadata()["dralign"])
    return header


def _scratch() -> str:
    """How the folders begin in which this process writes files that are not yet whole."""
    return f".writing-{rank()}-"


def _checksum(path: Path) -> str:
    """The checksum of a file's content; SHA-256 would take longer than to write it."""
    found = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            found = zlib.crc32(block, found)
    return f"{found:08x}"


def _sync(folder: Path) -> None:
    """Writes the names in a folder through to the disk, where a system can."""
    if os.name == "posix":
        entry = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(entry)
        finally:
            os.close(entry)


def _of_all(number: int, device: torch.device) -> list[int]:
    """What each of the processes gives, in all of them."""
    numbers = torch.zeros(n_processes(), dtype=torch.int64, device=device)
    numbers[rank()] = number
    add_up([numbers])
    return [int(each) for each in numbers]
