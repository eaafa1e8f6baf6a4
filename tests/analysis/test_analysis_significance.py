"""Tests of a difference, Holm's correction, fronts and their hypervolume, against plain oracles."""

import itertools
import math
import warnings

import numpy as np
import pytest
from scipy import special

from dralign.analysis import (
    PValues,
    front,
    gap_at,
    holm,
    hypervolume,
    p_values,
    ratio_of_means,
)


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def by_seed(values):
    return dict(enumerate(values))


def two_sided(t, freedom):
    """The p-value of a t statistic."""
    return 2 * special.stdtr(freedom, -abs(t))


@pytest.mark.parametrize("n", [2, 5, 10])
def test_the_t_tests_are_those_of_the_textbook(n):
    rng = np.random.default_rng(n)
    a, b = rng.normal(0.1, 0.01, n), rng.normal(0.11, 0.02, n)
    found = p_values(by_seed(a), by_seed(b))
    d = a - b
    paired = d.mean() / (d.std(ddof=1) / math.sqrt(n))
    assert found.paired_t == pytest.approx(two_sided(paired, n - 1), rel=1e-9)
    va, vb = a.var(ddof=1) / n, b.var(ddof=1) / n
    freedom = (va + vb) ** 2 / ((va**2 + vb**2) / (n - 1))
    welch = (a.mean() - b.mean()) / math.sqrt(va + vb)
    assert found.welch_t == pytest.approx(two_sided(welch, freedom), rel=1e-9)


@pytest.mark.parametrize("n", [2, 5, 8])
def test_wilcoxon_counts_the_signs_that_are_as_extreme(n):
    d = np.random.default_rng(n).normal(0.5, 1, n)
    found = p_values(by_seed(d), by_seed(np.zeros(n))).wilcoxon
    ranks = np.argsort(np.argsort(abs(d))) + 1
    seen = abs(ranks @ np.sign(d))
    sums = [abs(ranks @ np.array(signs)) for signs in itertools.product((-1, 1), repeat=n)]
    assert found == pytest.approx(np.mean([s >= seen for s in sums]))


def test_pairs_are_the_seeds_of_both_and_welch_takes_all():
    a, b = {0: 1.0, 1: 2.0, 2: 4.0, 7: 9.0}, {2: 3.5, 0: 0.9, 1: 1.2, 5: -8.0}
    shared = p_values({s: a[s] for s in range(3)}, {s: b[s] for s in range(3)})
    found = p_values(a, b)
    assert (found.paired_t, found.wilcoxon) == (shared.paired_t, shared.wilcoxon)
    assert found.welch_t != shared.welch_t


@pytest.mark.parametrize(
    ("a", "b", "defined"),
    [
        ([], [], set()),
        ([0.1], [0.2], set()),
        ([0.1], [0.1, 0.3], set()),
        ([0.1, 0.1], [0.1, 0.1], set()),
        ([0.1, 0.2, 0.3], [0.1, 0.2, 0.3], {"welch_t"}),
        ([0.1, 0.2, 0.7], [0.2, 0.3, 0.8], {"welch_t", "wilcoxon"}),
        ([0.3, 0.3, 0.3], [0.1, 0.1, 0.1], {"wilcoxon"}),
        ([0.3, 0.3, 0.3], [0.1, 0.2, 0.4], {"paired_t", "welch_t", "wilcoxon"}),
    ],
    ids=[
        "none",
        "one seed",
        "one seed of one",
        "all equal",
        "equal pairs",
        "equal differences",
        "no variance",
        "one varies",
    ],
)
def test_a_test_without_variation_or_seeds_has_no_p_value_and_no_warning(a, b, defined):
    found = vars(p_values(by_seed(a), by_seed(b)))
    assert {name for name, p in found.items() if not math.isnan(p)} == defined


def test_equal_differences_count_as_ties_whatever_their_last_bit():
    a = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert p_values(by_seed(a), by_seed(a + 0.1)).wilcoxon == pytest.approx(2 / 2**6)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        # Holm (1979) by hand: 4 * .005, then 3 * .01 and 2 * .03, then 1 * .04 held up to .06
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.02, math.nan, 0.01], [0.02, math.nan, 0.02]),
        ([0.6, 0.7], [1.0, 1.0]),
        ([math.nan], [math.nan]),
        ([], []),
    ],
)
def test_holms_correction(given, expected):
    assert holm(given) == pytest.approx(expected, nan_ok=True)


