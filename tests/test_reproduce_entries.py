"""Every table, figure and claim from no records, some, and all of them."""

import re
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

import records as made_up
from dralign.data import DataSource
from dralign.reproduce import ENTRIES, PLANS, Results, document, findings, plan, reduced, section
from dralign.reproduce.similarity import FORMS
from dralign.reproduce.table1 import D_F
from dralign.reproduce.verdicts import VERDICTS
from dralign.study import Ledger, TrialSpec, ledger_path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"
PAGE = ROOT / "docs" / "reproduction.md"
PAPER = ROOT.parent / "shared" / "paper" / "000_8185c27b4834bd92.txt"
NOTHING = Results.of([])


def readings(spec):
    """Plausible readings: d_F falls and similarity rises with lambda."""
    found = dict.fromkeys(D_F, 0.5 * (1.1 - spec.fairness_weight) + 0.01 * spec.seed)
    for form in FORMS:
        like = 0.5 + 0.1 * spec.fairness_weight + 0.01 * spec.seed
        found |= {f"similarity, {form}, {layer}": like for layer in ("0", "2", "4")}
        found[f"similarity, {form}, total"] = 3 * like
    return found


def short(spec):
    """Fewer epochs, but not on images, where trials are told apart by their length too."""
    return spec if spec.data.name == "celeba" else replace(spec, epochs=8)


@cache
def complete():
    """Two seeds of every trial of the plans, made up."""
    specs = {short(spec) for name in PLANS for spec in plan(name).trials if spec.seed < 2}
    found = []
    for record in made_up.records(sorted(specs, key=repr)):
        keep = readings(record.spec) if record.spec.readings else {}
        history = tuple(replace(epoch, readings=keep) for epoch in record.history)
        found.append(replace(record, history=history))
    return Results.of(found)


@pytest.mark.parametrize("name", ENTRIES)
def test_an_empty_study_shows_the_papers_side_and_decides_nothing(name):
    text = section(ENTRIES[name], NOTHING)
    assert f"## {name}: " in text
    assert {one.verdict for one in findings(NOTHING, name)} <= {"not run", "needs CelebA"}


# What a check says where trials are missing, other than fronts that do not meet.
MISSING = re.compile("no trial|no seed has both|some weights|with both fronts")


def test_the_trials_of_the_plans_are_enough_for_every_claim():
    found = findings(complete())
    assert len(found) > 60  # 40 claims, most of them in several readings
    assert not [one for one in found if MISSING.search(one.evidence)]
    assert Counter(one.verdict for one in found)["not run"] <= 3


@pytest.mark.parametrize("name", [name for name in ENTRIES if name != "claims"])
def test_the_plans_of_an_entry_hold_all_trials_that_it_shows(name):
    """Trials of other plans change nothing in its table and claims."""
    entry = ENTRIES[name]
    specs = [short(spec) for own in entry.plans for spec in plan(own).trials]
    own = Results.of(complete().records, specs)
    assert entry.make(own) == entry.make(complete())
    assert findings(own, name) == findings(complete(), name)


@pytest.mark.parametrize(
    ("first", "verdict"),
    [
        pytest.param(0.5, "reproduced", id="half the gap"),
        pytest.param(1.0, "not reproduced", id="the same gap"),
        pytest.param(1.5, "not reproduced", id="more"),
    ],
)
def test_a_planted_difference_is_found(first, verdict):
    """Table 12: DRAlign against FairReg at four weights and five seeds."""
    weights = (0.2, 0.3, 0.4, 0.5)
    found = [
        made_up.point(
            0.77,
            0.2,
            given={"soft": (0.1 + 0.01 * seed) * factor, "hard": 0.1},
            seed=seed,
            method=method,
            fairness_weight=weight,
            alignment_weight=beta,
        )
        for seed in range(5)
        for weight in weights
        for method, factor, beta in (("gap", 1.0, 0.0), ("dralign", first, weight / 10))
    ]
    [soft, *_] = findings(Results.of(found), "table12")
    assert soft.verdict == verdict


def test_other_readings_of_a_claim_stand_beside_the_one_that_counts():
    """Soft gaps differ, hard ones do not: both verdicts are shown, soft first."""
    found = [
        made_up.point(
            0.77,
            0.2,
            given={"soft": soft, "hard": 0.1 + 0.01 * seed},
            seed=seed,
            method=method,
            fairness_weight=weight,
        )
        for seed in range(3)
        for weight in (0.2, 0.3, 0.4, 0.5)
        for method, soft in (("gap", 0.1 + 0.02 * seed), ("dralign", 0.05))
    ]
    verdicts = {
        one.reading: one.verdict
        for one in findings(Results.of(found), "table12")
        if "p-values" in one.statement
    }
    assert list(verdicts.items())[:2] == [("soft", "reproduced"), ("hard", "not reproduced")]


