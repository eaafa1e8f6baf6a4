"""Both ablation engines against removing weights one by one from copies of the network."""

import copy
from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from dralign.errors import DralignWarning, ModelError
from dralign.rationale import fast_ablation, parity_scores, select_layers
from dralign.rationale.compiled import can_compile
from dralign.rationale.stack import arrays_of, linear_stack
from dralign.rationale.tabulated import tabulated, value_at

ACTIVATIONS = {
    "relu": nn.ReLU,
    "relu in place": lambda: nn.ReLU(inplace=True),
    "leaky relu": lambda: nn.LeakyReLU(0.2),
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "none": nn.Identity,
}
FAST = ("fast", "compiled")


def stack(
    depth: int, activation: str, *, bias: bool = True, classes: int = 1, width: int = 4
) -> nn.Sequential:
    """A float64 network of ``depth`` Linear layers on four inputs."""
    modules: list[nn.Module] = []
    for fan_in in [4, *[width] * (depth - 2)][: depth - 1]:
        modules += [nn.Linear(fan_in, width, bias=bias), ACTIVATIONS[activation]()]
    last = nn.Linear(width if depth > 1 else 4, classes, bias=bias)
    return nn.Sequential(*modules, nn.Dropout(0.5), last).double()


def rows(n: int = 30, *, groups: int = 2, classes: int = 1, shape: tuple[int, ...] = (4,)):
    """Sparse inputs, labels and groups; torch must be seeded."""
    x = torch.randn(n, *shape, dtype=torch.float64) * (torch.rand(n, *shape) < 0.7)
    return x, torch.randint(max(2, classes), (n,)), torch.arange(n) % groups


def losses(model: nn.Module, x: Tensor, label: Tensor) -> Tensor:
    with torch.no_grad():
        logits = model(x)
    logits = getattr(logits, "logits", logits)
    if logits.shape[1] == 1:
        return F.softplus((1 - 2 * label) * logits[:, 0])
    return -torch.log_softmax(logits, dim=1)[torch.arange(len(label)), label]


def removed_one_by_one(model, x, label, group, *, units: bool = False):
    """Eq. 4 spelled out: for each layer (G, units, fan-in) or (G, units) influences."""
    changed = copy.deepcopy(model).eval()
    before = losses(changed, x, label)
    found = {}
    for layer in select_layers(model):
        weight = layer.part(changed.get_parameter(layer.parameter).data)
        places = layer.by_unit(torch.arange(weight.numel()).reshape(weight.shape))
        entries = list(places) if units else list(places.reshape(-1, 1))
        influence = torch.zeros(int(group.max()) + 1, len(entries), dtype=torch.float64)
        for number, entry in enumerate(entries):
            whole = weight.clone()
            for place in entry.tolist():
                weight[tuple(int(i) for i in np.unravel_index(place, weight.shape))] = 0
            change = losses(changed, x, label) - before
            weight.copy_(whole)
            for code in range(len(influence)):
                influence[code, number] = change[group == code].mean() ** 2
        found[layer.name] = influence
    return found


def largest_error(model, expected, scores) -> float:
    """The largest error over all entries, relative to the largest influence."""
    named = {layer.name: layer for layer in select_layers(model)}
    top = max(float(influence.max()) for influence in expected.values())
    errors = [torch.zeros(1, dtype=torch.float64)]
    for name, influence in expected.items():
        for code, values in enumerate(influence):
            got = torch.from_numpy(scores.influences[name][code])
            flat = got if got.ndim == 1 else named[name].by_unit(got).reshape(-1)
            errors.append((flat - values).abs())
    worst = float(torch.cat(errors).max())  # NaN if there is one
    return worst / top if top > 0 else worst


