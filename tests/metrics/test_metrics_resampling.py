"""Intervals: against plain loops, and how often they hold the truth."""

import math

import numpy as np
import pytest

from dralign.gaps import GapType, register_gap, unregister_gap
from dralign.metrics import all_measures, gap_measure, measure, scored
from dralign.metrics.measures import Measure, wanted_of
from dralign.metrics.resampling import (
    bootstrap_intervals,
    drawn_rows,
    noise,
    percentile_interval,
    ratio_interval,
    wilson_interval,
)

DP = "demographic_parity"
ACCURACY, HARD = (measure("accuracy"), ""), (gap_measure("hard"), DP)
CALIBRATION = (measure("expected_calibration_error"), "")
SAMPLES = 100
# Of a level of at least .95, so many samples hold the truth in all but one of 10,000 tests.
LEAST = math.floor(SAMPLES * 0.95 - 3.7 * math.sqrt(SAMPLES * 0.95 * 0.05))


def rows(n, rng, gap=0.2, n_groups=2, weighted=False):
    group = rng.integers(n_groups, size=n)
    prob = np.clip(rng.random(n) * 0.8 + gap * group / (n_groups - 1), 0, 1)
    y = (rng.random(n) < prob).astype(int)
    weight = rng.choice([1.0, 3.0], n) if weighted else None
    return scored(y, prob, group, n_groups=n_groups, sample_weight=weight)


def decided(sizes, shares, rng, weighted=False):
    """Rows of which so many of each group are selected."""
    group = np.repeat(np.arange(len(sizes)), sizes)
    decision = rng.random(len(group)) < np.asarray(shares)[group]
    label = rng.integers(2, size=len(group))
    weight = rng.choice([1.0, 3.0], len(group)) if weighted else None
    return scored(label, decision * 1.0, group, n_groups=len(sizes), sample_weight=weight)


def intervals(of, *wanted, draws=50):
    return bootstrap_intervals(of, wanted, draws=draws, rng=np.random.default_rng(1))


def test_a_figure_of_all_rows_has_percentiles_of_rows_drawn_within_groups():
    drawn = rows(40, np.random.default_rng(0))
    ((low, high),) = intervals(drawn, ACCURACY, draws=2000)
    rng, accuracies = np.random.default_rng(5), []
    for _ in range(2000):
        right = []
        for code in (0, 1):
            own = np.flatnonzero(drawn.codes == code)
            taken = own[rng.integers(len(own), size=len(own))]
            right += [(drawn.prob[i] >= 0.5) == drawn.y[i] for i in taken]
        accuracies.append(np.mean(right))
    # Two rows of 40 to either side: percentiles of 2,000 draws are one or the other value.
    assert (low, high) == pytest.approx(np.quantile(accuracies, (0.025, 0.975)), abs=0.051)


def test_noise_is_a_percentile_of_gaps_of_rates_off_their_mean():
    rng = np.random.default_rng(0)
    rates = rng.random((40, 2, 3, 4, 5))  # draws, differences, alternatives, groups, cut-offs
    gaps = []
    for draw in range(40):
        total = 0.0
        for difference in range(2):
            by_alternative = []
            for alternative in range(3):
                apart = []
                for cutoff in range(5):
                    values = rates[:, difference, alternative, :, cutoff]
                    off = [values[draw, g] - np.mean(values[:, g]) for g in range(4)]
                    apart.append(max(off) - min(off))
                by_alternative.append(np.mean(apart))
            total += max(by_alternative)
        gaps.append(total)
    assert noise(rates) == pytest.approx(np.quantile(gaps, 0.95), rel=1e-12)


def test_a_group_without_a_rate_is_left_out_of_the_noise():
    rates = np.random.default_rng(0).random((40, 1, 1, 3, 1))
    without = rates.copy()
    without[:, :, :, 1] = np.nan
    assert noise(without) == pytest.approx(noise(rates[:, :, :, [0, 2]]), rel=1e-12)
    without[:, :, :, 2] = np.nan
    assert np.isnan(noise(without))


@pytest.mark.parametrize(
    ("sizes", "shares"),
    [
        ([300] * 2, [0.3] * 2),
        ([50] * 8, np.linspace(0.25, 0.35, 8)),
        ([50] * 8, np.linspace(0.2, 0.4, 8)),
        ([1000, 20], [0.25, 0.05]),
        ([1000, 10], [0.3, 0.1]),
    ],
    ids=["no gap", "8 x 50", "8 x 50, apart", "1000 + 20", "1000 + 10"],
)
def test_the_interval_of_a_gap_holds_the_true_gap(sizes, shares):
    held = 0
    for seed in range(SAMPLES):
        ((low, high),) = intervals(decided(sizes, shares, np.random.default_rng(seed)), HARD)
        held += low <= np.ptp(shares) <= high
    assert held >= LEAST


