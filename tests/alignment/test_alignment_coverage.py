"""What has a rationale and what is left out, and that nothing is left out without a word."""

import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint

from dralign.alignment import RationaleAlignment, aligned_backward
from dralign.auditing import audit
from dralign.errors import DralignWarning, ModelError
from dralign.rationale import (
    LayerType,
    coverage_of,
    group_losses,
    parity_scores,
    per_sample_loss,
    register_layer,
    select_layers,
    unregister_layer,
)
from meeting import meeting
from synthetic import crossed_rows

WORDS = 7


def term_of(model: nn.Module, **options) -> Tensor:
    x, y, group = crossed_rows()
    strata = group_losses(per_sample_loss(model(x), y), group, n_groups=2)
    return RationaleAlignment(model, **options).align(strata)


def step(model: nn.Module, **options) -> Tensor:
    x, y, group = crossed_rows()
    return aligned_backward(
        model, x, label=y, group=group, n_groups=2,
        alignment=RationaleAlignment(model, **options), alignment_weight=0.1,
    )  # fmt: skip


def taylor(model: nn.Module, **options):
    x, y, group = crossed_rows()
    return parity_scores(model, x, label=y, group=group, method="taylor", **options)


def audited(model: nn.Module, **options):
    x, y, group = crossed_rows()
    few = {"n_splits": 20, "n_bootstrap": 20, "min_group_size": 1}
    return audit(model, x, label=y, group=group, **few, **options)


class Own(nn.Module):
    """A network whose largest weight is a parameter of its own, used in a matrix product."""

    def __init__(self, hidden: int = 30) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.randn(4, hidden))
        self.head = nn.Linear(hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(x @ self.W))


class Named(nn.Module):
    """Modules that are never called: coverage looks at weights alone."""

    def __init__(self, **modules: nn.Module) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)


def tied() -> nn.Module:
    model = Named(embed=nn.Embedding(4, 6), head=nn.Linear(6, 4), more=nn.Embedding(4, 6))
    model.head.weight = model.embed.weight
    return model


LARGEST = (
    ": e5 (Embedding, 31 %), e4 (Embedding, 25 %), e3 (Embedding, 19 %) and 2 more are left out"
)
# Networks; of how many entries of weights how many take part; and what is left out.
COVERED = {
    "biases and norms do not count": (
        lambda: nn.Sequential(nn.Linear(4, 3), nn.LayerNorm((2, 3)), nn.BatchNorm1d(3)),
        (12, 12),
        "",
    ),
    "embedding": (
        lambda: Named(embed=nn.Embedding(5, 2), head=nn.Linear(10, 1)),
        (10, 20),
        ": embed (Embedding, 50 %) is left out",
    ),
    "a parameter of the user's own": (Own, (30, 150), ": W (Parameter, 80 %) is left out"),
    "bilinear": (
        lambda: Named(mix=nn.Bilinear(2, 3, 4), head=nn.Linear(8, 1)),
        (8, 32),
        ": mix (Bilinear, 75 %) is left out",
    ),
    "a tied weight counts once": (tied, (24, 48), ": more (Embedding, 50 %) is left out"),
    "attention": (lambda: nn.MultiheadAttention(4, 2), (64, 64), ""),
    "recurrence": (lambda: nn.LSTM(3, 2, 2, bidirectional=True), (160, 160), ""),
    "projected recurrence": (lambda: nn.LSTM(3, 4, proj_size=2), (88, 88), ""),
    "cells": (lambda: Named(gru=nn.GRUCell(3, 2), rnn=nn.RNNCell(2, 2)), (38, 38), ""),
    "the largest are named": (
        lambda: Named(
            head=nn.Linear(10, 1), **{f"e{size}": nn.Embedding(size, 10) for size in range(1, 6)}
        ),
        (10, 160),
        LARGEST,
    ),
}


@pytest.mark.parametrize("case", COVERED)
def test_coverage_is_the_share_of_the_entries_of_weights(case):
    make, (inside, of), left_out = COVERED[case]
    model = make()
    found = coverage_of(model, select_layers(model))
    assert found.share == pytest.approx(inside / of)
    percent = 100 * inside // of
    counted = f" ({inside} of {of}){left_out}" if left_out else ""
    assert str(found) == f"rationales cover {percent} % of the weights{counted}"


