"""Comparisons at equal precision: equally many weights, and how often they are wrong."""

from collections import Counter

import numpy as np
import pytest

from dralign.analysis.courses import Course
from dralign.reproduce.fronts import by_seed, matched_ratio, ratio_at, volumes
from dralign.reproduce.levels import finding
from dralign.reproduce.verdicts import less

# Noise of one trial around the curve, as the trials of Adult have it.
NOISE_AP, NOISE_GAP = 0.0044, 0.0027


def course(weights, draw, seeds=10):
    """A method on one and the same true curve; the weights are its true points on it."""
    validation, test = {}, {}
    for weight in weights:
        ap, gap = 0.785 - 0.06 * weight, 0.15 - 0.13 * weight
        noisy = ap + NOISE_AP * draw.normal(size=(2, seeds))
        gaps = np.abs(gap + NOISE_GAP * draw.normal(size=seeds))
        validation[weight] = dict(enumerate(noisy[0].tolist()))
        test[weight] = dict(enumerate(zip(noisy[1].tolist(), gaps.tolist(), strict=True)))
    return Course(validation, test)


def test_a_seed_that_lacks_a_weight_is_left_out():
    draw = np.random.default_rng(0)
    first, second = course((0.2, 0.5), draw, seeds=3), course((0.2, 0.5), draw, seeds=2)
    assert list(by_seed(first, second)) == [0, 1]
    assert by_seed(first, Course({}, {})) == {}


@pytest.mark.parametrize("seeds", [10, 25])
def test_six_weights_against_three_are_wrong_to_each_side_in_at_most_one_study_of_twenty(seeds):
    """One true curve. With all six weights a third of the studies and more find a difference."""
    draw = np.random.default_rng(1)
    wrong = Counter()
    studies = 400
    for _ in range(studies):
        first = course(np.linspace(0.05, 0.95, 6), draw, seeds)
        second = course((0.2, 0.5, 0.8), draw, seeds)
        points = by_seed(first, second)
        every = {
            seed: ([p[seed] for p in first.test.values()], [p[seed] for p in second.test.values()])
            for seed in points
        }
        wrong["matched", finding(matched_ratio(*sides) for sides in points.values()).level] += 1
        wrong["at one AP", finding(ratio_at(*sides, 0.755) for sides in points.values()).level] += 1
        wrong["hypervolume", less("", *volumes(points)).verdict] += 1
        wrong["all weights", less("", *volumes(every)).verdict] += 1
    share = {key: times / studies for key, times in wrong.items()}
    decided = ("borne out", "contradicted")
    assert sum(share.get(("all weights", level), 0) for level in decided) >= 0.3
    for comparison in ("matched", "at one AP", "hypervolume"):
        for level in decided:
            assert share.get((comparison, level), 0) <= 0.05, (comparison, level)


def test_the_ratio_is_that_of_the_straight_lines_where_both_fronts_reach():
    line, half = [(0.7, 0.1), (0.8, 0.2)], [(0.72, 0.06), (0.78, 0.09)]
    # On .72 to .78: means (.12 + .18) / 2 and (.06 + .09) / 2.
    assert matched_ratio(half, line) == pytest.approx(0.5)
    assert ratio_at(half, line, 0.75) == pytest.approx(0.075 / 0.15)
    assert np.isnan(ratio_at(half, line, 0.79))
    assert np.isnan(matched_ratio(half, [(0.9, 0.1)]))


def test_over_a_gap_of_nothing_the_ratio_is_infinite_and_nothing_over_nothing_is_undefined():
    none, some = [(0.7, 0.0), (0.8, 0.2)], [(0.7, 0.1), (0.8, 0.2)]
    assert ratio_at(none, some, 0.7) == 0
    assert ratio_at(some, none, 0.7) == np.inf
    assert np.isnan(ratio_at(none, none, 0.7))
