"""Batches hold what they promise, from the generator they are given."""

import numpy as np
import pytest
import torch

from dralign.errors import GroupError, OptionError
from dralign.step import Sampler

LABEL = torch.tensor([0, 1, 0, 1, 0, 0, 1, 1, 0, 0])
GROUP = torch.tensor([0, 0, 1, 1, 1, 1, 1, 0, -1, 0])


def sampler(balance: str, rows: int, *, seed: int = 0, label=LABEL, group=GROUP) -> Sampler:
    return Sampler(
        label,
        group,
        balance=balance,
        rows_per_block=rows,
        n_blocks=2,
        n_groups=2,
        generator=np.random.default_rng(seed),
    )


def test_group_balanced_blocks_hold_only_their_group():
    draws = sampler("group", 3)
    for _ in range(20):
        rows = draws.draw()
        for block in draws.blocks:
            assert (GROUP[rows[block.rows]] == (-1 if block.group is None else block.group)).all()
    assert [(b.start, b.stop, b.group, b.label) for b in draws.blocks] == [
        (0, 3, 0, None),
        (3, 6, 1, None),
        (6, 7, None, None),
    ]


def test_cell_balanced_blocks_hold_only_their_cell():
    draws = sampler("cell", 2)
    rows = draws.draw()
    cells = [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert [(b.group, b.label) for b in draws.blocks] == [*cells, (None, None)]
    for block in draws.blocks[:-1]:
        assert (GROUP[rows[block.rows]] == block.group).all()
        assert (LABEL[rows[block.rows]] == block.label).all()
    assert rows[draws.blocks[-1].rows].tolist() == [8]


def test_uniform_batch_is_as_large_as_a_balanced_one_and_reaches_every_row():
    draws = sampler("uniform", 3)
    batches = torch.stack([draws.draw() for _ in range(100)])
    assert batches.shape == (100, 6)
    assert batches.unique().tolist() == list(range(10))
    assert draws.blocks[0].group is None


@pytest.mark.parametrize("balance", ["group", "cell"])
@pytest.mark.parametrize(("lost", "expected"), [(0, 0), (1, 2), (5, 10), (200, 133)])
def test_rows_without_a_group_have_a_block_as_large_as_their_share(balance, lost, expected):
    """Of 200 rows in all blocks with a group; 1 in 101 rows makes 2 of them, 200 in 300 133."""
    label = torch.arange(100 + lost) % 2
    group = torch.where(torch.arange(100 + lost) < 100, torch.arange(100 + lost) // 2 % 2, -1)
    draws = sampler(balance, 100 if balance == "group" else 50, label=label, group=group)
    drawn = group[draws.draw()]
    assert int((drawn < 0).sum()) == expected
    assert bool((drawn[:200] >= 0).all())
    assert len(draws.blocks) == (2 if balance == "group" else 4) + bool(lost)


def test_rows_without_a_group_leave_the_draws_of_the_others_as_they_are():
    known = GROUP >= 0
    both = sampler("group", 3), sampler("group", 3, label=LABEL[known], group=GROUP[known])
    place = known.nonzero()[:, 0]
    assert torch.equal(both[0].draw()[:6], place[both[1].draw()])


def test_uniform_batches_reach_rows_without_a_group():
    assert 8 in torch.cat([sampler("uniform", 3, seed=s).draw() for s in range(30)])


def test_a_row_is_drawn_once_unless_its_population_is_too_small():
    for seed in range(20):
        exact = sampler("group", 4, seed=seed).draw()
        assert exact[:4].sort().values.tolist() == [0, 1, 7, 9]  # all four rows of group 0
        assert len(exact[4:8].unique()) == 4
    small = sampler("group", 5).draw()
    assert len(small) == 11
    assert len(small[:5].unique()) < 5


def test_every_row_of_a_group_is_equally_likely():
    draws = sampler("group", 2)
    count = torch.bincount(torch.cat([draws.draw()[2:4] for _ in range(4000)]), minlength=10)
    share = count[GROUP == 1] / 8000
    assert torch.allclose(share, torch.full_like(share, 0.2), atol=0.02)


def test_same_generator_state_gives_the_same_batches():
    for balance in ("uniform", "group", "cell"):
        one, other = sampler(balance, 2, seed=3), sampler(balance, 2, seed=3)
        assert all(torch.equal(one.draw(), other.draw()) for _ in range(5))
        assert not torch.equal(
            torch.cat([one.draw() for _ in range(5)]),
            torch.cat([sampler(balance, 2, seed=4).draw() for _ in range(5)]),
        )


def test_drawing_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    sampler("cell", 3).draw()
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"balance": "group", "rows": 0}, OptionError, "expected at least 1 row, got 0"),
        ({"balance": "even", "rows": 1}, OptionError, "unknown balance 'even'; known: uniform"),
        (
            {"balance": "group", "rows": 1, "group": torch.zeros_like(GROUP)},
            GroupError,
            "no training rows with group code 1",
        ),
        (
            {"balance": "cell", "rows": 1, "label": (GROUP == 0).long()},
            GroupError,
            "group code 0 and label 0",
        ),
    ],
)
def test_bad_requests_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        sampler(**options)
