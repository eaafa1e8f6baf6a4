"""Verdicts on made-up figures: what holds, what points the right way, what does not."""

import pytest

from dralign.reproduce.verdicts import (
    lower,
    pooled,
    reaches,
    stays_below,
    steady,
    together,
    worst,
)


def by_seed(*values):
    return dict(enumerate(values))


LOW = by_seed(0.10, 0.12, 0.11, 0.09)
HIGH = by_seed(0.20, 0.23, 0.21, 0.20)


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        pytest.param(LOW, HIGH, "reproduced", id="lower on every seed"),
        pytest.param(
            by_seed(0.10, 0.30), by_seed(0.11, 0.39), "direction only", id="interval includes 0"
        ),
        pytest.param(by_seed(0.1), by_seed(0.2), "direction only", id="one seed has no interval"),
        pytest.param(HIGH, LOW, "not reproduced", id="higher"),
        pytest.param(LOW, LOW, "not reproduced", id="equal"),
        pytest.param({0: 0.1, 1: 0.1}, {2: 0.2, 3: 0.2}, "not run", id="no seed in common"),
        pytest.param({}, HIGH, "not run", id="no trial"),
    ],
)
def test_lower_is_the_paired_test(first, second, verdict):
    assert lower(first, second)[0] == verdict


def test_lower_pairs_seeds_and_leaves_out_those_of_one_side():
    """Seeds differ much, each pair little: only the pairing shows it."""
    first = {0: 0.10, 1: 0.50, 2: 0.90, 7: 9.0}
    second = {0: 0.11, 1: 0.51, 2: 0.912}
    verdict, evidence = lower(first, second)
    assert verdict == "reproduced"
    assert "n=3" in evidence


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        pytest.param(by_seed(2.96, 2.99, 2.97), "reproduced", id="3.0 to the digit printed"),
        pytest.param(by_seed(2.5, 3.0, 2.9), "direction only", id="interval includes the top"),
        pytest.param(by_seed(2.50, 2.52, 2.51), "not reproduced", id="below"),
        pytest.param({}, "not run", id="no trial"),
    ],
)
def test_reaching_the_top(values, verdict):
    assert reaches(values, 3.0)[0] == verdict


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        pytest.param(by_seed(1.7, 1.9, 1.85), "reproduced", id="includes 1.8, leaves out 3.0"),
        pytest.param(by_seed(2.1, 2.11, 2.12), "direction only", id="below, but not 1.8"),
        pytest.param(by_seed(0.5, 3.0, 2.0), "direction only", id="so wide that it includes 3.0"),
        pytest.param(by_seed(2.6, 2.7, 2.65), "not reproduced", id="nearer to 3.0 than to 1.8"),
        pytest.param({}, "not run", id="no trial"),
    ],
)
def test_staying_below_the_top(values, verdict):
    assert stays_below(values, 3.0, 1.8)[0] == verdict


def test_staying_below_without_a_printed_value_needs_the_interval_below_the_top():
    assert stays_below(by_seed(2.6, 2.7, 2.65), 3.0)[0] == "reproduced"
    assert stays_below(by_seed(2.6, 3.0, 2.95), 3.0)[0] == "direction only"
    assert stays_below(by_seed(3.0, 3.0), 3.0)[0] == "not reproduced"


RISING = [LOW, by_seed(0.15, 0.16, 0.14, 0.15), HIGH]


@pytest.mark.parametrize(
    ("series", "falls", "verdict"),
    [
        pytest.param(RISING, False, "reproduced", id="rises at every step"),
        pytest.param(RISING[::-1], True, "reproduced", id="falls at every step"),
        pytest.param([LOW, HIGH, RISING[1]], False, "direction only", id="falls in between"),
        pytest.param([by_seed(0.1, 0.3), by_seed(0.11, 0.39)], False, "direction only", id="noise"),
        pytest.param(RISING, True, "not reproduced", id="the other way"),
        pytest.param([LOW, {}, HIGH], False, "not run", id="a weight is missing"),
    ],
)
def test_a_steady_course_needs_every_step_and_a_difference_from_end_to_end(series, falls, verdict):
    assert steady(series, falls=falls)[0] == verdict


def test_pooling_takes_the_mean_over_parts_for_seeds_that_have_all():
    assert pooled([{0: 1.0, 1: 2.0, 2: 5.0}, {0: 3.0, 1: 6.0}]) == {0: 2.0, 1: 4.0}
    assert pooled([]) == {}


def test_the_weakest_part_decides_and_all_evidence_is_kept():
    verdict, evidence = together(
        [("a", ("reproduced", "one")), ("b", ("direction only", "two")), ("c", ("reproduced", ""))]
    )
    assert verdict == "direction only"
    assert "a: one (reproduced)" in evidence
    assert "b: two (direction only)" in evidence


def test_a_part_that_fails_refutes_the_whole_and_a_missing_one_leaves_it_open():
    assert worst(["reproduced", "not run", "not reproduced"]) == "not reproduced"
    assert worst(["reproduced", "not run", "direction only"]) == "not run"
