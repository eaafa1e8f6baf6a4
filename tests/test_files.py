"""Output is written whole or not at all, and tried beforehand; a refusal is one clear line."""

import errno
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from dralign.errors import OptionError, OutputError
from dralign.files import (
    check_output,
    read_whole,
    try_output,
    write_atomically,
    write_folder,
)


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_a_file_in_place_of_the_folder_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="can't be written"):
        write_atomically(tmp_path / "file" / "t.md", lambda path: path.write_text("new"))
    assert (tmp_path / "file").read_text() == "mine"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "t.md"
    path.write_text("old")

    def half(file):
        file.write_text("ha")
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left on device"):
        write_atomically(path, half)
    assert names(tmp_path) == ["t.md"]
    assert path.read_text() == "old"


def test_a_written_file_has_the_permissions_of_any_other(tmp_path):
    (tmp_path / "plain").write_text("")
    write_atomically(tmp_path / "t.md", lambda path: path.write_text("new"))
    assert (tmp_path / "t.md").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_folder_takes_the_place_of_another_as_a_whole(tmp_path):
    target = tmp_path / "net"
    for content in ("one", "two"):
        write_folder(target, lambda new, content=content: (new / "a").write_text(content))
    assert (target / "a").read_text() == "two"
    assert names(tmp_path) == ["net"]

    def half(new):
        (new / "a").write_text("three")
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left"):
        write_folder(target, half)
    assert (target / "a").read_text() == "two"
    assert names(tmp_path) == ["net"]


def test_an_output_that_is_an_input_is_refused_by_whatever_name(tmp_path):
    table = tmp_path / "people.csv"
    table.write_text("a\n1\n")
    (tmp_path / "other.csv").symlink_to(table)
    for out in (table, tmp_path / "." / "people.csv", tmp_path / "other.csv"):
        with pytest.raises(OptionError, match="is an input; choose another name"):
            check_output(out, inputs=[table])
    assert table.read_text() == "a\n1\n"


def test_an_output_of_another_kind_is_refused(tmp_path):
    with pytest.raises(OptionError, match=r"--page: expected a name ending in \.html, got"):
        check_output(tmp_path / "people.csv", option="--page", endings=(".html",))
    with pytest.raises(OptionError, match="is not a file"):
        check_output(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OptionError, match="is not a file"):
        check_output(tmp_path / "pipe")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"can't be written: (Not a directory|File exists)"):
        check_output(tmp_path / "file" / "t.csv")
    check_output(tmp_path / "new" / "t.csv")
    assert not (tmp_path / "new" / "t.csv").exists()


def test_only_whole_regular_files_of_a_sensible_size_are_read(tmp_path):
    (tmp_path / "a").write_bytes(b"123")
    assert read_whole(tmp_path / "a", at_most=3) == b"123"
    with pytest.raises(ValueError, match=r"larger than any plan of ours \(2 bytes\)"):
        read_whole(tmp_path / "a", at_most=2, what="plan")
    os.mkfifo(tmp_path / "pipe")
    for other in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(ValueError, match="not a regular file"):
            read_whole(other, at_most=3)


def test_trying_an_output_leaves_no_folder_that_was_not_there(tmp_path):
    (tmp_path / "there").mkdir()
    for path in ("new/inner/net", "there/net", "there/new/net"):
        try_output(tmp_path / path)
    assert names(tmp_path) == ["there"]
    assert names(tmp_path / "there") == []


def test_several_may_try_an_output_at_the_same_time(tmp_path):
    """As the processes of one training do; each once removed the folders of the others."""
    for number in range(40):
        start = Barrier(4)

        def attempt(number=number, start=start):
            start.wait()
            try_output(tmp_path / f"new-{number}" / "inner" / "net")

        with ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(attempt) for _ in range(4)]:
                done.result(timeout=60)
    assert names(tmp_path) == []


