"""Methods compared on one dataset: what ``dralign compare`` does, as a function with a result."""

import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from dralign.comparing.result import MethodComparison
from dralign.data import DataSource
from dralign.data.raw import parsed_once
from dralign.errors import DralignWarning, OptionError, StudyError, unknown
from dralign.forms import shown
from dralign.study import (
    Ledger,
    TrialRecord,
    compared_trials,
    ledger_path,
    only_writer,
    run_study,
)
from dralign.study.compared import METHODS, SEEDS, bounded_by, shared_settings
from dralign.study.overview import keep_overview
from dralign.study.trial import check_trials
from dralign.training import Selection
from dralign.training.selection import Rule
from dralign.turns import warnings_recorded

# Of the data, besides those that have a parameter of their own.
_OF_DATA: Final = {entry.name for entry in fields(DataSource)} - {
    *("name", "frame", "label", "positive", "sensitive")
}


def compare(
    data: Any,  # noqa: ANN401 - a frame of any library, too
    *,
    label: str | int = "",
    sensitive: Sequence[str | int] | str | int = (),
    positive: str | float = "",
    methods: Sequence[str] | str = METHODS,
    weights: Sequence[float] | float | None = None,
    seeds: int = SEEDS,
    select: Rule | None = None,
    warmup: int = 1,
    bound: float | None = None,
    measure: str | None = None,
    out: Path | str | None = None,
    jobs: int | None = None,
    trial_timeout: float | None = None,
    on_record: Callable[[TrialRecord], None] | None = None,
    **options: Any,  # noqa: ANN401 - what is declared of trials and of data
) -> MethodComparison:
    """Trains every method at every weight under every seed, and says how they compare.

    Nothing is printed; what is doubtful about the data or the trials is a ``DralignWarning``. A
    script needs no ``if __name__ == "__main__"``: worker processes do not import it.

    Args:
        data: a frame of pandas, polars or pyarrow, the path of a file or of a folder of images, or
            the name of a built-in dataset.
        label: the column to predict.
        sensitive: the column(s) that make the groups.
        positive: the value of the label that counts as 1: a text, a number or a boolean.
        methods: their names, or ``"all"`` that support the gap.
        weights: fairness weights, or one, of methods that have one; None for 0.2 and 0.4. A
            ``gap_bound`` finds them.
        seeds: 0, 1, ..., as many for each setting.
        select: how the epoch of each trial is chosen, as in ``dralign.training.Selection``, like
            the next three.
        warmup: epochs at the start that are never chosen.
        bound: the largest validation gap, where the rule has one.
        measure: of the gap, that chooses epochs, keeps bounds and judges.
        out: the folder of the study. Finished trials are kept there, the same call goes on where
            one was interrupted, and ``dralign report`` reads it. None keeps nothing.
        jobs: processes at a time; None takes the number of CPUs, 1 runs in this process.
        trial_timeout: seconds after which a trial is ended and counts as failed.
        on_record: called with each record as a trial ends.
        **options: ``gap``, ``epochs``, ``hidden`` and the other settings of trials, and those of
            the data (``drop``, ``preparation``, ...); docs/settings.md lists them.

    Raises:
        OptionError: if an option is unknown or impossible.
        DataError: if the data can't be used.
        GroupError: if a group has no training rows.
        StudyError: if every trial failed, or the study can't be kept.
    """
    of_data, settings = _apart(options)
    roles = {"label": label, "sensitive": sensitive, "positive": positive, **of_data}
    source = _source(data, roles)
    rule = Selection.of(select, warmup, bound, measure=measure, gap_bound=settings.get("gap_bound"))
    with _ledger(out) as ledger, only_writer(ledger):
        with warnings_recorded() as caught, parsed_once():
            specs = compared_trials(
                source,
                methods,
                weights=weights,
                seeds=seeds,
                settings=bounded_by(settings, measure),
            )
            check_trials(specs)
            overview = source.overview()
        told = [str(one.message) for one in caught if issubclass(one.category, DralignWarning)]
        _tell(told := [*dict.fromkeys((*told, *overview.findings))])
        keep_overview(ledger.path.parent, source, overview)
        outcome = run_study(
            specs, ledger, jobs=jobs, trial_timeout=trial_timeout, on_record=on_record
        )
        result = MethodComparison(tuple(ledger.records(outcome.hashes)), rule, overview, source)
    if len(result.failed) == len(result.records):
        error = shown(result.failed[0].error)
        raise StudyError(f"none of {len(result.records)} trials is done; the first: {error}")
    _tell(line for line in _notes(result) if line not in told)
    return result


def _apart(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of the data, and the settings of trials.

    Raises:
        OptionError: if one is neither.
    """
    known = {*_OF_DATA, *shared_settings()}
    if extra := sorted(options.keys() - known):
        raise OptionError(unknown("option", extra[0], sorted(known)))
    of_data = {name: value for name, value in options.items() if name in _OF_DATA}
    return of_data, {name: value for name, value in options.items() if name not in _OF_DATA}


def _source(data: Any, described: Mapping[str, Any]) -> DataSource:  # noqa: ANN401 - as above
    """The data as trials take them."""
    if isinstance(data, str | Path):
        return DataSource(str(data), **described)
    return DataSource.from_frame(data, **described)


@contextmanager
def _ledger(out: Path | str | None) -> Iterator[Ledger]:
    """The ledger in the folder of the study; without one it goes with the block."""
    if out is not None:
        with Ledger(ledger_path(out)) as ledger:
            yield ledger
        return
    with (
        tempfile.TemporaryDirectory(prefix="dralign-") as folder,
        Ledger(ledger_path(folder)) as ledger,
    ):
        yield ledger


def _notes(result: MethodComparison) -> Iterator[str]:
    """What is to be said of the trials, each line once."""
    yield from dict.fromkeys(shown(line) for one in result.records for line in one.warnings)
    if failed := result.failed:
        error = shown(failed[0].error)
        yield f"{len(failed)} of {len(result.records)} trials failed; the first: {error}"


def _tell(lines: Iterable[str]) -> None:
    """Warns with each line, at the place where the comparison was called."""
    for line in lines:
        warnings.warn(line, DralignWarning, stacklevel=3)
