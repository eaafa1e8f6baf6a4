"""A run that is stopped at any moment goes on from its newest checkpoint to the same end."""

import os
import shutil
import sys
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import checkpoint_runs as runs
from dralign.cli import main
from dralign.data import Images, Split
from dralign.errors import DralignWarning, OptionError, OutputError
from dralign.step import Sampler
from dralign.training import Checkpoints, Selection, seeded, train
from dralign.training.loop import _begin
from dralign.training.run import identity
from sealed import rewrite_checkpoint

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
        # What killed attempts leave goes at the next start: attempts do not get longer and longer.
        assert len(list((tmp_path / "run").glob(".dralign-*"))) <= 1
    assert 10 < access < 200
    same(np.load(done), np.load(whole))
    lock, *steps = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert lock == "process-0.lock"
    assert len(steps) == runs.LAST


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
    one.step_of_epoch, one.skipped, one.seconds = 2, 3, 1.5
    Checkpoints(tmp_path).save(one)
    Checkpoints(tmp_path).resume(other)
    assert (other.step_of_epoch, other.skipped, other.seconds) == (2, 3, 1.5)


def begun(*, epochs=runs.EPOCHS):
    """A run of dralign after so many epochs, as the trainer has it."""
    found = []

    class Kept(Checkpoints):
        def held(self):
            return nullcontext()

        def resume(self, run):
            found.append(run)

        def save(self, run):
            pass

    method, settings = runs.method_of(**runs.CASES["dralign"]), runs.settings("dralign")
    if not epochs:
        run = _begin(runs.network("dralign"), runs.dataset(), method, settings)
        run.identity = identity(run.model, runs.dataset(), method, settings, "all")
        return run
    model = runs.network("dralign")
    train(model, runs.dataset(), method, settings, checkpoints=Kept("nowhere"))
    return found[0]


def newest_first(folder):
    return sorted(folder.glob("step-*"), key=lambda path: -int(path.name.split("-")[1]))


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
        ({"keep": Selection()}, "keep: all there, smallest base-rate gap, first 1 left out here"),
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
        return [line.split(":")[0] for line in lines if "validation: AP" in line]

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
    with pytest.raises(OutputError, match="file: can't be written: File exists"):
        runs.run("gap", tmp_path / "file")


def test_a_full_disk_is_told_in_one_line_and_keeps_the_checkpoints_before(tmp_path, monkeypatch):
    from safetensors import SafetensorError
    from safetensors import torch as files

    whole = files.save_file

    def save_file(tensors, path, metadata):
        if "step-6-" in str(path):
            raise SafetensorError("I/O error: No space left on device (os error 28)")
        whole(tensors, path, metadata)

    monkeypatch.setattr(files, "save_file", save_file)
    with pytest.raises(OutputError, match=r"step-6-process-0.safetensors: can't .*No space left"):
        runs.run("gap", tmp_path)
    assert [path.name[:7] for path in newest_first(tmp_path)] == ["step-5-", "step-4-"]


def test_a_second_run_on_the_same_checkpoints_is_refused(folder, finished):
    with (
        Checkpoints(folder).held(),
        pytest.raises(OptionError, match=r"checkpoints: another run is using .*run; wait for it"),
    ):
        runs.run("dralign", folder)
    same(runs.outcome(runs.run("dralign", folder)), finished[1])


def test_what_is_no_regular_file_is_not_looked_at(folder, finished):
    """Reading a pipe would wait for ever."""
    os.mkfifo(folder / "step-20-process-0.safetensors")
    (folder / "step-25-process-0.safetensors").mkdir()
    same(runs.outcome(runs.run("dralign", folder)), finished[1])


def test_what_a_run_was_stopped_before_removing_is_removed_when_it_goes_on(folder):
    kept = newest_first(folder)
    (folder / "step-1-process-0.safetensors").write_bytes(b"old")
    runs.run("dralign", folder)
    assert newest_first(folder) == kept


def test_a_file_under_another_name_is_passed_over(folder, finished):
    newest = newest_first(folder)[0]
    newest.rename(folder / "step-20-process-0.safetensors")
    with pytest.warns(DralignWarning, match="its name says another step"):
        same(runs.outcome(runs.run("dralign", folder)), finished[1])


def test_a_checkpoint_of_another_version_is_refused_in_one_line(folder):
    newest = newest_first(folder)[0]
    rewrite_checkpoint(newest, lambda tensors, header: header.update(version=1))
    newest.rename(folder / "step-15-process-0-0123abcd.safetensors")
    with pytest.raises(OptionError, match=r"version 1; this dralign reads 5: remove it, or choose"):
        runs.run("dralign", folder)


