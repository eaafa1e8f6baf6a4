"""Weights & Biases: the trials of a finished study as offline runs of a project."""

from dralign.tiers import require

require("dralign.integrations.wandb", "wandb", extra="wandb")

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from dralign.files import try_output
from dralign.integrations.runs import TrialRun, study_records
from dralign.training import Selection

__all__ = ["log_study"]

_INSIDE: Final = "wandb"  # the folder that wandb makes for its runs
_REPORTS: Final = "WANDB_ERROR_REPORTING"  # what wandb tells its makers, also of offline runs


def log_study(
    study: str | Path,
    *,
    project: str,
    folder: str | Path = ".",
    selection: Selection | None = None,
) -> int:
    """Writes an offline run for each trial: its settings, and the figures of the chosen epoch.

    Nothing is sent: ``wandb sync`` does that with the folders that are written, the last bytes of
    which wandb's own process may write a moment after the call. A trial is known by its content
    hash, which is the id of its run, so that a second call with the same folder adds what is new; a
    failed trial is a failed run with its error in its configuration. Figures that are undefined are
    left out. Figures of test rows are among them: to choose a run by these is to choose by the test
    rows.

    Args:
        study: the folder of a study, or its ledger; it is only read.
        project: the name of the project.
        folder: where runs are written, in its folder ``wandb``.
        selection: the rule for the epoch; ``Selection()`` if not given.

    Returns:
        The number of runs that were added.

    Raises:
        StudyError: if the study can't be read.
        OutputError: if runs can't be written there.
    """
    records, rule, folder = study_records(study), selection or Selection(), Path(folder)
    there = {path.stem for path in folder.glob(f"{_INSIDE}/*/run-*.wandb")}
    new = [record for record in records if f"run-{record.hash}" not in there]
    try_output(folder / _INSIDE)  # wandb would write elsewhere without an error
    folder.mkdir(parents=True, exist_ok=True)
    with _without_reports():
        for record in new:
            _log(project, folder, TrialRun.of(record, rule))
    return len(new)


def _log(project: str, folder: Path, trial: TrialRun) -> None:
    """Writes the run of a trial, without what wandb adds of this machine, its code and packages."""
    import wandb

    run = wandb.init(
        project=project,
        dir=folder,
        mode="offline",
        id=trial.hash,
        name=trial.title,
        config={**trial.settings, **trial.about},
        reinit="create_new",  # a run of the caller's own goes on
        settings=wandb.Settings(
            silent=True,
            host="",
            console="off",
            disable_git=True,
            disable_code=True,
            x_disable_meta=True,
            x_disable_stats=True,
            x_disable_machine_info=True,
            x_save_requirements=False,
        ),
    )
    run.log(dict(trial.figures))
    run.finish(exit_code=0 if trial.done else 1)


@contextmanager
def _without_reports() -> Iterator[None]:
    """A process of wandb's own that begins in the block tells its makers nothing."""
    before = os.environ.get(_REPORTS)
    os.environ[_REPORTS] = "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_REPORTS]
        else:
            os.environ[_REPORTS] = before
