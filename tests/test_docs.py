"""What the documents promise exists, and their code runs as it stands."""

import re
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import records as made_up
from dralign._torchvision import vision_models
from dralign.cli import main
from dralign.errors import ModelError
from dralign.rationale import unregister_layer
from dralign.study import Ledger

ROOT = Path(__file__).resolve().parents[1]
CITED = re.compile(r"Eq(?:s)?\. (\d+)(?:(?:-| and |, )(\d+))?")


def equation_numbers(text: str) -> set[int]:
    """The equation numbers a text cites, ranges included."""
    found = set()
    for first, last in CITED.findall(text):
        found |= set(range(int(first), int(last or first) + 1))
    return found


def test_every_cited_equation_is_in_the_maths_page():
    page = (ROOT / "docs" / "maths.md").read_text(encoding="utf-8")
    stated = {int(number) for number in re.findall(r"\*\*Eq\. (\d+)\*\*", page)}
    assert stated == set(range(1, max(stated) + 1))
    for path in sorted((ROOT / "src").rglob("*.py")):
        missing = equation_numbers(path.read_text(encoding="utf-8")) - stated
        assert not missing, f"{path.name} cites equations {missing}"


def test_links_between_documents_lead_somewhere():
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_no_document_or_source_names_a_private_place():
    words = ("/work/", "/root/", "/tmp/", "shared/paper", "shared/design")
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "src").rglob("*.py")]:
        text = path.read_text(encoding="utf-8")
        assert not [word for word in words if word in text], path.name


@pytest.fixture
def a_folder_to_work_in(tmp_path, monkeypatch):
    """The current folder, with the files that the pages speak of."""
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    people = pd.DataFrame(
        {"pay": draw.normal(40, 9, 600), "job": draw.choice(["cook", "nurse"], 600)}
    )
    people["region"] = draw.choice(["n", "s"], 600)
    signal = people["pay"] + draw.normal(0, 9, 600)
    people["loan"] = np.where(signal > 40, "granted", "refused")
    people.to_csv("people.csv", index=False)
    people.drop(columns="loan")[:50].to_csv("newcomers.csv", index=False)
    with Ledger("studies/adult/study.sqlite") as ledger:
        for record in made_up.records():
            ledger.add(record)


OTHER_PACKAGES = (
    "transformers",
    "lightning",
    "skorch",
    "optuna",
    "mlflow",
    "wandb",
    "onnxruntime",
)


def code_blocks(page: str) -> list[str]:
    """The Python of a page."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


def package_of(block: str) -> str:
    """The package that a block needs beside ours; empty for none."""
    named = r"(import|from) (dralign\.integrations\.)?"
    return next((name for name in OTHER_PACKAGES if re.search(named + name, block)), "")


# Those of measures.md and extending.md are run by tests of their own.
@pytest.mark.parametrize(
    "page",
    [
        "data.md",
        "distributed.md",
        "index.md",
        "networks.md",
        "postprocessing.md",
        "studies.md",
        "training.md",
    ],
)
@pytest.mark.filterwarnings("ignore::dralign.errors.DralignWarning")
def test_code_blocks_of_a_page_run_in_order(page, a_folder_to_work_in):
    names: dict[str, object] = {}
    try:
        for block in code_blocks(page):
            if not package_of(block):
                exec(compile(block, page, "exec"), names)
    finally:
        unregister_layer(torch.nn.Embedding)  # networks.md registers it
    assert names


@pytest.mark.parametrize("package", OTHER_PACKAGES)
@pytest.mark.filterwarnings("ignore")  # those of other packages
def test_recipes_for_other_packages_run(package, a_folder_to_work_in, monkeypatch):
    if package in {"transformers", "lightning"}:  # they import torchvision: after our own way of it
        with suppress(ModelError):
            vision_models()
    pytest.importorskip(package, reason=f"{package} is not installed")
    if package == "mlflow":  # runs in a folder need nothing but mlflow-skinny
        monkeypatch.setenv("MLFLOW_TRACKING_URI", Path("runs").absolute().as_uri())
        monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    if package == "onnxruntime":
        pytest.importorskip("onnxscript", reason="onnxscript is not installed")
        options = ["--label", "loan", "--positive", "granted", "--sensitive", "region"]
        short = ["--method", "erm", "--epochs", "1", "--iterations", "5"]
        assert main(["train", "people.csv", *options, *short, "--out", "net"]) == 0
        assert main(["export-model", "net", "--out", "net.onnx"]) == 0
    blocks = [block for block in code_blocks("integrations.md") if package_of(block) == package]
    assert blocks
    for block in blocks:
        exec(compile(block, package, "exec"), {"__name__": "recipe"})
