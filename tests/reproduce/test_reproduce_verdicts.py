"""Rules on made-up figures: what is borne out, what leans, what is open, the same both ways."""

import numpy as np
import pytest
import scipy.stats

from dralign.analysis import Interval
from dralign.reproduce.levels import FEWEST_SEEDS, finding, level_of
from dralign.reproduce.verdicts import (
    VERDICTS,
    Part,
    above,
    below,
    counted,
    falling,
    less,
    less_by,
    more,
    near,
    pooled,
    rising,
)


def by_seed(*values):
    return dict(enumerate(values))


LOW = by_seed(0.10, 0.12, 0.11, 0.09, 0.10)
HIGH = by_seed(0.20, 0.23, 0.21, 0.20, 0.22)
NOISE = by_seed(0.10, 0.30, 0.05, 0.25, 0.12)


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        pytest.param(LOW, HIGH, "borne out", id="lower on every seed"),
        pytest.param(HIGH, LOW, "contradicted", id="higher on every seed"),
        pytest.param(NOISE, HIGH, "leans for", id="lower in the mean"),
        pytest.param(HIGH, NOISE, "leans against", id="higher in the mean"),
        pytest.param(LOW, LOW, "undecided", id="equal"),
        pytest.param(by_seed(0.1, 0.1, 0.1, 0.1), HIGH, "too few seeds", id="four seeds"),
        pytest.param({0: 0.1, 1: 0.1}, {2: 0.2, 3: 0.2}, "not run", id="no seed in common"),
        pytest.param({}, HIGH, "not run", id="no trial"),
        pytest.param(dict.fromkeys(LOW, float("nan")), HIGH, "not run", id="no figure"),
        pytest.param(dict.fromkeys(LOW, 0.0), dict.fromkeys(LOW, 0.0), "undecided", id="0 and 0"),
        pytest.param(dict.fromkeys(LOW, 0.0), HIGH, "borne out", id="a gap of 0 counts"),
    ],
)
def test_less_is_the_paired_test_and_the_same_for_and_against(first, second, verdict):
    assert less("", first, second).verdict == verdict


def test_less_pairs_seeds_and_leaves_out_those_of_one_side():
    """Seeds differ much, each pair little: only the pairing shows it."""
    first = {0: 0.10, 1: 0.50, 2: 0.90, 3: 0.30, 4: 0.70, 7: 9.0}
    second = {0: 0.11, 1: 0.51, 2: 0.912, 3: 0.309, 4: 0.711}
    part = less("a", first, second)
    assert (part.verdict, part.n) == ("borne out", 5)


def test_average_precision_is_compared_in_its_own_unit():
    """.004 of AP leans to no side, .006 does."""
    noise = [0.01, -0.01, 0.008, -0.008, 0.0]
    plain = by_seed(*([0.77] * 5))
    for shift, verdict in ((0.004, "undecided"), (0.006, "leans for"), (-0.006, "leans against")):
        raised = by_seed(*(0.77 + shift + e for e in noise))
        assert more("", raised, plain).verdict == verdict


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        pytest.param(by_seed(2.96, 2.99, 2.97, 2.98, 2.99), "borne out", id="above it"),
        pytest.param(by_seed(2.5, 3.0, 2.9, 2.4, 3.0), "leans against", id="includes it"),
        pytest.param(by_seed(2.50, 2.52, 2.51, 2.5, 2.5), "contradicted", id="below it"),
        pytest.param(by_seed(3.0, 3.0), "too few seeds", id="two seeds"),
        pytest.param({}, "not run", id="no trial"),
    ],
)
def test_a_bound_is_judged_by_the_interval(values, verdict):
    other = {"borne out": "contradicted", "contradicted": "borne out"}
    other |= {"leans against": "leans for"}
    assert above("", values, 2.95, margin=0.15).verdict == verdict
    assert below("", values, 2.95, margin=0.15).verdict == other.get(verdict, verdict)


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        pytest.param(by_seed(1.79, 1.81, 1.8, 1.8, 1.8), "borne out", id="is it"),
        pytest.param(by_seed(1.6, 1.9, 1.85, 1.7, 1.8), "undecided", id="anything near it"),
        pytest.param(by_seed(1.85, 1.95, 1.84, 1.86, 1.85), "leans for", id="mean within"),
        pytest.param(by_seed(1.87, 2.0, 1.9, 1.88, 1.85), "leans against", id="mean outside"),
        pytest.param(by_seed(2.1, 2.11, 2.12, 2.1, 2.1), "contradicted", id="another number"),
        pytest.param(by_seed(1.8, 1.8), "too few seeds", id="two seeds"),
    ],
)
def test_a_printed_number_must_be_met_to_the_margin(values, verdict):
    """Wide intervals don't bear a number out: that is what a low number of seeds makes easy."""
    assert near("", values, 1.8).verdict == verdict


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        pytest.param((0.584, 0.59, 0.58, 0.585, 0.582), "borne out", id="is it"),
        pytest.param((0.5, 0.7, 0.55, 0.65, 0.58), "undecided", id="anything near it"),
        pytest.param((0.9, 1.1, 1.0, 1.05, 0.95), "contradicted", id="no less at all"),
        pytest.param((0.3, 0.31, 0.3, 0.29, 0.3), "contradicted", id="less by more"),
        pytest.param((0.584, 0.58), "too few seeds", id="two seeds"),
        pytest.param((0.584, 0.59, 0.58, 0.585, 0.0), "not comparable", id="nothing left"),
    ],
)
def test_how_much_less_has_the_interval_of_the_ratio(ratios, verdict):
    part = less_by("", finding(ratios), 0.416)
    assert part.verdict == verdict
    if verdict not in {"not comparable", "too few seeds"}:
        logs = np.log(ratios)
        half = scipy.stats.t.ppf(0.975, len(logs) - 1) * scipy.stats.sem(logs)
        low, middle, high = 1 - np.exp(logs.mean() + half * np.array([1, 0, -1]))
        text = f"{middle:.3f} ({low:.3f} to {high:.3f}), n={len(logs)}, printed 0.416"
        assert part.ours == text


