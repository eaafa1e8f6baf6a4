"""Trials: what is checked, what identifies them, and their way to JSON and back."""

import json
import math
import os
import subprocess
import sys
import zlib
from dataclasses import replace

import pytest

import records as made_up
from dralign.errors import OptionError, StudyError
from dralign.methods import method_settings
from dralign.study import Trial, TrialRecord, TrialSpec, environment, identify
from dralign.study.record import LARGEST, RecordError, pack, unpack
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
    "bound_measure": "soft",
    "penalty": "mixup",
    "share_step": 0.01,
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
    "weight_decay": 0.01,
    "clip_norm": 1.0,
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
    "bound_measure": {"gap_bound": 0.1, "fairness_weight": 0.0, "alignment_weight": 0.0},
    "mixup_layer": {"penalty": "mixup"},
    "share_step": {
        "method": "fairbatch", "fairness_weight": 0.0, "alignment_weight": 0.0,
        "alignment_every": 1,
    },
}  # fmt: skip


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


def test_a_record_comes_back_from_bytes_with_undefined_figures():
    record = made_up.records([SPEC])[0]
    epoch = replace(record.history[0], loss=math.nan)
    epoch.test["accuracy"] = math.inf
    record = replace(record, history=(epoch,), warnings=("one", "two"))
    back = unpack(pack(record))
    assert math.isnan(back.history[0].loss)
    assert math.isnan(back.history[0].test.pop("accuracy"))
    del epoch.test["accuracy"]
    same = replace(back, history=(replace(back.history[0], loss=0.0),))
    assert same == replace(record, history=(replace(epoch, loss=0.0),))


def test_what_is_undefined_is_null_and_older_records_that_say_nan_are_read():
    record = made_up.records([SPEC])[0]
    record.history[0].test["accuracy"] = math.nan
    text = zlib.decompress(pack(record)).decode()
    assert '"accuracy":null' in text
    old = zlib.compress(text.replace('"accuracy":null', '"accuracy":NaN').encode())
    assert math.isnan(unpack(old).history[0].test["accuracy"])


def test_half_a_surrogate_pair_in_an_error_is_spelt_out_for_good():
    error = replace(made_up.records([SPEC])[0], status="failed", history=(), error="no \udcff.csv")
    assert unpack(pack(error)).error == r"no \udcff.csv"


FIRST = ("history", 0)
SPOILT = [
    ((), "format", 99, r"expected format 2, got 99$"),
    ((), "format", 1, r"expected format 2, got 1; it is of an older dralign: run the study again"),
    ((), "colour", "red", r"unknown entry 'colour'"),
    ((), "hash", 5, r"'hash' must be a text, got int"),
    ((), "hash", "0" * 64, r"the hash is not that of the settings and data"),
    ((), "fingerprint", "other", r"the hash is not that of the settings and data"),
    ((), "status", "great", r"'status' must be one of done, failed"),
    ((), "status", ["done"], r"'status' must be a text, got list"),
    ((), "status", "failed", r"expected epochs if it is done, and else an error"),
    ((), "error", "bad luck", r"expected epochs if it is done, and else an error"),
    ((), "history", [], r"expected epochs if it is done, and else an error"),
    ((), "history", {"0": 1}, r"'history' must be a list, got dict"),
    ((), "history", [7], r"epoch 0: expected a JSON object, got int"),
    ((), "seconds", -1.0, r"'seconds' must be a number from 0 up, below 1e\+100, got -1"),
    ((), "seconds", math.nan, r"'seconds' must be finite numbers"),
    ((), "warnings", ["one", 2], r"'warnings' must be a list of texts"),
    ((), "environment", {"torch": 2}, r"environment: 'torch' must be a text, got int"),
    (("spec",), "colour", "red", r"unknown setting 'colour'"),
    (("spec",), "method", "magic", r"unknown method 'magic'"),
    (("spec",), "method", ["gap"], "spec: a setting has a value of another type"),
    (("spec",), "gap", {}, r"unknown gap {}"),
    (("spec",), "layers", 1.5, r"spec: layers: expected 'all', a count or names"),
    (("spec",), "data", [], r"data: expected a JSON object, got list"),
    (("spec",), "epochs", "many", r"epochs: expected a whole number"),
    (("spec",), "seed", 10**30, r"seed: expected a whole number"),
    (("spec",), "readings", "yes", r"readings: expected true or false, got 'yes'"),
    (("spec",), "layers", [1], "layers: expected 'all', a count or names"),
    (("spec",), "mixup_layer", 3, r"mixup_layer: expected a text, got 3"),
    (FIRST, "epoch", 3, r"epoch 0: 'epoch' must be 0"),
    (FIRST, "epoch", 0.0, r"'epoch' must be a whole number, got float"),
    (FIRST, "loss", "low", r"'loss' must be a number or null, got str"),
    (FIRST, "loss", 10**400, r"'loss' must be finite numbers"),
    (FIRST, "seconds", True, r"'seconds' must be a number, got bool"),
    (FIRST, "skipped", -1, r"'skipped' must be from 0"),
    (FIRST, "found_weight", -1.0, r"'found_weight' must be a number from 0 up"),
    (FIRST, "readings", [], r"'readings' must be an object, got list"),
    (FIRST, "colour", "red", r"epoch 0: unknown entry 'colour'"),
    (FIRST, "similarity", {}, r"epoch 0: expected similarities"),
    (FIRST, "similarity", {"kernel": {}}, r"unknown entry 'kernel'"),
    ((*FIRST, "similarity"), "unit", {"0": "high"}, r"'unit' must be numbers or null"),
    ((*FIRST, "test"), "accuracy", "high", r"'test' must be numbers or null"),
    ((*FIRST, "test"), "accuracy", True, r"'test' must be numbers or null"),
    (
        (*FIRST, "test"),
        "soft_demographic_parity",
        -1e308,
        r"'test' must be numbers within ±1e\+100",
    ),
    ((*FIRST, "test"), "accuracy", 1.01, r"epoch 0, test: accuracy must be from 0 to 1, got 1.01"),
    ((*FIRST, "validation"), "brier_score", -0.5, r"validation: brier_score must be from 0 to 1"),
    (FIRST, "seconds", 1e308, r"'seconds' must be a number from 0 up, below 1e\+100"),
]


