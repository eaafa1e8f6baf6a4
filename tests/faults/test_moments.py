"""A short form of moments.py: three processes do one thing at the same moment."""

import pytest

import moments


@pytest.mark.parametrize("act", moments.ACTS, ids=lambda act: act.__name__)
def test_three_at_the_same_moment_all_end_well(act):
    assert moments.wrong(act, 5) == []
