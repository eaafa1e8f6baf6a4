"""Bootstrap intervals: against plain loops, and how often they hold the truth."""

import numpy as np
import pytest

from dralign.metrics import gap_measure, measure, scored
from dralign.metrics.resampling import bootstrap_intervals

DP = "demographic_parity"
MEASURES = (measure("accuracy"), gap_measure("hard"))


def rows(n, rng, gap=0.2):
    group = rng.integers(2, size=n)
    prob = np.clip(rng.random(n) * 0.8 + gap * group, 0, 1)
    y = (rng.random(n) < prob).astype(int)
    return scored(y, prob, group, n_groups=2)


def test_equal_to_plain_loops_over_rows_drawn_within_groups():
    drawn = rows(40, np.random.default_rng(0))
    found = bootstrap_intervals(drawn, MEASURES, DP, draws=50, rng=np.random.default_rng(1))
    rng = np.random.default_rng(1)
    rng.integers(0, size=0)  # the rows of no group, of which there are none
    accuracies, gaps = [], []
    for _ in range(50):
        rates, right = [], []
        for code in (0, 1):
            own = np.flatnonzero(drawn.codes == code)
            taken = own[rng.integers(len(own), size=len(own))]
            rates.append(np.mean([drawn.prob[i] >= 0.5 for i in taken]))
            right += [(drawn.prob[i] >= 0.5) == drawn.y[i] for i in taken]
        accuracies.append(np.mean(right))
        gaps.append(abs(rates[0] - rates[1]))
    for name, values in (("accuracy", accuracies), ("hard", gaps)):
        assert found[name] == pytest.approx(np.quantile(values, (0.025, 0.975)), abs=1e-12)


def test_the_interval_holds_the_true_accuracy_in_most_samples():
    # Rows are decided by prob >= .5; the true accuracy is the mean of max(prob, 1 - prob).
    truth = rows(400_000, np.random.default_rng(9))
    accuracy = float(np.maximum(truth.prob, 1 - truth.prob).mean())
    held = 0
    for seed in range(100):
        own = rows(300, np.random.default_rng(seed))
        low, high = bootstrap_intervals(
            own, MEASURES[:1], DP, draws=100, rng=np.random.default_rng(0)
        )["accuracy"]
        held += low <= accuracy <= high
    assert held >= 88


def test_an_undefined_figure_has_no_interval():
    one = scored([0, 1], [0.2, 0.9], [-1, -1], n_groups=2)
    found = bootstrap_intervals(one, MEASURES, DP, draws=5, rng=np.random.default_rng(0))
    assert np.isnan(found["hard"]).all()
    assert found["accuracy"] == (1.0, 1.0)
