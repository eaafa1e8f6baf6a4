"""``dralign reproduce``: a study of its own, the page, and clear errors."""

import json
import re
from pathlib import Path

import pytest

import records as made_up
from dralign import cli
from dralign.reproduce import PLANS, QUICK, plan, reduced
from dralign.study import Ledger, ledger_path


@pytest.fixture
def made_up_runs(monkeypatch):
    """Trials are not trained: their records are made up."""

    def run_trials(specs, ledger, **_):
        for record in made_up.records(specs):
            ledger.add(record)

    monkeypatch.setattr("dralign.cli.progress.run_trials", run_trials)


@pytest.mark.usefixtures("made_up_runs")
def test_the_quick_form_has_a_study_of_its_own_and_shows_claims_and_figures(tmp_path, capsys):
    command = ["reproduce", "fig5", "--quick", "--study", str(tmp_path), "--json"]
    assert cli.main(command) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["entries"]["fig5"]["lines"]
    assert Path(shown["figures"]["fig5"]).read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["quick"]


@pytest.mark.usefixtures("made_up_runs")
def test_the_quick_form_says_first_that_it_is_quick_wherever_it_shows_figures(tmp_path, capsys):
    command = ["reproduce", "fig5", "--study", str(tmp_path), "--seeds", "1"]
    page = tmp_path / "page.md"
    assert cli.main([*command, "--quick"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"**{QUICK}**\n")
    assert said.err.startswith(QUICK)
    assert cli.main([*command, "--quick", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["note"] == QUICK
    assert cli.main([*command, "--quick", "--write", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert text.index(QUICK) < text.index("**What holds:**")
    capsys.readouterr()
    assert cli.main(command) == 0
    said = capsys.readouterr()
    assert QUICK not in said.out + said.err


def test_the_quick_form_is_as_quick_as_it_says():
    small = reduced(spec for name in PLANS for spec in plan(name).trials)
    images = [spec for spec in small if spec.data.name == "celeba"]
    tables = [spec for spec in small if spec.data.name != "celeba"]
    assert {(spec.epochs, spec.iterations) for spec in tables} == {(2, 20)}
    assert {(spec.epochs, spec.iterations) for spec in images} == {(1, 5)}
    assert {spec.seed for spec in tables} == {0, 1}


@pytest.mark.usefixtures("made_up_runs")
def test_the_command_leaves_out_data_that_are_not_there_and_writes_the_page(
    tmp_path, capsys, monkeypatch
):
    """COMPAS and CelebA are not in the package; only the first seed is asked for."""

    def place(self, _home=None):
        return "missing" if self.name in {"compas", "celeba"} else "built in"

    monkeypatch.setattr("dralign.data.catalogue.Entry.location", place)
    page = tmp_path / "page.md"
    command = ["reproduce", "all", "--seeds", "1", "--study", str(tmp_path / "study")]
    assert cli.main([*command, "--write", str(page)]) == 0
    said = capsys.readouterr().err
    assert "compas is not there" in said
    assert "celeba is not there" in said
    assert "| compas | 0 of 220 | – | 0.0 |" in page.read_text(encoding="utf-8")
    assert [path.name for path in (tmp_path / "study").iterdir()] == ["study.sqlite"]


def test_a_figure_is_drawn_of_trials_alone(tmp_path, capsys):
    """COMPAS is in Table 15; Figures 2 to 5 show none of it."""
    study = tmp_path / "study"
    with Ledger(ledger_path(study)) as ledger:
        for record in made_up.records(plan("compas").trials[:2]):
            ledger.add(record)
    page, out = tmp_path / "page.md", tmp_path / "images"
    command = ["reproduce", "all", "--no-run", "--study", str(study), "--out", str(out)]
    assert cli.main([*command, "--write", str(page)]) == 0
    capsys.readouterr()
    assert not out.exists()
    assert "![" not in page.read_text(encoding="utf-8")
    assert "No trials yet." in page.read_text(encoding="utf-8")


def test_an_unknown_name_lists_the_known_ones(capsys):
    assert cli.main(["reproduce", "table2"]) == 2
    assert re.search(r"'table2'.*fig2.*claims", capsys.readouterr().err)


def test_without_running_a_missing_study_is_an_error(tmp_path, capsys):
    command = ["reproduce", "table12", "--no-run", "--study", str(tmp_path / "none")]
    assert cli.main(command) == 2
    assert "no study at" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
