"""Every table, figure and claim from no records, some, and all of them."""

import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

import records as made_up
from dralign.data import DataSource
from dralign.reproduce import ENTRIES, PLANS, Results, document, findings, plan, reduced, section
from dralign.reproduce.claims import AS_PRINTED
from dralign.reproduce.convergence import sooner
from dralign.reproduce.entry import paper
from dralign.reproduce.headlines import Headline, headlines, sentences
from dralign.reproduce.similarity import FORMS
from dralign.reproduce.table1 import D_F
from dralign.reproduce.verdicts import VERDICTS, Judged, Part
from dralign.study import TrialSpec

ROOT = Path(__file__).resolve().parents[2]
COPIES = sorted((ROOT / "results").glob("reproduction_*.jsonl.gz"))
PAGE = ROOT / "docs" / "reproduction.md"
FIGURES = ROOT / "docs" / "images" / "reproduction"
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
    verdicts = {part.verdict for one in findings(NOTHING, name) for part in one.parts}
    assert verdicts <= {"not run", "not comparable", "contradicts itself"}


def test_the_trials_of_the_plans_are_enough_for_every_claim():
    """Two seeds are too few for a level, and nothing else is missing but fronts that meet."""
    found = findings(complete())
    assert len({one.check for one in found}) == 40
    missing = [
        f"{one.check}: {part}"
        for one in found
        for part in one.parts
        if one.reading not in {AS_PRINTED, "recalibrated"}  # of two plans; of cells
        and part.verdict == "not run"
        and not part.label.startswith("EOP")  # made-up: no cells
    ]
    assert not [text for text in missing if "no lambda has both" not in text]


@pytest.mark.parametrize("name", [name for name in ENTRIES if name != "claims"])
def test_the_plans_of_an_entry_hold_all_trials_that_it_shows(name):
    """Trials of other plans change nothing in its table and claims."""
    entry = ENTRIES[name]
    specs = [short(spec) for own in entry.plans for spec in plan(own).trials]
    own = Results.of(complete().records, specs)
    assert entry.make(own) == entry.make(complete())
    assert findings(own, name) == findings(complete(), name)


def table12(soft_of, seeds=5):
    """FairReg and DRAlign at four weights; ``soft_of`` gives the soft gap by method and seed."""
    return Results.of(
        made_up.point(
            0.77,
            0.2,
            given={"soft": soft_of(method, seed), "hard": 0.1},
            seed=seed,
            method=method,
            fairness_weight=weight,
            alignment_weight=beta,
        )
        for seed in range(seeds)
        for weight in (0.2, 0.3, 0.4, 0.5)
        for method, beta in (("gap", 0.0), ("dralign", weight / 10))
    )


@pytest.mark.parametrize(
    ("first", "verdict"),
    [
        pytest.param(0.5, "borne out", id="half the gap"),
        pytest.param(1.0, "undecided", id="the same gap"),
        pytest.param(1.5, "contradicted", id="more"),
    ],
)
def test_a_planted_difference_is_found_in_the_reading_that_has_it(first, verdict):
    """Table 12: soft gaps differ, hard ones do not."""
    results = table12(lambda m, seed: (0.1 + 0.01 * seed) * (first if m == "dralign" else 1.0))
    found = {
        one.reading: {part.verdict for part in one.parts}
        for one in findings(results, "table12")
        if one.check == "significant_at_every_weight"
    }
    assert found["soft"] == {verdict}
    assert found["hard"] == {"undecided"}
    assert "per parameter, group sums" not in found  # no trial of it


def test_below_five_seeds_no_part_has_a_level():
    results = table12(lambda method, _: 0.05 if method == "dralign" else 0.1, seeds=4)
    found = [p for one in findings(results, "table12") if one.reading == "soft" for p in one.parts]
    assert {part.verdict for part in found} == {"too few seeds"}


def test_the_page_answers_first_and_shows_each_quote_and_each_row_once():
    page = document(complete(), study="results")
    top, below = page.split("## The evidence", 1)
    for start in (
        "**What holds:**",
        "**What does not:**",
        "**What only leans one way:**",
        "**What can't be said:**",
        "Trials done:",
    ):
        assert start in top
    assert top.count("\n| DRAlign ") >= 6
    assert "Rules of 2026-11-21" in below
    assert len(top.splitlines()) < 60
    for claim in paper("claims")["claims"]:
        line = f"> {claim['quote']} ({claim['section']})"
        same = [c for c in paper("claims")["claims"] if c["quote"] == claim["quote"]]
        assert page.count(line) == len(same)
    rows = [line for line in below.splitlines() if line.startswith("| adult |")]
    assert len(rows) == len(set(rows)) > 20


