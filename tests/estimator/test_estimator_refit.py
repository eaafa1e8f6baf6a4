"""A fit that fails or is interrupted leaves a classifier as it was: fitted as before, or not."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from torch import nn

from dralign import DRAlignClassifier, PluginClassifier
from dralign.errors import (
    ArtifactError,
    DataError,
    DralignError,
    GroupError,
    ModelError,
    OptionError,
)

pytestmark = pytest.mark.filterwarnings("ignore::dralign.errors.DralignWarning")
SHORT = {"epochs": 2, "iterations": 3, "hidden": 4, "batch_size": 20, "random_state": 0}
DRAW = np.random.RandomState(0)
X = DRAW.normal(size=(300, 3))
Y = (X[:, 0] + DRAW.normal(size=300) > 0).astype(int)
A = np.where(DRAW.random_sample(300) < 0.5, "ada", "bob")


class Interrupts(nn.Linear):
    """A network that somebody interrupts while it is trained."""

    def forward(self, x):
        if self.training:
            raise KeyboardInterrupt
        return super().forward(x)


FITS_THAT_FAIL = [
    ({"learning_rate": 1e30}, (X * 100 + 50, Y, A), ModelError),
    ({"device": "tpu"}, (X, np.where(Y == 1, "yes", "no"), A), OptionError),
    ({"module": Interrupts(2, 1)}, (X[:, :2], Y + 5, A), KeyboardInterrupt),
    ({}, (X, Y + 5, np.full(300, "ada")), GroupError),
]


@pytest.mark.parametrize(("changed", "rows", "error"), FITS_THAT_FAIL)
def test_a_fit_that_fails_leaves_what_was_fitted_before(changed, rows, error):
    fitted = DRAlignClassifier(**SHORT).fit(X, Y, sensitive_features=A)
    before, known = fitted.predict_proba(X), set(vars(fitted))
    x, y, groups = rows
    with pytest.raises(error):
        fitted.set_params(**changed).fit(x, y, sensitive_features=groups)
    assert (fitted.predict_proba(X) == before).all()
    assert list(fitted.classes_) == [0, 1]
    assert set(vars(fitted)) == known
    again = fitted.set_params(**DRAlignClassifier(**SHORT).get_params())
    assert (again.fit(X, Y, sensitive_features=A).predict_proba(X) == before).all()


def test_a_first_fit_that_fails_leaves_a_classifier_that_is_not_fitted():
    for one in (
        DRAlignClassifier(**SHORT, learning_rate=1e30),
        PluginClassifier(LogisticRegression(max_iter=-1)),
    ):
        with pytest.raises((DralignError, ValueError)):
            one.fit(X * 100 + 50, Y, sensitive_features=A)
        with pytest.raises(NotFittedError):
            one.predict(X)


def test_a_plug_in_whose_fit_fails_is_the_one_from_before():
    fitted = PluginClassifier(LogisticRegression(), random_state=0).fit(X, Y, sensitive_features=A)
    before = fitted.predict_proba(X)
    with pytest.raises(ValueError, match="max_iter"):
        fitted.set_params(group_estimator=LogisticRegression(max_iter=-1)).fit(
            -X, Y + 5, sensitive_features=A
        )
    assert (fitted.predict_proba(X) == before).all()
    assert list(fitted.classes_) == [0, 1]


def test_a_plug_in_says_whether_it_shifts_scores():
    model = PluginClassifier(LogisticRegression(), max_gap=0.9, random_state=0)
    assert not model.fit(X, Y, sensitive_features=A).mitigated_
    assert (model.predict_proba(X) == model.estimator_.predict_proba(X)).all()
    assert model.select(0.0).mitigated_
    for bad in ("a", True, -0.1, float("nan"), None):
        with pytest.raises(OptionError, match="max_gap: expected a number from 0 up"):
            model.select(bad)


def test_columns_whose_names_are_numbers_are_known_by_name_too(tmp_path):
    frame = pd.DataFrame(X)
    fitted = DRAlignClassifier(**SHORT).fit(frame, Y, sensitive_features=A)
    fitted.predict(frame)
    fitted.predict(X)  # an array has no names
    for other in (frame[[2, 1, 0]], frame.set_axis([5, 6, 7], axis=1)):
        for one in (fitted, DRAlignClassifier.load(fitted.save(tmp_path / "net"))):
            assert (one.predict(frame) == fitted.predict(frame)).all()
            with pytest.raises(DataError, match=r"X: expected the columns \[0, 1, 2\] of fit, got"):
                one.predict(other)
    fitted.fit(frame.set_axis(["a", "b", "c"], axis=1), Y, sensitive_features=A)
    fitted.predict(frame.set_axis(["a", "b", "c"], axis=1))


class Returns(nn.Linear):
    """A network that returns something else than logits."""

    def __init__(self, given):
        super().__init__(3, 1)
        self.given = given

    def forward(self, x):
        if isinstance(self.given, Exception):
            raise self.given
        return self.given(super().forward(x))


@pytest.mark.parametrize(
    ("module", "error", "message"),
    [
        (Returns(lambda x: {"logits": x}), ModelError, "expected a tensor of logits, got a dict"),
        (Returns(lambda x: (x, x)), ModelError, "expected a tensor of logits, got a tuple"),
        (Returns(KeyError("mask")), ModelError, "can't take the 3 inputs made from X .*mask"),
        (torch.nn.Linear, OptionError, "module: can't be called with the number of inputs"),
    ],
)
def test_a_network_that_can_not_be_used_is_one_line(module, error, message):
    with pytest.raises(error, match=message):
        DRAlignClassifier(**SHORT, module=module).fit(X, Y, sensitive_features=A)


def test_labels_that_an_artifact_can_not_hold_are_refused_in_one_line(tmp_path):
    dates = np.array(["2026-01-01", "2026-01-02"], dtype="datetime64[D]")[Y]
    fitted = DRAlignClassifier(**SHORT).fit(X, dates, sensitive_features=A)
    with pytest.raises(ArtifactError, match="labels that are neither texts nor numbers"):
        fitted.save(tmp_path / "net")
