"""Weights of rows: whole numbers are repeated rows, equal ones are none, others as fairlearn's."""

import inspect
import json
import math
import warnings

import fairlearn.metrics as fairlearn
import numpy as np
import pytest
import sklearn.metrics as sklearn

from dralign import metrics
from dralign.errors import DataError, UndefinedMetricWarning
from dralign.forms import to_json
from dralign.metrics.cells import Cells
from dralign.metrics.decisions import base_rate_threshold, same_decision
from dralign.metrics.measures import register_measure, unregister_measure
from dralign.metrics.quantiles import rows_from_quantiles
from dralign.metrics.recalibrated import log_odds, platt, recalibrated_gap
from dralign.metrics.resampling import bootstrap_intervals

PREDICTIONS = (
    "accuracy",
    "average_precision",
    "balanced_accuracy",
    "brier_score",
    "expected_calibration_error",
    "false_positive_rate",
    "mean_probability",
    "precision",
    "same_decision_share",
    "selection_rate",
    "true_positive_rate",
)
DISPARITIES = tuple(
    name
    for name in metrics.__all__
    if name.endswith(("_difference", "_ratio", "_sum"))
    or name in {"all_cutoffs_gap", "base_rate_gap", "largest_cutoff_gap"}
)
SEEDS = range(3)


def sample(seed: int = 0, n: int = 300, n_groups: int = 3):
    """Labels, probabilities of which some tie, groups and whole-number weights, also 0."""
    draw = np.random.default_rng(seed)
    group = draw.integers(0, n_groups, n)
    y = (draw.random(n) < 0.3 + 0.1 * group).astype(int)
    prob = np.round(np.clip(0.6 * draw.random(n) + 0.3 * y + 0.1 * group, 0, 1), 2)
    return y, prob, group, draw.integers(0, 5, n)


def uneven(seed: int = 0, n: int = 300):
    return np.random.default_rng(100 + seed).exponential(size=n) * 700


def called(name: str, y, prob, group, **options):
    function = getattr(metrics, name)
    if name in PREDICTIONS:
        return function(y, prob, **options)
    return function(y, prob, sensitive_features=group, **options)


def test_every_function_of_rows_takes_weights():
    rows = {
        name
        for name in metrics.__all__
        if callable(getattr(metrics, name))
        and "y_true" in inspect.signature(getattr(metrics, name)).parameters
    }
    assert rows >= {*PREDICTIONS, *DISPARITIES, "evaluate", "group_table", "score_quantiles"}
    for name in rows:
        parameter = inspect.signature(getattr(metrics, name)).parameters["sample_weight"]
        assert parameter.default is None, name
        assert name == "scored" or parameter.kind is parameter.KEYWORD_ONLY, name


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", [*PREDICTIONS, *DISPARITIES])
def test_whole_number_weights_equal_repeated_rows(name, seed):
    y, prob, group, weight = sample(seed)
    repeated = [np.repeat(values, weight) for values in (y, prob, group)]
    assert called(name, y, prob, group, sample_weight=weight) == pytest.approx(
        called(name, *repeated), abs=1e-12
    )


@pytest.mark.parametrize("name", [*PREDICTIONS, *DISPARITIES])
def test_rows_that_all_weigh_the_same_are_not_weighted(name):
    y, prob, group, _ = sample()
    same = np.full(len(y), 0.3)
    plain = called(name, y, prob, group)
    assert called(name, y, prob, group, sample_weight=same) == plain
    assert called(name, y, prob, group, sample_weight=uneven()) != plain


@pytest.mark.parametrize("name", [*PREDICTIONS, *DISPARITIES])
def test_the_unit_of_the_weights_does_not_count(name):
    y, prob, group, _ = sample()
    one = called(name, y, prob, group, sample_weight=uneven())
    assert called(name, y, prob, group, sample_weight=uneven() / 1e6) == pytest.approx(one)


@pytest.mark.parametrize("seed", SEEDS)
def test_predictions_equal_those_of_scikit_learn(seed):
    y, prob, _, _ = sample(seed)
    decision, weight = (prob >= 0.5).astype(int), uneven(seed)
    for name, other in {
        "accuracy": sklearn.accuracy_score,
        "balanced_accuracy": sklearn.balanced_accuracy_score,
        "true_positive_rate": sklearn.recall_score,
        "precision": sklearn.precision_score,
        "selection_rate": fairlearn.selection_rate,
        "false_positive_rate": fairlearn.false_positive_rate,
    }.items():
        wanted = other(y, decision, sample_weight=weight)
        assert getattr(metrics, name)(y, decision, sample_weight=weight) == pytest.approx(wanted)
    for name, other in {
        "average_precision": sklearn.average_precision_score,
        "brier_score": sklearn.brier_score_loss,
    }.items():
        wanted = other(y, prob, sample_weight=weight)
        assert getattr(metrics, name)(y, prob, sample_weight=weight) == pytest.approx(wanted)


