"""The placebo aligns random parts of a batch, exactly as strongly as DRAlign aligns the groups."""

import math

import pytest
import torch
from torch import nn

from dralign.methods import build_method, placebo
from dralign.methods.placebo import in_random_parts
from dralign.rationale import per_sample_loss
from dralign.step import WHOLE, Batch, Passes, batch_in_blocks
from dralign.training import TrainingSettings, train
from switched_off import method_of
from synthetic import dataset, split

DP, EO = "demographic_parity", "equalized_odds"
BETA = 0.3


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1)).double()


def rows_of(gap: str = DP, *, n_groups: int = 2, lost: int = 0, n: int = 120) -> Batch:
    """As many rows of each group; the last ones of no group."""
    rows = split(n, n_groups=n_groups)
    group = torch.arange(n) % n_groups
    group[n - lost :] = -1
    by_label = gap != DP
    return batch_in_blocks(rows.x.double(), rows.y, group, n_groups=n_groups, by_label=by_label)


def gradient(method, batch: Batch, *, n_groups: int = 2, steps: int = 1, passes=WHOLE):
    """What the last of some steps adds to the gradient, as one vector, and its loss."""
    model = network()
    generator = torch.Generator().manual_seed(1)
    step = method.begin(model, n_groups=n_groups, generator=generator)
    for _ in range(steps):
        model.zero_grad()
        result = step(batch, 1.0, passes)
    return torch.cat([p.grad.flatten() for p in model.parameters()]), float(result.loss)


def similarity_gradient(batch: Batch, cells: list[list[torch.Tensor]]) -> torch.Tensor:
    """The gradient of the similarity between sets of rows, in two linear layers; plain autograd."""
    model = network()
    weights = [p for p in model.parameters() if p.ndim == 2]
    total = 0.0
    for stratum in cells:
        for weight in weights:
            h = []
            for rows in stratum:
                loss = per_sample_loss(model(batch.x[rows]), batch.y[rows]).mean()
                (g,) = torch.autograd.grad(loss, weight, create_graph=True)
                c = (g * weight).square().sum(1)
                h.append(c / c.norm())
            pairs = [(i, j) for i in range(len(h)) for j in range(i)]
            total = total + sum(h[i] @ h[j] for i, j in pairs) / len(pairs)
    grads = torch.autograd.grad(total, list(model.parameters()), allow_unused=True)
    both = zip(grads, model.parameters(), strict=True)
    return torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for g, p in both])


def strata(batch: Batch) -> list[list[torch.Tensor]]:
    """The rows of each block, by label."""
    known = [b for b in batch.blocks if b.group is not None]
    labels = {b.label: None for b in known}
    return [[torch.arange(b.start, b.stop) for b in known if b.label == label] for label in labels]


@pytest.mark.parametrize(("gap", "n_groups"), [(DP, 2), (EO, 2), (DP, 3)])
def test_at_every_step_the_term_has_the_norm_of_the_real_one_and_another_direction(gap, n_groups):
    batch = rows_of(gap, n_groups=n_groups, lost=7)
    options = {"gap": gap, "fairness_weight": 0.4}
    method = method_of("placebo", alignment_weight=BETA, **options)
    without, _ = gradient(method_of("gap", **options), batch, n_groups=n_groups)
    real = BETA * similarity_gradient(batch, strata(batch))
    directions = []
    for steps in (1, 2, 3):
        found, _ = gradient(method, batch, n_groups=n_groups, steps=steps)
        term = found - without
        assert float(term.norm()) == pytest.approx(float(real.norm()), rel=1e-6)
        directions.append(term / term.norm())
    cosines = [float(d @ -real / real.norm()) for d in directions]
    assert max(cosines) < 0.99
    assert float(directions[0] @ directions[1]) < 0.99  # drawn anew


def test_the_term_is_the_scaled_gradient_of_the_similarity_of_the_drawn_parts():
    batch = rows_of(lost=7)
    method = method_of("placebo", fairness_weight=0.4, alignment_weight=BETA)
    term = gradient(method, batch)[0] - gradient(method_of("gap", fairness_weight=0.4), batch)[0]
    parts = in_random_parts(batch, n_parts=2, generator=torch.Generator().manual_seed(1))
    drawn = similarity_gradient(parts, strata(parts))
    scale = similarity_gradient(batch, strata(batch)).norm() / drawn.norm()
    torch.testing.assert_close(term, -BETA * scale * drawn, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("penalty", ["gap", "mixup"])
@pytest.mark.parametrize("gap", [DP, EO])
def test_with_the_groups_in_the_place_of_random_parts_it_is_dralign(gap, penalty, monkeypatch):
    monkeypatch.setattr(placebo, "in_random_parts", lambda batch, **_: batch)
    batch = rows_of(gap, lost=7)
    options = {"gap": gap, "fairness_weight": 0.4, "alignment_weight": BETA, "penalty": penalty}
    found, loss = gradient(method_of("placebo", **options), batch)
    expected, wanted = gradient(method_of("dralign", **options), batch)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-13)
    assert loss == pytest.approx(wanted, rel=1e-12)


def test_a_weight_that_takes_no_part_gets_no_gradient():
    model = network()
    model.unused = nn.Parameter(torch.ones(3, dtype=torch.float64))
    model.forward = lambda x: model[2](model[1](model[0](x)))
    method = method_of("placebo", fairness_weight=0.4, alignment_weight=BETA)
    method.begin(model, n_groups=2, generator=torch.Generator())(rows_of(), 1.0, WHOLE)
    assert model.unused.grad is None
    assert all(parameter.grad is not None for parameter in model[0].parameters())


