"""Cells of the page again, from the ledger's file alone: plain SQL, JSON and scipy."""

import json
import math
import sqlite3
import zlib

import numpy as np
import pytest
from scipy import stats

import records as made_up
from dralign.reproduce import ENTRIES, Results, findings, plan
from dralign.study import Ledger, ledger_path

SEEDS = range(6)
WEIGHTS = (0.2, 0.3, 0.4, 0.5)
FIGURES = ("average_precision", "soft_demographic_parity", "hard_demographic_parity")


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    """Six seeds of some of the trials of Adult under DP."""
    path = tmp_path_factory.mktemp("study")
    specs = [
        spec
        for spec in plan("adult_dp").trials
        if spec.seed in SEEDS and spec.method in {"gap", "dralign", "erm", "oversample"}
    ]
    with Ledger(ledger_path(path)) as found:
        for record in made_up.records(specs):
            found.add(record)
    return ledger_path(path)


@pytest.fixture(scope="module")
def raw(ledger):
    """The test figures of every trial at the smallest soft validation gap, first epoch left out."""
    rows = {}
    with sqlite3.connect(ledger) as database:
        for (blob,) in database.execute("select record from trial where status = 'done'"):
            record = json.loads(zlib.decompress(blob))
            spec = record["spec"]
            epochs = record["history"][1:]
            best = min(epochs, key=lambda e: e["validation"]["soft_demographic_parity"])
            key = spec["method"], round(spec.get("fairness_weight", 0.0), 6), spec["seed"]
            rows[key] = {name: abs(best["test"][name]) for name in FIGURES}
    return rows


@pytest.fixture(scope="module")
def results(ledger):
    with Ledger(ledger, create=False) as found:
        return Results.of(found.records())


def of_seeds(raw, method, weight, figure):
    return np.array([raw[method, weight, seed][figure] for seed in SEEDS])


def with_interval(values, digits=3):
    low, high = stats.t.interval(0.95, len(values) - 1, loc=values.mean(), scale=stats.sem(values))
    return f"{values.mean():.{digits}f} ± {(high - low) / 2:.{digits}f} (n={len(values)})"


def test_ten_cells_drawn_at_random_are_those_of_the_raw_records(raw, results):
    """Of the curves of Fig. 3, Adult DP: method, lambda, average precision and both gaps."""
    lines = [
        line
        for line in ENTRIES["fig5"].make(results).lines
        if line[2] in {"gap", "dralign"} and float(line[3])
    ]
    draw = np.random.default_rng(20261121)
    cells = [(int(draw.integers(len(lines))), int(draw.integers(3))) for _ in range(10)]
    for index, column in cells:
        line = lines[index]
        values = of_seeds(raw, line[2], float(line[3]), FIGURES[column])
        assert line[4 + column] == with_interval(values)


@pytest.mark.parametrize("weight", WEIGHTS)
def test_the_level_of_a_part_is_that_of_the_paired_t_test(raw, results, weight):
    """Table 12: the difference as a part of FairReg's mean, its interval, and the level."""
    [judged] = [
        one
        for one in findings(results, "table12")
        if (one.check, one.reading) == ("significant_at_every_weight", "soft")
    ]
    [part] = [part for part in judged.parts if part.label == f"lambda {weight:g}"]
    ours, theirs = (of_seeds(raw, m, weight, FIGURES[1]) for m in ("dralign", "gap"))
    test = stats.ttest_rel(ours, theirs)
    interval = test.confidence_interval(0.95)
    share, low, high = (
        value / theirs.mean() for value in ((ours - theirs).mean(), interval.low, interval.high)
    )
    assert part.ours == f"{share:+.0%} ({low:+.0%} to {high:+.0%}), n={len(SEEDS)}"
    if test.pvalue < 0.05:
        assert part.verdict == ("borne out" if share < 0 else "contradicted")
    elif math.fabs(share) < 0.05:
        assert part.verdict == "undecided"
    else:
        assert part.verdict == ("leans for" if share < 0 else "leans against")
