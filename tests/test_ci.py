"""What continuous integration runs ends, and the suite does not mind how it is started."""

import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.skipif(shutil.which("timeout") is None, reason="needs coreutils")


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc")
def test_a_run_past_its_limit_ends_and_says_where_every_process_was(tmp_path):
    """The alarm that ends it is sent by hand: on a busy machine nothing may have begun by then."""
    make, begun = tmp_path / "make", tmp_path / "begun"
    code = f"import time; open('{begun}', 'w').close(); time.sleep(200)"
    make.write_text(f'#!/bin/sh\n{sys.executable} -c "{code}"\n')
    make.chmod(0o755)
    told = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "CI_LIMIT": "150s"}
    with subprocess.Popen(
        [str(ROOT / ".ci/run")], env=told, stderr=subprocess.PIPE, text=True
    ) as run:
        deadline = time.monotonic() + 100
        while not begun.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGALRM)
        said = run.communicate(timeout=100)[1]
    assert run.returncode == 124
    line = "ci: not over after 150s; above stands where each process was\n"
    assert line in said
    # A process that is told to end may write where it was after that line, and before and after it.
    assert 'File "<string>", line 1 in <module>' in said.replace(line, "")


def test_ctrl_c_is_heard_by_what_a_test_starts_from_a_background_job(tmp_path):
    (tmp_path / "test_it.py").write_text(
        "import signal\n"
        "def test_it():\n"
        "    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
    )
    shutil.copy(ROOT / "tests/conftest.py", tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100, check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN), cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_a_test_that_waits_with_the_interpreter_lock_ends_too(tmp_path):
    """No thread of Python runs then, and with it no timer of pytest-timeout."""
    (tmp_path / "test_it.py").write_text(
        "import ctypes\ndef test_it():\n    ctypes.PyDLL(None).sleep(200)\n", encoding="utf-8"
    )
    limits = ["-o", "timeout=1", "-o", "faulthandler_timeout=3"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), *limits, "test_it.py"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100, check=False,
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout
    assert "Timeout (0:00:03)!" in done.stderr
    assert "in test_it" in done.stderr


# Their packages bring many of their own; what needs them is skipped there.
NOT_AT_THE_LOWEST = {"transformers", "lightning", "skorch", "optuna", "mlflow", "wandb", "onnx"}


def test_the_lowest_versions_are_those_that_are_declared_but_for_torch():
    lines = subprocess.run(
        [sys.executable, str(ROOT / ".ci/lowest.py")], capture_output=True, text=True, check=True,
        timeout=100,
    ).stdout.split()  # fmt: skip
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = declared["build-system"]["requires"] + declared["project"]["dependencies"]
    for name, extra in declared["project"]["optional-dependencies"].items():
        wanted += [] if name in NOT_AT_THE_LOWEST else extra
    assert {line.replace("==", ">=") for line in lines if not line.startswith("torch")} == {
        line for line in wanted if not line.startswith(("torch", "dralign["))
    }
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8").split()
    assert {line for line in lines if line.startswith("torch")} <= set(lock)