def test_the_ratio_of_means_and_its_interval_on_the_logarithm():
    a, b = [0.05, 0.06, 0.10, 0.04], [0.10, 0.11, 0.13, 0.10]
    found = ratio_of_means(a, b)
    assert found.value == pytest.approx(sum(a) / sum(b))
    (aa, ab), (_, bb) = np.cov(a, b) / 4  # of the means
    one, other = np.mean(a), np.mean(b)
    variance = aa / one**2 + bb / other**2 - 2 * ab / (one * other)  # of log(one / other)
    width = 3.18245 * math.sqrt(variance)  # t_{.975, 3}
    expected = [found.value * math.exp(sign * width) for sign in (-1, 1)]
    assert (found.low, found.high) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_the_interval_of_a_ratio_covers_it_with_few_seeds_too(n):
    draw = np.random.default_rng(0)
    pairs = 1 + 0.1 * draw.normal(size=(1000, 2, n))
    covered = [one.low <= 1 <= one.high for one in (ratio_of_means(a, b) for a, b in pairs)]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize(("a", "value"), [([0.0, 0.0], 0.0), ([-0.1, 0.3], 0.1)])
def test_a_ratio_of_nothing_or_of_negative_values_has_no_interval(a, value):
    found = ratio_of_means(a, [1.0, 1.0])
    assert found.value == pytest.approx(value)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


@pytest.mark.parametrize(
    ("a", "b", "value"),
    [([], [], math.nan), ([1.0], [2.0], 0.5), ([1.0, 2.0], [0.0, 0.0], math.nan)],
)
def test_a_ratio_without_seeds_or_over_nothing_is_undefined(a, b, value):
    found = ratio_of_means(a, b)
    assert found.value == pytest.approx(value, nan_ok=True)
    assert math.isnan(found.low)


POINTS = [
    (0.7, 0.05),
    (0.8, 0.2),
    (0.75, 0.1),
    (0.74, 0.15),
    (0.8, 0.3),
    (math.nan, 0.0),
    (0.65, 0.05),
]


def test_a_front_holds_what_no_point_dominates_by_rising_precision():
    assert front(POINTS) == [(0.7, 0.05), (0.75, 0.1), (0.8, 0.2)]
    assert front([]) == []


@pytest.mark.parametrize(
    ("ap", "gap"),
    [(0.7, 0.05), (0.725, 0.075), (0.79, 0.18), (0.8, 0.2), (0.699, math.nan), (0.81, math.nan)],
)
def test_the_gap_between_points_lies_on_a_line_and_nothing_is_extrapolated(ap, gap):
    assert gap_at(front(POINTS), ap) == pytest.approx(gap, nan_ok=True)
    assert math.isnan(gap_at([], ap))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("reference", [(0.0, 1.0), (0.5, 0.4)])
def test_the_hypervolume_is_the_share_of_demands_that_some_point_meets(seed, reference):
    rng = np.random.default_rng(seed)
    points = rng.uniform(size=(6, 2)).round(2)
    low, largest = reference
    centres = (np.arange(400) + 0.5) / 400
    demands = np.array([[low + (1 - low) * x, largest * y] for x in centres for y in centres])
    met = ((points[:, 0] >= demands[:, None, 0]) & (points[:, 1] <= demands[:, None, 1])).any(1)
    found = hypervolume([(float(ap), float(gap)) for ap, gap in points], reference)
    assert found == pytest.approx(met.mean(), abs=0.01)


@pytest.mark.parametrize(
    ("points", "reference", "expected"),
    [
        ([], (0.0, 1.0), 0.0),
        ([(1.0, 0.0)], (0.3, 0.2), 1.0),
        ([(0.8, 0.3)], (0.5, 0.2), 0.0),
        ([(0.8, 0.1)], (0.5, 0.0), math.nan),
        ([(0.8, 0.1)], (1.0, 0.2), math.nan),
    ],
)
def test_the_ends_of_the_hypervolume(points, reference, expected):
    assert hypervolume(points, reference) == pytest.approx(expected, nan_ok=True)


def test_p_values_are_undefined_unless_given():
    assert all(math.isnan(p) for p in vars(PValues()).values())