@pytest.fixture
def measure(monkeypatch):
    """parity_scores with a third engine: the fast one, its loops compiled for any size."""

    def run(engine, *args, **options):
        monkeypatch.setattr(fast_ablation, "WORTH_COMPILING", 0 if engine == "compiled" else 10**18)
        scores = parity_scores(*args, engine="fast" if engine in FAST else engine, **options)
        assert scores.engine == ("fast" if engine in FAST else engine)
        return scores

    return run


@settings(max_examples=12)
@given(
    depth=st.integers(1, 5),
    activation=st.sampled_from(list(ACTIVATIONS)),
    bias=st.booleans(),
    classes=st.integers(1, 3),
    groups=st.integers(2, 3),
    batch_rows=st.sampled_from([11, 100]),
    seed=st.integers(0, 10**6),
)
def test_engines_equal_removal_one_by_one(
    depth, activation, bias, classes, groups, batch_rows, seed
):
    """On any stack, loss, number of groups and block size all engines give Eq. 4."""
    torch.manual_seed(seed)
    model = stack(depth, activation, bias=bias, classes=classes)
    x, label, group = rows(groups=groups, classes=classes)
    expected = removed_one_by_one(model, x, label, group)
    for engine, worth in (("plain", 0), ("fast", 10**18), ("fast", 0)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fast_ablation, "WORTH_COMPILING", worth)
            scores = parity_scores(
                model, x, label=label, group=group, engine=engine, batch_rows=batch_rows
            )
        assert largest_error(model, expected, scores) < 1e-9


@pytest.mark.parametrize("engine", ["plain", *FAST])
@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("scale", [1e-3, 30.0, 3000.0, 3e5])
@pytest.mark.parametrize("activation", ["leaky relu", "gelu"])
def test_margins_of_any_size_are_exact(measure, engine, classes, scale, activation):
    """Tiny changes keep their digits, and changes beyond the range of exp are still right."""
    torch.manual_seed(0)
    model = stack(3, activation, classes=classes)
    model[-1].weight.data *= scale
    x, label, group = rows(classes=classes)
    expected = removed_one_by_one(model, x, label, group)
    scores = measure(engine, model, x, label=label, group=group)
    assert largest_error(model, expected, scores) < 1e-9


@pytest.mark.parametrize("engine", ["plain", *FAST])
@pytest.mark.parametrize("depth", [1, 3, 4])
def test_joint_removal_sets_the_whole_row_to_zero(measure, engine, depth):
    """Also where one weight of the row is zero already."""
    torch.manual_seed(1)
    model = stack(depth, "tanh", classes=2)
    model[-1].weight.data[0, 1] = 0
    x, label, group = rows(classes=2)
    expected = removed_one_by_one(model, x, label, group, units=True)
    scores = measure(
        engine, model, x, label=label, group=group, granularity="unit", unit_form="joint"
    )
    assert largest_error(model, expected, scores) < 1e-9


def test_what_cannot_change_the_loss_has_no_influence(measure):
    """An input that is always 0, a weight of 0 and a unit that stays dead count exactly 0."""
    torch.manual_seed(2)
    model = stack(3, "relu", classes=3)
    model[0].weight.data[0, 1] = 0
    model[0].bias.data[2] = -100
    x, label, group = rows(classes=3)
    x[:, 3] = 0
    for engine in ("plain", *FAST):
        influence = measure(engine, model, x, label=label, group=group).influences["0"][0]
        assert not influence[:, 3].any()
        assert influence[0, 1] == 0
        assert not influence[2].any()


def test_fast_engine_is_exact_for_a_float32_network(measure):
    """The compiled loops, in float64 over several tiles of rows, meet the plain engine."""
    torch.manual_seed(3)
    model = nn.Sequential(
        nn.Linear(12, 20), nn.ReLU(), nn.Sequential(nn.Linear(20, 20), nn.ReLU()), nn.Linear(20, 1)
    )
    x, label, group = rows(600, groups=3, shape=(12,))
    x = (x > 0).float()
    fast = measure("compiled", model, x, label=label, group=group)
    exact = measure("plain", copy.deepcopy(model).double(), x, label=label, group=group)
    for name, influences in exact.influences.items():
        for code, values in influences.items():
            np.testing.assert_allclose(
                fast.influences[name][code], values, rtol=1e-6, atol=1e-9 * values.max()
            )


