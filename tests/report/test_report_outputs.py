"""What is written about a study: whole files, for running, failed and empty studies too."""

import csv
import json
import math
import sqlite3
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

import records as made_up
from dralign.analysis import summarise
from dralign.cli import main
from dralign.data import DataSource
from dralign.errors import OptionError
from dralign.report import result_table, write_study
from dralign.report.outputs import FILES
from dralign.study import Ledger, TrialSpec
from dralign.training import Selection


@pytest.fixture
def study(tmp_path):
    """A study of three seeds, one of whose trials failed."""
    found = made_up.records()
    found[0] = replace(found[0], status="failed", error="out of luck", history=())
    with Ledger(tmp_path / "study" / "study.sqlite") as ledger:
        for record in found:
            ledger.add(record)
    return tmp_path / "study"


def test_every_format_has_its_file(tmp_path):
    files = write_study(tmp_path / "new", made_up.records(), selection=Selection())
    assert {name: path.name for name, path in files.items()} == FILES
    assert files["png"].read_bytes().startswith(b"\x89PNG")
    assert "<svg" in files["svg"].read_text()
    assert files["md"].read_text().startswith("| method |")
    assert json.loads(files["json"].read_text())[0]["second"]["method"] == "gap"
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(FILES.values())


def test_only_what_is_asked_for_is_written(tmp_path):
    write_study(tmp_path, made_up.records(), selection=Selection(), formats=["tex"])
    assert [path.name for path in tmp_path.iterdir()] == ["table.tex"]
    with pytest.raises(OptionError, match="unknown format 'gif'; known: html, png"):
        write_study(tmp_path, [], selection=Selection(), formats=["gif"])


def test_latex_shows_every_cell_as_it_is():
    hostile = replace(made_up.ADULT, name=r"100%_{a}\b$#&~^<x>.csv", preparation="standard")
    rows = summarise(made_up.records(made_up.specs(data=hostile)), selection=Selection())
    text = result_table(rows).to_latex()
    assert (
        r"100\%\_\{a\}\textbackslash{}b\$\#\&\textasciitilde{}\textasciicircum{}"
        r"\textless{}x\textgreater{}.csv"
    ) in text
    body = text[text.index(r"\toprule") : text.index(r"\end{tabular}")].splitlines()
    assert sum(line.endswith(r"\\") for line in body) == len(rows) + 1
    assert {line.count(" & ") for line in body if line.endswith(r"\\")} == {11}
    assert r"$\lambda$ & $\beta$" in text
    assert not set("λβ±") & set(text)


def test_report_writes_beside_the_study_and_names_what_failed(study, capsys):
    assert main(["report", str(study)]) == 0
    output = capsys.readouterr()
    assert "failed: erm, seed 0: out of luck" in output.err
    assert "smallest base-rate gap" in " ".join(output.out.split())
    assert {path.name for path in study.iterdir()} >= set(FILES.values())
    assert "out of luck" in (study / "report.html").read_text()


