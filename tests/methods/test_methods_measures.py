"""Equal opportunity and predictive parity as A.11 trains them: gap, alignment, sampling, counts."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from dralign.data import Split
from dralign.gaps import resolve_gap
from dralign.rationale import select_layers
from dralign.step import Batch, Sampler, batch_in_blocks
from dralign.training import EpochRecord, Selection
from dralign.training.evaluation import rationale_similarity
from switched_off import method_of
from synthetic import perceptron, split

EOP, PP, PRINTED = "equal_opportunity", "predictive_parity", "printed_predictive_parity"
every_gap = pytest.mark.parametrize("gap", [EOP, PP, PRINTED])
ALIGNED = {EOP: [1], PP: [0, 1], PRINTED: [0, 1]}  # within which labels


def drawn(gap: str) -> Batch:
    """A batch as the trainer draws it for this gap."""
    rows = split(300)
    sampler = Sampler(
        rows.y,
        rows.group,
        balance=method_of("gap", gap=gap).balance,
        rows_per_block=15,
        n_blocks=4,
        n_groups=2,
        generator=np.random.default_rng(0),
    )
    at = sampler.draw()
    return Batch(rows.x[at].double(), rows.y[at], rows.group[at], sampler.blocks)


def gap_term(gap: str, f: Tensor, group: Tensor, y: Tensor) -> Tensor:
    """The regularisers of A.11 with an absolute value, written out for two groups."""
    rates = []
    for a in (0, 1):
        mine = f[group == a]
        label = y[group == a].double()
        if gap == EOP:
            rates.append((mine * label).sum() / label.sum())
        elif gap == PP:
            rates.append((mine * label).sum() / mine.sum())
        else:
            rates.append(mine.sum() / len(mine))
    return (rates[0] - rates[1]).abs()


@every_gap
@pytest.mark.parametrize(("name", "beta"), [("gap", 0.0), ("dralign", 0.05)])
def test_gradient_is_that_of_the_formula(name, beta, gap):
    """The gap of the batch, and the cosines of the groups' rationales within the labels of A.11."""
    batch, lam, model = drawn(gap), 0.3, perceptron().double()
    logits = model(batch.x)[:, 0]
    losses = F.binary_cross_entropy_with_logits(logits, batch.y.double(), reduction="none")
    total = losses.mean() + lam * gap_term(gap, torch.sigmoid(logits), batch.group, batch.y)
    for y in ALIGNED[gap]:
        for weight in (p for p in model.parameters() if p.ndim == 2):
            c = []
            for a in (0, 1):
                mean = losses[(batch.group == a) & (batch.y == y)].mean()
                (grad,) = torch.autograd.grad(mean, weight, create_graph=True)
                c.append(((grad * weight) ** 2).sum(1))
            total = total - beta * (c[0] @ c[1]) / (c[0].norm() * c[1].norm())
    expected = torch.autograd.grad(total, list(model.parameters()))
    method = method_of(name, gap=gap, fairness_weight=lam, alignment_weight=beta)
    trained = perceptron().double()
    result = method.begin(trained, n_groups=2, generator=torch.Generator())(batch)
    assert result.loss.item() == pytest.approx(total.item())
    assert result.skipped == 0
    for parameter, wanted in zip(trained.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, wanted, rtol=1e-9, atol=1e-12)


@every_gap
def test_batches_have_as_many_rows_of_every_cell(gap):
    batch = drawn(gap)
    assert [(b.group, b.label) for b in batch.blocks] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert {b.stop - b.start for b in batch.blocks} == {15}


@pytest.mark.parametrize(("gap", "top"), [(EOP, 3.0), (PP, 6.0), (PRINTED, 6.0)])
def test_groups_with_the_same_rows_reach_the_top(gap, top):
    rows = split(40)
    twice = Split(rows.x.repeat(2, 1), rows.y.repeat(2), torch.arange(2).repeat_interleave(40))
    model = perceptron().double().float()
    figures = rationale_similarity(
        model, twice, layers=select_layers(model), gap=resolve_gap(gap), n_groups=2
    )
    for granularity in ("unit", "parameter"):
        assert sum(figures[granularity].values()) == pytest.approx(top, abs=1e-5)


@pytest.mark.parametrize(
    ("gap", "absent", "defined"),
    [
        ("demographic_parity", (1, None), False),
        ("demographic_parity", (1, 1), True),
        ("equalized_odds", (1, 1), False),
        (EOP, (1, 0), True),
    ],
)
def test_a_similarity_of_fewer_than_two_groups_is_undefined_and_not_0(gap, absent, defined):
    rows = split(80)
    group, label = absent
    gone = (rows.group == group) & ((rows.y == label) if label is not None else True)
    model = perceptron().float()
    figures = rationale_similarity(
        model,
        Split(rows.x[~gone], rows.y[~gone], rows.group[~gone]),
        layers=select_layers(model),
        gap=resolve_gap(gap),
        n_groups=2,
    )
    for granularity in ("unit", "parameter"):
        assert all(math.isfinite(one) == defined for one in figures[granularity].values())


@pytest.mark.parametrize(
    ("gap", "absent", "skipped"),
    [
        (EOP, (1, 1), 1),
        (EOP, (1, 0), 0),  # equal opportunity compares rows of label 1 only
        (PP, (1, 0), 1),
        (PRINTED, (0, 1), 1),
        ("equalized_odds", (0, 0), 1),
        ("demographic_parity", (1, None), 1),
    ],
)
@pytest.mark.parametrize(("name", "beta"), [("gap", 0.0), ("dralign", 0.05)])
def test_an_absent_cell_is_skipped_and_counted(name, beta, gap, absent, skipped):
    rows = split(80)
    group, label = absent
    gone = (rows.group == group) & ((rows.y == label) if label is not None else True)
    batch = batch_in_blocks(
        rows.x[~gone],
        rows.y[~gone],
        rows.group[~gone],
        n_groups=2,
        by_label=resolve_gap(gap).conditions_on_label,
    )
    method = method_of(name, gap=gap, fairness_weight=0.3, alignment_weight=beta)
    model = perceptron().double().float()
    result = method.begin(model, n_groups=2, generator=torch.Generator())(batch)
    assert result.skipped == skipped
    assert torch.isfinite(result.loss)
    gradients = [parameter.grad for parameter in model.parameters()]
    assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients)


def test_records_made_before_a_gap_was_added_can_still_be_read_and_selected_from():
    def record(epoch: int, gap: float) -> dict:
        figures = {"average_precision": 0.7, "base_rate_demographic_parity": gap}
        old = {"epoch": epoch, "loss": 0.5, "validation": figures, "test": figures}
        return old | {"similarity": {}, "seconds": 1.0, "evaluation_seconds": 0.1}

    history = tuple(EpochRecord.from_dict(record(i, gap)) for i, gap in enumerate((0.1, 0.3, 0.2)))
    assert Selection().choose(history, "demographic_parity").epoch == 2
    assert math.isclose(history[1].validation["base_rate_demographic_parity"], 0.3)
