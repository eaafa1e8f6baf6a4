"""The commit beside a result, read from a checkout without git."""

import shutil
import subprocess

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


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
@pytest.mark.parametrize("detached", [True, False])
def test_commit_of_a_work_tree_of_its_own_is_found(tmp_path, detached):
    repository = tmp_path / "first"
    side = tmp_path / "side"
    run("git", "init", "-q", repository)
    author = ("-c", "user.name=n", "-c", "user.email=n@localhost")
    run("git", "-C", repository, *author, "commit", "-q", "--allow-empty", "-m", "one")
    run("git", "-C", repository, "worktree", "add", "-q", "-b", "side", side)
    commit = run("git", "-C", repository, "rev-parse", "HEAD")
    if detached:
        run("git", "-C", side, "checkout", "-q", "--detach")
    assert _revision(side / ".git") == _revision(repository / ".git") == {"revision": commit[:12]}


def run(*command):
    """What a command prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_without_a_checkout_there_is_no_revision(tmp_path):
    assert not _revision(tmp_path / ".git")
