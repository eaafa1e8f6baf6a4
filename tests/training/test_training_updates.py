"""An optimiser, a schedule, weight decay, clipping and a stop of the caller's own."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

import checkpoint_runs as runs
from dralign.errors import OptionError
from dralign.training import Checkpoints, TrainingSettings, train
from dralign.training.updates import steady
from switched_off import method_of
from synthetic import dataset, perceptron

SHORT = TrainingSettings(epochs=2, iterations=4, batch_size=20)
ERM = method_of("erm")


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def trained(settings=SHORT, **given) -> torch.Tensor:
    model = perceptron()
    train(model, dataset(), ERM, settings, **given)
    return weights(model)


def adam(parameters):
    return torch.optim.Adam(parameters, lr=1e-3, fused=True)


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1, momentum=0.9)


class Watched(torch.optim.SGD):
    """Keeps the learning rate and the norm of all gradients of each step."""

    seen: list[tuple[float, float]]

    def step(self, closure=None):
        parameters = [p for group in self.param_groups for p in group["params"]]
        norm = float(torch.cat([p.grad.flatten() for p in parameters]).norm())
        type(self).seen.append((self.param_groups[0]["lr"], norm))
        return super().step(closure)


@pytest.fixture
def seen(monkeypatch):
    monkeypatch.setattr(Watched, "seen", [], raising=False)
    return Watched.seen


def test_an_own_optimiser_takes_the_place_of_adam():
    assert torch.equal(trained(optimiser=adam), trained())
    assert not torch.equal(trained(optimiser=sgd), trained())


def test_the_schedule_goes_on_with_every_step(seen):
    trained(
        optimiser=lambda parameters: Watched(parameters, lr=0.1),
        scheduler=lambda optimiser: lr_scheduler.LambdaLR(optimiser, lambda step: 1 / (1 + step)),
    )
    assert [rate for rate, _ in seen] == pytest.approx([0.1 / (1 + step) for step in range(8)])


def test_a_schedule_that_never_moves_changes_nothing():
    def still(optimiser):
        return lr_scheduler.ConstantLR(optimiser, factor=1.0)

    assert torch.equal(trained(scheduler=still), trained())


def test_weight_decay_is_that_of_adamw():
    def decoupled(parameters):
        return torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.5, fused=True)

    decayed = trained(replace(SHORT, weight_decay=0.5))
    assert torch.equal(decayed, trained(optimiser=decoupled))
    assert decayed.norm() < trained().norm()


def test_no_gradient_is_longer_than_the_norm_it_is_clipped_to(seen):
    def watched(parameters):
        return Watched(parameters, lr=0.1)

    trained(optimiser=watched)
    free = [norm for _, norm in seen]
    seen.clear()
    bound = min(free) / 2
    trained(replace(SHORT, clip_norm=bound), optimiser=watched)
    assert [norm for _, norm in seen] == pytest.approx([bound] * 8, rel=1e-3)
    assert torch.equal(trained(replace(SHORT, clip_norm=2 * max(free))), trained())


def test_gradients_of_float16_are_clipped_at_their_own_size(seen):
    """Not at that of the scaled loss."""
    half = replace(SHORT, precision="float16", clip_norm=1e-3)
    trained(half, optimiser=lambda parameters: Watched(parameters, lr=0.1))
    assert [norm for _, norm in seen] == pytest.approx([1e-3] * len(seen), rel=1e-2)
    assert len(seen) >= 4


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"optimiser": lambda _: 3}, "optimiser: expected a function from .* returns int"),
        ({"optimiser": "adam"}, "optimiser: expected a function from parameters .* got 'adam'"),
        ({"scheduler": 0.9}, "scheduler: expected a function from the optimiser .* got 0.9"),
        ({"optimiser": torch.optim.LBFGS}, "optimiser: .*without a closure, .* returns LBFGS"),
        ({"scheduler": lambda _: None}, "scheduler: expected a function .* returns NoneType"),
        ({"scheduler": lr_scheduler.ReduceLROnPlateau}, "scheduler: .* returns ReduceLROnPlateau"),
    ],
)
def test_what_is_no_optimiser_or_schedule_is_refused_in_one_line(given, told):
    with pytest.raises(OptionError, match=told) as raised:
        trained(**given)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["learning_rate", "weight_decay"])
def test_a_setting_of_adam_beside_an_own_optimiser_is_refused(name):
    with pytest.raises(OptionError, match=f"{name}: 0.3 is of Adam, and an optimiser of your own"):
        trained(replace(SHORT, **{name: 0.3}), optimiser=sgd)


OPTIMISERS = {
    "sgd": sgd,
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.02, weight_decay=0.1, amsgrad=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, centered=True),
}
SCHEDULES = {
    "none": None,
    "steps": lambda o: lr_scheduler.MultiStepLR(o, [3, 7], gamma=0.3),
    "one cycle": lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=15),
    "warm-up": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.LinearLR(o), lr_scheduler.CosineAnnealingLR(o, 10)], [5]
    ),
    "function": lambda o: lr_scheduler.LambdaLR(o, lambda step: 0.9**step),
}


def begun(folder, optimiser, scheduler, *, epochs=runs.EPOCHS, on_epoch=None):
    """A run with one's own optimiser, saved after every second step."""
    settings = TrainingSettings(epochs=epochs, iterations=runs.STEPS, batch_size=20)
    places = None if folder is None else Checkpoints(folder, every=2, last=9)
    return train(
        runs.network("gap"), dataset(), method_of("gap", fairness_weight=0.5), settings,
        checkpoints=places, optimiser=optimiser, scheduler=scheduler, on_epoch=on_epoch,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("optimiser", "schedule"),
    [
        ("sgd", "one cycle"),
        ("adamw", "warm-up"),
        ("rmsprop", "steps"),
        ("sgd", "none"),
        ("sgd", "function"),
    ],
)
def test_a_run_resumed_in_the_middle_of_an_epoch_ends_bit_for_bit_as_if_whole(
    optimiser, schedule, tmp_path
):
    own = OPTIMISERS[optimiser], SCHEDULES[schedule]
    whole = runs.outcome(begun(None, *own))
    begun(tmp_path, *own)
    for path in tmp_path.glob("step-*"):
        if int(path.name.split("-")[1]) > 8:
            path.unlink()
    resumed = runs.outcome(begun(tmp_path, *own))
    assert whole.keys() == resumed.keys()
    for name, value in whole.items():
        assert value.tobytes() == resumed[name].tobytes(), name


