"""The loop records, repeats, restores and refuses what it should."""

import math
import sys
import warnings
from dataclasses import replace

import pytest
import torch
from torch import nn

from dralign.data import Split
from dralign.errors import GroupError, ModelError, OptionError, UndefinedMetricWarning
from dralign.methods import method_names
from dralign.metrics import average_precision, soft_demographic_parity_difference
from dralign.training import (
    EpochRecord,
    Selection,
    TrainingSettings,
    predict_probability,
    seeded,
    spawn_seeds,
    tensorboard_log,
    train,
)
from dralign.training.tensorboard import scalars
from switched_off import method_of
from synthetic import dataset, perceptron

SHORT = TrainingSettings(epochs=3, iterations=5, batch_size=20)
METHOD = method_of("dralign", fairness_weight=0.2, alignment_weight=0.02)


def test_same_seed_gives_the_same_weights_and_another_seed_does_not():
    def run(seed: int) -> torch.Tensor:
        model = perceptron()
        train(model, dataset(), METHOD, replace(SHORT, seed=seed))
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    assert torch.equal(run(0), run(0))
    assert not torch.equal(run(0), run(1))


def test_dropout_repeats_with_the_seed_and_global_randomness_is_left_alone():
    def run() -> torch.Tensor:
        with seeded(0):
            model = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.5), nn.Linear(8, 1))
        train(model, dataset(), method_of("erm"), SHORT)
        return model[0].weight.detach()

    state = torch.get_rng_state()
    one = run()
    assert torch.equal(state, torch.get_rng_state())
    torch.rand(7)
    assert torch.equal(one, run())


def test_records_are_the_figures_of_the_kept_weights():
    data, model = dataset(), perceptron()
    seen = []
    result = train(model, data, METHOD, SHORT, on_epoch=seen.append)
    assert tuple(seen) == result.history
    assert [record.epoch for record in result.history] == [0, 1, 2]
    for record, state in zip(result.history, result.states, strict=True):
        model.load_state_dict(state)
        for figures, rows in ((record.validation, data.validation), (record.test, data.test)):
            prob = predict_probability(model, rows.x).numpy()
            y, a = rows.y.numpy(), rows.group.numpy()
            assert figures["average_precision"] == pytest.approx(average_precision(y, prob))
            assert figures["soft_demographic_parity"] == pytest.approx(
                soft_demographic_parity_difference(y, prob, sensitive_features=a), abs=1e-6
            )


class Watched:
    """A method whose steps tell their losses."""

    def __init__(self, method):
        self._method, self.losses = method, []

    def __getattr__(self, name):
        return getattr(self._method, name)

    def begin(self, model, **options):
        step = self._method.begin(model, **options)

        def told(*arguments):
            result = step(*arguments)
            self.losses.append(float(result.loss))
            return result

        return told


def test_the_recorded_loss_is_the_mean_over_the_steps_of_its_epoch():
    method = Watched(method_of("gap", fairness_weight=0.5))
    history = train(perceptron(), dataset(), method, SHORT).history
    assert len(method.losses) == 3 * 5
    for epoch, record in enumerate(history):
        own = method.losses[5 * epoch : 5 * epoch + 5]
        assert record.loss == pytest.approx(sum(own) / 5, rel=1e-5)


def test_recorded_similarity_is_that_of_whole_validation_gradients():
    data, model = dataset(), perceptron()
    record = train(model, data, METHOD, replace(SHORT, epochs=1)).history[0]
    rows, vectors = data.validation, []
    for g in (0, 1):
        inside = rows.group == g
        loss = nn.functional.binary_cross_entropy_with_logits(
            model(rows.x[inside])[:, 0], rows.y[inside].float()
        )
        (grad,) = torch.autograd.grad(loss, model[2].weight)
        vectors.append(((grad * model[2].weight) ** 2).detach())
    by_unit = [v.sum(1) for v in vectors]
    flat = [v.flatten() for v in vectors]
    assert set(record.similarity) == {"unit", "parameter"}
    for granularity, (one, other) in (("unit", by_unit), ("parameter", flat)):
        expected = torch.cosine_similarity(one, other, dim=0, eps=0).item()
        assert record.similarity[granularity]["2"] == pytest.approx(expected, rel=1e-4)


