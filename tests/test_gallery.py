"""The gallery's code runs as it stands, and its figures are those that the code makes."""

import ast
import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"
KEPT = DOCS / "images" / "gallery"
_spec = spec_from_file_location("make_gallery", DOCS / "gallery" / "make.py")
gallery = module_from_spec(_spec)
_spec.loader.exec_module(gallery)
PAGES = sorted(path.stem for path in (DOCS / "gallery").glob("*.md") if path.stem != "index")


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.filterwarnings("ignore")  # doubts about tiny data, and those of other packages
def test_the_code_of_a_page_runs_and_draws_what_the_page_shows(page, tmp_path, monkeypatch):
    if lacking := gallery.missing(page):
        pytest.skip(f"{', '.join(lacking)} not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    gallery.run(page)
    shown = gallery.figures(page)
    assert shown
    assert all(Path(name).stat().st_size > 0 for name in shown)


@pytest.mark.parametrize("page", PAGES)
def test_every_figure_of_a_page_is_saved_by_its_code(page):
    saved = [
        node.args[1].value
        for node in ast.walk(ast.parse("\n".join(gallery.blocks(page))))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", "") == "write_figure"
        and isinstance(node.args[1], ast.Constant)
    ]
    assert saved == gallery.figures(page) != []


def test_figures_that_are_kept_are_shown_and_small():
    shown = {name for page in PAGES for name in gallery.figures(page)}
    assert {path.name for path in KEPT.iterdir()} == shown
    assert max(path.stat().st_size for path in KEPT.iterdir()) < 80_000


def test_the_index_has_every_page_with_its_figure_and_a_sentence():
    index = (DOCS / "gallery" / "index.md").read_text(encoding="utf-8")
    thumbnail = r"\.\./images/gallery/([\w.-]+)\)\]\(([\w-]+)\.md\)"
    sentence = r"\n\n\*\*\[[^\]]+\]\([\w-]+\.md\)\.\*\* \S"
    entries = re.findall(thumbnail + sentence, index)
    assert sorted(page for _, page in entries) == PAGES
    assert gallery.pages() == [page for _, page in entries]
    assert all([figure] == gallery.figures(page) for figure, page in entries)


def test_every_page_says_what_its_figure_does_not_show():
    for page in PAGES:
        text = (DOCS / "gallery" / f"{page}.md").read_text(encoding="utf-8")
        assert text.count("**What it does not show.**") == len(gallery.figures(page)), page


def test_a_page_whose_package_is_not_installed_is_left_out_with_a_line(monkeypatch):
    monkeypatch.setattr(gallery, "blocks", lambda page: ["import no_such_package.part\n"])
    assert gallery.missing("any") == ["no_such_package"]
    assert list(gallery.make("any")) == ["any: left out, for want of no_such_package"]
