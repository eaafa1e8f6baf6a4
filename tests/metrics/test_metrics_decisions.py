"""Decisions, and the line that says that nearly all of them are the same."""

import numpy as np
import pytest

from dralign.metrics.decisions import decisions, same_decision


def test_decisions_are_by_a_half_by_the_threshold_of_the_group_or_by_the_likeliest_class():
    prob = [0.2, 0.5, 0.7, 0.6]
    assert decisions(prob).tolist() == [0, 1, 1, 1]
    group = np.array([0, 1, 1, -1])
    assert decisions(prob, group=group, thresholds=(0.1, 0.6)).tolist() == [1, 0, 1, 1]
    none = np.array([-1, -1, -1, -1])
    assert decisions(prob, group=none, thresholds=(0.1, 0.6)).tolist() == [0, 1, 1, 1]
    assert decisions([[0.2, 0.5, 0.3], [0.4, 0.3, 0.3]]).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ([1, 999], "99.9 % of the rows get decision 1: the hard gap says nothing"),
        ([9999, 1], "99.9 % of the rows get decision 0: the hard gap says nothing"),
        ([20], "100 % of the rows get decision 0: the hard gap says nothing"),
        ([99, 0, 1], "99 % of the rows get decision 0: the hard gap says nothing"),
        ([98, 2], ""),
        ([500, 500], ""),
        ([19], ""),
        ([], ""),
    ],
)
def test_nearly_one_decision_for_all_is_said_where_there_are_enough_rows(counts, told):
    decided = np.repeat(np.arange(len(counts)), counts)
    assert same_decision(decided, "rows") == told


def test_the_decision_is_called_by_its_name():
    line = same_decision(np.ones(50, dtype=np.int64), "50 rows", names=("no", "yes"), then="so")
    assert line == "100 % of the 50 rows get decision yes: so"