@pytest.mark.parametrize(
    "name",
    [
        "demographic_parity_difference",
        "demographic_parity_ratio",
        "equalized_odds_difference",
        "equalized_odds_ratio",
        "equal_opportunity_difference",
        "equal_opportunity_ratio",
    ],
)
def test_disparities_equal_those_of_fairlearn(name):
    y, prob, group, _ = sample()
    decision = (prob >= 0.5).astype(int)
    given = {"sensitive_features": group, "sample_weight": uneven()}
    wanted = getattr(fairlearn, name)(y, decision, **given)
    assert getattr(metrics, name)(y, decision, **given) == pytest.approx(wanted)


def test_metric_frame_hands_weights_to_our_functions():
    y, prob, group, _ = sample()
    decision, weight = (prob >= 0.5).astype(int), uneven()
    names = {"accuracy": sklearn.accuracy_score, "selection_rate": fairlearn.selection_rate}
    given = {
        "y_true": y,
        "y_pred": decision,
        "sensitive_features": group,
        "sample_params": {name: {"sample_weight": weight} for name in names},
    }
    ours = fairlearn.MetricFrame(metrics={name: getattr(metrics, name) for name in names}, **given)
    theirs = fairlearn.MetricFrame(metrics=names, **given)
    assert ours.by_group.to_numpy() == pytest.approx(theirs.by_group.to_numpy())
    assert ours.overall.to_numpy() == pytest.approx(theirs.overall.to_numpy())


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_figures_of_a_record_equal_those_of_repeated_rows(n_classes):
    y, prob, group, weight = sample()
    if n_classes == 3:
        draw = np.random.default_rng(5)
        y, prob = draw.integers(0, 3, len(y)), draw.dirichlet(np.ones(3), len(y))
    group = np.where(np.arange(len(y)) % 17, group, -1)
    figures = metrics.evaluate(y, prob, group, n_groups=3, sample_weight=weight)
    repeated = [np.repeat(values, weight, axis=0) for values in (y, prob, group)]
    wanted = metrics.evaluate(*repeated, n_groups=3)
    assert figures.keys() == wanted.keys()
    for name, value in figures.items():
        assert value == pytest.approx(wanted[name], abs=1e-9, nan_ok=True), name
    assert any(
        value != metrics.evaluate(y, prob, group, n_groups=3)[n] for n, value in figures.items()
    )


def test_decisions_at_the_base_rate_are_those_of_repeated_rows():
    y, prob, group, weight = sample()
    rows = metrics.scored(y, prob, group, n_groups=3, sample_weight=weight)
    repeated = metrics.scored(
        *(np.repeat(values, weight) for values in (y, prob, group)), n_groups=3
    )
    assert rows.gap_of("equalized_odds", rows.at_base_rate) == pytest.approx(
        repeated.gap_of("equalized_odds", repeated.at_base_rate)
    )


def test_the_threshold_of_the_base_rate_is_that_of_repeated_rows():
    for seed in SEEDS:
        y, prob, _, weight = sample(seed)
        wanted = base_rate_threshold(np.repeat(y, weight), np.repeat(prob, weight))
        assert base_rate_threshold(y, prob, sample_weight=weight) == wanted


def test_a_measure_that_takes_no_weights_has_no_figure_of_weighted_rows():
    y, prob, group, weight = sample()
    register_measure(metrics.Measure("heaviest", "heaviest", "", lambda rows: rows.prob.max()))
    try:
        given = {"group": group, "n_groups": 3}
        assert metrics.evaluate(y, prob, **given)["heaviest"] == prob.max()
        assert math.isnan(metrics.evaluate(y, prob, **given, sample_weight=weight)["heaviest"])
    finally:
        unregister_measure("heaviest")


# --- groups and cells


