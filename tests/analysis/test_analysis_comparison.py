"""Two methods against each other: what is paired with what, and what is counted."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from dralign.analysis import (
    Interval,
    compare_methods,
    compare_with_baseline,
    front,
    gap_at,
    holm,
    hypervolume,
    p_values,
)
from dralign.analysis.sides import OWN_SETTINGS
from dralign.errors import OptionError
from dralign.methods import method_settings
from dralign.study.spec import COMMON
from dralign.training import Selection
from records import point

LAST = Selection(rule="last", warmup=0)
WEIGHTS = (0.2, 0.3, 0.5)


def method(name, seeds=range(4), *, better=0.0, weights=WEIGHTS, **settings):
    """A method whose front gets lower and falls with its weight, each seed a little elsewhere."""
    found = []
    for weight in weights:
        for seed in seeds:
            noise = np.random.default_rng([seed, round(100 * weight), len(name)]).normal(0, 1, 2)
            ap = 0.8 - 0.1 * weight + 0.001 * noise[0]
            gap = (0.15 - 0.2 * weight) * (1 - better) + 0.002 * noise[1]
            sign = -1 if seed % 2 else 1  # gaps are signed; they must be made absolute first
            if name == "dralign":
                settings["alignment_weight"] = weight / 10
            found.append(
                point(ap, sign * gap, seed=seed, method=name, fairness_weight=weight, **settings)
            )
    return found


def figures(records, weight):
    """AP and absolute gap by seed, at a weight."""
    chosen = [r for r in records if r.spec.fairness_weight == weight]
    return (
        {r.spec.seed: r.history[0].test["average_precision"] for r in chosen},
        {r.spec.seed: abs(r.history[0].test["base_rate_demographic_parity"]) for r in chosen},
    )


def compare(records, first="dralign", second="gap", **options):
    return compare_methods(records, first, second, selection=LAST, **options)


def test_an_unknown_baseline_is_refused():
    with pytest.raises(OptionError, match="unknown method 'best'; known: erm, oversample"):
        compare_with_baseline(method("gap"), "best", selection=LAST)


def test_levels_of_precision_are_six_at_most_however_wide_the_fronts():
    found = [
        point(ap, ap / 10 + 0.001 * seed, seed=seed, method=name, fairness_weight=weight)
        for name in ("gap", "dralign")
        for seed in range(2)
        for weight, ap in ((0.1, 0.98), (0.5, 0.02))
    ]
    (one,) = compare(found)
    levels = [contrast.level for contrast in one.find("gap", "average_precision")]
    assert levels == [0.2, 0.4, 0.6, 0.8]


def test_at_equal_weight_seeds_are_paired_and_gaps_absolute():
    ours, theirs = method("dralign", better=0.4), method("gap", range(1, 6))
    (found,) = compare(ours + theirs)
    assert [c.level for c in found.find("gap", "weight")] == list(WEIGHTS)
    for place, figure in enumerate(("average_precision", "gap")):
        for weight in WEIGHTS:
            (contrast,) = found.find(figure, "weight", weight)
            a, b = figures(ours, weight)[place], figures(theirs, weight)[place]
            assert contrast.first == Interval.of(a.values())
            assert contrast.second == Interval.of(b.values())
            assert contrast.difference == Interval.of(a[s] - b[s] for s in (1, 2, 3))
            assert contrast.seeds == contrast.difference.n == 3
            assert contrast.p == p_values(a, b)
            assert contrast.first_weights == (weight, weight / 10)
            assert contrast.second_weights == (weight, 0.0)


def test_at_matched_precision_only_seeds_that_both_fronts_reach_count():
    ours, theirs = method("dralign", better=0.4), method("gap")
    theirs = [  # of seed 3 nothing is left but precisions that the other never reaches
        replace(r, history=method("gap", [3], weights=[r.spec.fairness_weight + 2])[0].history)
        if r.spec.seed == 3
        else r
        for r in theirs
    ]
    (found,) = compare(ours + theirs, at=[0.77, 0.9])
    reached, never = found.find("gap", "average_precision")
    assert (reached.seeds, reached.difference.n) == (4, 3)
    assert (never.seeds, never.difference.n) == (4, 0)
    assert math.isnan(never.difference.mean)

    def read(records, seed):
        points = [figures(records, w) for w in WEIGHTS]
        return gap_at(front([(ap[seed], gap[seed]) for ap, gap in points]), 0.77)

    pairs = [(read(ours, seed), read(theirs, seed)) for seed in range(3)]
    assert reached.difference == Interval.of(a - b for a, b in pairs)
    assert reached.ratio.value == pytest.approx(sum(a for a, _ in pairs) / sum(b for _, b in pairs))
    assert reached.ratio.low < reached.ratio.value < reached.ratio.high < 1


def test_levels_are_round_and_reached_by_two_seeds():
    (found,) = compare(method("dralign", better=0.4) + method("gap"))
    matched = found.find("gap", "average_precision")
    assert 1 <= len(matched) <= 6
    assert all(c.level == round(c.level, 3) and c.difference.n >= 2 for c in matched)


def test_hypervolumes_are_of_whole_seeds_below_the_largest_gap_of_erm():
    erm = method("erm", weights=[0.0])
    ours, theirs = method("dralign", better=0.4), method("gap")[1:]  # seed 0 lacks a weight
    (found,) = compare(erm + ours + theirs)
    reference = (0.0, max(figures(erm, 0.0)[1].values()))
    assert found.reference == reference
    (contrast,) = found.find("hypervolume", "front")
    assert contrast.difference.n == 3
    points = [figures(theirs, w) for w in WEIGHTS]
    expected = [hypervolume([(ap[s], gap[s]) for ap, gap in points], reference) for s in (1, 2, 3)]
    assert contrast.second == Interval.of(expected)
    assert compare(ours + theirs)[0].reference == (0.0, 1.0)
    assert compare(ours + theirs, reference=(0.5, 0.2))[0].reference == (0.5, 0.2)


WIDE, NARROW = (0.05, 0.2, 0.4, 0.6, 0.8, 0.95), (0.2, 0.5, 0.8)
ONE_CURVE = [
    point(0.0, 0.0, validation=(0.0, 0.1), seed=seed, method=name, fairness_weight=weight)
    for name, own in (("gap", WIDE), ("mixup", NARROW))
    for weight in own
    for seed in range(8)
]


def null_study(draw):
    """Two methods on one true curve, on validation and test rows; the weights are points on it."""
    for record in ONE_CURVE:
        (epoch,) = record.history
        ap = 0.785 - 0.06 * record.spec.fairness_weight + 0.0044 * draw.normal(size=2)
        gap = 0.15 - 0.13 * record.spec.fairness_weight + 0.0027 * draw.normal()
        measured = {"average_precision": ap[0], "base_rate_demographic_parity": abs(gap)}
        changed = replace(
            epoch,
            validation={**epoch.validation, "average_precision": ap[1]},
            test={**epoch.test, **measured},
        )
        yield replace(record, history=(changed,))


def test_more_weights_of_one_method_find_no_difference_of_fronts_where_there_is_none():
    draw = np.random.default_rng(0)
    studies, found, of_all = 40, 0, 0
    for _ in range(studies):
        records = list(null_study(draw))
        (one,) = compare(records, "gap", "mixup", at=[], reference=(0.72, 0.15))
        (volume,) = one.find("hypervolume", "front")
        assert [len(weights) for weights in one.on_fronts] == [3, 3]
        found += volume.p.paired_t < 0.05
        every = []
        for name, own in (("gap", WIDE), ("mixup", NARROW)):
            at = [figures([r for r in records if r.spec.method == name], w) for w in own]
            volumes = {
                s: hypervolume([(ap[s], gap[s]) for ap, gap in at], (0.72, 0.15)) for s in range(8)
            }
            every.append(volumes)
        of_all += p_values(*every).paired_t < 0.05
    assert of_all / studies > 0.7
    assert found / studies <= 0.15  # of 40 tests at .05, more in three of a thousand


def test_a_setting_too_many_has_no_part_in_the_front_at_matched_precision():
    better = [
        point(0.77, 0.0, validation=(0.1, 0.1), seed=s, method="dralign", fairness_weight=0.9)
        for s in range(4)
    ]
    records = method("dralign") + method("gap")
    (without,), (found,) = (compare(some, at=[0.77]) for some in (records, records + better))
    assert found.find("gap", "average_precision")[0].first.mean > 0.05
    assert [replace(c, holm=c.p) for c in found.find("gap", "average_precision")] == [
        replace(c, holm=c.p) for c in without.find("gap", "average_precision")
    ]


def test_the_setting_that_meets_a_method_without_weights_is_the_nearest_in_validation_precision():
    records = [
        point(0.8, gap, validation=(ap, 0.1), seed=seed, method=name, fairness_weight=weight)
        for name, weight, ap, gap in (
            ("erm", 0.0, 0.79, 0.1),
            ("gap", 0.2, 0.80, 0.05),
            ("gap", 0.4, 0.786, 0.2),
        )
        for seed in range(2)
    ]
    (one,) = compare(records, "erm", "gap", reference=(0.0, 1.0))
    assert one.on_fronts == (((0.0, 0.0),), ((0.4, 0.0),))
    (volume,) = one.find("hypervolume", "front")
    assert (volume.first.mean, volume.second.mean) == pytest.approx((0.8 * 0.9, 0.8 * 0.8))


def test_a_method_without_weights_is_compared_with_every_weight():
    (found,) = compare(method("gap") + method("erm", weights=[0.0]), "gap", "erm")
    assert [c.level for c in found.find("gap", "weight")] == list(WEIGHTS)


def test_alignment_weights_are_equal_where_both_methods_have_several():
    base = method("dralign", weights=[0.2]) + method("gap", weights=[0.2])
    more = [
        point(0.7, 0.1, seed=s, method="dralign", fairness_weight=0.2, alignment_weight=0.01)
        for s in range(4)
    ]
    (found,) = compare(base + more)
    assert {c.first_weights for c in found.find("gap", "weight")} == {(0.2, 0.02), (0.2, 0.01)}


def test_only_what_was_run_under_the_same_settings_is_compared():
    records = [
        *method("dralign"),
        *method("dralign", granularity="parameter"),
        *method("gap", readings=True),
        *method("gap", hidden=50),
    ]
    found = compare(records)
    assert [(c.first.granularity, c.second.hidden) for c in found] == [
        ("parameter", 200),
        ("unit", 200),
    ]
    assert compare(method("dralign") + method("gap", hidden=50)) == []
    changed = [replace(r, fingerprint="other") for r in method("gap")]
    assert compare(method("dralign") + changed) == []


def test_weights_found_under_a_gap_bound_meet_those_under_the_same_one():
    bounded = {"weights": [0.0]}
    records = [
        *method("gap", gap_bound=0.05, **bounded),
        *method("gap", gap_bound=0.1, **bounded),
        *method("mixup", gap_bound=0.1, **bounded),
        *method("erm", **bounded),
    ]
    (found,) = compare(records, "mixup", "gap")
    assert found.first.gap_bound == found.second.gap_bound == 0.1
    assert [one.second.gap_bound for one in compare(records, "erm", "gap")] == [0.05, 0.1]


def test_every_setting_is_shared_or_a_methods_own():
    """Whoever adds a setting decides whether two methods may differ in it and be compared."""
    shared = {"data", "gap", "loss", "hidden", "depth", "epochs", "iterations", "batch_size"}
    shared |= {
        "learning_rate",
        "micro_batch",
        "precision",
        "network",
        "classifier_width",
        "patience",
        "weight_decay",
        "clip_norm",
    }
    names = {setting.name for setting in COMMON}
    assert {"data", *names} - set(OWN_SETTINGS) == shared
    assert not names & set(method_settings())


def test_correction_is_over_all_contrasts_of_one_data_set_and_gap():
    records = [*method("erm", weights=[0.0]), *method("gap"), *method("dralign", better=0.3)]
    other = [
        r for name in ("gap", "erm") for r in method(name, weights=[0.0], gap="equalized_odds")
    ]
    found = compare_with_baseline(records + other, selection=LAST)
    assert [c.first.method for c in found] == ["erm", "dralign", "erm"]
    for family in (found[:2], found[2:]):
        contrasts = [contrast for one in family for contrast in one.contrasts]
        for kind in ("paired_t", "welch_t", "wilcoxon"):
            expected = holm([getattr(c.p, kind) for c in contrasts])
            assert [getattr(c.holm, kind) for c in contrasts] == pytest.approx(
                expected, nan_ok=True
            )


@pytest.mark.parametrize(
    ("present", "baseline"),
    [(["gap", "erm"], "gap"), (["erm", "dralign"], "erm"), (["oversample", "mixup"], "oversample")],
)
def test_the_baseline_is_gap_or_else_erm(present, baseline):
    records = [r for name in present for r in method(name, weights=[0.0])]
    (found,) = compare_with_baseline(records, selection=LAST)
    assert found.second.method == baseline
    assert compare_with_baseline(records, "thresholds", selection=LAST) == []


def test_the_gap_is_taken_in_the_measure_asked_for():
    records = [
        point(0.7, 0.5, given={"hard": 0.01 * s}, seed=s, method=name, fairness_weight=0.2)
        for name in ("gap", "mixup")
        for s in range(3)
    ]
    (found,) = compare(records, "gap", "mixup", measure="hard")
    assert found.find("gap", "weight")[0].first == Interval.of([0.0, 0.01, 0.02])


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_seeds_make_undefined_p_values(n):
    records = method("dralign", range(n)) + method("gap", range(n))
    contrasts = [contrast for one in compare(records) for contrast in one.contrasts]
    assert all(math.isnan(p) for c in contrasts for p in (*vars(c.p).values(), c.ratio.low))


def test_a_comparison_is_ready_for_json():
    (found,) = compare(method("dralign") + method("gap"))
    form = json.loads(json.dumps(found.to_dict()))
    assert form["selection"] == "last epoch"
    assert (form["first"]["method"], form["measure"]) == ("dralign", "base_rate")
    assert form["contrasts"][0]["p"].keys() == {"paired_t", "welch_t", "wilcoxon"}


@pytest.mark.parametrize(
    ("first", "second", "options", "message"),
    [
        ("gap", "gpa", {}, "unknown method 'gpa'; known: erm"),
        ("gap", "gap", {}, "expected two methods, got 'gap' twice"),
        (
            "gap",
            "erm",
            {"measure": "firm"},
            "unknown measure of the gap 'firm'; known: base_rate, all",
        ),
    ],
)
def test_what_can_not_be_compared_is_one_clear_line(first, second, options, message):
    with pytest.raises(OptionError, match=message):
        compare(method("gap"), first, second, **options)


FORM = "all_cutoffs_demographic_parity"


def of_two_forms():
    """FairReg trained for two forms of one gap, the second with the better front."""
    return method("gap") + method("gap", better=0.3, gap=FORM) + method("dralign", better=0.1)


def test_two_forms_of_one_gap_meet_by_name_at_matched_precision():
    (found,) = compare(of_two_forms(), f"gap/{FORM}", "gap/demographic_parity")
    assert (found.first.gap, found.second.gap) == (FORM, "demographic_parity")
    assert found.find("gap", "weight") == [], "a weight means something else in each form"
    (level,) = [c for c in found.find("gap", "average_precision") if c.level == 0.75]
    assert level.ratio.value == pytest.approx(0.7, abs=0.05)


def test_by_the_names_of_methods_alone_forms_are_not_mixed():
    (found,) = compare(of_two_forms())
    assert {found.first.gap, found.second.gap} == {"demographic_parity"}


def test_the_baseline_of_a_form_is_its_own_or_else_the_plain_one():
    records = [*of_two_forms(), *method("dralign", gap=FORM)]
    pairs = {
        (c.first.method, c.first.gap, c.second.method, c.second.gap)
        for c in compare_with_baseline(records, selection=LAST)
    }
    plain = "demographic_parity"
    assert pairs == {
        ("gap", FORM, "gap", plain),
        ("dralign", plain, "gap", plain),
        ("dralign", FORM, "gap", FORM),
    }


def test_a_baseline_with_a_named_gap_is_compared_with_everything():
    for baseline, other in (("demographic_parity", FORM), (FORM, "demographic_parity")):
        found = compare_with_baseline(of_two_forms(), f"gap/{baseline}", selection=LAST)
        pairs = {(c.first.method, c.first.gap) for c in found}
        assert pairs == {("gap", other), ("dralign", "demographic_parity")}


def test_an_unknown_form_is_refused():
    with pytest.raises(OptionError, match="unknown gap 'best'"):
        compare([], "gap/best")
