"""The trials of a study are runs of MLflow, each once, with the figures of the chosen epoch."""

import math
from dataclasses import replace

import pytest

import records as made_up
from dralign.study import Ledger
from dralign.training import Selection

mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")

from dralign.integrations.mlflow import log_study  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # those of mlflow


@pytest.fixture
def tracking(tmp_path, monkeypatch):
    """Where runs are kept: in a folder, which needs nothing but mlflow-skinny."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return (tmp_path / "runs").as_uri()


def study_of(folder, given):
    with Ledger(folder / "study.sqlite") as ledger:
        for record in given:
            ledger.add(record)
    return folder


def runs(tracking, experiment):
    client = mlflow.MlflowClient(tracking_uri=tracking)
    own_id = client.get_experiment_by_name(experiment).experiment_id
    return {run.data.tags["dralign.hash"]: run for run in client.search_runs([own_id])}


def test_each_trial_is_a_run_with_its_settings_and_the_figures_of_the_chosen_epoch(
    tmp_path, tracking
):
    given = made_up.records()[:3] + made_up.records()[-1:]
    study = study_of(tmp_path / "study", given)
    rule = Selection("highest_ap")
    assert log_study(study, experiment="adult", tracking_uri=tracking, selection=rule) == 4
    logged = runs(tracking, "adult")
    assert logged.keys() == {record.hash for record in given}
    for record in given:
        run, chosen = logged[record.hash], rule.choose(record.history, record.spec.gap)
        assert run.info.status == "FINISHED"
        assert run.data.params["method"] == record.spec.method
        assert run.data.params["seed"] == str(record.spec.seed)
        assert run.data.tags["dralign.selection"] == str(rule)
        assert run.data.metrics["epoch"] == chosen.epoch
        for split in ("validation", "test"):
            for name, value in getattr(chosen, split).items():
                assert run.data.metrics[f"{split}_{name}"] == value


def test_a_second_call_adds_what_is_new_alone(tmp_path, tracking):
    given = made_up.records()[:3]
    study = study_of(tmp_path / "study", given[:2])
    assert log_study(study, experiment="adult", tracking_uri=tracking) == 2
    study_of(study, given[2:])
    assert log_study(study, experiment="adult", tracking_uri=tracking) == 1
    assert log_study(study, experiment="adult", tracking_uri=tracking) == 0
    assert len(runs(tracking, "adult")) == 3


def test_a_failed_trial_is_a_failed_run_and_an_undefined_figure_is_left_out(tmp_path, tracking):
    first, second, *_ = made_up.records()
    failed = replace(first, status="failed", error="out of memory", history=())
    history = tuple(
        replace(epoch, test={**epoch.test, "brier_score": math.nan}) for epoch in second.history
    )
    study = study_of(tmp_path / "study", [failed, replace(second, history=history)])
    assert log_study(study, experiment="adult", tracking_uri=tracking) == 2
    logged = runs(tracking, "adult")
    assert logged[failed.hash].info.status == "FAILED"
    assert logged[failed.hash].data.tags["dralign.error"] == "out of memory"
    assert "test_brier_score" not in logged[second.hash].data.metrics
    assert "validation_brier_score" in logged[second.hash].data.metrics
