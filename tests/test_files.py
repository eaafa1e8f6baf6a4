"""Output is written whole or not at all, and tried beforehand; a refusal is one clear line."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from dralign.errors import OptionError, OutputError
from dralign.files import (
    check_output,
    locked,
    read_whole,
    remove_left,
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


KILLED = """
import os, signal, sys
from pathlib import Path
from dralign.files import write_atomically
write_atomically(Path(sys.argv[1]), lambda path: os.kill(os.getpid(), signal.SIGKILL))
"""


def test_what_a_killed_writer_left_is_removed_by_the_next_and_only_then(tmp_path):
    path = tmp_path / "t.md"
    subprocess.run([sys.executable, "-c", KILLED, path], check=False, timeout=60)
    (left,) = names(tmp_path)
    assert left.startswith(".t.md.")
    write_atomically(path, lambda file: file.write_text("new"))
    assert left in names(tmp_path), "it may belong to a writer that has just begun"
    old = time.time() - 3600
    os.utime(tmp_path / left, (old, old))

    def beside_another(file):
        os.utime(file.parent, (old, old))
        write_atomically(path, lambda second: second.write_text("from within"))
        assert file.parent.exists(), "a scratch folder in use is locked"
        file.write_text("outer")

    write_atomically(path, beside_another)
    assert names(tmp_path) == ["t.md"]
    assert path.read_text() == "outer"


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


def test_what_killed_writers_of_some_names_left_is_removed_at_once(tmp_path):
    for name in ("step-1", "step-2", "other"):
        subprocess.run([sys.executable, "-c", KILLED, tmp_path / name], check=False, timeout=60)
    remove_left(tmp_path, "step-*")
    (left,) = names(tmp_path)
    assert left.startswith(".other.")


def test_a_lock_has_one_holder_and_goes_with_it(tmp_path):
    with locked(tmp_path / "lock") as mine:
        assert mine
        with locked(tmp_path / "lock") as second:
            assert not second
    with locked(tmp_path / "lock") as again:
        assert again


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