@pytest.mark.parametrize("name", ["train", "validation", "test"])
def test_other_features_are_another_run(folder, name):
    """The same rows, labels and groups with one number of one row changed."""
    data = runs.dataset()
    split = getattr(data, name)
    x = split.x.clone()
    x[7, 1] = -x[7, 1]
    data = replace(data, **{name: replace(split, x=x)})
    method, settings = runs.method_of(**runs.CASES["dralign"]), runs.settings("dralign")
    with pytest.raises(
        OptionError, match=r"data: 300 training rows (\w+) there, 300 .* (?!\1)\w+ h"
    ):
        train(runs.network("dralign"), data, method, settings, checkpoints=Checkpoints(folder))


class Named(nn.Linear):
    """A layer that shows an object by its address."""

    def extra_repr(self):
        return f"{super().extra_repr()}, {object.__repr__(self)}"


def made_of(*layers):
    with seeded(0):
        return nn.Sequential(Named(6, 8), *layers, nn.Linear(8, 1))


@pytest.mark.parametrize("other", [nn.Tanh(), nn.Sequential(nn.ReLU(), nn.Dropout(0.5))])
def test_other_layers_without_weights_are_another_run_and_the_same_ones_are_not(tmp_path, other):
    def outcome(model, folder, epochs=2):
        method, settings = runs.method_of("erm"), runs.settings("gap", epochs=epochs)
        places = folder and Checkpoints(folder)
        return runs.outcome(train(model, runs.dataset(), method, settings, checkpoints=places))

    first = made_of(nn.ReLU())
    outcome(first, tmp_path, epochs=1)
    same(outcome(made_of(nn.ReLU()), tmp_path), outcome(made_of(nn.ReLU()), None))
    expected = r"network: Sequential (\w+) there, Sequential (?!\1)\w+ here"
    with pytest.raises(OptionError, match=expected):
        outcome(made_of(other), tmp_path)


def test_pixels_are_part_of_what_tells_runs_apart():
    found = []
    for value in (0, 1):
        pixels = np.zeros((4, 3, 8, 8), np.uint8)
        pixels[3, 2, 7, 7] = value
        x = Images(pixels, np.array([0, 3]))
        split = Split(x, torch.tensor([0, 1]), torch.tensor([0, 1]))
        data = replace(runs.dataset(), train=split)
        method, settings = runs.method_of(**runs.CASES["gap"]), runs.settings("gap")
        found.append(identity(runs.network("gap"), data, method, settings, "all")["data"])
    assert found[0] != found[1]


def set_in(*path, to):
    """A forgery that puts a value at a place of the header."""

    def change(_, header):
        *before, last = path
        for key in before:
            header = header[key]
        header[last] = to

    return change


def without(*path):
    def change(_, header):
        *before, last = path
        for key in before:
            header = header[key]
        del header[last]

    return change


def tensor(name, x):
    return lambda tensors, _: tensors.update({name: x})


