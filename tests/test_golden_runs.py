"""Every method and option at a fixed seed gives the figures it gave when they were written down."""

import json

import pytest

import golden_runs as golden

WRITTEN = json.loads(golden.FILE.read_text())
EXACT = golden.machine() == WRITTEN["machine"]


def flat(value, path=()):
    """Every figure by its path."""
    if isinstance(value, dict):
        entries = value.items()
    elif isinstance(value, list):
        entries = enumerate(value)
    else:
        return {path: value}
    return {k: v for key, entry in entries for k, v in flat(entry, (*path, key)).items()}


@pytest.mark.parametrize("name", golden.CASES)
def test_a_run_at_a_fixed_seed_gives_the_same_figures(name):
    now, then = golden.figures(name), WRITTEN["runs"][name]
    if EXACT:
        assert now == then
        return
    # Another set of instructions adds up in another order.
    now, then = flat(now["history"]), flat(then["history"])
    assert now.keys() == then.keys()
    for path, value in then.items():
        assert now[path] == pytest.approx(value, abs=2e-3), path


def test_every_method_is_among_the_cases():
    from dralign.methods import method_names

    assert {case["method"] for case in golden.CASES.values()} == set(method_names())
