"""Weights in a step: a row of weight 3 counts as three rows of its block do."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from dralign.alignment import RationaleAlignment
from dralign.gaps import register_gap, resolve_gap, unregister_gap
from dralign.gaps.gap import GapType
from dralign.methods import build_method
from dralign.methods.base import takes_weights
from dralign.methods.placebo import in_random_parts
from dralign.methods.thresholds import fit_thresholds
from dralign.rationale import per_sample_loss
from dralign.step import Batch, Block, Passes, batch_in_blocks, with_mean_one

COUNTS = (1, 2, 3, 6)  # of neighbouring rows of a block, which add up alike in every block


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1)).double()


def batches(*, by_label: bool) -> tuple[Batch, Batch]:
    """Rows with weights, and the same rows each as often as its weight says."""
    torch.manual_seed(1)
    n = 32
    x = torch.randn(n, 3, dtype=torch.float64)
    group, label = torch.arange(n) % 2, torch.arange(n) // 2 % 2
    plain = batch_in_blocks(x, label, group, n_groups=2, by_label=by_label)
    counts = torch.tensor(COUNTS).repeat(n // len(COUNTS))
    weighted = replace(plain, weight=with_mean_one(counts.double(), plain.blocks))
    again = torch.arange(n).repeat_interleave(counts)
    repeated = batch_in_blocks(
        plain.x[again], plain.y[again], plain.group[again], n_groups=2, by_label=by_label
    )
    return weighted, repeated


def uniform(batch: Batch) -> Batch:
    return replace(batch, blocks=(Block(0, len(batch.y)),))


def gradients(
    method, batch: Batch, passes: Passes | None = None
) -> tuple[float, list[torch.Tensor]]:
    model = network()
    step = method.begin(model, n_groups=2, generator=torch.Generator().manual_seed(0))
    result = step(batch, 1.0, passes or Passes())
    return float(result.loss), [p.grad for p in model.parameters() if p.grad is not None]


CASES = [
    ("erm", {}),
    ("oversample", {}),
    ("gap", {"fairness_weight": 0.7}),
    ("dralign", {"fairness_weight": 0.7, "alignment_weight": 0.3, "alignment_every": 1}),
    ("adversarial", {"fairness_weight": 0.7}),
    ("decorrelation", {}),
    ("thresholds", {}),
    ("prejudice_remover", {"fairness_weight": 20.0}),
    ("hsic", {"fairness_weight": 50.0}),
]
GAPS = ["demographic_parity", "equalized_odds", "equal_opportunity"]


@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize(("name", "settings"), CASES, ids=[name for name, _ in CASES])
def test_a_step_of_weighted_rows_is_that_of_repeated_rows(name, settings, gap):
    method = build_method(name, gap=gap, **settings)
    weighted, repeated = batches(by_label=method.balance == "cell")
    if method.balance == "uniform":
        weighted, repeated = uniform(weighted), uniform(repeated)
    value, ours = gradients(method, weighted)
    wanted, theirs = gradients(method, repeated)
    assert value == pytest.approx(wanted, rel=1e-6)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)
    _, plain = gradients(method, replace(weighted, weight=None))
    assert not all(torch.allclose(a, b, rtol=1e-3) for a, b in zip(ours, plain, strict=True))


@pytest.mark.parametrize(
    "gap", ["predictive_parity", "printed_predictive_parity", "all_cutoffs_equalized_odds"]
)
def test_other_gaps_are_those_of_repeated_rows(gap):
    method = build_method("dralign", gap=gap, fairness_weight=0.7, alignment_every=1)
    weighted, repeated = batches(by_label=True)
    (value, ours), (wanted, theirs) = gradients(method, weighted), gradients(method, repeated)
    assert value == pytest.approx(wanted, rel=1e-6)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ["gap", "dralign", "adversarial", "prejudice_remover", "hsic"])
def test_parts_of_a_weighted_batch_make_the_step_of_the_whole(name):
    settings = {"alignment_every": 1} if name == "dralign" else {}
    method = build_method(name, fairness_weight=0.7, **settings)
    weighted, _ = batches(by_label=False)
    value, whole = gradients(method, weighted)
    parts_value, parts = gradients(method, weighted, Passes(micro_batch=7))
    assert parts_value == pytest.approx(value)
    torch.testing.assert_close(parts, whole)


def test_the_fast_step_is_the_plain_term_of_weighted_group_losses():
    weighted, _ = batches(by_label=False)
    method = build_method("dralign", fairness_weight=0.0, alignment_weight=0.3, alignment_every=1)
    _, ours = gradients(method, weighted)
    model = network()
    losses = per_sample_loss(model(weighted.x), weighted.y) * weighted.weight
    of_groups = [losses[weighted.group == g].sum() / 16 for g in (0, 1)]
    term = RationaleAlignment(model).align([of_groups])
    (sum(of_groups) / 2 + 0.3 * term).backward()
    torch.testing.assert_close(ours, [p.grad for p in model.parameters()])


def test_random_parts_weigh_one_on_the_mean():
    weighted, _ = batches(by_label=True)
    parts = in_random_parts(weighted, n_parts=3, generator=torch.Generator().manual_seed(0))
    for block in parts.blocks:
        assert float(parts.weight[block.rows].mean()) == pytest.approx(1)


def test_thresholds_of_weighted_rows_are_those_of_repeated_rows():
    torch.manual_seed(2)
    n = 400
    group, label = torch.arange(n) % 2, (torch.rand(n) < 0.4).long()
    prob = (0.5 * torch.rand(n) + 0.3 * label + 0.1 * group).clamp(0, 1)
    counts = torch.tensor(COUNTS).repeat(n // len(COUNTS))
    again = torch.arange(n).repeat_interleave(counts)
    for name in GAPS:
        gap = resolve_gap(name)
        ours = fit_thresholds(
            prob, label=label, group=group, n_groups=2, gap=gap, weight=counts.double()
        )
        # The targets are spread over rows, of which there are more when they are repeated.
        theirs = fit_thresholds(
            prob[again], label=label[again], group=group[again], n_groups=2, gap=gap
        )
        rates = [
            [
                float(((prob >= t[g]) * counts * (group == g)).sum() / counts[group == g].sum())
                for g in (0, 1)
            ]
            for t in (ours, theirs)
        ]
        assert rates[0] == pytest.approx(rates[1], abs=0.05)


def test_a_gap_with_scores_that_know_no_weights_says_so():
    register_gap(
        GapType(
            "halved",
            "halved",
            scores=lambda of_rows, group: of_rows / 2,
            figures_of="demographic_parity",
        )
    )
    try:
        assert not takes_weights(build_method("gap", gap="halved"))
        assert takes_weights(build_method("erm", gap="halved"))
    finally:
        unregister_gap("halved")
    assert not takes_weights(build_method("mixup"))
    assert not takes_weights(build_method("plugin"))
    assert takes_weights(build_method("gap"))
