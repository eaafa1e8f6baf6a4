"""Gaps that the order of the scores decides: the definition, others' figures, properties, NaN."""

import warnings
from fractions import Fraction
from itertools import combinations, pairwise

import fairlearn.metrics as fairlearn
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from dralign import metrics
from dralign.errors import DataError, OptionError, UndefinedMetricWarning
from dralign.gaps import figure_names
from dralign.metrics.crossings import mean_spread
from dralign.metrics.rank_curves import rank_curves_of
from dralign.metrics.ranking import rank_gaps_of
from dralign.metrics.rates import descending_runs

MEASURES = {
    "base_rate": metrics.base_rate_gap,
    "all_cutoffs": metrics.all_cutoffs_gap,
    "largest_cutoff": metrics.largest_cutoff_gap,
}
CURVED = [gap for gap in figure_names() if gap != "predictive_parity"]
every_measure = pytest.mark.parametrize("measure", MEASURES)
every_gap = pytest.mark.parametrize("gap", CURVED)


def sample(n_groups: int = 2, seed: int = 0, n: int = 300, digits: int = 9):
    """Labels, probabilities (rounded, so that few digits make ties), and group names."""
    draw = np.random.default_rng(seed)
    group = draw.integers(0, n_groups, n)
    y = (draw.random(n) < 0.2 + 0.15 * group).astype(int)
    prob = np.round(0.4 * draw.random(n) + 0.3 * y + 0.1 * group, digits)
    return y, prob, np.array(["a", "b", "c", "d"])[group]


def quiet(function, *args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        return function(*args, **options)


# --- the definition, row by row, in fractions


def degree(score, scores, share: Fraction) -> Fraction:
    """How much of a row is selected where the share is: 1 above the cut-off, a part in its tie."""
    above = sum(other > score for other in scores)
    ties = sum(other == score for other in scores)
    return min(max((share * len(scores) - above) / ties, Fraction(0)), Fraction(1))


def rates(rows, gap: str, share: Fraction) -> list[list[Fraction]]:
    """For each stratum the rate of every group that has rows in it; rows are (y, score, a)."""
    scores = [score for _, score, _ in rows]
    codes = sorted({a for _, _, a in rows})

    def rate(code, keep):
        inside = [degree(s, scores, share) for y, s, a in rows if a == code and keep(y)]
        return Fraction(sum(inside), len(inside)) if inside else None

    labels = {"demographic_parity": [{0, 1}], "equal_opportunity": [{1}]}.get(gap, [{0}, {1}])
    by_stratum = [[rate(code, kept.__contains__) for code in codes] for kept in labels]
    if gap == "printed_predictive_parity":
        both = zip(*by_stratum, strict=True)
        by_stratum = [[None if None in pair else sum(pair) / 2 for pair in both]]
    return [[rate for rate in stratum if rate is not None] for stratum in by_stratum]


def gap_at(rows, gap: str, share: Fraction) -> Fraction | None:
    by_stratum = rates(rows, gap, share)
    if any(len(stratum) < 2 for stratum in by_stratum):
        return None
    return sum((max(stratum) - min(stratum) for stratum in by_stratum), Fraction(0))


def ends_of_ties(rows) -> list[Fraction]:
    scores = [score for _, score, _ in rows]
    ends = {sum(other >= score for other in scores) for score in scores}
    return [Fraction(end, len(rows)) for end in sorted({0, *ends})]


def exact_mean(rows, gap: str) -> Fraction | None:
    """The integral, by trapezoids between every two points at which any line may bend."""
    if gap_at(rows, gap, Fraction(1)) is None:
        return None
    points = set(ends_of_ties(rows))
    for left, right in pairwise(sorted(points)):
        before, after = rates(rows, gap, left), rates(rows, gap, right)
        for start, end in zip(before, after, strict=True):
            for i, j in combinations(range(len(start)), 2):
                d0, d1 = start[i] - start[j], end[i] - end[j]
                if d0 * d1 < 0:
                    points.add(left + (right - left) * d0 / (d0 - d1))
    points = sorted(points)
    values = [gap_at(rows, gap, q) for q in points]
    return sum(
        (right - left) * (low + high) / 2
        for (left, right), (low, high) in zip(pairwise(points), pairwise(values), strict=True)
    )


ROWS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(-3, 3), st.integers(0, 2)), min_size=1, max_size=14
)


