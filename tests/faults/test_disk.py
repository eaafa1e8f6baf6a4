"""A short form of disk.py: nowhere to print to, and files that may not grow."""

from pathlib import Path

import pytest

import disk
from harness import plan, run

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


def test_a_result_that_can_not_be_printed_is_one_line_and_no_success():
    with Path("/dev/full").open("w") as nowhere:
        done = run("data", "list", stdout=nowhere)
    assert not done.wrong(1, 2)


def test_a_study_that_can_not_grow_is_one_line_and_continues_when_it_can(tmp_path):
    given = disk.Ground(tmp_path)
    plan(tmp_path, trials=4, epochs=1, iterations=2)
    results = disk.Results("")
    disk.small(given, results, tmp_path, ["sweep"])
    assert (len(results.lines), results.wrong) == (1, [])


def test_ballast_fills_a_disk_but_for_what_is_to_be_left(tmp_path):
    with disk.mounted("-t", "tmpfs", "-o", "size=1m", "none", tmp_path) as possible:
        if not possible:
            pytest.skip("mounting is not permitted")
        disk.fill(tmp_path, left=8192)
        (tmp_path / "small").write_bytes(bytes(4096))
        with pytest.raises(OSError, match="No space left"):
            (tmp_path / "large").write_bytes(bytes(16384))