FORGED = {
    "epochs dropped": lambda _, header: header["run"]["history"].pop(0),
    "last epoch dropped": lambda _, header: header["run"]["history"].pop(),
    "history of text": set_in("run", "history", to="none"),
    "record of text": set_in("run", "history", 0, to="none"),
    "record without its loss": without("run", "history", 0, "loss"),
    "loss of NaN": set_in("run", "history", 0, "loss", to=float("nan")),
    "record with more": set_in("run", "history", 0, "more", to=1),
    "another epoch's number": set_in("run", "history", 1, "epoch", to=0),
    "a figure of text": set_in("run", "history", 0, "test", "accuracy", to="1"),
    "a figure is missing": without("run", "history", 0, "validation", "average_precision"),
    "similarity of text": set_in("run", "history", 0, "similarity", to=[]),
    "similarity without units": without("run", "history", 0, "similarity", "unit"),
    "a step beyond the epoch": set_in("run", "step_of_epoch", to=5),
    "a step of text": set_in("run", "step_of_epoch", to="0"),
    "negative seconds": set_in("run", "seconds", to=-1),
    "generator of nothing": set_in("run", "draws", to={}),
    "generator of another kind": set_in("run", "draws", "bit_generator", to="MT19937"),
    "generator state of text": set_in("run", "draws", "state", "state", to="0"),
    "generator state too large": set_in("run", "draws", "state", "state", to=2**200),
    "kept epochs that are not": set_in("run", "kept", to=[0, 1, 2, 3]),
    "kept twice": set_in("run", "kept", to=[0, 0, 1]),
    "kept one less": set_in("run", "kept", to=[0, 1]),
    "kept of objects": set_in("run", "kept", to=[{}, [], None]),
    "multiplier of nothing": set_in("run", "multiplier", to=1.0),
    "a schedule beyond the steps": set_in("run", "scheduled", to=16),
    "a schedule where there is none": set_in("run", "scheduled", to=1),
    "a course of a number": set_in("run", "course", to=7),
    "a stop of text": set_in("run", "stopped", to="no"),
    "scaler of another precision": set_in("run", "scaler", to={"scale": 1.0}),
    "no run": without("run"),
    "no identity": without("identity"),
    "identity of text": set_in("identity", to="dralign"),
    "version of text": set_in("version", to="3"),
    "no weights": lambda tensors, _: tensors.pop("model/0.weight"),
    "weights of another shape": tensor("model/0.weight", torch.zeros(1)),
    "weights of another type": tensor("model/0.bias", torch.zeros(8, dtype=torch.float64)),
    "weights more": tensor("model/9.weight", torch.zeros(1)),
    "kept weights of another shape": tensor("kept/0/0.weight", torch.zeros(1)),
    "a tensor of nothing": tensor("what", torch.zeros(1)),
    "optimiser of another shape": tensor("optimiser/0/exp_avg", torch.zeros(1)),
    "optimiser of more weights": tensor("optimiser/17/exp_avg", torch.zeros(1)),
    "optimiser of words": tensor("optimiser/a/b/c", torch.zeros(1)),
    "optimiser incomplete": lambda tensors, _: tensors.pop("optimiser/0/exp_avg_sq"),
    "optimiser before its start": tensor("optimiser/0/step", torch.tensor(-1.0)),
    "random state of another size": tensor("random/cpu", torch.zeros(8, dtype=torch.uint8)),
    "random state that is none": tensor("random/cpu", torch.zeros(5056, dtype=torch.uint8)),
    "noise that is no state": tensor("noise", torch.full((5056,), 255, dtype=torch.uint8)),
    "no noise": lambda tensors, _: tensors.pop("noise"),
    "losses of more rows": tensor("loss", torch.zeros(2)),
    "steps of the method before the first": tensor("step/taken", torch.tensor(-3)),
    "steps of the method of another type": tensor("step/taken", torch.tensor(15.0)),
    "no steps of the method": lambda tensors, _: tensors.pop("step/taken"),
}


@pytest.mark.parametrize("case", FORGED)
def test_a_checkpoint_that_can_not_be_is_passed_over_and_nothing_of_it_is_used(case, tmp_path):
    """Its checksum fits; the run it was offered to is as it was before."""
    folder, run = tmp_path / "run", begun()
    Checkpoints(folder).save(run)
    (path,) = folder.glob("step-*")
    rewrite_checkpoint(path, FORGED[case])
    other = begun(epochs=0)
    before, state = runs.outcome_of(other), torch.get_rng_state()
    with pytest.warns(DralignWarning, match="step-15-.*: damaged, and passed over"):
        Checkpoints(folder).resume(other)
    same(runs.outcome_of(other), before)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_forgery_of_nothing_is_a_whole_checkpoint(tmp_path):
    """What the test above rests on."""
    folder, run, other = tmp_path / "run", begun(), begun(epochs=0)
    Checkpoints(folder).save(run)
    (path,) = folder.glob("step-*")
    rewrite_checkpoint(path, lambda tensors, header: None)
    with torch.random.fork_rng():
        Checkpoints(folder).resume(other)
    same(runs.outcome_of(other), runs.outcome_of(run))


def test_a_history_without_a_checksum_that_fits_is_passed_over(folder, finished):
    """Forged without the checksum inside of it."""
    newest = newest_first(folder)[0]
    content = newest.read_bytes()
    changed = content.replace(b'\\"average_precision\\": 0.', b'\\"average_precision\\": 1.', 1)
    assert changed != content
    newest.write_bytes(changed)
    with pytest.warns(DralignWarning, match="damaged, and passed over .its checksum is another"):
        same(runs.outcome(runs.run("dralign", folder)), finished[1])


@pytest.mark.parametrize("option", ["every", "last"])
def test_numbers_below_one_are_refused(option):
    with pytest.raises(OptionError, match=f"checkpoints, {option}: expected at least 1, got 0"):
        Checkpoints("run", **{option: 0})
