"""Decisions, and the line that says that nearly all of them are the same."""

import numpy as np
import pytest

from dralign.errors import OptionError
from dralign.metrics.decisions import (
    BASE_RATE,
    THRESHOLD,
    base_rate_threshold,
    check_bounded,
    check_threshold,
    decisions,
    same_decision,
)


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


@pytest.mark.parametrize(
    ("threshold", "n_classes", "named"),
    [(-0.1, 2, False), (1.01, 2, True), (float("nan"), 2, False), ("half", 2, True),
     (True, 2, False), (None, 2, False), (BASE_RATE, 2, False), (0.4, 3, False),
     (BASE_RATE, 3, True)],
)  # fmt: skip
def test_a_threshold_that_is_none_is_refused(threshold, n_classes, named):
    with pytest.raises(OptionError, match=r"^threshold: "):
        check_threshold(threshold, named=named, n_classes=n_classes)


@pytest.mark.parametrize(
    ("threshold", "n_classes", "named"),
    [(0, 2, False), (1.0, 2, False), (np.float32(0.3), 2, False), (BASE_RATE, 2, True),
     (THRESHOLD, 3, False)],
)  # fmt: skip
def test_thresholds_that_are_taken(threshold, n_classes, named):
    check_threshold(threshold, named=named, n_classes=n_classes)


def test_the_threshold_of_the_base_rate_selects_as_many_as_are_positive():
    draw = np.random.default_rng(0)
    prob = draw.random(2000)
    y = draw.random(2000) < prob
    threshold = base_rate_threshold(y, prob)
    assert (prob >= threshold).sum() == y.sum()
    assert not np.isin(threshold, prob)


@pytest.mark.parametrize(
    ("y", "prob", "selected"),
    [
        ([1, 0, 0, 0], [0.9, 0.5, 0.5, 0.1], 1),
        ([1, 1, 0, 0], [0.9, 0.5, 0.5, 0.1], 1),  # as near as three, and fewer
        ([1, 1, 1, 0], [0.9, 0.5, 0.5, 0.1], 3),
        ([0, 0, 0, 0], [0.9, 0.5, 0.5, 1.0], 0),
        ([1, 1, 1, 1], [0.9, 0.5, 0.0, 1.0], 4),
    ],
)
def test_the_threshold_of_the_base_rate_goes_round_ties(y, prob, selected):
    threshold = base_rate_threshold(y, prob)
    assert sum(p >= threshold for p in prob) == selected


def test_a_bound_on_a_gap_of_decisions_is_for_the_threshold_that_records_decide_at():
    for threshold in (0.4, BASE_RATE):
        with pytest.raises(
            OptionError, match=f"the hard gap holds .* not from {threshold!r}; bound"
        ):
            check_bounded("hard", threshold)
        check_bounded("base_rate", threshold)
    check_bounded("hard", THRESHOLD)
