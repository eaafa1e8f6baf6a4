"""The alignment term against a naive oracle, its derivatives, and the kinds of model it meets."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils import parametrizations, parametrize, prune
from torch.utils.checkpoint import checkpoint

from dralign.alignment import RationaleAlignment
from dralign.errors import DataError, ModelError, OptionError
from dralign.models import mlp
from dralign.rationale import group_losses, per_sample_loss
from synthetic import crossed_rows


def smooth_mlp(n_inputs: int = 4, hidden: int = 5, *, seed: int = 0) -> nn.Sequential:
    """A float64 network whose derivatives exist everywhere."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(n_inputs, hidden),
        nn.Tanh(),
        nn.Linear(hidden, hidden),
        nn.Tanh(),
        nn.Linear(hidden, 1),
    ).double()


def strata_of(model, x, y, group, *, n_groups=2, by_label=False, **params):
    """Group losses of a model called in the plain way, or with the given parameters."""
    logits = functional_call(model, params["params"], (x,)) if params else model(x)
    losses = per_sample_loss(logits, y)
    return group_losses(losses, group, n_groups=n_groups, label=y if by_label else None)


def naive_term(model, x, y, group, *, n_groups, by_label, granularity) -> float:
    """Eq. 8 and 9 spelled out: loops over strata, layers, pairs and weights."""
    linears = [module for module in model if isinstance(module, nn.Linear)]
    total = 0.0
    for label in (0, 1) if by_label else (None,):
        vectors: list[list[list[float]]] = []
        for code in range(n_groups):
            inside = [
                i for i in range(len(x)) if group[i] == code and (label is None or y[i] == label)
            ]
            if not inside:
                continue
            loss = 0.0
            for i in inside:
                p = torch.sigmoid(model(x[i : i + 1]))[0, 0]
                loss = loss - (torch.log(p) if y[i] else torch.log(1 - p)) / len(inside)
            grads = torch.autograd.grad(loss, [module.weight for module in linears])
            per_layer = []
            for module, grad in zip(linears, grads, strict=True):
                c = [
                    [
                        (float(grad[i, j]) * float(module.weight[i, j])) ** 2
                        for j in range(grad.shape[1])
                    ]
                    for i in range(grad.shape[0])
                ]
                per_layer.append(
                    [sum(row) for row in c]
                    if granularity == "unit"
                    else [v for row in c for v in row]
                )
            vectors.append(per_layer)
        for layer in range(len(linears)):
            cosines = []
            for a in range(len(vectors)):
                for b in range(a):
                    u, v = vectors[a][layer], vectors[b][layer]
                    dot = sum(p * q for p, q in zip(u, v, strict=True))
                    cosines.append(dot / math.sqrt(sum(p * p for p in u) * sum(q * q for q in v)))
            total += sum(cosines) / len(cosines)
    return -total


@pytest.mark.parametrize("granularity", ["unit", "parameter"])
@pytest.mark.parametrize("by_label", [False, True], ids=["dp", "eo"])
@pytest.mark.parametrize("n_groups", [2, 3])
def test_term_equals_the_formula_spelled_out(granularity, by_label, n_groups):
    model = smooth_mlp()
    x, y, group = crossed_rows(n_groups=n_groups)
    term = RationaleAlignment(model, granularity=granularity)
    value = term.align(strata_of(model, x, y, group, n_groups=n_groups, by_label=by_label))
    expected = naive_term(
        model, x, y, group, n_groups=n_groups, by_label=by_label, granularity=granularity
    )
    assert value.item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("granularity", ["unit", "parameter"])
@pytest.mark.parametrize("by_label", [False, True], ids=["dp", "eo"])
def test_first_and_second_derivatives_are_right(granularity, by_label):
    model = smooth_mlp(2, 3)
    x, y, group = crossed_rows(12, 2)
    term = RationaleAlignment(model, granularity=granularity)
    names = [name for name, _ in model.named_parameters()]

    def value(*tensors: Tensor) -> Tensor:
        params = dict(zip(names, tensors, strict=True))
        losses = strata_of(model, x, y, group, by_label=by_label, params=params)
        return term.align(losses, params=params)

    point = tuple(p.detach().clone().requires_grad_() for p in model.parameters())
    assert torch.autograd.gradcheck(value, point)
    assert torch.autograd.gradgradcheck(value, point, atol=1e-4)


