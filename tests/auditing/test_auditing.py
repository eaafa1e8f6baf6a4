"""The audit: what it finds, what chance gives, and that the network is left as it was."""

import copy
import json
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score
from torch import nn

from dralign.auditing import audit, removal, summary
from dralign.auditing.factors import Factors, Passes, gradient_source
from dralign.auditing.noise import _parity_test, _similarity_test, similarity_tests
from dralign.errors import DataError, GroupError, GroupTypeError, ModelError, OptionError
from dralign.metrics import evaluate
from dralign.rationale import select_layers
from dralign.rationale.parity import parity_scores
from dralign.rationale.rows import check_rows

QUICK = {"n_splits": 20, "n_bootstrap": 20}


def rows(n=160, *, n_inputs=4, n_groups=2, n_classes=2, seed=0):
    """Rows whose label depends on the first input alone, and groups that mean nothing."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, n_inputs, generator=generator)
    noise = torch.randn(n, generator=generator)
    edges = torch.linspace(-0.7, 0.7, n_classes + 1)[1:-1]
    y = torch.bucketize(x[:, 0] + 0.5 * noise, edges)
    group = torch.arange(n) % n_groups
    return x, y, group[torch.randperm(n, generator=generator)]


def network(*widths, seed=0, scale=2):
    """A perceptron with these widths; at twice torch's usual weights its decisions differ."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        modules = [m for pair in pairwise(widths) for m in (nn.Linear(*pair), nn.ReLU())]
    for linear in modules[::2]:
        linear.weight.data *= scale
    return nn.Sequential(*modules[:-1])


