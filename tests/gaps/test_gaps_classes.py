"""Gaps and figures of more than two classes: plain loops, derivatives, empty cells, messages."""

from itertools import combinations

import numpy as np
import pytest
import sklearn.metrics as sklearn
import torch
from torch import Tensor

from dralign import metrics
from dralign.errors import DataError, ModelError, OptionError
from dralign.gaps import (
    demographic_parity_gap,
    equal_opportunity_gap,
    equalized_odds_gap,
    figure_names,
    predictive_parity_gap,
    resolve_gap,
)

class_gaps = pytest.mark.parametrize("name", figure_names(3))
every_aggregate = pytest.mark.parametrize("aggregate", ["max", "mean"])


def batch(n: int, n_groups: int, n_classes: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    prob = torch.rand(n, n_classes, dtype=torch.float64, generator=draw).softmax(1)
    group = torch.randint(-1, n_groups, (n,), generator=draw)
    return prob, group, torch.randint(0, n_classes, (n,), generator=draw)


def call(name: str, prob, group, label, n_groups: int, **options) -> Tensor:
    if name == "demographic_parity":
        return demographic_parity_gap(prob, group, n_groups=n_groups, **options)
    return equalized_odds_gap(prob, group, label=label, n_groups=n_groups, **options)


def oracle(name: str, prob, group, label, n_groups: int, aggregate: str) -> float:
    """The definition (Eq. 23) in plain loops over strata, classes, groups and pairs."""
    n_classes = prob.shape[1]
    everything = [set(range(n_classes))]
    total = 0.0
    for kept in everything if name == "demographic_parity" else [{y} for y in range(n_classes)]:
        per_class = []
        for c in range(n_classes):
            means = []
            for a in range(n_groups):
                inside = [
                    float(prob[i, c])
                    for i in range(len(label))
                    if int(group[i]) == a and int(label[i]) in kept
                ]
                if inside:
                    means.append(sum(inside) / len(inside))
            apart = [abs(one - other) for one, other in combinations(means, 2)]
            spread = max(apart, default=0.0)
            mean = sum(apart) / len(apart) if apart else 0.0
            per_class.append(spread if aggregate == "max" else mean)
        total += max(per_class) if aggregate == "max" else sum(per_class) / n_classes
    return total


@class_gaps
@every_aggregate
@pytest.mark.parametrize(("n", "n_groups", "n_classes"), [(60, 2, 3), (60, 3, 4), (8, 3, 3)])
def test_equal_to_plain_loops(name, aggregate, n, n_groups, n_classes):
    """The last case has empty cells."""
    for seed in range(4):
        prob, group, label = batch(n, n_groups, n_classes, seed)
        value = call(name, prob, group, label, n_groups, aggregate=aggregate).item()
        expected = oracle(name, prob, group, label, n_groups, aggregate)
        assert value == pytest.approx(expected, abs=1e-12)


@class_gaps
@every_aggregate
def test_two_columns_give_what_a_vector_gives(name, aggregate):
    prob, group, label = batch(50, 3, 2, 1)
    two = call(name, prob, group, label, 3, aggregate=aggregate)
    one = call(name, prob[:, 1], group, label, 3, aggregate=aggregate)
    torch.testing.assert_close(two, one)


@class_gaps
@every_aggregate
def test_first_and_second_derivative(name, aggregate):
    prob, group, label = batch(24, 3, 3, 2)

    def gap(prob: Tensor) -> Tensor:
        return call(name, prob, group, label, 3, aggregate=aggregate)

    assert torch.autograd.gradcheck(gap, prob.requires_grad_())
    assert torch.autograd.gradgradcheck(gap, prob)


def test_an_empty_cell_drops_its_stratum_only():
    """Group 1 has no row of class 2; the strata of classes 0 and 1 still count."""
    prob = torch.tensor([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4], [0.1, 0.1, 0.8]] * 2)
    prob[3:5] = torch.tensor([[0.5, 0.3, 0.2], [0.3, 0.6, 0.1]])
    prob.requires_grad_()
    group, label = torch.tensor([0, 0, 0, 1, 1, 1]), torch.tensor([0, 1, 2, 0, 1, 1])
    gap = equalized_odds_gap(prob[:5], group[:5], label=label[:5], n_groups=2)
    assert gap.item() == pytest.approx(0.2 + 0.3)
    (gradient,) = torch.autograd.grad(gap, prob)
    assert torch.isfinite(gradient).all()
    assert not gradient[2].any()
    alone = equalized_odds_gap(prob[:3], group[:3], label=label[:3], n_groups=2)
    assert alone.item() == 0
    (gradient,) = torch.autograd.grad(alone, prob)
    assert not gradient.any()


