"""Metrics on arrays: equal to scikit-learn, fairlearn and plain loops; undefined values say so."""

import math
import subprocess
import sys
import warnings

import fairlearn.metrics as fairlearn
import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sklearn
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dralign import metrics
from dralign.errors import (
    DataError,
    GroupError,
    GroupTypeError,
    OptionError,
    UndefinedMetricWarning,
)
from dralign.gaps import figure_names

SEEDS = range(5)
PRINTED = "printed_predictive_parity"


def sample(n_groups: int = 2, seed: int = 0, n: int = 300):
    """Labels, probabilities rounded so that some tie, and group names."""
    draw = np.random.default_rng(seed)
    group = draw.integers(0, n_groups, n)
    y = (draw.random(n) < 0.3 + 0.1 * group).astype(int)
    prob = np.round(np.clip(0.3 * draw.random(n) + 0.3 * y + 0.1 * group, 0, 1), 2)
    return y, prob, np.array(["a", "b", "c", "d"])[group]


def rates_by_loop(y, f, group, keep) -> list[float]:
    """The mean of f in each group, over the rows that keep lets through."""
    return [
        np.mean([p for p, label, a in zip(f, y, group, strict=True) if a == code and keep(label)])
        for code in sorted(set(group))
    ]


# --- predictions


PREDICTIONS = {
    "accuracy": sklearn.accuracy_score,
    "balanced_accuracy": sklearn.balanced_accuracy_score,
    "true_positive_rate": sklearn.recall_score,
    "precision": sklearn.precision_score,
    "selection_rate": fairlearn.selection_rate,
    "false_positive_rate": fairlearn.false_positive_rate,
}


@pytest.mark.parametrize(("name", "reference"), PREDICTIONS.items(), ids=PREDICTIONS)
@pytest.mark.parametrize("seed", SEEDS)
def test_prediction_metrics_equal_the_reference_on_decisions(name, reference, seed):
    y, prob, _ = sample(seed=seed)
    decision = (prob >= 0.5).astype(int)
    metric = getattr(metrics, name)
    assert metric(y, decision) == pytest.approx(reference(y, decision))
    assert metric(y, prob) == metric(y, decision), "probabilities count as decisions at 0.5"


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(-4, 4)), min_size=1, max_size=30))
def test_average_precision_equals_scikit_learn(rows):
    """Also with ties, constant scores, and scores that are no probabilities."""
    y, score = (np.array(column) for column in zip(*rows, strict=True))
    if not y.any():
        y[0] = 1
    expected = sklearn.average_precision_score(y, score)
    assert metrics.average_precision(y, score) == pytest.approx(expected, abs=1e-12)


def test_average_precision_of_a_constant_score_is_the_share_of_positives():
    assert metrics.average_precision([1, 0, 0, 0], [0.7] * 4) == pytest.approx(0.25)


@pytest.mark.parametrize("name", [*PREDICTIONS, "average_precision"])
def test_prediction_metrics_work_inside_metric_frame(name):
    y, prob, group = sample(3)
    metric = getattr(metrics, name)
    frame = fairlearn.MetricFrame(
        metrics=metric, y_true=y, y_pred=prob, sensitive_features=group
    ).by_group
    assert frame.to_dict() == {
        code: metric(y[group == code], prob[group == code]) for code in "abc"
    }


UNDEFINED = {
    "average_precision": ([0, 0], "average_precision: no row has label 1"),
    "accuracy": ([], "accuracy: there are no rows"),
    "balanced_accuracy": ([1, 1], "balanced_accuracy: a label has no rows"),
    "selection_rate": ([], "selection_rate: there are no rows"),
    "true_positive_rate": ([0, 0], "true_positive_rate: no row has label 1"),
    "false_positive_rate": ([1, 1], "false_positive_rate: no row has label 0"),
    "precision": ([1, 0], "precision: no decision is positive"),
}


@pytest.mark.parametrize("name", UNDEFINED)
def test_undefined_prediction_metric_is_nan_with_one_warning(name):
    y, message = UNDEFINED[name]
    with pytest.warns(UndefinedMetricWarning, match=message) as caught:
        value = getattr(metrics, name)(y, [0.1] * len(y))
    assert np.isnan(value)
    assert len(caught) == 1
    assert caught[0].filename == __file__, "the warning points at the caller"


# --- disparities


SHARED_WITH_FAIRLEARN = (
    "demographic_parity_difference",
    "demographic_parity_ratio",
    "equalized_odds_difference",
    "equalized_odds_ratio",
    "equal_opportunity_difference",
    "equal_opportunity_ratio",
)


