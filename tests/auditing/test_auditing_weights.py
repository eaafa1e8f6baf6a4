"""Weights in audits and parity scores: whole numbers are repeated rows."""

import re

import numpy as np
import pytest
import torch
from torch import nn

from dralign import audit, parity_scores
from dralign.errors import DataError, ModelError
from dralign.rationale import per_sample_loss

N = 120


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1)).double()


def rows():
    torch.manual_seed(1)
    x = torch.randn(N, 3, dtype=torch.float64)
    group = torch.arange(N) % 2
    label = (x[:, 0] + 0.5 * group + 0.5 * torch.randn(N) > 0).long()
    weight = torch.tensor([1, 2, 0, 4, 1]).repeat(N // 5)
    return x, label, group, weight


X, Y, A, W = rows()
AGAIN = torch.arange(N).repeat_interleave(W)


@pytest.mark.parametrize("method", ["ablation", "taylor"])
@pytest.mark.parametrize("granularity", ["parameter", "unit"])
def test_parity_scores_of_weighted_rows_are_those_of_repeated_rows(method, granularity):
    given = {"method": method, "granularity": granularity}
    ours = parity_scores(network(), X, Y, group=A, sample_weight=W, **given)
    theirs = parity_scores(network(), X[AGAIN], Y[AGAIN], group=A[AGAIN], **given)
    assert ours.total == pytest.approx(theirs.total)
    assert ours.similarity == pytest.approx(theirs.similarity)
    for name, by_group in theirs.influences.items():
        for code, influence in by_group.items():
            np.testing.assert_allclose(ours.influences[name][code], influence, atol=1e-12)
    plain = parity_scores(network(), X, Y, group=A, **given)
    assert ours.total != pytest.approx(plain.total, rel=1e-3)


def test_rows_that_all_weigh_the_same_have_the_scores_of_unweighted_ones():
    plain = parity_scores(network(), X, Y, group=A)
    same = parity_scores(network(), X, Y, group=A, sample_weight=np.full(N, 2.5))
    assert same.total == plain.total
    assert same.engine == plain.engine == "fast"


def test_the_fast_engine_refuses_weights():
    with pytest.raises(ModelError, match="engine='fast' takes no weights of rows"):
        parity_scores(network(), X, Y, group=A, sample_weight=W, engine="fast")
    with pytest.raises(DataError, match="sample_weight: expected 120 rows, got 3"):
        parity_scores(network(), X, Y, group=A, sample_weight=[1, 2, 3])


@pytest.fixture(scope="module")
def both():
    given = {"n_splits": 20, "n_bootstrap": 30, "min_group_size": 0}
    weighted = audit(network(), X, Y, group=A, sample_weight=W, **given)
    repeated = audit(network(), X[AGAIN], Y[AGAIN], group=A[AGAIN], **given)
    return weighted, repeated


def test_figures_of_a_weighted_audit_are_those_of_repeated_rows(both):
    weighted, repeated = both
    for ours, theirs in zip(weighted.outcomes.groups, repeated.outcomes.groups, strict=True):
        for name, estimate in theirs.figures.items():
            assert ours.figures[name].value == pytest.approx(estimate.value), name
            assert ours.figures[name].low <= ours.figures[name].value <= ours.figures[name].high
    for name, estimate in {**repeated.outcomes.gaps, **repeated.outcomes.overall}.items():
        ours = {**weighted.outcomes.gaps, **weighted.outcomes.overall}[name]
        assert ours.value == pytest.approx(estimate.value, abs=1e-9), name
    for granularity, theirs in repeated.similarity.items():
        ours = weighted.similarity[granularity]
        assert ours.total.similarity.value == pytest.approx(theirs.total.similarity.value)
        assert ours.parity_total.score == pytest.approx(theirs.parity_total.score)
    assert weighted.influence.total == pytest.approx(repeated.influence.total)
    for ours, theirs in zip(weighted.what_if[:1], repeated.what_if[:1], strict=True):
        assert ours.figures == pytest.approx(theirs.figures, nan_ok=True)


def test_a_weighted_audit_says_what_is_weighted_and_what_is_counted(both):
    weighted, repeated = both
    assert weighted.groups == {str(g): int(((g == A) & (W > 0)).sum()) for g in (0, 1)}
    text = str(weighted)
    assert text.splitlines()[0].endswith("rows are counted, all figures are weighted")
    assert re.search(r"of the weight of '.' and \S+ % of that of '.'", " ".join(text.split()))
    assert re.search(
        r"of the rows of '.' and \S+ % of those of '.'", " ".join(str(repeated).split())
    )
    assert any(note.startswith("rows are weighted") for note in weighted.notes)
    assert "weighted" not in str(repeated)
    assert "weighted" not in repeated.to_dict()["provenance"]


def test_losses_of_joint_removals_are_weighted(both):
    """The joint influence of single weights is that of the weighted group loss."""
    model, weighted = network(), both[0]
    with torch.no_grad():
        loss = per_sample_loss(model(X), Y)
        base = (loss * W * (A == 0)).sum() / W[A == 0].sum()
    one = next(r for r in weighted.independence if r.size == 1 and r.group == "0")
    changes = []
    for parameter in (model[0].weight, model[2].weight):
        for i in range(parameter.numel()):
            kept = parameter.data.flatten()[i].item()
            parameter.data.view(-1)[i] = 0.0
            with torch.no_grad():
                loss = per_sample_loss(model(X), Y)
            changes.append(float((loss * W * (A == 0)).sum() / W[A == 0].sum() - base))
            parameter.data.view(-1)[i] = kept
    for joint in one.joint:
        assert min(abs(joint - change) for change in changes) < 1e-9