def test_of_two_trials_that_differ_in_readings_alone_the_one_with_them_counts():
    spec = TrialSpec(made_up.ADULT, "oversample", epochs=3)
    plain, kept = made_up.records([spec, replace(spec, readings=True)])
    history = tuple(replace(epoch, readings=readings(spec)) for epoch in kept.history)
    kept = replace(kept, history=history)
    for order in ([plain, kept], [kept, plain]):
        assert Results.of(order).records == (kept,)


def test_several_trials_of_a_seed_give_their_mean_and_undefined_figures_are_left_out():
    found = [
        made_up.point(ap, 0.1, seed=seed, fairness_weight=weight)
        for seed, weight, ap in [(0, 0.2, 0.7), (0, 0.5, 0.8), (1, 0.2, float("nan"))]
    ]
    results = Results.of(found)
    assert results.precisions("gap") == {0: pytest.approx(0.75)}
    assert results.precisions("gap", fairness_weight=0.5) == {0: 0.8}


def test_results_leave_out_failed_trials_and_those_of_other_plans():
    spec = TrialSpec(made_up.ADULT, "erm", epochs=3)
    other = replace(spec, epochs=2)
    found = made_up.records([spec, other])
    assert len(Results.of(found).records) == 2
    assert [r.spec for r in Results.of(found, [spec]).records] == [spec]
    assert Results.of([replace(found[0], status="failed")]).records == ()


def test_the_page_does_not_depend_on_the_order_of_the_records():
    found = [r for r in complete().records if r.spec.method in {"erm", "gap", "dralign"}]
    page = document(Results.of(found), study="results")
    assert page == document(Results.of(found[::-1]), study="results")
    for name in ENTRIES.keys() - {"claims"}:
        assert f"## {name}: " in page
    assert all(f" {verdict}" in page for verdict in VERDICTS)


def test_the_plans_name_the_papers_trials():
    """Data, width, epochs and the choice of beta are those of Tables 2 and 4 and A.12."""
    adult = DataSource("adult", preparation="paper")
    common = {"fairness_weight": 0.2, "epochs": 20, "readings": True}
    paper = {"alignment_weight": 0.1 * 0.2, "alignment_every": 1}
    assert TrialSpec(adult, "gap", **common) in plan("adult_dp").trials
    assert TrialSpec(adult, "dralign", **paper, **common) in plan("adult_dp").trials
    german = {spec.alignment_weight for spec in plan("credit").trials if spec.method == "dralign"}
    assert german == {0.005, 0.01}
    assert {spec.epochs for spec in plan("compas").trials} == {5}


@pytest.mark.skipif(not PAPER.exists(), reason="the paper's text is not there")
@pytest.mark.parametrize(("table", "name"), [("Table 2:", "adult_dp"), ("Table 4:", "credit")])
def test_the_weights_of_the_plans_are_those_of_the_settings_tables(table, name):
    lines = PAPER.read_text(encoding="utf-8").split(table)[1].splitlines()
    row = next(line for line in lines if line.startswith("Range of λ for DP"))
    cells = [set(map(float, re.findall(r"\d\.\d", cell))) for cell in row.split("\t")[3:]]
    for method, wanted in zip(("gap", "mixup", "dralign"), cells, strict=True):
        planned = {
            spec.fairness_weight
            for spec in plan(name).trials
            if (spec.method, spec.gap) == (method, "demographic_parity")
        }
        assert wanted <= planned


def test_a_reduced_plan_is_small_and_no_trial_of_the_whole_one():
    trials = plan("adult_dp").trials
    small = reduced(trials)
    assert {spec.seed for spec in small} == {0, 1}
    assert not set(small) & set(trials)
    assert {spec.method for spec in small} == {spec.method for spec in trials}


@pytest.mark.skipif(not ledger_path(RESULTS).exists(), reason="no results are there")
def test_the_page_in_the_docs_is_what_the_command_writes():
    with Ledger(ledger_path(RESULTS), create=False) as ledger:
        found = ledger.records()
    specs = [spec for name in PLANS for spec in plan(name).trials]
    assert PAGE.read_text(encoding="utf-8") == document(Results.of(found, specs), study="results")
