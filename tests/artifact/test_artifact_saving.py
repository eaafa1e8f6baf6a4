"""A place for a network is tried before the work, and a finished network is never lost."""

import itertools
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
import torch

from dralign import models
from dralign.artifact import (
    Artifact,
    check_target,
    load_artifact,
    save_artifact,
    save_or_rescue,
)
from dralign.errors import ArtifactError, OptionError, OutputError


@pytest.fixture
def network() -> Artifact:
    architecture = {"name": "mlp", "n_inputs": 2, "hidden": 3, "depth": 1}
    return Artifact(
        model=models.build(architecture).eval(),
        architecture=architecture,
        encoder=None,
        label="loan",
        positive="yes",
        sensitive=("sex",),
        group_names=("a", "b"),
        training={},
    )


def test_a_target_that_holds_something_else_is_refused(network, tmp_path):
    (tmp_path / "file").write_text("mine")
    for place, told in ((tmp_path, "is not a saved"), (tmp_path / "file", "is not a saved")):
        with pytest.raises(ArtifactError, match=told):
            check_target(place)
    net = save_artifact(network, tmp_path / "net")
    check_target(net)
    (net / "notes.txt").write_text("mine")
    for refused in (check_target, lambda place: save_artifact(network, place)):
        with pytest.raises(ArtifactError, match=r"holds 'notes.txt' besides a saved network"):
            refused(net)
    assert (net / "notes.txt").read_text() == "mine"


def test_a_target_that_would_take_the_place_of_an_input_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "faces").mkdir()
    (tmp_path / "link").symlink_to("faces")
    for target, other in (("faces", "faces"), ("link", "faces"), (".", "run"), ("new", "new/run")):
        with pytest.raises(OptionError, match=f"--out: {target} would take the place of {other};"):
            check_target(target, apart=[other])
    check_target("faces", apart=["run", "link/../people.csv"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["faces", "link"]


def test_a_target_where_nothing_can_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="can't be written"):
        check_target(tmp_path / "file" / "net")


def test_a_target_whose_place_can_not_be_taken_is_refused(tmp_path, monkeypatch):
    """The trained network would be saved elsewhere, which may be lost with a container."""
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path) == tmp_path / "disk")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "disk").mkdir()
    (tmp_path / "here").mkdir()
    with pytest.raises(OutputError, match=r"disk: a mount point .* for example .*disk/new$"):
        check_target(tmp_path / "disk")
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(OutputError, match=r"the working folder, .* for example new$"):
        check_target(".")
    check_target(tmp_path / "disk" / "new")


def test_a_network_that_can_not_be_saved_where_it_is_wanted_is_saved_elsewhere(
    network, tmp_path, monkeypatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file/net: can't be written") as raised:
        save_or_rescue(network, tmp_path / "file" / "net")
    told, _, place = str(raised.value).partition("; the trained network is saved in ")
    assert "\n" not in told
    rescued = load_artifact(place)
    assert torch.equal(rescued.model[0].weight, network.model[0].weight)
    assert Path(place).parent.stat().st_mode & 0o077 == 0, "others must not read it"


def test_where_there_is_no_room_for_temporary_files_the_cache_takes_the_network(
    network, tmp_path, monkeypatch
):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(OutputError, match=r"saved in .*/cache/dralign/dralign-\w+/net$"):
        save_or_rescue(network, tmp_path / "file" / "net")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(OutputError, match=r"can't be written: [^;]*$"):
        save_or_rescue(network, tmp_path / "file" / "net")


CHANGES = {"open", "os.mkdir", "os.rename", "os.rmdir", "os.remove", "shutil.rmtree"}


def killed(network: Artifact, folder: Path, moment: int) -> bool:
    """Whether a process that saves the network was killed, at some access to files beside it."""
    child = os.fork()
    if child:
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])
    accesses = itertools.count(1)

    def die(event, args):
        mine = event in CHANGES and str(args[0]).startswith(str(folder.parent))
        if mine and next(accesses) == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(die)
    save_artifact(network, folder)
    os._exit(0)


@pytest.mark.skipif(sys.platform != "linux", reason="folders are exchanged in one step on Linux")
def test_no_moment_of_a_kill_leaves_the_place_without_a_network(network, tmp_path):
    """Killed at every access to the folder in turn, while a network takes another one's place."""
    folder = save_artifact(network, tmp_path / "net")
    moments = itertools.takewhile(lambda at: killed(network, folder, at), itertools.count(1))
    for _ in moments:
        load_artifact(folder)
        for left in tmp_path.glob(".dralign-*"):
            shutil.rmtree(left)
    assert next(moments, None) is None
    load_artifact(folder)