def test_the_table_of_groups_counts_rows_and_weighs_shares():
    y, prob, group, weight = sample()
    table = metrics.group_table(y, prob, sensitive_features=group, sample_weight=weight)
    repeated = [np.repeat(values, weight) for values in (y, prob, group)]
    wanted = metrics.group_table(*repeated[:2], sensitive_features=repeated[2])
    for code, (row, other) in enumerate(zip(table, wanted, strict=True)):
        assert row.rows == np.sum((group == code) & (weight > 0))
        assert row.weight == other.rows
        assert other.weight is None
        for name in (
            "mean_score",
            "selection_rate",
            "true_positive_rate",
            "false_positive_rate",
            "base_rate",
        ):
            assert getattr(row, name) == pytest.approx(getattr(other, name)), name
        assert other.base_rate == other.positives / other.rows


def test_quantiles_are_those_at_which_parts_of_the_weight_are_reached():
    y, prob, group, _ = sample(n_groups=2)
    weight = uneven()
    kept = metrics.score_quantiles(
        y, prob, sensitive_features=group, points=9, sample_weight=weight
    )
    for code in (0, 1):
        for label in (0, 1):
            inside = (group == code) & (y == label)
            order = np.argsort(prob[inside])
            reached = np.cumsum(weight[inside][order])
            first = np.searchsorted(reached / reached[-1], np.linspace(0, 1, 9))
            wanted = prob[inside][order][first]
            assert kept.quantiles[code, label] == pytest.approx(wanted, abs=1e-3)
            assert kept.weights[code, label] == pytest.approx(weight[inside].sum())
            assert kept.counts[code, label] == inside.sum()


def test_measures_come_back_from_weighted_quantiles():
    draw = np.random.default_rng(0)
    n = 8000
    group = draw.integers(0, 2, n)
    y = (draw.random(n) < 0.3 + 0.2 * group).astype(int)
    prob = 1 / (1 + np.exp(-draw.normal(y + 0.4 * group - 0.7, 1)))
    weight = draw.exponential(size=n) + 2 * prob
    kept = metrics.score_quantiles(y, prob, sensitive_features=group, sample_weight=weight)
    wanted = metrics.evaluate(y, prob, group, n_groups=2, sample_weight=weight)
    result = metrics.measures_from_quantiles(kept)
    for name in (
        "mean_probability",
        "positive_share",
        "soft_equalized_odds",
        "base_rate_demographic_parity",
    ):
        assert result[name] == pytest.approx(wanted[name], abs=0.01), name
    plain = metrics.evaluate(y, prob, group, n_groups=2)
    assert abs(plain["mean_probability"] - wanted["mean_probability"]) > 0.03


@pytest.mark.parametrize("seed", range(3))
def test_all_measures_come_back_from_the_weighted_quantiles_of_a_record(seed):
    draw = np.random.default_rng(seed)
    n = 9045
    y = (draw.random(n) < 0.25).astype(float)
    group = draw.integers(0, 2, n)
    prob = 1 / (1 + np.exp(-(1.3 * draw.normal(size=n) - 2 + 2 * y + 0.5 * group)))
    weight = draw.exponential(size=n) + 0.1
    kept = metrics.score_quantiles(y, prob, sensitive_features=group, sample_weight=weight)
    result = metrics.measures_from_quantiles(kept)
    wanted = metrics.evaluate(y, prob, group, n_groups=2, sample_weight=weight)
    for name, value in result.items():
        if "predictive_parity" not in name:
            assert value == pytest.approx(wanted[name], abs=0.01), name


def test_a_weighted_cell_of_few_rows_keeps_its_weight_and_its_ends():
    y, prob = np.array([0, 0, 0, 1.0]), np.array([0.25, 0.5, 0.75, 0.5])
    kept = metrics.score_quantiles(
        y, prob, sensitive_features=["a"] * 4, sample_weight=[6.0, 3.0, 1.0, 2.0]
    )
    labels, scores, codes, weight = rows_from_quantiles(kept)
    assert [*codes] == [0] * 256
    below = labels == 0
    assert (weight[below].sum(), weight[~below].sum()) == pytest.approx((10, 2))
    for score, share in {0.25: 0.6, 0.5: 0.3, 0.75: 0.1}.items():
        found = weight[below & (scores == score)].sum() / 10
        assert found == pytest.approx(share, abs=1 / 127)


def cells_of(weight) -> Cells:
    y, prob, group, _ = sample()
    cells = Cells.of(metrics.scored(y, prob, group, n_groups=3, sample_weight=weight))
    assert cells is not None
    return cells


def test_cells_without_weights_are_written_without_a_word_of_them():
    assert [*cells_of(None).to_dict()] == ["counts", "selected", "mean_scores", "quantiles"]
    assert cells_of(np.full(300, 2.0)) == cells_of(None)
    assert cells_of(None).effective_rows == tuple(
        sum(cells_of(None).counts[2 * g : 2 * g + 2]) for g in range(3)
    )


