"""What is said of figures that mislead: shrunken scores, one decision for all, few rows, epochs."""

import re
from dataclasses import replace

import numpy as np
import pytest

from dralign import metrics
from dralign.metrics import Cells, scored
from dralign.training import EpochRecord, Selection
from dralign.training import cautions as found_cautions
from dralign.training.cautions import margin_of

DP = "demographic_parity"
LAST = Selection("last", 0)


def record(epoch, y, prob, group, **changes):
    """An epoch with these predictions on both splits."""
    rows = scored(y, prob, group, n_groups=2)
    figures = metrics.evaluate(y, prob, group, n_groups=2)
    cells = {"validation": Cells.of(rows), "test": Cells.of(rows)}
    found = EpochRecord(epoch, 0.5, figures, dict(figures), {}, 1.0, 0.1, cells=cells)
    return replace(found, **changes)


def people(n=2000, seed=0):
    """Labels, probabilities whose mean is the share of positives, groups."""
    draw = np.random.default_rng(seed)
    group = draw.integers(0, 2, n)
    prob = draw.beta(2, 4, n) * (0.8 + 0.2 * group)
    return (draw.random(n) < prob).astype(int), prob, group


def cautions(*arguments, **options):
    """The lines alone."""
    return [one.text for one in found_cautions(*arguments, **options)]


def said(prob_of=lambda prob: prob, **options):
    y, prob, group = people(**options)
    return cautions((record(0, y, prob_of(prob), group),), LAST, DP)


def test_nothing_is_said_of_sound_figures():
    assert said() == []


def test_halved_scores_are_told_from_the_same_order_at_the_right_level():
    """AP and base-rate gap are equal to the last digit; soft and hard gaps seem to be won."""
    y, prob, group = people()
    sound, shrunk = (record(0, y, f, group) for f in (prob, prob / 2))
    for name in ("average_precision", f"base_rate_{DP}", f"all_cutoffs_{DP}"):
        assert shrunk.test[name] == sound.test[name]
    assert shrunk.test[f"soft_{DP}"] == pytest.approx(sound.test[f"soft_{DP}"] / 2)
    assert shrunk.test[f"hard_{DP}"] < 0.05 * sound.test[f"hard_{DP}"] + 0.01
    [level] = [line for line in said(lambda prob: prob / 2) if "shrank" in line]
    assert "mean score .1" in level.replace("0.", ".")


def test_a_bound_can_not_be_met_by_shrinking():
    y, prob, group = people()
    bound = record(0, y, prob, group).validation[f"base_rate_{DP}"] / 2
    shrunk = record(0, y, prob / 100, group)
    assert shrunk.keeps(bound, DP, "soft")
    assert shrunk.keeps(bound, DP, "hard")
    assert not shrunk.keeps(bound, DP, "base_rate")


def test_one_decision_for_nearly_everybody_is_said_to_be_so():
    lines = said(lambda prob: prob / 10)
    assert "100 % of the test rows get decision 0: the hard gap says nothing" in lines


def test_a_group_of_few_rows_is_named_with_what_its_rates_are_worth():
    y, prob, group = people()
    group = np.where(np.arange(len(y)) < 25, 1, 0)
    history = (record(0, y, prob, group),)
    [line] = cautions(history, LAST, DP, names=("north", "south"))
    assert re.fullmatch(
        r"group 'south' has 25 test rows: its rates are uncertain by up to ± 0\.20", line
    )


def test_an_epoch_that_is_better_by_the_base_rate_gap_is_named():
    y, prob, group = people()
    worse = record(1, y, np.clip(prob + 0.3 * group, 0, 1), group)
    history = (record(0, y, prob, group), worse)
    [line] = [text for text in cautions(history, LAST, DP) if "epoch" in text]
    assert line.startswith("epoch 0 has a base-rate gap of ")
    assert "the chosen epoch 1 (last epoch)" in line
    assert cautions(history, Selection(warmup=0), DP) == []


def test_a_run_without_any_gap_to_choose_by_is_told_once():
    y, prob, group = people()
    one = record(0, y, prob, np.zeros_like(group))
    history = (one, replace(one, epoch=1))
    [line] = [one.text for one in found_cautions(history, Selection(), DP) if "undef" in one.kind]
    assert line == (
        "no epoch has a base-rate gap on the validation rows, where a group or a label is missing: "
        "epoch 1 was chosen as the one of the highest AP"
    )
    assert not any(one.kind == "undefined" for one in found_cautions(history, LAST, DP))
    both = (one, record(1, y, prob, group))
    assert not any(one.kind == "undefined" for one in found_cautions(both, Selection(), DP))


def epochs(*figures):
    """Epochs with an average precision and a base-rate gap each, on 2,000 validation rows."""
    y, prob, group = people()
    whole = record(0, y, prob, group)
    return tuple(
        replace(
            whole,
            epoch=epoch,
            validation={**whole.validation, "average_precision": ap, f"base_rate_{DP}": gap},
        )
        for epoch, (ap, gap) in enumerate(figures)
    )


OWN = 'select="highest_ap" (--select highest_ap)'
LEFT_OUT = 'select="highest_ap" and warmup=0 (--select highest_ap --warmup 0)'