@pytest.mark.parametrize(
    ("optimiser", "scheduler", "told"),
    [
        (OPTIMISERS["adamw"], None, "optimiser: SGD there, AdamW here"),
        (lambda p: torch.optim.SGD(p, lr=0.2), None, "options of the optimiser: lr=0.1, .* there"),
        (sgd, lr_scheduler.ConstantLR, "scheduler: none there, ConstantLR here|options of"),
    ],
)
def test_another_optimiser_is_another_run(optimiser, scheduler, told, tmp_path):
    begun(tmp_path, sgd, None, epochs=1)
    with pytest.raises(OptionError, match=f"another run .{told}") as raised:
        begun(tmp_path, optimiser, scheduler)
    assert "\n" not in str(raised.value)


def warmed_up(steps, of=3):
    """A rate that rises for some steps, and then falls."""
    return lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.LinearLR(o, total_iters=of), lr_scheduler.CosineAnnealingLR(o, 10)],
        [steps],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("first", "then", "told"),
    [
        (
            lambda o: lr_scheduler.MultiStepLR(o, [3, 7]),
            lambda o: lr_scheduler.MultiStepLR(o, [3, 12]),
            r"milestones of the scheduler: \{3: 1, 7: 1\} there, \{12: 1, 3: 1\} here",
        ),
        (
            lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=15, pct_start=0.3),
            lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=15, pct_start=0.9),
            "_schedule_phases of the scheduler: ",
        ),
        (warmed_up(2), warmed_up(5), r"_milestones of the scheduler: \[2\] there, \[5\] here"),
        (warmed_up(5), warmed_up(5, of=5), "_schedulers of the scheduler: .*'total_iters': 3"),
        (
            lambda o: lr_scheduler.LambdaLR(o, lambda step: 0.9**step),
            lambda o: lr_scheduler.LambdaLR(o, lambda step: 0.9 ** min(step, 4)),
            "learning rates: the schedule gives others for 5 steps",
        ),
    ],
)
def test_another_schedule_is_another_run(first, then, told, tmp_path):
    begun(tmp_path, sgd, first, epochs=1)
    with pytest.raises(OptionError, match=f"another run .{told}.*; choose another f") as raised:
        begun(tmp_path, sgd, then)
    assert "\n" not in str(raised.value)


