"""A run that is stopped at any moment goes on from its newest checkpoint to the same end."""

import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

import checkpoint_runs as runs
from dralign.cli import main
from dralign.errors import ArtifactError, DralignWarning, OptionError
from dralign.sampling import Sampler
from dralign.training import Checkpoints, Selection, train
from dralign.training.loop import _begin

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")

# Before the first checkpoint; while one is written; between two; while it is put in its place.
MOMENTS = [("step", 2), ("write", 2), ("step", 4), ("file", 4), ("step", 3), ("write", 1)]


def same(one: dict, other: dict) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert value.dtype == other[name].dtype
        assert value.tobytes() == other[name].tobytes(), name


@pytest.mark.parametrize("name", runs.CASES)
def test_a_run_killed_again_and_again_ends_bit_for_bit_as_if_it_had_not_been(name, tmp_path):
    assert runs.in_process(name, None, tmp_path / "whole.npz")
    for moment in MOMENTS:
        assert not runs.in_process(name, tmp_path / "run", tmp_path / "done.npz", moment), moment
    assert runs.in_process(name, tmp_path / "run", tmp_path / "done.npz")
    same(np.load(tmp_path / "done.npz"), np.load(tmp_path / "whole.npz"))


def test_no_access_to_a_file_is_a_wrong_moment(tmp_path):
    """Killed at the first access of the run, resumed, killed at the second, and so on."""
    whole, done, keep = tmp_path / "whole.npz", tmp_path / "done.npz", runs.kept_selection()
    assert runs.in_process("gap", None, whole, keep=keep)
    access = 1
    while not runs.in_process("gap", tmp_path / "run", done, ("file", access), keep):
        access += 1
    assert access > 10
    same(np.load(done), np.load(whole))
    assert len(list((tmp_path / "run").iterdir())) == runs.LAST


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished run and what the run left."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    return folder, runs.outcome(runs.run("dralign", folder))


@pytest.fixture
def folder(finished, tmp_path):
    return shutil.copytree(finished[0], tmp_path / "run")


def test_counts_of_the_running_epoch_come_back(tmp_path):
    one, other = (
        _begin(runs.network("gap"), runs.dataset(), method, runs.settings("gap"))
        for method in [runs.method_of(**runs.CASES["gap"])] * 2
    )
    one.place, one.skipped, one.seconds = 2, 3, 1.5
    Checkpoints(tmp_path).save(one)
    Checkpoints(tmp_path).resume(other)
    assert (other.place, other.skipped, other.seconds) == (2, 3, 1.5)


def newest_first(folder):
    return sorted(folder.iterdir(), key=lambda path: -int(path.name.split("-")[1]))


def test_a_finished_run_returns_at_once(folder, finished, monkeypatch):
    monkeypatch.setattr(Sampler, "draw", None)
    seen = []
    same(runs.outcome(runs.run("dralign", folder, on_epoch=seen.append)), finished[1])
    assert not seen


def test_a_finished_run_goes_on_when_more_epochs_are_asked_for(folder):
    longer = runs.run("dralign", folder, epochs=runs.EPOCHS + 1)
    same(runs.outcome(longer), runs.outcome(runs.run("dralign", epochs=runs.EPOCHS + 1)))
    with pytest.raises(OptionError, match="epochs: 3 asked for, and the checkpoints are beyond"):
        runs.run("dralign", folder)


@pytest.mark.parametrize("harm", ["truncated", "changed", "empty"])
def test_a_damaged_checkpoint_is_passed_over_with_a_warning(folder, finished, harm):
    newest, earlier = newest_first(folder)
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    harmed = {"truncated": content[:-9], "changed": content, "empty": b""}[harm]
    newest.write_bytes(harmed)
    with pytest.warns(DralignWarning, match="step-15-.*: damaged, and passed over"):
        same(runs.outcome(runs.run("dralign", folder)), finished[1])
    assert earlier in newest_first(folder)
    assert len(newest_first(folder)) == runs.LAST
    same(runs.outcome(runs.run("dralign", folder)), finished[1])


