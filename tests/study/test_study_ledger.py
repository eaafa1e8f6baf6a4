"""The ledger: every finished trial is there once, and any trouble is one clear line."""

import gzip
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

import dralign.study.ledger
import records as made_up
from dralign.errors import DralignWarning, StudyError
from dralign.interrupts import Terminated, terminations_raised
from dralign.study import Ledger, TrialRecord, TrialSpec, database
from dralign.study.database import Database

RECORDS = made_up.records()

RESULTS = Path(__file__).parents[2] / "results"
FEW = {  # trials of plans with less than 40
    "reproduction_celeba_times.jsonl.gz": 14,
    "reproduction_celeba_sample_dp.jsonl.gz": 11,
    "reproduction_celeba_sample_beta.jsonl.gz": 2,
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "study" / "ledger.sqlite"


def by_hash(records):
    return sorted(records, key=lambda record: record.hash)


@pytest.mark.parametrize("place", range(6))
def test_a_ledger_that_another_command_lays_out_in_the_meantime_is_opened(path, monkeypatch, place):
    plain, calls = Database._run, count()

    def run(self, sql, values=()):
        found = plain(self, sql, values)
        if next(calls) == place and not self._connection.in_transaction:
            Ledger(path).close()
        return found

    monkeypatch.setattr(Database, "_run", run)
    with Ledger(path) as ledger:
        assert ledger.records() == []


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
    new = made_up.records(made_up.specs(seeds=range(100, 110)))
    with Ledger(path) as ledger:
        ledger._database.query("PRAGMA max_page_count = 1")  # the pages it has, and no more
        with pytest.raises(StudyError, match=r"can't be written: database or disk is full"):
            add_all(ledger, new)
        assert {record.hash for record in RECORDS} <= ledger.done_hashes()
    with Ledger(path) as ledger:
        kept = ledger.done_hashes()
        add_all(ledger, new)
        assert ledger.done_hashes() == kept | {record.hash for record in new}


def test_a_locked_study_is_one_clear_line(path, monkeypatch):
    monkeypatch.setattr(dralign.study.ledger, "LOCKED_SECONDS", 0.1)
    filled(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with (
        Ledger(path, timeout=0.05) as ledger,
        pytest.warns(DralignWarning, match="another program"),
        pytest.raises(StudyError, match=r"can't be written: database is locked"),
    ):
        ledger.add(RECORDS[0])
    other.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_heard_while_another_program_holds_the_study(path, number):
    filled(path)
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    kick = threading.Timer(0.5, os.kill, (os.getpid(), number))
    end = threading.Timer(20, other.close)  # else it is waited for without end
    try:
        with Ledger(path) as ledger:
            other.execute("BEGIN IMMEDIATE")
            end.start()
            kick.start()
            with pytest.raises((KeyboardInterrupt, Terminated)) as ended, terminations_raised():
                ledger.add(made_up.records(made_up.specs(seeds=[100]))[0])
            assert end.is_alive()
    finally:
        end.cancel()
        signal.signal(signal.SIGINT, before)
        other.close()
    assert isinstance(ended.value, Terminated) == (number == signal.SIGTERM)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_a_long_statement_is_what_it_was(path, number, monkeypatch):
    monkeypatch.setattr(database, "_STEPS", 10**12)
    numbers = "WITH n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 1000000000)"
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    opened = Database(path, write=True, timeout=1)
    threading.Timer(0.5, os.kill, (os.getpid(), number)).start()
    try:
        with pytest.raises((KeyboardInterrupt, Terminated)) as ended, terminations_raised():
            opened.query(f"{numbers} SELECT sum(x) FROM n")
    finally:
        signal.signal(signal.SIGINT, before)
        opened.close()
    assert isinstance(ended.value, Terminated) == (number == signal.SIGTERM)


def test_a_query_that_another_program_has_not_ended_is_waited_for_with_one_warning(path):
    filled(path)
    new = made_up.records(made_up.specs(seeds=[100]))[0]
    reader = sqlite3.connect(path, check_same_thread=False)
    begun = reader.execute("SELECT * FROM trial")
    assert begun.fetchone()
    end = threading.Timer(0.5, begun.close)
    end.start()
    with Ledger(path, timeout=0.05) as ledger:
        with pytest.warns(DralignWarning) as told:
            ledger.add(new)
        assert new.hash in ledger.done_hashes()
    end.join()
    line = "another program has the study open and keeps a record from being written; it is waited"
    assert [str(one.message) for one in told] == [f"{path}: {line} for, 600 s at most"]


def test_a_ledger_that_is_closed_or_of_another_thread_is_not_called_damaged(path):
    told = []

    def read():
        with pytest.raises(StudyError) as caught:
            ledger.records()
        told.append(str(caught.value))

    with Ledger(path) as ledger:
        other = threading.Thread(target=read)
        other.start()
        other.join()
    read()
    line = "the study can't be read: it was closed, or opened in another thread; open it again"
    assert told == [f"{path}: {line}"] * 2


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
        (folder, r"ledger\.sqlite: not a regular file, and no part of a study"),
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


def test_a_plain_copy_between_two_records_holds_them_all(path, tmp_path):
    copy = tmp_path / "copy.sqlite"
    with Ledger(path) as ledger, Ledger(path, create=False):
        for place, record in enumerate(RECORDS[:4], start=1):
            ledger.add(record)
            assert sorted(file.name for file in path.parent.iterdir()) == [path.name]
            shutil.copyfile(path, copy)
            with Ledger(copy, create=False) as other:
                assert other.records() == by_hash(RECORDS[:place])


def logged(path):
    """Makes a ledger such as older versions wrote, which has a write-ahead log."""
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",)
    connection.close()


def test_an_older_ledger_is_read_as_it_is_and_loses_its_log_when_it_is_continued(path):
    filled(path)
    logged(path)
    before = path.read_bytes()
    with Ledger(path, create=False) as ledger:
        assert ledger.records() == by_hash(RECORDS)
    assert path.read_bytes() == before
    with Ledger(path) as ledger:
        ledger.add(RECORDS[0])
        assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert path.read_bytes()[18:20] == b"\1\1"


def test_records_that_are_only_in_the_log_of_an_older_ledger_are_read(path, tmp_path):
    filled(path)
    logged(path)
    writer = sqlite3.connect(path)
    writer.execute("DELETE FROM trial WHERE hash != ?", (RECORDS[0].hash,))
    writer.commit()
    killed = tmp_path / "killed"
    shutil.copytree(path.parent, killed)
    writer.close()
    with Ledger(killed / path.name, create=False) as ledger:
        assert ledger.records() == [RECORDS[0]]


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.jsonl.gz")), ids=lambda path: path.stem)
def test_the_records_behind_the_published_figures_can_be_read(path):
    with gzip.open(path, "rt", encoding="utf-8") as file:
        records = [TrialRecord.from_dict(json.loads(line)) for line in file]
    least = FEW.get(path.name, 40)
    assert len({record.hash for record in records}) == len(records) >= least
    assert {record.status for record in records} == {"done"}


def add_until_killed(path, records, pipe):
    """Adds records, and writes a byte for each that is acknowledged."""
    with Ledger(path) as ledger:
        for record in records:
            ledger.add(record)
            os.write(pipe, b"+")


@pytest.fixture
def memory(tmp_path):
    """A folder in memory, where there is one: a kill does not depend on the disk."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else tmp_path) as folder:
        yield Path(folder)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_three_hundred_kills_while_adding_lose_no_acknowledged_record(memory):
    path = memory / "study.sqlite"
    new = made_up.records(
        [TrialSpec(made_up.ADULT, "erm", epochs=1, seed=seed) for seed in range(6000)]
    )
    rng, sure = random.Random(0), 0
    for _ in range(300):
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            add_until_killed(path, new[sure:], writer)
            os._exit(0)
        os.close(writer)
        if rng.random() < 0.7:  # else perhaps before the first
            os.read(reader, 1)
            sure += 1
        time.sleep(rng.random() * 0.01)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        sure += len(os.read(reader, 10_000))
        os.close(reader)
    with Ledger(path, create=False) as ledger:
        kept = ledger.records()
    assert {record.hash for record in new[:sure]} <= {record.hash for record in kept}
    assert {record.seed for record in (record.spec for record in kept)} <= set(range(6000))
    assert sure >= 200