@settings(max_examples=25)
@given(
    hidden=st.integers(1, 6),
    seed=st.integers(0, 1000),
    scale=st.sampled_from([1e-3, 1.0, 30.0]),
    granularity=st.sampled_from(["unit", "parameter"]),
)
def test_swapping_groups_changes_nothing_and_the_range_holds(hidden, seed, scale, granularity):
    model = smooth_mlp(3, hidden, seed=seed)
    x, y, group = crossed_rows(16, 3, seed=seed)
    term = RationaleAlignment(model, granularity=granularity)
    one = term.align(strata_of(model, x * scale, y, group)).item()
    other = term.align(strata_of(model, x * scale, y, 1 - group)).item()
    assert one == pytest.approx(other, rel=1e-12, abs=1e-12)
    assert -3 - 1e-12 <= one <= 0


def test_permuting_hidden_units_changes_nothing():
    model, permuted = smooth_mlp(), smooth_mlp()
    order = torch.tensor([3, 1, 4, 0, 2])
    with torch.no_grad():
        permuted[0].weight.copy_(model[0].weight[order])
        permuted[0].bias.copy_(model[0].bias[order])
        permuted[2].weight.copy_(model[2].weight[:, order])
    data = crossed_rows()
    for granularity in ("unit", "parameter"):
        one, other = (
            RationaleAlignment(m, granularity=granularity).align(strata_of(m, *data)).item()
            for m in (model, permuted)
        )
        assert one == pytest.approx(other, rel=1e-12)


@pytest.mark.parametrize("granularity", ["unit", "parameter"])
@pytest.mark.parametrize(("by_label", "best"), [(False, -3.0), (True, -6.0)])
@pytest.mark.parametrize("n_groups", [2, 3])
def test_identical_groups_reach_the_best_value(granularity, by_label, best, n_groups):
    torch.manual_seed(0)
    model = mlp(4, hidden=6)
    x = torch.randn(20, 4)
    y = torch.arange(20) % 2
    group = torch.arange(n_groups).repeat_interleave(20)
    x, y = x.repeat(n_groups, 1), y.repeat(n_groups)
    term = RationaleAlignment(model, granularity=granularity)
    value = term.align(strata_of(model, x, y, group, n_groups=n_groups, by_label=by_label))
    assert value.item() == pytest.approx(best, abs=1e-5)


def dead_layer() -> nn.Sequential:
    model = smooth_mlp()
    model[2] = nn.Linear(5, 5).double()
    model[3] = nn.ReLU()
    nn.init.constant_(model[2].bias, -1e3)
    return model


def one_unit() -> nn.Sequential:
    return smooth_mlp(4, 1)


def zero_weights() -> nn.Sequential:
    model = smooth_mlp()
    nn.init.zeros_(model[2].weight)
    return model


@pytest.mark.parametrize("make", [dead_layer, one_unit, zero_weights])
@pytest.mark.parametrize("granularity", ["unit", "parameter"])
def test_degenerate_layers_give_finite_values_and_gradients(make, granularity):
    model = make()
    value = RationaleAlignment(model, granularity=granularity).align(
        strata_of(model, *crossed_rows())
    )
    value.backward()
    assert torch.isfinite(value)
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())


def test_zero_norm_rationale_has_similarity_zero_and_no_gradient():
    model = zero_weights()
    term = RationaleAlignment(model, layers=["2"])
    value = term.align(strata_of(model, *crossed_rows()))
    value.backward()
    assert value.item() == 0
    assert not model[2].weight.grad.any()


def test_tiny_gradients_keep_their_direction():
    """Norms of 1e-12 are compared as they are: no epsilon switches the term off."""
    model = smooth_mlp().float()
    x, y, group = crossed_rows()
    values = []
    for scale in (1.0, 1e-12):
        losses = per_sample_loss(model(x.float()), y) * scale
        value = RationaleAlignment(model).align(group_losses(losses, group, n_groups=2))
        values.append(value)
    assert values[1].item() == pytest.approx(values[0].item(), rel=1e-4)
    grads = [torch.autograd.grad(v, model[0].weight, retain_graph=True)[0] for v in values]
    torch.testing.assert_close(grads[1], grads[0], rtol=1e-3, atol=1e-6)


