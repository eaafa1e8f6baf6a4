"""No decision rests on the wall clock, which people and time servers set back and forth."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "dralign"
WALL = {
    "time.time", "time.time_ns", "time.ctime", "time.localtime", "time.gmtime", "time.strftime",
    "datetime.now", "datetime.utcnow", "datetime.today", "date.today",
    "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.date.today",
}  # fmt: skip
# The age of a file is known by the wall clock alone; either way a wrong one removes nothing that
# is in use, because what is in use is locked. A page tells the day it was made, which decides
# nothing.
ALLOWED = {
    ("scratch.py", "_remove_if_left"),
    ("data/content.py", "folder_digest"),
    ("report/page.py", "write_page"),
}


def uses(text: str) -> list[tuple[str, str]]:
    """The functions that read the wall clock, and how; also under other names."""
    tree = ast.parse(text)
    names = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    } | {
        alias.asname: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.asname
    }
    found = []
    for owner in ast.walk(tree):
        if isinstance(owner, ast.FunctionDef | ast.Module):
            for node in ast.walk(owner):
                if isinstance(node, ast.Attribute | ast.Name):
                    first, *rest = ast.unparse(node).split(".")
                    name = ".".join([names.get(first, first), *rest])
                    if name in WALL:
                        found.append((getattr(owner, "name", ""), name))
    inner = {name for owner, name in found if owner}
    return [(owner, name) for owner, name in found if owner or name not in inner]


def test_only_the_age_of_a_file_and_the_day_of_a_page_are_told_by_the_wall_clock():
    found = {
        (str(path.relative_to(SOURCE)), owner)
        for path in SOURCE.rglob("*.py")
        for owner, _ in uses(path.read_text(encoding="utf-8"))
    }
    assert found == ALLOWED


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import time\nold = time.time()", [("", "time.time")]),
        ("import time as t\ndef f():\n    return t.time()", [("f", "time.time")]),
        ("from time import time as now\ndef f():\n    return now()", [("f", "time.time")]),
        ("from datetime import datetime\nx = datetime.now", [("", "datetime.datetime.now")]),
        ("import time\nx = time.monotonic() + time.perf_counter()", []),
    ],
)
def test_the_wall_clock_is_found_under_any_name(text, found):
    assert uses(text) == found