def test_weighted_cells_come_back_from_json_and_give_the_same_groups():
    y, prob, group, _ = sample()
    cells = cells_of(uneven())
    again = Cells.from_dict(json.loads(to_json(cells.to_dict())))
    assert again == cells
    table = metrics.group_table(y, prob, sensitive_features=group, sample_weight=uneven())
    for row, wanted in zip(again.group_rows(["0", "1", "2"]), table, strict=True):
        assert (row.group, row.rows, row.positives) == (wanted.group, wanted.rows, wanted.positives)
        assert row.selection_rate == pytest.approx(wanted.selection_rate)
        assert row.weight == pytest.approx(wanted.weight)
        assert row.base_rate == pytest.approx(wanted.base_rate)
    weight = [uneven()[group == code] for code in range(3)]
    assert cells.effective_rows == pytest.approx([w.sum() ** 2 / (w**2).sum() for w in weight])


@pytest.mark.parametrize(
    "change",
    [
        {"weights": None},
        {"weights": [1.0]},
        {"weights": [-1.0] * 6},
        {"selected": [1e9] * 6},
        {"squares": "none"},
        {"weights": [0.0] * 6, "squares": [0.0] * 6, "selected": [0.0] * 6},
        {"squares": [0.0] * 6},
        {"squares": [1e9] * 6},
        {"weights": [1e308] * 6, "squares": [1e308] * 6},
        {"counts": [0] * 6},
        {"counts": [-1] * 6},
    ],
)
def test_weighted_cells_that_do_not_belong_together_are_refused(change):
    form = {k: v for k, v in (cells_of(uneven()).to_dict() | change).items() if v is not None}
    with pytest.raises(DataError, match="cells"):
        Cells.from_dict(form)


def test_recalibration_heeds_the_weights():
    y, prob, _, weight = sample()
    wanted = platt(np.repeat(y, weight).astype(float), log_odds(np.repeat(prob, weight)))
    assert platt(y.astype(float), log_odds(prob), weight.astype(float)) == pytest.approx(wanted)
    cells = cells_of(uneven())
    assert recalibrated_gap(cells, cells, "demographic_parity") != recalibrated_gap(
        cells_of(None), cells_of(None), "demographic_parity"
    )


# --- what can't be


@pytest.mark.parametrize(
    ("weight", "line"),
    [
        ([1, 2], "expected 3 rows, got 2"),
        ([1, -2, 3], "from 0 up, got 1 others among 3"),
        ([1, np.nan, np.inf], "from 0 up, got 2 others among 3"),
        (["a", "b", "c"], "expected numbers"),
        (2.0, "expected one value a row"),
    ],
)
def test_weights_that_can_not_be_are_refused(weight, line):
    with pytest.raises(DataError, match=f"sample_weight: .*{line}"):
        metrics.accuracy([0, 1, 1], [0, 1, 0], sample_weight=weight)


def test_rows_are_drawn_with_their_weights():
    """Only rows of label 1 and score .9 weigh much, so every draw has nearly their mean score."""
    y, prob, group, _ = sample()
    prob = np.where(y == 1, 0.9, 0.1)
    weight = np.where(y == 1, 1e6, 1.0)
    rows = metrics.scored(y, prob, group, n_groups=3, sample_weight=weight)
    measure = metrics.measure("mean_probability")
    (drawn,) = bootstrap_intervals(rows, [(measure, "")], draws=20, rng=np.random.default_rng(0))
    assert drawn == pytest.approx((0.9, 0.9), abs=1e-4)


def test_rows_that_all_weigh_nothing_have_no_figures():
    y, prob, group, _ = sample()
    nothing = np.zeros(len(y))
    for name in (*PREDICTIONS, *DISPARITIES):
        with pytest.warns(UndefinedMetricWarning):
            assert math.isnan(called(name, y, prob, group, sample_weight=nothing)), name
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures = metrics.evaluate(y, prob, group, n_groups=3, sample_weight=nothing)
    assert all(math.isnan(value) for value in figures.values())


def test_nearly_all_of_the_weight_may_lie_on_one_decision():
    decision = np.array([0] * 20 + [1] * 20)
    weight = np.array([1.0] * 20 + [1000.0] * 20)
    assert not same_decision(decision, "rows")
    assert same_decision(decision, "rows", weight=weight).startswith("99.9 % of the rows get")
