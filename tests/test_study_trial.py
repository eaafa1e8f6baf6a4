"""A real trial, small: the same at any number of processes, and new when its data change."""

from dataclasses import replace

import numpy as np
import pytest

from dralign.data import DataSource
from dralign.study import Ledger, TrialSpec, run_study

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
