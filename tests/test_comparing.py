"""Methods compared from Python: the study of the command, as an object, without a word printed."""

import os
import re
import subprocess
import sys
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pyarrow as pa
import pytest
from markupsafe import escape
from matplotlib.figure import Figure

import dralign
import records as made_up
from dralign.cli import main
from dralign.data import DataSource, read_table
from dralign.errors import DataError, DralignWarning, ModelError, OptionError, StudyError
from dralign.metrics import Cells
from dralign.report import result_table
from dralign.study import Ledger, ledger_path, only_writer, train_network
from tables.make import people

ROLES = {"label": "loan", "positive": "yes", "sensitive": "sex"}
SMALL = {"epochs": 2, "iterations": 1, "hidden": 4, "depth": 1, "batch_size": 8}
ONE = {**ROLES, **SMALL, "methods": "erm", "seeds": 1, "jobs": 1}


@pytest.fixture
def quick(monkeypatch):
    """Trials end at once, with a made-up history."""
    monkeypatch.setattr(
        "dralign.study.attempt.run_trial", lambda spec, **_given: made_up.history(spec)
    )


@pytest.fixture
def result(quick):
    return dralign.compare(people(), **ROLES, **SMALL, jobs=1)


def options(**given):
    """The same as words of a command."""
    return [word for name, value in given.items()
            for word in (f"--{name.replace('_', '-')}", str(value))]  # fmt: skip


def test_it_is_the_study_of_the_command_with_the_same_defaults(tmp_path, quick):
    table, folder = tmp_path / "people.csv", tmp_path / "study"
    people().to_csv(table, index=False)
    words = options(**ROLES, **SMALL, out=folder, jobs=1)
    assert main(["compare", str(table), *words]) == 0
    fresh = []
    ours = dralign.compare(table, **ROLES, **SMALL, out=folder, jobs=1, on_record=fresh.append)
    with Ledger(ledger_path(folder), create=False) as ledger:
        assert list(ours.records) == ledger.records()
    assert len(ours.records) == 18
    assert not fresh


@pytest.mark.parametrize(
    "given",
    [
        {"gap_bound": 0.1, "measure": "soft", "methods": ("erm", "gap")},
        {"methods": "all", "gap": "equal_opportunity", "weights": (0.3,)},
        {
            "drop": ("job",),
            "select": "highest_ap",
            "warmup": 0,
            "methods": ("dralign",),
            "layers": 1,
        },
    ],
    ids=lambda given: next(iter(given)),
)
def test_every_option_means_what_it_means_to_the_command(given, tmp_path, quick):
    table, folder = tmp_path / "people.csv", tmp_path / "study"
    people().to_csv(table, index=False)
    words = {
        name: ",".join(map(str, value)) if isinstance(value, tuple) else value
        for name, value in given.items()
    }
    words = options(**ROLES, **SMALL, **words, seeds=1, out=folder, jobs=1)
    assert main(["compare", str(table), *words]) == 0
    fresh = []
    ours = dralign.compare(
        table, **ROLES, **SMALL, **given, seeds=1, out=folder, jobs=1, on_record=fresh.append
    )
    assert not fresh
    written = (folder / "table.md").read_text(encoding="utf-8")
    assert result_table(ours.rows).to_markdown() == written


def test_a_frame_gives_the_figures_of_its_file(tmp_path):
    table = tmp_path / "people.csv"
    people().to_csv(table, index=False)
    one = dralign.compare(table, **ONE)
    other = dralign.compare(read_table(table), **ONE)
    assert one.records[0].history[1].test == other.records[0].history[1].test
    assert dralign.compare(pa.Table.from_pandas(people()), **ONE).source == other.source


def test_the_table_holds_the_figures_of_the_terminal_as_numbers(result):
    frame, text = result.table, result_table(result.rows)
    assert list(frame["method"]) == [cells[0].removesuffix(" *") for cells in text.cells]
    assert list(frame["non_dominated"]) == [cells[0].endswith(" *") for cells in text.cells]
    assert list(frame["n"]) == [3] * 6
    column = text.header.index("base-rate gap")
    for (_, row), cells in zip(frame.iterrows(), text.cells, strict=True):
        shown = f"{row['base_rate']:.3f} ± {row['base_rate_half_width']:.3f}".replace("0.", ".")
        assert cells[column] == shown
    weights = frame.set_index("method")["fairness_weight"]
    assert list(weights["gap"]) == [0.2, 0.4]
    assert pd.isna(weights["erm"])


