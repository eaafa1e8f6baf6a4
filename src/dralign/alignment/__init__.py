"""Alignment: the term that pulls the rationales of the groups together, plain and fast."""

from dralign.alignment.engine import aligned_backward, backward_in_blocks
from dralign.alignment.passes import running_statistics_kept
from dralign.alignment.term import RationaleAlignment, Strata

__all__ = [
    "RationaleAlignment",
    "Strata",
    "aligned_backward",
    "backward_in_blocks",
    "running_statistics_kept",
]