def images(seed=0):
    """A small convolutional network, its inputs, labels and groups."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(inplace=True), nn.Dropout(),
            nn.Flatten(), nn.Linear(3 * 4 * 4, 1),
        )  # fmt: skip
        x = torch.randn(40, 1, 6, 6)
    return model, x, torch.arange(40) % 2, torch.arange(40) // 2 % 2


@pytest.fixture(scope="module")
def result():
    x, y, group = rows()
    model = network(4, 6, 5, 1)
    return model, x, y, group, audit(model, x, label=y, group=group, **QUICK)


# What it finds


@pytest.mark.parametrize("seed", range(5))
def test_a_planted_unit_that_reads_the_group_is_found_at_rank_1(seed):
    x, y, group = rows(4000, n_inputs=3, seed=seed)
    x = torch.cat([x, group[:, None].float()], dim=1)
    model = network(4, 12, 1, seed=seed, scale=1)
    planted = 5
    with torch.no_grad():
        model[0].weight[:, 3] = 0  # no other unit sees the group
        model[0].weight[planted] = torch.tensor([0.0, 0.0, 0.0, 1.0])
        model[0].bias[planted] = 0
        model[2].weight[0, planted] = 0.8
    found = audit(model, x, label=y, group=group, n_bootstrap=20)
    best = found.influence.units[0]
    assert (best.layer, best.unit) == ("0", planted)
    assert best.influences[0] == 0
    assert best.influences[1] > 0
    first = found.influence.parameters[0]
    assert (first.layer, tuple(first.index)) in {("0", (planted, 3)), ("2", (0, planted))}
    assert not found.similarity["unit"].total.within_noise
    soft = [step.figures["soft_demographic_parity"] for step in found.what_if]
    assert soft[1] < 0.5 * soft[0]


def test_exchangeable_groups_cry_wolf_in_2_to_9_per_cent_of_200_data_sets():
    flagged = flagged_by_size = 0
    for seed in range(200):
        x, y, group = rows(100, seed=seed)
        model = network(4, 6, 1, seed=seed)
        # The other parts draw from streams of their own, so that these figures are those of all.
        found = audit(model, x, y, group=group, n_bootstrap=20, seed=seed, parts=["similarity"])
        total = found.similarity["unit"].total
        assert len(total.null) == 200
        flagged += not total.within_noise
        flagged_by_size += not found.similarity["unit"].parity_total.within_noise
    assert 4 <= flagged <= 18
    assert 4 <= flagged_by_size <= 18


def test_group_figures_are_those_of_plain_counting(result):
    model, x, y, group, found = result
    with torch.no_grad():
        prob = torch.sigmoid(model(x)).squeeze(1).double().numpy()
    y, group = y.numpy(), group.numpy()
    for code, one in enumerate(found.outcomes.groups):
        inside = group == code
        chosen = prob[inside] >= 0.5
        expected = {
            "base_rate": y[inside].mean(),
            "mean_probability": prob[inside].mean(),
            "selection_rate": chosen.mean(),
            "true_positive_rate": chosen[y[inside] == 1].mean(),
            "false_positive_rate": chosen[y[inside] == 0].mean(),
            "accuracy": (chosen == y[inside]).mean(),
            "average_precision": average_precision_score(y[inside], prob[inside]),
        }
        assert one.n == inside.sum()
        assert {k: v.value for k, v in one.figures.items()} == pytest.approx(expected, abs=1e-6)
        assert all(v.low <= v.value <= v.high for v in one.figures.values())
    gaps = {k: v.value for k, v in found.outcomes.gaps.items()}
    plain = evaluate(y, prob, group, n_groups=2)
    assert gaps == pytest.approx({k: plain[k] for k in gaps}, abs=1e-6, nan_ok=True)


def test_intervals_have_the_width_that_theory_gives_for_a_share():
    x, y, group = rows(2000, seed=3)
    found = audit(network(4, 3, 1), x, label=y, group=group, n_splits=20, n_bootstrap=400)
    share = found.outcomes.groups[0].figures["base_rate"]
    theory = 2 * 1.96 * np.sqrt(share.value * (1 - share.value) / 1000)
    assert share.high - share.low == pytest.approx(theory, rel=0.15)


def test_similarity_is_that_of_taylor_parity_scores(result):
    model, x, y, group, found = result
    for granularity in ("unit", "parameter"):
        plain = parity_scores(
            model, x, label=y, group=group, method="taylor", granularity=granularity
        )
        ours = {one.layer: one.similarity.value for one in found.similarity[granularity].layers}
        assert ours == pytest.approx(plain.similarity, abs=1e-5)
        total = found.similarity[granularity].total.similarity.value
        assert total == pytest.approx(plain.similarity_total, abs=1e-5)
        scores = {one.layer: one.score for one in found.similarity[granularity].parity}
        assert scores == pytest.approx({k: v.sum() for k, v in plain.scores.items()}, rel=1e-4)


@pytest.mark.parametrize("n_groups", [2, 3])
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_matrix_products_give_the_same_splits_as_running_the_network(n_groups, n_outputs):
    x, y, group = rows(60, n_groups=n_groups, n_classes=max(2, n_outputs))
    model = network(4, 5, 5, n_outputs).double().eval()
    data, layers = check_rows(model, x, y, group), select_layers(model)
    fast, slow = (
        gradient_source(model, data, layers, batch_rows=16),
        Passes(model, data, layers, 16),
    )
    assert isinstance(fast, Factors)
    found = [
        similarity_tests(
            model, data, layers, source, n_splits=20, n_bootstrap=20,
            rng=np.random.default_rng(0), report=lambda _: None,
        )
        for source in (fast, slow)
    ]  # fmt: skip
    for granularity in ("unit", "parameter"):
        for ours, theirs in zip(
            [*found[0][granularity].layers, found[0][granularity].total],
            [*found[1][granularity].layers, found[1][granularity].total],
            strict=True,
        ):
            np.testing.assert_allclose(ours.null, theirs.null, atol=1e-9)
            assert ours.similarity.low == pytest.approx(theirs.similarity.low, abs=1e-9)
            assert (ours.p_value, ours.within_noise) == (theirs.p_value, theirs.within_noise)


def test_the_repr_is_a_line_with_rows_groups_and_two_figures(result):
    model, x, y, group, found = result
    decided = (model(x)[:, 0] > 0).double()
    gap = abs(decided[group == 0].mean() - decided[group == 1].mean()).item()
    units = found.similarity["unit"].layers
    total = sum(one.similarity.value for one in units)
    assert repr(found) == (
        f"<Audit of {len(x)} rows in 2 groups: demographic parity gap {gap:.3f}, "
        f"similarity {total:.3f} of at most {len(units)}>"
    )
    found = audit(model, x, label=y, group=group, parts=["influence"], **QUICK)
    assert repr(found) == f"<Audit of {len(x)} rows in 2 groups>"


def test_p_value_counts_the_splits_that_are_at_most_as_similar(result):
    *_, found = result
    for test in [*found.similarity["unit"].layers, found.similarity["unit"].total]:
        below = sum(value <= test.similarity.value for value in test.null)
        assert test.p_value == pytest.approx((1 + below) / 21)
        assert test.noise_floor == test.null[0]  # of 20 splits; see the next test
        assert test.within_noise == (test.similarity.value >= test.noise_floor)


@pytest.mark.parametrize("n_splits", [20, 38, 39, 50, 59, 100, 199, 200])
def test_at_most_5_per_cent_of_exchangeable_splits_are_called_different(n_splits):
    """Each of n + 1 splits is the observed one in turn: figure, limit and p-value agree."""
    figures = np.random.default_rng(0).permutation(n_splits + 1) / 10
    low = high = 0
    for turn, observed in enumerate(figures):
        null = np.delete(figures, turn)
        test = _similarity_test("total", float(observed), null, null)
        assert test.within_noise == (test.p_value > 0.05) == (observed >= test.noise_floor)
        low += not test.within_noise
        other = _parity_test("total", float(observed), null, 0.0)
        assert other.within_noise == (other.p_value > 0.05) == (observed <= other.noise_ceiling)
        high += not other.within_noise
    assert low == high == (n_splits + 1) // 20


def test_groups_that_pull_in_opposite_directions_differ_in_size_where_similarity_is_blind():
    """At the minimum of the pooled loss the mean gradients of two equal groups cancel."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(600, 3, generator=generator)
    group = torch.arange(600) % 2
    score = x[:, 0] * (1.0 - 2.0 * group)  # the same input speaks for one group, against the other
    y = (score + 0.3 * torch.randn(600, generator=generator) > 0).long()
    model = nn.Sequential(nn.Linear(3, 1))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[0.02, 0.02, -0.02]]))
        model[0].bias.zero_()
    found = audit(model, x, label=y, group=group, n_bootstrap=20).similarity["parameter"]
    assert found.total.within_noise
    assert not found.parity_total.within_noise
    assert found.parity_total.p_value == pytest.approx(1 / 201)
    assert found.parity[0].direction < -0.9


