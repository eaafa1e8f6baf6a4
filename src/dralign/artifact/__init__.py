"""A trained network on disk: a folder of safetensors weights, JSON and a model card.

Nothing in it is code and nothing is unpickled, so a folder from elsewhere can be read safely.
"""

from dralign.tiers import require

require("dralign.artifact", "pandas", "safetensors")

from dralign.artifact.loading import load_artifact
from dralign.artifact.network import Artifact
from dralign.artifact.saving import check_target, save_artifact, save_or_rescue
from dralign.artifact.scores import score_table

__all__ = [
    "Artifact",
    "check_target",
    "load_artifact",
    "save_artifact",
    "save_or_rescue",
    "score_table",
]