def test_gaps_of_two_classes_say_so():
    prob, group, label = batch(9, 2, 3, 0)
    for function in (equal_opportunity_gap, predictive_parity_gap):
        with pytest.raises(OptionError, match="needs two classes, the label has 3; choose demo"):
            function(prob, group, label=label, n_groups=2)
    assert resolve_gap("equalized_odds", n_classes=4).strata == (0, 1, 2, 3)
    assert resolve_gap("demographic_parity", n_classes=4).strata == (None,)


def test_a_gap_and_a_network_of_other_classes_do_not_go_together():
    prob, group, label = batch(9, 2, 3, 0)
    with pytest.raises(ModelError, match="tells 3 classes apart, the labels have 2"):
        resolve_gap("equalized_odds")(prob, group, label, 2)
    with pytest.raises(ModelError, match="tells 2 classes apart, the labels have 3"):
        resolve_gap("demographic_parity", n_classes=3)(prob[:, 0], group, label, 2)


BAD = {
    "logits": ({"prob": torch.eye(3) * 9}, "got 0 to 9; pass torch.softmax"),
    "label": ({"label": torch.tensor([0, 1, 3])}, r"label: expected 0 to 2, got \[0, 1, 3\]"),
    "three dimensions": ({"prob": torch.rand(3, 2, 2)}, r"two or more classes, got shape"),
}


@pytest.mark.parametrize(("change", "match"), BAD.values(), ids=BAD)
def test_bad_arguments_are_named(change, match):
    given = {"prob": torch.eye(3), "group": torch.tensor([0, 1, 0]), "label": torch.arange(3)}
    given |= change
    with pytest.raises(DataError, match=match):
        equalized_odds_gap(given["prob"], given["group"], label=given["label"], n_groups=2)


# --- figures on arrays


@pytest.mark.parametrize("n_groups", [2, 3])
def test_record_equals_scikit_learn_and_plain_loops(n_groups):
    prob, group, label = batch(200, n_groups, 3, 4)
    record = metrics.evaluate(label.numpy(), prob.numpy(), group.numpy(), n_groups=n_groups)
    chosen = prob.argmax(1)
    one_hot = torch.eye(3, dtype=torch.float64)[chosen]
    expected = {
        "average_precision": sklearn.average_precision_score(
            np.eye(3)[label.numpy()], prob.numpy(), average="macro"
        ),
        "accuracy": sklearn.accuracy_score(label, chosen),
        "balanced_accuracy": sklearn.balanced_accuracy_score(label, chosen),
    }
    for name in figure_names(3):
        expected[f"soft_{name}"] = oracle(name, prob, group, label, n_groups, "max")
        expected[f"hard_{name}"] = oracle(name, one_hot, group, label, n_groups, "max")
        for measure in ("base_rate", "all_cutoffs", "largest_cutoff"):
            single = getattr(metrics, f"{measure}_gap")
            names = [None if code < 0 else str(code) for code in group.tolist()]
            scores = {"y_score": prob.numpy(), "sensitive_features": names}
            expected[f"{measure}_{name}"] = single(label.numpy(), gap=name, **scores)
    expected["same_decision_share"] = float(chosen.bincount().max()) / len(chosen)
    assert record == pytest.approx(expected)


def test_record_leaves_an_absent_class_out_of_the_means_and_an_empty_stratum_is_undefined():
    prob = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1], [0.4, 0.5, 0.1]])
    label, group = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    record = metrics.evaluate(label, prob, group, n_groups=2)
    assert record["average_precision"] == record["balanced_accuracy"] == 1
    assert record["soft_demographic_parity"] == pytest.approx(0.1)
    assert np.isnan(record["soft_equalized_odds"]), "no group has rows of class 2"
    none = metrics.evaluate([], np.zeros((0, 3)), np.zeros(0, dtype=np.int64), n_groups=2)
    assert all(np.isnan(value) for value in none.values())


def test_record_names_bad_labels_and_probabilities():
    group = np.array([0, 1])
    with pytest.raises(DataError, match=r"labels 0 to 2, got 0\.0, 5\.0"):
        metrics.evaluate([0, 5], np.eye(3)[:2], group, n_groups=2)
    with pytest.raises(DataError, match=r"expected probabilities in \[0, 1\]"):
        metrics.evaluate([0, 1], np.eye(3)[:2] * 3, group, n_groups=2)
    with pytest.raises(DataError, match="differ in length: 3 and 2"):
        metrics.evaluate([0, 1, 2], np.eye(3)[:2], group, n_groups=2)