def test_a_layer_of_one_unit_is_within_noise(result):
    *_, found = result
    last = found.similarity["unit"].layers[-1]
    assert last.similarity.value == 1
    assert last.within_noise
    assert last.p_value == 1


def test_a_network_that_reuses_a_layer_is_not_taken_apart_into_factors():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.outer = nn.Linear(4, 4), nn.Linear(4, 1)

        def forward(self, x):
            return self.outer(torch.tanh(self.inner(torch.tanh(self.inner(x)))))

    x, y, group = rows(40)
    model = Twice()
    source = gradient_source(
        model, check_rows(model, x, y, group), select_layers(model), batch_rows=64
    )
    assert isinstance(source, Passes)


def test_unit_influences_are_sums_of_exact_single_ones(result):
    model, x, y, group, found = result
    exact = parity_scores(model, x, label=y, group=group)
    for layer in found.influence.layers:
        expected = [w.sum(axis=1) for w in exact.influences[layer.layer].values()]
        np.testing.assert_allclose(layer.influences, expected)
        np.testing.assert_allclose(layer.scores, np.square(expected[0] - expected[1]))
    best = found.influence.parameters[0]
    assert best.score == pytest.approx(max(s.max() for s in exact.scores.values()))
    scores = [one.score for one in found.influence.units]
    assert scores == sorted(scores, reverse=True)
    assert "4" not in {one.layer for one in found.influence.units}  # its only unit has no peer


def test_rank_agreement_is_spearmans_over_entries_that_matter(result):
    model, x, y, group, found = result
    exact = parity_scores(model, x, label=y, group=group)
    taylor = parity_scores(model, x, label=y, group=group, method="taylor")
    for one in found.agreement:
        if one.granularity == "parameter" and one.group == "1":
            first, second = (s.influences[one.layer][1].ravel() for s in (exact, taylor))
            kept = (first != 0) | (second != 0)
            assert one.n == kept.sum()
            assert one.correlation == pytest.approx(spearmanr(first[kept], second[kept]).statistic)


