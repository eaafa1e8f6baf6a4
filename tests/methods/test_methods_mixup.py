"""Fair Mixup's penalty is the slope of the expected output along the path; DRAlign can take it."""

import pytest
import torch
from torch import nn

from dralign.errors import DataError, ModelError
from dralign.gaps import resolve_gap
from dralign.methods.mixup import PathPenalty
from dralign.models import mlp
from dralign.step import Batch, batch_in_blocks
from dralign.training import TrainingSettings, train
from path_penalty import path_penalty
from switched_off import method_of
from synthetic import dataset, split

DP, EO = "demographic_parity", "equalized_odds"


def smooth_network() -> nn.Sequential:
    torch.manual_seed(0)
    sizes = ((6, 5), (5, 4))
    hidden = [m for i, o in sizes for m in (nn.Linear(i, o), nn.Tanh())]
    return nn.Sequential(*hidden, nn.Linear(4, 1)).double()


def batch_of(gap: str, *, n_groups: int = 2, n: int = 60) -> Batch:
    """Blocks of unequal length, in float64."""
    rows = split(n, n_groups=n_groups)
    return batch_in_blocks(
        rows.x.double(), rows.y, rows.group, n_groups=n_groups, by_label=gap == EO
    )


def seeded_generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def gammas(n: int) -> list[torch.Tensor]:
    """What the penalty draws: one number per stratum."""
    generator = seeded_generator()
    return [torch.rand((), generator=generator).double() for _ in range(n)]


