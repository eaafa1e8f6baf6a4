"""What lies in the working folder is data: no module there is run by the command line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

STRANGER = "open(__file__ + '.ran', 'w').close()\nraise SystemExit('a stranger was here')\n"
NAMES = ("torch", "numpy", "pandas", "typer", "signal", "threading", "cli")
# Those that a process of multiprocessing, which Dask starts, imports as its first.
FIRST = ("multiprocessing", "socket", "pickle", "random", "tempfile", "selectors")
PLAN = """
[[trials]]
dataset = "german"
method = "erm"
epochs = 1
iterations = 1
seeds = 2
"""


def run(folder: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Runs a command in a folder of strangers."""
    for name in (*NAMES, *FIRST):
        (folder / f"{name}.py").write_text(STRANGER)
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=200, check=False, cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert "a stranger was here" not in done.stderr
    assert not list(folder.glob("*.ran"))
    return done


def test_no_module_of_the_working_folder_is_run_by_python_m(tmp_path):
    given = ("train", "absent.csv", "--label", "y", "--sensitive", "s", "--out", "net")
    done = run(tmp_path, [sys.executable, "-m", "dralign", *given])
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "absent.csv" in done.stderr


@pytest.mark.parametrize("options", [("--jobs", "2"), ("--dask", "local", "--jobs", "1")])
def test_nor_by_the_command_and_the_workers_that_it_starts(tmp_path, options):
    if "--dask" in options:
        pytest.importorskip("distributed", reason="Dask is not installed")
    script = Path(sys.executable).with_name("dralign")
    if not script.exists():
        pytest.skip("dralign is not installed as a command")
    (tmp_path / "plan.toml").write_text(PLAN)
    done = run(tmp_path, [str(script), "sweep", "plan.toml", "--out", "study", *options])
    assert "2 trials, 2 done" in done.stderr + done.stdout


def test_the_package_is_run_from_the_folder_that_it_lies_in():
    import dralign

    home = Path(dralign.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-m", "dralign", "--version"],
        capture_output=True, text=True, timeout=200, check=False, cwd=home,
        env={**{k: v for k, v in os.environ.items() if k != "PYTHONPATH"}, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.stdout.startswith("dralign "), done.stderr
