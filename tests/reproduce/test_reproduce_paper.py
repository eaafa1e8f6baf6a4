"""The paper's values and words are what its text says."""

import re
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

from dralign.reproduce import ENTRIES
from dralign.reproduce.claims_celeba import CELEBA_CHECKS
from dralign.reproduce.claims_rationale import PARITY_CHECKS, SIMILARITY_CHECKS
from dralign.reproduce.claims_tradeoff import CHECKS

TEXT = Path(__file__).resolve().parents[3] / "shared" / "paper" / "000_8185c27b4834bd92.txt"
FOLDER = files("dralign.reproduce") / "paper"
TABLES = tomllib.loads((FOLDER / "tables.toml").read_text(encoding="utf-8"))
CLAIMS = tomllib.loads((FOLDER / "claims.toml").read_text(encoding="utf-8"))["claims"]
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-\d+)?")

needs_the_paper = pytest.mark.skipif(not TEXT.exists(), reason="the paper's text is not there")
ROWS = [
    (table, key)
    for table, values in TABLES.items()
    for key, value in values.items()
    if isinstance(value, list) and not isinstance(value[0], str)
]

# What stands at the head of a row of the paper's tables, by the start of its name here.
LABELS = {
    "dp_epochs": "Training Epochs for DP",
    "eo_epochs": "Training Epochs for EO",
    "learning_rate": "Learning rate",
    "parity_score": "Parity score",
    "fairness": "Fairness",
    "approximation": "Approx.",
    "p_value": "P Value",
    "dralign": "DRAlign",
    "gap": "noAug",
    "mixup": "Aug)",
    "erm": "Van",
    "oversample": "Oversampling",
    "ap": "c_{",
    "dp": "DP",
    "eo": "EO",
}


def block(table: str, key: str) -> list[str]:
    """The lines of a table of the paper; all lines for the weights, which A.11 states in words."""
    lines = TEXT.read_text(encoding="utf-8").splitlines()
    if key.endswith("weights"):
        return lines
    start = next(i for i, line in enumerate(lines) if line.startswith(f"Table {table[5:]}:"))
    return lines[start : start + 26]


def numbers(line: str) -> list[float]:
    return [float(text) for text in NUMBER.findall(line)]


def contains(found: list[float], wanted: list[float]) -> bool:
    """Whether the wanted numbers stand beside each other."""
    width = len(wanted)
    return any(found[i : i + width] == wanted for i in range(len(found) - width + 1))


@needs_the_paper
@pytest.mark.parametrize(("table", "key"), ROWS, ids=lambda part: part)
def test_every_row_is_printed_so_in_its_table(table, key):
    """The numbers stand beside each other under or beside the row's label."""
    lines = block(table, key)
    label = next((LABELS[start] for start in LABELS if key.startswith(start)), "")
    label = "" if key.endswith("weights") else label
    width = re.search(r"_(\d+)$", key)
    places = [
        place
        for place, line in enumerate(lines)
        if contains(numbers(line), TABLES[table][key])
        # Rows of Table 15 take three lines, the label stands in the first.
        and label in "\n".join(lines[max(0, place - 2) : place + 1])
        and (width is None or width[1] in line)
    ]
    assert places, f"{table}: no line with {label!r} and {TABLES[table][key]}"


@needs_the_paper
@pytest.mark.parametrize("key", TABLES["text"])
def test_every_number_of_the_running_text_is_in_it(key):
    text = TEXT.read_text(encoding="utf-8")
    value = TABLES["text"][key]
    found = [float(number) for number in NUMBER.findall(text)]
    assert value in found


@needs_the_paper
@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.get("check", ""))
def test_every_claim_is_quoted_word_for_word_from_its_section(claim):
    """White space aside; the quote comes after the heading of its section."""
    text = " ".join(TEXT.read_text(encoding="utf-8").split())
    quote = " ".join(claim["quote"].split())
    heading = rf" {re.escape(claim['section'])}\. "
    starts = [found.start() for found in re.finditer(heading, text)]
    assert any(quote in text[start : start + 12_000] for start in starts)


def test_every_claim_has_a_check_and_those_of_celeba_are_about_it():
    checks = [claim["check"] for claim in CLAIMS]
    known = [*CHECKS, *CELEBA_CHECKS, *SIMILARITY_CHECKS, *PARITY_CHECKS]
    assert sorted(checks) == sorted(known)
    assert {claim["entry"] for claim in CLAIMS} <= set(ENTRIES)
    for claim in CLAIMS:
        if claim["check"] in CELEBA_CHECKS:
            assert ENTRIES[claim["entry"]].needs_images or "CelebA" in claim["quote"]


def test_where_the_paper_contradicts_itself_the_reading_is_said():
    assert "labelled -EO" in TABLES["table15"]["read"]
    assert "is PP" in TABLES["table14"]["read"]
    assert "twice" in TABLES["table1"]["read"]
