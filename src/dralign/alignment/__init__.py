"""Alignment: the term that pulls the rationales of the groups together, plain and fast."""

from dralign.alignment.term import RationaleAlignment, Strata

__all__ = ["RationaleAlignment", "Strata"]
