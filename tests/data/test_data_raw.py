"""Rows as they came: a file is parsed once where it is asked for several times."""

import pathlib

import pytest

from dralign.data import DataSource, raw
from dralign.data.raw import parsed_once
from dralign.errors import DataError

PEOPLE = "pay,sex,loan\n" + "".join(f"{i},{'fm'[i % 2]},{i * 7 % 20 > 9:d}\n" for i in range(80))


@pytest.fixture
def source(tmp_path):
    (tmp_path / "people.csv").write_text(PEOPLE)
    return DataSource(str(tmp_path / "people.csv"), label="loan", sensitive=("sex",))


@pytest.fixture
def parsed(monkeypatch):
    """The names of the files that are parsed."""
    names, parse = [], raw.parse_table

    def counted(path, *given, **options):
        names.append(path)
        return parse(path, *given, **options)

    monkeypatch.setattr(raw, "parse_table", counted)
    return names


def test_content_is_parsed_once_in_the_block_and_gives_the_same(source, parsed):
    plain = source.load(0), source.inspect()
    assert len(parsed) == 2
    with parsed_once() as forget:
        again = source.load(0), source.inspect()
        assert len(parsed) == 3
        forget()
        source.load(1)
    assert len(parsed) == 4
    source.load(1)
    assert len(parsed) == 5
    assert again[1] == plain[1]
    assert (again[0].train.x == plain[0].train.x).all()


def test_a_file_that_changes_in_the_block_is_parsed_anew(source, parsed):
    with parsed_once():
        assert source.load(0).n_rows == 80
        with pathlib.Path(source.name).open("a") as file:
            file.write("1,f,0\n")
        assert source.load(0).n_rows == 81
        with pathlib.Path(source.name).open("w") as file:
            file.write("pay,sex\n1,f\n")
        with pytest.raises(DataError, match="has no column 'loan'"):
            source.load(0)
    assert len(parsed) == 3