def test_the_interval_of_a_gap_of_weighted_rows_holds_the_true_gap():
    held = 0
    for seed in range(SAMPLES):
        drawn = decided([30] * 4, [0.2, 0.2, 0.2, 0.3], np.random.default_rng(seed), weighted=True)
        ((low, high),) = intervals(drawn, HARD)
        held += low <= 0.1 <= high
    assert held >= LEAST


@pytest.mark.parametrize(
    ("n", "n_groups", "weighted"), [(300, 2, False), (300, 2, True), (120, 4, True)]
)
def test_intervals_of_all_gaps_hold_the_gap_and_where_there_is_none(n, n_groups, weighted):
    held = dict.fromkeys(wanted_of(rows(9, np.random.default_rng(0))), 0)
    samples = 20
    for seed in range(samples):
        own = rows(n, np.random.default_rng(seed), 0.0, n_groups, weighted)
        wanted = wanted_of(own)
        for name, (low, high) in zip(
            wanted, intervals(own, *wanted.values(), draws=40), strict=True
        ):
            known, gap = wanted[name]
            assert low <= known.value(own, gap) <= high
            held[name] += low <= 0
    fewest = math.floor(samples * 0.95 - 3.7 * math.sqrt(samples * 0.95 * 0.05))
    few = {name for name, (known, _) in wanted.items() if known.of_gap and held[name] < fewest}
    assert not few


def test_with_two_large_groups_the_interval_is_as_wide_as_theory_says():
    own = decided([4000, 1000], [0.4, 0.2], np.random.default_rng(0))
    ((low, high),) = intervals(own, HARD, draws=400)
    theory = 2 * 1.96 * math.sqrt(0.4 * 0.6 / 4000 + 0.2 * 0.8 / 1000)
    assert high - low == pytest.approx(theory, rel=0.15)


def test_the_interval_of_a_group_where_nobody_is_selected_has_a_width():
    rng = np.random.default_rng(0)
    decision = np.concatenate([rng.random(1000) < 0.3, np.zeros(12)])
    own = scored(rng.integers(2, size=1012), decision, [0] * 1000 + [1] * 12, n_groups=2)
    ((low, high),) = intervals(own, HARD, draws=300)
    # Wilson's interval of 0 of 12 reaches to .24.
    assert low < decision.sum() / 1000 - 0.1
    assert low > 0
    assert high <= 1


def test_a_row_is_smoothed_with_the_chance_that_its_cell_is_small():
    own = scored([0] * 4 + [1] * 16, [0.5] * 20, [0] * 20, n_groups=1)
    assert own.decision.all()
    changed = np.zeros(2)
    for plain, smoothed in drawn_rows(own, draws=2000, rng=np.random.default_rng(0)):
        for label in (0, 1):
            inside = plain.y == label
            changed[label] += (1 - smoothed.decision[inside]).sum() / max(inside.sum(), 1)
    # Half of those that are replaced are decided as before.
    assert changed / 2000 == pytest.approx([0.5 * 4 / 8, 0.5 * 4 / 20], rel=0.1)


def test_a_measure_that_does_not_tell_its_rates_has_the_noise_of_its_value():
    own = rows(60, np.random.default_rng(0), gap=0.9)
    signed = Measure(
        "signed",
        "signed",
        "",
        lambda of, _: float(of.prob[of.codes == 0].mean() - of.prob[of.codes == 1].mean()),
        of_gap=True,
    )
    value = signed.value(own, DP)
    ((low, high),) = intervals(own, (signed, DP))
    assert low < value < high < 0
    assert value - low == pytest.approx(high - value)


def test_every_gap_of_the_package_tells_its_rates():
    assert all(known.rates for known in all_measures() if known.of_gap)


def test_the_interval_of_a_share_is_that_of_wilson():
    assert wilson_interval(0.0, 12) == pytest.approx((0.0, 3.8415 / 15.8415), abs=1e-4)
    assert wilson_interval(1.0, 12) == pytest.approx((12 / 15.8415, 1.0), abs=1e-4)
    assert wilson_interval(0.3, 10) == pytest.approx((0.1078, 0.6032), abs=1e-4)
    assert np.isnan(wilson_interval(np.nan, 3)).all()


@pytest.mark.parametrize(
    ("sizes", "shares"),
    [
        ([1000, 20], [0.25, 0.05]),
        ([1000, 10], [0.3, 0.1]),
        ([1000, 10], [0.9, 0.9]),
        ([50] * 8, np.linspace(0.2, 0.4, 8)),
    ],
    ids=["1000 + 20", "1000 + 10", "1000 + 10, most", "8 x 50"],
)
def test_the_interval_of_a_ratio_of_rates_holds_the_true_ratio(sizes, shares):
    held, samples, rng = 0, 2000, np.random.default_rng(0)
    for _ in range(samples):
        low, high = ratio_interval(rng.binomial(sizes, shares) / sizes, np.array(sizes), rng=rng)
        held += low <= min(shares) / max(shares) <= high
    assert held >= 0.9 * samples  # where 0 or 1 of 20 are selected it is .924 (by all outcomes)