@every_gap
@settings(max_examples=60)
@given(rows=ROWS)
def test_the_measures_are_those_of_the_definition_row_by_row(gap, rows):
    """Ties, empty cells, groups of one row, and up to three groups; in exact fractions."""
    y, score, a = (np.array(column) for column in zip(*rows, strict=True))
    ours = {
        name: quiet(measure, y, score, sensitive_features=a, gap=gap)
        for name, measure in MEASURES.items()
    }
    mean = exact_mean(rows, gap)
    if mean is None:
        assert np.isnan(list(ours.values())).all()
        return
    assert ours["all_cutoffs"] == pytest.approx(float(mean), abs=1e-12)
    largest = max(gap_at(rows, gap, q) for q in ends_of_ties(rows))
    assert ours["largest_cutoff"] == pytest.approx(float(largest), abs=1e-12)
    if 0 < y.sum() < len(y):
        base = gap_at(rows, gap, Fraction(int(y.sum()), len(y)))
        assert ours["base_rate"] == pytest.approx(float(base), abs=1e-12)
    else:
        assert np.isnan(ours["base_rate"])


@every_gap
@pytest.mark.parametrize("n_groups", [2, 4])
def test_the_mean_is_that_over_a_fine_grid_of_cutoffs(gap, n_groups):
    y, prob, group = sample(n_groups, n=60, digits=2)
    rows = list(zip(y.tolist(), prob.tolist(), group.tolist(), strict=True))
    grid = [gap_at(rows, gap, Fraction(2 * k + 1, 240)) for k in range(120)]
    ours = metrics.all_cutoffs_gap(y, prob, sensitive_features=group, gap=gap)
    assert ours == pytest.approx(float(sum(grid) / len(grid)), abs=2e-3)
    largest = metrics.largest_cutoff_gap(y, prob, sensitive_features=group, gap=gap)
    assert max(grid) <= largest + 1e-12


def test_values_worked_out_by_hand():
    """Three rows of each group; b is one place ahead, then a catches up."""
    score, group = [6, 5, 4, 3, 2, 1], list("babaab")
    y = [1, 0, 1, 0, 0, 0]
    values = {
        name: measure(y, score, sensitive_features=group) for name, measure in MEASURES.items()
    }
    # r_b - r_a after each row, in thirds: 1 0 1 0 -1 0; areas of the six pieces: all 1/2.
    assert values == pytest.approx({
        "base_rate": 0.0,
        "all_cutoffs": 1 / 6,
        "largest_cutoff": 1 / 3,
    })  # fmt: skip


# --- what others compute


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("digits", [2, 9])
def test_the_largest_gap_is_the_statistic_of_kolmogorov_and_smirnov(seed, digits):
    y, prob, group = sample(seed=seed, digits=digits)

    def statistic(keep):
        parts = [prob[keep & (group == code)] for code in "ab"]
        return scipy.stats.ks_2samp(*parts).statistic

    everyone = np.ones(len(y), dtype=bool)
    ours = metrics.largest_cutoff_gap(y, prob, sensitive_features=group)
    assert ours == pytest.approx(statistic(everyone), abs=1e-12)
    positives = metrics.largest_cutoff_gap(
        y, prob, sensitive_features=group, gap="equal_opportunity"
    )
    assert positives == pytest.approx(statistic(y == 1), abs=1e-12)


def test_equalized_odds_takes_both_labels_at_one_cutoff():
    """At most the sum of two statistics, each of which may have a cut-off of its own."""
    y, prob, group = sample(seed=3)
    apart = [
        scipy.stats.ks_2samp(*(prob[(y == label) & (group == code)] for code in "ab")).statistic
        for label in (0, 1)
    ]
    ours = metrics.largest_cutoff_gap(y, prob, sensitive_features=group, gap="equalized_odds")
    assert max(apart) <= ours <= sum(apart)


FAIRLEARN = {
    "demographic_parity": fairlearn.demographic_parity_difference,
    "equal_opportunity": fairlearn.equal_opportunity_difference,
}


