"""Levels of evidence: the same for and against, seldom wrong without an effect, and not blind."""

from collections import Counter

import numpy as np
import pytest

from dralign.reproduce.levels import FEWEST_SEEDS, MARGIN, finding
from dralign.reproduce.verdicts import matched

SPREAD = 0.08  # of the logarithm of a ratio over seeds, as in matched fronts of Adult


def simulated(true_ratio, seeds=10, studies=4000):
    draw = np.random.default_rng(0)
    logs = np.log(true_ratio) + SPREAD * draw.normal(size=(studies, seeds))
    return Counter(finding(np.exp(row)).level for row in logs), studies


def test_without_an_effect_each_verdict_is_wrong_in_at_most_one_study_of_twenty():
    levels, studies = simulated(1.0)
    assert levels["borne out"] / studies <= 0.05
    assert levels["contradicted"] / studies <= 0.05
    assert levels["undecided"] / studies >= 0.85


@pytest.mark.parametrize(
    ("ratio", "level"), [(1 - 2 * MARGIN, "borne out"), (1 / (1 - 2 * MARGIN), "contradicted")]
)
def test_a_difference_of_twice_the_margin_is_found_at_ten_seeds(ratio, level):
    levels, studies = simulated(ratio)
    assert levels[level] / studies >= 0.9


@pytest.mark.parametrize(
    ("logs", "level"),
    [
        ([-0.2, -0.21, -0.19, -0.2, -0.2], "borne out"),
        ([-0.5, -0.3, 0.1, -0.2, 0.3], "leans for"),
        ([-0.2, 0.2, -0.1, 0.1, 0.0], "undecided"),
        ([0.5, 0.3, -0.1, 0.2, -0.3], "leans against"),
        ([0.2, 0.21, 0.19, 0.2, 0.2], "contradicted"),
        ([-0.2, -0.21, -0.19, -0.2], "too few seeds"),
    ],
)
def test_levels_are_the_same_for_and_against(logs, level):
    found = finding(np.exp(logs))
    assert found.level == level
    assert found.n == len(logs)
    assert found.ratio == pytest.approx(np.exp(np.mean(logs)))


def test_an_interval_within_the_margin_is_no_difference_that_matters():
    assert finding(np.exp([0.01, -0.01, 0.0, 0.01, -0.01])).equivalent
    assert not finding(np.exp([0.1, -0.1, 0.0, 0.1, -0.1])).equivalent


def test_seeds_without_a_ratio_are_left_out_and_counted():
    assert finding([0.5, np.nan, 0.5]).n == 2
    assert finding([]).level == "too few seeds"
    assert str(finding([])) == "no seeds"
    assert FEWEST_SEEDS == 5


@pytest.mark.parametrize(
    ("ratios", "zero", "infinite"),
    [
        ([0.0] * 5 + [1.2, 1.2, 1.3, 1.25, 1.22], 5, 0),
        ([0.0] * 10, 10, 0),
        ([np.inf, 0.9, 0.8, 0.9, 0.85], 0, 1),
        ([0.0, np.inf, 0.9], 1, 1),
    ],
)
def test_a_ratio_of_nothing_or_over_nothing_has_no_level_and_is_counted(ratios, zero, infinite):
    found = finding([*ratios, np.nan])
    assert found.level == "not comparable"
    assert not found.equivalent
    text = f"ratio 0 in {zero} and infinite in {infinite} of {len(ratios)} seeds"
    assert str(found) == f"not comparable: {text}"
    part = matched("gap", found)
    assert (part.verdict, part.ours, part.n) == ("not comparable", text, len(ratios))