def test_nearly_all_is_not_written_as_all_and_little_not_as_nothing():
    model = nn.Sequential(nn.Embedding(1, 1), nn.Linear(1, 2000))
    found = coverage_of(model, select_layers(model))
    line = (
        "rationales cover 99 % of the weights (2,000 of 2,001): 0 (Embedding, 0.05 %) is left out"
    )
    assert str(found) == line


def test_a_network_without_weights_has_no_share():
    assert str(coverage_of(nn.BatchNorm1d(3), ())) == "rationales cover 0 % of the weights"


def test_the_term_tells_its_share_and_frozen_weights_do_not_count_to_it():
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 4))
    term = RationaleAlignment(model)
    assert term.coverage == 1
    model[0].weight.requires_grad_(requires_grad=False)
    assert term.coverage == 0.5
    assert RationaleAlignment(model, layers=["1"]).coverage == 0.5


@pytest.mark.parametrize("door", [RationaleAlignment, taylor, audited])
def test_less_than_half_of_the_weights_is_a_warning_unless_layers_are_named(door):
    model = Own().double()
    line = (
        r"^rationales cover 20 % of the weights \(30 of 150\): W \(Parameter, 80 %\) is left out; "
        "name the layers"
    )
    with pytest.warns(DralignWarning, match=line) as caught:
        door(model)
    assert caught[0].filename == __file__ or door is not RationaleAlignment
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        door(model, layers=["head"])
        door(nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 1)).double())


def test_scores_and_audit_hold_the_share_and_the_audit_says_it():
    model = Own(2).double()  # 8 entries of its own, 2 of the head
    with pytest.warns(DralignWarning, match="rationales cover 20 %"):
        assert taylor(model).coverage == pytest.approx(0.2)
    with pytest.warns(DralignWarning, match="rationales cover 20 %"):
        found = audited(model)
    assert found.provenance["coverage"] == pytest.approx(0.2)
    line = "Note: rationales cover 20 % of the weights (2 of 10): W (Parameter, 80 %) is left out"
    assert line in " ".join(str(found).split())
    whole = audited(nn.Sequential(nn.Linear(4, 1)).double())
    assert whole.provenance["coverage"] == 1
    assert "rationales cover" not in str(whole)


@pytest.mark.parametrize("door", [RationaleAlignment, step, taylor, audited])
def test_quantised_weights_are_refused_in_one_line(door):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch is about to move its quantisation elsewhere
        kind = torch.ao.quantization.default_dynamic_qconfig
        model = torch.ao.quantization.quantize_dynamic(
            nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 1)), {"0": kind}
        )
    select_layers(model, ["1"])
    with pytest.raises(ModelError, match="layer '0': its weight is quantised, and has no gradient"):
        door(model.double())


def test_weights_of_whole_numbers_are_refused_in_one_line():
    model = nn.Linear(4, 1)
    model.weight = nn.Parameter(torch.ones(1, 4, dtype=torch.int8), requires_grad=False)
    with pytest.raises(ModelError, match="layer 'linear': weight is quantised"):
        select_layers(model)


@pytest.fixture
def embeddings_take_part():
    register_layer(LayerType(nn.Embedding))
    yield
    unregister_layer(nn.Embedding)


@pytest.mark.parametrize("make", [nn.LSTM, nn.GRU])
def test_a_registered_embedding_takes_part_with_a_unit_for_each_word(embeddings_take_part, make):
    """All of a network of words and recurrence: the fast step, the term, exact scores."""
    model, x, y, group = words(make)
    term = RationaleAlignment(model)
    assert term.layers[0] == "embed"
    assert term.coverage == 1
    losses = per_sample_loss(model(x), y)
    (losses.mean() + 0.1 * term.align(group_losses(losses, group, n_groups=2))).backward()
    expected = [p.grad for p in model.parameters()]
    assert expected[0].abs().sum() > 0
    model.zero_grad()
    aligned_backward(
        model, x, label=y, group=group, n_groups=2, alignment=term, alignment_weight=0.1
    )
    torch.testing.assert_close([p.grad for p in model.parameters()], expected)
    scores = parity_scores(model, x, y, group=group, layers=["embed"], granularity="unit")
    assert scores.scores["embed"].shape == (WORDS,)
    used = torch.bincount(x.flatten(), minlength=WORDS) > 0
    assert ((scores.scores["embed"] > 0) == used.numpy()).all()