@pytest.mark.parametrize("whole_units", [False, True])
@pytest.mark.parametrize("convolution", [False, True])
def test_removal_runs_as_a_copy_with_zeros_would(whole_units, convolution):
    model, x, y, group = images() if convolution else (network(4, 6, 5, 1), *rows(40))
    model.eval()
    data, layers = check_rows(model, x, y, group), select_layers(model)
    ours = removal.Network(model, data, layers, stack=not convolution, batch_rows=16)
    entries = np.array([0, 2])
    tensors = ours.without(dict.fromkeys(layers[:-1], entries), whole_units=whole_units)
    plain = copy.deepcopy(model)
    for layer in layers[:-1]:
        weight = plain.get_parameter(layer.parameter).data
        (weight if whole_units else weight.view(-1))[entries] = 0
    with torch.no_grad():
        prob = torch.sigmoid(plain(x)).squeeze(1).numpy()
    np.testing.assert_allclose(ours.probabilities(tensors), prob, atol=1e-6)
    loss = nn.functional.binary_cross_entropy(torch.tensor(prob), y.float(), reduction="none")
    means = [float(loss[group == code].mean()) for code in (0, 1)]
    assert ours.group_losses(tensors).tolist() == pytest.approx(means, abs=1e-6)


def test_single_removals_are_independent_of_themselves_and_sets_are_compared(result):
    *_, found = result
    ones = [one for one in found.independence if one.size == 1]
    assert len(ones) == 2
    for one in ones:
        np.testing.assert_allclose(one.joint, one.summed, atol=1e-12)
        np.testing.assert_allclose(one.summed_influence, np.square(one.summed))
    sizes = {one.size for one in found.independence}
    assert sizes == {1, 4, 16}  # the network has 59 weights
    for one in found.independence:
        alive = np.array(one.summed_influence) > 0
        ratio = np.square(one.joint)[alive] / np.array(one.summed_influence)[alive]
        expected = np.quantile(ratio, [0.25, 0.5, 0.75])
        np.testing.assert_allclose(one.influence_ratio, expected)


def test_what_if_removes_the_top_units_and_keeps_the_output(result):
    model, x, y, group, found = result
    assert [step.k for step in found.what_if] == [0, 1, 2, 5, 10]
    step = found.what_if[2]
    assert step.units == [(one.layer, one.unit) for one in found.influence.units[:2]]
    plain = copy.deepcopy(model)
    for layer, unit in step.units:
        plain.get_submodule(layer).weight.data[unit] = 0
    with torch.no_grad():
        prob = torch.sigmoid(plain(x)).squeeze(1).double().numpy()
    expected = evaluate(y.numpy(), prob, group.numpy(), n_groups=2)
    assert dict(step.figures) == pytest.approx(expected, abs=1e-6, nan_ok=True)


# What it takes


def test_more_than_two_classes_leave_out_what_needs_two():
    x, y, group = rows(n_classes=3, n_groups=3)
    found = audit(network(4, 5, 3), x, label=y, group=group, **QUICK)
    assert found.outcomes is None
    assert found.what_if == []
    assert any("two classes" in note for note in found.notes)
    assert len(found.independence) > 0
    assert "Findings" in str(found)


def test_a_compiled_network_is_audited_by_its_original():
    x, y, group = rows(60)
    model = network(4, 3, 1)
    one, other = (
        audit(m, x, label=y, group=group, **QUICK).to_dict() for m in (model, torch.compile(model))
    )
    for part in ("influence", "similarity", "outcomes", "what_if"):
        assert one[part] == other[part]


def test_a_convolution_the_other_way_round_is_audited():
    """Its units lie on the second axis of a weight whose other axes may be of size 1."""
    x, y, group = rows(40)
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Unflatten(1, (4, 1)), nn.ConvTranspose1d(4, 3, 1), nn.ReLU(), nn.Flatten(),
        nn.Linear(3, 1),
    )  # fmt: skip
    found = audit(model, x, label=y, group=group, **QUICK)
    assert len(found.influence.units) == 3
    assert len(found.independence) > 0