def test_of_two_folders_written_at_the_same_time_the_later_one_is_whole(tmp_path, monkeypatch):
    """Two trainings into one new place: the second used to be refused at its end, and was lost."""
    plain = Path.replace

    def replace(path, target):
        if not target.exists():
            target.mkdir()
            (target / "first").touch()
        return plain(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    write_folder(tmp_path / "net", lambda new: (new / "second").touch())
    assert names(tmp_path / "net") == ["second"]
    assert names(tmp_path) == ["net"]


@pytest.mark.parametrize("place", ["file/net", "dangling/net", "dangling/inner/net"])
def test_what_can_not_become_a_folder_is_found_out(tmp_path, place):
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputError, match="can't be written"):
        try_output(tmp_path / place)


ENDS = """
import os
from dralign.files import private_folder
mine = private_folder()
assert private_folder() == mine and mine.stat().st_mode & 0o777 == 0o700
child = os.fork()
if not child:
    assert private_folder() != mine
    raise SystemExit
assert os.waitpid(child, 0)[1] == 0
assert mine.is_dir()
print(mine)
"""


def test_a_private_folder_goes_with_its_process_and_not_with_a_fork_of_it(tmp_path):
    told = {**os.environ, "TMPDIR": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", ENDS], env=told, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith(str(tmp_path / "dralign-"))
    assert names(tmp_path) == []


def test_names_as_long_as_the_system_takes_are_written(tmp_path):
    """Of 255 bytes, in three bytes a sign; one of 256 is found out before the work."""
    longest = "\u540d" * 85
    try_output(tmp_path / longest)
    write_folder(tmp_path / longest, lambda new: (new / "a").touch())
    file = f"{longest[:-2]}n.csv"
    write_atomically(tmp_path / file, lambda new: new.write_text("new"))
    assert names(tmp_path) == sorted([longest, file])
    with pytest.raises(OutputError, match="can't be written: File name too long"):
        try_output(tmp_path / f"{longest}n")


def test_a_new_folder_and_all_names_that_lead_to_it_are_on_the_disk(tmp_path, monkeypatch):
    synced, plain = set(), os.fsync

    def fsync(handle):
        synced.add(os.fstat(handle).st_ino)
        plain(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    target = tmp_path / "new" / "inner" / "net"
    write_folder(target, lambda new: [(new / name).write_text("x") for name in "ab"])
    led_by = (target / "a", target / "b", target, *target.parents[:3])
    assert target.parents[2] == tmp_path
    assert synced == {path.stat().st_ino for path in led_by}


def test_a_disk_that_can_not_sync_folders_is_written_to(tmp_path, monkeypatch):
    plain = os.fsync

    def fsync(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        plain(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    write_atomically(tmp_path / "new" / "a.txt", lambda new: new.write_text("new"))
    write_folder(tmp_path / "net", lambda new: (new / "a").write_text("new"))
    assert (tmp_path / "new" / "a.txt").read_text() == "new"
    assert (tmp_path / "net" / "a").read_text() == "new"


def test_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path):
    """A link that a stranger laid where we write must not lead the write to a file of the user."""
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "a").write_text("old")
    for name, to in (("net", "theirs"), ("t.md", "theirs/a")):
        (tmp_path / name).symlink_to(to)
        try_output(tmp_path / name)
    write_folder(tmp_path / "net", lambda new: (new / "a").write_text("new"))
    write_atomically(tmp_path / "t.md", lambda new: new.write_text("new"))
    assert (tmp_path / "theirs" / "a").read_text() == "old"
    assert not (tmp_path / "net").is_symlink()
    assert not (tmp_path / "t.md").is_symlink()
    assert (tmp_path / "net" / "a").read_text() == (tmp_path / "t.md").read_text() == "new"


def test_what_nothing_can_take_the_place_of_is_found_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mounts = ["/proc"] if os.path.ismount("/proc") else []
    for place in (".", tmp_path, *mounts):
        with pytest.raises(OutputError, match=r"a mount point or the working folder, .* inside of"):
            try_output(place)
    assert names(tmp_path) == []
