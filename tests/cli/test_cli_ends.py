"""How a command ends before its time: by Ctrl-C, without memory, on input that is too deep."""

import importlib
import os
import signal
import subprocess
import sys

import pytest

import interrupts
from dralign.cli import main
from dralign.errors import StudyError

TABLE = "age,label,group\n" + "3,1,a\n4,0,b\n7,1,b\n9,0,a\n" * 30
KEPT = "interrupted; finished trials are kept, the same command continues"
NOTHING = "interrupted; nothing was written"
NO_NETWORK = "interrupted; no network was written"
TRAIN = ["--label", "label", "--sensitive", "group", "--epochs", "2", "--iterations", "2"]


@pytest.fixture
def people(tmp_path):
    path = tmp_path / "people.csv"
    path.write_text(TABLE)
    return path


def fail_with(monkeypatch, module, name, error):
    """Lets something that a command calls raise."""

    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(importlib.import_module(f"dralign.{module}"), name, fail)


def last_line(capsys):
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("command", "place", "line"),
    [
        (["predict", "net", "people.csv"], "artifact.load_artifact", NOTHING),
        (["audit", "net", "people.csv"], "auditing.cases.load_artifact", NOTHING),
        (["sweep", "plan.toml"], "study.load_plan", KEPT),
        (["train", "adult", "--out", "net"], "study.network.train_trial", NO_NETWORK),
        (["report", "study"], "study.Ledger", "interrupted"),
        (["data", "fetch", "adult"], "data.catalogue.entry", "interrupted"),
    ],
)
def test_an_interrupted_command_says_what_became_of_its_work(
    command, place, line, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    fail_with(monkeypatch, *place.rsplit(".", 1), KeyboardInterrupt)
    assert main(command) == 130
    assert capsys.readouterr().err == f"dralign: error: {line}\n"


def test_an_interrupted_training_names_its_checkpoints_only_if_there_are_any(
    people, tmp_path, monkeypatch, capsys
):
    kept = tmp_path / "kept"
    command = ["train", str(people), *TRAIN, "--out", str(tmp_path / "net")]
    command += ["--checkpoints", str(kept)]
    fail_with(monkeypatch, "study.network", "train_trial", KeyboardInterrupt)
    assert main(command) == 130
    assert last_line(capsys) == "dralign: error: interrupted; no network was written"
    monkeypatch.undo()
    fail_with(monkeypatch, "cli.overview", "save_or_rescue", KeyboardInterrupt)
    assert main(command) == 130
    expected = f"dralign: error: interrupted; the same command continues from {kept}"
    assert last_line(capsys) == expected
    monkeypatch.undo()
    assert main(command) == 0


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (MemoryError(), 1, "out of memory"),
        (MemoryError("Unable to allocate 8. GiB"), 1, "out of memory: Unable to allocate 8. GiB"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried\nFrame 1"),
            1,
            "out of memory: DefaultCPUAllocator: can't allocate memory: you tried",
        ),
        (RuntimeError("can't start new thread"), 1, "out of memory: can't start new thread"),
        (ImportError("failed to map segment"), 1, "out of memory: failed to map segment"),
        (StudyError("a worker died (out of memory)"), 2, "a worker died (out of memory)"),
        (RecursionError("maximum depth"), 2, "something that was given is nested too deeply"),
    ],
)
def test_too_little_memory_and_too_deep_input_are_one_line(error, code, line, monkeypatch, capsys):
    fail_with(monkeypatch, "artifact", "load_artifact", error)
    assert main(["predict", "net", "people.csv"]) == code
    assert capsys.readouterr().err == f"dralign: error: {line}\n"