def test_absent_group_leaves_its_pairs_out():
    model = smooth_mlp()
    x, y, group = crossed_rows()
    (stratum,) = strata_of(model, x, y, group)
    term = RationaleAlignment(model)
    both = term.align([stratum]).item()
    assert term.align([[*stratum, None]]).item() == both
    assert term.align([stratum, [stratum[0], None]]).item() == both
    assert term.align([[None, stratum[0]]]).item() == 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("present", [0, 1])
def test_nothing_to_compare_is_zero_with_a_zero_gradient(present, dtype):
    """As the gaps are: a batch of one group alone can go backward, also by itself."""
    model = smooth_mlp().to(dtype)
    x, y, group = crossed_rows()
    (stratum,) = strata_of(model, x.to(dtype), y, group)
    value = RationaleAlignment(model).align([[*stratum[:present], None], [None, None]])
    value.backward()
    assert value.item() == 0
    assert not model[0].weight.grad.any()
    assert value.dtype == torch.promote_types(dtype, torch.float32)


@pytest.mark.parametrize("spoil", [math.nan, math.inf])
@pytest.mark.parametrize("granularity", ["unit", "parameter"])
def test_losses_that_are_not_finite_give_nan_and_not_a_good_similarity(granularity, spoil):
    model = smooth_mlp()
    ((first, second),) = strata_of(model, *crossed_rows())
    value = RationaleAlignment(model, granularity=granularity).align([[first, second * spoil]])
    assert value.isnan()
    value.backward()
    assert model[0].weight.grad.isnan().any()


def test_frozen_weights_are_skipped():
    model = smooth_mlp()
    whole = RationaleAlignment(model)
    model[0].weight.requires_grad_(requires_grad=False)
    assert whole.layers == ("2", "4")
    chosen = RationaleAlignment(model, layers=["2", "4"])
    data = crossed_rows()
    assert whole.align(strata_of(model, *data)) == chosen.align(strata_of(model, *data))


def test_nothing_left_to_align_is_an_error():
    model = smooth_mlp()
    for parameter in model.parameters():
        parameter.requires_grad_(requires_grad=False)
    with pytest.raises(ModelError, match="every chosen layer is frozen"):
        RationaleAlignment(model)
    with pytest.raises(ModelError, match="has no Linear or Conv layer"):
        RationaleAlignment(nn.Sequential(nn.BatchNorm1d(3)))
    with pytest.raises(ModelError, match=r"expected a torch module, got object; .* as module_"):
        RationaleAlignment(object())


@pytest.mark.parametrize(
    "shape",
    [
        lambda losses: losses,
        lambda losses: losses[0],
        lambda losses: [*losses, None],
        lambda losses: [[loss.item() for loss in losses]],
        lambda losses: [[torch.stack(losses), losses[0]]],
        torch.stack,
    ],
    ids=["flat", "one loss", "flat with None", "numbers", "losses of rows", "stacked"],
)
def test_strata_that_are_no_lists_of_losses_are_refused_in_one_line(shape):
    model = smooth_mlp()
    (losses,) = strata_of(model, *crossed_rows())
    with pytest.raises(
        DataError, match=r"expected a list of lists of mean losses, \[\[L_0, L_1\]\]"
    ):
        RationaleAlignment(model).align(shape(losses))


def test_weights_frozen_after_the_term_was_made_are_an_error_when_none_is_left():
    model = smooth_mlp()
    term, strata = RationaleAlignment(model), strata_of(model, *crossed_rows())
    model.requires_grad_(requires_grad=False)
    with pytest.raises(ModelError, match="every chosen layer is frozen"):
        term.align(strata)


def test_weights_without_values_or_of_another_shape_are_refused_unless_left_out():
    class Doubled(nn.Module):
        def forward(self, weight: Tensor) -> Tensor:
            return torch.cat([weight, weight])

    lazy = nn.Sequential(nn.LazyLinear(3), nn.Linear(3, 1))
    with pytest.raises(ModelError, match="layer '0': weight has no values yet"):
        RationaleAlignment(lazy)
    assert RationaleAlignment(lazy, layers=["1"]).coverage == 1  # of the weights there are
    doubled = nn.Sequential(nn.Linear(4, 3, bias=False), nn.Linear(6, 1))
    parametrize.register_parametrization(doubled[0], "weight", Doubled(), unsafe=True)
    with pytest.raises(ModelError, match="layer '0': weight is computed from a parameter of anoth"):
        RationaleAlignment(doubled)


