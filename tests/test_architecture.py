"""Imports go down the layer table of the design, heavy packages stay where they are used."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "dralign"

# From the top; a module imports only its own package and lines below its own.
LAYERS = [
    {"__main__"},
    {"cli"},
    {"integrations"},
    {"estimator"},
    {"comparing"},
    {"auditing"},
    {"reproduce"},
    {"report"},
    {"analysis"},
    {"study"},
    {"artifact"},
    {"training"},
    {"methods"},
    {"postprocessing"},
    {"alignment"},
    {"step"},
    {"rationale"},
    {"metrics"},
    {"gaps"},
    {"models"},
    {"data"},
    {"groups", "_torchvision", "table_options"},
    {"extensions", "files", "forms", "networks", "settings", "tiers", "turns", "workers"},
    {"scratch"},
    {"locks"},
    {"errors", "interrupts"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}

# Where a heavy package may be imported at all, and whether at the top of the module.
HEAVY = {
    "matplotlib": {"report"},
    "plotly": {"report"},
    "joblib": {"study"},
    "dask": {"study"},
    "typer": {"cli"},
    "rich": {"cli"},
    "torchvision": {"models", "data", "_torchvision"},
    "sklearn": {"metrics", "estimator", "data"},
    "pandas": None,
    "scipy": None,
    "numba": {"rationale"},
    **{
        name: {"integrations"}
        for name in ("mlflow", "onnx", "optuna", "skorch", "transformers", "wandb")
    },
}
FILES = sorted(SOURCE.rglob("*.py"))


def layer_of(path: Path) -> str:
    """The layer a file belongs to."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


@cache
def parsed(path: Path) -> ast.Module:
    """The code of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(path: Path) -> list[tuple[str, bool]]:
    """The modules a file imports, and whether at the top level of the file."""
    tree = parsed(path)
    type_checking = {
        id(inner)
        for node in tree.body
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found, body = [], {id(node) for node in tree.body}
    for node in ast.walk(tree):
        top = id(node) in body
        if id(node) in type_checking:
            continue
        if isinstance(node, ast.Import):
            found += [(alias.name, top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            name = node.module or ""
            inner = (
                [f"{name}.{alias.name}" for alias in node.names] if name == "dralign" else [name]
            )
            found += [(entry, top) for entry in inner]
    return found


@cache
def names_by_module(path: Path) -> dict[str, set[str]]:
    """What a file imports from each module, by its own name."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ImportFrom):
            found.setdefault(node.module or "", set()).update(alias.name for alias in node.names)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_go_down(path):
    own = layer_of(path)
    if own == "__init__":
        return
    assert own in LEVEL, f"{own} has no place in the layer table"
    for name, _ in imports(path):
        parts = name.split(".")
        if parts[0] == "dralign":
            other = parts[1]
            assert other == own or LEVEL[other] > LEVEL[own], f"{path.name} imports {name}"


def test_no_module_imports_itself_by_a_way_round():
    """Imports inside of functions count too; what is imported for types alone does not."""
    modules = {
        ".".join(("dralign", *path.relative_to(SOURCE).with_suffix("").parts)): path
        for path in FILES
    }
    needs = {
        name: {
            target
            for entry, _ in imports(path)
            for target in (
                entry,
                *(f"{entry}.{part}" for part in names_by_module(path).get(entry, ())),
            )
            if target in modules and target != name
        }
        for name, path in modules.items()
        if path.name != "__init__.py"
    }
    while leaves := {name for name, targets in needs.items() if not targets & needs.keys()}:
        needs = {name: targets for name, targets in needs.items() if name not in leaves}
    assert not needs, f"a circle among: {sorted(needs)}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_heavy_packages_are_imported_only_where_they_are_used(path):
    for name, top in imports(path):
        package = name.split(".")[0]
        if package in HEAVY:
            allowed = HEAVY[package]
            assert allowed is None or layer_of(path) in allowed, f"{path.name} imports {name}"
            late = (
                not top
                or layer_of(path) in {"cli", "estimator"}
                or path.stem == package
                or path.name == "kernels.py"
            )
            assert late, f"{path.name} imports {name} at its top"


def test_import_loads_nothing_heavy():
    heavy = sorted(set(HEAVY) | {"numpy", "torch", "safetensors", "pyarrow"})
    code = f"import sys, dralign; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_import_changes_no_global_state():
    code = (
        "import os, random, torch, numpy, warnings, logging\n"
        "def state(): return (dict(os.environ), torch.get_rng_state().tolist(), random.getstate(),"
        " list(warnings.filters), logging.getLogger().handlers[:], torch.get_num_threads())\n"
        "before = state(); import dralign; assert state() == before"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_what_a_process_has_once_is_changed_in_turns():
    words = re.compile(r"fork_rng|catch_warnings")
    found = [path.name for path in FILES if words.search(path.read_text(encoding="utf-8"))]
    assert found == ["turns.py"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_files_are_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def test_nothing_is_unpickled_or_evaluated():
    words = re.compile(
        r"import pickle|pickle\.load|torch\.load(?!\([^)]*weights_only=True\))|joblib\.load|"
        r"(?<![.\w])(eval|exec)\("
    )
    for path in FILES:
        found = words.search(path.read_text(encoding="utf-8"))
        assert not found, f"{path.name}: {found}"


def compared_texts(path: Path) -> set[str]:
    """The texts that something is compared with, also as entries of a list."""
    tree = parsed(path)
    sides = (
        side
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare)
        for side in (node.left, *node.comparators)
    )
    cases = (node.pattern for node in ast.walk(tree) if isinstance(node, ast.match_case))
    return {
        node.value
        for side in (*sides, *cases)
        for node in ast.walk(side)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


# What is reproduced is about the methods and gaps of the paper. "gap" is also a figure.
OTHER = {"report/contrasts.py": {"gap"}}
FREE = [path for path in FILES if layer_of(path) != "reproduce"]


@pytest.mark.parametrize("path", FREE, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_name_of_a_method_or_gap_is_compared_where_it_is_not_declared(path):
    from dralign.gaps import gap_names
    from dralign.methods import method_names

    names = set()
    if layer_of(path) != "methods":
        names |= set(method_names())
    if layer_of(path) != "gaps":
        names |= set(gap_names())
    others = OTHER.get(path.relative_to(SOURCE).as_posix(), set())
    assert not names & compared_texts(path) - others
