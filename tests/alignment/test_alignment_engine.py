"""The fast step writes the same gradient as the plain term, on every kind of network."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dralign.alignment import RationaleAlignment, aligned_backward
from dralign.alignment.cotangents import similarity_and_cotangents
from dralign.errors import DataError, GroupTypeError, ModelError, OptionError
from dralign.gaps import gap_names, resolve_gap
from dralign.rationale import group_losses, per_sample_loss, select_layers
from dralign.step import batch_in_blocks, mixes_rows
from synthetic import crossed_rows


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(2, 4)
        self.mix = nn.MultiheadAttention(4, 2, batch_first=True)
        self.head = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.embed(x.reshape(len(x), 4, 2))
        return self.head(torch.tanh(self.mix(h, h, h)[0].mean(1)))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(8, 8), nn.Linear(8, 8)
        self.two.weight = self.one.weight
        self.spare, self.head = nn.Linear(3, 3), nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.two(torch.tanh(self.one(x)))))


def frozen() -> nn.Module:
    model = nn.Sequential(nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 1))
    model[2].weight.requires_grad_(requires_grad=False)
    return model


NETWORKS = {
    "mlp": lambda: nn.Sequential(
        nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 1)
    ),
    "no bias": lambda: nn.Sequential(
        nn.Linear(8, 6, bias=False), nn.Tanh(), nn.Linear(6, 1, bias=False)
    ),
    "linear": lambda: nn.Linear(8, 1),
    "two outputs": lambda: nn.Sequential(nn.Linear(8, 6), nn.GELU(), nn.Linear(6, 2)),
    "three outputs": lambda: nn.Sequential(nn.Linear(8, 6), nn.ELU(), nn.Linear(6, 3)),
    "convolutions": lambda: nn.Sequential(
        nn.Unflatten(1, (2, 4)),
        nn.Conv1d(2, 4, 2),
        nn.ELU(),
        nn.ConvTranspose1d(4, 6, 2, groups=2),
        nn.ELU(),
        nn.Flatten(),
        nn.Linear(24, 1),
    ),
    "layer norm": lambda: nn.Sequential(
        nn.Linear(8, 6), nn.LayerNorm(6), nn.Tanh(), nn.Linear(6, 1)
    ),
    "attention": Attention,
    "tied and unused": Tied,
    "frozen": frozen,
    "dead": lambda: nn.Sequential(nn.Linear(8, 6), nn.Threshold(1e6, 0.0), nn.Linear(6, 1)),
}


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    return NETWORKS[name]().double()


def rows(n: int = 40, *, n_groups: int = 2, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 8, generator=generator, dtype=torch.float64)
    group = torch.randint(n_groups, (n,), generator=generator)
    return x, torch.randint(2, (n,), generator=generator), group


def plain_gradient(
    model, x, y, group, *, n_groups, gap, lam, beta, n_classes=2, **options
) -> list[Tensor | None]:
    """Loss, gap and ``RationaleAlignment.align`` left to autograd."""
    losses, chosen = per_sample_loss(model(x), y), resolve_gap(gap, n_classes=n_classes)
    by_label = chosen.conditions_on_label
    strata = group_losses(losses, group, n_groups=n_groups, label=y if by_label else None)
    strata = [strata[s or 0] for s in chosen.strata]
    loss = losses.mean() + lam * chosen(chosen.of_rows(model(x)), group, y, n_groups)
    loss = loss + beta * RationaleAlignment(model, **options).align(strata)
    parameters = [p for p in model.parameters() if p.requires_grad]
    return list(torch.autograd.grad(loss, parameters, allow_unused=True)), loss


def compare(
    name, data, *, n_groups=2, gap="demographic_parity", lam=0.3, beta=0.2, n_classes=2, **options
):
    model = network(name)
    settings = {"n_groups": n_groups, "gap": gap, "n_classes": n_classes}
    expected, loss = plain_gradient(model, *data, **settings, lam=lam, beta=beta, **options)
    x, y, group = data
    value = aligned_backward(
        model,
        x,
        label=y,
        group=group,
        **settings,
        alignment=RationaleAlignment(model, **options),
        alignment_weight=beta,
        fairness_weight=lam,
    )
    assert value.item() == pytest.approx(loss.item(), rel=1e-10)
    found = [p.grad for p in model.parameters() if p.requires_grad]
    for one, other in zip(found, expected, strict=True):
        if other is None:
            assert one is None or not one.any()
        else:
            scale = other.abs().max().clamp(min=1e-12)
            torch.testing.assert_close(one / scale, other / scale, rtol=0, atol=1e-10)


@pytest.mark.parametrize("granularity", ["unit", "parameter"])
@pytest.mark.parametrize("name", [n for n in NETWORKS if n not in {"dead", "three outputs"}])
def test_gradient_is_that_of_the_plain_term_on_every_network(name, granularity):
    compare(name, rows(), granularity=granularity)


class OwnNorm(nn.Module):
    """Statistics of the batch by torch's function, or by hand, in the place of its layer."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.body, self.head, self.form = nn.Linear(8, 6), nn.Linear(6, 1), form
        self.register_buffer("seen", torch.zeros(6, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        h = self.body(x)
        if self.form == "function":
            h = F.batch_norm(h, self.seen, torch.ones_like(self.seen), training=True)
        elif self.form == "in training" and self.training:
            h = h - h.mean(0)
        elif self.form == "with dropout":
            h = F.dropout(h - h.mean(0), p=0.0 if self.seen[0] else 0.5, training=self.training)
        return self.head(torch.tanh(h))


@pytest.mark.parametrize("form", ["function", "in training"])
@pytest.mark.parametrize("n_groups", [2, 3])
def test_rows_that_share_statistics_without_a_layer_of_torch_go_together(form, n_groups):
    torch.manual_seed(0)
    model = OwnNorm(form).double()
    data = rows(n_groups=n_groups)
    twin = copy.deepcopy(model)
    settings = {"n_groups": n_groups, "gap": "demographic_parity"}
    expected, _ = plain_gradient(twin, *data, **settings, lam=0.5, beta=0.2)
    term, (x, y, group) = RationaleAlignment(model), data
    given = {"alignment": term, "alignment_weight": 0.2, "fairness_weight": 0.5}
    for _ in range(2):
        model.zero_grad()
        aligned_backward(model, x, label=y, group=group, **settings, **given)
    for one, other in zip((p.grad for p in model.parameters()), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_looking_whether_rows_are_mixed_changes_nothing_and_dropout_is_no_mixing():
    x, y, group = rows()
    batch = batch_in_blocks(x, y, group, n_groups=2, by_label=False)
    model = OwnNorm("function").double()
    state = torch.get_rng_state()
    assert mixes_rows(model, batch)
    assert not model.seen.any()
    assert torch.equal(torch.get_rng_state(), state)
    assert mixes_rows(OwnNorm("with dropout").double(), batch)
    dropout = nn.Sequential(nn.Linear(8, 6), nn.Dropout(), nn.Linear(6, 1)).double()
    assert not mixes_rows(dropout, batch)
    assert dropout.training
    assert not any(mixes_rows(network(name), batch) for name in NETWORKS if "norm" not in name)
    assert mixes_rows(OwnNorm("in training").double(), batch)
    assert not mixes_rows(OwnNorm("in training").double().eval(), batch)
    alone = batch_in_blocks(x, y, torch.zeros_like(group), n_groups=2, by_label=False)
    assert not mixes_rows(model, alone)  # there is one block


@pytest.mark.parametrize("hook", [lambda g: g.clamp(-1e-3, 1e-3), lambda g: 0.1 * g])
def test_hooks_on_weights_see_the_gradient_that_they_see_in_the_plain_way(hook):
    (x, y, group), model = rows(), network("mlp")
    twin = copy.deepcopy(model)
    for parameter in (*model.parameters(), *twin.parameters()):
        parameter.register_hook(hook)
    losses = per_sample_loss(twin(x), y)
    aligned = RationaleAlignment(twin).align(group_losses(losses, group, n_groups=2))
    (losses.mean() + 5 * aligned).backward()
    term = RationaleAlignment(model)
    given = {"alignment": term, "alignment_weight": 5, "n_groups": 2}
    aligned_backward(model, x, label=y, group=group, **given)
    for one, other in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-9, atol=1e-12)


class Once(torch.autograd.Function):
    @staticmethod
    def forward(context, x):
        context.save_for_backward(x)
        return x.exp()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(context, gradient):
        (x,) = context.saved_tensors
        return gradient * x.exp()


@pytest.mark.parametrize("micro_batch", [None, 7])
def test_a_step_that_is_refused_leaves_the_gradients_alone(micro_batch):
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Linear(8, 4), nn.Linear(4, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(Once.apply(self.body(x)))

    model, (x, y, group) = Net().double(), rows()
    given = {"alignment": RationaleAlignment(model), "alignment_weight": 0.3, "n_groups": 2}
    with pytest.raises(ModelError, match="differentiated once only"):
        aligned_backward(model, x, label=y, group=group, micro_batch=micro_batch, **given)
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("switched_off", [torch.no_grad, torch.inference_mode])
def test_a_step_without_gradients_and_inputs_that_are_no_tensor_are_one_line(switched_off):
    model, (x, y, group) = network("mlp"), rows()
    given = {"label": y, "group": group, "n_groups": 2, "alignment": RationaleAlignment(model)}
    with switched_off(), pytest.raises(ModelError, match="aligned_backward needs gradients"):
        aligned_backward(model, x, **given, alignment_weight=0.1)
    with pytest.raises(DataError, match="x: expected a tensor, got ndarray"):
        aligned_backward(model, x.numpy(), **given, alignment_weight=0.1)


def test_dead_layer_gives_the_task_gradient_and_no_nan():
    model, (x, y, group) = network("dead"), rows()
    aligned_backward(
        model, x, label=y, group=group, n_groups=2,
        alignment=RationaleAlignment(model), alignment_weight=1.0,
    )  # fmt: skip
    expected = torch.autograd.grad(per_sample_loss(model(x), y).mean(), model[2].bias)[0]
    torch.testing.assert_close(model[2].bias.grad, expected)
    assert not model[0].weight.grad.any()
    assert not model[2].weight.grad.any()


@pytest.mark.parametrize("gap", gap_names())
@pytest.mark.parametrize("n_groups", [2, 3])
def test_gradient_is_that_of_the_plain_term_for_every_gap(gap, n_groups):
    compare("mlp", rows(60, n_groups=n_groups), n_groups=n_groups, gap=gap)


@pytest.mark.parametrize("gap", ["demographic_parity", "equalized_odds"])
def test_gradient_is_that_of_the_plain_term_for_three_classes(gap):
    x, _, group = rows(60)
    compare("three outputs", (x, torch.arange(60) // 2 % 3, group), gap=gap, n_classes=3)


@pytest.mark.parametrize("layers", [1, 2, ["0"]])
def test_gradient_is_that_of_the_plain_term_for_chosen_layers(layers):
    compare("mlp", rows(), layers=layers)


def test_absent_group_and_missing_codes_are_left_out():
    x, y, group = rows()
    compare("mlp", (x, y, group), n_groups=3)
    compare("mlp", (x, y, torch.where(torch.arange(40) % 5 == 0, -1, group)))
    compare("mlp", (x, y, torch.zeros_like(group)))


def test_gradient_is_added_to_what_is_there():
    model, (x, y, group) = network("mlp"), rows()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    fresh = network("mlp")
    for net in (model, fresh):
        aligned_backward(
            net, x, label=y, group=group, n_groups=2,
            alignment=RationaleAlignment(net), alignment_weight=0.1,
        )  # fmt: skip
    for one, other in zip(model.parameters(), fresh.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad + 1)


@pytest.mark.parametrize("tiny", [1e-12, 1e-24, 1e-33])
@pytest.mark.parametrize("granularity", ["unit", "parameter"])
def test_closed_form_survives_tiny_gradients_and_ignores_their_scale(granularity, tiny):
    """<dS/dg_i, g_i> = 0: the cosine does not change when a gradient is scaled."""
    layer = select_layers(nn.Linear(4, 3))[0]
    generator = torch.Generator().manual_seed(0)
    w, *grads = torch.randn(4, 3, 4, generator=generator, dtype=torch.float64)
    value, per_group, _ = similarity_and_cotangents(layer, w, grads, granularity)
    for gradient, cotangent in zip(grads, per_group, strict=True):
        assert (gradient * cotangent).sum().abs() < 1e-12
    smaller = [g.float() * tiny for g in grads]
    low, low_cotangents, _ = similarity_and_cotangents(layer, w.float(), smaller, granularity)
    assert low.item() == pytest.approx(value.item(), rel=1e-5)
    torch.testing.assert_close(
        (low_cotangents[0] * tiny).double(), per_group[0], rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize("transposed_groups", [1, 2])
def test_rows_of_units_find_their_way_back(transposed_groups):
    layer = select_layers(nn.ConvTranspose2d(4, 6, 3, groups=transposed_groups))[0]
    part = torch.arange(4 * (6 // transposed_groups) * 9.0).reshape(4, -1, 3, 3)
    units = layer.by_unit(part)
    assert units.shape == (6, 4 // transposed_groups * 9)
    assert torch.equal(layer.from_units(units, part), part)


@pytest.mark.parametrize(("every", "ratio"), [(1, 2.72), (4, 1.43), (8, 1.22)])
def test_work_of_a_step_beside_a_gap_step(every, ratio):
    """FLOPs, not time: 9 forward passes against 3, on every k-th step."""
    from torch.utils.flop_counter import FlopCounterMode

    from dralign.models import mlp
    from switched_off import method_of

    x, y = torch.randn(1000, 120), torch.arange(1000) // 2 % 2
    group = torch.from_numpy(np.arange(1000) % 2)
    batch = batch_in_blocks(x, y, group, n_groups=2, by_label=False)

    def flops(name: str, **options: float) -> int:
        torch.manual_seed(0)
        method = method_of(name, fairness_weight=0.1, **options)
        step = method.begin(mlp(120), n_groups=2, generator=torch.Generator())
        with FlopCounterMode(display=False) as counter:
            for _ in range(8):
                step(batch)
        return counter.get_total_flops()

    aligned = flops("dralign", alignment_weight=0.1, alignment_every=every)
    assert aligned / flops("gap") == pytest.approx(ratio, abs=0.01)


LABELS = {
    "-1 and 1": lambda y: 2 * y - 1,
    "1 and 2": lambda y: y + 1,
    "a half": lambda y: y / 2,
    "NaN": lambda y: y + torch.nan,
    "three classes": lambda y: torch.arange(len(y)) % 3,
}


@pytest.mark.parametrize("gap", ["demographic_parity", "equalized_odds"])
@pytest.mark.parametrize("case", LABELS)
def test_labels_other_than_0_and_1_are_refused(case, gap):
    model, (x, y, group) = network("mlp"), rows()
    with pytest.raises(DataError, match="label: expected 0 and 1, got") as raised:
        aligned_backward(
            model, x, label=LABELS[case](y), group=group, n_groups=2, gap=gap,
            alignment=RationaleAlignment(model), alignment_weight=0.1,
        )  # fmt: skip
    assert "\n" not in str(raised.value)
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("dtype", [torch.bool, torch.int32, torch.float32])
@pytest.mark.parametrize("gap", ["demographic_parity", "equalized_odds"])
def test_labels_of_any_type_give_the_same_step(dtype, gap):
    x, y, group = rows()
    found = []
    for label in (y, y.to(dtype)):
        model = network("mlp")
        options = {"alignment": RationaleAlignment(model), "alignment_weight": 0.1, "gap": gap}
        aligned_backward(
            model, x, label=label, group=group, n_groups=2, fairness_weight=0.3, **options
        )
        found.append(model[0].weight.grad)
    assert torch.equal(*found)


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), -1.0])
@pytest.mark.parametrize("name", ["alignment_weight", "fairness_weight"])
def test_weights_that_are_no_weights_are_refused(name, weight):
    model, (x, y, group) = network("mlp"), rows()
    options = {"alignment_weight": 0.1, "fairness_weight": 0.1} | {name: weight}
    with pytest.raises(OptionError, match=f"{name}: expected a number from 0 up, got {weight}"):
        aligned_backward(
            model, x, label=y, group=group, n_groups=2,
            alignment=RationaleAlignment(model), **options,
        )  # fmt: skip


def test_an_empty_batch_and_lengths_that_differ_are_one_line():
    model, (x, y, group) = network("mlp"), rows()
    common = {"n_groups": 2, "alignment": RationaleAlignment(model), "alignment_weight": 0.1}
    with pytest.raises(DataError, match="x: expected at least one row, got an empty batch"):
        aligned_backward(model, x[:0], label=y[:0], group=group[:0], **common)
    with pytest.raises(DataError, match=r"label: expected shape \(40,\), got \(9,\)"):
        aligned_backward(model, x, label=y[:9], group=group, **common)


def test_bad_group_and_gap_are_refused():
    model, (x, y, group) = network("mlp"), rows()
    common = {"label": y, "n_groups": 2, "alignment": RationaleAlignment(model)}
    with pytest.raises(
        GroupTypeError, match=r"expected an int64 tensor of codes, got torch\.float64"
    ):
        aligned_backward(model, x, group=group.double(), alignment_weight=1, **common)
    with pytest.raises(OptionError, match="unknown gap 'dp'"):
        aligned_backward(model, x, group=group, alignment_weight=1, gap="dp", **common)


def test_the_step_of_a_compiled_network_is_that_of_its_module():
    x, y, group = crossed_rows()
    gradients = []
    for wrap in (lambda model: model, lambda model: torch.compile(model, backend="eager")):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1)).double()
        given = wrap(model)
        aligned_backward(
            given, x, label=y, group=group, n_groups=2, alignment=RationaleAlignment(given),
            alignment_weight=0.1,
        )  # fmt: skip
        gradients.append([p.grad for p in model.parameters()])
    assert all(torch.equal(*pair) for pair in zip(*gradients, strict=True))