def test_never_used_weights_are_skipped():
    class Spare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used = smooth_mlp()
            self.spare = nn.Linear(3, 3).double()

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x)

    model, data = Spare(), crossed_rows()
    value = RationaleAlignment(model).align(strata_of(model, *data))
    assert value == RationaleAlignment(model.used).align(strata_of(model.used, *data))
    with pytest.raises(ModelError, match="no chosen layer is reached"):
        RationaleAlignment(model, layers=["spare"]).align(strata_of(model, *data))


def test_a_layer_that_two_of_three_groups_use_counts_with_the_pair_that_does():
    """The other two pairs have a rationale that is zero, whose similarity is 0."""
    model, (x, y, _) = smooth_mlp(), crossed_rows()
    extra = nn.Linear(4, 1).double()
    both = nn.ModuleDict({"all": model, "some": extra})
    losses = [
        per_sample_loss(model(part) + (extra(part) if code < 2 else 0), label).mean()
        for code, (part, label) in enumerate(zip(x.chunk(3), y.chunk(3), strict=True))
    ]
    first, second = (
        torch.autograd.grad(loss, extra.weight, retain_graph=True) for loss in losses[:2]
    )
    r = [((grad[0] * extra.weight) ** 2).flatten() for grad in (first, second)]
    expected = torch.nn.functional.cosine_similarity(*r, dim=0) / 3
    value = RationaleAlignment(both, layers=["some"], granularity="parameter").align([losses])
    assert -value.item() == pytest.approx(expected.item(), rel=1e-9)


def test_tied_weight_counts_once_with_its_whole_gradient():
    model = smooth_mlp(5, 5)
    model[2].weight = model[0].weight
    term = RationaleAlignment(model)
    assert term.layers == ("0", "4")
    value = term.align(strata_of(model, *crossed_rows(n_inputs=5)))
    assert -2 <= value.item() < 0


def test_attention_projection_is_three_layers():
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mix = nn.MultiheadAttention(4, 2, batch_first=True)
            self.head = nn.Linear(4, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.mix(x, x, x, need_weights=True)[0].mean(1))

    torch.manual_seed(0)
    model = Attention().double()
    term = RationaleAlignment(model, granularity="parameter")
    assert term.layers == ("mix.q", "mix.k", "mix.v", "mix.out_proj", "head")
    x = torch.randn(12, 3, 4, dtype=torch.float64)
    y, group = torch.arange(12) // 2 % 2, torch.arange(12) % 2
    strata = strata_of(model, x, y, group)
    value = term.align(strata)
    value.backward()
    assert -5 <= value.item() < 0
    per_layer = [
        RationaleAlignment(model, granularity="parameter", layers=[name]).align(
            strata_of(model, x, y, group)
        )
        for name in term.layers
    ]
    assert value.item() == pytest.approx(sum(per_layer).item())


def test_parametrised_weight_counts_through_its_leaf():
    torch.manual_seed(0)
    model = nn.Sequential(
        parametrizations.spectral_norm(nn.Linear(4, 3)), nn.Tanh(), nn.Linear(3, 1)
    )
    model = model.double().eval()
    prune.random_unstructured(model[2], "weight", amount=1)
    value = RationaleAlignment(model).align(strata_of(model, *crossed_rows()))
    value.backward()
    assert model[0].parametrizations.weight.original.grad is not None
    assert model[2].weight_orig.grad is not None
    assert -2 <= value.item() < 0


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("norm", [parametrizations.weight_norm, nn.utils.weight_norm])
def test_weight_of_several_leaves_is_refused_unless_left_out(norm):
    model = nn.Sequential(norm(nn.Linear(4, 3)), nn.Linear(3, 1))
    with pytest.raises(ModelError, match="layer '0': weight is computed from several"):
        RationaleAlignment(model)
    assert RationaleAlignment(model, layers=["1"]).layers == ("1",)