@pytest.mark.parametrize(
    ("figures", "how"),
    [
        ([(0.6, 0.3), (0.719, 0.11), (0.7, 0.1)], ""),
        ([(0.6, 0.3), (0.721, 0.11), (0.7, 0.1)], OWN),
        ([(0.721, 0.11), (0.7, 0.11), (0.7, 0.1)], LEFT_OUT),
        ([(0.6, 0.3), (0.8, 0.2), (0.7, 0.1)], ""),  # won by more than chance, about .04
        ([(0.9, 0.2), (0.8, 0.11), (0.7, 0.1)], ""),
    ],
)
def test_a_much_more_precise_epoch_is_told_where_no_gap_was_won_for_it(figures, how):
    history = epochs(*figures)
    told = [line for line in cautions(history, Selection(), DP) if " AP of " in line]
    assert len(told) == bool(how)
    if how:
        best = 0 if how == LEFT_OUT else 1
        [line] = told
        assert line == (
            f"epoch {best} has an AP of 0.721 on the validation rows, the chosen epoch 2 (smallest "
            "base-rate gap, first 1 left out) 0.700 at a base-rate gap smaller by no more than "
            f"chance explains; to take that one: {how}"
        )
        taken = Selection("highest_ap", warmup=int(how == OWN)).choose(history, DP)
        assert taken.epoch == best


def test_a_lead_in_precision_that_few_rows_can_not_tell_is_not_told_of():
    """Of 40 positive rows a share of .7 is uncertain by .07."""
    few = Cells.of(
        scored(np.arange(80) % 2, np.linspace(0, 1, 80), np.arange(80) // 40, n_groups=2)
    )
    history = [replace(one, cells={"validation": few}) for one in epochs((0.76, 0.1), (0.7, 0.1))]
    assert cautions(tuple(history), LAST, DP) == []
    history[0].validation["average_precision"] = 0.8
    assert " AP of " in cautions(tuple(history), LAST, DP)[0]


def test_precision_given_up_is_not_told_under_a_bound_and_without_a_margin_only_at_an_equal_gap():
    history = epochs((0.6, 0.3), (0.8, 0.11), (0.7, 0.1))
    assert cautions(history, Selection("highest_ap_under_bound", bound=0.1), DP) == []
    bare = [replace(one, cells={}) for one in history]
    assert cautions(bare, Selection(), DP) == []
    equal = [replace(one, cells={}) for one in epochs((0.8, 0.1), (0.7, 0.11), (0.7, 0.1))]
    assert " AP of " in cautions(equal, Selection(), DP)[0]


def told_by_chance(gap, draw, trials=100, n=2000):
    """How often an epoch is said to be worse, where two epochs differ by chance alone."""
    told = 0
    for _ in range(trials):
        y, group = (draw.random(n) < 0.1).astype(int), draw.integers(0, 2, n)
        scores = (1 / (1 + np.exp(2 - 1.5 * y - draw.normal(size=n))) for _ in range(2))
        history = tuple(record(at, y, prob, group) for at, prob in enumerate(scores))
        told += any("more than chance explains (" in line for line in cautions(history, LAST, gap))
    return told / trials


@pytest.mark.parametrize("gap", metrics.ranking.figure_names())
def test_what_chance_explains_is_not_said_of_an_epoch(gap):
    """With no true gap one is beyond its margin in 1 of 20 runs; 3 standard errors beside."""
    assert told_by_chance(gap, np.random.default_rng(0)) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 100)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_margin_of_chance_is_that_of_the_rows_that_are_compared(weighted):
    draw = np.random.default_rng(0)
    y, prob, group = people(1500)
    group = np.where(draw.random(1500) < 0.3, 2, group)
    weight = draw.integers(1, 4, 1500).astype(float) if weighted else np.ones(1500)
    rows = scored(y, prob, group, n_groups=3, sample_weight=weight if weighted else None)
    order = np.argsort(-prob)
    place = np.empty(1500)
    place[order] = np.cumsum(weight[order])
    selected = place <= (weight * y).sum()

    def variance(compared, value):
        rate = np.average(value[compared], weights=weight[compared])
        inside = [weight[compared & (group == code)] for code in range(3)]
        n, m, _ = sorted(w.sum() ** 2 / (w**2).sum() for w in inside)
        return rate * (1 - rate) * (1 / n + 1 / m)

    everybody = np.ones(1500, dtype=bool)
    expected = {
        "demographic_parity": variance(everybody, selected),
        "equal_opportunity": variance(y == 1, selected),
        "equalized_odds": variance(y == 1, selected) + variance(y == 0, selected),
        "predictive_parity": variance(selected, y),
        "all_cutoffs_equal_opportunity": variance(y == 1, selected),
    }
    for gap, known in expected.items():
        # Among the selected, squares of weights are known of the cell, not of each row.
        near = 0.03 if weighted else 0.005
        assert margin_of(Cells.of(rows), gap) == pytest.approx(1.96 * np.sqrt(known), rel=near)


def test_without_a_row_that_is_compared_or_quantiles_no_margin_is_known():
    y, prob, group = people(200)
    y[group == 1] = 0
    cells = Cells.of(scored(y, prob, group, n_groups=2))
    assert margin_of(cells, "equal_opportunity") == np.inf
    assert margin_of(cells, DP) < 0.2
    assert margin_of(replace(cells, quantiles=""), DP) == np.inf
    assert margin_of(None, DP) == np.inf
