"""The first cases of the fuzzers of tables and images; the script beside this file runs more."""

import pytest

pytest.importorskip("PIL", reason="images need pillow")
import fuzz_tables


@pytest.mark.parametrize("kind", fuzz_tables.CASES)
def test_hostile_files_are_refused_in_one_line_or_read_as_they_stand(kind):
    found = {number: fuzz_tables.outcome(kind, number) for number in range(50)}
    wrong = {number: case for number, case in found.items() if case[0] not in WELL}
    assert not wrong
    assert {result for result, _ in found.values()} == WELL, "some of each"


WELL = {"refused in one line", "accepted"}