@pytest.mark.parametrize("name", SHARED_WITH_FAIRLEARN)
@pytest.mark.parametrize("n_groups", [2, 3, 4])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_name_that_fairlearn_has_means_the_same(name, n_groups, seed):
    y, prob, group = sample(n_groups, seed)
    decision = (prob >= 0.5).astype(int)
    for options in ({}, {"agg": "mean"}) if "odds" in name else ({},):
        given = {"sensitive_features": group, **options}
        if name == "equalized_odds_ratio" and not decision[y == 0].any():
            with pytest.warns(UndefinedMetricWarning, match="divide by a rate of 0"):
                ours = getattr(metrics, name)(y, decision, **given)
            assert np.isnan(ours), "theirs passes over 0 / 0, and is of true positives alone"
            continue
        ours = getattr(metrics, name)(y, decision, **given)
        assert ours == pytest.approx(getattr(fairlearn, name)(y, decision, **given), abs=1e-12)


def test_all_names_that_fairlearn_has_are_tried():
    both = set(dir(fairlearn)) & set(metrics.__all__)
    known = {name for name in both if name.endswith(("_difference", "_ratio"))}
    assert known <= {*SHARED_WITH_FAIRLEARN}


DERIVED = {
    "predictive_parity_difference": sklearn.precision_score,
    "accuracy_difference": sklearn.accuracy_score,
}


@pytest.mark.parametrize("name", DERIVED)
@pytest.mark.parametrize("n_groups", [2, 3])
def test_equal_to_the_difference_of_a_metric_frame(name, n_groups):
    y, prob, group = sample(n_groups)
    decision = (prob >= 0.5).astype(int)
    frame = fairlearn.MetricFrame(
        metrics=DERIVED[name], y_true=y, y_pred=decision, sensitive_features=group
    )
    ours = getattr(metrics, name)(y, prob, sensitive_features=group)
    assert ours == pytest.approx(frame.difference())


def test_average_precision_difference_is_taken_on_scores():
    y, prob, group = sample(3)
    parts = [sklearn.average_precision_score(y[group == a], prob[group == a]) for a in "abc"]
    ours = metrics.average_precision_difference(y, prob, sensitive_features=group)
    assert ours == pytest.approx(max(parts) - min(parts))


@pytest.mark.parametrize("n_groups", [2, 3])
@pytest.mark.parametrize("seed", SEEDS)
def test_soft_forms_equal_plain_loops(n_groups, seed):
    y, prob, group = sample(n_groups, seed)
    everything = rates_by_loop(y, prob, group, lambda label: True)
    negatives = rates_by_loop(y, prob, group, lambda label: label == 0)
    positives = rates_by_loop(y, prob, group, lambda label: label == 1)
    weighted = rates_by_loop(y, prob * y, group, lambda label: True)
    precisions = [part / whole for part, whole in zip(weighted, everything, strict=True)]
    expected = {
        "soft_demographic_parity": np.ptp(everything),
        "soft_equalized_odds": np.ptp(negatives) + np.ptp(positives),
        "soft_equal_opportunity": np.ptp(positives),
        "soft_predictive_parity": np.ptp(precisions),
    }
    for name, value in expected.items():
        metric = getattr(metrics, f"{name}_difference")
        assert metric(y, prob, sensitive_features=group) == pytest.approx(value), name


# Two groups of two labels: true positive rates 1/2 and 1, false positive rates 0 and 1/2.
Y = np.array([1, 1, 0, 0, 1, 1, 0, 0])
DECISION = np.array([1, 0, 0, 0, 1, 1, 1, 0])
A = np.array(["f"] * 4 + ["m"] * 4)


def test_equalized_odds_are_added_under_the_name_of_eq_2():
    given = {"sensitive_features": A}
    assert metrics.equalized_odds_sum(Y, DECISION, **given) == 1
    assert metrics.equalized_odds_difference(Y, DECISION, **given) == 0.5
    with pytest.raises(OptionError, match="unknown agg 'sum'; known: worst_case, mean"):
        metrics.equalized_odds_difference(Y, DECISION, agg="sum", **given)


def test_the_printed_ratio_of_two_groups_is_the_first_over_the_second():
    """The paper's TPR_{a=0} / TPR_{a=1} (A.11), which may exceed 1."""
    for group, value in ((A, 0.5), (A == "f", 2)):
        given = {"sensitive_features": group}
        assert metrics.printed_equal_opportunity_ratio(Y, DECISION, **given) == value
        assert metrics.equal_opportunity_ratio(Y, DECISION, **given) == 0.5