def test_two_logits_count_as_two_classes():
    x, y, group = rows()
    assert audit(network(4, 5, 2), x, label=y, group=group, **QUICK).outcomes is not None


def test_groups_may_be_columns_of_any_type_and_arrays_will_do(result):
    model, x, y, group, found = result
    names = np.where(group.numpy() == 1, "west", "east")
    for columns in (names, pd.Series(names), names.tolist()):
        other = audit(model, x.numpy(), label=y.numpy(), sensitive_features=columns, **QUICK)
        assert dict(other.groups) == {"east": 80, "west": 80}
        assert other.similarity["unit"].total == found.similarity["unit"].total


def test_rows_of_no_group_take_no_part(result):
    model, x, y, group, found = result
    more = torch.cat([x, 9 * torch.ones(3, 4)]), torch.cat([y, y[:3]])
    codes = torch.cat([group, torch.tensor([-1, -1, -1])])
    other = audit(model, more[0], label=more[1], group=codes, **QUICK)
    assert other.to_dict()["outcomes"] == found.to_dict()["outcomes"]
    assert "3 rows of no group take no part" in other.notes


def test_the_same_seed_gives_the_same_audit(result):
    model, x, y, group, found = result
    again = audit(model, x, label=y, group=group, **QUICK).to_dict()
    first = found.to_dict()
    for form in (again, first):
        del form["provenance"]["seconds"]
    assert again == first
    other = audit(model, x, label=y, group=group, seed=1, **QUICK)
    assert other.similarity["unit"].total.null != found.similarity["unit"].total.null


def test_few_splits_are_said(result):
    *_, found = result
    assert any("20 random splits" in note for note in found.notes)


def test_a_big_plain_network_is_sampled_and_says_so():
    x, y, group = rows(30)
    model = nn.Sequential(nn.Linear(4, 1100), nn.LayerNorm(1100), nn.ReLU(), nn.Linear(1100, 1))
    found = audit(model, x, label=y, group=group, **QUICK)
    assert found.influence.unit_form == "joint"
    assert found.influence.standard_error > 0
    assert any("5500 weights" in note and "100" in note for note in found.notes)


def test_the_form_is_json_without_nan(result):
    *_, found = result
    form = found.to_dict()
    assert json.loads(json.dumps(form, allow_nan=False)) == form
    assert form["format"] == "dralign audit"


def test_a_long_name_does_not_run_into_the_parity_score():
    unit = SimpleNamespace(
        layer="network.encoder.0", unit=166, score=5.71e-9, influences=(1.0, 2.0)
    )
    told = SimpleNamespace(groups={"a": 5, "b": 5}, influence=SimpleNamespace(units=[unit]))
    assert "network.encoder.0, unit 166  5.71e-09" in summary._unit_table(told)[1]


def test_the_summary_names_groups_layers_and_limits(result):
    *_, found = result
    text = str(found)
    for expected in ("160 rows", "demographic parity", "noise floor", "certify nothing"):
        assert expected in text
    assert max(map(len, text.splitlines())) <= 110


# What it leaves behind


def state(model):
    """Everything of a network that an audit could change."""
    return (
        {k: (id(t), t.detach().clone().view(-1))
         for k, t in model.state_dict(keep_vars=True).items()},
        [(n, id(p), p.requires_grad, None if p.grad is None else p.grad.clone().view(-1))
         for n, p in model.named_parameters()],
        [(m.training, dict(m._forward_hooks), dict(m._forward_pre_hooks),
          dict(m._backward_hooks), "forward" in vars(m)) for m in model.modules()],
        torch.get_rng_state(),
    )  # fmt: skip


def same(first, second):
    """Whether two states are equal bit by bit."""
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return list(first) == list(second) and all(same(v, second[k]) for k, v in first.items())
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second


