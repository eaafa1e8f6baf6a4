"""What is fitted is audited as it was fitted: with X, y and sensitive features."""

import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

import dralign
from dralign.errors import DataError, GroupError, ModelError, OptionError

FEW = {"n_splits": 20, "n_bootstrap": 20}
QUICK = {"epochs": 1, "iterations": 5, "hidden": 6, "depth": 1, "random_state": 0}


@pytest.fixture(scope="module")
def people():
    """X of a number and a text, y of words, and groups of words."""
    draw = np.random.default_rng(0)
    x = pd.DataFrame({"pay": draw.normal(40, 9, 200), "job": draw.choice(["cook", "nurse"], 200)})
    y = pd.Series(np.where(x["pay"] + draw.normal(0, 5, 200) > 40, "yes", "no"), name="loan")
    return x, y, pd.Series(draw.choice(["north", "south"], 200), name="region")


@pytest.fixture(scope="module")
def fitted(people):
    x, y, region = people
    return dralign.DRAlignClassifier(**QUICK).fit(x, y, sensitive_features=region)


def test_the_audit_of_a_classifier_is_that_of_its_network_and_codes(people, fitted):
    x, y, region = people
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        ours = dralign.audit(fitted, x, y, sensitive_features=region, **FEW)
    inputs = torch.tensor(fitted.network_inputs(x))
    label, group = torch.tensor((y == "yes").astype(int)), np.where(region == "north", 0, 1)
    plain = dralign.audit(
        fitted.module_, inputs, label, group=group, group_names=["north", "south"], **FEW
    )
    first, second = ours.to_dict(), plain.to_dict()
    for part in ("groups", "outcomes", "similarity", "influence", "what_if"):
        assert first[part] == second[part], part
    decided = fitted.predict(x) == "yes"
    rate = ours.outcomes.groups[0].figures["selection_rate"].value
    assert rate == pytest.approx(decided[region == "north"].mean())


def test_a_classifier_is_audited_where_it_decides_and_a_threshold_that_is_given_goes_first(people):
    x, y, region = people
    fitted = dralign.DRAlignClassifier(**QUICK, threshold="base-rate")
    fitted.fit(x, y, sensitive_features=region)
    few = {**FEW, "parts": ["outcomes"], "sensitive_features": region}
    prob = fitted.predict_proba(x)[:, 1]
    for threshold, limits in (
        (None, {"north": fitted.threshold_, "south": fitted.threshold_}),
        (0.4, {"north": 0.4, "south": 0.4}),
        ({"south": 0.6, "north": 0.4}, {"north": 0.4, "south": 0.6}),
    ):
        given = {} if threshold is None else {"threshold": threshold}
        for group in dralign.audit(fitted, x, y, **few, **given).outcomes.groups:
            rate = (prob[region == group.group] >= limits[group.group]).mean()
            assert group.figures["selection_rate"].value == pytest.approx(rate)
    for threshold, message in (
        (1.5, "threshold: expected a number from 0 to 1, got 1.5"),
        ({"north": 0.5}, "threshold: group 'south' has none"),
    ):
        with pytest.raises(OptionError, match=message):
            dralign.audit(fitted, x, y, **few, threshold=threshold)


def test_parity_scores_of_a_classifier_name_the_groups(people, fitted):
    x, y, region = people
    ours = dralign.parity_scores(fitted, x, y, sensitive_features=region)
    plain = dralign.parity_scores(
        fitted.module_,
        fitted.network_inputs(x),
        (y == "yes").astype(int),
        group=np.where(region == "north", 0, 1),
    )
    assert ours.group_names == ("north", "south")
    assert plain.group_names == ("0", "1")
    assert ours.total == plain.total


def test_of_a_pipeline_and_a_search_the_network_within_is_taken(people, fitted):
    x, y, region = people
    pipeline = Pipeline([("same", FunctionTransformer()), ("classifier", fitted)])
    search = GridSearchCV(LogisticRegression(), {"C": [1]})
    search.best_estimator_ = pipeline
    expected = dralign.parity_scores(fitted, x, y, sensitive_features=region).total
    for model in (pipeline, search, Pipeline([("classifier", fitted)])):
        assert dralign.parity_scores(model, x, y, sensitive_features=region).total == expected


def test_what_can_not_be_looked_into_is_one_line(people, fitted):
    x, y, region = people
    forest = LogisticRegression().fit(x[["pay"]], y)
    with pytest.raises(ModelError, match=r"as module_, got LogisticRegression; audit_pred"):
        dralign.audit(forest, x[["pay"]], y, sensitive_features=region)
    with pytest.raises(ModelError, match=r"got DRAlignClassifier; audit_predictions"):
        dralign.audit(dralign.DRAlignClassifier(), x, y, sensitive_features=region)
    with pytest.raises(DataError, match=r"label: 'maybe' is not among .* training: 'no', 'yes'$"):
        dralign.parity_scores(fitted, x, y.replace("no", "maybe"), sensitive_features=region)
    with pytest.raises(DataError, match=r"^label: expected one a row, got shape \(\d+, 1\)$"):
        dralign.parity_scores(fitted, x, y.to_frame(), sensitive_features=region)
    with pytest.raises(GroupError, match="give either group or sensitive_features"):
        dralign.audit(fitted, x, y)
    with pytest.raises(GroupError, match="give either group or sensitive_features"):
        dralign.parity_scores(fitted, x, y, group=region, sensitive_features=region)
    with pytest.raises(DataError, match=r"^x: expected an array of numbers, got object"):
        dralign.parity_scores(
            fitted.module_, x, (y == "yes").astype(int), sensitive_features=region
        )


def test_an_estimator_without_classes_is_its_network(people, fitted):
    x, y, region = people
    codes = (y == "yes").astype(int)
    bare = SimpleNamespace(module_=fitted.module_)
    expected = dralign.parity_scores(fitted, x, y, sensitive_features=region).total
    inputs = fitted.network_inputs(x)
    assert dralign.parity_scores(bare, inputs, codes, sensitive_features=region).total == expected
