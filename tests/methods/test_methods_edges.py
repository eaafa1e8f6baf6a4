"""Steps of methods where something is missing: parameters, gradients, tensors, precision."""

import copy
import math
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn

from dralign.alignment import RationaleAlignment
from dralign.errors import DataError, ModelError, OptionError, UndefinedMetricWarning
from dralign.gaps import demographic_parity_gap, resolve_gap
from dralign.methods.build import method_options
from dralign.methods.registry import method_names, method_type, register, unregister
from dralign.methods.schedule import Every, register_schedule, schedule_of, written_schedule
from dralign.methods.state import Stateful, check_optimiser_state, optimiser_state
from dralign.methods.thresholds import fit_thresholds
from dralign.metrics.calibration import expected_calibration_error
from dralign.models import mlp
from dralign.step import Batch, Passes, batch_in_blocks, processes
from dralign.step.passes import forward_blocks
from dralign.step.processes import gradients_added_up
from switched_off import method_of
from synthetic import split


def batch(*, by_label: bool = False, dtype=torch.float32) -> Batch:
    rows = split(60)
    return batch_in_blocks(rows.x.to(dtype), rows.y, rows.group, n_groups=2, by_label=by_label)


def begun(model: nn.Module, name: str, **options):
    generator = torch.Generator().manual_seed(0)
    return method_of(name, **options).begin(model, n_groups=2, generator=generator)


def gradients(model: nn.Module) -> list[Tensor | None]:
    return [None if p.grad is None else p.grad.clone() for p in model.parameters()]


class HalfUsed(nn.Module):
    """A network with a parameter that no loss reaches."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.used, self.spare = nn.Linear(6, 1), nn.Linear(6, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.used(x)


def test_an_adversary_leaves_a_parameter_alone_that_no_loss_reaches():
    model = HalfUsed()
    begun(model, "adversarial", fairness_weight=0.5)(batch())
    assert model.used.weight.grad is not None
    assert model.spare.weight.grad is None


def test_an_adversary_takes_no_step_where_scaled_gradients_overflow():
    """The trainer leaves such a step of the network out, and the two stay in step."""
    torch.manual_seed(0)
    model = mlp(6, hidden=4)
    step = begun(model, "adversarial", fairness_weight=0.5)
    before = copy.deepcopy(step.adversary.state_dict())
    step(batch(), 1.0, Passes(loss_scale=1e39))
    assert all(torch.equal(before[name], x) for name, x in step.adversary.state_dict().items())
    step(batch(), 1.0, Passes(loss_scale=8.0))
    assert not all(torch.equal(before[name], x) for name, x in step.adversary.state_dict().items())


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("adversarial", {"fairness_weight": 0.5}),
        ("dralign", {"fairness_weight": 0.5, "alignment_weight": 0.1, "alignment_every": 3}),
    ],
)
def test_a_step_that_is_given_the_state_of_another_goes_on_as_that_one(name, options):
    torch.manual_seed(0)
    first = mlp(6, hidden=4)
    second = copy.deepcopy(first)
    old, new = begun(first, name, **options), begun(second, name, **options)
    assert isinstance(old, Stateful)
    for _ in range(2):
        old(batch())
    first.zero_grad()
    new.load_state_dict({key: x.clone() for key, x in old.state_dict().items()})
    for _ in range(2):  # the fourth step aligns again, and the adversary has moved
        assert torch.equal(old(batch()).loss, new(batch()).loss)
    assert all(map(torch.equal, gradients(first), gradients(second)))


def test_mixing_after_a_layer_without_a_tensor_is_an_error():
    class Pair(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, int]:
            return x, 1

    class First(nn.Module):
        def forward(self, pair: tuple[Tensor, int]) -> Tensor:
            return pair[0]

    model = nn.Sequential(Pair(), First(), nn.Linear(6, 1))
    step = begun(model, "mixup", fairness_weight=0.5, mixup_layer="0")
    with pytest.raises(ModelError, match="mixup: the output of '0' is not a tensor"):
        step(batch())


def test_a_term_whose_layers_were_frozen_since_is_an_error():
    model = mlp(6, hidden=4)
    term = RationaleAlignment(model)
    model.requires_grad_(requires_grad=False)
    with pytest.raises(ModelError, match="every chosen layer is frozen"):
        term.align([[torch.zeros(()), torch.zeros(())]])


@pytest.mark.parametrize("size", [0, -1])
def test_a_micro_batch_without_rows_is_refused(size):
    with pytest.raises(OptionError, match=f"micro_batch: expected at least 1 row, got {size}"):
        Passes(size)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "norm", [nn.BatchNorm1d(6, track_running_stats=False), nn.BatchNorm1d(6)], ids=["own", "kept"]
)
def test_rows_that_share_statistics_go_through_the_network_together(norm, training):
    """Without running statistics they do so in evaluation mode as well."""
    torch.manual_seed(0)
    model, rows = nn.Sequential(norm, nn.Linear(6, 1)).train(training), batch()
    with torch.no_grad():
        torch.testing.assert_close(torch.cat(forward_blocks(model, rows)), model(rows.x))


def test_half_precision_is_left_for_float32_after_the_pass():
    model = nn.Linear(6, 1)
    assert Passes(half=torch.bfloat16).forward(model, batch().x).dtype == torch.float32


@pytest.mark.parametrize("loss", ["batch_mean", "group_sum"])
def test_a_gap_of_parts_with_dropout_meets_the_same_masks_twice(loss):
    """The rehearsal and the pass that goes backward; a plain sum over parts is the oracle."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.5), nn.Linear(8, 1)).double()
    rows = batch(dtype=torch.float64)
    step = begun(model, "gap", fairness_weight=0.7, loss=loss)
    torch.manual_seed(5)
    value = step(rows, 1.0, Passes(micro_batch=30)).loss
    found, masks = gradients(model), torch.get_rng_state()
    model.zero_grad()
    torch.manual_seed(5)
    kept = torch.get_rng_state()
    seen = []
    handle = model[1].register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    step(rows, 1.0, Passes(micro_batch=30))
    handle.remove()
    assert len(seen) == 4
    assert all(torch.equal(a == 0, b == 0) for a, b in zip(seen[:2], seen[2:], strict=True))
    assert all(map(torch.equal, found, gradients(model)))
    assert not torch.equal(masks, kept)
    assert value > 0


