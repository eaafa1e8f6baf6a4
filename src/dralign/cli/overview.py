"""What a command says of the data before it works on them."""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dralign.artifact import save_or_rescue
from dralign.cli.console import say
from dralign.data import Dataset, DataSource
from dralign.data.source import Overview
from dralign.errors import DralignWarning
from dralign.forms import shown
from dralign.study.network import FEWEST_SHOWN, TrainedNetwork


def shown_overview(
    source: DataSource, seed: int = 0, *, dataset: Dataset | None = None
) -> Overview:
    """What the data hold, after its lines were printed and a warning given for each doubt.

    Args:
        source: the data.
        seed: of the split.
        dataset: what was loaded, if it was.
    """
    overview = source.overview(seed, dataset=dataset)
    for line in overview.lines:
        say(line)
    for finding in overview.findings:
        warnings.warn(finding, DralignWarning, stacklevel=2)
    return overview


def group_line(group: Mapping[str, Any]) -> str:
    """A group of the test rows in one line."""
    name = shown(group["group"])
    if group["rows"] is None:
        return f"group {name}: fewer than {FEWEST_SHOWN} test rows, no figures"
    rates = ", ".join(
        f"{words} {group[key]:.3f}"
        for words, key in (
            ("mean score", "mean_score"),
            ("selected", "selection_rate"),
            ("true positive rate", "true_positive_rate"),
            ("false positive rate", "false_positive_rate"),
        )
    )
    if group.get("weight") is not None:
        rates = f"weighted: base rate {group['base_rate']:.3f}, {rates}"
    return f"group {name}: {group['rows']:,} test rows, {group['positives']:,} positive; {rates}"


def keep_network(trained: TrainedNetwork, overview: Overview, out: Path) -> Path:
    """Saves a network with what its data hold, and warns of its decisions; the folder.

    What is doubtful about the data names rare values, which a saved network does not tell.
    """
    training = {**trained.artifact.training, "overview": list(overview.lines)}
    folder = save_or_rescue(replace(trained.artifact, training=training), out)
    for note in trained.notes:
        warnings.warn(note, DralignWarning, stacklevel=2)
    return folder
