"""A network remembers which rows it was trained on, without the rows."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from dralign.data import marks
from dralign.data.marks import RowMarks
from dralign.errors import DataError
from synthetic import dataset, split


def test_rows_are_known_again_by_their_inputs():
    data = dataset()
    known = RowMarks.from_dict(json.loads(json.dumps(RowMarks.of(data).to_dict())))
    new = data.test.x + 1
    every = torch.cat([data.test.x, new, data.validation.x.flip(0), data.train.x])
    used = [False] * 600 + [True] * 600
    assert known.used_rows(every).tolist() == used
    assert not known.used_rows(new).any()


def test_a_row_that_is_among_both_counts_as_held_out():
    data = dataset()
    data.test.x[0] = data.train.x[0]
    known = RowMarks.of(data)
    assert known.used_rows(data.train.x).tolist() == [False] + [True] * 299


def test_new_rows_with_the_inputs_of_used_ones_are_not_taken_for_them():
    """Of six inputs of two values each, every new row has a twin among 300."""
    coarse = replace(
        dataset(),
        **{
            part: replace(split(300, seed=seed), x=split(300, seed=seed).x.sign())
            for seed, part in enumerate(("train", "validation", "test"))
        },
    )
    known = RowMarks.of(coarse)
    assert known.twins > 0.9
    assert not known.used_rows(split(300, seed=9).x.sign()).any()
    assert not known.used_rows(coarse.train.x).any(), "nothing can be told"


def test_some_used_rows_among_new_ones_are_found():
    data = dataset()
    every = torch.cat([split(300, seed=9).x, data.train.x[:30]])
    assert RowMarks.of(data).used_rows(every).tolist() == [False] * 300 + [True] * 30


def test_the_hashes_of_one_table_say_nothing_about_another():
    one, other = dataset(), replace(dataset(), fingerprint="another")
    hashes = RowMarks.of(one), RowMarks.of(other)
    assert not np.isin(hashes[0].used, hashes[1].used).any()
    assert RowMarks.of(one).to_dict() == RowMarks.of(dataset()).to_dict()


def test_no_input_can_be_read_from_the_hashes():
    data = dataset()
    text = json.dumps(RowMarks.of(data).to_dict())
    assert len(text) < 9 * 900 + 200  # six bytes a row, in base64


def test_of_too_many_rows_none_are_remembered(monkeypatch):
    monkeypatch.setattr(marks, "MOST_ROWS", 899)
    assert RowMarks.of(dataset()) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"salt": "?"}, "row hashes: not base64"),
        ({"used": "AAAA"}, "row hashes: expected 6 bytes each"),
        ({"used": 3}, "'used' must be a text"),
        ({"twins": 2}, "'twins' must be from 0 to 1"),
    ],
)
def test_a_form_that_is_not_ours_is_refused(change, message):
    form = RowMarks.of(dataset()).to_dict()
    with pytest.raises(DataError, match=message):
        RowMarks.from_dict({**form, **change})
