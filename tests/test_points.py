"""Tables of docs that are made of points of fronts have the figures of the kept points."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
POINTS = ROOT / "results" / "points"
FOLDERS = ("experiments", "benchmarks/peers")
CALLED = {  # in docs/training.md
    "fork-2-slow": "**from one early network, a quarter of the rate**",
    "short-3": "control: ten runs of 3 epochs",
}
HEADS = {
    "adult": "| *fresh test rows",
    "compas": "| *the same on COMPAS",
    "german": "| *the same on Credit",
}
pytestmark = pytest.mark.skipif(not POINTS.exists(), reason="the source archive has no results")


@pytest.fixture(autouse=True)
def experiments(monkeypatch):
    for folder in FOLDERS:
        monkeypatch.syspath_prepend(ROOT / folder)
    yield
    for name in ("one_training", "stronger", "table", "keep"):
        sys.modules.pop(name, None)


def test_methods_of_other_packages_on_the_same_rows():
    import table as script

    page = (ROOT / "docs" / "peers.md").read_text(encoding="utf-8")
    assert page.partition(f"{script.MARK}\n")[2] == script.tables(script.all_methods())


def figures(line):
    """What a row says, but for the name: numbers without the zero before the point."""
    numbers = re.findall(r"-?\d*\.\d+", line.partition("|")[2].partition("|")[2])
    return [number.replace("0.", ".", 1) if number[0] == "0" else number for number in numbers]


@pytest.mark.parametrize("data", ["adult", "compas", "german"])
def test_fronts_of_one_training_on_fresh_test_rows(data):
    import one_training as script

    known = script.courses(POINTS / f"front_{data}.jsonl.gz", data, script.SEEDS["final"])
    assert len(known) == 30
    found = script.table(known, [*CALLED], script.APART, "test", "time")[2:]
    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    part = page.partition(HEADS[data])
    for way, line in zip(CALLED, found, strict=True):
        row = next(row for row in part[2].splitlines() if f"| {CALLED[way]} |" in row)
        *ratios, time = figures(line)
        assert figures(row) == [time, *ratios]


@pytest.mark.parametrize(
    ("stage", "data"),
    [("screen", "adult"), ("final", "adult"), ("final", "compas"), ("final", "german")],
)
def test_what_makes_the_front_better(stage, data):
    import stronger as script

    known = script.courses(POINTS / f"stronger_{data}.jsonl.gz", data, script.SEEDS[stage])
    names = [name for name in script.WAYS if any(name == way for way, _ in known)]
    assert names[0] == script.PLAIN
    assert len(known) == len(names) * len(script.SEEDS[stage])
    page = (ROOT / "docs" / "stronger.md").read_text(encoding="utf-8")
    lines = script.table(known, names[1:], script.PLAIN, "test", "time to plain")
    assert "\n".join(lines) in page
