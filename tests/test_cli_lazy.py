"""The command line answers before it loads what its commands need."""

import inspect
import json
import subprocess
import sys

import pytest

from dralign.cli.commands import COMMANDS, loaded

HEAVY = {
    "torch", "numpy", "pandas", "scipy", "sklearn", "plotly", "matplotlib", "pyarrow", "numba",
    "joblib", "safetensors",
}  # fmt: skip
CODE = """
import contextlib, io, json, sys
from dralign import cli
with contextlib.redirect_stdout(io.StringIO()):
    code = cli.main({arguments})
print(json.dumps([code, sorted(name.partition(".")[0] for name in sys.modules)]))
"""
LIGHT = [
    ["--help"],
    ["--version"],
    *(
        [name, "--help"]
        for name in COMMANDS
        if name not in {"compare", "train", "sweep", "reproduce"}
    ),
    ["data", "list", "--help"],
]


@pytest.mark.parametrize("arguments", LIGHT, ids=" ".join)
def test_help_and_version_load_neither_torch_nor_anything_else_that_is_heavy(arguments):
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(arguments=arguments)],
        capture_output=True,
        text=True,
        check=True,
    )
    code, modules = json.loads(done.stdout)
    assert code == 0
    assert set(modules) & HEAVY == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_of_a_command_in_the_list_is_the_first_of_its_own_help(name):
    first = inspect.cleandoc(loaded(name).help).partition("\n\n")[0]
    assert " ".join(first.split()) == COMMANDS[name]