@pytest.mark.parametrize("gap", FAIRLEARN)
@pytest.mark.parametrize("n_groups", [2, 4])
@pytest.mark.parametrize("seed", range(4))
def test_without_ties_the_base_rate_gap_is_fairlearns_of_the_decision(gap, n_groups, seed):
    y, prob, group = sample(n_groups, seed)
    assert len(set(prob)) == len(prob)
    decision = (prob >= np.sort(prob)[-y.sum()]).astype(int)
    assert decision.sum() == y.sum()
    ours = metrics.base_rate_gap(y, prob, sensitive_features=group, gap=gap)
    reference = FAIRLEARN[gap](y, decision, sensitive_features=group)
    assert ours == pytest.approx(reference, abs=1e-12)


def test_the_base_rate_gap_is_ours_of_the_decision_for_the_other_gaps():
    y, prob, group = sample(3)
    decision = (prob >= np.sort(prob)[-y.sum()]).astype(int)
    for gap, kind in (("equalized_odds", "sum"), ("predictive_parity", "difference")):
        hard = getattr(metrics, f"{gap}_{kind}")(y, decision, sensitive_features=group)
        ours = metrics.base_rate_gap(y, prob, sensitive_features=group, gap=gap)
        assert ours == pytest.approx(hard, abs=1e-12), gap


# --- properties


TRANSFORMS = {
    "halved": lambda s: s / 2,
    "logistic": lambda s: 1 / (1 + np.exp(-s / 4)),
    "cubed and shifted": lambda s: s**3 + 100.0,
    "negative exponential": lambda s: -np.exp(-s),
}


@every_gap
@settings(max_examples=40)
@given(rows=ROWS, name=st.sampled_from(sorted(TRANSFORMS)))
def test_increasing_transforms_change_nothing(gap, rows, name):
    y, score, a = (np.array(column) for column in zip(*rows, strict=True))
    other = TRANSFORMS[name](score.astype(float))
    for measure in MEASURES.values():
        before = quiet(measure, y, score, sensitive_features=a, gap=gap)
        after = quiet(measure, y, other, sensitive_features=a, gap=gap)
        assert before == after or np.isnan([before, after]).all()
    before, after = (quiet(metrics.average_precision, y, values) for values in (score, other))
    assert before == after or np.isnan([before, after]).all()


@every_gap
@settings(max_examples=40)
@given(rows=ROWS)
def test_range_order_of_rows_and_names_of_groups(gap, rows):
    y, score, a = (np.array(column) for column in zip(*rows, strict=True))
    values = {}
    for name, measure in MEASURES.items():
        values[name] = quiet(measure, y, score, sensitive_features=a, gap=gap)
        turned = quiet(measure, y[::-1], score[::-1], sensitive_features=2 - a[::-1], gap=gap)
        assert turned == pytest.approx(values[name], abs=1e-12, nan_ok=True)
        top = 2 if gap == "equalized_odds" else 1
        assert np.isnan(values[name]) or 0 <= values[name] <= top
    assert not values["all_cutoffs"] > values["largest_cutoff"] + 1e-12
    assert not values["base_rate"] > values["largest_cutoff"] + 1e-12


@every_gap
@every_measure
@pytest.mark.parametrize("n_groups", [2, 3])
def test_constant_scores_have_a_gap_of_exactly_zero(measure, gap, n_groups):
    y, prob, group = sample(n_groups)
    constant = np.full_like(prob, 0.3)
    assert MEASURES[measure](y, constant, sensitive_features=group, gap=gap) == 0


@every_measure
def test_rows_without_a_sensitive_value_do_not_count_for_the_share_either(measure):
    y, prob, group = sample(3)
    holes = group.astype(object)
    holes[::7] = None
    known = np.arange(len(y)) % 7 > 0
    for gap in CURVED:
        with_holes = MEASURES[measure](y, prob, sensitive_features=holes, gap=gap)
        without = MEASURES[measure](y[known], prob[known], sensitive_features=group[known], gap=gap)
        assert with_holes == without


