"""The first cases of the fuzzer of networks and checkpoints; the script beside it runs more."""

import pytest

import fuzz_networks

WELL = {"refused in one line", "accepted"}


@pytest.mark.parametrize(("kind", "cases"), [("artifact", 100), ("checkpoint", 50)])
def test_changed_networks_and_checkpoints_are_refused_in_one_line_or_used_as_they_stand(
    kind, cases
):
    found = {number: fuzz_networks.outcome(kind, number) for number in range(cases)}
    wrong = {number: case for number, case in found.items() if case[0] not in WELL}
    assert not wrong
    assert {result for result, _ in found.values()} == WELL, "some of each"