def test_without_a_whole_checkpoint_the_run_starts_anew(folder, finished):
    for path in newest_first(folder):
        path.write_bytes(b"nothing")
    with pytest.warns(DralignWarning, match="damaged"):
        same(runs.outcome(runs.run("dralign", folder)), finished[1])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"seed": 1}, "seed: 0 there, 1 here"),
        ({"iterations": 6}, "iterations: 5 there, 6 here"),
        ({"name": "gap"}, "method: DRAlign.* there, GapRegularisation.* here"),
        ({"keep": Selection()}, "keep: all there, smallest_gap, first 1 left out here"),
        ({"name": "noisy"}, "method: "),
    ],
)
def test_the_checkpoints_of_another_run_are_refused_in_one_line(folder, change, told):
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(OptionError, match=f"run holds those of another run .{told}") as raised:
        runs.run(**{"name": "dralign", "folder": folder, **change})
    assert "\n" not in str(raised.value)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_other_data_and_networks_are_another_run(folder):
    arguments = {"method": runs.method_of(**runs.CASES["dralign"])}
    arguments |= {"settings": runs.settings("dralign"), "checkpoints": Checkpoints(folder)}
    with pytest.raises(OptionError, match=r"data: 300 training rows .* there, 301 training rows"):
        train(runs.network("dralign"), runs.dataset(n=301), **arguments)
    wider = torch.nn.Sequential(torch.nn.Linear(6, 9), torch.nn.ReLU(), torch.nn.Linear(9, 1))
    with pytest.raises(OptionError, match=r"initial weights: \w+ there, \w+ here"):
        train(wider, runs.dataset(), **arguments)


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without distributed")
def test_several_processes_go_on_from_the_newest_checkpoint_that_all_of_them_have(tmp_path):
    """In the middle of an epoch each has dropout masks and running statistics of its own."""
    torch.multiprocessing.spawn(runs.one_of_two, args=(str(tmp_path),), nprocs=2)
    for rank in range(2):
        same(np.load(tmp_path / f"{rank}-done.npz"), np.load(tmp_path / f"{rank}-whole.npz"))
    with pytest.raises(OptionError, match="processes: 2 there, 1 here"):
        runs.run("noisy", tmp_path / "run")


@pytest.mark.filterwarnings("ignore::dralign.errors.AssumptionWarning")
def test_the_command_goes_on_where_it_stopped_and_stops_when_out_of_patience(tmp_path, capsys):
    def epochs_shown(*more: str) -> list[str]:
        folders = ("--out", str(tmp_path / "net"), "--checkpoints", str(tmp_path / "run"))
        size = ("--iterations", "2", "--hidden", "4", "--batch-size", "9")
        assert main(["train", "german", *folders, *size, *more]) == 0
        lines = capsys.readouterr().err.splitlines()
        return [line.split(":")[0] for line in lines if "validation AP" in line]

    assert epochs_shown("--epochs", "2") == ["epoch 0", "epoch 1"]
    assert epochs_shown("--epochs", "3") == ["epoch 2"]
    assert epochs_shown("--epochs", "3") == []
    shown = epochs_shown("--epochs", "500", "--patience", "2")
    assert shown[0] == "epoch 3"
    assert len(shown) < 497


def test_optimiser_state_follows_the_memory_order_of_the_weights(tmp_path):
    """Images in channels_last: a fused optimiser walks over memory, not over places."""

    def build() -> torch.nn.Module:
        torch.manual_seed(0)
        parts = [torch.nn.Conv2d(2, 3, 2), torch.nn.Flatten(), torch.nn.Linear(3, 1)]
        return torch.nn.Sequential(*parts).to(memory_format=torch.channels_last)

    def images(split):
        return replace(split, x=torch.cat([split.x, split.x[:, :2]], 1).reshape(-1, 2, 2, 2))

    data = runs.dataset()
    parts = {name: images(getattr(data, name)) for name in ("train", "validation", "test")}
    data = replace(data, **parts)
    method, settings = runs.method_of("gap", fairness_weight=0.5), runs.settings("gap")
    whole = train(build(), data, method, settings)
    stopped = replace(settings, epochs=2)
    train(build(), data, method, stopped, checkpoints=Checkpoints(tmp_path))
    resumed = train(build(), data, method, settings, checkpoints=Checkpoints(tmp_path))
    same(runs.outcome(resumed), runs.outcome(whole))


def test_a_folder_that_can_not_be_written_is_told_in_one_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ArtifactError, match=r"file: the checkpoint can't be written .File exists"):
        runs.run("gap", tmp_path / "file")


@pytest.mark.parametrize("option", ["every", "last"])
def test_numbers_below_one_are_refused(option):
    with pytest.raises(OptionError, match=f"checkpoints, {option}: expected at least 1, got 0"):
        Checkpoints("run", **{option: 0})