def test_under_a_gap_bound_the_table_has_the_weight_that_was_found():
    ours = dralign.compare(people(), **{**ONE, "methods": ("erm", "gap")}, gap_bound=0.05)
    [record] = [one for one in ours.records if one.spec.method == "gap"]
    chosen = ours.selection.choose(record.history, "demographic_parity")
    row = ours.table.set_index("method").loc["gap"]
    assert row["fairness_weight"] == chosen.found_weight
    assert row["bound_met"] == (chosen.validation["base_rate_demographic_parity"] <= 0.05)


def test_verdict_and_html_are_there_and_what_comes_from_data_is_escaped(quick):
    frame = people().rename(columns={"sex": "<b>sex"})
    ours = dralign.compare(frame, **{**ROLES, "sensitive": "<b>sex"}, **SMALL, jobs=1)
    assert ours.verdict.startswith("By the validation rows, at an AP within 0.005 of erm's")
    page = ours._repr_html_()
    assert "<td>dralign" in page
    assert "&lt;b&gt;sex" in page
    assert "<b>" not in page
    assert ours.verdict in str(ours)
    assert repr(ours) == "<MethodComparison of erm, oversample, gap, dralign: 18 trials>"


def test_figures_are_returned_and_the_page_is_written(result, tmp_path):
    assert isinstance(result.plot(), Figure)
    assert isinstance(result.chart(), go.Figure)
    page = result.report(tmp_path / "page.html").read_text(encoding="utf-8")
    assert escape(result.verdict) in page
    assert "600 rows" in page


def test_the_best_setting_can_be_trained_with_the_frame(result):
    assert result.best.data == DataSource.from_frame(people(), **ROLES)
    assert train_network(result.best.but(epochs=1)).artifact.label == "loan"


