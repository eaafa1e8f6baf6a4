"""Commands find out before the work whether they can write, and lose nothing that is finished."""

import hashlib
import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from dralign.artifact import load_artifact, saving
from dralign.cli import lines, main
from dralign.errors import OutputError

QUICK = ["--epochs", "2", "--iterations", "10", "--hidden", "8", "--batch-size", "20"]


@pytest.fixture
def people(tmp_path, monkeypatch) -> Path:
    """A table in the current folder; no warning was told before."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lines, "_warned", set())
    rng = np.random.default_rng(0)
    age = rng.normal(40, 10, 300)
    frame = pd.DataFrame(
        {
            "age": age,
            "sex": rng.choice(["f", "m"], 300),
            "loan": np.where(age + rng.normal(0, 5, 300) > 40, "granted", "refused"),
        }
    )
    frame.to_csv("people.csv", index=False)
    return Path("people.csv")


def train(*more: str, out: str = "net") -> list[str]:
    columns = ["--label", "loan", "--positive", "granted", "--sensitive", "sex"]
    return ["train", "people.csv", *columns, "--out", out, *QUICK, *more]


def refusal(arguments: list[str], capsys) -> str:
    """The last line of a command that fails with exit code 2 before any epoch."""
    assert main(arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert not [line for line in lines if line.startswith("epoch ")]
    return lines[-1]


def test_train_refuses_a_place_for_the_network_before_it_trains(people, capsys):
    Path("mine").mkdir()
    Path("mine/thesis.txt").write_text("mine")
    for out, more, told in (
        ("mine", (), "exists and is not a saved network"),
        ("people.csv", (), "would take the place of people.csv"),
        (".", (), "would take the place of people.csv"),
        ("people.csv/net", (), "can't be written"),
        ("run", ("--checkpoints", "run"), "would take the place of run"),
        ("new", ("--checkpoints", "new/run"), "would take the place of new/run"),
        ("log", ("--tensorboard", "log"), "would take the place of log"),
    ):
        assert told in refusal(train(*more, out=out), capsys)
    assert sorted(path.name for path in Path().iterdir()) == ["mine", "people.csv"]


def test_a_network_may_be_called_like_a_built_in_dataset(people, capsys):
    arguments = ["train", "german", "--preparation", "standard", "--out", "german", *QUICK]
    assert main([*arguments, "--method", "erm"]) == 0
    assert load_artifact("german").label


def test_a_network_that_can_not_be_written_in_the_end_is_saved_elsewhere(
    people, tmp_path, capsys, monkeypatch
):
    def full(target, fill):
        if Path(target) == Path("net"):
            raise OutputError("net: can't be written: No space left on device")
        return whole(target, fill)

    whole = saving.write_folder
    monkeypatch.setattr(saving, "write_folder", full)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    assert main(train()) == 2
    (line,) = [text for text in capsys.readouterr().err.splitlines() if "error" in text]
    place = line.partition("the trained network is saved in ")[2]
    assert load_artifact(place).training["epoch"] == 1
    assert not Path("net").exists()


def test_a_terminal_that_takes_no_more_does_not_end_the_run(people, monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(import_module("dralign.cli.train"), "_show", full)
    assert main(train()) == 1  # of the last line
    assert load_artifact("net").training["epoch"] == 1


def test_a_log_that_takes_no_more_does_not_end_the_run(people, monkeypatch, capsys):
    seen = []

    def full(record):
        seen.append(record.epoch)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(import_module("dralign.cli.train"), "tensorboard_log", lambda folder: full)
    assert main(train("--tensorboard", "log")) == 0
    assert seen == [0]
    assert "warning: log: the log ends here: No space left on device" in capsys.readouterr().err
    assert load_artifact("net").training["epoch"] == 1


def test_predict_leaves_its_inputs_and_writes_nothing_but_a_table(people, capsys):
    assert main(train()) == 0
    capsys.readouterr()
    before = people.read_bytes()
    Path("link.csv").symlink_to("people.csv")
    for out, told in (
        ("people.csv", "people.csv is an input; choose another name"),
        ("link.csv", "link.csv is an input; choose another name"),
        ("net", "expected a name ending in .csv, got net"),
        ("scores.html", "expected a name ending in .csv, got scores.html"),
        ("people.csv/scores.csv", "can't be written"),
    ):
        line = refusal(["predict", "net", "people.csv", "--out", out], capsys)
        assert told in line or "net is an input" in line
    assert people.read_bytes() == before
    # Before any of it is read, too.
    assert "is an input" in refusal(["predict", "no", "people.csv", "--out", "people.csv"], capsys)


def test_class_names_are_no_formulas_in_a_table_of_predictions(people, capsys):
    frame = pd.read_csv("people.csv")
    age = frame["age"].rank()
    loan = np.where(age < 100, "=1+1", np.where(age < 200, "@a", "none"))
    frame.assign(loan=loan).to_csv("people.csv", index=False)
    columns = ["--label", "loan", "--sensitive", "sex", "--method", "erm", "--out", "net"]
    assert main(["train", "people.csv", *columns, *QUICK, "--iterations", "50"]) == 0
    assert main(["predict", "net", "people.csv", "--out", "scores.csv"]) == 0
    written = pd.read_csv("scores.csv")["prediction"]
    capsys.readouterr()
    assert main(["predict", "net", "people.csv", "--json"]) == 0
    meant = pd.Series(json.loads(capsys.readouterr().out)["prediction"])
    names = {"=1+1": "'=1+1", "@a": "'@a", "none": "none"}
    assert written.tolist() == meant.map(names).tolist()
    assert {*meant} & {"=1+1", "@a"}


def test_reproduce_refuses_a_page_before_it_runs_trials(people, capsys):
    for page, told in (("people.csv", "ending in .md"), ("people.csv/a.md", "can't be written")):
        arguments = ["reproduce", "table1", "--study", "study", "--write", page]
        assert told in refusal(arguments, capsys)
    assert not Path("study").exists()


def test_the_record_says_which_content_of_the_data_it_was(people, capsys):
    assert main(train()) == 0
    fingerprint = hashlib.sha256(people.read_bytes()).hexdigest()
    assert load_artifact("net").training["fingerprint"] == fingerprint
    assert fingerprint in Path("net/README.md").read_text()


def test_a_run_does_not_go_on_with_a_file_whose_features_changed(people, capsys):
    """The same labels and groups, in the same order, with one sign corrected."""
    assert main(train("--checkpoints", "run")) == 0
    frame = pd.read_csv("people.csv")
    frame["age"] = -frame["age"]
    frame.to_csv("people.csv", index=False)
    capsys.readouterr()
    assert "checkpoints: run holds those of another run (data: " in refusal(
        train("--checkpoints", "run"), capsys
    )


def test_a_network_that_decides_the_same_for_nearly_all_is_told_apart_from_one_that_is_fair(
    people, capsys
):
    frame = pd.read_csv("people.csv")
    refused = frame.index.isin([60, 130, 200, 270])
    frame.assign(loan=np.where(refused, "refused", "granted")).to_csv("people.csv", index=False)
    assert main(train("--method", "erm", "--iterations", "8", "--learning-rate", "0.05")) == 0
    line = "100 % of the test rows get decision 1: the hard gap says nothing"
    assert f"warning: {line}" in capsys.readouterr().err.splitlines()
    assert json.loads(Path("net/artifact.json").read_text())["training"]["notes"][0] == line
    assert "the hard gap says nothing" in Path("net/README.md").read_text()
    assert main(["predict", "net", "people.csv", "--out", "scores.csv"]) == 0
    line = "100 % of the 300 rows get decision 1: the network hardly tells them apart"
    assert f"warning: {line}" in capsys.readouterr().err.splitlines()
    frame.to_csv("people.csv", index=False)
    learnt = ("--iterations", "60", "--learning-rate", "0.02")
    assert main(train(*learnt, out="other")) == 0
    assert "says nothing" not in capsys.readouterr().err
    assert main(["predict", "other", "people.csv", "--json"]) == 0
    shown = capsys.readouterr()
    assert len({*json.loads(shown.out)["decision"]}) == 2
    assert "hardly" not in shown.err


@pytest.mark.parametrize("weight", ["1e38", "1e300"])
def test_a_weight_beyond_all_numbers_is_one_line(weight, people, capsys):
    for option in ("--alignment-weight", "--fairness-weight"):
        line = refusal(train(option, weight), capsys)
        assert ": expected 1e+20 at most, got " in line


def test_a_loss_beyond_all_numbers_names_every_setting_that_can_be_why(people, capsys):
    with torch.random.fork_rng():
        assert main(train("--learning-rate", "1e37", "--fairness-weight", "0.5")) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "not finite in epoch 0; try a smaller learning rate than 1e+37, or a smaller" in line
    assert "fairness weight than 0.5, or a smaller alignment weight than 0.05" in line


def test_out_of_memory_is_not_taken_for_bad_weights(people, monkeypatch, tmp_path):
    from dralign.models import load_weights, mlp

    def full(*_, **__):
        raise MemoryError

    torch.save(mlp(2).state_dict(), "weights.pt")
    monkeypatch.setattr(torch, "load", full)
    with pytest.raises(MemoryError):
        load_weights(mlp(2), "weights.pt")
