"""Rows and curves: intervals, the chosen epoch, the non-dominated rows."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

import records as made_up
from dralign.analysis import Interval, learning_curves, summarise
from dralign.study import TrialSpec
from dralign.training import Selection
from records import point as record

LAST = Selection(rule="last", warmup=0)


@pytest.mark.parametrize("n", [2, 3, 10])
def test_the_interval_is_that_of_students_t(n):
    values = np.random.default_rng(n).normal(0.78, 0.01, n)
    low, high = stats.t.interval(0.95, n - 1, values.mean(), stats.sem(values))
    found = Interval.of(values)
    assert found.n == n
    assert found.mean == pytest.approx(values.mean(), rel=1e-12)
    assert found.mean - found.half_width == pytest.approx(low, rel=1e-12)
    assert found.mean + found.half_width == pytest.approx(high, rel=1e-12)


def test_one_value_has_no_interval_and_none_has_no_mean():
    one, none = Interval.of([0.7]), Interval.of([])
    assert (one.mean, one.n, none.n) == (0.7, 1, 0)
    assert math.isnan(one.half_width)
    assert math.isnan(none.mean)


def test_undefined_values_are_left_out_and_not_counted():
    assert Interval.of([1.0, math.nan, 3.0]) == Interval.of([1.0, 3.0])


def test_a_row_holds_the_figures_of_its_seeds_and_similarity_per_unit():
    like = {"unit": {"0": 0.5, "2": 1.0}, "parameter": {"0": 0.25, "2": 0.5}}
    trials = [
        record(
            0.8,
            0.1,
            given={"hard": 0.3, "soft": 0.2},
            seed=1,
            similarity=like,
            seconds=2.0,
            granularity="parameter",
            method="dralign",
        ),
        record(
            0.6,
            0.3,
            given={"hard": 0.1, "soft": 0.4},
            seed=0,
            similarity=like,
            seconds=4.0,
            granularity="parameter",
            method="dralign",
        ),
    ]
    (row,) = summarise(trials, selection=LAST)
    assert (row.seeds, row.n, row.selection) == ((0, 1), 2, LAST)
    assert row.average_precision == Interval.of([0.6, 0.8])
    assert row.gap == row.figures["base_rate"] == Interval.of([0.3, 0.1])
    assert row.figures["soft"] == Interval.of([0.4, 0.2])
    assert row.figures["hard"] == Interval.of([0.1, 0.3])
    assert row.figures["expected_calibration_error"].n == 0
    assert row.similarity == Interval.of([1.5, 1.5])
    assert row.layer_similarity == (
        ("0", Interval.of([0.5, 0.5])),
        ("2", Interval.of([1.0, 1.0])),
    )
    assert row.seconds == Interval.of([4.0, 2.0])


def test_the_time_of_a_row_is_that_of_all_epochs():
    (trial,) = made_up.records([TrialSpec(made_up.ADULT, "erm", epochs=3)])
    history = tuple(
        replace(epoch, seconds=seconds)
        for epoch, seconds in zip(trial.history, (1.0, 4.0, 2.0), strict=True)
    )
    (row,) = summarise([replace(trial, history=history)], selection=LAST)
    assert row.seconds.mean == 7.0


def test_a_bound_that_was_trained_for_is_looked_at_in_its_own_measure():
    """Of two seeds one keeps the hard gap at .2; the rule itself asks for nothing."""
    trials = [
        record(0.8, 0.9, given={"hard": gap}, seed=seed, gap_bound=0.2, bound_measure="hard")
        for seed, gap in enumerate((0.1, 0.3))
    ]
    trials = [
        replace(one, history=tuple(replace(e, validation=e.test) for e in one.history))
        for one in trials
    ]
    (row,) = summarise(trials, selection=LAST)
    assert row.bound_met == 1
    (row,) = summarise([record(0.8, 0.9)], selection=LAST)
    assert row.bound_met is None


def test_gaps_are_made_absolute_before_they_are_averaged():
    (row,) = summarise(
        [
            record(0.8, -0.2, given={"hard": -0.1}, seed=0),
            record(0.8, 0.2, given={"hard": 0.1}, seed=1),
        ],
        selection=LAST,
    )
    assert row.gap.mean == pytest.approx(0.2)
    assert row.figures["hard"].mean == pytest.approx(0.1)


def test_test_figures_are_those_of_the_epoch_that_validation_figures_choose():
    spec = TrialSpec(made_up.ADULT, "erm", epochs=3)
    found = made_up.records([spec])[0]
    validation_gaps, test_ap = (0.1, 0.3, 0.2), (0.5, 0.6, 0.7)
    history = tuple(
        replace(
            epoch,
            validation={**epoch.validation, "base_rate_demographic_parity": gap},
            test={**epoch.test, "average_precision": ap, "base_rate_demographic_parity": 1 - ap},
        )
        for epoch, gap, ap in zip(found.history, validation_gaps, test_ap, strict=True)
    )
    found = replace(found, history=history)
    for selection, expected in ((Selection(warmup=0), 0.5), (Selection(warmup=1), 0.7)):
        (row,) = summarise([found], selection=selection)
        assert row.average_precision.mean == expected


@pytest.mark.parametrize(
    "change",
    [
        {"method": "oversample"},
        {"gap": "equalized_odds"},
        {"fairness_weight": 0.5},
        {"loss": "group_sum"},
        {"hidden": 50},
        {"iterations": 50},
    ],
    ids=lambda change: next(iter(change)),
)
def test_trials_of_another_setting_have_a_row_of_their_own(change):
    rows = summarise([record(0.8, 0.1), record(0.7, 0.2, **change)], selection=LAST)
    assert [row.n for row in rows] == [1, 1]


def test_trials_of_data_that_changed_have_a_row_of_their_own():
    one = record(0.8, 0.1)
    rows = summarise([one, replace(one, fingerprint="other")], selection=LAST)
    assert [row.n for row in rows] == [1, 1]


def test_failed_trials_do_not_count():
    one, two = record(0.8, 0.1), record(0.7, 0.2, seed=1)
    failed = replace(two, status="failed", error="bad luck", history=())
    assert summarise([one, failed], selection=LAST) == summarise([one], selection=LAST)


def test_rows_are_the_same_in_whatever_order_trials_ended():
    found = made_up.records()
    assert summarise(found, selection=LAST) == summarise(found[::-1], selection=LAST)


def marked(points, **settings):
    """Which of the (AP, gap) points are marked, one setting for each."""
    found = [
        record(ap, gap, fairness_weight=place / 100, **settings)
        for place, (ap, gap) in enumerate(points)
    ]
    return [row.non_dominated for row in summarise(found, selection=LAST)]


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([(0.8, 0.2), (0.7, 0.1)], [True, True]),
        ([(0.8, 0.1), (0.7, 0.2)], [True, False]),
        ([(0.8, 0.1), (0.8, 0.2)], [True, False]),
        ([(0.8, 0.1), (0.7, 0.1)], [True, False]),
        ([(0.8, 0.1), (0.8, 0.1)], [True, True]),
        ([(0.8, math.nan), (0.7, 0.1)], [False, True]),
        ([(math.nan, 0.0), (0.7, 0.1)], [False, True]),
    ],
    ids=["trade", "worse in both", "same AP", "same gap", "equal", "no gap", "no AP"],
)
def test_a_row_is_marked_unless_another_is_better(points, expected):
    assert marked(points) == expected


def test_marks_agree_with_looking_at_every_pair():
    points = np.random.default_rng(0).uniform(size=(40, 2)).round(1)
    expected = [
        not any(a >= ap and g <= gap and (a, g) != (ap, gap) for a, g in points.tolist())
        for ap, gap in points.tolist()
    ]
    assert marked(points.tolist()) == expected


def test_rows_of_another_gap_do_not_compete():
    found = [record(0.8, 0.1), record(0.7, 0.2, gap="equalized_odds")]
    assert [row.non_dominated for row in summarise(found, selection=LAST)] == [True, True]


def test_rows_of_data_that_changed_do_not_compete():
    better, worse = record(0.8, 0.1), record(0.7, 0.2)
    found = [better, replace(worse, fingerprint="other")]
    assert [row.non_dominated for row in summarise(found, selection=LAST)] == [True, True]


def test_a_learning_curve_is_the_mean_over_seeds_of_each_epoch():
    found = [r for r in made_up.records() if r.spec.method == "dralign"]
    curves = learning_curves(found)
    rows = summarise(found, selection=LAST)
    assert list(curves) == [row.setting for row in rows]
    for row in rows:
        curve = curves[row.setting]
        same = [r for r in found if r.spec.fairness_weight == row.spec.fairness_weight]
        assert curve.n == len(same) == 3
        for epoch in range(10):
            at = [r.history[epoch] for r in same]
            for name, values in (
                ("average_precision", [e.validation["average_precision"] for e in at]),
                ("gap", [abs(e.validation["base_rate_demographic_parity"]) for e in at]),
                ("similarity", [sum(e.similarity["unit"].values()) for e in at]),
            ):
                assert getattr(curve, name)[epoch].mean == pytest.approx(np.mean(values))


def test_an_epoch_that_a_trial_was_too_impatient_for_rests_on_the_others():
    found = [r for r in made_up.records() if r.spec.method == "erm"]
    found[0] = replace(found[0], history=found[0].history[:4])
    (curve,) = learning_curves(found).values()
    assert [entry.n for entry in curve.gap] == [3] * 4 + [2] * 6


def test_readings_make_no_row_of_their_own():
    plain, read, other = record(0.8, 0.1), record(0.8, 0.1, readings=True), record(0.7, 0.2, seed=1)
    (row,) = summarise([read, plain, other], selection=LAST)
    assert (row.n, row.seeds) == (2, (0, 1))
    better = record(0.9, 0.1, readings=True)
    for trials in ([better, plain, other], [plain, better, other]):
        (row,) = summarise(trials, selection=LAST)
        assert row.average_precision == Interval.of([0.9, 0.7])  # of the one with readings
    assert list(learning_curves([read, plain, other])) == [row.setting]
