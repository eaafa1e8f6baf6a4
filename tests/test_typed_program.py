"""A program with every public name passes the strictest check of types, and runs."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import dralign

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = ROOT / "tests" / "typed_program.py"


def test_the_program_uses_every_public_name():
    used = {
        node.attr
        for node in ast.walk(ast.parse(PROGRAM.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "dralign"
    }
    assert used == set(dralign.__all__)


def test_mypy_finds_nothing_and_would_find_a_wrong_type(tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "import dralign\ngroup, names = dralign.encode_groups([0, 1])\nfirst: int = names[0]\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", str(PROGRAM), str(wrong)],
        cwd=ROOT, check=False, capture_output=True, text=True, timeout=250,
    )  # fmt: skip
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert len(errors) == 1, done.stdout + done.stderr
    assert "wrong.py:3" in errors[0]
    assert '"str"' in errors[0]


def test_the_program_runs(tmp_path):
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(tmp_path / "out")],
        cwd=tmp_path, check=False, capture_output=True, text=True, timeout=250,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].endswith("fetch_compas")
