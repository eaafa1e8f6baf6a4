"""An exported network gives the probabilities that ``dralign predict`` gives."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from dralign import models
from dralign.artifact import Artifact, load_artifact, save_artifact, score_table
from dralign.cli import main
from dralign.data import DataSource, ImageEncoder, TableEncoder, fetch_german
from dralign.errors import MissingPackageError, OptionError
from dralign.integrations.export import description_path, export_model

pytestmark = pytest.mark.filterwarnings("ignore")  # those of torch about itself
GERMAN = fetch_german().data


def artifact(encoder, *, n_outputs=1, depth=1, **changes):
    """A network of random weights."""
    torch.manual_seed(0)
    n_inputs = len(encoder.feature_names) if encoder else 4
    sizes = {"name": "mlp", "n_inputs": n_inputs, "hidden": 6, "depth": depth}
    sizes |= {"n_outputs": n_outputs} if n_outputs > 1 else {}
    about = {"label": "credit", "positive": "good", "sensitive": ("sex",),
             "group_names": ("f", "m"), "training": {}, **changes}  # fmt: skip
    return Artifact(models.build(sizes).eval(), sizes, encoder, **about)


def given(frame, description):
    """The inputs of the graph by name, made of a table as the description says."""
    inputs = {}
    for entry in description["inputs"]:
        columns = entry["columns"]
        if entry["name"] == "numbers":
            inputs["numbers"] = frame[columns].to_numpy(dtype=np.float64, na_value=np.nan)
            continue
        codes = np.full((len(frame), len(columns)), entry["other"])
        for at, column in enumerate(columns):
            for row, value in enumerate(frame[column["name"]]):
                if pd.isna(value):
                    codes[row, at] = entry["missing"]
                elif value in column["categories"]:
                    codes[row, at] = column["categories"].index(value)
        inputs["codes"] = codes
    return inputs


def run_program(path, inputs):
    program = torch.export.load(path).module()
    return program(**{name: torch.as_tensor(x) for name, x in inputs.items()}).numpy()


def run_onnx(path, inputs):
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    return runtime.InferenceSession(path).run(["probability"], inputs)[0]


def exported(network, folder, ending):
    if ending == ".onnx":
        pytest.importorskip("onnxscript", reason="onnxscript is not installed")
        pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    path = export_model(network, folder / f"net{ending}")
    description = json.loads(description_path(path).read_text(encoding="utf-8"))
    run = run_onnx if ending == ".onnx" else run_program
    return description, lambda inputs: run(path, inputs)


def holed():
    """Rows of German with what training rows had and had not: missing values and new texts.

    A rate is the same in the first 600 rows, and another one in the others.
    """
    frame = GERMAN.assign(rate=np.where(np.arange(len(GERMAN)) < 600, 0.07, 0.0725))
    frame["age"] = frame["age"].astype(float)
    frame.loc[::7, "age"] = np.nan
    frame.loc[::5, "purpose"] = None
    return frame


@pytest.mark.parametrize("ending", [".pt2", ".onnx"])
@pytest.mark.parametrize(
    ("columns", "n_outputs"),
    [([*GERMAN, "rate"], 1), (["age", "credit_amount", "rate"], 1), (["purpose", "housing"], 3)],
    ids=["both kinds", "numbers", "categories of three classes"],
)
def test_probabilities_are_those_of_predict_on_german_rows(tmp_path, ending, columns, n_outputs):
    frame = holed()
    encoder = TableEncoder.fit(frame[:600], columns)
    assert any(column.flag_missing for column in encoder.columns)
    classes = {"class_names": ("a", "b", "c")} if n_outputs == 3 else {}
    save_artifact(artifact(encoder, n_outputs=n_outputs, **classes), tmp_path / "net")
    network = load_artifact(tmp_path / "net")
    description, run = exported(network, tmp_path, ending)
    frame.loc[::11, "housing"] = "a tent"  # no category
    for rows in (frame, frame[:1]):
        expected = score_table(network, rows.reset_index(drop=True))
        expected = expected.filter(regex="^probability").to_numpy()
        own = run(given(rows, description))
        assert own.shape == ((len(rows),) if n_outputs == 1 else (len(rows), n_outputs))
        assert np.abs(own.reshape(expected.shape) - expected).max() < 1e-6


@pytest.mark.parametrize("ending", [".pt2", ".onnx"])
def test_an_adjusted_network_is_exported_with_what_shifts_its_scores(tmp_path, ending):
    encoder = TableEncoder.fit(GERMAN, list(GERMAN))
    base = artifact(encoder)
    n = len(encoder.feature_names)
    cells = {"name": "mlp", "n_inputs": n, "depth": 0, "n_outputs": 2}
    sizes = {"name": "shifted", "network": base.architecture, "cells": cells}
    model = models.build(sizes).eval()
    model.shift.copy_(torch.tensor([0.8, -2.0]))
    network = Artifact(**{**vars(base), "model": model, "architecture": sizes})
    description, run = exported(network, tmp_path, ending)
    expected = network.predict_proba(GERMAN).numpy()
    assert np.abs(run(given(GERMAN, description)) - expected).max() < 1e-6


def test_a_network_of_another_encoding_takes_its_inputs_and_the_description_says_so(tmp_path):
    dataset = DataSource("german").load(0)
    network = artifact(dataset.encoder)
    description, run = exported(network, tmp_path, ".pt2")
    assert description["inputs"][0]["columns"] == list(dataset.encoder.feature_names)
    assert description["not_in_the_graph"]["encoding"] == "PaperGermanEncoder"
    expected = network.predict_proba(GERMAN).numpy()
    own = run({"inputs": dataset.encoder.transform(GERMAN)})
    assert np.abs(own - expected).max() < 1e-6
    bare, run = exported(artifact(None), tmp_path, ".pt2")
    assert bare["inputs"] == [{"name": "inputs", "dtype": "float32", "columns": []}]
    assert run({"inputs": np.zeros((5, 4), dtype=np.float32)}).shape == (5,)


def test_the_description_tells_the_thresholds_of_groups(tmp_path):
    encoder = TableEncoder.fit(GERMAN, ["age"])
    description, _ = exported(artifact(encoder, thresholds=(0.4, 0.6)), tmp_path, ".pt2")
    assert description["sensitive"] == ["sex"]
    assert dict(zip(description["group_names"], description["thresholds"], strict=True)) == {
        "f": 0.4, "m": 0.6
    }  # fmt: skip


@pytest.mark.parametrize(
    ("network", "name", "line"),
    [
        (lambda: artifact(TableEncoder.fit(GERMAN, ["age"]), shifts=((0.1, 0.2), (0.0, 0.1))),
         "net.pt2", "shifted by the group of each row"),
        (lambda: artifact(ImageEncoder(8)), "net.pt2", "takes images"),
        (lambda: artifact(None), "net.txt", r"expected a name ending in \.onnx or \.pt2"),
    ],
)  # fmt: skip
def test_what_can_not_be_exported_is_refused_in_one_line(tmp_path, network, name, line):
    with pytest.raises(OptionError, match=line) as error:
        export_model(network(), tmp_path / name)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_the_command_writes_both_files_and_says_so(tmp_path, capsys):
    save_artifact(artifact(TableEncoder.fit(GERMAN, ["age", "housing"])), tmp_path / "net")
    out = tmp_path / "net.pt2"
    assert main(["export-model", str(tmp_path / "net"), "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "model": str(out), "description": f"{out}.json"
    }  # fmt: skip
    assert out.is_file()
    assert description_path(out).is_file()


def test_onnx_without_its_packages_is_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("dralign.tiers._is_there", lambda _: False)
    line = r"^export to ONNX needs onnx and onnxscript; install dralign\[onnx\] from "
    with pytest.raises(MissingPackageError, match=line):
        export_model(artifact(None), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())