def test_another_error_is_a_bug_and_shows_where_it_is(monkeypatch):
    fail_with(monkeypatch, "artifact", "load_artifact", RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        main(["predict", "net", "people.csv"])


HELD = """
import signal, sys, time
from dralign.__main__ import main
import dralign.artifact, dralign.cli

def wait(*given):
    try:
        print("working", flush=True)
        time.sleep(60)
    finally:
        print("leaving", flush=True)

def tell(line, own=dralign.cli._tell):
    own(line)
    print("told", flush=True)
    time.sleep(60)

dralign.artifact.load_artifact, dralign.cli._tell = wait, tell
sys.argv = ["dralign", "predict", "net", "people.csv"]
sys.exit(main())
"""


def test_a_second_ctrl_c_while_the_first_is_told_of_ends_it_without_a_traceback():
    process = interrupts.start(
        [sys.executable, "-c", HELD],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "working\n"
    process.send_signal(signal.SIGINT)
    assert [process.stdout.readline() for _ in range(2)] == ["leaving\n", "told\n"]
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=50)
    assert (process.returncode, errors) == (130, f"dralign: error: {NOTHING}\n")


SPOOLED = """
import sys, time
from dralign.__main__ import main
import dralign.cli, dralign.cli.train

def wait(*given, **named):
    print("working", flush=True)
    time.sleep(60)

def tell(line, own=dralign.cli._tell):
    own(line)
    print("told", flush=True)
    time.sleep(60 if line.startswith("interrupted") else 0)

dralign.cli._tell = tell
sys.modules["dralign.cli.train"].train_network = wait
sys.argv = "dralign train - --label a --positive 1 --sensitive b --out net".split()
sys.exit(main())
"""


@pytest.mark.parametrize(
    ("numbers", "code"),
    [([signal.SIGTERM], 143), ([signal.SIGHUP], 129), ([signal.SIGINT, signal.SIGINT], 130)],
)
def test_a_table_on_standard_input_is_gone_however_the_command_is_ended(tmp_path, numbers, code):
    path = os.pathsep.join(filter(None, sys.path))
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    with (tmp_path / "table.csv").open() as table:
        process = interrupts.start(
            [sys.executable, "-c", SPOOLED],
            env={**os.environ, "PYTHONPATH": path, "TMPDIR": str(tmp_path)},
            cwd=tmp_path,
            stdin=table,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert process.stdout.readline() == "working\n"
    assert list(tmp_path.glob("dralign-*/stdin.csv"))
    process.send_signal(numbers[0])
    assert process.stdout.readline() == "told\n"
    for number in numbers[1:]:
        process.send_signal(number)
    _, errors = process.communicate(timeout=50)
    line = "interrupted; no network was written" if numbers[1:] else f"ended by {numbers[0].name}"
    assert (process.returncode, errors) == (code, f"dralign: error: {line}\n")
    assert not list(tmp_path.glob("dralign-*"))


PRINTING = """
import sys
from dralign.__main__ import main
import dralign.cli
dralign.cli.main = lambda: print("\u03bb=0.2") or 0
sys.exit(main())
"""


def test_a_terminal_that_lacks_a_letter_gets_it_in_other_words():
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", PRINTING],
        env={**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "ascii"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "\\u03bb=0.2\n", "")


def test_ctrl_c_after_the_network_was_saved_says_that_it_was(people, tmp_path, monkeypatch, capsys):
    fail_with(monkeypatch, "cli.train", "_show_chosen", KeyboardInterrupt)
    out = tmp_path / "net"
    words = ["--out", str(out)]
    assert main(["train", str(people), *TRAIN, *words]) == 130
    assert last_line(capsys) == f"dralign: error: interrupted; the network is written: {out}"
    assert (out / "model.safetensors").exists()


STUB = "import time; print('loading', flush=True); time.sleep(60)"


@pytest.mark.parametrize("command", [["train", "--help"], ["predict", "net", "people.csv"]])
def test_ctrl_c_while_the_program_is_loaded_ends_it_silently_with_130(command, tmp_path):
    (tmp_path / "torch.py").write_text(STUB)
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    process = interrupts.start(
        [sys.executable, "-m", "dralign", *command],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "loading\n"
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=50)
    assert (process.returncode, printed, errors) == (130, "", "")


@pytest.mark.parametrize("command", [["train", "--help"], ["predict", "net", "people.csv"]])
def test_a_program_that_can_not_be_loaded_is_one_line(command, tmp_path):
    (tmp_path / "torch.py").write_text("raise MemoryError('failed to map segment')")
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-m", "dralign", *command],
        env={**os.environ, "PYTHONPATH": path},
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )
    line = "dralign: error: the program can't be loaded: MemoryError: failed to map segment\n"
    assert (done.returncode, done.stderr) == (1, line)
