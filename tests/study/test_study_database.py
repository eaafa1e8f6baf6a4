"""The file of a ledger: damaged, foreign, hostile, out of reach, or taken away while it is used."""

import os
import shutil
import sqlite3
import struct
import subprocess
from pathlib import Path

import pytest

import records as made_up
from dralign.cli import main
from dralign.errors import StudyError
from dralign.study import Ledger

RECORDS = made_up.records(made_up.specs(epochs=2))
PAGE = 4096


@pytest.fixture
def path(tmp_path):
    """A ledger of 18 records."""
    path = tmp_path / "study" / "study.sqlite"
    add_to(path, RECORDS)
    return path


def add_to(path, records):
    with Ledger(path) as ledger:
        for record in records:
            ledger.add(record)


def change(path, *statements):
    """What another program does to the file."""
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in ("PRAGMA writable_schema = ON", *statements):
        connection.execute(statement)
    connection.close()


def refused(path, message):
    """Opening and reading it is one line, and changes nothing."""
    before = path.read_bytes()
    for create in (False, True):
        with pytest.raises(StudyError, match=message) as caught, Ledger(path, create=create) as one:
            one.records()
        assert "\n" not in str(caught.value)
    assert path.read_bytes() == before


def test_an_index_that_names_a_trial_twice_and_another_never_is_found(path):
    """SQLite's quick check, which passes it, does not look."""
    content = path.read_bytes()
    first, second = (record.hash.encode() for record in RECORDS[4:6])
    # An entry of the index is the hash and the number of the row, from 1 up.
    assert content.count(first + b"\x05") == content.count(second + b"\x06") == 1
    path.write_bytes(content.replace(first + b"\x05", first + b"\x06"))
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA quick_check").fetchone() == ("ok",)
    connection.close()
    refused(path, r"the study is damaged; restore a copy or start anew")


def test_a_record_in_the_row_of_another_trial_is_found(path):
    one, other = RECORDS[0].hash, RECORDS[1].hash
    change(
        path,
        f"UPDATE trial SET record = (SELECT record FROM trial WHERE hash = '{other}') "
        f"WHERE hash = '{one}'",
    )
    refused(path, rf"the record of trial {one[:12]} can't be read: it is another trial's")


def test_a_status_that_is_not_the_record_s_is_found(path):
    change(path, f"UPDATE trial SET status = 'failed' WHERE hash = '{RECORDS[0].hash}'")
    refused(path, r"can't be read: it is another trial's, or ended otherwise")


ENDLESS = "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r) SELECT "


@pytest.mark.parametrize(
    ("statements", "message"),
    [
        (["CREATE VIEW more AS SELECT 1"], r"not a study of dralign: it holds other tables"),
        (
            ["CREATE TRIGGER t AFTER INSERT ON trial BEGIN DELETE FROM trial; END"],
            r"it holds other tables",
        ),
        (
            ["DROP TABLE trial", f"CREATE VIEW trial AS {ENDLESS} i AS hash, 1, 2 FROM r"],
            r"it holds other tables",
        ),
        (
            ["DROP TABLE trial", "CREATE TABLE trial (hash, status, record)"],
            r"it holds other tables",
        ),
        (["CREATE INDEX i ON trial (status)"], r"it holds other tables"),
        (["UPDATE trial SET record = 'text'"], r"can't be read: it is not binary"),
        (["UPDATE trial SET hash = 'x' || rowid"], r"damaged: a row has no hash"),
        (["UPDATE trial SET hash = NULL"], r"damaged: a row has no hash"),
        (["UPDATE trial SET hash = CAST(x'ff' || hash AS TEXT)"], r"damaged"),
        (
            ["UPDATE trial SET record = zeroblob(70000000) WHERE rowid = 1"],
            r"damaged: string or blob too big",
        ),
        (["PRAGMA application_id = 7"], r"not a study of dralign$"),
    ],
)
def test_a_foreign_file_is_one_line(path, statements, message):
    change(path, *statements)
    refused(path, message)