def test_halved_probabilities_halve_the_soft_gap_end_the_hard_one_and_change_no_other():
    y, prob, group = sample()
    soft, hard = (
        [function(y, p, sensitive_features=group) for p in (prob, prob / 2)]
        for function in (
            metrics.soft_demographic_parity_difference,
            metrics.demographic_parity_difference,
        )
    )
    assert soft[0] == 2 * soft[1] > 0
    assert hard[0] > 0 == hard[1]
    for measure in MEASURES.values():
        for gap in CURVED:
            one, other = (
                measure(y, p, sensitive_features=group, gap=gap) for p in (prob, prob / 2)
            )
            assert one == other > 0
    assert metrics.average_precision(y, prob) == metrics.average_precision(y, prob / 2)


# --- undefined values


UNDEFINED = {
    "one group": ([1, 0, 1], "xxx", {}, r"all rows are in one group \('x'\); it is NaN"),
    "no label 1 in a group": (
        [1, 0, 0],
        "xxy",
        {"gap": "equal_opportunity"},
        "no rows give a rate for group 'y'; it is NaN",
    ),
    "no label 0 in a group": (
        [1, 0, 1],
        "xxy",
        {"gap": "equalized_odds"},
        "no rows give a rate for group 'y'; it is NaN",
    ),
}


@every_measure
@pytest.mark.parametrize(("y", "group", "options", "match"), UNDEFINED.values(), ids=UNDEFINED)
def test_what_is_undefined_is_nan_with_one_warning_that_says_why(measure, y, group, options, match):
    with pytest.warns(UndefinedMetricWarning, match=f"{measure}_gap: {match}") as caught:
        value = MEASURES[measure](y, [3, 2, 1], sensitive_features=list(group), **options)
    assert np.isnan(value)
    assert len(caught) == 1
    assert caught[0].filename == __file__, "the warning points at the caller"


@every_measure
def test_a_group_without_rows_of_the_label_is_left_out_where_two_are_left(measure):
    y, score, group = [1, 0, 1, 0, 0], [5, 4, 3, 2, 1], list("xxyyz")
    with pytest.warns(UndefinedMetricWarning, match="rate for group 'z'; left out"):
        value = MEASURES[measure](y, score, sensitive_features=group, gap="equal_opportunity")
    assert value > 0


@pytest.mark.parametrize(
    ("y", "match"), [([0, 0], "no row has label 1, so that nobody"), ([1, 1], "every row has")]
)
def test_the_base_rate_gap_of_one_label_is_nan_and_not_the_zero_of_selecting_nobody(y, match):
    with pytest.warns(UndefinedMetricWarning, match=match):
        assert np.isnan(metrics.base_rate_gap(y, [0.1, 0.2], sensitive_features=["x", "y"]))


def test_predictive_parity_has_no_value_at_all_cutoffs_and_needs_somebody_selected():
    y, prob, group = sample()
    for measure in (metrics.all_cutoffs_gap, metrics.largest_cutoff_gap):
        with pytest.warns(UndefinedMetricWarning, match="at small shares a group has nobody"):
            value = measure(y, prob, sensitive_features=group, gap="predictive_parity")
        assert np.isnan(value)
    with pytest.warns(UndefinedMetricWarning, match="rate for group 'y'; it is NaN"):
        value = metrics.base_rate_gap(
            [1, 0, 0], [3, 2, 1], sensitive_features=list("xxy"), gap="predictive_parity"
        )
    assert np.isnan(value)


def test_unknown_gaps_and_bad_scores_are_named():
    with pytest.raises(OptionError, match="unknown gap 'soft'; known: demographic_parity, equal"):
        metrics.base_rate_gap([0, 1], [1, 2], sensitive_features=[0, 1], gap="soft")
    with pytest.raises(DataError, match="y_pred: 1 of 2 values are NaN or infinite"):
        metrics.all_cutoffs_gap([0, 1], [1, np.inf], sensitive_features=[0, 1])
    three = np.eye(3)
    with pytest.raises(OptionError, match="'equal_opportunity' needs two classes, the scores have"):
        metrics.base_rate_gap(
            [0, 1, 2], three, sensitive_features=[0, 1, 0], gap="equal_opportunity"
        )
    three[2, 2] = np.inf
    with pytest.raises(DataError, match="y_pred: 1 of 9 values are NaN or infinite"):
        metrics.base_rate_gap([0, 1, 2], three, sensitive_features=[0, 1, 0])


# --- more than two classes


