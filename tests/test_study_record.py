"""Trials: what is checked, what identifies them, and their way to JSON and back."""

import json
import math
import os
import subprocess
import sys
from dataclasses import replace

import pytest

import records as made_up
from dralign.errors import OptionError, StudyError
from dralign.methods import method_settings
from dralign.study import Trial, TrialRecord, TrialSpec, environment, identify
from dralign.study.spec import COMMON

SPEC = TrialSpec(made_up.ADULT, "dralign", fairness_weight=0.5, alignment_weight=0.05)

OTHER = {
    "data": replace(made_up.ADULT, preparation="standard"),
    "method": "gap",
    "gap": "equalized_odds",
    "fairness_weight": 0.4,
    "alignment_weight": 0.04,
    "granularity": "parameter",
    "layers": ("0", "2"),
    "alignment_every": 4,
    "aggregate": "mean",
    "gap_bound": 0.1,
    "penalty": "mixup",
    "mixup_layer": "1",
    "loss": "group_sum",
    "network": "alexnet",
    "classifier_width": 512,
    "hidden": 50,
    "depth": 1,
    "epochs": 11,
    "iterations": 99,
    "batch_size": 500,
    "learning_rate": 1e-4,
    "micro_batch": 50,
    "precision": "bfloat16",
    "patience": 3,
    "readings": True,
    "seed": 1,
}


# What must be set besides for a setting to be possible.
ALONG = {
    "method": {"alignment_weight": 0.0, "alignment_every": 1},
    "gap_bound": {"fairness_weight": 0.0, "alignment_weight": 0.0},
    "mixup_layer": {"penalty": "mixup"},
}


@pytest.mark.parametrize("name", [*OTHER])
def test_every_setting_is_part_of_the_hash(name):
    base = replace(SPEC, **ALONG.get(name, {}))
    changed = replace(base, **{name: OTHER[name]})
    assert Trial(changed, "f").hash != Trial(base, "f").hash


def test_no_setting_is_left_out_of_the_test_above():
    every = {"data", "method", *(setting.name for setting in COMMON), *method_settings()}
    assert set(OTHER) == every


def test_the_content_of_the_data_is_part_of_the_hash():
    assert Trial(SPEC, "one").hash != Trial(SPEC, "two").hash


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"fairness_weight": 1}, {"fairness_weight": 1.0}),
        ({"fairness_weight": -0.0}, {"fairness_weight": 0.0}),
        ({"layers": ["0", "2"]}, {"layers": ("0", "2")}),
        (
            {"data": replace(made_up.ADULT, data_home="/here")},
            {"data": replace(made_up.ADULT, data_home="/there")},
        ),
    ],
    ids=["int", "minus zero", "list", "data home"],
)
def test_equal_settings_have_equal_hashes(one, two):
    assert Trial(replace(SPEC, **one), "f").hash == Trial(replace(SPEC, **two), "f").hash


def test_a_weight_of_minus_zero_is_written_as_zero():
    assert str(replace(SPEC, fairness_weight=-0.0).fairness_weight) == "0.0"


def test_a_setting_at_its_default_leaves_no_trace_in_the_hash(monkeypatch):
    """Else a setting that is added later would make every old trial a new one."""
    before = Trial(SPEC, "f").hash
    plain = SPEC.to_dict()
    monkeypatch.setattr(TrialSpec, "to_dict", lambda self: {**plain, "depth": 2, "seed": 0})
    assert Trial(SPEC, "f").hash == before
    monkeypatch.setattr(TrialSpec, "to_dict", lambda self: {**plain, "depth": 3})
    assert Trial(SPEC, "f").hash != before


def test_another_process_finds_the_same_hash():
    code = (
        "import records, dataclasses; from dralign.study import Trial, TrialSpec;"
        "print(Trial(TrialSpec(records.ADULT, 'dralign', fairness_weight=0.5,"
        "alignment_weight=0.05), 'f').hash)"
    )
    found = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path = {sys.path!r}; {code}"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    assert found.stdout.strip() == Trial(SPEC, "f").hash


