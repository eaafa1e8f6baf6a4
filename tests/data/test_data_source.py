"""Data sources: one description of data that can be compared, written down and loaded."""

import json
import os
import shutil

import pytest
import torch

from dralign.data import DataSource, TableEncoder, load
from dralign.errors import DataError, OptionError

TABLE = "group,x,label\n" + "\n".join(f"{'ab'[i % 2]},{i},{i // 2 % 2}" for i in range(40))


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "people.csv"
    path.write_text(TABLE, encoding="utf-8")
    return path


def own(path, **options):
    return DataSource(str(path), sensitive=("group",), label="label", **options)


def test_equal_descriptions_are_equal_and_hash_alike():
    plain = DataSource("adult")
    assert plain == DataSource("adult", preparation="paper", data_home="/elsewhere")
    assert hash(plain) == hash(DataSource("adult", data_home="/elsewhere"))
    assert plain != DataSource("adult", preparation="standard")
    assert DataSource("german", "standard", "age") == DataSource("german", "standard", ["age"])


@pytest.mark.parametrize(
    "source",
    [
        DataSource("adult"),
        DataSource("german", "standard", ("sex", "age"), include_sensitive=True),
        DataSource("people.csv", sensitive=("group",), label="label", positive="1"),
    ],
    ids=lambda source: source.name,
)
def test_json_form_gives_the_same_description(source):
    form = json.loads(json.dumps(source.to_dict()))
    assert DataSource.from_dict(form) == source
    assert DataSource.from_dict({k: v for k, v in form.items() if k != "data_home"}) == source


def test_options_of_images_do_not_enter_the_form_of_other_data():
    """Records (and the hashes of trials) from before there were images stay as they are."""
    assert set(DataSource("adult").to_dict()) == {
        "name",
        "preparation",
        "sensitive",
        "include_sensitive",
        "label",
        "positive",
        "data_home",
    }


def test_what_a_form_leaves_out_takes_its_default():
    assert DataSource.from_dict({"name": "adult"}) == DataSource("adult")


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ([], "expected a JSON object"),
        ({}, "'name' is missing"),
        ({"name": 3}, "'name' must be a text"),
        ({"name": "adult", "nam": "x"}, "unknown entry 'nam'"),
        ({"name": "adult", "sensitive": "sex"}, "'sensitive' must be a list"),
        ({"name": "adult", "include_sensitive": 1}, "'include_sensitive' must be true or false"),
    ],
)
def test_a_form_that_is_not_ours_is_refused(form, message):
    with pytest.raises(DataError, match=message):
        DataSource.from_dict(form)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "adult", "label": "sex"}, "label and positive are for your own files"),
        ({"name": "people.csv", "preparation": "paper"}, "files of your own have 'standard' only"),
        ({"name": "adlt", "preparation": "paper"}, "unknown dataset 'adlt'; known: adult, german"),
        ({"name": "adult", "sensitive": ("sex", "sex")}, "given twice: sex, sex"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, message):
    with pytest.raises(OptionError, match=message):
        DataSource(**options)


@pytest.mark.parametrize("use", [DataSource.fingerprint, lambda source: source.load(0)])
@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        (
            "adlt",
            OptionError,
            "known: adult, german, compas, celeba, baf, acs_income, .* or the path",
        ),
        ("nowhere.csv", DataError, "nowhere.csv.?: [Nn]o such file"),
    ],
)
def test_a_dataset_that_is_not_there_is_told_when_it_is_used(use, name, kind, message):
    with pytest.raises(kind, match=message):
        use(own(name))


def test_a_built_in_dataset_is_loaded_as_by_name():
    source = DataSource("german", "standard", ("age",))
    expected = load("german", preparation="standard", sensitive="age", seed=2)
    assert torch.equal(source.load(2).train.x, expected.train.x)


def test_a_file_is_known_by_name_and_content_not_by_place(table, tmp_path):
    moved = tmp_path / "other" / "people.csv"
    moved.parent.mkdir()
    shutil.copy(table, moved)
    assert own(moved).to_dict() == own(table).to_dict()
    assert own(moved).fingerprint() == own(table).fingerprint()
    assert str(tmp_path) not in json.dumps(own(table).to_dict())
    assert own(table).load(1).name == "people.csv"
    moved.write_text(TABLE.replace("39", "40"), encoding="utf-8")
    assert own(moved).fingerprint() != own(table).fingerprint()


def test_what_was_loaded_carries_the_fingerprint_of_the_bytes_it_came_from(table):
    source = own(table)
    before, data = source.fingerprint(), source.load(0)
    assert data.fingerprint == before
    table.write_text(TABLE.replace("39", "40"), encoding="utf-8")
    assert source.fingerprint() != before
    assert source.load(0).fingerprint == source.fingerprint()
    built_in = DataSource("german", "standard")
    assert built_in.load(0).fingerprint == built_in.fingerprint()


def test_a_file_exchanged_with_another_of_its_size_and_times_has_another_fingerprint(table):
    source, stamp = own(table), table.stat()
    before = source.fingerprint()
    table.write_text(TABLE.replace("39", "40"), encoding="utf-8")
    os.utime(table, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert table.stat().st_size == stamp.st_size
    assert source.fingerprint() != before


def test_a_lack_of_memory_is_one_line(table, monkeypatch):
    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(TableEncoder, "encode", fail)
    with pytest.raises(DataError, match=r"people\.csv: does not fit into the memory"):
        own(table).load(0)


def test_fingerprints_tell_datasets_apart():
    marks = {DataSource(name).fingerprint() for name in ("adult", "german")}
    assert len(marks) == 2
    assert all(len(mark) == 64 for mark in marks)