@pytest.mark.parametrize("gap", ["demographic_parity", "equalized_odds"])
@pytest.mark.parametrize("n_groups", [2, 3])
def test_classes_are_taken_one_against_the_rest_and_the_largest_counts(gap, n_groups):
    draw = np.random.default_rng(1)
    y, group = draw.integers(0, 3, 240), draw.integers(0, n_groups, 240)
    score = draw.normal(size=(240, 3)) + np.eye(3)[y] + 0.3 * group[:, None] * [0, 1, 2]
    strata = [y >= 0] if gap == "demographic_parity" else [y == label for label in range(3)]
    cells = [[kept & (group == a) for a in range(n_groups)] for kept in strata]
    base, mean, largest = [], [], []
    for c in range(3):
        order = np.argsort(-score[:, c])
        curves = [
            np.array([np.insert(np.cumsum(cell[order]), 0, 0) / cell.sum() for cell in of_stratum])
            for of_stratum in cells
        ]  # each (groups, rows + 1)
        base.append([np.ptp(curve[:, (y == c).sum()]) for curve in curves])
        fine = np.linspace(0, 240, 240 * 50 + 1)
        apart = [
            np.ptp([np.interp(fine, np.arange(241), line) for line in curve], axis=0)
            for curve in curves
        ]
        mean.append([scipy.integrate.trapezoid(part, fine) / 240 for part in apart])
        largest.append(sum(apart).max())
    ours = [measure(y, score, sensitive_features=group, gap=gap) for measure in MEASURES.values()]
    assert ours[0] == pytest.approx(np.max(base, axis=0).sum(), abs=1e-12)
    assert ours[1] == pytest.approx(np.max(mean, axis=0).sum(), abs=1e-5)
    assert ours[2] == pytest.approx(max(largest), abs=1e-12)


def test_a_class_without_rows_has_no_base_rate_and_does_not_count_there():
    y, group = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    score = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1], [0.4, 0.5, 0.1]])
    assert metrics.base_rate_gap(y, score, sensitive_features=group) == 0
    assert metrics.all_cutoffs_gap(y, score, sensitive_features=group) > 0


# --- many groups, and in one pass


@pytest.mark.parametrize("digits", [1, 9], ids=["lines meet in one point", "lines cross anywhere"])
@pytest.mark.parametrize("n_groups", [2, 3, 12, 40])
def test_the_mean_spread_is_that_of_cutting_at_every_crossing_of_two_lines(n_groups, digits):
    draw = np.random.default_rng(n_groups)
    taken = np.concatenate([[0], np.cumsum(draw.random(20))])
    rates = np.sort(draw.random((n_groups, 21)).round(digits), axis=1)
    wanted = 0.0
    for width, start, end in zip(np.diff(taken), rates.T[:-1], rates.T[1:], strict=True):
        cuts = [0.0, 1.0]
        for one in range(n_groups):
            for other in range(one):
                before, after = start[one] - start[other], end[one] - end[other]
                if before * after < 0:
                    cuts.append(before / (before - after))
        cuts.sort()
        spread = [np.ptp(start + cut * (end - start)) for cut in cuts]
        wanted += width * scipy.integrate.trapezoid(spread, cuts)
    result = mean_spread(taken, rates, np.ptp(rates, axis=0))
    assert result == pytest.approx(wanted / taken[-1], rel=1e-12)


@pytest.mark.parametrize("n_groups", [2, 3])
def test_one_pass_gives_what_the_functions_give(n_groups):
    y, prob, group = sample(n_groups, digits=2)
    codes = np.unique(group, return_inverse=True)[1]
    runs = descending_runs(prob)
    figures = rank_gaps_of(rank_curves_of(y.astype(float), prob, codes, n_groups, runs))
    expected = {
        f"{name}_{gap}": quiet(measure, y, prob, sensitive_features=group, gap=gap)
        for gap in figure_names()
        for name, measure in MEASURES.items()
    }
    assert figures == pytest.approx(expected, nan_ok=True)


def test_one_pass_over_nothing_is_nan_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for codes in (np.zeros(0, dtype=np.int64), np.full(3, -1)):
            y = np.zeros(len(codes))
            figures = rank_gaps_of(rank_curves_of(y, y, codes, 2))
            assert np.isnan(list(figures.values())).all()
