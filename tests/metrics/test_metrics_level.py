"""Beside the ranking: the level of probabilities, tables of groups, and quantiles of scores."""

import fairlearn.metrics as fairlearn
import numpy as np
import pytest
import sklearn.metrics as sklearn

from dralign import metrics
from dralign.errors import OptionError, UndefinedMetricWarning
from dralign.gaps import figure_names


def sample(n_groups: int = 2, seed: int = 0, n: int = 300):
    """Labels, probabilities, and group names."""
    draw = np.random.default_rng(seed)
    group = draw.integers(0, n_groups, n)
    y = (draw.random(n) < 0.2 + 0.15 * group).astype(int)
    return y, 0.4 * draw.random(n) + 0.3 * y + 0.1 * group, np.array(["a", "b", "c"])[group]


# --- level and calibration


@pytest.mark.parametrize("seed", range(4))
def test_brier_score_is_scikit_learns(seed):
    y, prob, _ = sample(seed=seed)
    assert metrics.brier_score(y, prob) == pytest.approx(sklearn.brier_score_loss(y, prob))


def test_calibration_error_is_that_of_bins_of_equally_many_rows():
    y, prob, _ = sample(n=300)
    order = np.argsort(prob)
    parts = [order[k * 20 : (k + 1) * 20] for k in range(15)]
    expected = sum(abs(prob[part].mean() - y[part].mean()) * 20 for part in parts) / 300
    assert metrics.expected_calibration_error(y, prob) == pytest.approx(expected)


def test_calibration_error_divides_a_tie_and_does_not_see_the_order_of_rows():
    """Six rows of .5 in two bins of three: each has half of the positives, in any order."""
    y = np.array([1, 1, 1, 1, 0, 0])
    for rows in (y, y[::-1], y[[0, 4, 1, 5, 2, 3]]):
        value = metrics.expected_calibration_error(rows, [0.5] * 6, bins=2)
        assert value == pytest.approx(4 / 6 - 0.5)
    assert metrics.expected_calibration_error([0, 1], [0.25, 0.75], bins=2) == pytest.approx(0.25)
    with pytest.raises(OptionError, match="bins: expected a positive number, got 0"):
        metrics.expected_calibration_error(y, [0.5] * 6, bins=0)


@pytest.mark.parametrize(
    "name", ["mean_probability", "brier_score", "expected_calibration_error", "same_decision_share"]
)
def test_figures_over_no_rows_are_nan_with_a_warning(name):
    with pytest.warns(UndefinedMetricWarning, match=f"{name}: there are no rows") as caught:
        assert np.isnan(getattr(metrics, name)([], []))
    assert caught[0].filename == __file__


def test_the_level_is_noted_when_it_is_more_than_a_quarter_off():
    shrank = "scores shrank: the soft gap is smaller for that reason too"
    swelled = "scores swelled: the soft gap changed for that reason too"
    notes = {0.1: shrank, 0.374: shrank, 0.375: None, 0.5: None, 0.625: None, 0.626: swelled}
    assert {level: metrics.level_note(level, 0.5) for level in notes} == notes
    assert metrics.level_note(0.1, 0.0) is None
    assert metrics.level_note(np.nan, 0.2) is None
    assert metrics.level_note(0.2, np.nan) is None


# --- groups


def test_a_score_at_the_threshold_is_a_positive_decision():
    y, score = [0, 1, 0, 1], [0.4, 0.4, 0.3, 0.5]
    (row,) = metrics.group_table(y, score, sensitive_features=["a"] * 4, threshold=0.4)
    assert row.selection_rate == 0.75


def test_the_table_of_groups_is_that_of_a_metric_frame():
    y, prob, group = sample(3)
    table = metrics.group_table(y, prob, sensitive_features=group, threshold=0.4)
    decision = (prob >= 0.4).astype(int)
    frame = fairlearn.MetricFrame(
        metrics={
            "rows": fairlearn.count,
            "selection_rate": fairlearn.selection_rate,
            "true_positive_rate": fairlearn.true_positive_rate,
            "false_positive_rate": fairlearn.false_positive_rate,
        },
        y_true=y,
        y_pred=decision,
        sensitive_features=group,
    ).by_group
    assert [row.group for row in table] == list("abc") == list(frame.index)
    for row in table:
        for name, value in frame.loc[row.group].items():
            assert getattr(row, name) == pytest.approx(value), name
        assert row.positives == y[group == row.group].sum()
        assert row.mean_score == pytest.approx(prob[group == row.group].mean())


