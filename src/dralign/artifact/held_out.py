"""Which rows of a table a saved network was trained on."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from dralign.artifact.network import Artifact
from dralign.data import Dataset
from dralign.data.content import file_digest
from dralign.data.images import ImagePaths
from dralign.data.marks import RowMarks
from dralign.errors import DataError, DralignError, DralignWarning
from dralign.turns import warnings_kept


def training_data(artifact: Artifact, table: str | Path) -> Dataset | None:
    """The dataset that the network was trained on, if it was made of this very file.

    None where the file is another one, or can't be split and encoded as it was then.
    """
    source, known = artifact.source, artifact.training.get("fingerprint")
    if source is None or source.labels or not known or file_digest(Path(table)) != known:
        return None
    trial: Any = artifact.training.get("trial", {})
    seed = trial.get("seed", 0)
    with warnings_kept():
        warnings.simplefilter("ignore", DralignWarning)  # they were told before the training
        try:
            dataset = source.at(str(table)).load(seed if isinstance(seed, int) else 0)
        except DralignError:
            return None
    same = (dataset.encoder, dataset.group_names) == (artifact.encoder, artifact.group_names)
    return dataset if same else None


def used_rows(artifact: Artifact, x: Tensor | ImagePaths) -> np.ndarray | None:
    """(n,) whether the network was trained on each row of inputs, or an epoch was chosen by it.

    Rows by which its scores were adjusted count as well. None where it does not remember its rows.
    """
    marks = _marks(artifact)
    return None if marks is None or not isinstance(x, Tensor) else marks.used_rows(x)


def marks_of_used(artifact: Artifact, *inputs: Tensor) -> dict[str, object]:
    """The entry of a network's record with the rows that it was trained on, and these besides.

    Empty where it does not remember its rows.
    """
    marks = _marks(artifact)
    return {} if marks is None else {"rows": marks.with_used(*inputs).to_dict()}


def _marks(artifact: Artifact) -> RowMarks | None:
    """What the network remembers of its rows; None if nothing."""
    form = artifact.training.get("rows")
    try:
        return RowMarks.from_dict(form) if isinstance(form, dict) else None
    except DataError:  # written by another version
        return None
