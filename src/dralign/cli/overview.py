"""What a command says of the data before it works on them."""

import warnings

from dralign.cli.console import say
from dralign.data import Dataset, DataSource
from dralign.data.source import Overview
from dralign.errors import DralignWarning


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