def words(make) -> tuple[nn.Module, Tensor, Tensor, Tensor]:
    """A network of words through a recurrent layer, with rows of two groups."""

    class Words(Named):
        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.rnn(self.embed(x))[0][:, -1])

    torch.manual_seed(0)
    model = Words(
        embed=nn.Embedding(WORDS, 3), rnn=make(3, 4, batch_first=True), head=nn.Linear(4, 1)
    ).double()
    x = torch.randint(WORDS - 1, (12, 3), generator=torch.Generator().manual_seed(1))
    return model, x, torch.arange(12) // 2 % 2, torch.arange(12) % 2


# Weights that are used, and whose gradient is hidden


class Hidden(nn.Module):
    """A network whose body is run in a way that gives its weights no gradient."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.first, self.body, self.head = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 1)
        self.way = way

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.first(x))
        match self.way:
            case "no_grad":
                with torch.no_grad():
                    h = self.body(x.detach())
            case "detached":
                h = self.body(x).detach()
            case "reentrant":
                h = checkpoint(self.body, x, use_reentrant=True)
            case "never used":
                h = x
        return self.head(torch.tanh(h) + x)


def hidden(way: str) -> nn.Module:
    torch.manual_seed(0)
    return Hidden(way).double()


@pytest.mark.parametrize("way", ["no_grad", "detached"])
@pytest.mark.parametrize("door", [step, taylor, audited])
def test_a_layer_that_is_used_and_gets_no_gradient_is_refused(door, way):
    model = hidden(way)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ModelError, match="layer 'body' is used, but its weights get no gradient"):
        door(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.training
    door(model, layers=["first", "head"])


@pytest.mark.parametrize("door", [term_of, step, taylor, audited])
def test_reentrant_checkpointing_is_refused_with_the_way_out(door):
    with pytest.raises(ModelError, match=r"pass use_reentrant=False|checkpointed with use_reent"):
        door(hidden("reentrant"))


def test_reentrant_checkpointing_is_found_where_torch_itself_says_nothing():
    """Asked for the body's own weights alone, torch takes them for unused."""
    with pytest.raises(ModelError, match="checkpointed with use_reentrant=True, which hides"):
        term_of(hidden("reentrant"), layers=["body", "head"])


@pytest.mark.parametrize("way", ["no_grad", "never used"])
def test_the_term_alone_can_only_name_the_layers_without_a_gradient(way):
    """It sees losses, not rows; whether the layer is used it can't try."""
    with pytest.warns(DralignWarning, match=r"without a gradient take no part: body; either they"):
        value = term_of(hidden(way))
    assert value == term_of(hidden(way), layers=["first", "head"])


@pytest.mark.parametrize("door", [step, taylor, audited])
def test_weights_that_are_never_used_are_skipped_without_a_word(door):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        door(hidden("never used"))


@pytest.mark.parametrize("door", [step, taylor, audited])
def test_a_network_that_draws_also_in_evaluation_uses_no_more_layers_for_that(door):
    class Draws(Hidden):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x + torch.randn_like(x) / 10)

    torch.manual_seed(0)
    door(Draws("never used").double())


def test_a_layer_is_tried_once_not_at_every_step():
    model, (x, y, group) = hidden("never used"), crossed_rows()
    term, calls = RationaleAlignment(model), []
    model.register_forward_hook(lambda *_: calls.append(1))
    counts = []
    for _ in range(3):
        aligned_backward(
            model, x, label=y, group=group, n_groups=2, alignment=term, alignment_weight=0.1
        )
        counts.append(len(calls))
    # Two groups a step; at the first both again with the layer, and without it, and a few rows
    # twice together and by group.
    assert counts == [10, 12, 14]


