"""Saved networks come back the same, and damaged or foreign ones are refused in one line."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

import faces
from dralign import models
from dralign.artifact import Artifact, load_artifact, save_artifact
from dralign.data import ImageEncoder, TableEncoder
from dralign.errors import ArtifactError, DataError, GroupError

FRAME = pd.DataFrame({"age": [20.0, 30.0, None, 50.0], "job": ["a", "b", "b", None]})


@pytest.fixture
def network() -> Artifact:
    encoder = TableEncoder.fit(FRAME, ["age", "job"])
    architecture = {"name": "mlp", "n_inputs": len(encoder.feature_names), "hidden": 4, "depth": 1}
    torch.manual_seed(0)
    return Artifact(
        model=models.build(architecture).eval(),
        architecture=architecture,
        encoder=encoder,
        label="label | with <b>marks</b>",
        positive="yes",
        sensitive=("job",),
        group_names=("a", "b"),
        training={"epoch": 3, "selection": "last", "test": {"average_precision": 0.5}},
    )


def test_network_comes_back_with_the_same_predictions(network, tmp_path):
    folder = save_artifact(network, tmp_path / "net")
    again = load_artifact(folder)
    assert torch.equal(again.predict_proba(FRAME), network.predict_proba(FRAME))
    assert again.describe() == network.describe()
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "artifact.json",
        "model.safetensors",
    ]
    assert "| average precision | 0.5000 |" in (folder / "README.md").read_text()


def test_predictions_are_float32_probabilities_of_rows_in_order(network):
    prob = network.predict_proba(FRAME)
    assert prob.dtype == torch.float32
    assert ((prob >= 0) & (prob <= 1)).all()
    assert torch.equal(network.predict_proba(FRAME[::-1]), prob.flip(0))


def test_decisions_are_by_the_threshold_of_each_group(network, tmp_path):
    """0.5 for all without thresholds, and for rows of no group with them."""
    prob = torch.tensor([0.3, 0.6, 0.8, 0.55])
    assert network.decide(FRAME, prob).tolist() == [0, 1, 1, 1]
    cut = load_artifact(save_artifact(replace(network, thresholds=(0.2, 0.7)), tmp_path / "net"))
    assert cut.thresholds == (0.2, 0.7)
    assert cut.decide(FRAME, prob).tolist() == [1, 0, 1, 1]
    card = (tmp_path / "net" / "README.md").read_text()
    assert "**used at prediction**" in card
    assert "a: 0.2000, b: 0.7000" in card
    with pytest.raises(DataError, match="decides by the group, but the table has no column 'job'"):
        cut.decide(FRAME[["age"]], prob)
    with pytest.raises(GroupError, match="group 'c' is not among the known groups: 'a', 'b'"):
        cut.decide(FRAME.fillna({"job": "c"}), prob)


def test_missing_column_is_named(network):
    with pytest.raises(DataError, match="'job'"):
        network.predict_proba(FRAME[["age"]])


def test_saving_replaces_an_artifact_but_nothing_else(network, tmp_path):
    folder = save_artifact(network, tmp_path / "net")
    save_artifact(network, folder)
    assert load_artifact(folder).label == network.label
    assert [path.name for path in tmp_path.iterdir()] == ["net"]
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    with pytest.raises(ArtifactError, match="exists and is not a saved network"):
        save_artifact(network, other)
    assert (other / "thesis.txt").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_unwritable_place_is_one_clear_line(network, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ArtifactError, match="can't be written"):
        save_artifact(network, tmp_path / "net")


def truncate_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-7])


def change_one_weight(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def edit(**changes: object):
    def change(folder: Path) -> None:
        path = folder / "artifact.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def not_safetensors(folder: Path) -> None:
    import hashlib

    (folder / "model.safetensors").write_bytes(b"junk")
    edit(weights_sha256=hashlib.sha256(b"junk").hexdigest())(folder)


def drop_key(folder: Path) -> None:
    path = folder / "artifact.json"
    description = json.loads(path.read_text())
    del description["label"]
    path.write_text(json.dumps(description))


DAMAGE = {
    "weights truncated": (truncate_weights, "truncated or changed since it was saved"),
    "weights changed": (change_one_weight, "truncated or changed since it was saved"),
    "weights gone": (lambda f: (f / "model.safetensors").unlink(), "No such file"),
    "weights are not safetensors": (not_safetensors, "not a safetensors file"),
    "description truncated": (
        lambda f: (f / "artifact.json").write_text('{"format": "dralign'),
        "truncated or not JSON",
    ),
    "description is binary": (
        lambda f: (f / "artifact.json").write_bytes(b"\xff\x00\xfe"),
        "truncated or not JSON",
    ),
    "description nested too deep": (
        lambda f: (f / "artifact.json").write_text("[" * 100_000),
        "truncated or not JSON",
    ),
    "description gone": (lambda f: (f / "artifact.json").unlink(), "not a saved network"),
    "description is a list": (
        lambda f: (f / "artifact.json").write_text("[]"),
        "not a network saved by dralign",
    ),
    "another program's": (edit(format="other"), "not a network saved by dralign"),
    "newer version": (edit(version=2), "format version 2; this dralign reads 1"),
    "unknown architecture": (
        edit(architecture={"name": "os.system", "depth": 1}),
        "unknown architecture 'os.system'",
    ),
    "huge architecture": (
        edit(architecture={"name": "mlp", "n_inputs": 10**12, "hidden": 10**6, "depth": 1}),
        r"do not fit the architecture \(shapes\)",
    ),
    "deep architecture": (
        edit(architecture={"name": "mlp", "n_inputs": 4, "hidden": 4, "depth": 10**12}),
        r"do not fit the architecture \(number of layers\)",
    ),
    "architecture of text": (
        edit(architecture={"name": "mlp", "n_inputs": "4", "hidden": 4, "depth": 1}),
        "n_inputs: expected a whole number, got '4'",
    ),
    "encoder of another table": (
        edit(encoder=TableEncoder.fit(FRAME, ["age"]).to_dict()),
        "the encoder does not make as many inputs",
    ),
    "thresholds of three groups": (
        edit(thresholds=[0.1, 0.2, 0.3]),
        "'thresholds' must be 2 numbers, got 3",
    ),
    "thresholds of text": (edit(thresholds=["a", "b"]), "not a network of ours"),
    "unknown encoder": (edit(encoder={"kind": "exec"}), "not a network of ours"),
    "encoder of text": (edit(encoder="table"), "not a network of ours"),
    "key missing": (drop_key, "KeyError 'label'"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_or_foreign_folders_are_refused(case, network, tmp_path):
    change, message = DAMAGE[case]
    folder = save_artifact(network, tmp_path / "net")
    change(folder)
    with pytest.raises(ArtifactError, match=message):
        load_artifact(folder)


@pytest.fixture
def of_images(network, tmp_path) -> Path:
    """A saved AlexNet for images of 64 x 64."""
    pytest.importorskip("PIL", reason="torchvision needs pillow")
    architecture = {"name": "alexnet", "classifier_width": 4}
    model = models.build(architecture).eval()
    encoder = ImageEncoder(64)
    saved = replace(network, model=model, architecture=architecture, encoder=encoder)
    return save_artifact(saved, tmp_path / "net")


def test_a_network_of_images_comes_back_and_scores_files(of_images, tmp_path):
    network = load_artifact(of_images)
    for i in range(2):
        faces.picture(tmp_path / f"{i}.png", i)
    rows = pd.DataFrame({"file": ["1.png", "0.png"]})
    prob = network.predict_proba(rows, folder=tmp_path)
    with torch.inference_mode():
        inputs = network.encoder.transform(str(tmp_path) + "/" + rows)
        expected = torch.sigmoid(network.model(torch.from_numpy(inputs)))[:, 0]
    assert torch.allclose(prob, expected, atol=1e-6)
    assert network.predict_proba(rows[:0]).shape == (0,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder": {"kind": "images", "size": 62}}, "takes images of 63 x 63 pixels and more"),
        ({"encoder": TableEncoder.fit(FRAME, ["age"]).to_dict()}, "does not make as many inputs"),
        ({"architecture": {"name": "resnet18"}}, r"do not fit the architecture \(shapes\)"),
        (
            {"architecture": {"name": "alexnet", "classifier_width": 10**12}},
            r"do not fit the architecture \(shapes\)",
        ),
        (
            {"architecture": {"name": "mlp", "n_inputs": 3, "depth": 7}},
            r"do not fit the architecture \(shapes\)",
        ),
    ],
)
def test_a_network_of_images_with_a_part_of_another_is_refused(change, message, of_images):
    edit(**change)(of_images)
    with pytest.raises(ArtifactError, match=message):
        load_artifact(of_images)


def test_a_network_of_tables_takes_no_images(network, tmp_path):
    folder = save_artifact(network, tmp_path / "net")
    edit(encoder=ImageEncoder(64).to_dict())(folder)
    with pytest.raises(ArtifactError, match="mlp does not take images"):
        load_artifact(folder)


def test_place_without_a_network_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="no such folder"):
        load_artifact(tmp_path / "nothing")
    with pytest.raises(ArtifactError, match="not a saved network"):
        load_artifact(tmp_path)
