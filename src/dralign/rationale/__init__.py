"""Rationales: how much each weight matters for each group, and how far apart groups are."""