def test_without_out_nothing_is_kept_and_with_it_a_second_call_goes_on(
    tmp_path, monkeypatch, quick
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    people().to_csv(tmp_path / "people.csv", index=False)
    dralign.compare(tmp_path / "people.csv", **ONE)
    assert not list((tmp_path / "tmp").iterdir())
    fresh = []
    for seeds in (1, 3):
        given = {**ONE, "seeds": seeds}
        dralign.compare(people(), **given, out=tmp_path / "study", on_record=fresh.append)
    assert len(fresh) == 3
    assert main(["report", str(tmp_path / "study"), "--format", "html"]) == 0
    assert "600 rows" in (tmp_path / "study" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("by_command", [True, False])
def test_a_report_of_two_comparisons_in_one_folder_gives_each_the_names_of_its_groups(
    tmp_path, monkeypatch, by_command
):
    cells = Cells((30, 20, 40, 10), (5, 5, 5, 5), (0.5,) * 4)
    monkeypatch.setattr(
        "dralign.study.attempt.run_trial",
        lambda spec, **_given: tuple(
            replace(epoch, cells={"test": cells}) for epoch in made_up.history(spec)
        ),
    )
    table, folder = tmp_path / "people.csv", tmp_path / "study"
    people().to_csv(table, index=False)
    for column in ("sex", "owner"):
        given = {**ONE, "sensitive": column}
        if by_command:
            assert main(["compare", str(table), *options(**given, out=folder)]) == 0
        else:
            dralign.compare(table, **given, out=folder)
    assert main(["report", str(folder), "--format", "html"]) == 0
    page = (folder / "report.html").read_text(encoding="utf-8")
    rows = re.findall(r"<td>erm, seed 0 \([^<]*groups: (\w+) [^<]*</td><td>(\w+)</td>", page)
    assert rows == [("owner", "False"), ("owner", "True"), ("sex", "F"), ("sex", "M")]


@pytest.mark.parametrize("by_command", [True, False])
def test_a_study_that_another_writes_is_refused_and_its_overview_left_alone(
    tmp_path, quick, capsys, by_command
):
    table, folder = tmp_path / "people.csv", tmp_path / "study"
    people().to_csv(table, index=False)
    dralign.compare(table, **ONE, out=folder)
    before = (folder / "overview.json").read_bytes()
    people().head(500).to_csv(table, index=False)
    refused = "another sweep is writing this study"
    with Ledger(ledger_path(folder)) as first, only_writer(first):
        if by_command:
            assert main(["compare", str(table), *options(**ONE, out=folder)]) == 2
            assert refused in capsys.readouterr().err
        else:
            with pytest.raises(StudyError, match=refused):
                dralign.compare(table, **ONE, out=folder)
    assert (folder / "overview.json").read_bytes() == before


def test_the_command_asks_for_the_frame_of_a_study_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["compare", "table", *options(**ROLES), "--out", "study"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "table: a frame that was in memory is not here; give it again in Python" in line


def test_nothing_is_printed_and_doubts_are_warnings_at_the_place_of_the_call(capfd, quick):
    frame = people().assign(letter=people()["loan"])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        dralign.compare(frame, **ONE)
    assert capfd.readouterr() == ("", "")
    lines = [str(one.message) for one in caught]
    assert len(lines) == len(set(lines))
    assert any("gives the label away" in line for line in lines)
    assert {one.filename for one in caught} == {__file__}


def test_failed_trials_are_told_in_a_warning_and_if_all_fail_in_an_error(monkeypatch):
    def fails(spec, **_given):
        if spec.method == "gap":
            raise ModelError("the loss is not finite")
        return made_up.history(spec)

    monkeypatch.setattr("dralign.study.attempt.run_trial", fails)
    both = {**ONE, "methods": ("erm", "gap")}
    with pytest.warns(DralignWarning, match="2 of 3 trials failed; the first: the loss is not fin"):
        ours = dralign.compare(people(), **both)
    assert [record.spec.method for record in ours.failed] == ["gap", "gap"]
    with pytest.raises(StudyError, match="none of 2 trials is done; the first: the loss is not"):
        dralign.compare(people(), **{**both, "methods": "gap"})


@pytest.mark.parametrize(
    ("given", "kind", "line"),
    [
        ({"epoch": 3}, OptionError, "unknown option 'epoch'.*epochs"),
        ({"fairness_weight": 0.2}, OptionError, "unknown option 'fairness_weight'"),
        ({"methods": ("erm", "magic")}, OptionError, "unknown method 'magic'"),
        ({"weights": (-1,), "methods": "gap"}, OptionError, "expected a number from 0 up"),
        ({"jobs": 0}, OptionError, "jobs: expected at least 1, got 0"),
        ({"label": ""}, OptionError, "which column is to be predicted"),
        ({"sensitive": "region"}, DataError, "has no column 'region'"),
        ({"preparation": "paper"}, OptionError, "unknown option 'preparation'"),
        ({"seeds": [1, 2]}, OptionError, r"seeds: expected how many .*, got \[1, 2\]"),
        ({"weights": "a"}, OptionError, "weights: expected one number or several, got 'a'"),
        ({"methods": 3}, OptionError, "methods: expected names, got 3"),
        ({"label": ["loan"]}, OptionError, "label: expected one text or number, got"),
        ({"sensitive": [["sex"]]}, OptionError, "sensitive: expected one text or number, got"),
        ({"positive": ["yes"]}, OptionError, "positive: expected one text or number, got"),
        ({"positive": ""}, DataError, r"give it as positive \(--positive\)"),
    ],
)
def test_what_can_not_be_is_told_in_one_line_before_any_trial(given, kind, line):
    with pytest.raises(kind, match=line):
        dralign.compare(people(), **{**ONE, **given})


def test_one_weight_is_a_weight_and_columns_may_be_numbered(quick):
    frame = people().rename(columns={"loan": 0, "sex": 1}).replace({0: {"yes": 1, "no": 0}})
    roles = {"label": 0, "sensitive": 1, "positive": 1, "seeds": np.int64(1)}
    ours = dralign.compare(frame, **{**ONE, **roles, "methods": "gap"}, weights=0.3)
    assert [record.spec.fairness_weight for record in ours.records] == [0.3]


@pytest.mark.parametrize(
    ("stored", "positive", "shown"),
    [
        (int, 1, "1"),
        (int, 0.0, "0"),
        (int, True, "1"),
        (float, np.int64(1), "1"),
        (bool, True, "True"),
        (bool, np.False_, "False"),
        (bool, 1, "True"),
        (str, False, "False"),
    ],
)
def test_columns_may_have_numbers_and_the_positive_value_be_any(stored, positive, shown):
    frame = people()
    yes = frame["loan"] == "yes"
    frame = pd.DataFrame({0: yes.astype(stored), 1: frame["sex"], 2: np.arange(len(yes)) % 97})
    source = DataSource.from_frame(frame, label=0, sensitive=1, positive=positive)
    loaded = source.load(0)
    assert (loaded.label, loaded.sensitive, loaded.positive) == ("0", ("1",), shown)
    wanted = yes if shown in {"1", "True"} else ~yes
    ones = sum(int(rows.y.sum()) for rows in (loaded.train, loaded.validation, loaded.test))
    assert ones == wanted.sum()


def test_a_plain_script_needs_no_guard_and_runs_once(tmp_path):
    """Worker processes that import the script of their caller would run it again."""
    (tmp_path / "script.py").write_text(
        "from tables.make import people\n"
        "import dralign\n"
        "print('began')\n"
        f"given = {ROLES | SMALL!r}\n"
        "result = dralign.compare(people(), **given, methods=('erm',), seeds=2, jobs=2)\n"
        "print(len(result.table), result.table['n'][0])\n",
        encoding="utf-8",
    )
    path = os.pathsep.join([*sys.path, str(Path(__file__).parent)])
    ran = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == "began\n1 2\n"
    assert "Traceback" not in ran.stderr
