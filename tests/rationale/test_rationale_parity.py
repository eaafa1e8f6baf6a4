"""Parity scores: their definitions, Taylor against autograd, samples, and clear errors."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dralign.errors import (
    DataError,
    DralignError,
    GroupError,
    GroupTypeError,
    ModelError,
    OptionError,
)
from dralign.models import mlp
from dralign.rationale import group_gradients, parity_scores, select_layers


def network(*, hidden: int = 5, depth: int = 2, classes: int = 1, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return mlp(4, hidden, depth, classes).double()


def rows(n: int = 40, *, groups: int = 2, classes: int = 1, seed: int = 1):
    """Inputs, labels and groups; every group has rows of every label."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 4, generator=generator, dtype=torch.float64)
    label = torch.arange(n) // groups % max(2, classes)
    return x, {"label": label, "group": torch.arange(n) % groups}


def group_gradient(model, x, label, group, code):
    """The gradient of one group's mean loss, all rows at once."""
    logits = model(x[group == code])
    own = label[group == code]
    if logits.shape[1] == 1:
        loss = F.binary_cross_entropy_with_logits(logits[:, 0], own.double())
    else:
        loss = F.cross_entropy(logits, own)
    weights = [module.weight for module in model if isinstance(module, nn.Linear)]
    return torch.autograd.grad(loss, weights)


@pytest.mark.parametrize("groups", [2, 3])
def test_scores_and_similarity_follow_their_definitions(groups):
    """d_k is the largest |c_i - c_j|^2, d_F its sum, similarity the mean cosine of the pairs."""
    x, strata = rows(groups=groups)
    scores = parity_scores(network(), x, **strata)
    total = similarity = 0.0
    pairs = [(i, j) for i in range(groups) for j in range(i)]
    for name, influences in scores.influences.items():
        assert influences[0].shape == network().get_submodule(name).weight.shape
        gaps = [(influences[i] - influences[j]) ** 2 for i, j in pairs]
        np.testing.assert_allclose(scores.scores[name], np.max(gaps, axis=0), rtol=1e-12)
        cosines = []
        for i, j in pairs:
            a, b = influences[i].ravel(), influences[j].ravel()
            cosines.append(a @ b / np.sqrt((a @ a) * (b @ b)))
            assert scores.similarity_matrix[name][i, j] == pytest.approx(cosines[-1])
            assert scores.similarity_matrix[name][j, i] == pytest.approx(cosines[-1])
        assert scores.similarity[name] == pytest.approx(np.mean(cosines))
        total += np.max(gaps, axis=0).sum()
        similarity += np.mean(cosines)
    assert scores.total == pytest.approx(total, rel=1e-12)
    assert scores.similarity_total == pytest.approx(similarity)
    assert scores.standard_error == 0


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("batch_rows", [3, 1000])
@pytest.mark.parametrize("form", ["parameter", "sum", "joint"])
def test_taylor_is_the_square_of_the_groups_mean_gradient(classes, batch_rows, form):
    """Over minibatches too, and in both unit forms."""
    model = network(classes=classes)
    x, strata = rows(classes=classes)
    granularity = "parameter" if form == "parameter" else "unit"
    unit_form = "joint" if form == "joint" else "sum"
    scores = parity_scores(
        model, x, **strata, method="taylor", granularity=granularity, unit_form=unit_form,
        batch_rows=batch_rows,
    )  # fmt: skip
    layers = [module for module in model if isinstance(module, nn.Linear)]
    for code in (0, 1):
        gradients = group_gradient(model, x, **strata, code=code)
        for (name, got), layer, grad in zip(
            scores.influences.items(), layers, gradients, strict=True
        ):
            product = (grad * layer.weight).detach().numpy()
            expected = {
                "parameter": product**2,
                "sum": (product**2).sum(axis=1),
                "joint": product.sum(axis=1) ** 2,
            }[form]
            np.testing.assert_allclose(got[code], expected, rtol=1e-9, atol=1e-25, err_msg=name)


