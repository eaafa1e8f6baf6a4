"""Commands on a table of one's own: inspected, read from anywhere, held-out rows, kept columns."""

import io
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from dralign.artifact import load_artifact, score_table
from dralign.auditing import artifact_case
from dralign.cli import main
from dralign.errors import DralignWarning
from tables.make import people

COLUMNS = ["--label", "loan", "--positive", "yes", "--sensitive", "sex"]
QUICK = ["--method", "erm", "--epochs", "1", "--iterations", "40", "--hidden", "8"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A table, and a network that was trained on it."""
    folder = tmp_path_factory.mktemp("home")
    people().assign(id=[f"p{i}" for i in range(600)]).to_csv(folder / "people.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["train", "people.csv", *COLUMNS, *QUICK, "--drop", "id", "--out", "net"]) == 0
    return folder


@pytest.fixture(autouse=True)
def _there(home, monkeypatch):
    monkeypatch.chdir(home)


def test_an_inspection_fits_80_columns_but_for_its_lines(capsys):
    frame = people().assign(**{"a column with a name as long as no column has " * 2: "x"})
    frame.to_csv("long.csv", index=False)
    assert main(["data", "inspect", "long.csv", *COLUMNS]) == 0
    table = capsys.readouterr().out.partition("long.csv:")[0].splitlines()
    assert len(table) > 8
    assert max(map(len, table)) <= 80


def test_an_inspection_is_json_for_programs(capsys):
    assert main(["data", "inspect", "people.csv", *COLUMNS, "--json"]) == 0
    form = json.loads(capsys.readouterr().out)
    assert form["rows"] == 600
    assert [one["rows"] for one in form["groups"]] == [*people()["sex"].value_counts()[["F", "M"]]]
    assert form["findings"] == ["columns left out of the inputs: 'id' (360 different texts)"]
    assert len(form["lines"]) == 5


def test_a_built_in_dataset_is_summed_up(capsys):
    assert main(["data", "inspect", "german"]) == 0
    assert "label credit: 70.0 % of rows are good" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "parquet"])
def test_a_table_is_read_from_standard_input(kind, capsys, monkeypatch, tmp_path):
    path = tmp_path / f"t.{kind}"
    frame = people()
    frame.to_parquet(path) if kind == "parquet" else frame.to_csv(path, index=False)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(path.read_bytes())))
    assert main(["data", "inspect", "-", *COLUMNS]) == 0
    assert f"stdin.{kind}: 600 rows, 6 columns" in capsys.readouterr().out


def test_several_processes_do_not_read_standard_input(capsys):
    assert main(["train", "-", *COLUMNS, "--out", "x", "--nproc", "2"]) == 2
    assert "--nproc: each process reads the table" in capsys.readouterr().err


def test_a_training_begins_with_five_lines_and_keeps_them(capsys):
    command = ["train", "people.csv", *COLUMNS, *QUICK, "--drop", "id", "--out", "other"]
    assert main([*command, "--json", "--forget-rows"]) == 0
    shown = capsys.readouterr()
    form = json.loads(shown.out)
    lines = form["overview"]["lines"]
    assert len(lines) == 5
    assert shown.err.splitlines()[:5] == lines
    assert "rows" not in form
    training = load_artifact("other").training
    assert training["overview"] == lines
    assert "rows" not in training


def test_an_audit_takes_the_test_rows_of_the_table_of_the_training(home):
    case = artifact_case("net", "people.csv")
    assert case.note.endswith("test rows of people.csv; the network was not trained on them")
    assert abs(len(case.x) - 120) <= 2
    of_another_label = artifact_case("net", "people.csv", label="owner", positive="True")
    assert "rows; the network was trained on the others" in of_another_label.note
    assert abs(len(of_another_label.x) - len(case.x)) <= 3, "but for twins"


def test_an_audit_knows_the_rows_in_another_file_and_order(tmp_path):
    known = artifact_case("net", "people.csv")
    new = people(77)[:50]
    path = tmp_path / "mixed.parquet"
    pd.concat([people(), new]).sample(frac=1, random_state=0).to_parquet(path)
    case = artifact_case("net", path)
    assert abs(len(case.x) - len(known.x) - 50) <= 3, "but for twins"
    assert f"{len(case.x)} of 650 rows; the network was trained on the others" in case.note
    with pytest.warns(DralignWarning, match=f"{650 - len(case.x)} of 650 rows were trained on"):
        assert len(artifact_case("net", path, all_rows=True).x) == 650


def test_an_audit_of_rows_that_were_all_trained_on_warns(tmp_path):
    x = artifact_case("net", "people.csv").x
    network = load_artifact("net")
    frame = people()
    inputs = network.encoder.transform(frame)
    test_rows = {row.tobytes() for row in x.numpy()}
    used = [row.tobytes() not in test_rows for row in inputs]
    path = tmp_path / "used.csv"
    frame[used].to_csv(path, index=False)
    n = int(np.sum(used))
    with pytest.warns(
        DralignWarning, match=f"all {n} rows were trained on, or an epoch was chosen"
    ):
        assert len(artifact_case("net", path).x) == n


def test_new_rows_are_audited_without_a_word(tmp_path):
    path = tmp_path / "new.csv"
    people(78).to_csv(path, index=False)
    case = artifact_case("net", path)
    assert (len(case.x), case.note) == (600, "")


def test_prediction_keeps_columns_and_tells_what_is_missing(capsys):
    frame = pd.read_csv("people.csv")
    assert main(["predict", "net", "people.csv", "--keep", "id", "--keep", "age"]) == 0
    scores = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert list(scores) == ["id", "age", "probability", "decision"]
    assert scores["id"].tolist() == frame["id"].tolist()
    frame.drop(columns=["job", "income"]).to_csv("lacking.csv", index=False)
    assert main(["predict", "net", "lacking.csv"]) == 2
    assert "the table has no columns 'income', 'job'; it has" in capsys.readouterr().err
    assert main(["predict", "net", "people.csv", "--keep", "name"]) == 2
    assert "people.csv has no column 'name'" in capsys.readouterr().err
    frame.assign(decision=1).to_csv("twice.csv", index=False)
    assert main(["predict", "net", "twice.csv", "--keep", "decision"]) == 2
    assert "--keep: 'decision' is a column of the result" in capsys.readouterr().err


def test_prediction_tells_which_values_were_missing(capsys):
    frame = pd.read_csv("people.csv")
    frame.loc[:4, "age"] = np.nan
    frame.to_csv("holes.csv", index=False)
    assert main(["predict", "net", "holes.csv", "--out", "scores.csv"]) == 0
    assert "warning: missing values in 'age' (5 rows) take the training mean" in (
        capsys.readouterr().err
    )
    command = ["train", "holes.csv", *COLUMNS, *QUICK, "--drop", "id", "--out", "holes"]
    assert main(command) == 0
    assert main(["predict", "holes", "holes.csv", "--out", "scores.csv"]) == 0
    assert "missing values, taken as those of training: 'age' (5 rows)" in capsys.readouterr().err


def test_rows_to_be_scored_are_read_and_prepared_as_those_of_the_training(capsys):
    frame = people()
    frame.loc[:99, "age"] = -9
    Path("odd.csv").write_bytes(
        frame.replace("smith", "Böttcher")
        .to_csv(index=False, sep=";", decimal=",")
        .encode("cp1252")
    )
    more = ["--encoding", "cp1252", "--na=-9", "--bin", "income=30,50"]
    more += ["--method", "thresholds", "--min-group-size", "30"]
    assert main(["train", "odd.csv", *COLUMNS, *QUICK[2:], *more, "--out", "odd"]) == 0
    network = load_artifact("odd")
    assert {"age is missing", "income=up to 30", "job=Böttcher"} <= set(
        network.encoder.feature_names
    )
    capsys.readouterr()
    assert main(["predict", "odd", "odd.csv", "--out", "scores.csv"]) == 0
    assert "'age' (100 rows)" in capsys.readouterr().err
    assert "test rows of odd.csv" in artifact_case("odd", "odd.csv").note


def test_columns_are_kept_as_they_stand_in_the_file(capsys):
    """As numbers 00123 and 0123 were one person, and so were two ids of 19 digits."""
    ids = ["00123", "0123", "1E5", "NA", "1.10", "1234567890123456789", "1234567890123456788", ""]
    frame = people()[: len(ids)].assign(id=ids, place='a "b", c')
    frame.to_csv("ids.csv", index=False)
    assert main(["predict", "net", "ids.csv", "--keep", "place", "--keep", "id"]) == 0
    written = pd.read_csv(io.StringIO(capsys.readouterr().out), dtype=str, keep_default_na=False)
    assert written["id"].tolist() == ids
    assert set(written["place"]) == {'a "b", c'}
    assert main(["predict", "net", "ids.csv", "--keep", "id", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["id"] == ids


def test_scores_stand_under_the_index_of_their_rows():
    rows = people().sample(frac=1, random_state=0)
    scores = score_table(load_artifact("net"), rows)
    assert scores.index.equals(rows.index)
    again = score_table(load_artifact("net"), people())
    assert np.allclose(scores.loc[again.index, "probability"], again["probability"])


def test_a_network_of_binned_columns_is_audited_and_adjusted_on_another_table():
    how = ["--drop", "id", "--bin", "age=25,60", "--out", "binned"]
    assert main(["train", "people.csv", *COLUMNS, *QUICK, *how]) == 0
    people(78).to_csv("other.csv", index=False)
    inputs = load_artifact("binned").encoder.transform(people(78))
    assert np.array_equal(artifact_case("binned", "other.csv").x.numpy(), inputs)
    assert main(["adjust", "binned", "other.csv", "--max-gap", "0.1", "--out", "moved"]) == 0


def test_rows_are_prepared_once_for_an_audit(tmp_path):
    """The second time 6,906 was 6906."""
    frame = people().assign(id=[f"{v / 1000:.3f}".replace(".", ",") for v in range(600)])
    frame.to_csv("commas.csv", index=False, sep=";")
    assert main(["train", "commas.csv", *COLUMNS, *QUICK, "--out", "commas"]) == 0
    frame["id"] = ["unknown", *(f"{v / 1000 + 6:.3f}".replace(".", ",") for v in range(599))]
    frame.to_csv("new.csv", index=False, sep=";")
    network = load_artifact("commas")
    with pytest.warns(DralignWarning, match="'unknown' in 1 row counts as missing"):
        inputs = network.encoder.transform(network.read("new.csv"))
    with pytest.warns(DralignWarning, match="'unknown' in 1 row counts as missing"):
        case = artifact_case("commas", "new.csv", all_rows=True)
    assert np.array_equal(case.x.numpy(), inputs)


def test_compare_keeps_the_best_network_of_a_file_in_another_folder(tmp_path):
    (tmp_path / "sub").mkdir()
    people().to_csv(tmp_path / "sub" / "people.csv", index=False)
    command = ["compare", str(tmp_path / "sub" / "people.csv"), *COLUMNS, *QUICK[2:], "--jobs", "1"]
    command += ["--methods", "erm,gap", "--weights", "0.3", "--seeds", "1", "--save", "best"]
    assert main([*command, "--out", str(tmp_path / "study")]) == 0
    assert load_artifact(tmp_path / "study" / "best")