@pytest.mark.parametrize(("place", "key", "value", "message"), SPOILT)
def test_an_entry_that_can_not_be_is_one_line(place, key, value, message):
    form = json.loads(json.dumps(made_up.records([SPEC])[0].to_dict()))
    entry = form
    for step in place:
        entry = entry[step]
    entry[key] = value
    with pytest.raises(StudyError, match=message) as caught:
        TrialRecord.from_dict(form)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("place", "key", "message"),
    [
        ((), "history", r"trial record: the entry 'history' is missing"),
        (("spec",), "method", r"the setting 'method' is missing"),
        (FIRST, "loss", r"epoch 0: the entry 'loss' is missing"),
        ((*FIRST, "test"), "soft_demographic_parity", r"epoch 0: expected figures of demographic"),
    ],
)
def test_an_entry_that_is_missing_is_one_line(place, key, message):
    form = made_up.records([SPEC])[0].to_dict()
    entry = form
    for step in place:
        entry = vars(entry[step]) if hasattr(entry[step], "epoch") else entry[step]
    del entry[key]
    with pytest.raises(StudyError, match=message):
        TrialRecord.from_dict(form)


@pytest.mark.parametrize(
    ("blob", "message"),
    [
        (b"", r"cut off, or larger than"),
        (b"poetry", r"damaged \(Error -3"),
        (pack(made_up.records([SPEC])[0])[:-9], r"cut off, or larger than"),
        (pack(made_up.records([SPEC])[0]) + b"more", r"cut off, or larger than"),
        (zlib.compress(bytes(2 * LARGEST)), r"cut off, or larger than 33,554,432 bytes"),
        (zlib.compress(b"\xff"), r"truncated or not JSON"),
        (zlib.compress(b"[" * 10**6), r"truncated or not JSON"),
        (zlib.compress(b'"\\ud800"'), r"truncated or not JSON"),
        (zlib.compress(b"[]"), r"expected a JSON object, got list"),
    ],
    ids=["empty", "text", "cut", "more", "bomb", "not UTF-8", "deep", "surrogate", "list"],
)
def test_bytes_that_are_no_record_are_one_line(blob, message):
    with pytest.raises(StudyError, match=message):
        unpack(blob)


def test_a_record_that_could_not_be_read_again_is_not_written():
    record = made_up.records([SPEC])[0]
    with pytest.raises(RecordError, match=r"trial record: .* bytes; 33,554,432 are the most"):
        pack(replace(record, environment={"torch": "2" * LARGEST}))
    with pytest.raises(RecordError, match=r"could not be read again: .*hash"):
        pack(replace(record, hash="short"))


def test_the_environment_names_versions_and_neither_host_nor_user():
    found = environment()
    versions = {"dralign", "python", "torch", "numpy", "platform", "cpu", "threads"}
    assert set(found) - {"revision"} == versions  # which only a checkout has
    assert all(isinstance(value, str) and value for value in found.values())
