"""What a command says of the data before it works on them."""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from dralign.artifact import save_or_rescue
from dralign.cli.console import say
from dralign.data import Dataset, DataSource
from dralign.data.source import Overview
from dralign.errors import DralignWarning, StudyError
from dralign.files import is_file, read_whole, write_atomically
from dralign.forms import Form, parse_json, shown, to_json
from dralign.study.network import FEWEST_SHOWN, TrainedNetwork

KEPT_IN: Final = "overview.json"  # beside the ledger of a study
LARGEST: Final = 2**20  # bytes of it


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


def keep_overview(folder: Path, overview: Overview) -> None:
    """Keeps it with a study, for pages that are written later.

    Raises:
        OutputError: if it can't be written.
    """
    text = to_json(overview._asdict(), indent=1)
    write_atomically(folder / KEPT_IN, lambda file: file.write_text(text, encoding="utf-8"))


def keep_network(trained: TrainedNetwork, overview: Overview, out: Path) -> Path:
    """Saves a network with what its data hold, and warns of its decisions; the folder.

    What is doubtful about the data names rare values, which a saved network does not tell.
    """
    training = {**trained.artifact.training, "overview": list(overview.lines)}
    folder = save_or_rescue(replace(trained.artifact, training=training), out)
    for note in trained.notes:
        warnings.warn(note, DralignWarning, stacklevel=2)
    return folder


def kept_overview(folder: Path) -> Overview | None:
    """The overview that was kept with a study; None if there is none.

    Raises:
        StudyError: if it can't be read, or is not one of ours.
    """
    path = folder / KEPT_IN
    if not is_file(path):
        return None
    try:
        content = read_whole(path, at_most=LARGEST)
    except (OSError, ValueError) as error:
        raise StudyError(f"{path}: can't be read ({error})") from error
    form = Form(parse_json(content, str(path), error=StudyError), str(path), error=StudyError)
    form.only("lines", "findings", "groups")
    return Overview(form.texts("lines"), form.texts("findings"), form.texts("groups"))