def test_schedules_with_the_same_course_so_far_are_one_if_only_their_functions_differ(tmp_path):
    """It goes on as a run with the second function alone: nothing is left of the first."""

    def late(step):
        return 0.9 ** min(step, 6)

    begun(tmp_path, sgd, lambda o: lr_scheduler.LambdaLR(o, lambda step: 0.9**step), epochs=1)
    resumed = runs.outcome(begun(tmp_path, sgd, lambda o: lr_scheduler.LambdaLR(o, late)))
    whole = runs.outcome(begun(None, sgd, lambda o: lr_scheduler.LambdaLR(o, late)))
    assert all(value.tobytes() == resumed[name].tobytes() for name, value in whole.items())


def test_a_value_is_written_the_same_in_every_process():
    class Plain:
        pass

    one, other = Plain(), Plain()
    assert steady([one, {"b": {3, 1}, "a": other}]) == steady([other, {"a": one, "b": {1, 3}}])
    assert " at 0x" not in steady(one)
    assert steady({"a": 1}) != steady({"a": 2})
    assert "\n" not in steady(torch.eye(3))


class Counting(torch.optim.SGD):
    """Counts its steps among its options, as schedule-free optimisers do."""

    def step(self, closure=None):
        self.param_groups[0]["k"] = self.param_groups[0].get("k", 0) + 1
        return super().step(closure)


class Numbering(torch.optim.SGD):
    """Counts its steps in a number that is no tensor."""

    def step(self, closure=None):
        first = self.param_groups[0]["params"][0]
        self.state[first]["count"] = self.state[first].get("count", 0) + 1
        return super().step(closure)


@pytest.mark.parametrize(
    ("kind", "told"),
    [(Counting, "'k' of Counting changed while training"), (Numbering, "Numbering keeps 'count'")],
)
def test_an_optimiser_whose_state_a_file_can_not_hold_is_refused(kind, told, tmp_path):
    def own(parameters):
        return kind(parameters, lr=0.1)

    begun(None, own, None)
    with pytest.raises(OptionError, match=f"checkpoints: {told}"):
        begun(tmp_path, own, None)


@pytest.mark.parametrize("kind", [bool, np.bool_])
def test_training_ends_after_the_epoch_whose_callback_returns_true(kind, tmp_path):
    def stop(record):
        return kind(record.epoch == 1)

    done = begun(tmp_path, None, None, on_epoch=stop)
    assert [record.epoch for record in done.history] == [0, 1]
    again = begun(tmp_path, None, None)
    assert len(again.history) == 2, "a run that was told to stop goes on"
    assert np.array_equal(weights(done.model), weights(again.model))


def test_a_callback_that_returns_something_else_does_not_end_it():
    model = perceptron()
    assert len(train(model, dataset(), ERM, SHORT, on_epoch=lambda _: 1).history) == 2