class Residual(nn.Module):
    """A block that adds in place, and reads what an in-place activation has changed."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.act = nn.ReLU(inplace=True)
        self.second = nn.Conv2d(3, 3, 3, padding=1, groups=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out = self.act(self.norm(self.first(x)))
        out = self.second(out) + out
        out += x
        return self.act(out)


class EarlyUse(nn.Module):
    """A network that reads a layer's weight before it calls the layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.tanh(self.first(x + self.second.weight)))


class InPlaceOnInput(nn.Module):
    """A network in which a module changes an input that is read again."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.ReLU(inplace=True)
        self.layer = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x.clone()
        y = self.act(x)
        return self.layer(x) + y.sum(1, keepdim=True)


def shared() -> nn.Module:
    """A chain in which one layer comes twice."""
    layer = nn.Linear(4, 4)
    return nn.Sequential(nn.Linear(4, 4), layer, nn.Tanh(), layer, nn.Linear(4, 1))


@dataclass
class Output(OrderedDict):
    """An output as transformers has them: a dict whose entries are attributes too."""

    logits: Tensor | None = None
    hidden: object = None

    def __post_init__(self) -> None:
        for name in ("logits", "hidden"):
            super().__setitem__(name, getattr(self, name))

    def __setitem__(self, name: str, value: object) -> None:
        super().__setitem__(name, value)
        super().__setattr__(name, value)


class Pair(NamedTuple):
    first: Tensor
    second: list[Tensor]


class Body(nn.Module):
    """Returns an output with a pair and a dict in it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Output:
        h = torch.tanh(self.layer(x))
        return Output(logits=None, hidden=({"pair": Pair(h, [h.clone()])}, "text"))


class Wrapped(nn.Module):
    """A classifier whose inner modules and itself return objects, not tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.middle, self.head = Body(), nn.Linear(3, 3), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Output:
        pair = self.body(x).hidden[0]["pair"]
        pair.second[0].add_(pair.first)  # in place, as a network may
        return Output(logits=self.head(torch.tanh(self.middle(pair.second[0]))))


class Recurrent(nn.Module):
    """Two recurrent layers; what comes before the second is replayed."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.LSTM(1, 2, batch_first=True)
        self.second = nn.GRU(2, 2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.second(self.first(x[:, :, None])[0])[0][:, 1])


IMAGE = (2, 4, 4)
NETWORKS = {
    "convolutions": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 3, 3), nn.ReLU(), nn.ConvTranspose2d(3, 4, 2), nn.GELU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2),
        ),
        IMAGE,
    ),
    "residual": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 3, 1), Residual(), nn.AvgPool2d(4), nn.Flatten(), nn.Linear(3, 1)
        ),
        IMAGE,
    ),
    "weight used early": (EarlyUse, (4,)),
    "in place on an input": (InPlaceOnInput, (4,)),
    "layer used twice": (shared, (4,)),
    "objects in and out": (Wrapped, (4,)),
    "recurrent": (Recurrent, (4,)),
    "attention": (
        lambda: nn.Sequential(
            nn.TransformerEncoderLayer(4, 2, 3, batch_first=True), nn.Flatten(), nn.Linear(8, 1)
        ),
        (2, 4),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "attention"])
@pytest.mark.parametrize("units", [False, True], ids=["parameters", "filters"])
def test_any_network_equals_removal_one_by_one(name, units):
    """The plain engine replays prefixes only where that changes nothing."""
    torch.manual_seed(4)
    factory, shape = NETWORKS[name]
    model = factory().double()
    x, label, group = rows(8, shape=shape)
    expected = removed_one_by_one(model, x, label, group, units=units)
    options = {"granularity": "unit", "unit_form": "joint"} if units else {}
    scores = parity_scores(model, x, label=label, group=group, batch_rows=5, **options)
    assert scores.engine == "plain"
    assert largest_error(model, expected, scores) < 1e-9


