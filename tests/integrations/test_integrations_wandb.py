"""The trials of a study are offline runs of Weights & Biases, each once, and nothing is sent."""

import json
import math
import os
import struct
import time
from dataclasses import replace

import pytest

import records as made_up
from dralign.errors import OutputError
from dralign.study import Ledger
from dralign.training import Selection

wandb = pytest.importorskip("wandb", reason="wandb is not installed")

from wandb.proto.wandb_internal_pb2 import Record  # noqa: E402

from dralign.integrations.wandb import log_study  # noqa: E402

BLOCK = 32_768  # bytes

pytestmark = pytest.mark.filterwarnings("ignore")  # those of wandb


def study_of(folder, given):
    with Ledger(folder / "study.sqlite") as ledger:
        for record in given:
            ledger.add(record)
    return folder


def messages(path):
    """What a file of wandb holds, once its process, which is not waited for, wrote the end."""
    for _ in range(200):
        result = list(messages_so_far(path))
        if any(record.HasField("exit") for record in result):
            return result
        time.sleep(0.05)
    raise AssertionError(f"{path}: no end")


def messages_so_far(path):
    """A log in the form of LevelDB after 7 bytes of wandb's own."""
    content, at, whole = path.read_bytes(), 7, b""
    while at + 7 <= len(content):
        if BLOCK - at % BLOCK < 7:  # no room for a head
            at += BLOCK - at % BLOCK
            continue
        _, size, kind = struct.unpack("<IHB", content[at : at + 7])
        if at + 7 + size > len(content):
            return
        whole += content[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in {1, 4}:  # all of it, or its last part
            yield Record.FromString(whole)
            whole = b""


def as_written(path):
    """The configuration, the figures, the exit code and the title in the file of a run."""
    config, figures, code, title = {}, {}, None, ""
    for record in messages(path):
        for item in record.run.config.update:
            config[item.key or "/".join(item.nested_key)] = json.loads(item.value_json)
        for item in record.history.item:
            figures[item.key or "/".join(item.nested_key)] = json.loads(item.value_json)
        title = record.run.display_name or title
        if record.HasField("exit"):
            code = record.exit.exit_code
    return config, figures, code, title


def runs(folder):
    """The runs of a folder by the hash of their trial."""
    paths = folder.glob("wandb/offline-run-*/run-*.wandb")
    return {path.stem.removeprefix("run-"): as_written(path) for path in paths}


def test_each_trial_is_an_offline_run_with_its_settings_and_the_figures_of_the_chosen_epoch(
    tmp_path,
):
    given = made_up.records()[:2] + made_up.records()[-1:]
    study, rule = study_of(tmp_path / "study", given), Selection("highest_ap")
    assert log_study(study, project="adult", folder=tmp_path / "out", selection=rule) == 3
    logged = runs(tmp_path / "out")
    assert logged.keys() == {record.hash for record in given}
    for record in given:
        config, figures, code, title = logged[record.hash]
        chosen = rule.choose(record.history, record.spec.gap)
        assert (code, title) == (0, f"{record.spec.method}, seed {record.spec.seed}")
        assert (config["method"], config["seed"]) == (record.spec.method, record.spec.seed)
        assert config["dralign.hash"] == record.hash
        assert config["dralign.selection"] == str(rule)
        assert figures["epoch"] == chosen.epoch
        for split in ("validation", "test"):
            for name, value in getattr(chosen, split).items():
                assert figures[f"{split}_{name}"] == value


def test_a_second_call_adds_what_is_new_alone(tmp_path):
    given = made_up.records()[:3]
    study = study_of(tmp_path / "study", given[:2])
    assert log_study(study, project="adult", folder=tmp_path) == 2
    study_of(study, given[2:])
    assert log_study(study, project="adult", folder=tmp_path) == 1
    assert log_study(study, project="adult", folder=tmp_path) == 0
    assert runs(tmp_path).keys() == {record.hash for record in given}


def test_a_failed_trial_is_a_failed_run_and_an_undefined_figure_is_left_out(tmp_path):
    first, second, *_ = made_up.records()
    failed = replace(first, status="failed", error="out of memory", history=())
    history = tuple(
        replace(epoch, test={**epoch.test, "brier_score": math.nan}) for epoch in second.history
    )
    study = study_of(tmp_path / "study", [failed, replace(second, history=history)])
    assert log_study(study, project="adult", folder=tmp_path) == 2
    logged = runs(tmp_path)
    config, figures, code, _ = logged[failed.hash]
    assert (code, config["dralign.error"]) == (1, "out of memory")
    assert not any(name.startswith("test_") for name in figures)
    _, figures, code, _ = logged[second.hash]
    assert code == 0
    assert "test_brier_score" not in figures
    assert "validation_brier_score" in figures


def test_runs_tell_nothing_of_the_machine_and_the_environment_is_left_as_it_was(
    tmp_path, monkeypatch
):
    monkeypatch.delenv("WANDB_ERROR_REPORTING", raising=False)
    study = study_of(tmp_path / "study", made_up.records()[:1])
    log_study(study, project="adult", folder=tmp_path)
    (file,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    assert str(tmp_path).encode() not in file.read_bytes()
    assert not any(record.run.host or record.HasField("files") for record in messages(file))
    assert not [*tmp_path.glob("wandb/offline-run-*/files/*")]
    assert "WANDB_ERROR_REPORTING" not in os.environ


def test_a_folder_that_can_not_be_made_is_told_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    study = study_of(tmp_path / "study", made_up.records()[:1])
    with pytest.raises(OutputError, match="can't be written"):
        log_study(study, project="adult", folder=tmp_path / "file" / "out")
