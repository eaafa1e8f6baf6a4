"""A short run of the fuzzing scripts; they are run for long by hand."""

import pytest

import fuzz_ledger
import fuzz_plan
from fuzzing import fuzz


@pytest.mark.parametrize(("script", "count"), [(fuzz_ledger, 150), (fuzz_plan, 100)])
def test_nothing_is_a_traceback_waits_or_is_silently_something_else(script, count):
    found, bad = fuzz(script.CASES, count, seed=1)
    assert bad == []
    outcomes = {what for _, what in found}
    assert outcomes == {"refused", "accepted"}