def test_identify_keeps_the_order_drops_equals_and_reads_data_once(monkeypatch):
    calls = []
    monkeypatch.setattr(type(made_up.ADULT), "fingerprint", lambda self: calls.append(self) or "f")
    first, second = SPEC, replace(SPEC, seed=1)
    trials = identify([second, first, replace(second)])
    assert [trial.spec for trial in trials.values()] == [second, first]
    assert list(trials) == [trial.hash for trial in trials.values()]
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "magic"}, r"unknown method 'magic'; known: erm"),
        ({"gap": "no"}, r"unknown gap 'no'"),
        ({"loss": "no"}, r"unknown loss 'no'"),
        ({"granularity": "layer"}, r"unknown granularity 'layer'; known: unit, parameter"),
        ({"epochs": -1}, r"epochs: expected a whole number from 1 up, got -1"),
        ({"iterations": 0}, r"iterations: expected a whole number from 1 up, got 0"),
        ({"batch_size": -5}, r"batch_size: expected a whole number from 1 up, got -5"),
        ({"hidden": 2.5}, r"hidden: expected a whole number from 1 up, got 2.5"),
        ({"depth": -1}, r"depth: expected a whole number from 0 up, got -1"),
        ({"seed": -1}, r"seed: expected a whole number from 0 up, got -1"),
        ({"fairness_weight": "much"}, r"fairness_weight: expected a number from 0 up, got 'much'"),
        ({"fairness_weight": math.nan}, r"fairness_weight: expected a number from 0 up, got nan"),
        ({"alignment_weight": -0.1}, r"alignment_weight: expected a number from 0 up, got -0.1"),
        ({"method": "erm"}, r"'erm' does not use it"),
        ({"learning_rate": 0.0}, r"learning_rate: expected a positive number, got 0.0"),
    ],
)
def test_a_bad_setting_is_refused_when_the_spec_is_made(change, message):
    with pytest.raises(OptionError, match=message):
        replace(SPEC, **change)


def test_a_spec_comes_back_from_json_without_the_place_of_its_data():
    spec = replace(SPEC, layers=("0", "2"), data=replace(made_up.ADULT, data_home="/here"))
    form = json.loads(json.dumps(spec.to_dict()))
    assert "/here" not in json.dumps(form)
    assert TrialSpec.from_dict(form) == replace(spec, data=made_up.ADULT)


def test_a_record_comes_back_from_json_with_undefined_figures():
    record = made_up.records([SPEC])[0]
    epoch = replace(record.history[0], test={"average_precision": math.nan})
    record = replace(record, history=(epoch,), warnings=("one", "two"))
    back = TrialRecord.from_dict(json.loads(json.dumps(record.to_dict())))
    assert math.isnan(back.history[0].test["average_precision"])
    same = replace(epoch, test={})
    assert replace(back, history=(replace(back.history[0], test={}),)) == replace(
        record, history=(same,)
    )


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda form: form.update(format=99), r"expected format 1, got 99"),
        (lambda form: form.pop("history"), r"not readable: 'history'"),
        (lambda form: form["spec"].update(colour="red"), r"unknown setting 'colour'"),
        (lambda form: form["spec"].pop("method"), r"the setting 'method' is missing"),
        (lambda form: form["spec"].update(method="magic"), r"unknown method 'magic'"),
        (lambda form: form["history"][0].pop("loss"), r"not readable: .*loss"),
    ],
)
def test_a_form_that_is_no_record_is_refused(spoil, message):
    form = made_up.records([SPEC])[0].to_dict()
    spoil(form)
    with pytest.raises(StudyError, match=message):
        TrialRecord.from_dict(form)


def test_the_environment_names_versions_and_neither_host_nor_user():
    found = environment()
    versions = {"dralign", "python", "torch", "numpy", "platform", "cpu", "threads"}
    assert set(found) - {"revision"} == versions  # which only a checkout has
    assert all(isinstance(value, str) and value for value in found.values())