@pytest.mark.parametrize("form", ["parameter", "sum", "joint"])
@pytest.mark.parametrize("engine", ["plain", "fast"])
def test_taylor_is_the_limit_of_the_ablation_of_the_same_form(form, engine):
    """For small weights the exact change is the first-order one, in each form."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1)).double()
    model[0].weight.data *= 1e-5
    x, strata = rows()
    options = {
        "granularity": "parameter" if form == "parameter" else "unit",
        "unit_form": "joint" if form == "joint" else "sum",
        "layers": ["0"],
    }
    exact = parity_scores(model, x, **strata, engine=engine, **options)
    taylor = parity_scores(model, x, **strata, method="taylor", **options)
    for code in (0, 1):
        np.testing.assert_allclose(
            exact.influences["0"][code], taylor.influences["0"][code], rtol=1e-2
        )


@pytest.mark.parametrize("method", ["ablation", "taylor"])
def test_the_sum_form_adds_single_influences_over_the_fan_in(method):
    x, strata = rows()
    single = parity_scores(network(), x, **strata, method=method)
    summed = parity_scores(network(), x, **strata, method=method, granularity="unit")
    for name, influences in single.influences.items():
        for code, values in influences.items():
            np.testing.assert_allclose(summed.influences[name][code], values.sum(axis=1))


@pytest.mark.parametrize("method", ["ablation", "taylor"])
def test_swapping_the_groups_changes_no_score(method):
    x, strata = rows()
    one = parity_scores(network(), x, **strata, method=method)
    swapped = strata | {"group": 1 - strata["group"]}
    other = parity_scores(network(), x, **swapped, method=method)
    assert one.total == pytest.approx(other.total, rel=1e-12)
    for name in one.scores:
        np.testing.assert_allclose(one.scores[name], other.scores[name], rtol=1e-12)
        np.testing.assert_allclose(one.influences[name][0], other.influences[name][1], rtol=1e-12)
        assert one.similarity[name] == pytest.approx(other.similarity[name])


@pytest.mark.parametrize("method", ["ablation", "taylor"])
def test_rows_of_no_known_group_take_no_part(method):
    x, strata = rows()
    expected = parity_scores(network(), x, **strata, method=method)
    extra = parity_scores(
        network(),
        torch.cat([x, torch.full_like(x, torch.nan)]),
        label=torch.cat([strata["label"], strata["label"]]),
        group=torch.cat([strata["group"], torch.full_like(strata["group"], -1)]),
        method=method,
    )
    assert extra.total == pytest.approx(expected.total, rel=1e-12)


def test_arrays_are_taken_like_tensors():
    """Float64 arrays are brought to the network's dtype, whole numbers and booleans too."""
    x, strata = rows()
    x = x.round()
    expected = parity_scores(network().float(), x.float(), **strata)
    got = parity_scores(
        network().float(),
        x.long().numpy(),
        label=strata["label"].bool().numpy(),
        group=strata["group"].numpy(),
    )
    assert got.total == expected.total


def test_a_planted_unit_that_reads_the_group_has_the_highest_score():
    """One hidden unit sees the group and moves its predictions: it is found at rank 1."""
    generator = torch.Generator().manual_seed(0)
    n = 400
    group = torch.randint(2, (n,), generator=generator)
    x = torch.randn(n, 4, generator=generator)
    x[:, 3] = group
    label = (x[:, 0] + torch.randn(n, generator=generator) > 0).long()
    model = network(hidden=8, depth=1).float()
    model[0].weight.data[:, 3] = 0
    model[0].weight.data[5] = torch.tensor([0.0, 0.0, 0.0, 2.0])
    model[0].bias.data[5] = 0
    model[2].weight.data[0, 5] = 1.5
    for method in ("ablation", "taylor"):
        scores = parity_scores(
            model, x, label=label, group=group, method=method,
            granularity="unit", unit_form="joint", layers=["0"],
        )  # fmt: skip
        assert int(np.argmax(scores.scores["0"])) == 5