class Touchy(nn.Module):
    """A network that can't be replayed: it raises where a module's forward is not its own."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4) for _ in range(3)])
        self.head = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.tanh(layer(x))
            if "forward" in layer.__dict__:
                raise KeyError("a module was replaced")
        return self.head(x)


@pytest.mark.parametrize("batch_rows", [5, 100])
def test_a_surprise_in_a_replay_costs_time_and_one_warning(batch_rows):
    torch.manual_seed(4)
    model = Touchy().double()
    x, label, group = rows(8)
    expected = removed_one_by_one(model, x, label, group)
    with pytest.warns(DralignWarning, match="can't be replayed, every removal runs") as caught:
        scores = parity_scores(model, x, label=label, group=group, batch_rows=batch_rows)
    assert len(caught) == 1
    assert largest_error(model, expected, scores) < 1e-9


def test_a_surprise_after_replays_began_is_met_with_whole_runs():
    """From some replayed run on each raises: the removal under way is still measured."""

    class Late(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.head, self.replayed = nn.Linear(4, 4), nn.Linear(4, 1), 0

        def forward(self, x: Tensor) -> Tensor:
            h = torch.tanh(self.first(x))
            self.replayed += "replay" in getattr(self.first.forward, "__qualname__", "")
            if self.replayed >= 4 and "forward" in self.first.__dict__:
                raise RuntimeError("once too often")
            return self.head(h)

    torch.manual_seed(4)
    model = Late().double()
    x, label, group = rows(8)
    expected = removed_one_by_one(model, x, label, group)
    with pytest.warns(DralignWarning, match=r"takes longer \(once too often\)") as caught:
        scores = parity_scores(model, x, label=label, group=group)
    assert len(caught) == 1
    assert largest_error(model, expected, scores) < 1e-9
    assert "forward" not in model.first.__dict__


def test_an_error_of_the_network_itself_comes_up_and_leaves_it_as_it_was():
    class Fails(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.head = nn.Linear(4, 4), nn.Linear(4, 1)

        def forward(self, x: Tensor) -> Tensor:
            if not bool(self.head.weight.all()):
                raise RuntimeError("a weight of zero")
            return self.head(torch.tanh(self.first(x)))

    torch.manual_seed(4)
    model = Fails().double()
    before = copy.deepcopy(model.state_dict())
    x, label, group = rows(8)
    with (
        pytest.warns(DralignWarning, match="a weight of zero"),
        pytest.raises(RuntimeError, match="a weight of zero"),
    ):
        parity_scores(model, x, label=label, group=group)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_a_compiled_network_is_measured_by_its_original():
    torch.manual_seed(4)
    model = stack(3, "tanh")
    x, label, group = rows()
    compiled = torch.compile(model)
    for method in ("ablation", "taylor"):
        one, other = (
            parity_scores(m, x, label=label, group=group, method=method) for m in (model, compiled)
        )
        assert one.engine == other.engine
        assert one.total == other.total


def test_what_comes_before_the_layer_is_not_run_again():
    """A chain's prefix runs a few times for a layer, not once for each of its weights."""
    calls = []

    class Slow(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            calls.append(1)
            return x**2

    torch.manual_seed(5)
    model = nn.Sequential(nn.Linear(4, 3), Slow(), nn.Linear(3, 30), nn.ReLU(), nn.Linear(30, 1))
    x, label, group = rows()
    parity_scores(model, x.float(), label=label, group=group, layers=["2", "4"])
    assert len(calls) < 15


def test_objects_that_a_module_returns_are_replayed_too():
    """Unharmed by what the network then does to them in place."""
    torch.manual_seed(5)
    model, calls = Wrapped(), []
    model.body.layer.register_forward_hook(lambda *_: calls.append(1))
    x, label, group = rows()
    parity_scores(model, x.float(), label=label, group=group, layers=["middle", "head"])
    assert len(calls) < 15


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("interrupted", [False, True])
def test_the_network_is_left_bit_by_bit_as_it_was(name, interrupted):
    """Weights, gradients, hooks, modes, forwards and the random state, also after an interrupt."""
    torch.manual_seed(6)
    factory, shape = NETWORKS[name]
    model = factory()
    seen = []
    model.register_forward_hook(lambda *_: seen.append(1))
    next(model.parameters()).grad = torch.ones_like(next(model.parameters()))
    next(model.children()).eval()
    x, label, group = rows(12, shape=shape)
    before = copy.deepcopy(model.state_dict())
    attributes = [set(module.__dict__) for module in model.modules()]
    modes = [module.training for module in model.modules()]
    versions = [parameter._version for parameter in model.parameters()]
    random_state = torch.get_rng_state()

    def stop_halfway(part: float) -> None:
        if interrupted and part > 0.5:
            raise KeyboardInterrupt("stopped")

    def run() -> None:
        parity_scores(model, x, label=label, group=group, engine="plain", progress=stop_halfway)

    if interrupted:
        with pytest.raises(KeyboardInterrupt, match="stopped"):
            run()
    else:
        run()
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])
    assert [set(module.__dict__) for module in model.modules()] == attributes
    assert [module.training for module in model.modules()] == modes
    assert [parameter._version for parameter in model.parameters()] == versions
    assert torch.equal(torch.get_rng_state(), random_state)
    assert torch.equal(next(model.parameters()).grad, torch.ones_like(next(model.parameters())))
    assert len(model._forward_hooks) == 1
    assert seen


