"""Saved networks and checkpoints that are changed and get checksums that fit again."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file


def resealed(description: dict) -> dict:
    """The description with the checksum of what it now holds."""
    rest = {key: value for key, value in description.items() if key != "sha256"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return rest | {"sha256": hashlib.sha256(text.encode()).hexdigest()}


def rewrite(folder: Path, change: Callable[[dict], object]) -> None:
    """Changes the description in a folder in place, as a forger would: the checksum fits."""
    path = folder / "artifact.json"
    description = json.loads(path.read_text())
    changed = change(description)
    path.write_text(json.dumps(resealed(description if changed is None else changed)))


def edit(**changes: object) -> Callable[[Path], None]:
    """What rewrites entries of the description in a folder."""
    return lambda folder: rewrite(folder, lambda description: description | changes)


def rewrite_checkpoint(path: Path, change: Callable[[dict, dict], object]) -> None:
    """Changes tensors and header of a checkpoint in place, as a forger would."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["dralign"])
    tensors = {name: x.clone() for name, x in load_file(path).items()}
    change(tensors, header)
    save_checkpoint(path, tensors, header)


def save_checkpoint(path: Path, tensors: dict[str, torch.Tensor], header: dict) -> None:
    """Writes a checkpoint with the checksum of what it holds."""
    rest = {key: value for key, value in header.items() if key != "sha256"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    found = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        x = tensors[name]
        found.update(f"{name} {tuple(x.shape)};{x.dtype};".encode())
        found.update(x.reshape(-1).view(torch.uint8).numpy().tobytes())
    text = json.dumps(rest | {"sha256": found.hexdigest()})
    save_file(tensors, path, metadata={"dralign": text})