def test_functional_call_takes_the_given_parameters():
    model = smooth_mlp()
    params = {name: (p * 1.5).detach().requires_grad_() for name, p in model.named_parameters()}
    data = crossed_rows()
    value = RationaleAlignment(model).align(strata_of(model, *data, params=params), params=params)
    scaled = smooth_mlp()
    scaled.load_state_dict(params)
    expected = RationaleAlignment(scaled).align(strata_of(scaled, *data))
    assert value.item() == pytest.approx(expected.item(), rel=1e-12)
    with pytest.raises(ModelError, match=r"params: no entry '0\.weight'"):
        RationaleAlignment(model).align(strata_of(model, *data), params={})


def test_the_term_of_a_compiled_model_is_that_of_its_module():
    model = smooth_mlp()
    term = RationaleAlignment(torch.compile(model, backend="eager"))
    data = crossed_rows()
    plain = RationaleAlignment(model)
    assert term.layers == plain.layers
    assert term.coverage == 1
    assert torch.equal(term.align(strata_of(model, *data)), plain.align(strata_of(model, *data)))


def test_bfloat16_autocast_stays_near_the_full_precision_term():
    model = smooth_mlp(8, 16).float()
    x, y, group = crossed_rows(64, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = per_sample_loss(model(x.float()), y)
        value = RationaleAlignment(model).align(group_losses(losses, group, n_groups=2))
    value.backward()
    exact = RationaleAlignment(model).align(strata_of(model, x.float(), y, group))
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(exact.item(), abs=0.05)
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())


def test_checkpointed_model_gives_the_same_term_and_gradient():
    model, data = smooth_mlp(), crossed_rows()

    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = model

        def forward(self, x: Tensor) -> Tensor:
            return checkpoint(self.body, x, use_reentrant=False)

    whole = Checkpointed()
    values = [RationaleAlignment(m).align(strata_of(m, *data)) for m in (model, whole)]
    grads = [torch.autograd.grad(v, model[0].weight)[0] for v in values]
    assert values[0] == values[1]
    torch.testing.assert_close(grads[0], grads[1])


def test_batchnorm_weights_take_no_part():
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
    assert RationaleAlignment(model).layers == ("0", "2")


def test_convolution_units_are_its_filters():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv1d(1, 3, 2), nn.Tanh(), nn.ConvTranspose1d(3, 4, 2, groups=1))
    model = nn.Sequential(*model, nn.Flatten(), nn.Linear(24, 1)).double()
    x, y, group = crossed_rows(12, 6)
    strata = strata_of(model, x.unsqueeze(1), y, group)
    value = RationaleAlignment(model, layers=["2"]).align(strata)
    grads = [torch.autograd.grad(loss, model[2].weight, retain_graph=True)[0] for loss in strata[0]]
    c = [((g * model[2].weight) ** 2).sum(dim=(0, 2)) for g in grads]
    assert value.item() == pytest.approx(-torch.cosine_similarity(*c, dim=0, eps=0).item())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"layers": 4}, OptionError, "the model has 3 layers, got a count of 4"),
        ({"layers": 0}, OptionError, "got a count of 0"),
        ({"layers": "last"}, OptionError, "expected 'all', a count or names, got 'last'"),
        ({"layers": True}, OptionError, "got True"),
        ({"layers": []}, OptionError, r"got \[\]"),
        ({"layers": ["nine"]}, ModelError, "no layer 'nine'; known: 0, 2, 4"),
        ({"granularity": "layer"}, OptionError, "unknown granularity 'layer'; known: unit, param"),
    ],
)
def test_bad_options_say_what_is_known(options, error, message):
    with pytest.raises(error, match=message):
        RationaleAlignment(smooth_mlp(), **options)


def test_last_k_layers_are_the_last_registered():
    assert RationaleAlignment(smooth_mlp(), layers=2).layers == ("2", "4")


def test_labels_of_another_length_are_refused():
    x, y, group = crossed_rows()
    losses = per_sample_loss(smooth_mlp()(x), y)
    with pytest.raises(DataError, match=r"label: expected shape \(24,\), got \(3,\)"):
        group_losses(losses, group, n_groups=2, label=y[:3])


def test_losses_without_a_graph_are_refused():
    model = smooth_mlp()
    with torch.no_grad():
        strata = strata_of(model, *crossed_rows())
    with pytest.raises(ModelError, match=r"no graph to the weights; was it computed under"):
        RationaleAlignment(model).align(strata)


def test_term_leaves_the_model_as_it_was():
    model = smooth_mlp()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    RationaleAlignment(model).align(strata_of(model, *crossed_rows()))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())
