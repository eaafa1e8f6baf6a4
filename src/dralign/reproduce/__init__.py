"""Reproduction: what belongs to the paper's own tables, figures and claims and nowhere else."""

from dralign.reproduce.catalogue import ENTRIES
from dralign.reproduce.claims import findings
from dralign.reproduce.document import document, section
from dralign.reproduce.entry import Entry, Reproduction
from dralign.reproduce.planned import PLANS, plan, reduced, suited
from dralign.reproduce.results import Results

__all__ = [
    "ENTRIES",
    "PLANS",
    "Entry",
    "Reproduction",
    "Results",
    "document",
    "findings",
    "plan",
    "reduced",
    "section",
    "suited",
]
