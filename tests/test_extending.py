"""What a package adds in one place is found by name at every door, in worker processes too."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
QUICK = ["--seeds", "2", "--epochs", "2", "--iterations", "3", "--hidden", "8"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The environment of a machine on which the extension is installed."""
    place = tmp_path_factory.mktemp("site")
    (place / "tilted.py").write_text((HERE / "extension" / "tilted.py").read_text())
    info = place / "tilted-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tilted\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[dralign.extensions]\ntilted = tilted\n")
    known = os.environ.get("PYTHONPATH", "")
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(place), known)))}


def run(installed, *arguments, cwd=None):
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env={**installed, "COLUMNS": "200"},
        cwd=cwd,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_method_and_its_setting_are_found_by_the_commands(installed, tmp_path):
    shown = run(installed, "-m", "dralign", "compare", "--help")
    assert "--tilt" in shown
    assert "How much more rows" in shown
    command = ["compare", "german", "--methods", "erm,tilted,dralign", "--weights", "0.2", *QUICK]
    command += ["--tilt", "2", "--alignment-every", "from:2", "--out", str(tmp_path / "study")]
    table = " ".join(run(installed, "-m", "dralign", *command, "--jobs", "2").split())
    assert "tilted by 2." in table
    assert "dralign aligned rationales per unit, by from:2." in table
    page = (tmp_path / "study" / "report.html").read_text()
    assert 'value="tilted"' in page
    rows = json.loads(run(installed, "-m", "dralign", *command, "--json"))["rows"]
    found = {row["trial"]["method"]: row["trial"] for row in rows}
    assert found["tilted"]["tilt"] == 2.0
    assert "tilt" not in found["erm"]
    assert found["dralign"]["alignment_every"] == "from:2"
    exported = tmp_path / "all.csv"
    run(installed, "-m", "dralign", "export", str(tmp_path / "study"), "--out", str(exported))
    assert "tilt" in exported.read_text().splitlines()[0].split(",")


def test_a_measure_has_a_column_a_place_on_the_page_and_chooses_if_asked(installed, tmp_path):
    command = ["-m", "dralign", "compare", "german", "--methods", "erm,gap", "--weights", "0.2"]
    command += [*QUICK, "--out", str(tmp_path / "study"), "--jobs", "1"]
    run(installed, *command)
    head = (tmp_path / "study" / "table.md").read_text().splitlines()[0]
    assert "| median gap |" in head
    page = (tmp_path / "study" / "report.html").read_text()
    assert '"label":"median gap"' in page
    shown = json.loads(run(installed, *command, "--measure", "median", "--json"))
    assert {row["measure"] for row in shown["rows"]} == {"median"}
    assert "smallest median gap" in shown["rows"][0]["selection"]
    assert all(row["figures"]["median"]["n"] == 2 for row in shown["rows"])


PLAN = """
name = "tilts"
[defaults]
dataset = "german"
epochs = 2
iterations = 3
hidden = 8
seeds = 1
[[trials]]
method = ["tilted", "erm"]
tilt = [0.5, 2.0]
"""


def test_a_plan_takes_the_method_and_crosses_its_setting(installed, tmp_path):
    (tmp_path / "plan.toml").write_text(PLAN)
    code = """
from dralign.study import load_plan
for spec in load_plan("plan.toml").trials:
    print(spec.method, spec.uses("tilt") and spec.tilt)
"""
    found = run(installed, "-c", code, cwd=tmp_path).split("\n")[:-1]
    assert sorted(found) == ["erm False", "tilted 0.5", "tilted 2.0"]


def test_the_classifier_takes_the_method_by_name(installed):
    code = """
import numpy as np
from dralign import DRAlignClassifier
rng = np.random.default_rng(0)
x, a = rng.normal(size=(80, 3)), np.arange(80) % 2
y = (x[:, 0] + 0.1 * rng.normal(size=80) > 0).astype(int)
model = DRAlignClassifier("tilted", epochs=2, iterations=5, hidden=8, random_state=0)
print(model.fit(x, y, sensitive_features=a).predict(x).shape)
"""
    assert run(installed, "-c", code).strip() == "(80,)"


def test_a_second_method_of_the_same_name_and_a_setting_declared_otherwise_are_refused():
    from dralign.errors import OptionError
    from dralign.methods import MethodType, method_type, register, unregister
    from dralign.settings import Setting

    with pytest.raises(OptionError, match="method: 'gap' is known already"):
        register(method_type("gap"))
    other = Setting("aggregate", "Something else.", "text", default="max")
    with pytest.raises(OptionError, match="the setting 'aggregate' is declared otherwise already"):
        register(MethodType("other", "nothing", lambda *_: None, settings=(other,)))
    register(MethodType("other", "nothing", lambda *_: None))
    unregister("other")
    with pytest.raises(OptionError, match="unknown method 'other'"):
        method_type("other")
