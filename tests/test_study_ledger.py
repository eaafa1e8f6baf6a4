"""The ledger: every finished trial is there once, and any trouble is one clear line."""

import os
import sqlite3
import subprocess
import sys
from dataclasses import replace

import pytest

import records as made_up
from dralign.errors import StudyError
from dralign.study import Ledger

RECORDS = made_up.records()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "study" / "ledger.sqlite"


def by_hash(records):
    return sorted(records, key=lambda record: record.hash)


def test_what_is_added_is_there_after_reopening_in_the_order_of_hashes(path):
    with Ledger(path) as ledger:
        for record in reversed(RECORDS):
            ledger.add(record)
    with Ledger(path, create=False) as ledger:
        assert ledger.records() == by_hash(RECORDS)
        assert ledger.done_hashes() == {record.hash for record in RECORDS}


def test_the_same_trial_twice_is_one_row_and_the_first_result_stays(path):
    with Ledger(path) as ledger:
        ledger.add(RECORDS[0])
        ledger.add(replace(RECORDS[0], seconds=99.0))
        ledger.add(replace(RECORDS[0], status="failed", error="later", history=()))
        assert ledger.records() == [RECORDS[0]]


def test_a_failed_trial_is_not_done_and_gives_way_to_a_later_attempt(path):
    failed = replace(RECORDS[0], status="failed", error="bad luck", history=())
    with Ledger(path) as ledger:
        ledger.add(failed)
        assert ledger.done_hashes() == set()
        assert ledger.records() == [failed]
        ledger.add(RECORDS[0])
        assert ledger.records() == [RECORDS[0]]


def test_records_are_chosen_by_hash_and_status(path):
    failed = replace(RECORDS[1], status="failed", error="bad luck", history=())
    with Ledger(path) as ledger:
        for record in (RECORDS[0], failed, RECORDS[2]):
            ledger.add(record)
        assert ledger.records(status="failed") == [failed]
        assert ledger.records({RECORDS[2].hash, "unknown"}) == [RECORDS[2]]
        assert ledger.records([]) == []


def test_another_process_reads_while_this_one_writes(path):
    with Ledger(path) as writer, Ledger(path, create=False) as reader:
        writer.add(RECORDS[0])
        assert reader.done_hashes() == {RECORDS[0].hash}


def test_a_record_is_on_disk_once_add_returns(path):
    code = (
        f"import sys; sys.path = {sys.path!r}\n"
        "import os, signal, records; from dralign.study import Ledger\n"
        f"ledger = Ledger({str(path)!r}); ledger.add(records.records()[0])\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", code], check=False)
    assert killed.returncode == -9
    with Ledger(path, create=False) as ledger:
        assert ledger.records() == [RECORDS[0]]


def add_all(ledger, records):
    for record in records:
        ledger.add(record)


def filled(path):
    with Ledger(path) as ledger:
        add_all(ledger, RECORDS)


def test_a_full_disk_is_one_clear_line_and_loses_nothing(path):
    filled(path)
    new = made_up.records(made_up.specs(seeds=range(100, 130)))
    with Ledger(path) as ledger:
        ledger._connection.execute("PRAGMA max_page_count = 1")  # the pages it has, and no more
        with pytest.raises(StudyError, match=r"can't be written: database or disk is full"):
            add_all(ledger, new)
        assert {record.hash for record in RECORDS} <= ledger.done_hashes()
    with Ledger(path) as ledger:
        kept = ledger.done_hashes()
        add_all(ledger, new)
        assert ledger.done_hashes() == kept | {record.hash for record in new}


def test_a_locked_study_is_one_clear_line(path):
    filled(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with (
        Ledger(path, timeout=0.05) as ledger,
        pytest.raises(StudyError, match=r"can't be written: database is locked"),
    ):
        ledger.add(replace(RECORDS[0], hash="new"))
    other.close()


def spoil_blob(path):
    filled(path)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE trial SET record = x'00'")
    connection.close()


def other_database(path):
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE cats (name)")
    connection.close()


def newer(path):
    filled(path)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 7")
    connection.close()


def truncated(path):
    filled(path)
    os.truncate(path, path.stat().st_size // 2)


def scrambled(path):
    filled(path)
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)


def text(path):
    path.parent.mkdir()
    path.write_text("name,age\nAda,36\n" * 100)


def folder(path):
    path.mkdir(parents=True)


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (text, r"ledger\.sqlite: not a study of dralign, or damaged"),
        (other_database, r"ledger\.sqlite: not a study of dralign$"),
        (newer, r"schema 7, this dralign reads 1"),
        (truncated, r"damaged"),
        (scrambled, r"damaged"),
        (folder, r"can't be opened: unable to open"),
        (spoil_blob, r"the record of trial [0-9a-f]{12} can't be read"),
    ],
)
def test_a_file_that_is_no_whole_study_is_one_clear_line_and_stays_as_it_is(path, prepare, message):
    prepare(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(StudyError, match=message) as caught, Ledger(path) as ledger:
        ledger.records()
    assert "\n" not in str(caught.value)
    assert before is None or path.read_bytes() == before


def test_damage_is_found_on_opening_before_hours_of_work(path):
    filled(path)
    content = bytearray(path.read_bytes())
    content[-4096:] = b"\xff" * 4096
    path.write_bytes(content)
    with pytest.raises(StudyError, match=r"the study is damaged; restore a copy or start anew"):
        Ledger(path)


def test_reading_a_study_that_does_not_exist_makes_no_file(path):
    with pytest.raises(StudyError, match=r"no study at .*ledger\.sqlite"):
        Ledger(path, create=False)
    assert not path.exists()


def test_an_empty_file_becomes_a_study_only_if_asked(path):
    path.parent.mkdir()
    path.touch()
    with pytest.raises(StudyError, match=r"not a study of dralign"):
        Ledger(path, create=False)
    with Ledger(path) as ledger:
        assert ledger.records() == []
