"""CelebA in ``dralign reproduce``: all of it, a sample of it, or none of it."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import faces
import records as made_up
from dralign import cli
from dralign.data import celeba
from dralign.models import alexnet
from dralign.reproduce import ENTRIES, Results, findings, plan, section, suited
from dralign.reproduce.celeba import faces as faces_of
from dralign.reproduce.cost import LARGER, image_cost
from dralign.study import Ledger, ledger_path, run_study

PARTITION = "sample_partition.txt"
WHOLE, SAMPLE = plan("celeba_attractive").trials, plan("celeba_sample_attractive").trials
TABLE = plan("compas").trials[:2]


@pytest.fixture
def folder(tmp_path):
    """CelebA's layout with 80 images of noise, and a partition of its own."""
    pytest.importorskip("PIL")
    faces.official(tmp_path / "home", n=80, parts=[0])
    faces.partition(tmp_path / "home" / PARTITION, 80, [0, 0, 1, 2])
    attributes = tmp_path / "home" / "list_attr_celeba.txt"
    text = attributes.read_text(encoding="utf-8").replace("Smiling", "Attractive")
    attributes.write_text(text, encoding="utf-8")
    return tmp_path / "home"


@pytest.mark.parametrize(
    ("rows", "quick", "kept"),
    [
        pytest.param(80, False, WHOLE, id="all images: the paper's settings"),
        pytest.param(80, True, (), id="all images, quickly: none"),
        pytest.param(81, False, SAMPLE, id="a part: the sample's settings"),
        pytest.param(81, True, SAMPLE, id="a part, quickly"),
    ],
)
def test_the_images_in_the_folder_decide_which_plans_are_run(
    folder, monkeypatch, rows, quick, kept
):
    monkeypatch.setattr(celeba, "ROWS", rows)
    found = suited((*TABLE, *WHOLE, *SAMPLE), data_home=str(folder), quick=quick)
    assert found == [*TABLE, *kept]


def test_trials_on_tables_need_no_folder_of_images():
    assert suited(TABLE, data_home="/nowhere") == list(TABLE)


@pytest.mark.parametrize("name", ["table5", "fig3"])
def test_without_images_the_papers_side_is_shown_and_only_tables_are_run(
    name, tmp_path, capsys, monkeypatch
):
    asked = []
    monkeypatch.setattr(
        "dralign.cli.progress.run_trials", lambda specs, *_, **__: asked.extend(specs)
    )
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("DRALIGN_DATA", raising=False)
    assert cli.main(["reproduce", name, "--study", str(tmp_path)]) == 0
    tables = {"adult", "german", "compas"}
    assert {spec.data.name for spec in asked} == (tables if name == "fig3" else set())
    shown = capsys.readouterr()
    assert "celeba is not there" in shown.err
    assert "There are no trials" in shown.out


def test_a_table_is_run_on_a_part_of_the_images_and_found_again_without_them(
    folder, tmp_path, capsys, monkeypatch
):
    """Table 5, with made-up courses of training, then from the ledger alone."""

    def run_trials(specs, ledger, **_):
        run_study(specs, ledger, jobs=1, run=made_up.history)

    monkeypatch.setattr("dralign.cli.progress.run_trials", run_trials)
    command = ["reproduce", "table5", "--json"]
    command += ["--study", str(tmp_path / "study"), "--data-home", str(folder)]
    assert cli.main(command) == 0
    first = json.loads(capsys.readouterr().out)["entries"]["table5"]
    shutil.rmtree(folder)
    assert cli.main([*command, "--no-run"]) == 0
    assert json.loads(capsys.readouterr().out)["entries"]["table5"] == first
    [ours] = [line for line in first["lines"] if line[:3] == ["dralign", "AP", "ours"]]
    assert ours[4].endswith("(n=1)")  # at lambda .2
    assert [cell for cell in ours[3:] if cell == "–"] == ["–"] * 5
    assert "on a sample" in first["note"]
    verdicts = {part["verdict"] for claim in first["claims"] for part in claim["parts"]}
    assert verdicts == {"contradicts itself", "not comparable"}


