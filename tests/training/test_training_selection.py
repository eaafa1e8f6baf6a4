"""Rules pick an epoch, a run keeps no more weights than they need, and stops when they settle."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dralign.errors import OptionError
from dralign.training import RULES, EpochRecord, Selection, TrainingSettings, train
from switched_off import method_of
from synthetic import dataset, perceptron

METHOD = method_of("gap", fairness_weight=0.2)
SHORT = TrainingSettings(epochs=3, iterations=5, batch_size=20)
LONG = replace(SHORT, epochs=12, learning_rate=0.1)


def record(epoch: int, ap: float, gap: float) -> EpochRecord:
    figures = {"average_precision": ap, "base_rate_demographic_parity": gap}
    return EpochRecord(epoch, 0.5, figures, {}, {}, 1.0, 0.1)


HISTORY = tuple(
    record(epoch, ap, gap)
    for epoch, (ap, gap) in enumerate(
        [(0.5, 0.01), (0.7, 0.2), (0.8, 0.3), (0.75, 0.05), (0.6, 0.1)]
    )
)


@pytest.mark.parametrize(
    ("selection", "epoch"),
    [
        (Selection(), 3),
        (Selection(warmup=0), 0),
        (Selection("highest_ap"), 2),
        (Selection("last"), 4),
        (Selection("highest_ap_under_bound", bound=0.2), 3),
        (Selection("highest_ap_under_bound", bound=0.25), 3),
        (Selection("highest_ap_under_bound", bound=0.3), 2),  # a gap that equals the bound keeps it
        (Selection("highest_ap_under_bound", bound=0.01), 3),
        (Selection("highest_ap_under_bound", bound=1.0), 2),
        (Selection(warmup=99), 4),
    ],
    ids=str,
)
def test_rules_pick_their_epoch(selection, epoch):
    assert selection.choose(HISTORY, "demographic_parity").epoch == epoch


def test_undefined_figures_are_never_the_best():
    history = (record(0, 0.5, 0.1), record(1, math.nan, math.nan), record(2, 0.6, 0.2))
    assert Selection().choose(history, "demographic_parity").epoch == 2
    assert Selection("highest_ap").choose(history, "demographic_parity").epoch == 2


def test_where_no_epoch_has_a_gap_the_most_precise_is_taken_and_not_the_first():
    history = tuple(record(epoch, ap, math.nan) for epoch, ap in enumerate([0.9, 0.5, 0.7, 0.6]))
    for rule in (Selection(), Selection("highest_ap_under_bound", bound=0.1)):
        assert rule.choose(history, "demographic_parity").epoch == 2
        assert rule.without_gap(history, "demographic_parity")
        assert not rule.without_gap((*history, record(4, 0.1, 0.3)), "demographic_parity")
        assert rule.choose((*history, record(4, 0.1, 0.3)), "demographic_parity").epoch == 4
    assert not Selection("last").without_gap(history, "demographic_parity")
    assert Selection(warmup=9).without_gap(history, "demographic_parity")


def test_a_rule_that_had_no_choice_is_not_named_as_the_reason():
    history = tuple(record(epoch, 0.5, 0.1) for epoch in range(3))
    dp = "demographic_parity"
    assert Selection(warmup=2).told(history, dp) == str(Selection(warmup=2))
    assert Selection(warmup=3).told(history, dp) == "the last epoch; a warm-up of 3 leaves no other"
    assert Selection(warmup=0).told(history[:1], dp) == "smallest base-rate gap"
    lacking = (record(0, 0.5, math.nan),) * 3
    assert Selection().told(lacking, dp) == "highest AP; no epoch has a gap on the validation rows"


NUMBERS = st.one_of(st.just(math.nan), st.sampled_from([0.0, 0.1, 0.2, 0.3]), st.floats(0, 1))


@given(
    figures=st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=9),
    rule=st.sampled_from(RULES),
    warmup=st.integers(0, 4),
    bound=NUMBERS.filter(lambda number: not math.isnan(number)),
)
def test_an_epoch_passed_over_once_is_never_picked_later(figures, rule, warmup, bound):
    """So a run may forget its weights: a choice stands, or the newest epoch takes its place."""
    given_bound = bound if rule == "highest_ap_under_bound" else None
    selection = Selection(rule, warmup, given_bound)
    history = tuple(record(epoch, *pair) for epoch, pair in enumerate(figures))
    choices = [
        selection.choose(history[:n], "demographic_parity").epoch
        for n in range(1, len(history) + 1)
    ]
    assert choices[0] == 0
    for newest, (before, after) in enumerate(pairwise(choices), start=1):
        assert after in {before, newest}


def test_an_epoch_that_breaks_the_bound_is_not_picked_for_want_of_precision():
    history = (record(0, math.nan, 0.5), record(1, math.nan, 0.05), record(2, math.nan, 0.04))
    rule = Selection("highest_ap_under_bound", warmup=0, bound=0.1)
    assert rule.choose(history, "demographic_parity").epoch == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "best"}, "unknown selection rule 'best'; known: smallest_gap"),
        ({"warmup": -1}, "warmup: expected 0 or more epochs, got -1"),
        ({"rule": "highest_ap_under_bound"}, "bound: needed by the rule"),
        ({"bound": 0.1}, "bound: needed by the rule"),
    ],
)
def test_bad_selection_is_refused(options, message):
    with pytest.raises(OptionError, match=message):
        Selection(**options)


def test_choosing_from_an_empty_history_is_refused():
    with pytest.raises(OptionError, match="the run has no epochs"):
        Selection().choose((), "demographic_parity")


@pytest.mark.parametrize("rule", [Selection(), Selection("highest_ap", 0), Selection("last")])
def test_with_a_selection_only_the_weights_that_it_picks_are_kept(rule):
    settings = replace(SHORT, epochs=6)
    every = train(perceptron(), dataset(), METHOD, settings)
    one = train(perceptron(), dataset(), METHOD, settings, keep=rule)
    chosen = rule.choose(every.history, METHOD.gap.name).epoch
    assert [epoch for epoch, state in enumerate(one.states) if state is not None] == [chosen]
    assert one.restore(rule, METHOD.gap.name).epoch == chosen
    for name, weights in one.model.state_dict().items():
        assert torch.equal(weights, every.states[chosen][name])


def test_an_epoch_that_was_not_kept_is_not_restored():
    result = train(perceptron(), dataset(), METHOD, SHORT, keep="none")
    assert result.states == (None,) * 3
    before = [p.detach().clone() for p in result.model.parameters()]
    with pytest.raises(OptionError, match="last epoch picks epoch 2, whose weights were not kept"):
        result.restore(Selection("last", warmup=0), METHOD.gap.name)
    assert all(map(torch.equal, before, result.model.parameters()))


@pytest.mark.parametrize("rule", ["smallest_gap", "highest_ap", "last"])
@pytest.mark.parametrize("patience", [1, 3])
def test_patience_ends_a_run_where_the_choice_has_stood_for_so_long(rule, patience):
    keep, settings = Selection(rule), LONG
    whole = train(perceptron(), dataset(), METHOD, settings, keep=keep).history
    choices = [keep.choose(whole[:n], METHOD.gap.name).epoch for n in range(1, 13)]
    stood = [epoch for epoch in range(12) if epoch - choices[epoch] >= patience]
    stopped = train(
        perceptron(), dataset(), METHOD, replace(settings, patience=patience), keep=keep
    )
    assert bool(stood) == (rule != "last")
    assert len(stopped.history) == (stood[0] + 1 if stood else 12)
    assert [record.test for record in stopped.history] == [
        record.test for record in whole[: len(stopped.history)]
    ]


def test_patience_without_a_selection_is_that_of_the_published_rule():
    settings = replace(LONG, patience=2)
    runs = [train(perceptron(), dataset(), METHOD, settings, keep=keep) for keep in ("all", "none")]
    expected = train(perceptron(), dataset(), METHOD, settings, keep=Selection())
    assert len(expected.history) < 12
    assert {len(run.history) for run in runs} == {len(expected.history)}
