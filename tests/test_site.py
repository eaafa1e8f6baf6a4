"""The site has a place for every public name and page; whether it builds is told by `make docs`."""

import ast
import re
from pathlib import Path

import dralign

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "dralign"
REFERENCE = ROOT / "docs" / "reference"
NAV = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]


def public_parts():
    """The public subpackages with what stands in their __all__, read without importing them."""
    for path in PACKAGE.glob("*/__init__.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                yield path.parent.name, ast.literal_eval(node.value)


def test_every_public_name_of_a_part_is_in_the_reference():
    for part, names in public_parts():
        shown = re.findall(
            r"^::: (\S+)$", (REFERENCE / f"{part}.md").read_text("utf-8"), re.MULTILINE
        )
        # A module of the same name hides the name from what is shown of the part.
        hidden = [name for name in names if list((PACKAGE / part).glob(f"{name}.py"))]
        assert shown == [
            f"dralign.{part}",
            *(f"dralign.{part}.{name}.{name}" for name in sorted(hidden)),
        ]


def test_every_module_for_another_package_is_in_the_reference():
    page = (REFERENCE / "integrations.md").read_text(encoding="utf-8")
    folder = PACKAGE / "integrations"
    public = [path.stem for path in folder.glob("*.py") if "\n__all__ =" in path.read_text("utf-8")]
    assert re.findall(r"^::: dralign\.integrations\.(\w+)$", page, re.MULTILINE) == sorted(public)
    assert "dralign.integrations: reference/integrations.md" in NAV


def test_every_name_of_the_root_is_linked_from_the_first_page_of_the_reference():
    page = (REFERENCE / "index.md").read_text(encoding="utf-8")
    links = re.findall(r"\[`(\w+)`\]\((\w+)\.md#dralign\.(\w+)\.(\w+)\)", page)
    assert [link[0] for link in links] == sorted(dralign.__all__)
    for name, file, part, target in links:
        assert (file, target) == (part, name)
        assert f"::: dralign.{part}\n" in (REFERENCE / f"{part}.md").read_text(encoding="utf-8")


def test_every_page_is_in_the_navigation():
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    listed = re.findall(r"(\S+\.md)$", NAV, re.MULTILINE)
    assert len(listed) == len(set(listed))
    assert pages <= set(listed)
    assert all((ROOT / name).exists() for name in set(listed) - pages)