def test_pages_that_lead_to_each_other_almost_without_end_are_one_line(path):
    """Five levels of 400 ways to the same page each, where the names of the tables stand."""
    content = bytearray(path.read_bytes())
    count = len(content) // PAGE
    bottom = bytearray(content[:PAGE])
    bottom[:12] = content[100:112]  # as page 1 has it, but without the header of the file
    ways = 400

    def inner(child, start):
        cells = b"".join(struct.pack(">IB", child, 1) for _ in range(ways))
        pointers = b"".join(struct.pack(">H", PAGE - 5 * (n + 1)) for n in range(ways))
        head = struct.pack(">BHHHBI", 5, 0, ways, PAGE - len(cells), 0, child) + pointers
        return head + bytes(PAGE - start - len(head) - len(cells)) + cells

    levels = [inner(count + 1 + depth, 0) for depth in range(1, 5)]
    content[100:PAGE] = inner(count + 1, 100)
    content[28:32] = struct.pack(">I", count + 5)
    path.write_bytes(bytes(content) + b"".join(levels) + bytes(bottom))
    with pytest.raises(StudyError, match=r"damaged: reading it would never end") as caught:
        Ledger(path, create=False)
    assert "\n" not in str(caught.value)


def cut_off(path):
    """Leaves the file and its journal as a kill in the middle of a large write does."""
    scratch = path.with_name("scratch.sqlite")
    shutil.copyfile(path, scratch)
    connection = sqlite3.connect(scratch, isolation_level=None)
    connection.execute("PRAGMA cache_size = 1")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE trial SET record = zeroblob(9000)")
    shutil.copyfile(scratch, path)
    shutil.copyfile(f"{scratch}-journal", f"{path}-journal")
    connection.close()
    scratch.unlink()


