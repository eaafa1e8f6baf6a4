"""The fast step on networks beyond plain stacks: against autograd, and what it leaves behind."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from dralign.alignment import RationaleAlignment, aligned_backward
from dralign.gaps import resolve_gap
from dralign.networks import probability
from dralign.rationale import group_losses, per_sample_loss
from dralign.step import batch_in_blocks
from dralign.step.passes import running_statistics_kept
from switched_off import method_of

WORDS, LENGTH, LAMBDA, BETA = 11, 5, 0.3, 0.2


class Residual(nn.Module):
    """A convolution with a shortcut around it, between a stem and a linear head."""

    def __init__(self, norm: type[nn.Module] = nn.BatchNorm1d) -> None:
        super().__init__()
        self.stem = nn.Conv1d(1, 4, 3, padding=1)
        self.body = nn.Conv1d(4, 4, 3, padding=1, bias=False)
        self.norm, self.head = norm(4), nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.stem(x.double()[:, None]))
        return self.head((h + torch.relu(self.norm(self.body(h)))).mean(2))


class Encoder(nn.Module):
    """Word embeddings, a Transformer layer, and a linear head on the mean."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.embed = nn.Embedding(WORDS, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 12, dropout=dropout, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(self.embed(x)).mean(1))


NETWORKS = {
    "residual, batch norm": Residual,
    "residual, group norm": lambda: Residual(lambda width: nn.GroupNorm(2, width)),
    "embedding and Transformer": Encoder,
    "embedding bag": lambda: nn.Sequential(nn.EmbeddingBag(WORDS, 6), nn.Tanh(), nn.Linear(6, 1)),
}


def network(make) -> nn.Module:
    torch.manual_seed(0)
    return make().double()


def rows(n: int = 36) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randint(WORDS, (n, LENGTH), generator=generator)
    return x, torch.randint(2, (n,), generator=generator), torch.arange(n) % 3 // 2


def step(model, data, **options) -> list[Tensor]:
    x, y, group = data
    aligned_backward(
        model, x, label=y, group=group, n_groups=2,
        alignment=RationaleAlignment(model, **options), alignment_weight=BETA,
        fairness_weight=LAMBDA,
    )  # fmt: skip
    return [p.grad for p in model.parameters()]


@pytest.mark.parametrize("granularity", ["unit", "parameter"])
@pytest.mark.parametrize("name", NETWORKS)
def test_gradient_is_that_of_one_joint_forward_pass(name, granularity):
    data, model = rows(), network(NETWORKS[name])
    x, y, group = data
    with sdpa_kernel(SDPBackend.MATH):
        logits = model(x)
        losses = per_sample_loss(logits, y)
        gap = resolve_gap("demographic_parity")(probability(logits), group, y, 2)
        term = RationaleAlignment(model, granularity=granularity)
        strata = group_losses(losses, group, n_groups=2)
        (losses.mean() + LAMBDA * gap + BETA * term.align(strata)).backward()
    expected = [p.grad for p in model.parameters()]
    found = step(network(NETWORKS[name]), data, granularity=granularity)
    for one, other in zip(found, expected, strict=True):
        scale = other.abs().max().clamp(min=1e-12)
        torch.testing.assert_close(one / scale, other / scale, rtol=0, atol=1e-10)


def test_running_statistics_are_those_of_one_pass_over_the_batch():
    x, y, group = rows()
    stepped, passed = network(Residual), network(Residual)
    step(stepped, (x, y, group))
    passed(batch_in_blocks(x, y, group, n_groups=2, by_label=False).x)
    assert stepped.norm.num_batches_tracked == 1
    torch.testing.assert_close(stepped.norm.running_mean, passed.norm.running_mean)
    torch.testing.assert_close(stepped.norm.running_var, passed.norm.running_var)


@pytest.mark.parametrize("method", ["mixup", "dralign"])
def test_mixed_rows_leave_the_running_statistics_alone(method):
    x, y, group = rows()
    batch = batch_in_blocks(x.double(), y, group, n_groups=2, by_label=False)
    model = network(Residual)
    options = {"alignment_weight": 0.1, "penalty": "mixup"} if method == "dralign" else {}
    built = method_of(method, fairness_weight=0.5, **options)
    built.begin(model, n_groups=2, generator=torch.Generator().manual_seed(0))(batch)
    assert model.norm.num_batches_tracked == 1
    assert model.norm.track_running_stats


def test_statistics_are_read_and_not_taken_in_evaluation():
    x, _, _ = rows()
    model = network(Residual).eval()
    before = model(x)
    with running_statistics_kept(model):
        torch.testing.assert_close(model(x), before)


def test_every_module_is_run_once_a_row_so_dropout_has_one_mask():
    seen = []

    def see(_module, inputs, _output):
        if torch.is_grad_enabled():  # without, a few rows are looked at before the first step
            seen.append(inputs[0])

    model = network(lambda: Encoder(dropout=0.5))
    model.embed.register_forward_hook(see)
    data = rows()
    step(model, data)
    assert sorted(torch.cat(seen).tolist()) == sorted(data[0].tolist())


def test_dropout_changes_the_step_and_the_same_seed_repeats_it():
    found = []
    for seed in (0, 0, 1):
        model = network(lambda: Encoder(dropout=0.5))
        torch.manual_seed(seed)
        found.append(step(model, rows())[-2])
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_aligning_the_last_layers_costs_little_more_than_plain_training():
    """FLOPs: the group gradients stop at the first aligned layer."""
    from torch.utils.flop_counter import FlopCounterMode

    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Unflatten(1, (1, 16)),
        nn.Conv1d(1, 32, 3, padding=1), nn.BatchNorm1d(32), nn.ReLU(),
        nn.Conv1d(32, 32, 3, padding=1), nn.BatchNorm1d(32), nn.ReLU(),
        nn.AdaptiveAvgPool1d(1), nn.Flatten(),
        nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1),
    )  # fmt: skip
    x, y = torch.randn(64, 16), torch.arange(64) // 2 % 2
    group = torch.arange(64) % 2
    with FlopCounterMode(display=False) as plain:
        per_sample_loss(model(x), y).mean().backward()
    with FlopCounterMode(display=False) as aligned:
        step(model, (x, y, group), layers=2)
    assert aligned.get_total_flops() / plain.get_total_flops() < 1.1
