"""What is released: the archives hold what tests and pages need, and the version is one."""

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """The names in the source archive and in the wheel."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(folder)],
        cwd=ROOT, check=True, capture_output=True, timeout=200,
    )  # fmt: skip
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        source = {name.partition("/")[2] for name in archive.getnames()}
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        return source, set(wheel.namelist())


@pytest.mark.skipif(
    shutil.which("git") is None or not (ROOT / ".git").exists(), reason="needs version control"
)
def test_the_source_archive_holds_all_that_is_in_version_control_but_large_records(archives):
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    left_out = {name for name in listed if name.startswith((".github/", "results/"))}
    assert set(listed) - left_out <= archives[0]
    assert not {name for name in archives[0] if name.endswith(".jsonl.gz")}
    built = (".whl", ".so", ".pyc", ".sqlite", ".pt")
    assert not {name for name in listed if name.endswith(built)}


def test_the_wheel_holds_the_package_its_data_and_nothing_else(archives):
    tops = {name.partition("/")[0] for name in archives[1]}
    assert tops == {"dralign", f"dralign-{PROJECT['version']}.dist-info"}
    package = ROOT / "src" / "dralign"
    files = {
        str(path.relative_to(package.parent))
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert files == {name for name in archives[1] if name.startswith("dralign/")}


def test_the_version_is_the_same_wherever_it_stands():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert str(citation["version"]) == PROJECT["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (\d\S+) \((\S+)\)$", changelog, re.MULTILINE)
    assert newest.groups() == (PROJECT["version"], str(citation["date-released"]))


def test_workflows_run_the_commands_of_the_makefile_on_the_declared_versions():
    folder = ROOT / ".github" / "workflows"
    if not folder.is_dir():
        pytest.skip("not in the source archive")
    test = yaml.safe_load((folder / "test.yml").read_text(encoding="utf-8"))
    declared = [
        line.rpartition(" ")[2] for line in PROJECT["classifiers"] if re.search(r"3\.\d+$", line)
    ]
    assert test["jobs"]["test"]["strategy"]["matrix"]["python"] == declared
    targets = re.findall(
        r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
    )
    for path in folder.glob("*.yml"):
        for job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values():
            for step in job["steps"]:
                command = step.get("run", "").split()
                if command[:1] == ["make"]:
                    assert command[1] in targets


def test_the_conda_recipe_needs_what_the_package_needs():
    recipe = yaml.safe_load((ROOT / "conda" / "recipe.yaml").read_text(encoding="utf-8"))
    assert recipe["context"]["version"] == PROJECT["version"]
    called = {"torch": "pytorch", "matplotlib": "matplotlib-base"}
    needed = [f"python {PROJECT['requires-python']}"]
    for requirement in (*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["app"]):
        name, bound = requirement.split(">=")
        needed.append(f"{called.get(name, name)} >={bound}")
    assert recipe["requirements"]["run"] == needed
