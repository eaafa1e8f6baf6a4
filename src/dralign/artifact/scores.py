"""What a saved network says of the rows of a table, as a table."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dralign.artifact.network import Artifact
from dralign.errors import DralignWarning
from dralign.metrics.decisions import decisions, same_decision

if TYPE_CHECKING:
    import pandas as pd

_TOLD = "the network hardly tells them apart"


def score_table(
    network: Artifact, rows: "pd.DataFrame", *, folder: str | Path = ""
) -> "pd.DataFrame":
    """The probabilities and decisions for raw rows, in their order and under their index.

    Args:
        network: as ``load_artifact`` gives it.
        rows: with the columns of training, or with image files; label and sensitive columns are
            not needed, but for a network that decides by the group.
        folder: that relative paths of images are counted from; the current one if not given.

    Returns:
        ``probability`` of the positive label and ``decision`` (0 or 1); with more than two classes
        ``probability_`` and the name of each, and ``prediction``, the name of the likeliest.

    Warns:
        DralignWarning: if all rows are decided alike.

    Raises:
        DataError: if a column is missing, or it or an image can't be read.
        ModelError: if the network has no probability for a row.
    """
    import pandas as pd

    index = getattr(rows, "index", None)
    prob = network.predict_proba(rows, folder=folder)
    if classes := network.class_names:
        scores = pd.DataFrame(
            prob.numpy(), index=index, columns=[f"probability_{name}" for name in classes]
        )
        decided = decisions(prob)
        scores["prediction"] = np.array(classes)[decided]
    else:
        decided = network.decide(rows, prob).numpy()
        scores = pd.DataFrame({"probability": prob.numpy(), "decision": decided}, index=index)
    if note := same_decision(decided, f"{len(decided):,} rows", names=classes, then=_TOLD):
        warnings.warn(note, DralignWarning, stacklevel=2)
    return scores
