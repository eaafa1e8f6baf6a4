"""All pages have one frame and one palette."""

import re
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from dralign.report import look, page

REPORT = Path(page.__file__).parent
FILES = sorted(path for path in REPORT.iterdir() if path.suffix in {".py", ".css", ".js", ".html"})
COLOUR = re.compile(r"(?<![&\w])#(?:[0-9a-fA-F]{6}|[0-9a-fA-F]{3})\b|rgba?\(\d")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_colours_are_written_in_one_place(path):
    found = COLOUR.findall(path.read_text(encoding="utf-8"))
    assert path.name == "look.py" or not found


def test_style_sheets_use_the_colours_that_there_are_and_all_of_them():
    sheets = "".join(path.read_text(encoding="utf-8") for path in FILES if path.suffix == ".css")
    assert set(re.findall(r"var\(--([\w-]+)\)", sheets)) == set(look.VARIABLES)


def test_only_the_frame_has_a_head_and_loads_scripts():
    framed = [path.name for path in FILES if "<head>" in path.read_text(encoding="utf-8")]
    assert framed == ["page.html"]


def luminance(colour):
    """The relative luminance of a colour, from 0 to 1 (WCAG 2)."""
    parts = [part / 255 for part in bytes.fromhex(colour.removeprefix("#"))]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("text", ["ink", "soft", "alert", "mark"])
@pytest.mark.parametrize("ground", ["card", "page", "front", "hover"])
def test_text_can_be_read_on_every_ground(text, ground):
    """The contrast that WCAG 2 asks for at level AA."""
    light, dark = (luminance(look.VARIABLES[name]) for name in (ground, text))
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_a_table_is_escaped_and_has_as_many_marks_as_rows():
    given = page.Table("x", ["<a>"], [["1 & 2"], ["3"]], marks=[{"class": 'x"y'}, {}])
    made = page.part_html("plain_table", given)
    assert made.strip() == (
        '<table><thead><tr><th scope="col">&lt;a&gt;</th></tr></thead><tbody>'
        '<tr class="x&#34;y"><td>1 &amp; 2</td></tr><tr><td>3</td></tr></tbody></table>'
    )
    with pytest.raises(AssertionError):
        page.Table("x", ["a"], [["1"], ["2"]], marks=[{}])


def test_panels_beside_each_other_scroll_in_a_narrow_window():
    from plotly.subplots import make_subplots

    one = page.Chart("key", make_subplots(1, 1).update_layout(height=300), "one")
    three = page.Chart("key", make_subplots(2, 3).update_layout(height=300), "three")
    alone = page.part_html("chart", one)
    assert "min-width:0px" in alone
    assert 'class="pan"' not in alone
    made = page.part_html("chart", three).strip()
    assert made.startswith('<div class="pan" tabindex="0" role="region" aria-label="three">')
    assert f"min-width:{3 * page.PANEL_WIDTH}px" in made


def test_a_template_that_is_not_given_all_it_names_is_an_error(tmp_path):
    with pytest.raises(UndefinedError, match="'sentences' is undefined"):
        page.write_page(tmp_path / "page.html", "study", title="x", facts=[], charts={})
