"""Weights in the classifier: of rows, of classes, and as fairlearn's algorithms hand them over."""

import warnings

import fairlearn.metrics
import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from fairlearn.postprocessing import ThresholdOptimizer
from fairlearn.reductions import DemographicParity, ExponentiatedGradient
from sklearn.base import clone
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV

from dralign import metrics
from dralign.errors import DataError, DralignWarning, OptionError
from dralign.estimator import DRAlignClassifier

TINY = {"epochs": 2, "iterations": 20, "hidden": 8, "batch_size": 32, "learning_rate": 0.02}


def tiny(method: str = "dralign", **options) -> DRAlignClassifier:
    return DRAlignClassifier(method, **{**TINY, "random_state": 0, **options})


def rows(n: int = 240):
    """Inputs, labels that lean on the first input and the group, groups, uneven weights."""
    draw = np.random.RandomState(0)
    x, code = draw.normal(size=(n, 4)), np.arange(n) % 2
    y = (x[:, 0] + 0.8 * code + 0.5 * draw.normal(size=n) > 0.4).astype(int)
    return x, y, np.array(["ada", "bob"])[code], draw.exponential(size=n) + 0.1


X, Y, A, W = rows()


def weights_of(fitted: DRAlignClassifier) -> list[torch.Tensor]:
    return list(fitted.module_.state_dict().values())


def same(one: DRAlignClassifier, other: DRAlignClassifier) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights_of(one), weights_of(other), strict=True))


@pytest.mark.parametrize("method", ["erm", "oversample", "gap", "dralign", "adversarial"])
def test_rows_that_all_weigh_the_same_train_the_same_network(method):
    plain = tiny(method).fit(X, Y, sensitive_features=A)
    weighed = tiny(method).fit(X, Y, np.full(len(X), 3.7), sensitive_features=A)
    assert same(plain, weighed)
    assert plain.history_[0].to_dict()["validation"] == weighed.history_[0].to_dict()["validation"]
    assert not same(plain, tiny(method).fit(X, Y, W, sensitive_features=A))


def test_rows_that_weigh_nothing_are_not_there():
    weight = np.where(np.arange(len(X)) % 5 == 2, 0.0, W)
    kept = weight > 0
    one = tiny().fit(X, Y, weight, sensitive_features=A)
    other = tiny().fit(X[kept], Y[kept], weight[kept], sensitive_features=A[kept])
    assert same(one, other)
    frame = pd.DataFrame(X, columns=list("abcd"), index=np.arange(len(X))[::-1])
    third = tiny().fit(frame, pd.Series(Y, index=frame.index), weight, sensitive_features=list(A))
    assert same(one, third)


def test_a_group_or_label_of_rows_that_weigh_nothing_is_not_there():
    group = np.where(np.arange(len(X)) < 20, "cyd", A)
    label = np.where(np.arange(len(X)) < 20, 2, Y)
    weight = np.where(np.arange(len(X)) < 20, 0.0, W)
    fitted = tiny().fit(X, label, weight, sensitive_features=group)
    assert fitted.group_names_ == ("ada", "bob")
    assert fitted.classes_.tolist() == [0, 1]


def test_weights_move_the_network_as_repeated_rows_do():
    """With the rows of label 1 five times as heavy the mean probability is that of five copies."""
    weight = np.where(Y == 1, 5.0, 1.0)
    longer = {"epochs": 4, "iterations": 100, "learning_rate": 0.01}
    weighed = tiny("erm", **longer).fit(X, Y, weight, sensitive_features=A)
    again = np.repeat(np.arange(len(X)), weight.astype(int))
    copied = tiny("erm", **longer).fit(X[again], Y[again], sensitive_features=A[again])
    plain = tiny("erm", **longer).fit(X, Y, sensitive_features=A)
    level = [fitted.predict_proba(X)[:, 1].mean() for fitted in (weighed, copied, plain)]
    assert level[0] == pytest.approx(level[1], abs=0.03)
    assert level[0] - level[2] > 0.1


def test_figures_of_the_rows_kept_back_are_weighted():
    heavy = np.where(Y == 1, 1e6, 1.0)
    figures = tiny().fit(X, Y, heavy, sensitive_features=A).history_[-1].validation
    assert figures["positive_share"] == pytest.approx(1, abs=1e-4)
    assert figures["accuracy"] == pytest.approx(figures["same_decision_share"], abs=1e-4)


def test_the_score_is_weighted():
    fitted = tiny().fit(X, Y, sensitive_features=A)
    wanted = accuracy_score(Y, fitted.predict(X), sample_weight=W)
    assert fitted.score(X, Y, sample_weight=W) == wanted
    assert wanted != fitted.score(X, Y)


def test_the_threshold_of_the_base_rate_heeds_the_weights():
    heavy = np.where(Y == 1, 50.0, 1.0)
    plain, weighed = (
        tiny("erm", threshold="base-rate").fit(X, Y, w, sensitive_features=A) for w in (None, heavy)
    )
    # Those of label 0 weigh next to nothing, so that nearly all of the weight is to be selected.
    assert weighed.predict(X[Y == 1]).mean() > plain.predict(X[Y == 1]).mean()


# --- classes


