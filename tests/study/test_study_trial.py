"""A real trial, small: the same at any number of processes, and new when its data change."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dralign.data import DataSource
from dralign.errors import OptionError, StudyError
from dralign.study import Ledger, TrialSpec, run_study
from dralign.study.attempt import attempt
from dralign.study.spec import Trial
from dralign.study.trial import run_trial

SMALL = {"hidden": 4, "epochs": 2, "iterations": 3, "batch_size": 20}


@pytest.fixture
def table(tmp_path):
    """A file of one's own, with three groups."""
    rng = np.random.default_rng(0)
    lines = ["age,job,group,income"]
    for row in range(600):
        job = ("cook", "clerk", "smith")[row % 3]
        label = "high" if rng.random() < 0.3 + 0.2 * (row % 2) else "low"
        lines.append(f"{rng.integers(18, 70)},{job},{'abc'[row % 3]},{label}")
    path = tmp_path / "people.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def specs(path):
    data = DataSource(str(path), label="income", positive="high", sensitive=("group",))
    return [
        TrialSpec(data, "dralign", fairness_weight=0.5, alignment_weight=0.05, seed=seed, **SMALL)
        for seed in range(3)
    ]


def figures(ledger):
    """Everything of a history but its times, which differ from run to run."""
    return {
        (record.hash, str(replace(epoch, seconds=0.0, evaluation_seconds=0.0)))
        for record in ledger.records(status="done")
        for epoch in record.history
    }


def test_a_trial_has_the_same_history_at_any_number_of_processes(table, tmp_path):
    found = []
    for jobs in (1, 2):
        with Ledger(tmp_path / f"{jobs}.sqlite") as ledger:
            outcome = run_study(specs(table), ledger, jobs=jobs)
            assert [record.error for record in outcome.failed] == []
            found.append(figures(ledger))
    assert len(found[0]) == 6
    assert found[0] == found[1]


def test_records_name_a_file_but_not_where_it_lies(table, tmp_path):
    seen = []
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        run_study(specs(table)[:1], ledger, jobs=1, on_record=seen.append)
        assert seen[0].spec == ledger.records()[0].spec
    assert seen[0].spec.data.name == "people.csv"


def append_a_row(path):
    path.write_text(path.read_text() + "50,cook,a,low\n")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (append_a_row, r"people\.csv: the file changed while the study ran"),
        (Path.unlink, r"people\.csv.* No such file.* it could be read when the study began"),
    ],
)
def test_a_file_that_is_another_when_it_is_read_ends_the_study(table, tmp_path, change, message):
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        with pytest.raises(StudyError, match=message):
            run_study(specs(table), ledger, jobs=1, on_record=lambda _: change(table))
        assert len(ledger.records()) == 1


def test_a_file_that_was_another_only_while_it_was_read_is_a_failed_trial(table, monkeypatch):
    trial = Trial(specs(table)[0], specs(table)[0].data.fingerprint())
    content, load = table.read_bytes(), DataSource.load

    def load_another(source, seed):
        table.write_bytes(content + b"50,cook,a,low\n")
        loaded = load(source, seed)
        table.write_bytes(content)
        return loaded

    monkeypatch.setattr(DataSource, "load", load_another)
    record = attempt(None, trial.hash, trial)
    assert record.status == "failed"
    assert "the data that were read are others than was expected" in record.error


def test_the_data_of_a_trial_are_looked_at_once(table, monkeypatch):
    trial = Trial(specs(table)[0], specs(table)[0].data.fingerprint())
    looked = []
    monkeypatch.setattr(DataSource, "fingerprint", looked.append)
    assert attempt(None, trial.hash, trial).status == "done"
    assert looked == []  # loading gives the fingerprint of what was read


def test_a_file_that_moved_gives_the_same_trials_and_one_that_changed_new_ones(table, tmp_path):
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        first = run_study(specs(table)[:1], ledger, jobs=1)
        (tmp_path / "elsewhere").mkdir()
        moved = table.rename(tmp_path / "elsewhere" / "people.csv")
        assert run_study(specs(moved)[:1], ledger, jobs=1).hashes == first.hashes
        moved.write_text(moved.read_text() + "40,cook,a,high\n")
        changed = run_study(specs(moved)[:1], ledger, jobs=1)
        assert (changed.done, changed.skipped) == (1, 0)
        assert len(ledger.records()) == 2


GERMAN = DataSource("german")


def test_hash_of_settings_that_older_versions_know_stays_what_it_was():
    """Taken from the version that brought record format 2."""
    known = {
        "erm": "4086ea5aad2125a4a2ce4fae47c4e7569ca9ed30582a2626bc4831a5782d5614",
        "dralign": "c0376b8eee8920abd69141e94d4cbfe53f7ce5590eb4c4d3d7f01edf214f4ab8",
    }
    weights = {"fairness_weight": 0.3, "alignment_weight": 0.03}
    for method, expected in known.items():
        spec = TrialSpec(
            GERMAN, method, **(weights | {"alignment_every": 1} if method == "dralign" else {})
        )
        assert Trial(spec, "0" * 64).hash == expected


@pytest.mark.parametrize(
    "setting", [{"gap_bound": 0.1}, {"penalty": "mixup"}, {"penalty": "mixup", "mixup_layer": "1"}]
)
def test_new_setting_makes_another_trial_and_survives_json(setting):
    plain, spec = (TrialSpec(GERMAN, "dralign", **given) for given in ({}, setting))
    assert Trial(spec, "0" * 64).hash != Trial(plain, "0" * 64).hash
    assert TrialSpec.from_dict(spec.to_dict()) == spec


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"method": "gap", "gap_bound": 0.0}, "gap_bound: expected a positive number, got 0"),
        ({"method": "gap", "gap_bound": "low"}, "gap_bound: expected a positive number, got 'low'"),
        ({"method": "erm", "gap_bound": 0.1}, "gap_bound: the method 'erm' has no weight to find"),
        (
            {"method": "gap", "gap_bound": 0.1, "fairness_weight": 0.2},
            "fairness_weight: gap_bound finds the weights",
        ),
        ({"method": "gap", "penalty": "mixup"}, "penalty: the method 'gap' does not use it"),
        ({"method": "gap", "mixup_layer": "1"}, "mixup_layer: the method 'gap' does not use it"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(setting, message):
    with pytest.raises(OptionError, match=message):
        TrialSpec(GERMAN, **setting)


@pytest.mark.filterwarnings("ignore::dralign.errors.AssumptionWarning")
def test_lambda_under_a_bound_is_in_the_history():
    spec = TrialSpec(GERMAN, "dralign", gap_bound=0.001, hidden=4, epochs=2, iterations=10)
    first, second = run_trial(spec)
    assert 0 < first.found_weight < second.found_weight
