"""Cells: they come back from a record, give the table of the groups, and refuse what can't be."""

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


def test_cells_without_quantiles_have_none():
    y, prob, group = people(200)
    cells = replace(Cells.of(scored(y, prob, group, n_groups=2)), quantiles="")
    with pytest.raises(DataError, match="this record keeps none"):
        Cells.from_dict(cells.to_dict()).score_quantiles()