def test_record_survives_the_way_through_json():
    import json

    record = train(perceptron(), dataset(), METHOD, replace(SHORT, epochs=1)).history[0]
    assert EpochRecord.from_dict(json.loads(json.dumps(record.to_dict()))) == record


def test_another_selection_restores_its_own_weights_without_training():
    data, model = dataset(), perceptron()
    result = train(model, data, METHOD, SHORT)
    for rule in ("smallest_gap", "highest_ap", "last"):
        record = result.restore(Selection(rule), METHOD.gap.name)
        prob = predict_probability(model, data.validation.x).numpy()
        expected = record.validation["average_precision"]
        assert average_precision(data.validation.y.numpy(), prob) == pytest.approx(expected)


def test_loss_that_stops_being_finite_is_an_error():
    """Whatever setting can be why is named."""
    told = "smaller learning rate than 1e+30, or a smaller fairness weight than 0.2, or a smaller"
    with pytest.raises(ModelError, match="not finite in epoch 0; try a ") as raised:
        train(perceptron(), dataset(), METHOD, replace(SHORT, learning_rate=1e30))
    assert str(raised.value).endswith(f"{told} alignment weight than 0.02")
    bounded, method = replace(SHORT, learning_rate=1e30, gap_bound=0.1), method_of("erm")
    with pytest.raises(ModelError, match=r"in epoch 0.*1e\+30, or a larger gap bound than 0.1$"):
        train(perceptron(), dataset(), method, bounded)


def test_weights_that_stop_being_finite_in_the_last_step_are_an_error():
    """The loss of an epoch is that before its last step."""
    once = replace(SHORT, iterations=1, learning_rate=1e39)
    with pytest.raises(ModelError, match=r"the weights '0.weight' are not finite in epoch 0; try"):
        train(perceptron(), dataset(), method_of("erm"), once)


def test_a_network_without_a_probability_for_a_row_is_an_error():
    model, x = perceptron(), torch.ones(3, 6)
    x[1] = 3e38
    with torch.no_grad():
        model[0].weight.fill_(3e38)
        model[0].weight[0].neg_()
    with pytest.raises(
        ModelError, match=r"no probability \(NaN\) for [123] of 3 rows: its weights"
    ):
        predict_probability(model, x)


def with_train(**columns):
    data = dataset()
    rows = data.train
    return replace(
        data,
        train=Split(
            columns.get("x", rows.x), columns.get("y", rows.y), columns.get("group", rows.group)
        ),
    )


def test_group_missing_from_training_is_an_error():
    data = with_train(group=torch.zeros_like(dataset().train.group))
    with pytest.raises(GroupError, match="group 'b' has no training rows"):
        train(perceptron(), data, METHOD, SHORT)


def test_without_any_groups_a_method_that_needs_none_trains_and_others_refuse():
    data = dataset()
    parts = {
        name: replace(getattr(data, name), group=torch.full((300,), -1))
        for name in ("train", "validation", "test")
    }
    data, model = replace(data, group_names=(), **parts), perceptron()
    before = model[0].weight.detach().clone()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        record = train(model, data, method_of("erm"), SHORT).history[-1]
    assert not torch.equal(before, model[0].weight)
    assert record.similarity == {}
    assert record.test["average_precision"] > 0.5
    assert math.isnan(record.test["soft_demographic_parity"])
    for name in set(method_names()) - {"erm"}:
        with pytest.raises(GroupError, match="at least two are needed"):
            train(perceptron(), data, method_of(name), SHORT)


def test_group_without_positives_is_an_error_only_if_the_gap_conditions_on_the_label():
    rows = dataset().train
    data = with_train(y=torch.where(rows.group == 0, 0, rows.y))
    for gap in ("equalized_odds", "equal_opportunity", "predictive_parity"):
        with pytest.raises(GroupError, match="'a' has no training rows with label 1"):
            train(perceptron(), data, method_of("erm", gap=gap), SHORT)
    with pytest.warns(UndefinedMetricWarning, match="'a' has no training rows with label 1"):
        train(perceptron(), data, METHOD, SHORT)