def pairs(batch: Batch, label: int | None) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The rows of each two groups within a label, cut to the shorter block."""
    keep = torch.ones_like(batch.group, dtype=torch.bool) if label is None else batch.y == label
    groups = [batch.x[keep & (batch.group == g)] for g in range(int(batch.group.max()) + 1)]
    found = []
    for g, first in enumerate(groups):
        for second in groups[g + 1 :]:
            n = min(len(first), len(second))
            found.append((first[:n], second[:n]))
    return found


@pytest.mark.parametrize("aggregate", ["max", "mean"])
@pytest.mark.parametrize("n_groups", [2, 3])
@pytest.mark.parametrize("gap", [DP, EO])
def test_penalty_is_the_naive_formula(gap, n_groups, aggregate):
    """|mean_i <grad_x f(x~_i), x1_i - x0_i>|, row by row, over pairs and labels."""
    model, batch = smooth_network(), batch_of(gap, n_groups=n_groups)
    labels = (0, 1) if gap == EO else (None,)
    expected = 0.0
    for label, gamma in zip(labels, gammas(len(labels)), strict=True):
        slopes = []
        for first, second in pairs(batch, label):
            inner = []
            for x0, x1 in zip(first, second, strict=True):
                x = (gamma * x0 + (1 - gamma) * x1).requires_grad_()
                (gradient,) = torch.autograd.grad(torch.sigmoid(model(x[None])).sum(), x)
                inner.append(gradient @ (x1 - x0))
            slopes.append(abs(float(torch.stack(inner).mean())))
        expected += max(slopes) if aggregate == "max" else sum(slopes) / len(slopes)
    penalty = PathPenalty(resolve_gap(gap, aggregate=aggregate))
    found, skipped = path_penalty(
        penalty, model, batch, generator=seeded_generator(), n_groups=n_groups
    )
    assert float(found.detach()) == pytest.approx(expected, rel=1e-12)
    assert skipped == 0


@pytest.mark.parametrize("layer", [None, "1", "3"])
def test_penalty_is_the_derivative_of_the_expected_output_along_the_path(layer):
    """Finite differences in float64, of inputs and of hidden representations."""
    model, batch = smooth_network(), batch_of(DP)
    ((first, second),) = pairs(batch, None)
    cut = 0 if layer is None else int(layer) + 1
    below, above = model[:cut], model[cut:]
    (gamma,) = gammas(1)

    def expected_output(at: torch.Tensor) -> float:
        mixed = at * below(first) + (1 - at) * below(second)
        return float(torch.sigmoid(above(mixed)).mean().detach())

    step = 1e-5
    slope = (expected_output(gamma + step) - expected_output(gamma - step)) / (2 * step)
    penalty = PathPenalty(resolve_gap(DP), layer)
    found, _ = path_penalty(penalty, model, batch, generator=seeded_generator())
    assert float(found.detach()) == pytest.approx(abs(slope), rel=1e-7)
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("layer", [None, "1"])
@pytest.mark.parametrize("gap", [DP, EO])
def test_penalty_passes_gradcheck(gap, layer):
    model, batch = smooth_network(), batch_of(gap, n=24)
    names = [name for name, _ in model.named_parameters()]
    penalty = PathPenalty(resolve_gap(gap), layer)

    class Around(nn.Module):
        """The network with other weights, under the names of its own modules."""

        def __init__(self, weights):
            super().__init__()
            self.model, self.weights = model, weights

        def forward(self, x):
            return torch.func.functional_call(self.model, self.weights, (x,))

        def get_submodule(self, target):
            return self.model.get_submodule(target)

    def term(*values):
        around = Around(dict(zip(names, values, strict=True)))
        return path_penalty(penalty, around, batch, generator=seeded_generator())[0]

    weights = [p.detach().clone().requires_grad_() for p in model.parameters()]
    assert torch.autograd.gradcheck(term, weights)


@pytest.mark.parametrize("gap", [DP, EO])
def test_the_step_minimises_task_loss_plus_weighted_penalty(gap):
    model, batch = smooth_network(), batch_of(gap)
    method = method_of("mixup", gap=gap, fairness_weight=0.7)
    result = method.begin(model, n_groups=2, generator=seeded_generator())(batch)
    found = [p.grad for p in model.parameters()]
    task = nn.functional.binary_cross_entropy_with_logits(model(batch.x)[:, 0], batch.y.double())
    penalty, _ = path_penalty(
        PathPenalty(resolve_gap(gap)), model, batch, generator=seeded_generator()
    )
    total = task + 0.7 * penalty
    assert float(result.loss) == pytest.approx(float(total.detach()))
    for gradient, wanted in zip(
        found, torch.autograd.grad(total, list(model.parameters())), strict=True
    ):
        torch.testing.assert_close(gradient, wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("beta", "name"), [(0.0, "mixup"), (0.05, "dralign")])
def test_dralign_takes_the_penalty_in_the_place_of_the_gap(beta, name):
    """A.8: the alignment's own gradient plus lambda times the penalty's."""
    batch, found = batch_of(DP), []
    options = {"fairness_weight": 0.5, "penalty": "mixup", "alignment_weight": beta}
    for method in (
        method_of("dralign", **options),
        method_of(name, fairness_weight=0, **({"alignment_weight": beta} if beta else {})),
    ):
        model = smooth_network()
        step = method.begin(model, n_groups=2, generator=seeded_generator())
        value = step(batch).loss
        found.append((value, [p.grad for p in model.parameters()]))
    model = smooth_network()
    penalty, _ = path_penalty(
        PathPenalty(resolve_gap(DP)), model, batch, generator=seeded_generator()
    )
    extra = torch.autograd.grad(penalty, list(model.parameters()), materialize_grads=True)
    (value, combined), (plain_value, plain) = found
    assert float(value) == pytest.approx(float(plain_value) + 0.5 * float(penalty.detach()))
    for gradient, own, more in zip(combined, plain, extra, strict=True):
        torch.testing.assert_close(gradient, own + 0.5 * more, rtol=1e-9, atol=1e-12)


def test_dralign_trains_without_any_gap():
    """A.9: with a fairness weight of 0 alignment alone still raises the similarity."""
    settings = TrainingSettings(epochs=3, iterations=40, batch_size=60)
    similarity = {}
    for beta in (0.0, 0.3):
        torch.manual_seed(0)
        model = mlp(6, hidden=8)
        method = method_of("dralign", alignment_weight=beta)
        similarity[beta] = train(model, dataset(), method, settings).history[-1]
    assert similarity[0.3].similarity_total("unit") > similarity[0.0].similarity_total("unit")


def test_zero_weight_is_oversampling_bit_for_bit():
    data, weights = dataset(), []
    for method in (method_of("oversample"), method_of("mixup")):
        torch.manual_seed(0)
        model = mlp(6, hidden=8)
        train(model, data, method, TrainingSettings(epochs=1, iterations=20, batch_size=30))
        weights.append(torch.cat([p.flatten() for p in model.parameters()]))
    assert torch.equal(*weights)


def test_gamma_comes_from_the_given_generator():
    model, batch = smooth_network(), batch_of(DP)
    penalty, values = PathPenalty(resolve_gap(DP)), []
    state = torch.random.get_rng_state()
    for seed in (0, 0, 1):
        generator = torch.Generator().manual_seed(seed)
        values.append(float(path_penalty(penalty, model, batch, generator=generator)[0]))
    assert values[0] == values[1] != values[2]
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("name", ["mixup", "dralign"])
def test_absent_cells_are_skipped_and_counted(name):
    """Group 1 has no row with label 1, so only the path within label 0 is left."""
    rows = split(60)
    keep = (rows.group == 0) | (rows.y == 0)
    batch = batch_in_blocks(
        rows.x[keep].double(), rows.y[keep], rows.group[keep], n_groups=2, by_label=True
    )
    options = {"alignment_weight": 0.1, "penalty": "mixup"} if name == "dralign" else {}
    method = method_of(name, gap=EO, fairness_weight=1.0, **options)
    model = smooth_network()
    result = method.begin(model, n_groups=2, generator=seeded_generator())(batch)
    assert result.skipped == 2
    assert torch.isfinite(result.loss)
    assert all(bool(torch.isfinite(p.grad).all()) for p in model.parameters())


@pytest.mark.parametrize("name", ["mixup", "dralign"])
def test_a_batch_without_any_pair_trains_the_task_loss(name):
    batch = batch_of(DP)
    keep = batch.group == 0
    alone = batch_in_blocks(
        batch.x[keep], batch.y[keep], batch.group[keep], n_groups=2, by_label=False
    )
    options = {"alignment_weight": 0.1, "penalty": "mixup"} if name == "dralign" else {}
    model = smooth_network()
    method = method_of(name, fairness_weight=1.0, **options)
    result = method.begin(model, n_groups=2, generator=seeded_generator())(alone)
    task = nn.functional.binary_cross_entropy_with_logits(model(alone.x)[:, 0], alone.y.double())
    assert float(result.loss) == pytest.approx(float(task))
    assert result.skipped == 2


@pytest.mark.parametrize("name", ["mixup", "dralign"])
def test_an_unknown_layer_is_named_before_training(name):
    options = {"alignment_weight": 0.1, "penalty": "mixup"} if name == "dralign" else {}
    method = method_of(name, fairness_weight=1.0, mixup_layer="9", **options)
    with pytest.raises(ModelError, match="mixup: no layer '9'; known: 0, 1, 2, 3, 4"):
        method.begin(smooth_network(), n_groups=2, generator=seeded_generator())


def test_codes_are_not_mixed():
    batch = batch_of(DP)
    codes = Batch(batch.x.long(), batch.y, batch.group, batch.blocks)
    with pytest.raises(DataError, match=r"inputs of type torch.int64 can't be mixed"):
        path_penalty(
            PathPenalty(resolve_gap(DP)), smooth_network(), codes, generator=seeded_generator()
        )


class Attention(nn.Module):
    """Attention by torch's fused kernel, which has no second derivative."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.head = nn.Linear(1, 12), nn.Linear(4, 1)

    def forward(self, x):
        q, k, v = self.into(x[:, :, None])[:, None].chunk(3, dim=-1)
        return self.head(nn.functional.scaled_dot_product_attention(q, k, v)[:, 0].mean(1))


@pytest.mark.parametrize("name", ["mixup", "dralign"])
def test_fused_attention_is_no_obstacle(name):
    model = Attention()
    before = model.into.weight.clone()
    settings = {"fairness_weight": 0.5, **({"penalty": "mixup"} if name == "dralign" else {})}
    short = TrainingSettings(epochs=1, iterations=2, batch_size=20)
    train(model, dataset(), method_of(name, **settings), short)
    assert not torch.equal(model.into.weight, before)
