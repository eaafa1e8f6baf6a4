"""A front trained at once: each weight begins from one early network, validation rows choose."""

from dataclasses import replace

import pytest
import torch

import records as made_up
from dralign.errors import OptionError
from dralign.study import TrialSpec
from dralign.training import (
    FrontPoint,
    Selection,
    TrainingSettings,
    choose_point,
    predict_probability,
    train,
    train_front,
)
from switched_off import method_of
from synthetic import dataset, perceptron

DP = "demographic_parity"
SETTINGS = TrainingSettings(epochs=5, iterations=4, batch_size=20, learning_rate=0.01)


def gap_method(weight):
    return method_of("gap", fairness_weight=weight)


def test_each_weight_begins_from_the_best_epoch_with_a_fifth_of_the_epochs_at_a_quarter_rate():
    data, by_hand = dataset(), perceptron()
    fast = replace(SETTINGS, iterations=30, learning_rate=0.1)  # it overfits at once
    points = train_front(perceptron(), data, gap_method, fast, weights=(0.4, 0.0, 0.2))
    further = replace(fast, epochs=1, learning_rate=0.025)
    first = train(by_hand, data, gap_method(0.0), fast)
    precisions = [record.validation["average_precision"] for record in first.history]
    best = 1 + max(range(4), key=lambda i: precisions[i + 1])  # the first epoch is left out
    assert best < 4  # not the last, or the test could not tell them apart
    expected = [first]
    for weight in (0.2, 0.4):
        by_hand.load_state_dict(first.states[best])
        expected.append(train(by_hand, data, gap_method(weight), further))
    assert [point.weight for point in points] == [0.0, 0.2, 0.4]
    for point, run in zip(points, expected, strict=True):
        assert [r.validation for r in point.history] == [r.validation for r in run.history]
        kept = run.states[point.record.epoch]
        assert all(torch.equal(point.state[name], x) for name, x in kept.items())


def test_a_compiled_network_is_trained_by_its_original():
    data, plain, given = dataset(), perceptron(), perceptron()
    points = [
        train_front(model, data, gap_method, SETTINGS, weights=(0.0, 0.3))
        for model in (plain, torch.compile(given, backend="eager"))
    ]
    for one, other in zip(*points, strict=True):
        assert list(one.state) == list(other.state)
        assert all(torch.equal(one.state[name], other.state[name]) for name in one.state)
    for name, weight in plain.state_dict().items():
        assert torch.equal(weight, given.state_dict()[name])


def test_the_warm_up_is_that_of_the_first_weight_alone_and_the_state_is_of_the_chosen_epoch():
    data, model = dataset(), perceptron()
    rule = Selection("highest_ap", warmup=4)
    points = train_front(model, data, gap_method, SETTINGS, weights=(0.0, 0.3), rule=rule)
    assert [point.record.epoch for point in points] == [4, 0]
    for point in points:
        model.load_state_dict(point.state)
        prob = predict_probability(model, data.test.x)
        assert float(prob.mean()) == pytest.approx(point.record.test["mean_probability"], rel=1e-5)


def test_every_epoch_is_told_with_its_weight():
    told = []
    train_front(
        perceptron(),
        dataset(),
        gap_method,
        SETTINGS,
        weights=(0.0, 0.3),
        on_epoch=lambda weight, record: told.append((weight, record.epoch)),
    )
    assert told == [(0.0, 0), (0.0, 1), (0.0, 2), (0.0, 3), (0.0, 4), (0.3, 0)]


@pytest.mark.parametrize("weights", [(), (0.1, 0.1), (-0.1, 0.2), (float("nan"),)])
def test_weights_that_make_no_front_are_refused(weights):
    with pytest.raises(OptionError, match="weights: expected different numbers from 0 up"):
        train_front(perceptron(), dataset(), gap_method, SETTINGS, weights=weights)


def test_a_gap_bound_is_refused():
    with pytest.raises(OptionError, match="gap_bound: finds one weight"):
        train_front(perceptron(), dataset(), gap_method, replace(SETTINGS, gap_bound=0.1))


def points(*figures):
    """Made-up points of (average precision, base-rate gap) on the validation rows."""
    spec = TrialSpec(made_up.ADULT, "gap", fairness_weight=0.1)
    result = []
    for index, (precision, gap) in enumerate(figures):
        validation = made_up.figures(spec, precision, gap)
        # The test rows say the opposite, and have no part in it.
        record = replace(
            made_up.history(spec)[0],
            validation=validation,
            test=made_up.figures(spec, 1 - precision, 1 - gap),
        )
        result.append(FrontPoint(float(index), (record,), record, Selection(), {}))
    return result


FALLING = ((0.78, 0.20), (0.779, 0.15), (0.776, 0.12), (0.76, 0.09), (0.74, 0.095))


@pytest.mark.parametrize(
    ("max_gap", "chosen"),
    [(None, 2), (0.2, 0), (0.16, 1), (0.1, 3), (0.01, 3), (0.0, 3)],
)
def test_the_recommended_point_keeps_the_gap_at_the_best_precision_or_nearly_all_precision(
    max_gap, chosen
):
    assert choose_point(points(*FALLING), DP, max_gap=max_gap).weight == chosen


def test_nearly_all_precision_is_that_of_the_smallest_weight_where_a_larger_one_has_more():
    assert choose_point(points((0.78, 0.2), (0.79, 0.18), (0.776, 0.1)), DP).weight == 2


def test_a_point_without_a_gap_is_recommended_only_where_there_is_no_other():
    nan = float("nan")
    assert choose_point(points((0.8, nan), (0.79, 0.1)), DP).weight == 1
    assert choose_point(points((0.8, nan), (0.79, nan)), DP).weight == 0
    assert choose_point(points((0.8, nan), (0.7, 0.1)), DP, max_gap=0.05).weight == 1


def test_the_measure_decides_and_an_unknown_one_is_refused():
    two = points((0.78, 0.20), (0.778, 0.1))
    two[0].record.validation["hard_demographic_parity"] = 0.0
    assert choose_point(two, DP, measure="hard").weight == 0
    with pytest.raises(OptionError, match="measure of the gap"):
        choose_point(two, DP, measure="sft")
    with pytest.raises(OptionError, match="max_gap: expected a number from 0 up, got -1"):
        choose_point(two, DP, max_gap=-1)
