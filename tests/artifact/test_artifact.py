"""Saved networks come back the same, and damaged or foreign ones are refused in one line."""

import hashlib
import json
import math
import os
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import safetensors
import torch
from safetensors.torch import load_file, save

import faces
from dralign import models
from dralign.artifact import Artifact, load_artifact, save_artifact
from dralign.data import DataSource, ImageEncoder, TableEncoder, limits
from dralign.errors import (
    ArtifactError,
    DataError,
    DralignWarning,
    GroupError,
    ModelError,
    OutputError,
)
from sealed import edit, rewrite

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
    with pytest.warns(DralignWarning, match="^1 of 4 rows are in no group of job.* decided at 0.5"):
        assert cut.decide(FRAME, prob).tolist() == [1, 0, 1, 1]
    card = (tmp_path / "net" / "README.md").read_text()
    assert "**used at prediction**" in card
    assert "a: 0.2000, b: 0.7000" in card
    with pytest.raises(DataError, match="decides by the group, but the table has no column 'job'"):
        cut.decide(FRAME[["age"]], prob)
    with pytest.raises(GroupError, match="group 'c' is not among the known groups: 'a', 'b'"):
        cut.decide(FRAME.fillna({"job": "c"}), prob)


def test_a_group_that_training_left_out_as_too_small_is_decided_as_no_group(network):
    """The table of training itself was refused."""
    data = DataSource("people.csv", label="label", sensitive=("job",), min_group_size=2)
    trained = {**network.training, "trial": {"data": data.to_dict()}}
    cut = replace(network, thresholds=(0.2, 0.7), training=trained)
    rows, prob = FRAME.fillna({"job": "c"}), torch.tensor([0.3, 0.6, 0.8, 0.55])
    with pytest.warns(DralignWarning) as told:
        assert cut.decide(rows, prob).tolist() == [1, 0, 1, 1]
    first, second = (str(one.message) for one in told)
    assert first == "groups that training did not have are no groups: 'c' (1)"
    assert second.startswith("1 of 4 rows are in no group of job")


def test_missing_column_is_named(network):
    with pytest.raises(DataError, match="'job'"):
        network.predict_proba(FRAME[["age"]])


def test_a_row_without_a_probability_is_refused_and_not_decided(network):
    """An infinite logit times zero: a decision of 0 would look like any other."""
    with torch.no_grad():
        network.model[0].weight.fill_(3e38)
        network.model[2].weight.copy_(torch.tensor([[1.0, -1.0, 1.0, -1.0]]))
    with pytest.raises(ModelError, match=r"no probability \(NaN\) for \d of 4 rows"):
        network.predict_proba(FRAME)
    with pytest.raises(DataError, match="prob: 1 of 4 are NaN or infinite"):
        network.decide(FRAME, torch.tensor([0.1, torch.nan, 0.2, 0.3]))


def test_a_network_without_an_encoder_takes_rows_of_numbers_only(network):
    bare = replace(network, encoder=None)
    x = network.encoder.transform(FRAME)
    assert torch.equal(bare.predict_proba(x), network.predict_proba(FRAME))
    with pytest.raises(DataError, match="no encoder; it takes rows of numbers"):
        bare.predict_proba(FRAME)


def test_a_description_holds_no_token_that_is_not_json(network, tmp_path):
    """Undefined figures are null, and a network that was read can be written again."""
    training = {"test": {"average_precision": math.nan, "accuracy": 0.5}, "epoch": 1}
    folder = save_artifact(replace(network, training=training), tmp_path / "net")

    def refused(token: str) -> None:
        raise AssertionError(token)

    found = json.loads((folder / "artifact.json").read_text(), parse_constant=refused)
    assert found["training"]["test"] == {"average_precision": None, "accuracy": 0.5}
    again = save_artifact(load_artifact(folder), tmp_path / "again")
    assert "| average precision | undefined |" in (again / "README.md").read_text()


def test_a_name_with_half_a_surrogate_pair_is_one_clear_line(network, tmp_path):
    with pytest.raises(ArtifactError, match=r"half a surrogate pair \('\\ud800'\)"):
        save_artifact(replace(network, label="a\ud800"), tmp_path / "net")
    assert not list(tmp_path.iterdir())


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
    with pytest.raises(OutputError, match="can't be written"):
        save_artifact(network, tmp_path / "net")


def truncate_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-7])