def test_class_weights_are_weights_of_the_training_rows_alone():
    """A label that counts thrice trains the network that threefold weights of its rows train."""
    by_class = tiny("erm", class_weight={1: 3.0}, epochs=1, select="last")
    by_class.fit(X, Y, sensitive_features=A)
    by_row = tiny("erm", epochs=1, select="last")
    by_row.fit(X, Y, np.where(Y == 1, 3.0, 1.0), sensitive_features=A)
    assert same(by_class, by_row)
    record, plain = by_class.history_[0], tiny("erm").fit(X, Y, sensitive_features=A).history_[0]
    assert record.validation["positive_share"] == plain.validation["positive_share"]
    assert by_row.history_[0].validation["positive_share"] > plain.validation["positive_share"]


def test_balanced_classes_weigh_the_same():
    share = Y.mean()
    label = {0: 0.5 / (1 - share), 1: 0.5 / share}
    one = tiny("erm", class_weight="balanced").fit(X, Y, sensitive_features=A)
    other = tiny("erm", class_weight=label).fit(X, Y, sensitive_features=A)
    assert [a.tolist() for a in weights_of(one)] == [
        pytest.approx(np.array(b.tolist()), abs=1e-5) for b in weights_of(other)
    ]


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("even", 'expected None, "balanced" or a dict of labels'),
        ({2: 1.0}, "2 is no label; the labels are 0, 1"),
        ({0: -1.0}, "expected numbers from 0 up"),
        ({0: "much"}, "expected numbers from 0 up"),
        ({0: 0, 1: 0}, "expected numbers from 0 up"),
    ],
)
def test_class_weights_that_can_not_be_are_refused(given, line):
    with pytest.raises(OptionError, match=f"class_weight: .*{line}"):
        tiny(class_weight=given).fit(X, Y, sensitive_features=A)


def test_class_weights_are_refused_where_every_batch_holds_as_many_of_each_label():
    with pytest.raises(OptionError, match=r"class_weight: .*'dralign' for equalized_odds"):
        tiny(gap="equalized_odds", class_weight="balanced").fit(X, Y, sensitive_features=A)


def test_class_weights_survive_saving(tmp_path):
    fitted = tiny(class_weight={0: 1, 1: 2.5}).fit(X, Y, W, sensitive_features=A)
    loaded = DRAlignClassifier.load(fitted.save(tmp_path / "net"))
    assert loaded.class_weight == {0: 1, 1: 2.5}
    assert clone(loaded).class_weight == {0: 1, 1: 2.5}
    assert (loaded.predict_proba(X) == fitted.predict_proba(X)).all()


# --- what can't be


def test_a_method_that_can_not_weigh_rows_refuses_them():
    with pytest.raises(OptionError, match="'mixup' can't train on weighted rows"):
        tiny("mixup").fit(X, Y, W, sensitive_features=A)
    with pytest.raises(OptionError, match="'dralign' can't train on weighted rows"):
        tiny(penalty="mixup").fit(X, Y, W, sensitive_features=A)


@pytest.mark.parametrize(
    ("weight", "line"),
    [(W[:5], "expected 240 rows, got 5"), (-W, "from 0 up"), (0 * W, "of all 240 rows are zero")],
)
def test_weights_that_can_not_be_are_refused(weight, line):
    with pytest.raises(DataError, match=f"sample_weight: .*{line}"):
        tiny().fit(X, Y, weight, sensitive_features=A)


# --- others' code


def test_probabilities_are_float64_and_add_up():
    for y in (Y, np.arange(len(X)) % 3):
        prob = tiny("erm").fit(X, y, sensitive_features=A).predict_proba(X)
        assert prob.dtype == np.float64
        assert prob.sum(axis=1) == pytest.approx(1, abs=1e-15)


@pytest.mark.filterwarnings("ignore::dralign.errors.DralignWarning")
def test_fairlearn_reductions_train_the_classifier():
    reduction = ExponentiatedGradient(
        tiny("erm", epochs=3), DemographicParity(difference_bound=0.02), max_iter=5
    )
    reduction.fit(X, Y, sensitive_features=A)
    decision = reduction.predict(X, random_state=0)
    plain = tiny("erm", epochs=3).fit(X, Y).predict(X)
    gap = fairlearn.metrics.demographic_parity_difference
    assert gap(Y, decision, sensitive_features=A) < gap(Y, plain, sensitive_features=A)


def test_fairlearn_thresholds_a_fitted_classifier():
    fitted = tiny("erm", epochs=3).fit(X, Y, sensitive_features=A)
    after = ThresholdOptimizer(
        estimator=fitted,
        constraints="demographic_parity",
        prefit=True,
        predict_method="predict_proba",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", DralignWarning)
        after.fit(X, Y, sensitive_features=A)
        decision = after.predict(X, sensitive_features=A, random_state=0)
    gap = metrics.demographic_parity_difference
    assert gap(Y, decision, sensitive_features=A) < gap(Y, fitted.predict(X), sensitive_features=A)


def test_a_search_hands_weights_on():
    with sklearn.config_context(enable_metadata_routing=True):
        estimator = tiny("erm").set_fit_request(sample_weight=True)
        search = GridSearchCV(
            estimator.set_score_request(sample_weight=True), {"hidden": [4, 8]}, cv=2
        )
        search.fit(X, Y, sample_weight=W, sensitive_features=A)
    alone = tiny("erm", **search.best_params_).fit(X, Y, W, sensitive_features=A)
    assert same(search.best_estimator_, alone)
