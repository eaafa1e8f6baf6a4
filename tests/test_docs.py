"""What the documents promise exists."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CITED = re.compile(r"Eq(?:s)?\. (\d+)(?:(?:-| and |, )(\d+))?")


def equation_numbers(text: str) -> set[int]:
    """The equation numbers a text cites, ranges included."""
    found = set()
    for first, last in CITED.findall(text):
        found |= set(range(int(first), int(last or first) + 1))
    return found


def test_every_cited_equation_is_in_the_maths_page():
    page = (ROOT / "docs" / "maths.md").read_text(encoding="utf-8")
    stated = {int(number) for number in re.findall(r"\*\*Eq\. (\d+)\*\*", page)}
    assert stated == set(range(1, max(stated) + 1))
    for path in sorted((ROOT / "src").rglob("*.py")):
        missing = equation_numbers(path.read_text(encoding="utf-8")) - stated
        assert not missing, f"{path.name} cites equations {missing}"


def test_links_between_documents_lead_somewhere():
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_no_document_or_source_names_a_private_place():
    words = ("/work/", "/root/", "/tmp/", "shared/paper", "shared/design")
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "src").rglob("*.py")]:
        text = path.read_text(encoding="utf-8")
        assert not [word for word in words if word in text], path.name