def test_the_table_leaves_rows_without_a_group_out_and_names_a_missing_label():
    with pytest.warns(UndefinedMetricWarning, match="no rows in group 'x'; its rate is NaN"):
        x, z = metrics.group_table(
            [1, 1, 0, 1], [0.9, 0.1, 0.4, 0.6], sensitive_features=["x", None, "z", "z"]
        )
    assert (x.rows, x.positives, x.mean_score, x.selection_rate) == (1, 1, 0.9, 1)
    assert x.true_positive_rate == 1
    assert np.isnan(x.false_positive_rate)
    assert (z.rows, z.positives, z.true_positive_rate, z.false_positive_rate) == (2, 1, 1, 0)


def test_the_share_of_the_more_frequent_decision():
    assert metrics.same_decision_share([0, 1, 0, 1], [0.9, 0.1, 0.2, 0.3]) == 0.75
    assert metrics.same_decision_share([0, 1, 0, 1], [0.9, 0.6, 0.5, 0.3]) == 0.75
    assert metrics.same_decision_share([0, 1], [0.1, 0.2]) == 1


# --- quantiles


def like_adult(sizes=(2600, 600, 4000, 1845), seed=0):
    """9,045 rows in cells (group, label) of given sizes, with probabilities as on Adult."""
    draw = np.random.default_rng(seed)
    cell = np.repeat(np.arange(4), sizes)
    y, group = cell % 2, cell // 2
    logit = 1.6 * draw.normal(size=len(cell)) - 2.3 + 2.4 * y + 0.6 * group
    return y, 1 / (1 + np.exp(-logit)), group


def exact_measures(y, prob, group) -> dict[str, float]:
    return metrics.evaluate(y, prob, group.astype(np.int64), n_groups=2)


@pytest.mark.parametrize("seed", range(3))
def test_measures_come_back_from_the_quantiles_of_a_record(seed):
    y, prob, group = like_adult(seed=seed)
    kept = metrics.score_quantiles(y, prob, sensitive_features=group)
    assert kept.counts.tolist() == [[2600, 600], [4000, 1845]]
    assert kept.quantiles.dtype == np.float16
    assert kept.quantiles.nbytes == 4 * 128 * 2
    exact, back = exact_measures(y, prob, group), metrics.measures_from_quantiles(kept)
    assert set(back) == set(exact)
    for name, value in back.items():
        # Few rows at the top of the ranking weigh much in average precision.
        near = 0.01 if name == "average_precision" else 0.005
        assert value == pytest.approx(exact[name], abs=near, nan_ok=True), name


def test_cells_of_few_rows_are_kept_whole():
    """All that is lost is float16: scores on its steps come back exactly."""
    y, prob, group = like_adult((128, 5, 60, 1))
    prob = prob.astype(np.float16).astype(float)
    back = metrics.measures_from_quantiles(
        metrics.score_quantiles(y, prob, sensitive_features=group)
    )
    exact = exact_measures(y, prob, group)
    assert back == pytest.approx({name: exact[name] for name in back}, nan_ok=True)


def test_ties_cost_at_most_the_part_of_a_cell_between_two_quantiles():
    y, prob, group = like_adult()
    prob = prob.round(1)
    back = metrics.measures_from_quantiles(
        metrics.score_quantiles(y, prob, sensitive_features=group)
    )
    exact = exact_measures(y, prob, group)
    for name, value in back.items():
        if "predictive_parity" not in name:
            cells = 4 if "odds" in name else 2
            assert value == pytest.approx(exact[name], abs=cells / 127), name


def test_an_empty_cell_has_no_quantiles_and_undefined_measures():
    y, prob, group = like_adult((50, 0, 60, 40))
    kept = metrics.score_quantiles(y, prob, sensitive_features=group, points=16)
    assert np.isnan(kept.quantiles[0, 1]).all()
    back = metrics.measures_from_quantiles(kept)
    assert np.isnan(back["soft_equal_opportunity"])
    assert np.isnan(back["all_cutoffs_equalized_odds"])
    assert back["all_cutoffs_demographic_parity"] > 0
    with pytest.raises(OptionError, match="points: expected at least 2, got 1"):
        metrics.score_quantiles(y, prob, sensitive_features=group, points=1)


@pytest.mark.parametrize("gap", figure_names())
@pytest.mark.parametrize("places", [1, 3])
def test_decisions_at_the_base_rate_have_the_base_rate_gap(gap, places):
    """So a gap that only knows decisions has it too."""
    y, prob, group = like_adult((70, 30, 90, 60))
    group[::7] = -1
    rows = metrics.scored(y, np.round(prob, places), group.astype(np.int64), n_groups=2)
    assert rows.at_base_rate[group >= 0].sum() == pytest.approx(y[group >= 0].sum())
    assert not rows.at_base_rate[group < 0].any()
    expected = rows.rank_gaps[f"base_rate_{gap}"]
    assert rows.gap_of(gap, rows.at_base_rate) == pytest.approx(expected)
