"""A short form of pairs.py: two sweeps of one study at the same time."""

import pairs


def test_two_sweeps_of_one_study_lose_nothing(tmp_path):
    assert not pairs.sweeps(tmp_path / "study", 6)
