"""The commit beside a result, read from a checkout without git."""

import pytest

from dralign.study.environment import _revision

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    "files",
    [
        {"HEAD": COMMIT},
        {"HEAD": "ref: refs/heads/main", "refs/heads/main": COMMIT},
        {"HEAD": "ref: refs/heads/main", "packed-refs": f"# pack\n{COMMIT} refs/heads/main\n"},
    ],
    ids=["detached", "branch", "packed"],
)
def test_commit_that_is_checked_out_is_found(tmp_path, files):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert _revision(tmp_path) == {"revision": COMMIT[:12]}


def test_without_a_checkout_there_is_no_revision(tmp_path):
    assert not _revision(tmp_path / ".git")
