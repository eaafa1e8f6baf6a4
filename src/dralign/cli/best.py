"""The setting that a comparison recommends: who fares how under it, and its network."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from dralign.analysis import Row
from dralign.artifact import check_target
from dralign.cli.again import training_command
from dralign.cli.console import say
from dralign.cli.overview import group_line, keep_network
from dralign.data.source import DataSource, Overview
from dralign.errors import DataError, OptionError, unknown
from dralign.methods import PLAIN
from dralign.report.labels import panels
from dralign.report.verdict import groups_of, row_name, smallest_gap
from dralign.study import TrialRecord, TrialSpec, train_network
from dralign.study.attempt import one_thread
from dralign.study.overview import Overviews
from dralign.training import Selection

BEST: Final = "best"  # what can be saved, and the folder in that of the study


class Best(NamedTuple):
    """The setting of a verdict.

    Attributes:
        name: in a few words.
        spec: the setting, under its first seed.
        fingerprint: of the data.
        groups: of the test rows, with sizes and rates.
        command: that trains it; empty if there is none.
    """

    name: str
    spec: TrialSpec
    fingerprint: str
    groups: list[dict[str, Any]]
    command: str

    @property
    def kept(self) -> str:
        """What is said of its network behind the folder."""
        return f", the network of {self.name}, seed {self.spec.seed}"

    def to_dict(self) -> dict[str, Any]:
        """It as it stands in the JSON output."""
        form = {**self._asdict(), "spec": self.spec.to_dict()}
        return {key: value for key, value in form.items() if key != "fingerprint"}


def best_settings(
    rows: Sequence[Row],
    records: Sequence[TrialRecord],
    overviews: Overviews,
    typed: Sequence[str],
    rule: Selection,
) -> list[Best]:
    """The setting of each verdict.

    Args:
        rows: of the result table.
        records: the trials.
        overviews: of the data.
        typed: the words of the comparison, the name of the command first.
        rule: by which epochs were chosen.
    """
    return [
        Best(
            row_name(row, panel),
            row.spec,
            row.fingerprint,
            groups_of([row], records, overviews)[0],
            training_command(typed, row.spec, rule),
        )
        for panel in panels(rows)
        if (row := smallest_gap(panel)) is not None
    ]


def tell_best(best: Best) -> None:
    """Says which groups fare how under it, and how to train it."""
    if best.groups:
        say(f"{best.name}, seed {best.spec.seed}:")
    for group in best.groups:
        say(f"  {group_line(group)}")
    if best.command:
        say(f"to train and keep it: {best.command}")


def check_save(save: str | None, methods: Collection[str], folder: Path) -> None:
    """Finds out before the trials whether the best network can be kept.

    Args:
        save: what is to be saved; None for nothing.
        methods: that are compared.
        folder: of the study.

    Raises:
        OptionError: if something else than the best is asked for, or no verdict will name one.
        DralignError: as ``check_target`` does.
    """
    if save is None:
        return
    if save != BEST:
        raise OptionError(unknown("network for --save", save, [BEST]))
    if PLAIN not in methods or {*methods} == {PLAIN}:
        raise OptionError(
            f"--save: the best setting is told beside {PLAIN}; give --methods {PLAIN} and another"
        )
    check_target(folder / BEST, option="--save")


def keep_best(
    best: Best, source: DataSource, folder: Path, overview: Overview, rule: Selection
) -> Path:
    """Trains the setting once more, as its trial was, and saves the network beside the study.

    Args:
        best: the setting.
        source: the data, with their folder, which the settings of records do not have.
        folder: of the study.
        overview: of the data, which the network keeps.
        rule: by which the epoch is chosen.

    Returns:
        The folder of the network.

    Raises:
        DataError: if the data are others than those of the trials.
        DralignError: as ``train_network`` does, or if it can't be saved.
    """
    say(f"training {best.name}, seed {best.spec.seed}, once more to keep its network")
    with one_thread():
        spec = TrialSpec(source, best.spec.method, values=best.spec.values)
        trained = train_network(spec, rule=rule)
    if trained is None or trained.artifact.training["fingerprint"] != best.fingerprint:
        raise DataError(f"{best.spec.data.name}: has changed since the trials; compare it again")
    return keep_network(trained, overview, folder / BEST)