@pytest.mark.parametrize("granularity", ["parameter", "unit"])
def test_a_sample_measures_some_entries_exactly(granularity):
    x, strata = rows()
    options = strata | {"granularity": granularity}
    whole = parity_scores(network(), x, **options)
    part = parity_scores(network(), x, **options, sample=3)
    again = parity_scores(network(), x, **options, sample=3, engine="plain")
    for name, scores in part.scores.items():
        measured = ~np.isnan(scores)
        assert measured.sum() == min(3, scores.size)
        np.testing.assert_allclose(scores[measured], whole.scores[name][measured], rtol=1e-9)
        np.testing.assert_allclose(scores, again.scores[name], rtol=1e-6)
    everything = parity_scores(network(), x, **options, sample=1000)
    assert everything.total == pytest.approx(whole.total)
    assert everything.standard_error == 0


def test_a_sample_estimates_the_total_with_its_standard_error():
    """Over 80 seeds the estimates centre on d_F and scatter as the standard error says."""
    x, strata = rows()
    whole = parity_scores(network(), x, **strata, layers=["2"]).total
    runs = [
        parity_scores(network(), x, **strata, layers=["2"], sample=12, seed=seed)
        for seed in range(80)
    ]
    totals = np.array([run.total for run in runs])
    scatter = totals.std(ddof=1)
    assert abs(totals.mean() - whole) < 3 * scatter / np.sqrt(80)
    mean_variance = np.mean([run.standard_error**2 for run in runs])
    assert np.sqrt(mean_variance) == pytest.approx(scatter, rel=0.3)


def test_standard_error_of_a_sample_of_two_is_that_of_the_textbook():
    """Draws without replacement: N^2 s^2 / m (1 - m / N), s^2 the sum of squares over m - 1."""
    x, strata = rows()
    found = parity_scores(network(), x, **strata, layers=["2"], sample=2)
    first, second = found.scores["2"][~np.isnan(found.scores["2"])].tolist()
    n, mean = found.scores["2"].size, (first + second) / 2
    spread = (first - mean) ** 2 + (second - mean) ** 2  # over m - 1 = 1
    assert found.standard_error == pytest.approx((n**2 * spread / 2 * (1 - 2 / n)) ** 0.5)
    assert found.total == pytest.approx(n * mean)


def test_gradients_of_groups_are_those_without_dropout_and_modes_come_back():
    """Also where the network is handed over in training mode, as a training loop does."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1)).double().train()
    x, strata = rows()
    options = strata | {"n_groups": 2, "layers": select_layers(model)}
    ((first, second),) = group_gradients(model, x, **options)
    assert all(module.training for module in model.modules())
    plain = nn.Sequential(model[0], model[2])  # what evaluation leaves of it
    for code, found in enumerate((first, second)):
        for one, other in zip(found, group_gradient(plain, x, **strata, code=code), strict=True):
            torch.testing.assert_close(one, other)


def test_gradients_of_an_absent_group_are_none_and_of_no_layer_at_all_an_error():
    model = network()
    x, strata = rows()
    layers = select_layers(model)
    options = strata | {"n_groups": 3, "layers": layers, "strata": (0, 1)}
    for stratum in group_gradients(model, x, **options):
        assert [cell is None for cell in stratum] == [False, False, True]
    model.requires_grad_(requires_grad=False)
    with pytest.raises(ModelError, match="no layer takes part in the loss"):
        group_gradients(model, x, **options)


def test_frozen_and_unused_layers_are_measured():
    """An auditor's frozen network is as good as any, and stays frozen; an unused layer scores 0."""

    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used = nn.Linear(4, 1)
            self.spare = nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.used(x)

    torch.manual_seed(0)
    model = Unused().double().requires_grad_(False)
    x, strata = rows()
    for method in ("ablation", "taylor"):
        with torch.no_grad():
            scores = parity_scores(model, x, **strata, method=method)
        assert scores.scores["used"].max() > 0
        assert not scores.scores["spare"].any()
        assert scores.similarity["spare"] == 0
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_progress_is_a_line_or_a_function(capsys):
    x, strata = rows()
    parts: list[float] = []
    for engine in ("plain", "fast"):
        parts.clear()
        parity_scores(network(), x, **strata, engine=engine, progress=parts.append)
        assert parts == sorted(parts)
        assert parts[-1] == pytest.approx(1)
    assert not capsys.readouterr().err
    parity_scores(network(), x, **strata, progress=True)
    assert capsys.readouterr().err.endswith("ablation 100 %\n")


