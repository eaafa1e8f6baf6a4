"""PluginClassifier keeps scikit-learn's rules, and shifts the scores of any classifier."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from dralign import DRAlignClassifier, PluginClassifier
from dralign.errors import DataError, DralignWarning, OptionError
from dralign.metrics import base_rate_gap, equal_opportunity_difference
from dralign.postprocessing import shifted


def rows(n: int = 3000, *, n_groups: int = 2, seed: int = 0):
    """Inputs that tell something of the group, labels that follow them, groups by name."""
    draw = np.random.RandomState(seed)
    code = draw.randint(n_groups, size=n)
    x = draw.normal(size=(n, 4)) + 0.9 * np.eye(4)[code]
    y = (x @ [1, 0.3, -0.6, 0.2] + draw.logistic(size=n) * 0.5 > 0.2).astype(int)
    return x, y, np.array(["ada", "bob", "cyd"])[code]


X, Y, A = rows()
NEW = rows(seed=1)


@pytest.mark.filterwarnings("ignore::dralign.errors.DralignWarning")
@parametrize_with_checks(
    [
        PluginClassifier(LogisticRegression(), random_state=0),
        PluginClassifier(make_pipeline(StandardScaler(), LogisticRegression())),
    ]
)
def test_scikit_learn_checks_pass(estimator, check):
    check(estimator)


def test_the_gap_of_new_rows_comes_down_to_about_the_one_that_is_asked_for():
    plain = LogisticRegression().fit(X, Y).predict_proba(NEW[0])[:, 1]
    assert base_rate_gap(NEW[1], plain, sensitive_features=NEW[2]) > 0.15
    model = PluginClassifier(LogisticRegression(), max_gap=0.05, random_state=0)
    prob = model.fit(X, Y, sensitive_features=A).predict_proba(NEW[0])
    assert model.max_gap_met_
    assert base_rate_gap(NEW[1], prob[:, 1], sensitive_features=NEW[2]) < 0.1
    assert prob.dtype == np.float64
    assert (model.predict(NEW[0]) == (prob[:, 1] >= 0.5)).all()


def test_scores_are_those_of_the_two_classifiers_put_together():
    model = PluginClassifier(
        LogisticRegression(), fairness_weight=0.4, group_estimator=LogisticRegression(C=0.1),
        random_state=0,
    ).fit(X, Y, sensitive_features=A)  # fmt: skip
    own = model.estimator_.predict_proba(X)[:, 1]
    likely = model.group_estimator_.predict_proba(X)
    share = np.mean(A == "ada")
    ahead = 1 if (own @ likely[:, 0]) / share > (own @ likely[:, 1]) / (1 - share) else -1
    amount = ahead * (likely[:, 0] / share - likely[:, 1] / (1 - share))
    assert np.allclose(model.predict_proba(X)[:, 1], shifted(own, amount, 0.4), atol=0.002)


def test_a_fitted_one_is_taken_as_it_is():
    before = LogisticRegression().fit(X, Y)
    model = PluginClassifier(before, prefit=True, max_gap=0.05, random_state=0)
    model.fit(NEW[0], NEW[1], sensitive_features=NEW[2])
    assert model.estimator_ is before
    assert model.select(1.0).fairness_weight_ == 0
    assert (model.predict_proba(X) == before.predict_proba(X)).all()
    with pytest.raises(DataError, match=r"y: has the labels \['no', 'yes'\], the fitted"):
        model.fit(NEW[0], np.where(NEW[1], "yes", "no"), sensitive_features=NEW[2])


@pytest.mark.parametrize("weights", ["balanced", {0: 1, 1: 10}, {"no": 1, "yes": 10}])
@pytest.mark.parametrize(
    "wrap", [lambda one: one, lambda one: make_pipeline(StandardScaler(), one)]
)
def test_weights_of_labels_are_not_those_of_groups(weights, wrap):
    labels = np.where(Y, "yes", "no") if "yes" in weights else Y
    few = np.flatnonzero((A == "ada") | (np.arange(len(A)) % 4 == 0))  # bob is a minority
    model = PluginClassifier(wrap(LogisticRegression(class_weight=weights)), random_state=0)
    model.fit(X[few], labels[few], sensitive_features=A[few])
    likely = model.group_estimator_.predict_proba(X[few])[:, 1]
    assert likely.mean() == pytest.approx(np.mean(A[few] == "bob"), abs=0.02)
    given = model.estimator_ if wrap(0) == 0 else model.estimator_[-1]
    assert given.class_weight == weights


def test_the_group_model_that_is_given_is_taken_as_it_is():
    given = LogisticRegression(class_weight="balanced")
    model = PluginClassifier(LogisticRegression(), group_estimator=given, random_state=0)
    model.fit(X, Y, sensitive_features=A)
    assert model.group_estimator_.class_weight == "balanced"


@pytest.mark.parametrize("wrap", [lambda one: one, make_pipeline])
def test_a_frozen_classifier_needs_another_for_the_groups(wrap):
    frozen = wrap(FrozenEstimator(LogisticRegression().fit(X, Y)))
    line = "group_estimator: expected a classifier of the groups, as FrozenEstimator can't be"
    with pytest.raises(OptionError, match=line):
        PluginClassifier(frozen, random_state=0).fit(NEW[0], NEW[1], sensitive_features=NEW[2])
    model = PluginClassifier(frozen, group_estimator=LogisticRegression(), random_state=0)
    model.fit(NEW[0], NEW[1], sensitive_features=NEW[2])
    likely = model.group_estimator_.predict_proba(NEW[0])[:, 1]
    assert likely.mean() == pytest.approx(np.mean(NEW[2] == "bob"), abs=0.02)


def test_frozen_columns_do_not_keep_a_classifier_from_the_groups():
    columns = FrozenEstimator(StandardScaler().fit(X))
    model = PluginClassifier(make_pipeline(columns, LogisticRegression()), random_state=0)
    model.fit(X, Y, sensitive_features=A)
    assert model.group_estimator_.score(X, A == "bob") > 0.6


def test_a_weight_beyond_equal_rates_is_that_of_equal_rates():
    model, far = (
        PluginClassifier(LogisticRegression(), fairness_weight=c, random_state=0).fit(
            X, Y, sensitive_features=A
        )
        for c in (0.2, 50.0)
    )
    assert 0.2 < far.fairness_weight_ < 5
    gaps = [
        base_rate_gap(Y, one.predict_proba(X)[:, 1], sensitive_features=A) for one in (model, far)
    ]
    assert gaps[1] < 0.05 < gaps[0]


def test_another_point_of_the_front_needs_no_fit():
    model = PluginClassifier(LogisticRegression(), random_state=0)
    model.fit(X, Y, sensitive_features=A)
    assert model.fairness_weight_ == 0.2
    gaps = [point["base_rate"] for point in model.front_.rows()]
    model.select(0.1)
    index = next(i for i, gap in enumerate(gaps) if gap <= 0.1)
    assert model.fairness_weight_ == model.front_.points[index].weight
    weight = model.fairness_weight_
    for wrong in (-1.0, float("nan")):
        with pytest.raises(OptionError, match="max_gap: expected a number from 0 up, got"):
            model.select(wrong)
    assert model.fairness_weight_ == weight
    with pytest.warns(DralignWarning, match="no weight keeps the soft gap at 0 on the rows kept"):
        assert not model.select(0.0, measure="soft").max_gap_met_
    again = PluginClassifier(LogisticRegression(), max_gap=1e-12, random_state=0)
    with pytest.warns(DralignWarning, match="no weight keeps the base-rate gap at 1e-12"):
        assert again.fit(X, Y, sensitive_features=A).max_gap_met_ is False


def test_three_groups_and_equal_opportunity():
    x, y, a = rows(n_groups=3)
    plain = LogisticRegression().fit(x, y).predict(x)
    model = PluginClassifier(
        LogisticRegression(), gap="equal_opportunity", measure="hard", max_gap=0.06, random_state=0
    )
    decided = model.fit(x, y, sensitive_features=a).predict(x)
    before = equal_opportunity_difference(y, plain, sensitive_features=a)
    assert equal_opportunity_difference(y, decided, sensitive_features=a) < 0.6 * before
    assert model.group_names_ == ("ada", "bob", "cyd")


def test_a_continuous_sensitive_column_is_named_as_the_cause():
    x, y, _ = rows(60)
    with pytest.raises(DataError, match="sensitive_features has 60 different values in 60 rows"):
        PluginClassifier(LogisticRegression()).fit(x, y, sensitive_features=x[:, 0])


def test_a_table_with_text_goes_through_a_pipeline_and_a_boosted_tree():
    frame = pd.DataFrame(X, columns=list("pqrs")).assign(job=np.where(X[:, 1] > 0, "cook", "smith"))
    encoded = make_column_transformer((OneHotEncoder(), ["job"]), remainder="passthrough")
    labels = np.where(Y, "yes", "no")
    for inner in (LogisticRegression(), HistGradientBoostingClassifier(max_iter=5)):
        model = PluginClassifier(make_pipeline(encoded, inner), random_state=0)
        model.fit(frame, labels, sensitive_features=pd.Series(A, name="who"))
        assert set(model.predict(frame)) == {"yes", "no"}
        assert model.feature_names_in_.tolist() == [*"pqrs", "job"]


def test_groups_are_routed_and_a_search_sets_the_weight():
    with sklearn.config_context(enable_metadata_routing=True):
        search = GridSearchCV(
            PluginClassifier(LogisticRegression(), random_state=0),
            {"fairness_weight": [0.0, 0.3], "estimator__C": [1.0]},
            cv=2,
        ).fit(X, Y, sensitive_features=A)
    assert search.best_estimator_.mitigated_
    copied = pickle.loads(
        pickle.dumps(clone(search.best_estimator_).fit(X, Y, sensitive_features=A))
    )
    assert copied.predict_proba(X).shape == (len(X), 2)


def test_without_groups_nothing_is_shifted_and_a_warning_says_so():
    model = PluginClassifier(LogisticRegression(), random_state=0)
    with pytest.warns(DralignWarning, match="no sensitive_features: scores are those"):
        model.fit(X, Y)
    assert not model.mitigated_
    assert (model.predict_proba(X) == model.estimator_.predict_proba(X)).all()
    with pytest.raises(OptionError, match="select: it was fitted without sensitive_features"):
        model.select(0.1)


def test_a_classifier_of_ours_inside_is_not_warned_of_groups_that_the_shift_takes():
    inner = DRAlignClassifier(method="erm", epochs=1, iterations=2, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PluginClassifier(inner, random_state=0).fit(X, Y, sensitive_features=A)


def test_rows_of_no_group_are_learned_from_by_the_classifier_alone():
    some = A.astype(object).copy()
    some[:500] = None
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model = PluginClassifier(LogisticRegression(), random_state=0)
        model.fit(X, Y, sensitive_features=some)
    assert "500 of 3000 rows have no sensitive value" in str(told[0].message)
    assert model.group_names_ == ("ada", "bob")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"max_gap": 0.1, "fairness_weight": 0.2}, "max_gap finds the fairness_weight"),
        ({"max_gap": -0.1}, "max_gap: expected a number from 0 up, got -0.1"),
        ({"fairness_weight": -1.0}, "fairness_weight: expected a number from 0 up, got -1"),
        ({"gap": "predictive_parity"}, "gap: scores can be shifted for demographic_parity"),
        ({"measure": "area"}, "unknown measure of the gap 'area'"),
        ({"validation_fraction": 1.0}, "validation_fraction: expected a number between 0 and 1"),
        ({"estimator": LinearSVC()}, "expected a classifier with predict_proba, got LinearSVC"),
    ],
)
def test_a_parameter_that_cannot_be_is_one_line(options, line):
    model = PluginClassifier(**{"estimator": LogisticRegression(), **options})
    with pytest.raises(OptionError, match=line):
        model.fit(X, Y, sensitive_features=A)