def test_a_used_layer_that_no_compared_row_reaches_is_no_error():
    """Equal opportunity compares rows of label 1; this expert sees rows of label 0 alone."""

    class Expert(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.expert = nn.Linear(4, 1), nn.Linear(4, 1)

        def forward(self, x: Tensor) -> Tensor:
            out = self.body(x)
            return out + self.expert(x) if bool((x[:, 0] > 0).any()) else out

    torch.manual_seed(0)
    model, (x, y, group) = Expert().double(), crossed_rows()
    x[:, 0] = torch.where(y == 0, 1.0, -1.0)
    aligned_backward(
        model, x, label=y, group=group, n_groups=2, gap="equal_opportunity",
        alignment=RationaleAlignment(model), alignment_weight=0.1,
    )  # fmt: skip
    assert model.expert.weight.grad is not None


# Second derivatives that torch does not have


class Attention(nn.Module):
    """Attention by torch's fused kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.head = nn.Linear(1, 12), nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.into(x[:, :, None])[:, None].chunk(3, dim=-1)
        return self.head(F.scaled_dot_product_attention(q, k, v)[:, 0].mean(1))


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return x * x.detach()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient: Tensor) -> Tensor:
        return 2 * gradient


class OnceOnly(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.into, self.head = nn.Linear(4, 4), nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(Once.apply(self.into(x)))


def compiled() -> nn.Module:
    inner = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
    return nn.Sequential(torch.compile(inner, backend="aot_eager"), nn.Linear(4, 1))


LIMITS = {
    "fused attention": (Attention, r"put torch\.nn\.attention\.sdpa_kernel\(SDPBackend\.MATH\)"),
    "once differentiable": (OnceOnly, "can be differentiated once only"),
    "compiled": (compiled, "compile around the term instead"),
}


@pytest.mark.parametrize("case", LIMITS)
def test_a_missing_second_derivative_is_one_line_in_the_backward_pass(case):
    make, line = LIMITS[case]
    torch.manual_seed(0)
    value = term_of(make().double())
    assert -2 <= value.item() <= 0  # who only looks at the value may
    with pytest.raises(ModelError, match=line) as raised:
        value.backward()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("case", ["once differentiable", "compiled"])
def test_a_missing_second_derivative_is_one_line_in_the_fast_step(case):
    make, line = LIMITS[case]
    with pytest.raises(ModelError, match=line):
        step(make().double())


def test_other_errors_of_a_backward_pass_come_as_they_are():
    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx, gradient: Tensor) -> Tensor:
            raise RuntimeError("an error of the network's own")

    class Network(Named):
        def forward(self, x: Tensor) -> Tensor:
            return Broken.apply(self.head(x))

    with pytest.raises(RuntimeError, match="an error of the network's own"):
        step(Network(head=nn.Linear(4, 1)).double())


def test_the_fast_step_chooses_kernels_that_have_second_derivatives():
    torch.manual_seed(0)
    model = Attention().double()
    fast = step(model)
    gradient = model.into.weight.grad.clone()
    model.zero_grad()
    x, y, _ = crossed_rows()
    with sdpa_kernel(SDPBackend.MATH):
        (per_sample_loss(model(x), y).mean() + 0.1 * term_of(model)).backward()
    assert torch.isfinite(fast)
    torch.testing.assert_close(model.into.weight.grad, gradient)


class Recurrent(nn.Module):
    """The last state of a recurrent module, and a linear head."""

    def __init__(self, make=nn.LSTM, **options) -> None:
        super().__init__()
        self.rnn = make(1, 3, batch_first=True, **options)
        self.head = nn.Linear(6 if options.get("bidirectional") else 3, 1)
        self.cudnn: list[bool] = []

    def forward(self, x: Tensor) -> Tensor:
        self.cudnn.append(torch.backends.cudnn.enabled)
        return self.head(self.rnn(x[:, :, None])[0][:, -1])


@pytest.mark.parametrize("door", [step, taylor])
def test_recurrent_networks_run_without_cudnn_where_it_lacks_derivatives(door):
    model = Recurrent().double()
    door(model)
    assert torch.backends.cudnn.enabled
    ours = model.cudnn if door is step else model.cudnn[6:]  # the first look at outputs alone
    assert ours
    assert not any(ours)
    plain = nn.Sequential(nn.Linear(4, 1)).double()
    seen = []
    plain.register_forward_hook(lambda *_: seen.append(torch.backends.cudnn.enabled))
    door(plain)
    assert all(seen)


# Recurrent layers and the Conv1D of transformers


@pytest.mark.parametrize("granularity", ["unit", "parameter"])
@pytest.mark.parametrize("make", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}])
def test_recurrent_weights_have_rationales_and_the_fast_step_equals_the_plain(
    make, options, granularity
):
    torch.manual_seed(0)
    model = Recurrent(make, **options).double()
    directions = ["", "_reverse"] if options else [""]
    assert select_layers(model)[-1].name == "head"
    assert [layer.name for layer in select_layers(model)[:-1]] == [
        f"rnn.weight_{kind}_l{depth}{direction}"
        for depth in range(options.get("num_layers", 1))
        for direction in directions
        for kind in ("ih", "hh")
    ]
    step(model, granularity=granularity)
    found = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    x, y, _ = crossed_rows()
    loss = per_sample_loss(model(x), y).mean()
    (loss + 0.1 * term_of(model, granularity=granularity)).backward()
    for one, parameter in zip(found, model.parameters(), strict=True):
        scale = parameter.grad.abs().max().clamp(min=1e-12)
        torch.testing.assert_close(one / scale, parameter.grad / scale, rtol=0, atol=1e-10)


class Conv1D(nn.Module):
    """As in transformers: x W + b with a weight (in, out)."""

    def __init__(self, nf: int, nx: int) -> None:
        super().__init__()
        self.nf = nf
        self.weight = nn.Parameter(torch.randn(nx, nf))
        self.bias = nn.Parameter(torch.randn(nf))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


def twins() -> tuple[nn.Module, nn.Module]:
    """The same network with the columns of one layer's weight and with rows."""
    torch.manual_seed(0)
    columns = nn.Sequential(Conv1D(5, 4), nn.Tanh(), nn.Linear(5, 1)).double()
    linear = nn.Linear(4, 5).double()
    linear.weight.data, linear.bias.data = columns[0].weight.data.T.clone(), columns[0].bias.data
    return columns, nn.Sequential(linear, *columns[1:])


@pytest.mark.parametrize("granularity", ["unit", "parameter"])
def test_a_weight_of_columns_has_the_rationale_of_its_transpose(granularity):
    columns, linear = twins()
    one, other = (term_of(model, granularity=granularity) for model in (columns, linear))
    torch.testing.assert_close(one, other)
    (ours,), (theirs,) = (
        torch.autograd.grad(value, model[0].weight)
        for value, model in ((one, columns), (other, linear))
    )
    torch.testing.assert_close(ours.T, theirs)


def test_exact_scores_and_audit_take_a_weight_of_columns():
    columns, linear = twins()
    x, y, group = crossed_rows()
    one, other = (
        parity_scores(model, x, label=y, group=group, engine="plain") for model in (columns, linear)
    )
    for code in (0, 1):
        ours, theirs = one.influences["0"][code], other.influences["0"][code]
        assert ours.shape == (4, 5)
        torch.testing.assert_close(torch.from_numpy(ours).T, torch.from_numpy(theirs))
    units = [unit.unit for unit in audited(columns).influence.units]
    assert units == [unit.unit for unit in audited(linear).influence.units]
    assert len(units) == 5


def test_a_module_that_is_only_called_conv1d_is_left_out():
    class Other(nn.Module):
        pass

    Other.__name__ = "Conv1D"
    model = nn.Sequential(Other(), nn.Linear(4, 1))
    model[0].weight = nn.Parameter(torch.randn(3, 4))
    assert [layer.name for layer in select_layers(model)] == ["1"]


# Weights in several processes


def test_sharded_weights_are_refused_in_one_line(tmp_path):
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Shard, distribute_tensor

    with meeting(tmp_path, world_size=1):
        mesh = init_device_mesh("cpu", (1,))
        model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 1))
        model[0].weight = nn.Parameter(distribute_tensor(model[0].weight.data, mesh, [Shard(0)]))
        with pytest.raises(ModelError, match="layer '0': weight is sharded over processes"):
            RationaleAlignment(model)
        assert RationaleAlignment(model, layers=["1"]).coverage == pytest.approx(0.2)
