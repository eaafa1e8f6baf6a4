"""Checkpoints: a run in the middle, in one file; a run that was stopped goes on from the newest.

A file is in the safetensors format, with JSON in its header; nothing in it is ever unpickled. It
appears under its name when it is complete, and holds a checksum of its content, so that damage is
noticed.
"""

import hashlib
import json
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dralign.errors import ArtifactError, DralignWarning, OptionError
from dralign.files import make_folder, refusals_of, try_output, write_atomically
from dralign.forms import Form, parse_json
from dralign.locks import locked
from dralign.methods.state import State
from dralign.scratch import remove_left
from dralign.step import add_up, n_processes, rank
from dralign.training.run import Run, add_content
from dralign.training.snapshot import Snapshot

VERSION = 5
# The names of version 1 had a checksum.
_NAME = re.compile(
    r"step-(?P<step>\d{1,18})-process-(?P<rank>\d{1,9})(?:-[0-9a-f]{8})?\.safetensors"
)
_SHOWN = 200  # characters of what differs
_LAST = 2**62  # a step that no run reaches
_KEY, _CHECKSUM = "dralign", "sha256"


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

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keeps other runs away from the folder, which can be written, for the length of a block.

        Raises:
            OptionError: if another run has it.
            OutputError: if nothing can be written there, or its lock is not a regular file.
        """
        folder = Path(self.folder)
        with refusals_of(folder):
            make_folder(folder)
        with locked(folder / f"process-{rank()}.lock") as mine:
            if not mine:
                raise OptionError(
                    f"checkpoints: another run is using {folder}; wait for it, or choose another "
                    "folder"
                )
            # First, so that one killed early again and again leaves no more and more to look at.
            with refusals_of(folder):
                remove_left(folder, self._file_of("*").name, young=-1.0)
            try_output(self._file_of(0))
            yield

    def save(self, run: Run) -> None:
        """Writes a checkpoint, and then removes those that are no longer needed.

        Raises:
            OutputError: if it can't be written.
        """
        write_atomically(self._file_of(run.steps), lambda new: _write(new, run))
        # A later one is left from before the run went back to an earlier one.
        self._thin_out(run.steps, later=True)

    def resume(self, run: Run) -> None:
        """Brings ``run`` to its newest checkpoint that is whole, in every process; if there is one.

        A damaged one is passed over with a warning.

        Raises:
            OptionError: if the checkpoints are of another run, or of another version of dralign.
        """
        at, result = self._newest(run, _LAST)
        # No process may be ahead of the others; all go round as often.
        while min(reached := _of_all(at, run.loss.device)) < max(reached):
            at, result = self._newest(run, min(reached))
        if result is not None:
            run.updates.catch_up(result.scheduled)
            if run.updates.course != result.course:
                steps = f"{result.scheduled} steps"
                raise self._of_another(f"learning rates: the schedule gives others for {steps}")
            result.restore(run)
            self._thin_out(at)  # it may have been stopped before it was done with that

    def _of_another(self, what: str) -> OptionError:
        """Says that the checkpoints are of another run, by what it differs."""
        return OptionError(
            f"checkpoints: {self.folder} holds those of another run ({what}); choose another folder"
        )

    def _thin_out(self, step: int, *, later: bool = False) -> None:
        """Removes all but the last checkpoints up to a step, and ``later`` ones only if asked."""
        result = self._found()
        kept = sorted(at for at in result if at <= step)[-self.last :]
        for at, paths in result.items():
            for path in paths if at < kept[0] or (later and at > step) else ():
                with suppress(OSError):  # one more does no harm
                    path.unlink()

    def _file_of(self, step: int | str) -> Path:
        """The file of this process after so many steps."""
        return Path(self.folder) / f"step-{step}-process-{rank()}.safetensors"

    def _found(self) -> dict[int, list[Path]]:
        """The files of this process by step."""
        result: dict[int, list[Path]] = {}
        for path in sorted(Path(self.folder).glob("step-*")):
            named = _NAME.fullmatch(path.name)
            if named and int(named["rank"]) == rank() and path.is_file():  # no pipe, no folder
                result.setdefault(int(named["step"]), []).append(path)
        return result

    def _newest(self, run: Run, limit: int) -> tuple[int, Snapshot | None]:
        """The newest whole checkpoint up to a step; 0 and None if there is none.

        Raises:
            OptionError: if a whole one is of another run, or one of another version.
        """
        for step, paths in sorted(self._found().items(), reverse=True):
            for path in paths if step <= limit else ():
                try:
                    return step, self._read(path, step, run)
                except ArtifactError as error:
                    warnings.warn(
                        f"{path}: damaged, and passed over ({error}); an earlier checkpoint is "
                        "taken",
                        DralignWarning,
                        stacklevel=4,
                    )
        return 0, None

    def _read(self, path: Path, step: int, run: Run) -> Snapshot:
        """What a file holds, checked.

        Raises:
            ArtifactError: if it is damaged, or holds what can't be.
            OptionError: if it is of another run, or of another version.
        """
        tensors, content = _content(path)
        header = Form(content, "its header", error=ArtifactError)
        if (version := header.integer("version")) != VERSION:
            raise OptionError(
                f"{path}: version {version}; this dralign reads {VERSION}: remove it, or choose "
                "another folder for checkpoints"
            )
        if header.text(_CHECKSUM) != _checksum(tensors, content):
            raise ArtifactError("its checksum is another")
        there = header.form("identity")
        for name, own in run.identity.items():
            if (result := there.content.get(name)) != own:
                raise self._of_another(f"{name}: {_apart(str(result), own)}")
        snapshot = Snapshot.checked(tensors, header.form("run"), run)
        if snapshot.epochs * run.settings.iterations + snapshot.step_of_epoch != step:
            raise ArtifactError("its name says another step")
        return snapshot


def _apart(there: str, here: str) -> str:
    """Two texts in a line; of long ones what comes around the place where they part."""
    pairs = enumerate(zip(there, here, strict=False))
    parting = next((at for at, (one, other) in pairs if one != other), 0)
    start = max(0, parting - _SHOWN // 2) if len(here) > _SHOWN else 0
    there, here = (text[start : start + _SHOWN] for text in (there, here))
    return f"{there} there, {here} here"


def _write(path: Path, run: Run) -> None:
    """Writes the state of a run.

    Raises:
        OSError: if it can't be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    snapshot = Snapshot.of(run)
    header = {"version": VERSION, "identity": run.identity, "run": snapshot.rest()}
    header[_CHECKSUM] = _checksum(snapshot.tensors, header)
    try:
        save_file(snapshot.tensors, path, metadata={_KEY: json.dumps(header)})
    except SafetensorError as error:
        raise OSError(str(error)) from error


def _content(path: Path) -> tuple[State, dict[str, Any]]:
    """The tensors of a file, and what it holds besides.

    Raises:
        ArtifactError: if it is not whole.
    """
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file

    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(_KEY, "")
        tensors: State = load_file(path)
    except (SafetensorError, OSError, KeyError, ValueError) as error:  # KeyError: no type of torch
        raise ArtifactError(" ".join(str(error).split())[:200]) from error
    header = parse_json(text, "its header", error=ArtifactError)
    return tensors, header if isinstance(header, dict) else {}


def _checksum(tensors: State, header: Mapping[str, Any]) -> str:
    """The SHA-256 of all tensors and of the header but for its checksum."""
    rest = {key: value for key, value in header.items() if key != _CHECKSUM}
    result = hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode())
    for name in sorted(tensors):
        add_content(result, name, tensors[name])
    return result.hexdigest()


def _of_all(number: int, device: torch.device) -> list[int]:
    """What each of the processes gives, in all of them."""
    numbers = torch.zeros(n_processes(), dtype=torch.int64, device=device)
    numbers[rank()] = number
    add_up([numbers])
    return [int(each) for each in numbers]
