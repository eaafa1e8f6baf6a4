"""Platt scaling for the recalibrated gap is logistic regression, also where scores are extreme."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from dralign.metrics import recalibrated
from dralign.metrics.recalibrated import platt


@pytest.mark.parametrize("spread", [0.1, 1.0, 4.0])
def test_platt_scaling_is_logistic_regression_without_a_warning(spread):
    draw = np.random.default_rng(0)
    z = 3 * spread * draw.normal(size=3000) - 2
    y = (draw.random(3000) < 1 / (1 + np.exp(-(0.7 * (z + 2) / spread + 0.5)))).astype(float)
    expected = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(z[:, None], y)
    slope, shift = platt(y, z)
    assert slope == pytest.approx(expected.coef_[0, 0], rel=1e-3)
    assert shift == pytest.approx(expected.intercept_[0], rel=1e-3, abs=1e-3)


def test_constant_scores_are_shifted_to_the_share_of_positives():
    y = np.repeat([0.0, 1.0], [30, 10])
    slope, shift = platt(y, np.full(40, 0.3))
    assert 1 / (1 + np.exp(-(slope * 0.3 + shift))) == pytest.approx(0.25, abs=1e-3)


def test_the_search_ends_after_its_most_steps(monkeypatch):
    z = np.linspace(-8, 8, 50)
    y = (z > 3).astype(float)  # no best slope: a step can be made for ever
    monkeypatch.setattr(recalibrated, "_MOST_STEPS", 3)
    few = platt(y, z)[0]
    monkeypatch.setattr(recalibrated, "_MOST_STEPS", 6)
    assert few < platt(y, z)[0]
