"""The command line answers before it loads what its commands need."""

import ast
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dralign import cli
from dralign.cli.commands import COMMANDS, loaded

FILES = sorted(Path(cli.__file__).parent.glob("*.py"))
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
    *([name, "--help"] for name in COMMANDS if name not in {"compare", "front", "train"}),
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


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("dralign au", ["audit"]),
        ("dralign audit --fav", ["--favourable"]),
        ("dralign data ins", ["inspect"]),
    ],
)
def test_a_shell_completes_commands_and_options_of_commands_that_are_loaded_late(words, expected):
    asked = {
        "_DRALIGN_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from dralign import cli; sys.argv = ['dralign']; cli.main()",
        ],
        env={**os.environ, **asked},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == expected


def functions(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_body_in_the_command_line_is_longer_than_40_lines(path):
    for function in functions(path):
        body = function.body[1:] if ast.get_docstring(function) else function.body
        lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
        assert lines <= 40, f"{function.name}: {lines} lines"


# In one process, from which the package is removed before each command.
LOADING = """
import importlib, json, sys
for names, imported in json.load(sys.stdin):
    for name in [name for name in sys.modules if name.partition(".")[0] == "dralign"]:
        del sys.modules[name]
    for name in names:
        importlib.import_module(name)
    print(json.dumps([name for name in imported if name not in sys.modules]))
"""


def test_all_that_a_body_imports_is_loaded_before_it_begins():
    """Ctrl-C while compiled modules are imported is not always a KeyboardInterrupt."""
    asked = []
    for path in FILES:
        calls = [
            node
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "working"
        ]
        names = [entry.value for call in calls for entry in call.args]
        imported = {
            node.module
            for function in functions(path)
            for node in ast.walk(function)
            if isinstance(node, ast.ImportFrom) and node.module.startswith("dralign.")
        }
        if names:
            asked.append((names, sorted(imported)))
    assert len(asked) >= 7
    done = subprocess.run(
        [sys.executable, "-c", LOADING],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
    )
    assert [json.loads(line) for line in done.stdout.splitlines()] == [[]] * len(asked)
