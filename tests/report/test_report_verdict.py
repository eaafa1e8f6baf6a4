"""The result in a sentence: the smallest gap near the precision of erm, and what stays open."""

import pytest

import records as made_up
from dralign.analysis import summarise
from dralign.report import caution_lines, verdict
from dralign.report.labels import panels
from dralign.training import Selection

LAST = Selection("last")


def panel(points, seeds=3, **options):
    """Rows of (method, weight, AP, gap) with gaps that differ by .002 over three seeds."""
    trials = [
        made_up.point(ap, gap + 0.001 * seed, seed=seed, method=method, fairness_weight=weight)
        if weight
        else made_up.point(ap, gap + 0.001 * seed, seed=seed, method=method)
        for method, weight, ap, gap in points
        for seed in range(seeds)
    ]
    rows = summarise(trials, selection=LAST, **options)
    return panels(rows)[0], rows


def test_the_smallest_gap_within_the_loss_is_named_with_both_figures():
    found, _ = panel([("erm", 0, 0.78, 0.15), ("gap", 0.2, 0.776, 0.10), ("gap", 0.4, 0.75, 0.02)])
    assert verdict(found) == (
        "At an AP within 0.005 of erm's 0.780, the smallest base-rate gap has gap λ 0.2: "
        "0.101 ± 0.002 against 0.151 ± 0.002 of erm, 3 seeds."
    )


def test_what_the_intervals_can_not_tell_apart_is_named():
    found, _ = panel([("erm", 0, 0.78, 0.15), ("gap", 0.2, 0.78, 0.1), ("mixup", 0.2, 0.78, 0.102)])
    assert verdict(found).endswith("3 seeds; undecided against mixup λ 0.2.")


def test_nothing_better_than_erm_is_said_to_be_so():
    found, _ = panel([("erm", 0, 0.78, 0.15), ("gap", 0.2, 0.76, 0.02)])
    assert verdict(found).endswith(
        "no setting has a smaller base-rate gap than erm itself (0.151 ± 0.002); the next is gap "
        "λ 0.2: 0.021 ± 0.002 at an AP 0.020 lower."
    )
    found, _ = panel([("erm", 0, 0.78, 0.15), ("gap", 0.2, 0.76, 0.2)])
    assert verdict(found).endswith("than erm itself (0.151 ± 0.002).")


@pytest.mark.parametrize("points", [[("gap", 0.2, 0.78, 0.1)], [("erm", 0, 0.78, 0.1)]])
def test_without_erm_or_others_there_is_no_sentence(points):
    assert verdict(panel(points)[0]) == ""


def test_one_seed_decides_nothing():
    found, _ = panel([("erm", 0, 0.78, 0.15), ("gap", 0.2, 0.78, 0.1)], seeds=1)
    assert verdict(found).endswith("1 seed; one seed can't tell it from the others.")


def test_the_sentence_is_in_the_measure_asked_for():
    points = [("erm", 0, 0.78, 0.15), ("gap", 0.2, 0.78, 0.1)]
    assert "smallest hard gap" in verdict(panel(points, measure="hard")[0])


def test_settings_to_be_read_with_care_are_named_in_one_line():
    low = made_up.point(0.78, 0.1, method="gap", fairness_weight=0.2)
    low.history[0].test["mean_probability"] = 0.1
    sound = made_up.point(0.78, 0.1, method="erm")
    rows = summarise([low, sound], selection=LAST)
    words = "the mean score is more than a quarter off the share of positives"
    assert caution_lines(rows) == [f"{words}: gap λ 0.2 (1 of 2 trials)"]
    assert caution_lines(summarise([sound], selection=LAST)) == []
