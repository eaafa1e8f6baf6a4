"""Parts of a batch give the step of the whole one; half precision gives nearly that of float32."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from dralign.errors import OptionError
from dralign.gaps.ranking import CUTOFFS
from dralign.step import Passes
from dralign.training import TrainingSettings, seeded, train
from switched_off import method_of
from synthetic import dataset
from training_cases import CASES, DP, batch_for, error, two_steps

SETTINGS = TrainingSettings(epochs=2, iterations=5, batch_size=20)
HALF = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def supported(name: str) -> bool:
    """Older builds of torch have no float16 products on the CPU."""
    try:
        with torch.autocast("cpu", HALF[name]):
            torch.ones(2, 2) @ torch.ones(2, 2)
    except RuntimeError:
        return False
    return True


half_precision = pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name, marks=pytest.mark.skipif(not supported(name), reason=f"no {name} on this CPU")
        )
        for name in HALF
    ],
)


@pytest.mark.parametrize("micro_batch", [1, 9])
@pytest.mark.parametrize("key", CASES)
def test_parts_of_a_batch_add_up_to_its_step(key, micro_batch):
    """Of 1 to 29 rows; blocks have 7 and 1, so that some parts have no row of some blocks."""
    found = two_steps(CASES[key], passes=Passes(micro_batch=micro_batch))
    assert error(found, two_steps(CASES[key])) <= 1e-10


class Recorder(nn.Module):
    """Keeps every dropout mask in the order of the passes."""

    def __init__(self):
        super().__init__()
        self.masks = []

    def forward(self, x):
        mask = nn.functional.dropout(torch.ones_like(x), 0.5, self.training)
        self.masks.append(mask)
        return x * mask


@pytest.mark.parametrize("name", ["gap", "mixup", "dralign"])
def test_a_part_keeps_its_dropout_masks_when_it_goes_through_again(name):
    case = next(case for case in CASES.values() if case["name"] == name)
    method, recorder = method_of(**case), Recorder()
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), recorder, nn.Linear(8, 1)).double()
    step = method.begin(model, n_groups=2, generator=torch.Generator().manual_seed(1))
    step(batch_for(method, case), 1.0, Passes(micro_batch=8))
    recorder.masks.clear()  # before the first step a few rows are looked at
    step(batch_for(method, case), 1.0, Passes(micro_batch=8))
    rehearsed, repeated = recorder.masks[: len(recorder.masks) // 2], recorder.masks
    for one, other in zip(rehearsed, repeated[len(rehearsed) :], strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(rehearsed[0], rehearsed[-1])


@pytest.mark.parametrize("name", ["gap", "dralign"])
def test_parts_move_running_statistics_once_each(name):
    case = CASES[f"{name} {DP}"]
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 1)).double()
    method = method_of(**case)
    step = method.begin(model, n_groups=2, generator=torch.Generator())
    step(batch_for(method, case), 1.0, Passes(micro_batch=5))
    assert int(model[1].num_batches_tracked) == 3


def direction(case: dict, passes: Passes) -> torch.Tensor:
    """The gradients of two steps, in one vector, without the loss scale."""
    _, *gradients = two_steps(case, dtype=torch.float32, passes=passes, rows=40, smooth=True)
    assert all(g.dtype == torch.float32 for g in gradients)
    return torch.cat([g.flatten() for g in gradients]) / passes.loss_scale


@half_precision
@pytest.mark.parametrize("key", CASES)
def test_half_precision_keeps_the_gradient_to_a_few_per_cent(key, name):
    """Within 12 roundings, each by 2^-9 at most (bfloat16) or 2^-12 (float16).

    Of a smooth network: a ReLU turns on or off where rounding moves a row past its kink, as those
    of the adversary do, whose share is not that of the rounding. At all cut-offs scores are told
    apart over a 15th of their spread.
    """
    exact = direction(CASES[key], Passes())
    scale = 1024.0 if name == "float16" else 1.0
    in_parts = 50 if key in {f"gap {DP}", f"mixup {DP}", f"dralign {DP}"} else None
    found = direction(CASES[key], Passes(in_parts, HALF[name], scale))
    assert not torch.equal(found, exact)
    tolerance = 12 * (2**-9 if name == "bfloat16" else 2**-12)
    if CASES[key]["name"] == "adversarial":
        tolerance *= 4
    if "all cut-offs" in key:
        tolerance *= CUTOFFS
    assert (found - exact).norm() <= tolerance * exact.norm()


def test_scaled_steps_are_the_scale_times_plain_ones():
    for case in CASES.values():
        losses, *plain = two_steps(case)
        found = two_steps(case, passes=Passes(loss_scale=512.0))
        assert error(found, [losses, *(512 * g for g in plain)]) <= 1e-10


def run(case: dict, **changes: object):
    with seeded(0):
        model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 1))
    done = train(model, dataset(), method_of(**case), replace(SETTINGS, **changes))
    weights = torch.cat([p.detach().flatten() for p in model.parameters()])
    assert weights.dtype == torch.float32
    return weights, done.history


@half_precision
@pytest.mark.parametrize("key", [f"erm {DP}", f"mixup {DP}", f"adversarial {DP}", f"dralign {DP}"])
def test_a_run_in_half_precision_ends_near_the_one_in_float32(key, name):
    """Ten steps of Adam move a weight by 0.01 at most; half a step of difference is allowed."""
    weights, history = run(CASES[key], precision=name)
    expected, plain = run(CASES[key])
    assert not torch.equal(weights, expected)
    assert (weights - expected).abs().mean() <= 5e-4
    assert history[-1].loss == pytest.approx(plain[-1].loss, rel=0.01)


def test_a_run_in_parts_ends_where_the_whole_one_does():
    """Without dropout, whose masks are drawn part by part."""
    for key in (f"erm {DP}", f"dralign {DP}"):
        case = {**CASES[key]}
        with seeded(0):
            one, other = (nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1)) for _ in "ab")
        other.load_state_dict(one.state_dict())
        train(one, dataset(), method_of(**case), SETTINGS)
        train(other, dataset(), method_of(**case), replace(SETTINGS, micro_batch=9))
        for found, wanted in zip(other.parameters(), one.parameters(), strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)


def test_a_step_that_overflows_is_left_out_by_network_and_adversary():
    case = CASES[f"adversarial {DP}"]
    method = method_of(**case)
    model = nn.Linear(6, 1)
    step = method.begin(model, n_groups=2, generator=torch.Generator())
    before = [p.detach().clone() for p in step.adversary.parameters()]
    step(batch_for(method, case, dtype=torch.float32), 1.0, Passes(loss_scale=1e38))
    assert not all(bool(p.grad.isfinite().all()) for p in model.parameters())
    for found, wanted in zip(step.adversary.parameters(), before, strict=True):
        assert torch.equal(found, wanted)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"micro_batch": 0}, "micro_batch: expected a whole number from 1"),
        ({"precision": "half"}, "unknown precision 'half'; known: float32, bfloat16, float16"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, message):
    with pytest.raises(OptionError, match=message):
        TrainingSettings(**settings)
