"""Alignment: the term that pulls the rationales of the groups together, plain and fast."""
