"""MLflow: the trials of a finished study as runs of an experiment."""

from dralign.tiers import require

require("dralign.integrations.mlflow", "mlflow-skinny", extra="mlflow")

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dralign.integrations.runs import TrialRun, study_records
from dralign.training import Selection

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["log_study"]

_HASH: Final = "dralign.hash"
_MOST_AT_ONCE: Final = 100  # parameters; of metrics MLflow takes 1,000
_LONGEST: Final = 500  # characters of a tag or parameter, by any version of MLflow


def log_study(
    study: str | Path,
    *,
    experiment: str,
    tracking_uri: str | None = None,
    selection: Selection | None = None,
) -> int:
    """Writes a run for each trial: its settings, and the figures of the chosen epoch.

    A trial is known by its content hash, so that a second call adds what is new; a failed trial is
    a failed run with its error as a tag. Figures that are undefined are left out. Figures of test
    rows are among them: to choose a run by these is to choose by the test rows.

    Args:
        study: the folder of a study, or its ledger; it is only read.
        experiment: the name of MLflow's experiment, which is made if it is not there.
        tracking_uri: where MLflow keeps runs; its own setting if not given.
        selection: the rule for the epoch; ``Selection()`` if not given.

    Returns:
        The number of runs that were added.

    Raises:
        StudyError: if the study can't be read.
    """
    from mlflow import MlflowClient

    records, rule = study_records(study), selection or Selection()
    client = MlflowClient(tracking_uri=tracking_uri)
    known = client.get_experiment_by_name(experiment)
    own_id = known.experiment_id if known else client.create_experiment(experiment)
    there = set(_hashes(client, own_id))
    new = [record for record in records if record.hash not in there]
    for record in new:
        _log(client, own_id, TrialRun.of(record, rule))
    return len(new)


def _hashes(client: "MlflowClient", experiment: str) -> Iterator[str]:
    """The content hashes of the trials that are there."""
    token = None
    while True:
        page = client.search_runs([experiment], page_token=token)
        yield from (run.data.tags[_HASH] for run in page if _HASH in run.data.tags)
        token = page.token
        if not token:
            return


def _log(client: "MlflowClient", experiment: str, trial: TrialRun) -> None:
    """Writes the run of a trial."""
    from mlflow.entities import Metric, Param

    tags = {name: str(value)[:_LONGEST] for name, value in trial.about.items()}
    run = client.create_run(experiment, tags=tags, run_name=trial.title).info
    params = [Param(name, str(value)[:_LONGEST]) for name, value in trial.settings.items()]
    metrics = [Metric(name, value, run.start_time, 0) for name, value in trial.figures.items()]
    for start in range(0, max(len(params), len(metrics)), _MOST_AT_ONCE):
        part = slice(start, start + _MOST_AT_ONCE)
        client.log_batch(run.run_id, params=params[part], metrics=metrics[part])
    client.set_terminated(run.run_id, "FINISHED" if trial.done else "FAILED")