def spoiled() -> nn.Sequential:
    model = network()
    model[2].weight.data[0, 0] = torch.nan
    return model


X, STRATA = rows()
LABEL, GROUP = STRATA["label"], STRATA["group"]
ERRORS = {
    "no layer": ({"model": nn.Sequential(nn.ReLU())}, "has no Linear or Conv layer"),
    "NaN loss": ({"model": spoiled()}, "mean loss of group 0 is nan"),
    "NaN input": ({"x": X * torch.nan}, "mean loss of group 0 is nan"),
    "width": ({"x": X[:, :3]}, "x has 3 columns; the network's first layer takes 4"),
    "small group": ({"group": torch.tensor([1] + 39 * [0])}, "group 1: expected at least 2 rows"),
    "empty group": ({"group": GROUP * 2}, "group 1: expected at least 2 rows, got 0"),
    "one group": ({"group": GROUP * 0}, "at least two are needed"),
    "no group": ({"group": GROUP * 0 - 1}, "at least two are needed"),
    "group below -1": ({"group": GROUP - 2}, "expected codes from -1"),
    "group length": ({"group": GROUP[:9]}, r"group: expected shape \(40,\), got \(9,\)"),
    "group type": ({"group": GROUP.float()}, "expected an int64 tensor of codes"),
    "label length": ({"label": LABEL[:9]}, r"label: expected shape \(40,\)"),
    "label range": ({"label": LABEL + 1}, "label: expected 0 to 1 for this output, got 2"),
    "label below 0": ({"label": LABEL - 1}, "expected whole numbers"),
    "label fraction": ({"label": LABEL / 2}, "expected whole numbers"),
    "text": ({"x": np.array([["a"]] * 40)}, "expected an array of numbers"),
    "output": (
        {"model": nn.Sequential(nn.Linear(4, 2), nn.Unflatten(1, (1, 2)))},
        r"output has shape \(40, 1, 2\)",
    ),
    "method": ({"method": "exact"}, "unknown method 'exact'; known: ablation, taylor"),
    "granularity": ({"granularity": "layer"}, "unknown granularity 'layer'"),
    "unit form": ({"unit_form": "row"}, "unknown unit_form 'row'; known: sum, joint"),
    "engine": ({"engine": "turbo"}, "unknown engine 'turbo'; known: auto, plain, fast"),
    "sample": ({"sample": 1}, "sample: expected at least 2"),
    "sampled Taylor": ({"sample": 5, "method": "taylor"}, "leave sample out"),
    "batch": ({"batch_rows": 0}, "batch_rows: expected at least 1"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_what_cannot_be_measured_is_one_clear_error(case):
    changed, message = ERRORS[case]
    given = {"model": network(), "x": X, "label": LABEL, "group": GROUP} | changed
    with pytest.raises(DralignError, match=message) as raised:
        parity_scores(**given)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("case", "kind"),
    [
        ("small group", GroupError),
        ("group type", GroupTypeError),
        ("width", DataError),
        ("NaN loss", DataError),
        ("engine", OptionError),
    ],
)
def test_errors_have_the_kind_the_docstring_names(case, kind):
    changed, message = ERRORS[case]
    given = {"model": network(), "x": X, "label": LABEL, "group": GROUP} | changed
    with pytest.raises(kind, match=message):
        parity_scores(**given)


def test_the_repr_of_scores_is_a_line_with_what_was_asked_and_two_figures():
    x, strata = rows(groups=3)
    scores = parity_scores(network(), x, **strata)
    total = sum(float(own.sum()) for own in scores.scores.values())
    assert repr(scores) == (
        f"<ParityScores per {scores.granularity}, {scores.method}, of 3 groups: total {total:.3g}, "
        f"similarity {sum(scores.similarity.values()):.3f} of at most 3>"
    )