def test_the_page_shows_the_figures_that_were_drawn_and_the_hours_of_the_trials():
    results = complete()
    page = document(results, study="results", figures={"fig2": "images/fig2.png"})
    assert page.count("![") == 1
    assert "![AP against DP on Adult](images/fig2.png)" in page
    assert "![" not in document(NOTHING, study="results", figures={"fig2": "images/fig2.png"})
    took = sum(e.seconds + e.evaluation_seconds for r in results.records for e in r.history)
    hours = re.search(r"They took ([\d.]+) core-hours", page)
    assert float(hours[1]) == pytest.approx(took / 3600, abs=0.05)


def test_an_empty_study_makes_a_page_that_says_that_nothing_can_be_said():
    page = document(NOTHING, study="results")
    assert "**What holds:** none of the ten headline claims." in page
    assert "**What does not:** none of the ten headline claims." in page
    assert "adult_dp 0 of 250" in page
    assert page.count("| not run |") == 10


@pytest.mark.parametrize(
    ("level", "start"),
    [
        ("borne out", "What holds"),
        ("leans for", "What only leans one way"),
        ("leans against", "What only leans one way"),
        ("contradicted", "What does not"),
        ("contradicts itself", "What does not"),
        ("undecided", "What can't be said"),
        ("too few seeds", "What can't be said"),
        ("not run", "What can't be said"),
    ],
)
def test_a_claim_that_only_leans_is_neither_what_holds_nor_what_does_not(level, start):
    said = sentences([Headline("a claim", "less", "-10%", 10, level, "–")])
    assert [line for line in said if "a claim" in line] == [f"**{start}:** a claim ({level})."]
    assert sum("none of the ten headline claims" in line for line in said) == 3


def test_every_headline_is_a_part_of_its_check():
    parts = {(one.check, part.label) for one in findings(complete()) for part in one.parts}
    for entry in paper("claims")["headlines"]:
        assert (entry["check"], entry["part"]) in parts


def test_what_a_headline_hangs_on_are_readings_with_trials_and_another_level():
    levels = {
        "soft": "leans for",
        "hard": "leans for",
        "last epoch": "contradicted",
        "base rate": "not run",
    }
    judged = [
        Judged("Sec. 4", "a claim", entry["check"], name, (Part(entry["part"], level, ""),))
        for entry in paper("claims")["headlines"]
        for name, level in levels.items()
    ]
    assert headlines(judged)[0].hangs_on == "1 of 2 other readings; last epoch: contradicted"


def test_the_first_epochs_are_a_reading_of_trials_that_have_more():
    spec = TrialSpec(made_up.ADULT, "erm", epochs=10)
    records = made_up.records([spec, replace(spec, epochs=11, seed=1)])
    assert len(Results.of(records).precisions("erm")) == 2
    assert set(replace(Results.of(records), epochs=10).precisions("erm")) == {1}


def course(method, seed, precisions, seconds, **settings):
    """A trial of 200 units with these AP on validation rows and these seconds."""
    spec = TrialSpec(made_up.ADULT, method, seed=seed, epochs=len(precisions), **settings)
    (record,) = made_up.records([spec])
    epochs = zip(record.history, precisions, seconds, strict=True)
    history = tuple(
        replace(epoch, validation={**epoch.validation, "average_precision": ap}, seconds=time)
        for epoch, ap, time in epochs
    )
    return replace(record, history=history)


def test_time_to_converge_is_epochs_at_shared_weights_times_one_median_of_an_epochs_seconds():
    # Within .005 of the best: the third epoch, and the second.
    slow, fast = [0.70, 0.75, 0.787, 0.79], [0.70, 0.787, 0.75, 0.79]
    records = []
    for seed in range(5):
        for weight in (0.2, 0.5):
            records.append(course("mixup", seed, slow, [2.0] * 4, fairness_weight=weight))
            # Another program took the machine for a while.
            seconds = [1.0, 90.0, 1.0, 1.0]
            records.append(course("gap", seed, fast, seconds, fairness_weight=weight))
        # Weights that the other method lacks, and none.
        records.append(course("gap", seed, slow, [50.0] * 4, fairness_weight=0.9))
        records.append(course("gap", seed, slow, [50.0] * 4, fairness_weight=0.0))
        records.append(course("mixup", seed, fast, [50.0] * 4, fairness_weight=0.0))
    part = sooner("", Results.of(records), "demographic_parity", "gap", "mixup")
    assert part.verdict == "borne out"
    assert part.ours.startswith("ratio 0.33 ")  # 2 epochs of 1 s over 3 of 2 s
    assert part.n == 5


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
        assert f"<summary>{name}: " in page
    assert all(f"``{verdict}``" in page for verdict in VERDICTS)


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


@pytest.mark.skipif(not COPIES, reason="the source archive has no results")
def test_the_page_in_the_docs_is_what_the_command_writes_of_the_kept_trials(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "experiments")
    import keep

    found = Results.of(
        (record for copy in COPIES for record in keep.records_of(copy)),
        [spec for name in PLANS for spec in plan(name).trials],
    )
    figures = {path.stem: f"images/reproduction/{path.name}" for path in FIGURES.glob("*.png")}
    page = document(found, study="studies/reproduction", figures=figures)
    assert PAGE.read_text(encoding="utf-8") == page