def touched(convolution):
    """A network in use: gradients, a frozen weight, a hook, mixed modes."""
    model, x, y, group = images() if convolution else (network(4, 6, 5, 1), *rows(40))
    model.train()
    model[1].eval()
    nn.functional.binary_cross_entropy_with_logits(model(x).squeeze(1), y.float()).backward()
    model[0].weight.requires_grad_(False)
    model[-1].register_forward_hook(lambda *_: None)
    return model, x, y, group


STAGES = ("group figures", "similarity", "exact influences", "independence", "what-if")


@pytest.mark.parametrize("convolution", [False, True], ids=["perceptron", "convolution"])
@pytest.mark.parametrize("stop", [None, *STAGES])
def test_the_network_is_left_as_it_was_also_after_an_interrupt(convolution, stop):
    model, x, y, group = touched(convolution)
    before, numpy_state = state(model), np.random.get_state()[1].copy()  # noqa: NPY002

    def progress(stage, part):
        if stage == stop and (part > 0 or stage == "group figures"):
            raise KeyboardInterrupt

    if stop is None:
        audit(model, x, label=y, group=group, progress=progress, **QUICK)
    else:
        with pytest.raises(KeyboardInterrupt):
            audit(model, x, label=y, group=group, progress=progress, **QUICK)
    assert same(before, state(model))
    assert np.array_equal(numpy_state, np.random.get_state()[1])  # noqa: NPY002


def test_frozen_weights_and_no_grad_change_nothing(result):
    model, x, y, group, found = result
    frozen = copy.deepcopy(model).requires_grad_(False)
    with torch.no_grad():
        other = audit(frozen, x, label=y, group=group, **QUICK)
    assert other.to_dict()["similarity"] == found.to_dict()["similarity"]


# What it refuses


def spoilt(**changes):
    x, y, group = rows(40)
    return {"model": network(4, 3, 1), "x": x, "label": y, "group": group} | changes


BAD = {
    "no layer": (lambda: spoilt(model=nn.BatchNorm1d(4)), ModelError, "no Linear or Conv layer"),
    "NaN": (lambda: spoilt(x=torch.full((40, 4), torch.nan)), DataError, "mean loss .* nan"),
    "one row": (
        lambda: spoilt(group=None, sensitive_features=["a"] + ["b"] * 39, min_group_size=0),
        GroupError, "group 'a': .*2 rows, got 1"),
    "group size": (lambda: spoilt(min_group_size=-1), OptionError, "min_group_size: .* 0, got -1"),
    "one group": (
        lambda: spoilt(group=torch.zeros(40).long()), GroupError, r"in one group \('0'\)"),
    "no group": (lambda: spoilt(group=torch.full((40,), -1)), GroupError, "no row is in a"),
    "width": (lambda: spoilt(x=torch.ones(40, 5)), DataError, "x has 5 columns.* takes 4"),
    "length": (lambda: spoilt(label=torch.ones(3)), DataError, r"label: expected shape \(40,\)"),
    "float codes": (lambda: spoilt(group=torch.ones(40)), GroupTypeError, "torch.float32"),
    "text codes": (lambda: spoilt(group=["a"] * 40), GroupTypeError, "as sensitive_features"),
    "names": (lambda: spoilt(group_names=["a"]), GroupError, "expected 2 names"),
    "names of values": (
        lambda: spoilt(group=None, sensitive_features=["a", "b"] * 20, group_names=["a", "b"]),
        GroupError, "they name the codes of group"),
    "label": (lambda: spoilt(label=torch.full((40,), 2)), DataError, "expected 0 to 1"),
    "splits": (lambda: spoilt(n_splits=3), OptionError, "n_splits: expected at least 20"),
    "half a draw": (
        lambda: spoilt(n_bootstrap=20.5),
        OptionError,
        "n_bootstrap: expected a whole number, got 20.5",
    ),
    "layer": (lambda: spoilt(layers=["9"]), ModelError, "no layer '9'"),
    "sample": (lambda: spoilt(sample=1), OptionError, "sample: expected at least 2"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_input_that_cannot_be_audited_is_one_clear_line(case):
    make, kind, match = BAD[case]
    given = make()
    with pytest.raises(kind, match=match) as caught:
        audit(given.pop("model"), given.pop("x"), **given)
    assert "\n" not in str(caught.value)