def test_a_group_of_few_rows_is_announced_in_one_line():
    data = dataset()
    lone = Split(*(part[:1] for part in data.test.at(torch.nonzero(data.test.group == 0)[:, 0])))
    rest = data.test.at(torch.nonzero(data.test.group == 1)[:, 0])
    few = Split(*(torch.cat(pair) for pair in zip((lone.x, lone.y, lone.group), rest, strict=True)))
    with pytest.warns(UndefinedMetricWarning) as caught:
        train(perceptron(), replace(data, test=few, validation=few), METHOD, SHORT)
    told = [str(one.message) for one in caught if "figures that condition" in str(one.message)]
    absent = 1 - int(lone.y)
    (line,) = told
    assert line == (
        f"group 'a' has no validation rows with label {absent}, no test rows with label {absent}: "
        "figures that condition on it are undefined"
    )


def test_undefined_figure_in_a_split_is_nan_and_announced():
    data = dataset()
    rows = data.test
    data = replace(data, test=Split(rows.x, torch.where(rows.group == 0, 0, rows.y), rows.group))
    with pytest.warns(UndefinedMetricWarning, match="'a' has no test rows with label 1"):
        record = train(perceptron(), data, METHOD, SHORT).history[-1]
    assert math.isnan(record.test["soft_equal_opportunity"])
    assert not math.isnan(record.test["soft_demographic_parity"])
    assert not math.isnan(record.validation["soft_equal_opportunity"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs: expected a whole number from 1 up, got 0"),
        ({"iterations": -1}, "iterations: expected a whole number from 1 up, got -1"),
        ({"batch_size": 0}, "batch_size: expected a whole number from 1 up, got 0"),
        ({"patience": 0}, "patience: expected a whole number from 1 up, got 0"),
        ({"learning_rate": 0}, "learning_rate: expected a positive number, got 0"),
        ({"learning_rate": float("nan")}, "learning_rate: expected a positive number"),
    ],
)
def test_settings_out_of_range_are_refused(options, message):
    with pytest.raises(OptionError, match=message):
        TrainingSettings(**options)


def test_negative_seed_is_refused():
    with pytest.raises(OptionError, match="seed: expected a number from 0 up, got -1"):
        spawn_seeds(-1)


def test_seeds_of_a_run_differ_from_each_other_and_from_other_runs():
    runs = [spawn_seeds(seed) for seed in range(50)]
    numbers = [n for run in runs for n in (run.initialisation, run.sampling, run.noise)]
    assert len(set(numbers)) == 150


def test_training_warns_of_nothing_on_whole_data():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(perceptron(), dataset(), METHOD, replace(SHORT, epochs=1))


def test_thresholds_change_the_hard_figures_alone():
    data = dataset(n=600)
    histories = [
        train(perceptron(), data, method_of(name), SHORT).history for name in ("erm", "thresholds")
    ]
    for erm, cut in zip(*histories, strict=True):
        for name, value in erm.test.items():
            if name == "average_precision" or name.startswith("soft_"):
                assert cut.test[name] == value
        assert cut.validation["hard_demographic_parity"] < 0.02
    assert any(
        cut.test["hard_demographic_parity"] != erm.test["hard_demographic_parity"]
        for erm, cut in zip(*histories, strict=True)
    )


def test_scalars_of_a_record_are_its_figures_by_name():
    record = train(perceptron(), dataset(), METHOD, replace(SHORT, epochs=1)).history[0]
    shown = scalars(record)
    assert shown["loss"] == record.loss
    assert shown["test/average_precision"] == record.test["average_precision"]
    assert shown["similarity/unit/2"] == record.similarity["unit"]["2"]
    assert shown["similarity/unit/total"] == record.similarity_total("unit")
    assert "found_weight" not in shown
    assert scalars(replace(record, found_weight=0.5))["found_weight"] == 0.5


def test_tensorboard_log_holds_every_epoch(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = tensorboard_log(tmp_path)
    history = train(perceptron(), dataset(), METHOD, SHORT, on_epoch=log).history
    events = EventAccumulator(str(tmp_path)).Reload()
    assert set(events.Tags()["scalars"]) == set(scalars(history[0]))
    seen = [(event.step, event.value) for event in events.Scalars("loss")]
    assert seen == [(record.epoch, pytest.approx(record.loss)) for record in history]


def test_without_tensorboard_its_log_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(OptionError, match=r"not installed; install dralign\[tensorboard\] from"):
        tensorboard_log(tmp_path)
