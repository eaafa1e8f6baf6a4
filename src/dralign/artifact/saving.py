"""Writing a trained network, so that a finished one is never lost."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dralign.artifact.card import model_card
from dralign.artifact.layout import (
    CARD,
    CHECKSUM,
    DESCRIPTION,
    FILES,
    LARGEST_DESCRIPTION,
    WEIGHTS,
    checksum,
)
from dralign.artifact.network import Artifact
from dralign.data.local import cache_home
from dralign.errors import ArtifactError, OptionError, OutputError
from dralign.files import try_output, write_folder
from dralign.forms import plain


def check_target(
    folder: str | Path, *, option: str = "--out", apart: Iterable[str | Path] = ()
) -> None:
    """Finds out, before the work, whether a network can be saved in a folder.

    Args:
        folder: where it is wanted.
        option: how the caller was asked for it, for messages.
        apart: files and folders that are read or written besides, which must not lie in it.

    Raises:
        OptionError: if one of those does.
        ArtifactError: if something else than a saved network is there.
        OutputError: if nothing can be written there.
    """
    target = Path(folder)
    for other in apart:
        index = Path(other).resolve()
        if target.resolve() in {index, *index.parents}:
            raise OptionError(
                f"{option}: {target} would take the place of {other}; choose another folder"
            )
    _require_replaceable(target)
    try_output(target)


def save_artifact(artifact: Artifact, folder: str | Path) -> Path:
    """Writes the artifact so that the folder is either complete or not there.

    An artifact already there is replaced; anything else is left alone.

    Returns:
        The folder.

    Raises:
        ArtifactError: if something else is in the way, or the network could not be read again.
        OutputError: if it can't be written.
    """
    from safetensors.torch import save

    target = Path(folder)
    _require_replaceable(target)
    state = {name: x.detach().cpu().contiguous() for name, x in artifact.model.state_dict().items()}
    weights = save(state)
    description = _written(artifact.describe(), hashlib.sha256(weights).hexdigest())
    card = model_card(artifact).encode()

    def fill(new: Path) -> None:
        (new / WEIGHTS).write_bytes(weights)
        (new / DESCRIPTION).write_bytes(description)
        (new / CARD).write_bytes(card)

    return write_folder(target, fill)


def save_or_rescue(artifact: Artifact, folder: str | Path) -> Path:
    """Writes the artifact; where that fails, to another place rather than to none.

    Returns:
        The folder.

    Raises:
        OutputError: if it is not where it was wanted; the line says where it is.
        ArtifactError: if it could not be saved anywhere.
    """
    try:
        return save_artifact(artifact, folder)
    except (ArtifactError, OutputError) as error:
        for home in (Path(tempfile.gettempdir()), cache_home()):
            index = _rescued(artifact, home)
            if index is not None:
                raise OutputError(f"{error}; the trained network is saved in {index}") from error
        raise


def _rescued(artifact: Artifact, home: Path) -> Path | None:
    """Where the artifact now is: in a new folder in ``home`` that only its owner can read."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        private = Path(tempfile.mkdtemp(prefix="dralign-", dir=home))
        try:
            return save_artifact(artifact, private / "net")
        except (ArtifactError, OutputError):
            shutil.rmtree(private, ignore_errors=True)
    except OSError:  # there is no room here either
        pass
    return None


def _written(description: dict[str, Any], weights_sha256: str) -> bytes:
    """The description as JSON, with the checksums of the weights and of itself.

    Raises:
        ArtifactError: if it could not be read again.
    """
    content = plain({**description, "weights_sha256": weights_sha256})
    content[CHECKSUM] = checksum(content)
    try:
        text = json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = error.object[error.start : error.end]
        raise ArtifactError(f"a name holds half a surrogate pair ({half!a})") from error
    if len(text) > LARGEST_DESCRIPTION:
        raise ArtifactError(f"the description is larger than {LARGEST_DESCRIPTION:,} bytes")
    return text


def _require_replaceable(target: Path) -> None:
    """Checks that there is nothing, an empty folder, or a saved network and nothing else.

    Raises:
        ArtifactError: if there is something else.
    """
    try:
        there = {entry.name for entry in target.iterdir()} if target.exists() else set()
    except NotADirectoryError:
        there = {target.name}
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ArtifactError(f"{target}: {reason}") from error
    if there and DESCRIPTION not in there:
        raise ArtifactError(f"{target}: exists and is not a saved network; choose another folder")
    if others := sorted(there - FILES):
        raise ArtifactError(
            f"{target}: holds {others[0]!r} besides a saved network; choose another folder"
        )
