"""Twenty small tables with the shapes of trouble of real ones, through every command.

What each is to print was written before the code (tests/tables/expected.toml).
"""

import tomllib
from pathlib import Path

import pytest

from dralign.cli import main
from tables.make import TABLES

FOLDER = Path(__file__).parents[1] / "tables"
EXPECTED = tomllib.loads((FOLDER / "expected.toml").read_text(encoding="utf-8"))
QUICK = ["--epochs", "1", "--iterations", "60", "--learning-rate", "0.02", "--hidden", "10"]
REFUSED = "refused: "
DOUBTS = ("warning: ", "look at: ", "can't be used: ")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the tables lie; networks are saved beside them."""
    place = tmp_path_factory.mktemp("tables")
    for table in TABLES:
        table(place)
    return place


def commands(name, about):
    """The arguments of every command for a table, in the order in which they are run."""
    file = about.get("file", f"{name}.csv")
    columns = ["--label", "loan"]
    if positive := about.get("positive", "yes"):
        columns += ["--positive", positive]
    for sensitive in about.get("sensitive", ["sex"]):
        columns += ["--sensitive", sensitive]
    data = [file, *columns, *about.get("options", [])]
    new, net = about.get("new", file), f"{name}-net"
    audited = new if name != "own_test" else file
    return {
        "inspect": ["data", "inspect", *data],
        "train": ["train", *data, *QUICK, "--out", net],
        "predict": ["predict", net, new, "--out", f"{name}.scores.csv"],
        "audit": ["audit", net, audited, "--splits", "20", "--bootstrap", "20"],
    }


def test_there_are_twenty_tables_with_an_expectation_each():
    assert [table.__name__ for table in TABLES] == [*EXPECTED]
    assert len(TABLES) == 20


@pytest.mark.parametrize("name", EXPECTED)
def test_each_command_prints_of_a_table_what_was_expected(name, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "300")
    about = EXPECTED[name]
    for command, arguments in commands(name, about).items():
        if command not in about:
            continue
        code = main(arguments)
        printed = "".join(capsys.readouterr())
        expected = about[command]
        refused = expected.startswith(REFUSED)
        assert code == (2 if refused else 0), printed
        if expected == "quiet":
            doubts = [line for line in printed.splitlines() if line.startswith(DOUBTS)]
            assert not doubts
        else:
            text = expected.removeprefix(REFUSED)
            assert [line for line in printed.splitlines() if text in line], printed
