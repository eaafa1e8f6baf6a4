"""Networks and rows at the edge of what a rationale can be taken of."""

import copy
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from dralign.auditing import audit
from dralign.errors import DataError, DralignWarning, ModelError
from dralign.rationale import group_gradients, group_losses, parity_scores, select_layers
from dralign.rationale.outputs import logits_in, warn_of_probabilities
from dralign.rationale.replay import record_prefix
from dralign.rationale.rows import check_rows, require_finite_loss
from dralign.rationale.stack import linear_stack


def rows(n: int = 8, shape: tuple[int, ...] = (4,)):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, *shape, generator=generator)
    return x, torch.arange(n) // 2 % 2, torch.arange(n) % 2


class Draws(nn.Module):
    """Dropout as it is by mistake: in evaluation too."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(4, 8), nn.Linear(8, 1)

    def forward(self, x):
        return self.last(F.dropout(torch.relu(self.first(x))))


def of_a_batch() -> nn.Module:
    norm = nn.BatchNorm1d(8, track_running_stats=False)
    return nn.Sequential(nn.Linear(4, 8), norm, nn.ReLU(), nn.Linear(8, 1))


@pytest.mark.parametrize("door", ["ablation", "taylor", "audit"])
@pytest.mark.parametrize(
    ("factory", "line"),
    [
        (Draws, "the network draws random numbers in evaluation mode"),
        (of_a_batch, "the output for a row depends on the rows that are run with it"),
        (lambda: nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 1)), None),
        (lambda: nn.Sequential(nn.Linear(4, 8), nn.Dropout(), nn.Linear(8, 1)), None),
    ],
    ids=["random", "batch", "running statistics", "dropout"],
)
def test_a_network_that_does_not_decide_by_the_row_alone_is_told_of(factory, line, door):
    torch.manual_seed(0)
    x, label, group = rows(40)
    model, given = factory(), {"label": label, "group": group}
    before = copy.deepcopy(model.state_dict())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if door == "audit":
            audit(model, x, **given, n_splits=20, n_bootstrap=20, min_group_size=1)
        else:
            parity_scores(model, x, **given, method=door)
    told = [str(one.message) for one in caught if one.category is DralignWarning]
    assert [text for text in told if "evaluation mode" in text] == (
        [] if line is None else [text for text in told if text.startswith(line)]
    )
    assert len([text for text in told if "evaluation mode" in text]) == (line is not None)
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)


def test_gradients_under_inference_mode_are_refused_in_one_line():
    x, label, group = rows()
    with torch.inference_mode(), pytest.raises(ModelError, match=r"under torch\.inference_mode"):
        parity_scores(nn.Linear(4, 1), x, label=label, group=group, method="taylor")


def test_looking_at_layers_leaves_a_spectral_norm_as_it_was():
    torch.manual_seed(0)
    model = nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(4, 3)), nn.Linear(3, 1))
    before = copy.deepcopy(model.state_dict())
    select_layers(model)
    x, label, group = rows()
    parity_scores(model, x, label=label, group=group)
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert all(module.training for module in model.modules())


class Wrapped(nn.Module):
    """A module that gives its result in some container, and takes it out again further on."""

    def __init__(self, wrap, unwrap):
        super().__init__()
        self.first, self.last = Giving(wrap), nn.Linear(3, 1)
        self.unwrap = unwrap

    def forward(self, x):
        return self.last(self.unwrap(self.first(x)))


class Giving(nn.Module):
    def __init__(self, wrap):
        super().__init__()
        self.linear, self.wrap = nn.Linear(4, 3), wrap

    def forward(self, x):
        return self.wrap(torch.tanh(self.linear(x)))


@pytest.mark.parametrize(
    ("wrap", "unwrap"),
    [
        (lambda h: {"h": h, "n": 3}, lambda found: found["h"]),
        (lambda h: [h, None], lambda found: found[0]),
        (lambda h: (h, "text"), lambda found: found[0]),
    ],
    ids=["dict", "list", "tuple"],
)
def test_what_is_replayed_may_be_tensors_in_any_container(wrap, unwrap):
    torch.manual_seed(0)
    model = Wrapped(wrap, unwrap)
    x, label, group = rows()
    prefix = record_prefix(model, x, [model.last])
    assert model.first in prefix.outputs
    kept = prefix.outputs[model.first][0]
    expected = model(x)
    with torch.no_grad():
        unwrap(model.first(x)).zero_()  # what a caller does to an output is not in what was kept
    with prefix.replayed() as rewind:
        for _ in range(2):
            rewind()
            given = model.first(x)
            assert type(given) is type(kept)
            unwrap(given).data.zero_()
        rewind()
        assert torch.equal(model(x), expected)
    whole = parity_scores(model, x, label=label, group=group, engine="plain")
    plain = nn.Sequential(model.first.linear, nn.Tanh(), model.last)
    same = parity_scores(plain, x, label=label, group=group, engine="plain")
    assert whole.total == pytest.approx(same.total, rel=1e-5)


def test_a_forward_that_a_caller_put_in_place_is_there_again_afterwards():
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1))
    own = model[1].forward
    model[1].__dict__["forward"] = lambda x: own(2 * x)
    given = model[1].__dict__["forward"]
    x, label, group = rows()
    scores = parity_scores(model, x, label=label, group=group)
    assert scores.engine == "plain"
    assert model[1].__dict__["forward"] is given


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_scripted_part_is_run_as_it_is():
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1))
    model = nn.Sequential(plain[0], torch.jit.script(plain[1]), plain[2])
    x, label, group = rows()
    scores = parity_scores(model, x, label=label, group=group, engine="plain")
    expected = parity_scores(plain, x, label=label, group=group, engine="plain")
    assert scores.total == expected.total


class Failing(nn.Module):
    """A network that can be run a few times only."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head, self.runs = nn.Linear(4, 3), nn.Linear(3, 1), 0

    def forward(self, x: Tensor) -> Tensor:
        self.runs += 1
        if self.runs > 8:
            raise ArithmeticError("no more runs")
        return self.head(torch.tanh(self.body(x)))