def test_a_write_that_was_cut_off_is_undone_by_whoever_opens_it_next(path):
    before = path.read_bytes()
    cut_off(path)
    assert path.read_bytes() != before
    with Ledger(path, create=False) as ledger:
        assert len(ledger.records()) == len(RECORDS)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_damaged_journal_by_which_the_ledger_would_be_emptied_is_refused(path):
    pages = struct.pack(">I", path.stat().st_size // PAGE)
    cut_off(path)
    journal = Path(f"{path}-journal")
    content = journal.read_bytes()
    assert content[16:20] == pages  # those that the file had before the write
    journal.write_bytes(content[:16] + bytes(4) + content[20:])
    refused(path, r"study\.sqlite-journal: damaged; SQLite would empty the study by it")


@pytest.mark.parametrize("linked", [False, True])
def test_a_journal_that_would_have_another_file_removed_is_refused(path, tmp_path, linked):
    victim = tmp_path / "thesis.txt"
    victim.write_text("years of work")
    cut_off(path)
    name = os.fsencode(victim)
    with Path(f"{path}-journal").open("ab") as journal:
        journal.write(struct.pack(">I", 2**30 // PAGE + 1) + name)
        journal.write(struct.pack(">II", len(name), sum(name)))
        journal.write(bytes.fromhex("d9d505f920a163d7"))
    given = path
    if linked:
        given = tmp_path / "link.sqlite"
        given.symlink_to(path)
    refused(given, r"study\.sqlite-journal: not written by dralign")
    assert victim.read_text() == "years of work"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
@pytest.mark.parametrize("ending", ["", "-journal", "-wal", "-shm"])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(path, ending):
    file = Path(f"{path}{ending}")
    file.unlink(missing_ok=True)
    os.mkfifo(file)
    with pytest.raises(StudyError, match=rf"study\.sqlite{ending}: not a regular file"):
        Ledger(path, create=False)


def removed(path):
    shutil.rmtree(path.parent)


def renamed(path):
    path.parent.rename(path.parent.with_name("elsewhere"))


def replaced(path):
    new = path.with_name("new")
    shutil.copyfile(path, new)
    new.replace(path)


@pytest.mark.parametrize("take", [removed, renamed, replaced])
def test_a_ledger_that_is_taken_away_while_it_is_written_is_noticed(path, take):
    new = made_up.records(made_up.specs(seeds=[99], epochs=1))
    with Ledger(path) as ledger:
        ledger.check_in_place()
        take(path)
        with pytest.raises(StudyError, match=r"removed, moved or replaced while it was written"):
            ledger.check_in_place()
        with pytest.raises(StudyError, match=r"study\.sqlite: the study ") as caught:
            ledger.add(new[0])
    assert "\n" not in str(caught.value)


def test_a_ledger_given_by_a_relative_path_stays_in_place_in_another_folder(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    with Ledger(path.name) as ledger:
        monkeypatch.chdir("/")
        ledger.add(RECORDS[0])


@pytest.fixture
def mount(tmp_path):
    """Mounts, which only root of a machine of its own may do."""
    points = []

    def mounted(*options, what, where):
        where.mkdir(exist_ok=True)
        command = ["mount", *options, str(what), str(where)]
        if shutil.which("mount") is None or subprocess.call(command, stderr=subprocess.DEVNULL):
            pytest.skip("needs the right to mount")
        if where not in points:
            points.append(where)
        return where

    yield mounted
    for point in reversed(points):
        subprocess.run(["umount", str(point)], check=True)


def older(path):
    """The header of a ledger with a write-ahead log, which older versions wrote."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()


@pytest.mark.parametrize("prepare", [lambda path: None, older], ids=["new", "older"])
def test_a_study_on_a_read_only_disk_is_reported_and_exported(path, prepare, mount, tmp_path):
    prepare(path)
    names = [file.name for file in path.parent.iterdir()]
    place = mount("--bind", what=path.parent, where=tmp_path / "mounted")
    mount("-o", "remount,ro,bind", what=path.parent, where=place)
    with pytest.raises(OSError, match="Read-only"):
        (place / "probe").touch()
    assert main(["report", str(place), "--out", str(tmp_path / "out"), "--format", "md"]) == 0
    assert main(["export", str(place), "--out", str(tmp_path / "out" / "t.csv")]) == 0
    assert [file.name for file in path.parent.iterdir()] == names


def test_records_that_can_not_be_reached_on_a_read_only_disk_are_not_left_out_in_silence(
    path, mount, tmp_path
):
    older(path)
    writer = sqlite3.connect(path)
    writer.execute("DELETE FROM trial")
    writer.commit()
    killed = tmp_path / "killed"
    killed.mkdir()
    for ending in ("", "-wal"):
        shutil.copyfile(f"{path}{ending}", f"{killed / path.name}{ending}")
    writer.close()
    place = mount("--bind", what=killed, where=tmp_path / "mounted")
    mount("-o", "remount,ro,bind", what=killed, where=place)
    with pytest.raises(
        StudyError, match=r"can't be opened \(a write was cut off: open a copy of its folder\)"
    ):
        Ledger(place / path.name, create=False)


@pytest.mark.parametrize("prepare", [lambda path: None, older], ids=["new", "older"])
def test_a_study_on_a_full_disk_is_reported_and_exported(path, prepare, mount, tmp_path):
    prepare(path)
    place = mount("-t", "tmpfs", "-o", "size=256k", what="none", where=tmp_path / "small")
    shutil.copyfile(path, place / path.name)
    with pytest.raises(OSError, match="No space"), (place / "filler").open("wb") as filler:
        filler.write(bytes(2**20))
    assert main(["report", str(place), "--out", str(tmp_path / "out"), "--format", "md"]) == 0
    assert main(["export", str(place), "--out", str(tmp_path / "out" / "t.csv")]) == 0
    with pytest.raises(StudyError, match=r"can't be (written|opened)"):
        add_to(place / path.name, made_up.records(made_up.specs(seeds=range(90, 99))))
    with Ledger(place / path.name, create=False) as ledger:
        assert {record.hash for record in RECORDS} <= ledger.done_hashes()


def test_a_reader_waits_for_a_writer_only_while_a_record_is_written(path):
    """And a writer for a reader: neither keeps its hold on the file between two calls."""
    with Ledger(path, timeout=0.0) as writer, Ledger(path, create=False, timeout=0.0) as reader:
        for record in made_up.records(made_up.specs(seeds=[50, 51], epochs=1)):
            writer.add(record)
            assert record.hash in reader.done_hashes()
            assert len(reader.records()) == len(reader.done_hashes())


def test_a_journal_that_goes_while_the_ledger_is_opened_is_no_error(tmp_path, monkeypatch):
    """A writer that commits removes it between any two looks at it."""
    path = tmp_path / "study.sqlite"
    Ledger(path).close()
    journal = tmp_path / "study.sqlite-journal"
    journal.write_bytes(b"\0" * 512)
    real = Path.stat

    def gone(self, **options):
        found = real(self, **options)
        if self == journal:
            journal.unlink()
        return found

    monkeypatch.setattr(Path, "stat", gone)
    Ledger(path, create=False).close()
    assert not journal.exists()