def test_a_course_is_judged_from_end_to_end_and_at_each_step():
    middle = by_seed(0.15, 0.16, 0.14, 0.15, 0.15)
    up = {part.label: part.verdict for part in rising("c", [LOW, middle, HIGH], margin=0.01)}
    assert up == dict.fromkeys(("c, from end to end", "c, step 1", "c, step 2"), "borne out")
    down = [part.verdict for part in falling("", [LOW, HIGH, middle])]
    assert down == ["contradicted", "contradicted", "borne out"]


def test_pooling_takes_the_mean_over_parts_for_seeds_that_have_all():
    assert pooled([{0: 1.0, 1: 2.0, 2: 5.0}, {0: 3.0, 1: 6.0}]) == {0: 2.0, 1: 4.0}
    assert pooled([]) == {}


def test_no_part_of_a_conjunction_speaks_for_the_others():
    parts = (Part("a", "borne out"), Part("b", "contradicted"), Part("c", "borne out"))
    assert counted(parts) == "2 borne out, 1 contradicted (of 3)"
    assert counted(parts[1:2]) == "contradicted"
    assert {"too few seeds", "not comparable", "not run", "contradicts itself"} <= set(VERDICTS)


def simulated(rule, effect, seeds=10, studies=500):
    """The share of studies with each verdict; gaps near .1 that vary by 8 % from seed to seed."""
    draw = np.random.default_rng(3)
    found = []
    for _ in range(studies):
        level = 0.1 * np.exp(0.3 * draw.normal(size=seeds))
        noise = np.exp(0.08 * draw.normal(size=(2, seeds)))
        first, second = level * effect * noise[0], level * noise[1]
        found.append(rule("", by_seed(*first), by_seed(*second)).verdict)
    return {verdict: found.count(verdict) / studies for verdict in VERDICTS}


def test_without_an_effect_a_part_is_decided_in_at_most_one_study_of_twenty_each_way():
    share = simulated(less, 1.0)
    assert share["borne out"] <= 0.05
    assert share["contradicted"] <= 0.05
    assert share["undecided"] >= 0.7


def test_an_effect_of_a_fifth_is_found_at_ten_seeds():
    assert simulated(less, 0.8)["borne out"] >= 0.9
    assert simulated(less, 1.25)["contradicted"] >= 0.9


def test_few_seeds_are_never_a_level():
    for seeds in range(1, FEWEST_SEEDS):
        assert simulated(less, 0.5, seeds=seeds, studies=5)["too few seeds"] == 1.0
    assert level_of(Interval(-1.0, 0.1, 4), 0.05) == "too few seeds"