def test_what_a_network_itself_raises_comes_up():
    x, label, group = rows()
    with pytest.raises(ArithmeticError, match="no more runs"):
        parity_scores(Failing(), x, label=label, group=group, engine="plain")


class Output:
    """What transformers return."""

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits


@pytest.mark.parametrize(
    "wrap", [lambda z: z, Output, lambda z: {"logits": z}], ids=["tensor", "object", "dict"]
)
def test_logits_are_found_in_what_a_network_returns(wrap):
    z = torch.ones(2, 1)
    assert logits_in(wrap(z)) is z


@pytest.mark.parametrize("output", [(torch.ones(2),), {"scores": torch.ones(2)}, None])
def test_an_output_without_logits_is_refused(output):
    kind = type(output).__name__
    with pytest.raises(ModelError, match=f"the network returns a {kind}; expected a tensor of"):
        logits_in(output)


def test_a_network_that_ends_in_a_sigmoid_is_told_so_once():
    model = nn.Sequential(nn.Linear(4, 1), nn.Sigmoid(), nn.Flatten(0))
    x, _, _ = rows()
    nodes = [model(x).grad_fn]
    with pytest.warns(DralignWarning, match="the network ends in Sigmoid; dralign expects logits"):
        warn_of_probabilities(model, nodes, stacklevel=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_probabilities(model, nodes, stacklevel=1)
        warn_of_probabilities(nn.Linear(4, 1), [nn.Linear(4, 1)(x).grad_fn, None], stacklevel=1)


def test_a_network_without_a_linear_layer_is_no_stack_for_the_fast_engine():
    x, _, _ = rows()
    assert linear_stack(nn.Sequential(nn.ReLU()), x) is None


def test_two_activations_in_a_row_are_both_computed():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Tanh(), nn.Linear(3, 1)).double()
    x, label, group = rows()
    fast, plain = (
        parity_scores(model, x, label=label, group=group, engine=engine)
        for engine in ("fast", "plain")
    )
    assert fast.total == pytest.approx(plain.total, rel=1e-9)
    for code in (0, 1):
        np.testing.assert_allclose(
            fast.influences["0"][code], plain.influences["0"][code], rtol=1e-7, atol=1e-18
        )