def test_equal_opportunity_ratio_of_more_groups_is_the_smallest_over_the_largest():
    y, prob, group = sample(3)
    decision = (prob >= 0.5).astype(int)
    ours = metrics.equal_opportunity_ratio(y, prob, sensitive_features=group)
    assert ours == pytest.approx(
        fairlearn.equal_opportunity_ratio(y, decision, sensitive_features=group)
    )


def test_rows_without_a_sensitive_value_are_left_out():
    y, prob, group = sample(3)
    holes = group.astype(object)
    holes[::7] = None
    known = holes != None  # noqa: E711 - compares each element
    for name in (name for name in metrics.__all__ if name.endswith("difference")):
        disparity = getattr(metrics, name)
        with_holes = disparity(y, prob, sensitive_features=holes)
        assert with_holes == disparity(y[known], prob[known], sensitive_features=group[known]), name


def test_several_sensitive_columns_are_crossed():
    y, prob, group = sample(2)
    columns = pd.DataFrame({"one": group, "two": np.arange(len(y)) % 2})
    crossed = [f"{one} & {two}" for one, two in columns.itertuples(index=False)]
    for features in (columns, dict(columns)):
        ours = metrics.demographic_parity_difference(y, prob, sensitive_features=features)
        assert ours == metrics.demographic_parity_difference(y, prob, sensitive_features=crossed)


DISPARITIES = [name for name in metrics.__all__ if name.endswith(("_difference", "_ratio"))]


@pytest.mark.parametrize("name", DISPARITIES)
def test_one_group_has_no_disparity(name):
    with pytest.warns(UndefinedMetricWarning, match=rf"{name}: all rows are in one group \('x'\)"):
        value = getattr(metrics, name)(Y, DECISION, sensitive_features=["x"] * 8)
    assert np.isnan(value)


CONDITIONAL = [name for name in DISPARITIES if "equal" in name or "average_precision" in name]


@pytest.mark.parametrize("name", CONDITIONAL)
def test_group_without_positives_makes_a_conditional_disparity_undefined(name):
    """Two groups, one without label 1: NaN with one warning, where fairlearn counts a rate of 0."""
    y = Y * (A == "f")
    with pytest.warns(UndefinedMetricWarning, match="rate for group 'm'; it is NaN") as caught:
        value = getattr(metrics, name)(y, DECISION, sensitive_features=A)
    assert np.isnan(value)
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_group_without_a_rate_is_left_out_where_two_others_have_one():
    y, decision = np.append(Y, 0), np.append(DECISION, 1)
    with pytest.warns(UndefinedMetricWarning, match="rate for group 'z'; left out"):
        value = metrics.equal_opportunity_difference(
            y, decision, sensitive_features=np.append(A, "z")
        )
    assert value == 0.5


