"""Alignment: the term that pulls the rationales of the groups together, plain and fast."""

from dralign.alignment.engine import aligned_backward, backward_in_blocks
from dralign.alignment.term import RationaleAlignment, Strata, at_least_float32

__all__ = [
    "RationaleAlignment",
    "Strata",
    "aligned_backward",
    "at_least_float32",
    "backward_in_blocks",
]