class OwnCall(nn.Sequential):
    """A stack that does more when it is called."""

    def __call__(self, x):
        return super().__call__(x) * 3


def hooked() -> nn.Sequential:
    model = stack(2, "relu")
    model[1].register_forward_hook(lambda module, args, out: out * 2)
    return model


def hooked_before() -> nn.Sequential:
    model = stack(2, "relu")
    model[1].register_forward_pre_hook(lambda module, args: args[0] * 2)
    return model


@pytest.mark.parametrize(
    "factory",
    [
        hooked,
        hooked_before,
        shared,
        lambda: nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 1)),
        lambda: nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=1), nn.Linear(3, 1)),
        lambda: nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(4, 1))),
        EarlyUse,
        lambda: OwnCall(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1)),
    ],
    ids=["hook", "hook before", "shared", "norm", "softmax", "parametrised", "other", "call"],
)
def test_fast_engine_takes_only_what_it_knows(factory):
    """What is not a plain stack goes to the plain engine, and says so when fast is asked for."""
    torch.manual_seed(7)
    model = factory()
    x, label, group = rows()
    options = {"label": label, "group": group}
    assert parity_scores(model, x, **options).engine == "plain"
    with pytest.raises(ModelError, match="takes stacks of Linear and elementwise activations"):
        parity_scores(model, x, engine="fast", **options)


@pytest.mark.parametrize("engine", FAST)
@pytest.mark.parametrize(
    "activation",
    [
        pytest.param([nn.LeakyReLU(1.5)], id="steeper below zero"),
        pytest.param([nn.LeakyReLU(-0.5)], id="falling below zero"),
        pytest.param([nn.ReLU(), nn.Tanh()], id="two"),
        pytest.param([nn.ReLU(), nn.LeakyReLU(1.5)], id="two, the first the loops' own"),
    ],
)
def test_activations_that_the_loops_do_not_know_are_exact(measure, engine, activation):
    torch.manual_seed(11)
    model = nn.Sequential(
        nn.Linear(4, 4), *activation, nn.Linear(4, 4), *activation, nn.Linear(4, 1)
    ).double()
    x, label, group = rows()
    scores = measure(engine, model, x, label=label, group=group)
    assert largest_error(model, removed_one_by_one(model, x, label, group), scores) < 1e-9


