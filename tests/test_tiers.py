"""With torch and numpy alone the loop works, and the rest says in one line what to install."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import dralign

ROOT = Path(__file__).resolve().parents[1]
MODULES = {"scikit-learn": "sklearn", "pillow": "PIL"}
EXTRAS = ("app", "distributed", "vision", "tensorboard")
# In what follows these modules are as good as not installed.
BARE = """
import runpy, sys
from importlib.machinery import PathFinder

class Others(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        missing = name.partition(".")[0] in {missing!r}
        return None if missing else super().find_spec(name, path, target)

sys.meta_path = [Others if finder is PathFinder else finder for finder in sys.meta_path]
"""
PARTS = ("artifact", "auditing", "cli", "comparing", "data", "estimator", "report", "reproduce",
         "study", "training")  # fmt: skip
NEEDS_MORE = {
    *("Audit", "DRAlignClassifier", "Frontier", "PluginClassifier", "PredictionAudit", "audit"),
    *("MethodComparison", "audit_predictions", "compare"),
    *("fetch_adult", "fetch_compas", "fetch_german"),
}
LINE = r".+ needs [\w ,-]+; install dralign\[app\] from where dralign came"


def extras():
    """The modules of the packages that each extra declares."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {
        extra: [re.split(r"[\[>]", line)[0] for line in lines]
        for extra, lines in declared["optional-dependencies"].items()
    }
    return {key: {MODULES.get(n, n) for n in value} for key, value in names.items()}


def run(code, *, missing=None):
    """Runs code in a process that can import none of these; all that the extras bring if None."""
    if missing is None:
        missing = set().union(*(extras()[extra] for extra in EXTRAS)) - {"dralign"}
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BARE.format(missing=missing) + code],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_readmes_loop_parity_scores_groups_and_metrics_need_torch_and_numpy_alone():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    loop, joint, _, scores = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    more = """
import numpy as np
from dralign import metrics
prob = model(x).squeeze(1).sigmoid().detach()
rates = metrics.demographic_parity_difference(y, prob > 0.5, sensitive_features=group)
assert 0 <= rates <= 1
for columns in (group, group.numpy(), names, {"a": list("ab"), "b": np.arange(2)}):
    print(dralign.encode_groups(columns).names)
"""
    done = run(loop + joint + scores + more)
    assert done.returncode == 0, done.stderr
    assert "similarity" in done.stdout
    assert "('a & 0', 'b & 1')" in done.stdout


def test_every_public_name_works_or_says_in_one_line_what_to_install():
    done = run("""
import dralign
for name in dralign.__all__:
    try:
        getattr(dralign, name)
        print(name, "there")
    except ImportError as error:
        print(name, error)
""")
    assert done.returncode == 0, done.stderr
    told = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert set(told) == set(dralign.__all__)
    for name, line in told.items():
        assert re.fullmatch(LINE if name in NEEDS_MORE else "there", line), (name, line)


def test_a_part_that_needs_more_says_so_when_it_is_imported():
    done = run(f"""
import importlib
from dralign.errors import DralignError
for part in {PARTS!r}:
    try:
        importlib.import_module(f"dralign.{{part}}")
    except DralignError as error:
        print(error)
""")
    lines = done.stdout.splitlines()
    assert len(lines) == len(PARTS), done.stderr
    assert all(re.fullmatch(LINE, line) for line in lines)


@pytest.mark.parametrize(
    ("missing", "command", "line"),
    [
        (None, ["--help"], "the command line needs rich and typer"),
        ({"pandas"}, ["report", "studies"], "dralign.report needs pandas"),
        ({"sklearn", "scipy"}, ["train", "--help"], "dralign.study needs scipy"),
    ],
)
def test_the_command_says_in_one_line_what_to_install(missing, command, line):
    code = f"sys.argv[1:] = {command!r}\nrunpy.run_module('dralign', run_name='__main__')"
    done = run(code, missing=missing)
    assert done.returncode == 2
    assert done.stderr == f"dralign: error: {line}; install dralign[app] from where dralign came\n"
    assert not done.stdout


def test_the_page_on_installing_names_every_extra_and_all_it_needs():
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    rows = {
        row[0]: row[2] for row in re.findall(r"^\| `(.*?)` \| (.*) \| (.*) \|$", page, re.MULTILINE)
    }
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for extra in EXTRAS:
        needs = {re.split(r"[>]", line)[0] for line in declared["optional-dependencies"][extra]}
        named = set(rows[f"dralign[{extra}]"].replace("`[app]`", "dralign[app]").split(", "))
        assert named - {"the above"} == needs, extra


def test_torch_and_numpy_are_all_that_is_declared_for_the_loop():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {line.partition(">")[0] for line in declared["dependencies"]} == {"torch", "numpy"}


def test_every_package_that_is_asked_for_is_declared_by_the_extra_that_is_named():
    declared = extras()
    for path in sorted((ROOT / "src" / "dralign").rglob("*.py")):
        for call in re.findall(
            r"^\s*require\(([^)]*)\)", path.read_text(encoding="utf-8"), re.MULTILINE
        ):
            if "extra=" in call or "packages" in call:
                continue
            asked = {MODULES.get(n, n) for n in re.findall(r'"([^"]+)"', call)[1:]}
            assert asked <= declared["app"], f"{path.name}: {asked - declared['app']}"
