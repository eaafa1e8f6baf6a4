"""What a killed process left is removed by the next writer; what is in use or another's is not."""

import errno
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from dralign import files, locks
from dralign.errors import OutputError
from dralign.files import try_output, write_atomically, write_folder
from dralign.scratch import remove_left

KILLED = """
import os, signal, sys
from pathlib import Path
from dralign.files import write_atomically
write_atomically(Path(sys.argv[1]), lambda path: os.kill(os.getpid(), signal.SIGKILL))
"""
# Where folders can't be exchanged in one step, at the second of the two.
KILLED_BETWEEN = """
import os, signal, sys
from pathlib import Path
from dralign import files
plain = Path.replace
def replace(path, target):
    if path.name == "new" and not Path(target).exists():
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(path, target)
Path.replace = replace
files._are_swapped = lambda one, other: False
files.write_folder(sys.argv[1], lambda new: (new / "a").write_text("new"))
"""


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def killed(code, path):
    done = subprocess.run([sys.executable, "-c", code, path], check=False, timeout=60)
    assert done.returncode < 0


def make_old(path):
    """Takes a folder back by an hour."""
    then = time.time() - 3600
    os.utime(path, (then, then))


def without_locks(handle, how):
    raise OSError(errno.ENOSYS, "Function not implemented")


def test_what_a_killed_writer_left_is_removed_by_the_next_and_only_then(tmp_path):
    path = tmp_path / "t.md"
    killed(KILLED, path)
    (left,) = names(tmp_path)
    write_atomically(path, lambda file: file.write_text("new"))
    assert left in names(tmp_path), "it may belong to a writer that has just begun"
    make_old(tmp_path / left)
    write_atomically(tmp_path / "other", lambda file: file.write_text("new"))
    assert left in names(tmp_path), "that of another name is looked at by its next writer"
    write_atomically(path, lambda file: file.write_text("newer"))
    assert names(tmp_path) == ["other", "t.md"]


@pytest.mark.parametrize("known", [True, False])
def test_what_is_in_use_stays_also_where_locks_are_not_known(tmp_path, monkeypatch, known):
    if not known:
        monkeypatch.setattr(locks._system, "flock", without_locks)
    path = tmp_path / "t.md"

    def beside_another(file):
        (scratch,) = tmp_path.iterdir()
        make_old(scratch)
        write_atomically(path, lambda second: second.write_text("from within"))
        remove_left(tmp_path, young=-1.0)
        file.write_text("outer")

    write_atomically(path, beside_another)
    assert names(tmp_path) == ["t.md"]
    assert path.read_text() == "outer"


def test_where_locks_are_not_known_nothing_is_removed(tmp_path, monkeypatch):
    killed(KILLED, tmp_path / "t.md")
    left = names(tmp_path)
    make_old(tmp_path / left[0])
    with monkeypatch.context() as patch:
        patch.setattr(locks._system, "flock", without_locks)
        try_output(tmp_path / "t.md")
        assert names(tmp_path) == left
    try_output(tmp_path / "t.md")
    assert names(tmp_path) == []


def test_what_killed_writers_of_some_names_left_is_removed_at_once(tmp_path):
    for name in ("step-1", "step-2", "other"):
        killed(KILLED, tmp_path / name)
    before = names(tmp_path)
    remove_left(tmp_path, "step-*", young=-1.0)
    assert len(before) == 3
    (left,) = names(tmp_path)
    remove_left(tmp_path, "other", young=-1.0)
    assert names(tmp_path) == []
    assert left in before


def test_an_empty_one_that_another_process_removes_is_made_anew(tmp_path, monkeypatch):
    """In the moment before it has a mark it can't be told from one that was left."""
    plain, made = tempfile.mkdtemp, []

    def mkdtemp(**given):
        made.append(plain(**given))
        if len(made) == 1:
            remove_left(tmp_path)
        return made[-1]

    monkeypatch.setattr(tempfile, "mkdtemp", mkdtemp)
    write_atomically(tmp_path / "t.md", lambda new: new.write_text("new"))
    assert len(made) == 2
    assert names(tmp_path) == ["t.md"]


def test_the_folders_of_others_stay(tmp_path):
    """They have another name, or no mark of ours, or are links."""
    folders = [".net.my-backup.part", ".dralign-my-backup.part", ".dralign-mybackup.part"]
    for name in folders:
        (tmp_path / name).mkdir()
        (tmp_path / name / "precious").touch()
        make_old(tmp_path / name)
    (tmp_path / folders[1] / "name").write_text("net")
    (tmp_path / "theirs" / "new").mkdir(parents=True)
    (tmp_path / "theirs" / "name").write_text("net")
    make_old(tmp_path / "theirs")
    (tmp_path / ".dralign-abcdefgh.part").symlink_to("theirs")
    try_output(tmp_path / "net")
    assert all((tmp_path / name / "precious").exists() for name in folders)
    assert names(tmp_path / "theirs") == ["name", "new"]


def test_a_folder_that_was_set_aside_is_put_back_after_a_kill(tmp_path):
    target = tmp_path / "net"
    write_folder(target, lambda new: (new / "a").write_text("old"))
    for again in (False, True):
        killed(KILLED_BETWEEN, target)
        (left,) = names(tmp_path)
        make_old(tmp_path / left)
        if again:  # somebody saved another one meanwhile
            target.mkdir()
            (target / "a").write_text("another")
        try_output(target)
        assert names(tmp_path) == ["net"]
        assert (target / "a").read_text() == ("another" if again else "old")


@pytest.mark.parametrize("broken", [{"new"}, {"new", "old"}])
def test_a_replacement_that_fails_half_way_loses_nothing(tmp_path, monkeypatch, broken):
    """Also if it can't be put back at once."""
    target = tmp_path / "net"
    write_folder(target, lambda new: (new / "a").write_text("old"))
    plain = Path.replace

    def replace(path, other):
        if path.name in broken and not other.exists():
            raise OSError(errno.EIO, "Input/output error")
        return plain(path, other)

    monkeypatch.setattr(files, "_are_swapped", lambda one, other: False)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        with pytest.raises(OutputError, match="net: can't be written: Input/output error"):
            write_folder(target, lambda new: (new / "a").write_text("new"))
    if "old" in broken:
        (left,) = names(tmp_path)
        make_old(tmp_path / left)
        try_output(target)
    assert names(tmp_path) == ["net"]
    assert (target / "a").read_text() == "old"
    write_folder(target, lambda new: (new / "a").write_text("new"))
    assert (target / "a").read_text() == "new"
    assert names(tmp_path) == ["net"]