@pytest.mark.parametrize("before", [None, 3.0])
def test_gradients_of_processes_are_added_to_those_of_before(monkeypatch, before):
    monkeypatch.setattr(processes, "n_processes", lambda: 2)
    monkeypatch.setattr(processes, "add_up", lambda tensors: [x.mul_(2) for x in tensors])
    weights = [nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))]
    if before is not None:
        for weight in weights:
            weight.grad = torch.full((2,), before)
    with gradients_added_up(weights):
        weights[0].grad = torch.ones(2)
    assert weights[0].grad.tolist() == [2.0 + (before or 0.0)] * 2
    assert weights[1].grad is None if before is None else weights[1].grad.tolist() == [before] * 2
    kept = [None if weight.grad is None else weight.grad.clone() for weight in weights]

    def fails():
        with gradients_added_up(weights):
            weights[0].grad = torch.ones(2)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    for weight, old in zip(weights, kept, strict=True):
        assert weight.grad is None if old is None else torch.equal(weight.grad, old)


@pytest.mark.parametrize("low", [-0.5, -1e-2])
def test_negative_values_are_no_probabilities(low):
    prob = torch.tensor([low, 0.5, 0.9])
    with pytest.raises(DataError, match=r"prob: expected probabilities in \[0, 1\], got -0"):
        demographic_parity_gap(prob, torch.tensor([0, 1, 0]), n_groups=2)


PARITY = resolve_gap("demographic_parity")


def fitted(prob, label, group) -> list[float]:
    columns = (torch.tensor(column) for column in (prob, label, group))
    prob, label, group = columns
    return fit_thresholds(prob, label=label, group=group, n_groups=2, gap=PARITY).tolist()


def test_a_threshold_lies_halfway_between_the_rows_that_it_parts():
    """So that the rounding of a probability decides about nobody."""
    found = fitted([0.2, 0.6, 0.3, 0.9], [0, 1, 0, 1], [0, 0, 1, 1])
    assert found == pytest.approx([0.4, 0.6])


def test_nobody_is_selected_where_that_is_the_most_accurate_even_at_a_probability_of_one():
    prob, label = [1.0, 1.0, 1.0, 1.0], [0, 0, 0, 0]
    found = fitted(prob, label, [0, 0, 1, 1])
    assert min(found) > 1.0


def test_rows_of_no_group_do_not_move_the_targets():
    """All of them would be selected, and the rates of the others would follow."""
    prob, label = [0.1, 0.2, 0.7, 0.8, 0.3, 0.4, 0.5, 0.9], [0, 0, 1, 1, 0, 1, 0, 1]
    group = [0, 0, 0, 0, 1, 1, 1, 1]
    more = [0.95 + 0.0001 * place for place in range(400)]
    found = fitted(prob + more, label + [0] * 400, group + [-1] * 400)
    assert found == fitted(prob, label, group)


