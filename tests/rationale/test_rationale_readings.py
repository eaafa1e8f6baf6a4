"""The readings of the paper's printed figures, against removals spelled out."""

import copy
import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn

from dralign.errors import GroupError
from dralign.models import mlp
from dralign.rationale import parity_scores
from dralign.rationale.readings import (
    clamped_similarity,
    parity_score_readings,
    rationale_readings,
)


def case():
    torch.manual_seed(0)
    model = mlp(3, hidden=4, depth=1)
    x = torch.randn(14, 3)
    y, group = torch.arange(14) % 3 % 2, torch.tensor([0, 1, 1, 0, 1, -1, 1, 0, 1, 1, 0, 1, 1, 0])
    return model.double(), x.double(), y, group


def losses(model, x, y, group, reduction):
    return [
        nn.functional.binary_cross_entropy_with_logits(
            model(x[group == g])[:, 0], y[group == g].double(), reduction=reduction
        ).item()
        for g in (0, 1)
    ]


def removed(model, layer, rows, columns):
    changed = copy.deepcopy(model)
    with torch.no_grad():
        changed[layer].weight[rows, columns] = 0
    return changed


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_readings_equal_removals_one_by_one(reduction):
    model, x, y, group = case()
    whole = losses(model, x, y, group, reduction)

    def influence(changed):
        new = losses(changed, x, y, group, reduction)
        return np.array([(a - b) ** 2 for a, b in zip(whole, new, strict=True)])

    entries = {"parameter": [], "unit": [], "unit removed": []}
    for layer in (0, 2):
        for row in range(model[layer].weight.shape[0]):
            single = [
                influence(removed(model, layer, row, column))
                for column in range(model[layer].weight.shape[1])
            ]
            entries["parameter"] += single
            entries["unit"].append(sum(single))
            entries["unit removed"].append(influence(removed(model, layer, row, slice(None))))
    found = parity_score_readings(model, x, label=y, group=group)
    assert len(found) == 12
    for entry, pairs in entries.items():
        apart = [c0 - c1 for c0, c1 in pairs]
        key = f"{entry}, {reduction}"
        assert found[f"{key}, absolute"] == pytest.approx(sum(map(abs, apart)), rel=1e-7)
        assert found[f"{key}, squared"] == pytest.approx(sum(d * d for d in apart), rel=1e-7)


def test_the_core_s_definition_is_one_of_the_readings():
    model, x, y, group = case()
    found = parity_score_readings(model, x, label=y, group=group)
    core = parity_scores(model, x, label=y, group=group).total
    assert found["parameter, mean, squared"] == pytest.approx(core, rel=1e-12)


@pytest.mark.parametrize("granularity", ["unit", "parameter"])
def test_clamp_bites_small_influences_only(granularity):
    model, x, y, group = case()
    scores = parity_scores(model, x, label=y, group=group, method="taylor", granularity=granularity)
    assert clamped_similarity(scores, clamp=0.0) == pytest.approx(scores.similarity)
    clamped = clamped_similarity(scores, clamp=1e-2)
    for layer, by_group in scores.influences.items():
        c0, c1 = (by_group[g].ravel().tolist() for g in (0, 1))
        dot = sum(a * b for a, b in zip(c0, c1, strict=True))
        norms = math.sqrt(sum(a * a for a in c0)) * math.sqrt(sum(b * b for b in c1))
        assert clamped[layer] == pytest.approx(dot / max(norms, 1e-2))
    assert any(clamped[layer] < scores.similarity[layer] for layer in clamped)


@pytest.mark.parametrize(("product", "clamped"), [(1e-6, 1e-6), (1e-7, 1e-7), (1e-9, 1e-8)])
def test_clamp_is_that_of_the_old_framework(product, clamped):
    """Norms whose product is above 1e-8 are compared as they are; below, 1e-8 takes its place."""
    model, x, y, group = case()
    found = parity_scores(model, x, label=y, group=group, method="taylor")
    influences = {0: np.array([product, 0.0]), 1: np.array([0.6, 0.8])}
    scores = dataclasses.replace(found, influences={"0": influences})
    assert clamped_similarity(scores)["0"] == pytest.approx(0.6 * product / clamped)


def test_all_readings_add_the_similarities_of_the_strata():
    model, x, y, group = case()
    found = rationale_readings(model, x, label=y, group=group, strata=(0, 1))
    assert not any(name.startswith("d_F") for name in found)
    for granularity in ("unit", "parameter"):
        per_label = [
            parity_scores(
                model,
                x[y == value],
                label=y[y == value],
                group=group[y == value],
                method="taylor",
                granularity=granularity,
            )
            for value in (0, 1)
        ]
        for layer in ("0", "2"):
            expected = sum(scores.similarity[layer] for scores in per_label)
            assert found[f"similarity, {granularity}, exact, {layer}"] == pytest.approx(expected)
        total = sum(scores.similarity_total for scores in per_label)
        assert found[f"similarity, {granularity}, exact, total"] == pytest.approx(total)
        clamped = sum(sum(clamped_similarity(scores).values()) for scores in per_label)
        assert found[f"similarity, {granularity}, clamped, total"] == pytest.approx(clamped)


def test_readings_over_all_rows_hold_the_twelve_of_the_parity_score():
    model, x, y, group = case()
    found = rationale_readings(model, x, label=y, group=group)
    parity = parity_score_readings(model, x, label=y, group=group)
    assert {k: v for k, v in found.items() if k.startswith("d_F")} == {
        f"d_F, {name}": value for name, value in parity.items()
    }


def test_more_than_two_groups_are_refused():
    model, x, y, _ = case()
    group = torch.arange(14) % 3
    with pytest.raises(GroupError, match="compares two groups, got 3"):
        parity_score_readings(model, x, label=y, group=group)
    scores = parity_scores(model, x, label=y, group=group, method="taylor")
    with pytest.raises(GroupError, match="compares two groups, got 3"):
        clamped_similarity(scores)
