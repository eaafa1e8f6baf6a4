"""Records as one flat table: a row per epoch or trial, and columns of one type."""

from dataclasses import replace

import pytest

import records as made_up
from dralign.analysis import record_table
from dralign.errors import OptionError
from dralign.training import Selection

LAST = Selection(rule="last", warmup=0)


def test_a_trial_has_a_row_for_each_epoch_and_a_failed_one_a_row_without_figures():
    done, failed = made_up.records(made_up.specs(seeds=range(2))[:2])
    failed = replace(failed, status="failed", error="out of memory", history=())
    table = record_table([done, failed])
    n = len(done.history)
    assert table["hash"].tolist() == [done.hash] * n + [failed.hash]
    assert table["epoch"].tolist()[:n] == [epoch.epoch for epoch in done.history]
    assert table["test_average_precision"].tolist()[:n] == [
        epoch.test["average_precision"] for epoch in done.history
    ]
    assert table["error"].tolist()[n:] == ["out of memory"]
    assert table.iloc[n][["epoch", "test_average_precision"]].isna().all()


def test_a_row_per_trial_is_the_epoch_that_the_rule_chooses():
    (trial,) = made_up.records(made_up.specs(seeds=range(1))[:1])
    table = record_table([trial], per="trial", selection=LAST)
    assert table["epoch"].tolist() == [trial.history[-1].epoch]
    assert table["selection"].tolist() == [str(LAST)]
    assert table["training_loss"].tolist() == [trial.history[-1].loss]


def test_similarity_a_found_weight_and_lists_are_columns_of_numbers_and_texts():
    like = {"unit": {"0": 0.5, "2": 1.0}}
    chosen = made_up.point(0.8, 0.1, similarity=like, method="dralign", layers=("0", "2"))
    every = made_up.point(0.8, 0.1, method="dralign", layers="all")
    found = replace(chosen.history[0], found_weight=0.25)
    table = record_table([replace(chosen, history=(found,)), every])
    assert table["layers"].tolist() == ["0,2", "all"]
    assert table["found_weight"].tolist()[0] == 0.25
    assert table[["similarity_unit_0", "similarity_unit_2"]].iloc[0].tolist() == [0.5, 1.0]


def test_another_kind_of_row_is_refused():
    with pytest.raises(OptionError, match="unknown kind of row 'week'; known: epoch, trial"):
        record_table([], per="week")