def test_no_ratio_divides_by_zero():
    """Neither 0 / 0 nor the infinite 0.5 / 0 of two groups."""
    nobody, one_group = DECISION * 0, DECISION * (A == "f")
    for name, decision in (
        ("demographic_parity_ratio", nobody),
        ("equalized_odds_ratio", nobody),
        ("equal_opportunity_ratio", nobody),
        ("printed_equal_opportunity_ratio", nobody),
        ("printed_equal_opportunity_ratio", one_group),
    ):
        with pytest.warns(UndefinedMetricWarning, match="ratio: it would divide by a rate of 0"):
            value = getattr(metrics, name)(Y, decision, sensitive_features=A)
        assert np.isnan(value)
    assert metrics.equal_opportunity_ratio(Y, one_group, sensitive_features=A) == 0


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1), st.integers(-1, 2)), max_size=25))
def test_record_is_in_range_or_nan(rows):
    """Any small sample, with empty cells: no warning, and a permutation of rows changes nothing."""
    y, prob, group = (np.array(c) for c in zip(*rows, strict=True)) if rows else ([], [], [])
    group = np.asarray(group, dtype=np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        record = metrics.evaluate(y, prob, group, n_groups=3)
        turned = metrics.evaluate(y[::-1], prob[::-1], group[::-1], n_groups=3)
    assert turned == pytest.approx(record, nan_ok=True)
    for name, value in record.items():
        top = 2 if "odds" in name else 1
        assert np.isnan(value) or 0 <= value <= top + 1e-12, name


# --- the record

NO_CURVE = [(name, "predictive_parity") for name in ("all_cutoffs", "largest_cutoff")]


@pytest.mark.parametrize("n_groups", [2, 3])
def test_record_equals_the_single_functions(n_groups):
    y, prob, group = sample(n_groups)
    codes = np.unique(group, return_inverse=True)[1]
    record = metrics.evaluate(y, prob, codes, n_groups=n_groups)
    kinds = {("hard", "equalized_odds"): "sum"}  # records have Eq. 2
    gaps = {
        f"{form}_{name}": getattr(
            metrics, f"{prefix}{name}_{kinds.get((form, name), 'difference')}"
        )(y, prob, sensitive_features=group)
        for name in figure_names()
        if name != PRINTED
        for form, prefix in (("soft", "soft_"), ("hard", ""))
    }
    for form in ("soft", "hard"):
        gaps[f"{form}_{PRINTED}"] = record[f"{form}_{PRINTED}"]  # it has no function of its own
    for name in ("base_rate", "all_cutoffs", "largest_cutoff"):
        gaps |= {
            f"{name}_{gap}": getattr(metrics, f"{name}_gap")(
                y, prob, sensitive_features=group, gap=gap
            )
            for gap in figure_names()
            if (name, gap) not in NO_CURVE
        }
    singles = (
        "average_precision",
        "accuracy",
        "balanced_accuracy",
        "mean_probability",
        "brier_score",
        "expected_calibration_error",
        "same_decision_share",
    )
    expected = {name: getattr(metrics, name)(y, prob) for name in singles} | gaps
    expected["positive_share"] = np.mean(y)
    assert record == pytest.approx(expected)


@pytest.mark.parametrize("n_groups", [2, 3])
def test_printed_predictive_parity_is_that_of_the_batches_it_is_trained_on(n_groups):
    """Rows repeated until every cell has the same number of them: there it is the DP gap."""
    y, prob, group = sample(n_groups, n=120)
    codes = np.unique(group, return_inverse=True)[1]
    cells = [np.flatnonzero((codes == a) & (y == v)) for a in range(n_groups) for v in (0, 1)]
    size = np.lcm.reduce([len(cell) for cell in cells])
    balanced = np.concatenate([np.tile(cell, size // len(cell)) for cell in cells])
    record = metrics.evaluate(y, prob, codes, n_groups=n_groups)
    drawn = metrics.evaluate(y[balanced], prob[balanced], codes[balanced], n_groups=n_groups)
    for form in ("soft", "hard"):
        assert record[f"{form}_{PRINTED}"] == pytest.approx(drawn[f"{form}_demographic_parity"])
        assert record[f"{form}_{PRINTED}"] != pytest.approx(record[f"{form}_demographic_parity"])


def test_record_leaves_rows_of_no_group_out_of_the_gaps_only():
    y, prob, group = sample()
    codes = np.unique(group, return_inverse=True)[1]
    known = np.arange(len(y)) % 3 > 0
    record = metrics.evaluate(y, prob, np.where(known, codes, -1), n_groups=2)
    whole = metrics.evaluate(y, prob, codes, n_groups=2)
    part = metrics.evaluate(y[known], prob[known], codes[known], n_groups=2)
    of_gaps = {measure.key(gap) for measure in metrics.all_measures() for gap in figure_names()}
    singles = {measure.name for measure in metrics.all_measures() if not measure.of_gap}
    for name, value in record.items():
        expected = (whole if name in singles else part)[name]
        assert value == expected or (math.isnan(value) and math.isnan(expected)), name
    assert record.keys() == singles | (of_gaps & record.keys())


def test_record_is_nan_where_undefined():
    """One group without positives and no positive decision; the rest is still defined."""
    record = metrics.evaluate([1, 0, 0], [0.4, 0.1, 0.2], np.array([0, 0, 1]), n_groups=2)
    assert {name for name, value in record.items() if np.isnan(value)} == {
        "soft_equalized_odds",
        "hard_equalized_odds",
        "soft_equal_opportunity",
        "hard_equal_opportunity",
        "hard_predictive_parity",
        f"soft_{PRINTED}",
        f"hard_{PRINTED}",
        *(
            f"{name}_{gap}"
            for name in ("base_rate", "all_cutoffs", "largest_cutoff")
            for gap in ("equalized_odds", "equal_opportunity", PRINTED)
        ),
        "base_rate_predictive_parity",
    }


# --- bad input


LABELS = {
    "bool": Y.astype(bool),
    "float": Y.astype(float),
    "list": Y.tolist(),
    "Series": pd.Series(Y),
    "nullable": pd.Series(Y, dtype="Int64"),
    "object": Y.astype(object),
    "tensor": torch.tensor(Y),
}


@pytest.mark.parametrize("y", LABELS.values(), ids=LABELS)
def test_labels_of_any_type(y):
    prediction = torch.tensor(DECISION, dtype=torch.bfloat16, requires_grad=True)
    assert metrics.true_positive_rate(y, prediction) == 0.75


PROB = [0.1, 0.9]
BAD = {
    "labels -1 and 1": ([-1, 1], PROB, r"labels 0 and 1, got -1\.0, 1\.0"),
    "text": (["no", "yes"], PROB, "y_true: expected numbers, got 'no', 'yes'"),
    "NaN label": ([np.nan, 1], PROB, "got nan, 1.0"),
    "missing label": ([None, 1], PROB, "y_true: expected labels 0 and 1, got nan"),
    "many labels": (range(9), [0.5] * 9, r"got 0\.0, 1\.0, 2\.0, 3\.0, 4\.0, \.\.\."),
    "lengths": ([0, 1, 1], PROB, "differ in length: 3 and 2"),
    "ragged": ([[0], [1, 1]], PROB, "rows of several lengths"),
    "two columns": ([0, 1], [PROB, PROB], r"y_pred: expected one value a row, got shape \(2, 2\)"),
    "NaN probability": ([0, 1], [0.1, np.nan], "y_pred: 1 of 2 values are NaN or infinite"),
    "logits": ([0, 1], [-3.0, 2.0], r"probabilities in \[0, 1\], got -3.0 to 2.0"),
    "negative": ([0, 1], [-0.25, 0.5], r"got -0\.25 to 0\.5"),
    "rounding": ([0, 1], [0.0, 1 + 2**-52], "got 0.0 to 1.0000000000000002"),
}


@pytest.mark.parametrize(("y", "prob", "match"), BAD.values(), ids=BAD)
def test_bad_arrays_are_named(y, prob, match):
    with pytest.raises(DataError, match=match):
        metrics.accuracy(y, prob)
    with pytest.raises(DataError, match=match):
        metrics.evaluate(y, prob, np.zeros(2, dtype=np.int64), n_groups=2)


def test_bad_groups_are_named():
    with pytest.raises(GroupError, match="sensitive_features: expected 8 rows, got 7"):
        metrics.accuracy_difference(Y, DECISION, sensitive_features=A[1:])
    with pytest.raises(GroupError, match="every row has a missing value"):
        metrics.accuracy_difference(Y, DECISION, sensitive_features=[None] * 8)
    with pytest.raises(GroupTypeError, match="group: expected int64 codes, got float64"):
        metrics.evaluate(Y, DECISION, Y.astype(float), n_groups=2)
    with pytest.raises(GroupError, match="codes from -1 to 0, got 0 to 1"):
        metrics.evaluate(Y, DECISION, Y, n_groups=1)
    with pytest.raises(GroupError, match=r"expected shape \(8,\), got \(7,\)"):
        metrics.evaluate(Y, DECISION, Y[1:], n_groups=2)


def test_record_needs_neither_pandas_nor_scikit_learn():
    """A worker starts without the second that their import takes."""
    code = (
        "import sys, numpy as np; from dralign.metrics import evaluate; "
        "evaluate([0, 1], [.1, .9], np.array([0, 1]), n_groups=2); "
        "print(*sorted({'pandas', 'sklearn', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not done.stdout.strip()


def test_rows_of_no_group_are_decided_at_one_half_under_thresholds_per_group():
    y, prob, group = [1, 0, 0, 1], [0.6, 0.4, 0.1, 0.9], np.array([-1, -1, 0, 1])
    record = metrics.evaluate(y, prob, group, n_groups=2, thresholds=[0.05, 0.95])
    assert record["accuracy"] == 0.5  # right without a group, wrong by each group's threshold


def test_record_takes_a_threshold_per_group():
    y, prob = np.array([1, 0, 1, 0, 1]), np.array([0.3, 0.2, 0.8, 0.7, 0.55])
    group = np.array([0, 0, 1, 1, -1])
    record = metrics.evaluate(y, prob, group, n_groups=2, thresholds=[0.25, 0.75])
    assert record["hard_demographic_parity"] == 0
    assert record["accuracy"] == 1
    assert record["soft_demographic_parity"] == pytest.approx(0.5)
