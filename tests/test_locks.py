"""A lock has one holder; what could not be one is refused in one line."""

import os

import pytest

from dralign.errors import OutputError
from dralign.locks import locked


def test_a_lock_has_one_holder_and_goes_with_it(tmp_path):
    with locked(tmp_path / "lock") as mine:
        assert mine
        with locked(tmp_path / "lock") as second:
            assert not second
    with locked(tmp_path / "lock") as again:
        assert again


def test_a_pipe_or_a_folder_is_no_lock(tmp_path):
    """A pipe that nobody reads was waited for without end; this one is read."""
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with (
            pytest.raises(OutputError, match=rf"{name}: can't be locked: not a regular file; move"),
            locked(tmp_path / name),
        ):
            pass
    os.close(reader)
