"""Images at the command line: train, score, audit, compare and sweep; mistakes in one line."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

import faces
from dralign.artifact import load_artifact
from dralign.cli import main
from dralign.study import load_plan

pytest.importorskip("PIL", reason="images need pillow")
QUICK = ["--epochs", "2", "--iterations", "1", "--batch-size", "2", "--classifier-width", "8"]


def folder_of_images(place: Path, n: int = 40) -> Path:
    """A folder ``images/`` and a table ``labels.csv`` of it."""
    names = [f"{i}.jpg" for i in range(n)]
    for i, name in enumerate(names):
        faces.picture(place / "images" / name, i)
    smiling, gender = ["no", "yes"] * (n // 2), ["f", "f", "m", "m"] * (n // 4)
    table = pd.DataFrame({"file": names, "smiling": smiling, "gender": gender})
    table.to_csv(place / "labels.csv", index=False)
    return place


def own(place: Path, **changes: str) -> list[str]:
    """The arguments that describe such a folder."""
    options = {
        "labels": str(place / "labels.csv"),
        "label": "smiling",
        "positive": "yes",
        "sensitive": "gender",
        "image-size": "64",
    } | {name.replace("_", "-"): value for name, value in changes.items()}
    words = (word for name, value in options.items() if value for word in (f"--{name}", value))
    return [str(place / "images"), *words]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Own images, made-up CelebA, and a network trained on each."""
    place = folder_of_images(tmp_path_factory.mktemp("images"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        patch.delenv("DRALIGN_DATA", raising=False)
        faces.official(place / "home" / "celeba", n=64, parts=(0, 1, 2))
        faces.partition(place / "mine.txt", 64, (0, 0, 1, 2))
        celeba = ["celeba", "--data-home", str(place / "home"), "--image-size", "64"]
        celeba += ["--label", "Wavy_Hair", "--partition", str(place / "mine.txt")]
        for out, data in (("net", own(place)), ("faces", [*celeba, "--network", "alexnet"])):
            assert main(["train", *data, "--method", "gap", "--out", str(place / out), *QUICK]) == 0
        yield place


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """A small folder of images that a test may damage."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder_of_images(tmp_path)


def failure(arguments: list[str], capsys) -> str:
    """Runs a command that must fail with exit code 2; its only line on stderr."""
    capsys.readouterr()
    assert main(arguments) == 2
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if not line.startswith("warning: ")]
    assert len(lines) == 1, captured.err
    assert not captured.out
    return lines[0].removeprefix("dralign: error: ")


def test_the_model_card_tells_of_images(home):
    card = (home / "net" / "README.md").read_text()
    assert "Network: alexnet (classifier width 8)" in card
    assert "images, brought to 64 x 64 pixels without a crop" in card
    assert "hidden" not in card
    assert "label Wavy\\_Hair" in (home / "faces" / "README.md").read_text()


def test_a_network_scores_the_files_that_a_table_names(home, tmp_path, capsys):
    """Relative to the table or to --images, in the table's order, as in training."""
    names = [f"{i}.jpg" for i in (7, 3, 11)]
    pd.DataFrame({"file": names}).to_csv(tmp_path / "some.csv", index=False)
    beside = home / "images" / "some.csv"
    shutil.copy(tmp_path / "some.csv", beside)
    capsys.readouterr()
    found = []
    for table, more in ((beside, []), (tmp_path / "some.csv", ["--images", str(home / "images")])):
        assert main(["predict", str(home / "net"), str(table), "--json", *more]) == 0
        found.append(json.loads(capsys.readouterr().out)["probability"])
    beside.unlink()
    network = load_artifact(home / "net")
    paths = pd.DataFrame({"file": [str(home / "images" / name) for name in names]})
    inputs = torch.from_numpy(network.encoder.transform(paths))
    with torch.inference_mode():
        expected = torch.sigmoid(network.model(inputs))[:, 0]
    assert found[0] == found[1] == pytest.approx(expected.tolist(), abs=1e-6)


def test_an_audit_of_images_ends_in_a_page_and_marks_the_constant_layer(home, tmp_path, capsys):
    quick = ["--rows", "30", "--splits", "20", "--bootstrap", "20", "--sample", "2"]
    table, images = str(home / "labels.csv"), ["--images", str(home / "images")]
    capsys.readouterr()
    page = ["--layers", "2", "--out", str(tmp_path / "audit.html")]
    assert main(["audit", str(home / "net"), table, *images, *quick, *page]) == 0
    shown = capsys.readouterr()
    assert "audited: 30 of 40 rows" in shown.err
    assert "Audit of 30 rows" in shown.out
    (last,) = [line for line in shown.out.splitlines() if line.startswith("classifier.6")]
    assert last.endswith(" constant")
    assert "constant, tells nothing" in (tmp_path / "audit.html").read_text()


def test_an_audit_takes_the_test_images_of_the_celeba_it_was_trained_on(home, capsys):
    """The partition's place is not kept with the network, so it is given again."""
    quick = ["--splits", "20", "--bootstrap", "20", "--sample", "2", "--layers", "1", "--json"]
    quick += ["--min-group-size", "0"]
    command = ["audit", str(home / "faces"), "celeba", "--data-home", str(home / "home"), *quick]
    assert "mine.txt: no such partition file" in failure(command, capsys)
    assert main([*command, "--partition", str(home / "mine.txt")]) == 0
    assert json.loads(capsys.readouterr().out)["groups"] == {"not Male": 8, "Male": 8}


def test_compare_ends_in_table_figure_and_report_that_name_the_label(home, tmp_path, capsys):
    out = tmp_path / "study"
    command = ["compare", *own(home), "--methods", "erm,gap", "--weights", "0.2", *QUICK]
    assert main([*command, "--seeds", "1", "--jobs", "1", "--out", str(out)]) == 0
    assert (out / "tradeoff.png").read_bytes().startswith(b"\x89PNG")
    for name in ("table.md", "report.html"):
        text = (out / name).read_text()
        assert "images, label: smiling, 64 x 64 pixels, groups: gender" in text


def test_a_plan_counts_the_places_of_images_from_itself(home):
    text = """
    [[trials]]
    dataset = "images"
    labels = "labels.csv"
    label = "smiling"
    sensitive = "gender"
    image_size = [64, 96]
    network = "resnet18"
    method = "erm"
    seeds = 1
    [[trials]]
    dataset = "celeba"
    partition = ["mine.txt", "beside.txt"]
    classifier_width = 8
    method = "erm"
    seeds = 1
    """
    plan = home / "plan.toml"
    plan.write_text(text)
    sources = [spec.data for spec in load_plan(plan).trials]
    assert [source.image_size for source in sources[:2]] == [64, 96]
    assert {(source.name, source.labels) for source in sources[:2]} == {
        (str(home / "images"), str(home / "labels.csv"))
    }
    assert [source.partition for source in sources[2:]] == [str(home / "mine.txt"), "beside.txt"]


def test_pretrained_weights_are_where_training_begins(home, tmp_path, capsys):
    """A head of another shape begins afresh, which is said; the artifact names the file."""
    file, out = tmp_path / "weights.safetensors", tmp_path / "net"
    state = load_file(home / "net" / "model.safetensors")
    state["classifier.6.weight"] = torch.zeros(3, 8)
    state["features.0.weight"] = torch.full_like(state["features.0.weight"], 0.125)
    save_file(state, file)
    command = ["train", *own(home), "--method", "erm", "--out", str(out), *QUICK]
    still = ["--pretrained", str(file), "--learning-rate", "1e-7"]
    capsys.readouterr()
    assert main([*command, *still]) == 0
    assert "classifier.6.weight, which begin with fresh weights" in capsys.readouterr().err
    begun = load_artifact(out)
    weight = begun.model.get_parameter("features.0.weight")
    assert torch.allclose(weight, torch.full_like(weight, 0.125), atol=1e-5)
    assert begun.training["pretrained"]["file"] == "weights.safetensors"
    assert "began with the weights of weights.safetensors" in (out / "README.md").read_text()
    assert "no.pth: No such file" in failure([*command, "--pretrained", "no.pth"], capsys)


def _table(change):
    def apply(place):
        change(pd.read_csv(place / "labels.csv")).to_csv(place / "labels.csv", index=False)

    return apply


def _cut(place):
    file = place / "images" / "5.jpg"
    file.write_bytes(file.read_bytes()[:300])


DAMAGE = {
    "truncated": (_cut, {}, "5.jpg: truncated, or not an image"),
    "missing file": (lambda p: (p / "images" / "5.jpg").unlink(), {}, "are missing: 5.jpg"),
    "no label column": (_table(lambda t: t.drop(columns="smiling")), {}, "no column 'smiling'"),
    "label missing": (
        _table(lambda t: t.assign(smiling=t["smiling"].where(t.index != 3))),
        {},
        "label 'smiling': 1 of 40 rows have no value",
    ),
    "no table": (lambda _: None, {"labels": ""}, "give the table that tells what is on them"),
    "too small": (lambda _: None, {"image_size": "62"}, "alexnet takes images of 63 x 63 pixels"),
    "network of tables": (lambda _: None, {"network": "mlp"}, "mlp does not take the rows of"),
    "option of tables": (lambda _: None, {"hidden": "8"}, "--hidden and --depth: of mlp"),
}


@pytest.mark.parametrize("command", ["train", "compare"])
@pytest.mark.parametrize("case", DAMAGE)
def test_what_is_wrong_with_images_is_one_line(case, command, fresh, capsys):
    change, options, message = DAMAGE[case]
    change(fresh)
    assert message in failure(
        [command, *own(fresh, **options), "--out", str(fresh / "out"), *QUICK], capsys
    )
    assert not (fresh / "out").exists()


def test_what_is_wrong_with_images_to_be_scored_is_one_line(home, tmp_path, capsys):
    table, net = tmp_path / "some.csv", str(home / "net")
    for rows, message in (
        ({"file": ["1.jpg", "no.jpg"]}, "no.jpg: no such file"),
        ({"file": ["1.jpg", None]}, "column 'file': 1 of 2 rows name no file"),
    ):
        pd.DataFrame(rows).to_csv(table, index=False)
        command = ["predict", net, str(table), "--images", str(home / "images")]
        assert message in failure(command, capsys)
        labels = pd.DataFrame(rows).assign(smiling=["yes", "no"], gender=["f", "m"])
        labels.to_csv(table, index=False)
        assert message in failure(["audit", *command[1:]], capsys)
