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


IN_TURN = """
import json, sys
from dralign.cli import main
for command in json.loads(sys.argv[1]):
    if code := main(command):
        sys.exit(code)
    print("\\0", end="", flush=True)
"""


def dralign(installed, *commands):
    """What each of several commands prints; one process runs them, for its start is the longest."""
    *printed, rest = run(installed, "-c", IN_TURN, json.dumps(commands)).split("\0")
    assert not rest
    return printed


def test_a_method_and_its_setting_are_found_by_the_commands(installed, tmp_path):
    command = ["compare", "german", "--methods", "erm,tilted,dralign", "--weights", "0.2", *QUICK]
    command += ["--tilt", "2", "--alignment-every", "from:2", "--out", str(tmp_path / "study")]
    exported = tmp_path / "all.csv"
    shown, table, again, _ = dralign(
        installed,
        ["compare", "--help"],
        [*command, "--jobs", "2"],
        [*command, "--json"],
        ["export", str(tmp_path / "study"), "--out", str(exported)],
    )
    assert "--tilt" in shown
    assert "How much more rows" in shown
    table = " ".join(table.split())
    assert "tilted by 2." in table
    assert "dralign aligned rationales per unit, by from:2." in table
    page = (tmp_path / "study" / "report.html").read_text()
    assert 'value="tilted"' in page
    rows = json.loads(again)["rows"]
    found = {row["trial"]["method"]: row["trial"] for row in rows}
    assert found["tilted"]["tilt"] == 2.0
    assert "tilt" not in found["erm"]
    assert found["dralign"]["alignment_every"] == "from:2"
    assert "tilt" in exported.read_text().splitlines()[0].split(",")


def test_a_measure_has_a_column_a_place_on_the_page_and_chooses_if_asked(installed, tmp_path):
    command = ["compare", "german", "--methods", "erm,gap", "--weights", "0.2"]
    command += [*QUICK, "--out", str(tmp_path / "study"), "--jobs", "1"]
    dralign(installed, command)
    head = (tmp_path / "study" / "table.md").read_text().splitlines()[0]
    assert "| median gap |" in head
    page = (tmp_path / "study" / "report.html").read_text()
    assert '"label":"median gap"' in page
    (shown,) = map(json.loads, dralign(installed, [*command, "--measure", "median", "--json"]))
    assert {row["measure"] for row in shown["rows"]} == {"median"}
    assert "smallest median gap" in shown["rows"][0]["selection"]
    assert all(row["figures"]["median"]["n"] == 2 for row in shown["rows"])


def test_a_gap_is_found_by_the_commands_tables_pages_and_export(installed, tmp_path):
    folder, exported = tmp_path / "study", tmp_path / "all.csv"
    command = ["compare", "german", "--methods", "gap", "--gap", "all_cutoffs_false_alarms", *QUICK]
    command += ["--weights", "0.2", "--seeds", "1", "--jobs", "1", "--out", str(folder)]
    table, _ = dralign(installed, command, ["export", str(folder), "--out", str(exported)])
    table = " ".join(table.split())
    assert "Gap: equal false alarms at all cut-offs" in table
    assert "equal false alarms at all cut-offs" in (folder / "report.html").read_text()
    columns = exported.read_text().splitlines()[0].split(",")
    for figure in ("soft_false_alarms", "base_rate_false_alarms", "hard_missed"):
        assert any(column.endswith(figure) for column in columns)
    assert not any("soft_all_cutoffs" in column for column in columns)


GAP_PLAN = """
name = "alarms"
[[trials]]
dataset = "german"
method = ["erm", "dralign"]
gap = ["false_alarms", "all_cutoffs_false_alarms", "missed"]
"""


def test_plans_help_the_classifier_and_aligned_backward_take_a_gap_by_name(installed, tmp_path):
    (tmp_path / "plan.toml").write_text(GAP_PLAN)
    code = """
import numpy as np, torch
from dralign import DRAlignClassifier, RationaleAlignment, aligned_backward
from dralign.study import load_plan
from dralign.study.reference import settings_reference
names = ("false_alarms", "all_cutoffs_false_alarms", "missed")
print(sorted({spec.gap for spec in load_plan("plan.toml").trials}) == sorted(names))
print(all(name in settings_reference() for name in names))
rng = np.random.default_rng(0)
x, a = rng.normal(size=(80, 3)), np.arange(80) % 2
y = (x[:, 0] + 0.1 * rng.normal(size=80) > 0).astype(int)
for name in names:
    model = DRAlignClassifier(gap=name, epochs=2, iterations=5, hidden=8, random_state=0)
    print(model.fit(x, y, sensitive_features=a).predict(x).shape == (80,))
layer = torch.nn.Linear(3, 1)
x, y, a = torch.tensor(x).float(), torch.tensor(y), torch.tensor(a)
prob = layer(x).sigmoid()[:, 0]
gap = (prob[(a == 0) & (y == 0)].mean() - prob[(a == 1) & (y == 0)].mean()).abs()
term = RationaleAlignment(layer)
rows = {"label": y, "group": a, "n_groups": 2, "alignment": term, "alignment_weight": 0.0}
value = [
    aligned_backward(layer, x, gap="false_alarms", fairness_weight=w, **rows) for w in (0.0, 1.0)
]
print(torch.allclose(value[1] - value[0], gap, atol=1e-6))
"""
    assert run(installed, "-c", code, cwd=tmp_path).split() == ["True"] * 6


