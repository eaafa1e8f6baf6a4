"""Descriptions of saved networks that are changed and get a checksum that fits again."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path


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
