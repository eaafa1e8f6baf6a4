"""Output files are written whole or not at all, with one clear line where they can't be."""

import pytest

from dralign.errors import StudyError
from dralign.report.files import write_atomically


def test_a_file_in_place_of_the_folder_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StudyError, match="can't be written"):
        write_atomically(tmp_path / "file" / "t.md", lambda path: path.write_text("new"))
    assert (tmp_path / "file").read_text() == "mine"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "t.md"
    path.write_text("old")

    def half(file):
        file.write_text("ha")
        raise OSError(28, "No space left on device")

    with pytest.raises(StudyError, match="No space left on device"):
        write_atomically(path, half)
    assert [entry.name for entry in tmp_path.iterdir()] == ["t.md"]
    assert path.read_text() == "old"