def test_a_weight_that_has_no_values_yet_is_refused():
    with pytest.raises(
        ModelError, match=r"weight has no values yet \(lazy module\): run one batch"
    ):
        select_layers(nn.Sequential(nn.LazyLinear(3)))


class Twice(nn.Module):
    """A weight that is its leaf two times."""

    def forward(self, leaf: Tensor) -> Tensor:
        return torch.cat([leaf, leaf])

    def right_inverse(self, weight: Tensor) -> Tensor:
        return weight[: len(weight) // 2]


def test_a_weight_computed_from_a_leaf_of_another_shape_is_refused():
    layer = nn.Linear(4, 6)
    parametrize.register_parametrization(layer, "weight", Twice(), unsafe=True)
    with pytest.raises(ModelError, match="weight is computed from a parameter of another shape"):
        select_layers(nn.Sequential(layer))


def test_labels_of_another_length_have_no_group_losses():
    with pytest.raises(DataError, match=r"label: expected shape \(4,\), got \(3,\)"):
        group_losses(torch.ones(4), torch.tensor([0, 1, 0, 1]), n_groups=2, label=torch.ones(3))


def test_a_group_without_rows_has_no_gradient_and_a_layer_without_use_is_an_error():
    model = nn.Sequential(nn.Linear(4, 1))
    x, label, group = rows()
    layers = select_layers(model)
    options = {"label": label, "group": group, "n_groups": 3, "layers": layers}
    ((first, second, absent),) = group_gradients(model, x, **options)
    assert first is not None
    assert second is not None
    assert absent is None

    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.free = nn.Linear(4, 1), nn.Parameter(torch.zeros(4, 1))

        def forward(self, x: Tensor) -> Tensor:
            return x @ self.free

    unused = Unused()
    options["layers"] = select_layers(unused)
    with pytest.raises(ModelError, match="no layer takes part in the loss"):
        group_gradients(unused, x, **options)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Sequential(nn.Linear(5, 1)), "x has 4 columns; the network's first layer takes 5"),
        (
            nn.Sequential(nn.BatchNorm1d(5), nn.Linear(5, 1)),
            r"the network can't run on rows of shape \(4,\): running_mean",
        ),
        (
            nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(5, 1))),
            r"the network can't run on rows of shape \(4,\): ",
        ),
        (
            nn.Sequential(nn.Conv1d(2, 3, 1), nn.Flatten()),
            r"the network can't run on rows of shape \(4,\): ",
        ),
    ],
    ids=["linear first", "another layer first", "no leaf of its own", "no linear layer"],
)
def test_rows_that_do_not_fit_the_network_are_one_line(model, message):
    x, label, group = rows()
    with pytest.raises(DataError, match=message):
        require_finite_loss(model.eval(), check_rows(model, x, label, group), 100)


def test_progress_is_a_line_of_percents_that_never_repeats_itself(capsys):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 15), nn.Tanh(), nn.Linear(15, 1))
    x, label, group = rows(shape=(20,))
    parity_scores(model, x, label=label, group=group, engine="plain", progress=True)
    shown = capsys.readouterr().err
    percents = [int(part.split()[1]) for part in shown.strip().split("\r") if part]
    assert shown.endswith("\n")
    assert percents == sorted(set(percents))
    assert percents[-1] == 100
