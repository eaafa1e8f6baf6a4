"""Cells: they come back from a record, give the table of the groups, and refuse what can't be."""

import base64
from dataclasses import replace

import numpy as np
import pytest

from dralign import metrics
from dralign.errors import DataError
from dralign.metrics import Cells, scored


def people(n=2000, seed=0):
    """Labels, probabilities whose mean is the share of positives, groups."""
    draw = np.random.default_rng(seed)
    group = draw.integers(0, 2, n)
    prob = draw.beta(2, 4, n) * (0.8 + 0.2 * group)
    return (draw.random(n) < prob).astype(int), prob, group


def test_cells_come_back_from_json_and_give_the_table_of_the_groups():
    y, prob, group = people()
    cells = Cells.of(scored(y, prob, group, n_groups=2))
    again = Cells.from_dict(cells.to_dict())
    assert again == cells
    names = np.array(["a", "b"])[group]
    expected = metrics.group_table(y, prob, sensitive_features=names)
    for ours, theirs in zip(again.group_rows(("a", "b")), expected, strict=True):
        assert (ours.group, ours.rows, ours.positives) == (
            theirs.group,
            theirs.rows,
            theirs.positives,
        )
        for name in ("mean_score", "selection_rate", "true_positive_rate", "false_positive_rate"):
            assert getattr(ours, name) == pytest.approx(getattr(theirs, name))
    kept, direct = (
        again.score_quantiles(),
        metrics.score_quantiles(y, prob, sensitive_features=names),
    )
    assert np.array_equal(kept.quantiles, direct.quantiles)
    assert np.array_equal(kept.counts, direct.counts)


@pytest.mark.parametrize(
    "change",
    [
        {"counts": [1, 2, 3]},
        {"selected": [9, 9, 9, 9999]},
        {"counts": [1.5, 2, 3, 4]},
        {"quantiles": "AAAA"},
        {"quantiles": "no base64!"},
        {"extra": 1},
    ],
)
def test_cells_that_do_not_belong_together_are_refused(change):
    y, prob, group = people(200)
    form = Cells.of(scored(y, prob, group, n_groups=2)).to_dict()
    with pytest.raises(DataError):
        Cells.from_dict({**form, **change})


def quantiles_of(value):
    """Quantiles of two groups that are all the same."""
    return base64.b64encode(np.full((2, 2, 128), value, "<f2").tobytes()).decode()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"counts": [1e30] * 4, "selected": [0] * 4}, "how many rows are selected of how many"),
        ({"counts": [2**40] * 4, "selected": [0] * 4}, "how many rows are selected of how many"),
        ({"quantiles": quantiles_of(np.nan)}, "128 quantiles of every cell, from 0 to 1"),
        ({"quantiles": quantiles_of(-6e4)}, "128 quantiles of every cell, from 0 to 1"),
        ({"quantiles": quantiles_of(1.001)}, "128 quantiles of every cell, from 0 to 1"),
        ({"mean_scores": [0.5, 0.5, 0.5, 1e308]}, "mean scores from 0 to 1"),
        ({"mean_scores": [0.5, 0.5, 0.5, -0.1]}, "mean scores from 0 to 1"),
    ],
)
def test_cells_beyond_all_sense_are_refused(change, told):
    y, prob, group = people(200)
    form = Cells.of(scored(y, prob, group, n_groups=2)).to_dict()
    with pytest.raises(DataError, match=f"cells: expected .*{told}") as caught:
        Cells.from_dict({**form, **change})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("weight", [None, 1e-200, 1e-155, 1.0, 1e100])
def test_scores_at_both_ends_and_a_cell_without_rows_come_back(weight):
    y, prob, group = np.array([0, 1, 1, 1]), np.array([0.0, 1.0, 1.0, 0.0]), np.array([0, 0, 0, 1])
    given = None if weight is None else weight * np.array([1, 2, 3, 4])
    cells = Cells.of(scored(y, prob, group, n_groups=2, sample_weight=given))
    assert cells.counts == (1, 2, 0, 1)
    assert Cells.from_dict(cells.to_dict()) == cells


def test_cells_without_quantiles_have_none():
    y, prob, group = people(200)
    cells = replace(Cells.of(scored(y, prob, group, n_groups=2)), quantiles="")
    with pytest.raises(DataError, match="this record keeps none"):
        Cells.from_dict(cells.to_dict()).score_quantiles()
