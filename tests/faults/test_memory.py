"""A short form of memory.py: trials that are too large for the memory there is."""

import sys

import pytest

import memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")


def test_trials_too_large_for_memory_fail_with_a_word_and_the_study_goes_on(tmp_path):
    results = memory.Results("")
    memory.sweep(tmp_path / "study", results, jobs=1, gib=8, seeds=1)
    assert (len(results.lines), results.wrong) == (1, [])