def change_one_weight(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def not_safetensors(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"junk")
    edit(weights_sha256=hashlib.sha256(b"junk").hexdigest())(folder)


def other_weights(change):
    """Weights changed by ``change`` of the state, with checksums that fit."""

    def put(folder: Path) -> None:
        state = load_file(folder / "model.safetensors")
        change(state)
        weights = save(state)
        (folder / "model.safetensors").write_bytes(weights)
        edit(weights_sha256=hashlib.sha256(weights).hexdigest())(folder)

    return put


def cast(dtype: torch.dtype):
    def change(state: dict[str, torch.Tensor]) -> None:
        if dtype.is_complex and tuple(map(int, safetensors.__version__.split(".")[:2])) < (0, 7):
            pytest.skip("safetensors has complex numbers from 0.7 on")
        state.update({name: x.to(dtype) for name, x in state.items()})

    return other_weights(change)


def drop_key(folder: Path) -> None:
    rewrite(folder, lambda description: description.pop("label") and None)


def edit_without_checksum(folder: Path) -> None:
    path = folder / "artifact.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"positive": "no"}))


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
    "older version": (edit(version=1), "version 1; this dralign reads 2: train the network again"),
    "newer version": (edit(version=3), "format version 3; this dralign reads 2"),
    "changed by hand": (edit_without_checksum, "changed since it was saved"),
    "half a surrogate pair": (
        lambda f: (f / "artifact.json").write_text(
            '{"format": "dralign artifact", "a": "\\ud800"}'
        ),
        "truncated or not JSON",
    ),
    "description is a pipe": (
        lambda f: [(f / "artifact.json").unlink(), os.mkfifo(f / "artifact.json")],
        "not a regular file",
    ),
    "weights are a pipe": (
        lambda f: [(f / "model.safetensors").unlink(), os.mkfifo(f / "model.safetensors")],
        "not a regular file",
    ),
    "a weight is NaN": (
        other_weights(lambda state: state["0.bias"].__setitem__(0, torch.nan)),
        "weights '0.bias' hold NaN or infinite values",
    ),
    "a weight is infinite": (
        other_weights(lambda state: state["0.weight"].__setitem__((0, 0), -torch.inf)),
        "weights '0.weight' hold NaN or infinite values",
    ),
    "a weight too few": (
        other_weights(lambda state: state.update(bias=state.pop("0.bias"))),
        "fit the architecture: there is no '0.bias'",
    ),
    "a weight too many": (
        other_weights(lambda state: state.update(x=torch.ones(1))),
        "fit the architecture: 'x' is not one of its weights",
    ),
    "unknown architecture": (
        edit(architecture={"name": "os.system", "depth": 1}),
        "unknown architecture 'os.system'",
    ),
    "huge architecture": (
        edit(architecture={"name": "mlp", "n_inputs": 10**12, "hidden": 10**6, "depth": 1}),
        "n_inputs: expected at most 1,000,000,000, got 1e\\+12",
    ),
    "wide architecture": (
        edit(architecture={"name": "mlp", "n_inputs": 10**9, "hidden": 10**9, "depth": 1}),
        "too large for any weights|is float32 of shape",
    ),
    "deep architecture": (
        edit(architecture={"name": "mlp", "n_inputs": 4, "hidden": 4, "depth": 10**12}),
        "'depth' must be from 0 to 10000",
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
    "thresholds of text": (edit(thresholds=["a", "b"]), "'thresholds' must be finite numbers"),
    "threshold below 0": (edit(thresholds=[-5, 0.5]), "'thresholds' must be from 0 to 2"),
    "threshold of NaN": (edit(thresholds=[math.nan, 0.5]), "'thresholds' must be finite numbers"),
    "thresholds of no column": (
        edit(thresholds=[0.1, 0.2], sensitive=[]),
        "need sensitive columns",
    ),
    "class without a name": (
        edit(class_names=[None, "a"]),
        "'class_names' must be a list of texts",
    ),
    "groups of one name": (edit(group_names=["a", "a"]), "'group_names' must be different texts"),
    "label of nothing": (edit(label=None), "'label' must be a text, got NoneType"),
    "training of text": (edit(training="well"), "'training' must be an object"),
    "unknown encoder": (edit(encoder={"kind": "exec"}), "not a network of ours"),
    "encoder of text": (edit(encoder="table"), "not a network of ours"),
    "key missing": (drop_key, "the entry 'label' is missing"),
}
for kind in (torch.float64, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.complex64):
    DAMAGE[f"weights of {kind}"] = (cast(kind), "of shape .*, expected float32 of shape")


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
        ({"architecture": {"name": "resnet18"}}, "do not fit the architecture: there is no"),
        (
            {"architecture": {"name": "alexnet", "classifier_width": 10**12}},
            "classifier_width: expected at most 1,000,000,000",
        ),
        (
            {"architecture": {"name": "mlp", "n_inputs": 3, "depth": 7}},
            "do not fit the architecture: there is no",
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


def test_weights_of_another_size_are_refused_before_they_are_in_memory(network, tmp_path):
    weights = save_artifact(network, tmp_path / "net") / "model.safetensors"
    os.truncate(weights, 2**28)
    tracemalloc.start()
    try:
        with pytest.raises(ArtifactError, match="truncated or changed since it was saved"):
            load_artifact(tmp_path / "net")
        assert tracemalloc.get_traced_memory()[1] < weights.stat().st_size / 2
    finally:
        tracemalloc.stop()


def test_weights_that_memory_has_no_room_for_are_not_read(network, tmp_path, monkeypatch):
    folder = save_artifact(network, tmp_path / "net")
    monkeypatch.setattr(limits, "memory", lambda: 2**8)
    with pytest.raises(ArtifactError, match="are too much for the"):
        load_artifact(folder)