@pytest.mark.parametrize("schedule", [{"alignment_weight": 0.0}, {"alignment_every": 100}])
def test_without_weight_or_between_aligned_steps_it_is_gap_bit_for_bit(schedule):
    batch = rows_of()
    options = {"fairness_weight": 0.4, "alignment_weight": BETA, **schedule}
    found, loss = gradient(method_of("placebo", **options), batch, steps=2)
    expected, wanted = gradient(method_of("gap", fairness_weight=0.4), batch, steps=2)
    assert torch.equal(found, expected)
    assert loss == wanted


def test_settings_and_defaults_are_those_of_dralign():
    from dralign.methods import method_type

    assert method_type("placebo").settings == method_type("dralign").settings
    one, other = (build_method(name, fairness_weight=0.3) for name in ("placebo", "dralign"))
    assert (one.alignment_weight, one.schedule) == (other.alignment_weight, other.schedule)
    assert one.name == "placebo"


@pytest.mark.parametrize(("gap", "n_groups"), [(DP, 2), (EO, 2), (DP, 3)])
def test_each_random_part_has_equally_many_rows_of_each_group_and_none_is_lost(gap, n_groups):
    batch = rows_of(gap, n_groups=n_groups, lost=7)
    parts = in_random_parts(batch, n_parts=n_groups, generator=torch.Generator().manual_seed(3))
    assert parts.blocks[-1].group is None
    assert bool((parts.group[parts.blocks[-1].rows] == -1).all())
    before = {(b.group, b.label): b.stop - b.start for b in batch.blocks}
    for block in parts.blocks[:-1]:
        for group in range(n_groups):
            count = int((parts.group[block.rows] == group).sum())
            assert abs(count - before[group, block.label] / n_groups) < 1
        if block.label is not None:
            assert bool((parts.y[block.rows] == block.label).all())
    assert sorted(map(tuple, parts.x.tolist())) == sorted(map(tuple, batch.x.tolist()))


def test_the_draw_does_not_see_the_rows_and_deals_each_to_each_part_equally_often():
    batch = rows_of(n=16)
    generator = torch.Generator().manual_seed(5)
    in_first = torch.zeros(16)
    row_of = {tuple(x): i for i, x in enumerate(batch.x.tolist())}
    for _ in range(2000):
        parts = in_random_parts(batch, n_parts=2, generator=generator)
        for x in parts.x[parts.blocks[0].rows].tolist():
            in_first[row_of[tuple(x)]] += 1
    # 4.5 standard deviations of a fair coin thrown 2,000 times.
    assert float((in_first / 2000 - 0.5).abs().max()) < 4.5 * 0.5 / math.sqrt(2000)
    swapped = Batch(-batch.x, 1 - batch.y, 1 - batch.group, batch.blocks)
    one, other = (
        in_random_parts(b, n_parts=2, generator=torch.Generator().manual_seed(7))
        for b in (batch, swapped)
    )
    assert torch.equal(one.x, -other.x)


def test_blocks_of_fewer_rows_than_parts_leave_no_empty_part():
    batch = rows_of(n_groups=3, n=6)  # two rows of each group
    parts = in_random_parts(batch, n_parts=3, generator=torch.Generator().manual_seed(0))
    assert [block.stop - block.start for block in parts.blocks] == [3, 3]
    alone = rows_of(n=2)
    method = method_of("placebo", fairness_weight=0.4, alignment_weight=BETA)
    found, _ = gradient(method, alone)  # one row of each group: a single part
    assert torch.equal(found, gradient(method_of("gap", fairness_weight=0.4), alone)[0])


@pytest.mark.parametrize(("scale", "finite"), [(1.0, True), (4.0, False)])
def test_a_term_that_is_not_finite_is_left_out_but_an_overflow_of_scaled_ones_reaches_the_trainer(
    scale, finite, monkeypatch
):
    def with_overflow(step, batch, beta, passes):
        value, gradient = whole(step, batch, beta, passes)
        if batch is not real:
            gradient[0][0] = math.inf
        return value, gradient

    whole, real = placebo.PlaceboStep._alignment_gradient, rows_of()
    monkeypatch.setattr(placebo.PlaceboStep, "_alignment_gradient", with_overflow)
    method = method_of("placebo", fairness_weight=0.4, alignment_weight=BETA)
    found, _ = gradient(method, real, passes=Passes(loss_scale=scale))
    assert bool(found.isfinite().all()) == finite
    if finite:
        assert torch.equal(found, gradient(method_of("gap", fairness_weight=0.4), real)[0])


def test_running_statistics_are_updated_once_a_step():
    options = {"fairness_weight": 0.4}
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1)).double()
    method = method_of("placebo", alignment_weight=BETA, **options)
    step = method.begin(model, n_groups=2, generator=torch.Generator().manual_seed(1))
    step(rows_of())
    assert int(model[1].num_batches_tracked) == 1


def test_a_run_learns_something_other_than_dralign_and_gap():
    weights = {}
    for name, beta in (("gap", 0.0), ("dralign", BETA), ("placebo", BETA)):
        model = network().float()
        options = {"fairness_weight": 0.4} | ({"alignment_weight": beta} if beta else {})
        settings = TrainingSettings(epochs=1, iterations=4, batch_size=20)
        train(model, dataset(), method_of(name, **options), settings)
        weights[name] = model[0].weight.detach()
    assert not torch.allclose(weights["placebo"], weights["dralign"])
    assert not torch.allclose(weights["placebo"], weights["gap"])