def test_where_a_partition_or_the_images_lie_does_not_matter(tmp_path):
    """Trials of a plan of one's own, with paths, are those of the package's plan."""
    elsewhere = [
        replace(s, data=replace(s.data, partition=f"/data/{PARTITION}", data_home="/data"))
        for s in SAMPLE
    ]
    with Ledger(ledger_path(tmp_path)) as ledger:
        for record in made_up.records(elsewhere):
            ledger.add(record)
        assert len(Results.of(ledger.records(), SAMPLE).records) == len(SAMPLE)


def test_trials_on_all_images_come_before_those_on_a_sample():
    """Both are there: the table shows the former, and neither mixes with the other."""
    both = Results.of(made_up.records([*SAMPLE, *WHOLE]))
    alone = Results.of(made_up.records(WHOLE))
    assert section(ENTRIES["table5"], both) == section(ENTRIES["table5"], alone)
    assert "all of CelebA" in section(ENTRIES["table5"], both)
    assert all("sample" not in str(p) for one in findings(both, "table5") for p in one.parts)


def test_the_first_three_epochs_are_not_chosen_on_all_of_celeba():
    """As in the published code; epoch 1 or 2 would be chosen here if any fewer were left out."""
    chosen = Results.of(made_up.records(WHOLE[:1]))
    (trial,) = chosen.records
    epochs = tuple(
        replace(
            epoch,
            validation={**epoch.validation, "soft_demographic_parity": 0.1 * (epoch.epoch >= 3)},
        )
        for epoch in trial.history
    )
    found = faces_of(replace(chosen, records=(replace(trial, history=epochs),)), "attractive")
    picked = found.results.selection.choose(epochs, "demographic_parity")
    assert (len(epochs) > 3, picked.epoch) == (True, 3)


def test_the_times_of_a_sample_are_those_of_the_runs_made_for_them():
    """Table 9: a trial of celeba_sample_dp with the same settings but more steps is left out."""
    specs = plan("celeba_sample_times").trials
    results = Results.of(made_up.records([*specs, *plan("celeba_sample_dp").trials]))
    lines = {line[:2]: line for line in ENTRIES["table9"].make(results).lines}
    assert lines["DP", "gap"][3].endswith("(n=1)")
    assert lines["DP", "gap"][-1] == "1.00"
    assert lines["EO", "mixup of features"][4] == "–"
    assert lines["EO", "mixup of features"][5] != "–"


def test_the_last_two_layers_are_shown_at_both_granularities():
    results = Results.of(made_up.records(plan("celeba_sample_resnet18").trials))
    lines = [line for line in ENTRIES["table6"].make(results).lines if "similarity" in line[1]]
    assert [line[0] for line in lines] == ["dralign", "dralign", "gap", "gap"]
    chosen = results.selection.choose(results.records[0].history, "demographic_parity")
    layers = [*chosen.similarity["unit"].values()][-2:]
    method = results.records[0].spec.method
    [cell] = [line[4] for line in lines if line[0] == method and line[1].endswith("unit")]
    assert cell == f"{sum(layers):.4f} (n=1)"


def test_the_hours_of_images_are_those_of_the_printed_times_and_of_timed_steps():
    """Of celeba_beta: 20 trials of 15 epochs with 2133 steps, 1397.8 s each by Table 9."""
    timed = [
        replace(record, history=(replace(record.history[0], seconds=5.0),))
        for record in made_up.records(plan("celeba_sample_times").trials)
    ]
    rows = {row[0]: row[1:] for row in image_cost(Results.of(timed)).lines}
    ours = 20 * 15 * 2133 * (5.0 / 20) * 21 / 3600
    assert rows["celeba_beta"] == ("20", f"{20 * 1397.8 / 3600:.0f}", f"{ours:.0f}")
    assert rows["celeba_resnet18"] == ("120", "–", "–")
    assert len(rows) == 5
    assert {row[3] for row in image_cost(Results.of([])).lines} == {"–"}


def test_an_image_of_the_paper_takes_so_many_times_the_operations_of_one_of_the_sample():
    pytest.importorskip("PIL", reason="torchvision needs pillow")
    operations = []
    for pixels, width in ((64, 512), (256, 4096)):
        network = alexnet(classifier_width=width)
        with FlopCounterMode(display=False) as counter:
            network(torch.zeros(1, 3, pixels, pixels)).sum().backward()
        operations.append(counter.get_total_flops())
    assert operations[1] / operations[0] == pytest.approx(LARGER, abs=0.5)
