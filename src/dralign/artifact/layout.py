"""What lies in the folder of a saved network, and the checksum of its description."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

FORMAT: Final = "dralign artifact"
VERSION: Final = 2
BY_GROUP: Final = 3  # of networks whose scores depend on the group: older readers refuse them
WEIGHTS, DESCRIPTION, CARD = "model.safetensors", "artifact.json", "README.md"
FILES: Final = frozenset({WEIGHTS, DESCRIPTION, CARD})
CHECKSUM: Final = "sha256"
LARGEST_DESCRIPTION: Final = 64 * 2**20


def checksum(description: Mapping[str, Any]) -> str:
    """The SHA-256 of a description but for its checksum, however it is laid out as JSON.

    It tells of damage and of edits made by mistake. It is no signature: whoever forges a
    description can compute it too.
    """
    rest = {key: value for key, value in description.items() if key != CHECKSUM}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