def test_flattened_images_and_a_single_layer_are_stacks():
    torch.manual_seed(8)
    x, label, group = rows(shape=(2, 2))
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.SiLU(), nn.Linear(3, 1)).double()
    assert parity_scores(model, x, label=label, group=group).engine == "fast"
    single = nn.Linear(4, 1).double()
    scores = parity_scores(single, x.flatten(1), label=label, group=group)
    assert scores.engine == "fast"
    expected = removed_one_by_one(single, x.flatten(1), label, group)
    assert largest_error(single, expected, scores) < 1e-9


def test_without_numba_a_note_says_so_and_the_result_is_the_same(monkeypatch):
    torch.manual_seed(9)
    model = stack(3, "relu")
    x, label, group = rows()
    expected = parity_scores(model, x, label=label, group=group).total
    monkeypatch.setattr(fast_ablation, "WORTH_COMPILING", 0)
    monkeypatch.setattr(fast_ablation, "find_spec", lambda name: None)
    with pytest.warns(DralignWarning, match="numba is not installed"):
        total = parity_scores(model, x, label=label, group=group).total
    assert total == expected


@pytest.mark.parametrize("kind", [nn.GELU, nn.Tanh, nn.SiLU, nn.ELU, nn.Softplus, nn.Hardswish])
def test_a_tabulated_activation_is_the_activation(kind):
    """Near zero, far beyond the table, and where its cells meet."""
    table = tabulated(kind())
    assert table is not None
    x = np.concatenate([np.linspace(-7, 7, 9999), [0.0, -0.0, 3.0, -3.0, 40.0, -40.0, 1e5, -1e5]])
    true = kind()(torch.from_numpy(x)).numpy()
    assert np.allclose(value_at(table, x), true, rtol=1e-14, atol=2e-14)


@pytest.mark.parametrize("kind", [nn.Hardshrink, nn.Softsign])
def test_an_activation_that_jumps_or_never_ends_has_no_table(kind):
    assert tabulated(kind()) is None


@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_threads_share_the_rows_and_change_nothing(measure, activation):
    torch.manual_seed(10)
    model = stack(3, activation)
    x, label, group = rows()
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(measure("compiled", model, x, label=label, group=group))
    finally:
        torch.set_num_threads(before)
    for name in found[0].influences:
        for one, other in zip(*(scores.influences[name] for scores in found), strict=True):
            assert np.allclose(one, other, rtol=1e-9, atol=1e-18)


def test_the_two_layers_before_the_last_are_compiled_whatever_the_activation():
    x, _, _ = rows()
    for activation in ACTIVATIONS:
        found = linear_stack(stack(4, activation), x)
        assert found is not None
        compiled = [can_compile(arrays_of(found), depth) for depth in range(4)]
        assert compiled == [False, True, True, False]


@pytest.mark.parametrize("kind", [nn.GELU, nn.Tanh, nn.SiLU, nn.Hardswish, nn.Hardtanh])
@pytest.mark.parametrize("scale", [0.3, 3.0])
def test_rows_of_many_inputs_are_as_exact(measure, kind, scale):
    """Where a polynomial through a few points will do, and where kinks or large moves forbid."""
    torch.manual_seed(11)
    model = nn.Sequential(
        nn.Linear(30, 6), kind(), nn.Linear(6, 5), kind(), nn.Linear(5, 1)
    ).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale)
    x, label, group = torch.randn(40, 30).double(), torch.arange(40) % 2, torch.arange(40) // 20
    expected = removed_one_by_one(model, x, label, group)
    found = measure("compiled", model, x, label=label, group=group)
    assert largest_error(model, expected, found) < 1e-10
