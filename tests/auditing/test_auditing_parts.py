"""Parts of an audit that are asked for alone, and what each costs."""

import json

import pytest
import torch
from torch import nn

from dralign.auditing import audit
from dralign.auditing.parts import PARTS, chosen_parts, plan_for
from dralign.auditing.removal import Network
from dralign.errors import OptionError
from dralign.models import mlp
from dralign.rationale import select_layers
from dralign.rationale.rows import check_rows
from synthetic import crossed_rows

QUICK = {"n_splits": 20, "n_bootstrap": 20, "min_group_size": 1}
FIELDS = {"agreement": "influence", **{part: part for part in PARTS}}


def audited(**options):
    x, y, group = crossed_rows(60, dtype=torch.float32)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = mlp(4, hidden=5, depth=2)
    return audit(model, x, y, group=group, **QUICK, **options)


@pytest.fixture(scope="module")
def whole():
    return audited().to_dict()


ASKED = [[part] for part in PARTS if part != "what_if"] + [["influence", "what_if"]]


@pytest.mark.parametrize("parts", ASKED, ids="+".join)
def test_a_part_alone_is_that_of_the_whole_audit_and_others_are_empty(whole, parts, tmp_path):
    found = audited(parts=parts)
    form = found.to_dict()
    for field, part in FIELDS.items():
        if part in parts:
            assert form[field] == whole[field]
        else:
            assert not form[field]
    left_out = ", ".join(part for part in PARTS if part not in parts)
    assert f"not asked for, and left out: {left_out}" in form["notes"]
    assert form["provenance"]["parts"] == parts
    assert "certify nothing" in str(found)
    page = found.to_html(tmp_path / "page.html").read_text(encoding="utf-8")
    heads = {
        "outcomes": "What the network decides",
        "influence": "Which parts matter to whom",
        "independence": "Independence (A.13)",
        "what_if": "What if the units",
    }
    assert [part for part, head in heads.items() if head in page] == [
        part for part in heads if part in parts
    ]
    assert json.loads(json.dumps(form, allow_nan=False)) == form


def test_all_parts_are_the_default(whole):
    assert whole["provenance"]["parts"] == list(PARTS)
    assert not any("left out" in note for note in whole["notes"])


@pytest.mark.parametrize(
    ("parts", "line"),
    [
        (["what_if"], "'what_if' removes the units that 'influence' finds; name both"),
        (["gaps"], "unknown part of an audit 'gaps'; known: outcomes, similarity"),
        ([], "name one at least of outcomes"),
        ("outcomes", "expected a list of names, got 'outcomes'"),
    ],
)
def test_parts_that_are_none_are_one_clear_line(parts, line):
    with pytest.raises(OptionError, match=line):
        audited(parts=parts)


def test_independence_costs_little_where_every_removal_is_a_run():
    """At most 105 weights one by one and 15 sets, of any network that is no stack."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 60), nn.LayerNorm(60), nn.Tanh(), nn.Linear(60, 1))
    x, y, group = crossed_rows(30, dtype=torch.float32)
    runs = []
    model.register_forward_hook(lambda *_: runs.append(1))
    found = audit(model, x, y, group=group, parts=["independence"], **QUICK)
    assert sorted({one.size for one in found.independence}) == [1, 4, 16]
    assert 80 < len(runs) < 150


@pytest.mark.parametrize(("depth", "sample"), [(2, 100), (10, 50), (60, 20)])
def test_a_sample_of_a_network_that_is_no_stack_is_about_1000_removals(depth, sample):
    model = nn.Sequential(*(nn.Linear(30, 30) for _ in range(depth)), nn.LayerNorm(30))
    x, y, group = crossed_rows(20, 30, dtype=torch.float32)
    rows = check_rows(model, x, y, group)
    network = Network(model, rows, select_layers(model), stack=False, batch_rows=20)
    plan = plan_for(network, chosen_parts(None), None)
    assert plan.sample == sample
    assert any(f"{sample} weights and {sample} units a layer" in note for note in plan.notes)
    few = Network(model, rows, select_layers(model, 1), stack=False, batch_rows=20)
    assert plan_for(few, chosen_parts(None), None).sample is None
    whole = Network(model, rows, select_layers(model), stack=True, batch_rows=20)
    assert plan_for(whole, chosen_parts(None), None).sample is None