def test_the_interval_of_a_ratio_of_two_rates_is_that_of_its_logarithm():
    rates, sizes = np.array([0.1, 0.4]), np.array([2000.0, 1000.0])
    low, high = ratio_interval(rates, sizes, rng=np.random.default_rng(0))
    half = 1.96 * math.sqrt(1 / 200 - 1 / 2000 + 1 / 400 - 1 / 1000)
    assert np.log([low, high]) == pytest.approx(np.log(0.25) + half * np.array([-1, 1]), abs=0.01)


def test_the_ratio_to_a_group_of_which_nobody_is_selected_reaches_from_0():
    rng = np.random.default_rng(0)
    low, high = ratio_interval(np.array([0.0, 0.3]), np.array([50.0, 1000.0]), rng=rng)
    assert low == 0
    # Wilson's interval of 0 of 50 reaches to .071.
    assert high > 0.071 / 0.3


def calibrated(n, seed, slope=1.0):
    """Rows whose labels are drawn with the probabilities, or with some nearer to .5."""
    rng = np.random.default_rng(seed)
    f = rng.uniform(0.05, 0.95, n)
    y = rng.random(n) < 0.5 + slope * (f - 0.5)
    return scored(y * 1, f, np.arange(n) % 2, n_groups=2)


@pytest.mark.parametrize("n", [60, 300])
def test_the_interval_of_the_calibration_error_of_a_calibrated_model_holds_0(n):
    held = sum(
        intervals(calibrated(n, seed), CALIBRATION, draws=60)[0][0] == 0 for seed in range(SAMPLES)
    )
    assert held >= LEAST


def test_the_interval_of_the_calibration_error_holds_the_true_error():
    # Of 15 bins from .05 to .95 the outer 14 are off by half of their distance from .5.
    true = 0.5 * np.abs(np.arange(-7, 8) * 0.06).mean()
    ends = np.array([intervals(calibrated(600, s, 0.5), CALIBRATION)[0] for s in range(SAMPLES)])
    assert ((ends[:, 0] <= true) & (true <= ends[:, 1])).sum() >= LEAST
    assert (ends[:, 0] > 0).sum() >= LEAST  # and tells that there is one


def test_probabilities_too_near_to_0_and_1_do_not_make_the_interval_too_short():
    """Labels drawn with them vary less than those that there are."""
    held, n = 0, 300
    for seed in range(SAMPLES):
        rng = np.random.default_rng(seed)
        high = np.arange(n) % 2
        f = np.where(high, 0.99, 0.01) + rng.uniform(-0.005, 0.005, n)
        y = rng.random(n) < np.where(high, 0.9, 0.1)
        ((low, _),) = intervals(scored(y * 1, f, high, n_groups=2), CALIBRATION)
        # The bin in the middle is half of each, which cancel out.
        held += low <= 0.09 * 14 / 15
    assert held >= LEAST


def test_the_interval_holds_the_true_accuracy_in_most_samples():
    # Rows are decided by prob >= .5; the true accuracy is the mean of max(prob, 1 - prob).
    truth = rows(400_000, np.random.default_rng(9))
    accuracy = float(np.maximum(truth.prob, 1 - truth.prob).mean())
    held = 0
    for seed in range(100):
        # Percentiles of 100 draws would be too near to each other: .92 of samples.
        ((low, high),) = intervals(rows(300, np.random.default_rng(seed)), ACCURACY, draws=300)
        held += low <= accuracy <= high
    assert held >= 88


def test_an_undefined_figure_has_no_interval():
    one = scored([0, 1], [0.2, 0.9], [-1, -1], n_groups=2)
    hard, accuracy = intervals(one, HARD, ACCURACY, draws=5)
    assert np.isnan(hard).all()
    assert accuracy == (1.0, 1.0)


def test_a_gap_of_ones_own_at_the_base_rate_has_the_interval_of_the_gap_it_equals():
    """One with terms has no curve of the order: the decisions themselves are compared."""
    register_gap(GapType("own", "own", terms=lambda f, y, _: (f, (y == 1,))))
    try:
        people = rows(400, np.random.default_rng(0))
        kind = gap_measure("base_rate")
        (own,), (known,) = (
            bootstrap_intervals(people, [(kind, gap)], draws=50, rng=np.random.default_rng(1))
            for gap in ("own", "equal_opportunity")
        )
    finally:
        unregister_gap("own")
    assert own == pytest.approx(known, rel=1e-9)


def test_what_no_draw_defines_has_no_interval():
    assert np.isnan(percentile_interval(0.5, np.full(3, np.nan))).all()
    assert np.isnan(percentile_interval(math.nan, np.ones(3))).all()
    assert percentile_interval(0.5, np.array([0.6, np.nan])) == (0.5, pytest.approx(0.6))
