"""Figures of a few people, which would tell their labels, stay out of an audit."""

import warnings

import numpy as np
import pytest
import torch

from dralign.auditing import audit
from dralign.errors import DralignWarning, GroupError
from dralign.models import mlp

QUICK = {"n_splits": 20, "n_bootstrap": 20, "sample": 4}


def people(counts: dict[tuple[str, int], int]) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    """Inputs, labels and groups with so many rows of each group and label."""
    group = [name for (name, _), n in counts.items() for _ in range(n)]
    label = torch.tensor([value for (_, value), n in counts.items() for _ in range(n)])
    x = torch.randn(len(group), 3, generator=torch.Generator().manual_seed(0))
    return x + label[:, None], label, group


def network() -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return mlp(3, hidden=4, depth=1)


PLENTY = {("a", 0): 20, ("a", 1): 20, ("b", 0): 15, ("b", 1): 25}


def assess(counts, **options):
    x, label, group = people(counts)
    return audit(network(), x, label=label, sensitive_features=group, **QUICK, **options)


def plain_rate(counts, name: str, value: int) -> float:
    """The share of decisions 1 among the rows of a group with a label."""
    x, label, group = people(counts)
    with torch.no_grad():
        decided = (network()(x).squeeze(1) >= 0).numpy()
    chosen = (np.array(group) == name) & (label.numpy() == value)
    return float(decided[chosen].mean())


def test_a_small_group_is_named_and_takes_no_part():
    with pytest.warns(DralignWarning, match="fewer than 10 rows.* left out of gaps: 'c', 'd'; min"):
        found = assess(PLENTY | {("c", 0): 1, ("c", 1): 1, ("d", 0): 9})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        without = assess(PLENTY)
    assert found.withheld == ("c", "d")
    assert list(found.groups) == ["a", "b"]
    assert [one.group for one in found.outcomes.groups] == ["a", "b"]
    first, second = found.to_dict(), without.to_dict()
    assert first["withheld"] == ["c", "d"]
    for part in ("outcomes", "similarity", "influence", "independence", "what_if"):
        assert first[part] == second[part], part
    assert any("'c', 'd'" in note for note in found.notes)
    assert not any("rows of no group" in note for note in found.notes)


def test_the_number_of_rows_that_are_enough_can_be_chosen():
    few = PLENTY | {("c", 0): 1, ("c", 1): 1}
    assert assess(few, min_group_size=0).withheld == ()
    assert list(assess(few, min_group_size=1).groups) == ["a", "b", "c"]
    with pytest.warns(DralignWarning, match="fewer than 2 rows.* gaps: 'c' at label 0, 'c' at lab"):
        found = assess(few, min_group_size=2)
    assert list(found.groups) == ["a", "b", "c"]
    with pytest.raises(GroupError, match="1 of the groups 'a', 'b', 'c' have 41 rows or more, and"):
        assess(few | {("b", 1): 26}, min_group_size=41)


def test_rates_of_a_group_with_few_rows_of_a_label_are_withheld_and_out_of_gaps():
    counts = PLENTY | {("c", 0): 30, ("c", 1): 9}
    with pytest.warns(DralignWarning, match="fewer than 10 rows, .*: 'c' at label 1; min_group_"):
        found = assess(counts)
    figures = {one.group: one.figures for one in found.outcomes.groups}
    for name in "abc":
        kept = figures[name]["false_positive_rate"].value
        assert kept == pytest.approx(plain_rate(counts, name, 0))
    assert np.isnan(figures["c"]["true_positive_rate"].value)
    assert np.isfinite(figures["c"]["base_rate"].value)
    rates = [plain_rate(counts, name, 1) for name in "ab"]
    gap = max(rates) - min(rates)
    assert found.outcomes.gaps["hard_equal_opportunity"].value == pytest.approx(gap)
    assert found.what_if[0].figures["hard_equal_opportunity"] == pytest.approx(gap)
    whole = assess(counts, min_group_size=0)
    parity = "hard_demographic_parity"
    assert found.outcomes.gaps[parity].value == whole.outcomes.gaps[parity].value
    rates.append(plain_rate(counts, "c", 1))
    gap = max(rates) - min(rates)
    assert whole.outcomes.gaps["hard_equal_opportunity"].value == pytest.approx(gap)


def test_nearly_one_decision_for_all_is_said():
    x, label, group = people(PLENTY)
    model = network()
    with torch.no_grad():
        model[-1].bias.fill_(50.0)
    found = audit(model, x, label=label, sensitive_features=group, **QUICK)
    line = "100 % of the rows get decision 1: hard gaps say nothing"
    assert line in found.notes
    assert not any("hard gaps" in note for note in assess(PLENTY).notes)