def test_report_on_a_ledger_that_is_being_written(study, tmp_path, capsys):
    writer = sqlite3.connect(study / "study.sqlite", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("DELETE FROM trial")
    command = ["report", str(study / "study.sqlite"), "--out", str(tmp_path / "out")]
    assert (
        main([*command, "--format", "md,csv", "--select", "last", "--measure", "hard", "--json"])
        == 0
    )
    writer.close()
    form = json.loads(capsys.readouterr().out)
    assert (form["done"], form["failed"]) == (17, 1)
    assert form["selection"] == "last epoch, first 1 left out"
    assert set(form["files"]) == {"md", "csv"}
    assert "hard" in (tmp_path / "out" / "statistics.csv").read_text()


def test_an_empty_study_has_a_report(tmp_path, capsys):
    Ledger(tmp_path / "study.sqlite").close()
    assert main(["report", str(tmp_path), "--format", "html,md,tex,csv,json"]) == 0
    assert "No trial is done." in (tmp_path / "report.html").read_text()
    assert "0 trials done" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "no study at"),
        ("notes.txt", "not a study of dralign, or damaged"),
        ("other.sqlite", "not a study of dralign"),
        (".", "no study at"),
    ],
)
def test_what_is_no_study_is_one_clear_line(name, message, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("not a data base, but quite long enough to look at" * 9)
    sqlite3.connect(tmp_path / "other.sqlite").execute("CREATE TABLE t (x)").connection.commit()
    before = sorted(tmp_path.iterdir())
    assert main(["report", str(tmp_path / name)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("dralign: error: ")
    assert message in line
    assert sorted(tmp_path.iterdir()) == before


HOSTILE = [
    '=HYPERLINK("http://x")',
    "+1",
    "-1",
    "@a",
    "\tb",
    "\rc",
    "line\nbreak | cell & more \\end{table}",
    "\x1b[31mred\x07\x00",
    "\u202egnp.exe",
    "$x^{$ \\frac{",
    "<script>alert(1)</script>",
    "</script><b>",
    "{{7*7}} %s {0}",
    "שלום 你好 \U0001f600",
    " ",
]


def hostile_records(text):
    """A study whose every text is the given one."""
    data = DataSource(text or "x", preparation="standard", sensitive=(text,), label=text)
    specs = made_up.specs(data=data)
    weights = {"fairness_weight": 0.2, "alignment_weight": 0.02}
    specs += [
        TrialSpec(data, "dralign", layers=(text, "b"), seed=seed, **weights) for seed in (0, 1)
    ]
    found = made_up.records(specs)
    like = {name: {text: 0.5, "b": 0.1} for name in ("unit", "parameter")}
    found = [
        replace(
            record,
            history=tuple(replace(epoch, similarity=like) for epoch in record.history),
            warnings=(text,),
            environment={text: text},
        )
        for record in found
    ]
    found[0] = replace(found[0], status="failed", error=text, history=())
    return found


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_in_a_ledger_breaks_a_report_or_an_export(text, tmp_path, capsys):
    with Ledger(tmp_path / "study.sqlite") as ledger:
        for record in hostile_records(text):
            ledger.add(record)
    formats = [name for name in FILES if name != "png"]
    command = ["report", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main([*command, "--format", ",".join(formats)]) == 0
    printed = capsys.readouterr()
    assert not set("\x1b\x07\x00\u202e") & {*printed.out, *printed.err}
    for name in formats:
        content = (tmp_path / "out" / FILES[name]).read_text(encoding="utf-8")
        assert not set("\x1b\x07\x00\u202e") & set(content), name
    html = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in html
    table = (tmp_path / "out" / "table.md").read_text(encoding="utf-8").splitlines()
    rows = [line for line in table if line.startswith("|")]
    assert len(rows) == 2 + len(set(rows[2:]))
    ET.parse(tmp_path / "out" / "tradeoff.svg")
    for ending in ("csv", "parquet"):
        out = tmp_path / "out" / f"table.{ending}"
        assert main(["export", str(tmp_path), "--out", str(out)]) == 0
    for file in ("statistics.csv", "table.csv"):
        with (tmp_path / "out" / file).open(newline="", encoding="utf-8") as lines:
            for line in csv.reader(lines):
                cells = [cell for cell in line if not is_number(cell)]
                assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in cells)


@pytest.mark.parametrize("value", [1e308, -1e308, math.nan])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_no_figure_in_a_ledger_breaks_a_report(value, tmp_path):
    found = made_up.records(made_up.specs(epochs=2))
    for record in found[::2]:
        for epoch in record.history:
            for scores in (epoch.test, epoch.validation, *epoch.similarity.values()):
                scores.update(dict.fromkeys(scores, value))
    formats = [name for name in FILES if name != "png"]
    written = write_study(tmp_path, found, selection=Selection(), formats=formats)
    assert list(written) == formats


def is_number(cell):
    try:
        float(cell)
    except ValueError:
        return False
    return True