def test_a_dataset_is_found_by_plans_commands_tables_and_load(installed, tmp_path):
    plan = 'name = "throws"\n[[trials]]\ndataset = "coins"\nmethod = "erm"\n'
    (tmp_path / "plan.toml").write_text(plan)
    code = """
from dralign.data import DataSource, load
from dralign.study import load_plan
print({spec.data for spec in load_plan("plan.toml").trials} == {DataSource("coins")})
data = load("coins", preparation="standard", seed=3)
print(data.group_names, data.fingerprint, len(data.train))
"""
    said = run(installed, "-c", code, cwd=tmp_path).splitlines()
    assert said == ["True", "('left', 'right') coins, first edition 200"]
    command = ["compare", "coins", "--methods", "gap", *QUICK, "--seeds", "1", "--jobs", "1"]
    command += ["--weights", "0.2", "--out", str(tmp_path / "study")]
    assert "coins, standard preparation" in run(installed, "-m", "dralign", *command)
    with pytest.raises(AssertionError, match=r"known: adult, german, .*, coins"):
        run(installed, "-m", "dralign", "compare", "coin")


def test_a_layer_type_takes_part_in_alignment_scores_and_audit(installed):
    code = """
import torch
from torch import nn
from dralign import RationaleAlignment, aligned_backward, audit, group_losses, parity_scores
from dralign.rationale import per_sample_loss
from tilted import Pairs
torch.manual_seed(0)
model = nn.Sequential(Pairs(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()
x, y, a = torch.randn(60, 3).double(), torch.arange(60) // 2 % 2, torch.arange(60) % 2
term = RationaleAlignment(model)
strata = group_losses(per_sample_loss(model(x), y), a, n_groups=2)
plain = torch.autograd.grad(0.3 * term.align(strata), list(model.parameters()), allow_unused=True)
rows = {"label": y, "group": a}
weights = {"n_groups": 2, "alignment": term}
fast = []
for weight in (0.0, 0.3):
    model.zero_grad()
    aligned_backward(model, x, **rows, **weights, alignment_weight=weight)
    fast.append([p.grad.clone() for p in model.parameters()])
print(term.layers == ("0", "2"), term.coverage == 1)
print(all(torch.allclose(b - a, 0 * b if p is None else p) for p, a, b in zip(plain, *fast)))
model.zero_grad()
scores = parity_scores(model, x, **rows)
with torch.no_grad():
    before = torch.stack([per_sample_loss(model(x), y)[a == g].mean() for g in (0, 1)])
    model[0].weight[1, 2, 0] = 0
    after = torch.stack([per_sample_loss(model(x), y)[a == g].mean() for g in (0, 1)])
influence = (after - before) ** 2
found = torch.tensor(scores.scores["0"][1, 2, 0])
print(torch.allclose(found, (influence[0] - influence[1]) ** 2))
"""
    assert run(installed, "-c", code).split() == ["True"] * 4


def test_each_weight_of_a_layer_type_is_a_layer_and_one_that_is_not_there_is_refused():
    import torch
    from torch import nn

    from dralign.errors import ModelError, OptionError
    from dralign.rationale import LayerType, register_layer, select_layers, unregister_layer

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.flat = nn.Parameter(torch.ones(3))

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = (nn.Parameter(torch.ones(3, 2)) for _ in range(2))

    for name, line in (("lost", "it has no parameter 'lost'"), ("flat", "flat has one dimension")):
        register_layer(LayerType(Own, (name,)))
        with pytest.raises(OptionError, match=r"layer: .*Own' is known already"):
            register_layer(LayerType(Own))
        with pytest.raises(ModelError, match=f"layer '0': {line}"):
            select_layers(nn.Sequential(Own(), nn.Linear(3, 1)))
        unregister_layer(Own)
    register_layer(LayerType(Two, ("first", "second")))
    assert [layer.name for layer in select_layers(nn.Sequential(Two()))] == ["0.first", "0.second"]
    unregister_layer(Two)
    with pytest.raises(OptionError, match="layer: Own: name one weight at least"):
        register_layer(LayerType(Own, ()))
    assert [layer.name for layer in select_layers(nn.Sequential(Own(), nn.Linear(3, 1)))] == ["1"]


def test_a_second_gap_of_the_same_name_and_one_without_figures_are_refused():
    from dralign.errors import OptionError
    from dralign.gaps import GapType, gap_type, register_gap, unregister_gap

    with pytest.raises(OptionError, match="gap: 'equalized_odds' is known already"):
        register_gap(gap_type("equalized_odds"))
    with pytest.raises(OptionError, match="unknown gap with figures 'other'; known: demographic"):
        register_gap(GapType("another", "another", figures_of="other"))
    register_gap(GapType("another", "another"))
    unregister_gap("another")
    with pytest.raises(OptionError, match="unknown gap 'another'"):
        gap_type("another")


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
