"""Reproduction: what belongs to the paper's own tables, figures and claims and nowhere else."""

from dralign.tiers import require

require("dralign.reproduce", "matplotlib", "pandas", "scipy")

from dralign.reproduce.catalogue import ENTRIES
from dralign.reproduce.claims import findings
from dralign.reproduce.document import document, section
from dralign.reproduce.entry import Entry, Reproduction
from dralign.reproduce.planned import (
    PLANS,
    QUICK,
    absent,
    begun,
    needed,
    plan,
    reduced,
    suited,
)
from dralign.reproduce.results import Results

__all__ = [
    "ENTRIES",
    "PLANS",
    "QUICK",
    "Entry",
    "Reproduction",
    "Results",
    "absent",
    "begun",
    "document",
    "findings",
    "needed",
    "plan",
    "reduced",
    "section",
    "suited",
]
