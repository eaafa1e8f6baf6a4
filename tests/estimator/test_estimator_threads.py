"""Several threads that fit at the same time end with what each would end with alone."""

import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from torch import nn

from dralign import parity_scores, turns
from dralign.estimator import DRAlignClassifier, PluginClassifier
from dralign.rationale import per_sample_loss

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(200, 4))
A = np.array(["ada", "bob"])[np.arange(200) % 2]
Y = (X[:, 0] + 0.8 * (A == "bob") + DRAW.normal(size=200) > 0.4).astype(int)
pytestmark = pytest.mark.filterwarnings("ignore:group .* rows kept back")
SHORT = {"epochs": 2, "iterations": 8, "batch_size": 20, "random_state": 0}


def with_dropout(n_inputs: int) -> nn.Module:
    """A network that draws from torch's global generator in every step."""
    return nn.Sequential(nn.Linear(n_inputs, 8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, 1))


class Plain(ClassifierMixin, BaseEstimator):
    """A classifier without a look at what it is given."""

    def fit(self, X, y):  # noqa: N803
        self.classes_, self.rate = np.unique(y), float(np.mean(y))
        return self

    def predict_proba(self, X):  # noqa: N803
        return np.full((len(X), 2), (1 - self.rate, self.rate))


def drawn(**options) -> DRAlignClassifier:
    return DRAlignClassifier(module=with_dropout, **{**SHORT, **options})


@pytest.fixture
def _threads_switch_often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_threads_switch_often")
def test_threads_fit_what_each_fits_alone_and_leave_no_trace():
    alone = drawn().fit(X, Y, sensitive_features=A).predict_proba(X)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        networks = [with_dropout(4) for _ in range(8)]
    state, filters = torch.get_rng_state(), list(warnings.filters)

    def work(number: int) -> np.ndarray:
        if number % 2:  # draws nothing, and puts the random state back as it was
            given = torch.from_numpy(X).float()
            parity_scores(networks[number], given, Y, sensitive_features=A)
        return drawn().fit(X, Y, sensitive_features=A).predict_proba(X)

    with ThreadPoolExecutor(4) as pool:
        for prob in pool.map(work, range(8)):
            np.testing.assert_array_equal(prob, alone)
    assert torch.equal(torch.get_rng_state(), state)
    assert list(warnings.filters) == filters


@pytest.mark.usefixtures("_threads_switch_often")
def test_cross_validation_in_threads_gives_the_scores_of_one():
    def scores() -> np.ndarray:
        given = {"sensitive_features": A}
        return cross_val_score(drawn(), X, Y, cv=4, n_jobs=4, scoring="roc_auc", params=given)

    state = torch.get_rng_state()
    with sklearn.config_context(enable_metadata_routing=True):
        with joblib.parallel_backend("sequential"):
            alone = scores()
        with joblib.parallel_backend("threading"):
            np.testing.assert_array_equal(scores(), alone)
    assert torch.equal(torch.get_rng_state(), state)


def test_prediction_does_not_wait_for_a_training():
    model = drawn().fit(X, Y, sensitive_features=A)
    begun, go_on = threading.Event(), threading.Event()

    def waiting(outputs: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        begun.set()
        assert go_on.wait(60)
        return per_sample_loss(outputs, label)

    with ThreadPoolExecutor(2) as pool:
        training = pool.submit(drawn(row_loss=waiting).fit, X, Y, sensitive_features=A)
        try:
            assert begun.wait(60)
            assert len(pool.submit(model.predict, X).result(60)) == len(X)
            assert not training.done()
        finally:
            go_on.set()
        training.result()


def test_an_estimator_inside_of_the_plugin_is_fitted_under_the_filters_as_they_are():
    seen = []

    class Looking(LogisticRegression):
        def fit(self, X, y):  # noqa: N803
            seen.append(list(warnings.filters))
            return super().fit(X, y)

    filters = list(warnings.filters)
    PluginClassifier(Looking(), random_state=0).fit(X, Y, sensitive_features=A)
    assert seen
    assert all(one == filters for one in seen)


@pytest.mark.parametrize("make", [drawn, lambda: PluginClassifier(Plain(), random_state=0)])
@pytest.mark.parametrize("given", [X, X.tolist(), pd.DataFrame(X), X.astype(object)])
def test_filters_of_warnings_are_changed_in_turn_alone(make, given, monkeypatch):
    """Also by scikit-learn's checks: what two threads put back at once stays changed."""
    outside = []

    class Noted(warnings.catch_warnings):
        def __enter__(self):
            caller = sys._getframe(1).f_globals["__name__"]
            if caller.startswith("sklearn") and not turns._turn._is_owned():
                outside.append(caller)
            return super().__enter__()

    monkeypatch.setattr(warnings, "catch_warnings", Noted)
    make().fit(given, Y, sensitive_features=A).predict(given)
    assert outside == []