# What was registered, kept or given that can't be


def adam_with_state() -> tuple[torch.optim.Optimizer, dict[str, Tensor]]:
    weight = nn.Parameter(torch.ones(2))
    optimiser = torch.optim.Adam([weight])
    weight.grad = torch.ones(2)
    optimiser.step()
    return optimiser, optimiser_state(optimiser)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"1/step": torch.tensor(1.0)}, "'1/step', torch.float32 of shape"),
        ({"0/exp_avg": torch.ones(3)}, r"'0/exp_avg', torch.float32 of shape \(3,\)"),
        ({"0/exp_avg": None}, "parameter 0 has an incomplete state"),
        ({"0/step": torch.tensor(-1.0)}, "'0/step' is -1"),
        ({"0/step": torch.tensor(float("nan"))}, "'0/step' is nan"),
    ],
)
def test_a_state_that_no_optimiser_has_is_refused(change, message):
    optimiser, state = adam_with_state()
    check_optimiser_state(optimiser, state)
    forged = {key: x for key, x in (state | change).items() if x is not None}
    with pytest.raises(ValueError, match=message):
        check_optimiser_state(optimiser, forged)


def test_a_count_of_steps_below_zero_is_refused():
    step = begun(mlp(6, hidden=4), "dralign", fairness_weight=0.5, alignment_weight=0.1)
    with pytest.raises(ValueError, match="taken: -1 steps"):
        step.load_state_dict({"taken": torch.tensor(-1)})


def test_a_setting_that_no_method_has_and_one_of_another_method_are_refused():
    with pytest.raises(OptionError, match="unknown"):
        method_options(method_type("gap"), {"volume": 11})
    with pytest.raises(OptionError, match="alignment_weight: the method 'gap' does not use it"):
        method_options(method_type("gap"), {"alignment_weight": 0.1})


def test_a_method_of_a_known_name_or_with_another_meaning_of_a_setting_is_refused():
    known = method_type("gap")
    with pytest.raises(OptionError, match="method: 'gap' is known already"):
        register(known)
    other = replace(known.settings[0], help="another")
    with pytest.raises(OptionError, match=f"the setting '{other.name}' is declared otherwise"):
        register(replace(known, name="other", settings=(other,)))
    assert "other" not in method_names()


def test_a_method_that_was_registered_is_found_until_it_is_forgotten():
    kind = replace(method_type("gap"), name="same")
    register(kind)
    try:
        assert method_type("same") is kind
    finally:
        unregister("same")
    with pytest.raises(OptionError, match="unknown method 'same'"):
        method_type("same")


@dataclass(frozen=True)
class Late:
    """From some step on."""

    first: int

    def weight(self, step: int) -> float:
        return float(step >= self.first)

    def __str__(self) -> str:
        return f"late:{self.first}"


@pytest.fixture
def late(monkeypatch):
    monkeypatch.setattr("dralign.methods.schedule.SCHEDULES", {})
    register_schedule("late", lambda text: Late(int(text)))


def test_a_schedule_is_a_number_a_text_or_itself(late):
    assert schedule_of(3) == schedule_of("3") == Every(3)
    assert [Every(3).weight(step) for step in range(4)] == [3, 0, 0, 3]
    assert schedule_of("late:2") == Late(2) == schedule_of(Late(2))
    assert schedule_of(str(Every(3))) == Every(3)
    assert (written_schedule(3), written_schedule(Late(2))) == (3, "late:2")


@pytest.mark.parametrize("given", [True, 2.5, -1, None])
def test_what_stands_for_no_schedule_is_refused(given):
    with pytest.raises(OptionError, match="alignment_every: expected a whole number from 1 up"):
        schedule_of(given)


def test_an_unknown_schedule_one_given_twice_and_one_that_can_not_be_read_are_refused(late):
    with pytest.raises(OptionError, match="unknown schedule 'soon:1'; known: a number k, late"):
        schedule_of("soon:1")
    with pytest.raises(OptionError, match="schedule: 'late' is known already"):
        register_schedule("late", lambda text: Late(int(text)))

    class Lost(Late):
        """Another schedule with the text of the first."""

    with pytest.raises(OptionError, match="schedule: 'late:2' is not one that was registered"):
        written_schedule(Lost(2))


def test_an_interval_of_no_steps_is_refused():
    with pytest.raises(OptionError, match="alignment_every: expected a whole number from 1 up"):
        Every(0)


def test_without_rows_there_is_no_calibration():
    with pytest.warns(UndefinedMetricWarning, match="expected_calibration_error: there are no row"):
        assert math.isnan(expected_calibration_error([], []))
